"""Writes the H100's payload profile: ``python tests/oracles/make_profiles.py``.

This is the arithmetic behind ``assets/profiles``; a test checks that it gives the shipped file
again. Inputs: the measured rows in ``qwen3_8b_h100_decode.csv``, and what is published of Qwen3-8B.
The other devices, in ``make_profile*_*.py``, build on it.
Tool: NumPy least squares. Date: 2026-11-22. Numbers are rounded to four digits, so that the last
bits of a solver do not matter.
"""

import csv
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SHELF = HERE.parents[1] / "assets" / "profiles"

# Qwen3-8B: 36 layers, hidden 4096, 32 query and 8 KV heads of 128, vocabulary 151,936, untied.
# Source: Qwen3 technical report, tables 1-2; model config.
LAYERS, QUERY_WIDTH, KV_WIDTH = 36, 32 * 128, 8 * 128
BLOCKS = 6.946e9  # parameters outside embedding and head
HEAD = 151_936 * 4096  # parameters of the head; the embedding has as many and is not read per token
KV_BYTES = 2 * LAYERS * KV_WIDTH * 2  # 147,456 a token in 16 bit
AWQ_BITS = 4 + 16 / 128 + 4 / 128  # int4 with a 16-bit scale and a 4-bit zero per group of 128

READ_BF16 = 2 * (BLOCKS + HEAD)
STORED_BF16 = 2 * (BLOCKS + 2 * HEAD)
READ_AWQ = BLOCKS * AWQ_BITS / 8 + 2 * HEAD  # the head stays in 16 bit
STORED_AWQ = READ_AWQ + 2 * HEAD


def flop_per_token(context):
    """One decoded token: two per weight, and attention over the context."""
    return 2 * (BLOCKS + HEAD) + 4 * LAYERS * QUERY_WIDTH * context


def digits(x, n=4):
    return float(f"{x:.{n}g}")


def q(value, origin, source=None, range=None, note=None, n=4):
    parts = {"value": digits(value, n), "origin": origin, "source": source}
    if range is not None:
        parts["range"] = [digits(x, n) for x in range]
    if note is not None:
        parts["note"] = note
    return {k: v for k, v in parts.items() if v is not None}


# id: title | date | licence
FACTS = {
    "config": "Qwen3 technical report, tables 1-2, and the model's config.json | 2025 |",
    "nvidia": "NVIDIA data sheets: H100 SXM, Jetson AGX Orin series, Jetson T5000 | |",
    "silybench": "silybench-data (T. Garg): Qwen3-8B bf16, one H100 80GB SXM, vLLM 0.30.0"
    " | 2026-09-24 | CC BY 4.0",
    "hopper-readouts": "public nvidia-smi readouts of Hopper boards: idle 67-73 W empty, 112-117 W"
    " with 70-78 GB resident; temperature plus T.Limit margin 86-87 C, slowdown at a margin of -2,"
    " shutdown at -8 | 2026 |",
    "edge-llm": "TensorRT Edge-LLM documentation, performance benchmarks, v0.9.0 results"
    " (JetPack 7.2): Qwen3-8B INT4 AWQ, vanilla decoding, MTBench prompts | 2026 | Apache-2.0",
    "embedl": "Embedl Edge-Inference-Benchmarks, Qwen3.csv: bf16, batch 1; engine not stated | |",
    "arithmetic": "computed in tests/oracles/make_profiles.py | 2026-11-22 | Apache-2.0",
    "electronics": "thermal practice: electronics throttle at 85-95 C case temperature; Jetson's"
    " junction limits are near 99 C (recalled, not read again) | |",
}


def sources(*ids, facts=FACTS):
    rows = [dict(zip(("title", "date", "licence"), facts[i].split("|"), strict=True)) for i in ids]
    rows = [{"id": i} | row for i, row in zip(ids, rows, strict=True)]
    return [{k: v.strip() for k, v in row.items() if v.strip()} for row in rows]


def h100():
    """H100: the measured rows, and what least squares says of them."""
    with open(HERE / "qwen3_8b_h100_decode.csv") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    prefill = next(r for r in rows if r["workload"] == "prefill")
    rows = [r for r in rows if r["workload"] == "decode"]

    def column(name):
        return np.array([float(r[name]) for r in rows])

    clients = column("concurrency")
    rate, itl = column("output_throughput_tok_s"), column("itl_median_ms") / 1e3
    watts, ttft = column("avg_power_w"), column("ttft_p95_ms") / 1e3
    inputs, outputs = 128, 1024
    context = inputs + outputs / 2
    running = rate * itl  # Little: what the engine really held, below the clients when KV is full
    step_bytes = READ_BF16 + running * context * KV_BYTES

    # Step: relative least squares of itl = bytes / BW on the rows without KV pressure. A free t0
    # comes out at -0.35 ms (2.12 TB/s): not identified, set to zero.
    free = clients <= 256
    x = step_bytes[free] / itl[free]
    bandwidth = (x @ x) / x.sum()  # minimises sum((bytes / (BW itl) - 1)^2)
    step_residual = np.abs(step_bytes[free] / bandwidth / itl[free] - 1)

    # Compute reached: the prefill row, all its work over its time; a lower bound.
    n_in, n_out = 1024, 128
    work = n_in * 2 * BLOCKS + 2 * LAYERS * QUERY_WIDTH * n_in**2
    work += n_out * flop_per_token(n_in + n_out / 2)
    compute = float(prefill["output_throughput_tok_s"]) / n_out * work

    # Power: P0 fixed at the published idle with a model resident, because bytes/s stays between
    # 0.63 and 0.67 of nominal over the free rows and cannot tell P0 from a; a and b by relative
    # least squares on the rows below the cap. Prefill work (one prompt per answer) is counted.
    p0, cap = 115.0, 700.0
    bytes_s = step_bytes / itl
    flop_s = rate * (flop_per_token(context) + inputs / outputs * 2 * BLOCKS)
    below = watts < 0.97 * cap
    matrix = np.stack([bytes_s, flop_s], axis=1)[below] / watts[below, None]
    share = 1 - np.array([p0, 70.0, 200.0]) / watts[below, None]  # P0, and the ends of its range
    ((a, a_high, a_low), (b, b_low, b_high)), *_ = np.linalg.lstsq(matrix, share, rcond=None)
    fitted = np.minimum(cap, p0 + a * bytes_s + b * flop_s)
    residual = np.abs(fitted / watts - 1)

    # Held out, one row at a time: gaps by the bandwidth, watts by a and b of the others.
    gaps, power = [], []
    for out in np.flatnonzero(free):
        others = np.delete(step_bytes[free] / itl[free], out)
        gaps.append(step_bytes[out] / ((others @ others) / others.sum()) / itl[out] - 1)
    for out in np.flatnonzero(below):
        keep = np.flatnonzero(below) != out
        joules, *_ = np.linalg.lstsq(matrix[keep], share[keep, 0], rcond=None)
        power.append((p0 + joules @ [bytes_s[out], flop_s[out]]) / watts[out] - 1)
    gaps, power = np.abs(gaps), np.abs(power)

    points = [
        {
            "batch": int(n),
            "output_tokens_per_s": float(r),
            "itl_s": round(float(i), 7),
            "ttft_s": round(float(t), 6),
            "power_w": float(w),
            "origin": "measured",
            "source": "silybench",
        }
        for n, r, i, t, w in zip(clients, rate, itl, ttft, watts, strict=True)
    ]
    return {
        "format": "payload-profile",
        "version": 1,
        "device": "H100 80GB SXM",
        "model": "Qwen3-8B",
        "precision": "bf16",
        "dtype": "bf16",
        "engine": {"name": "vLLM", "version": "0.30.0"},
        "origin": "measured",
        "workload": {
            "input_len": inputs,
            "output_len": outputs,
            "note": "random lengths, ignore-eos, closed loop, max model length 16384",
        },
        "statistics": {
            "output_tokens_per_s": "whole run, prefill included; median of 3 runs",
            "itl_s": "median",
            "ttft_s": "95th percentile",
            "power_w": "mean board power in the measured window",
        },
        "points": points,
        "power": {
            "idle_w": q(115, "published", "hopper-readouts", [70, 140]),
            "p0_w": q(
                p0, "assumed", "hopper-readouts", [70, 200], "taken as idle with a model resident"
            ),
            "a_j_per_byte": q(a, "derived", "arithmetic", [a_low, a_high], "moves against p0"),
            "b_j_per_flop": q(b, "derived", "arithmetic", [b_low, b_high], "moves with p0"),
            "cap_w": q(cap, "published", "nvidia", note="mean power was seen to level at 681-690"),
            "note": f"relative residual over the {len(rows)} rows: mean {residual.mean():.1%}, "
            f"largest {residual.max():.1%}; p0 and a are not separately identified",
        },
        "step_model": {
            "t0_s": q(0, "assumed", "arithmetic", [0, 0.0005], "a free fit gives -0.35 ms"),
            "weight_bytes_read_per_step": q(READ_BF16, "derived", "config"),
            "kv_bytes_per_token": q(KV_BYTES, "derived", "config", n=6),
            "flop_per_token": q(flop_per_token(context), "derived", "config"),
            "bandwidth_bytes_per_s": q(
                bandwidth,
                "derived",
                "arithmetic",
                note=f"batch 1 to 256, residual of ITL: mean {step_residual.mean():.1%}, "
                f"largest {step_residual.max():.1%}",
            ),
            "compute_flop_per_s": q(
                compute, "derived", "arithmetic", note="prefill row 1024/128 at 256: lower bound"
            ),
            "mean_context": q(context, "derived", "silybench"),
            "peak_bandwidth_bytes_per_s": q(3.35e12, "published", "nvidia"),
            "peak_flop_per_s": q(989e12, "published", "nvidia"),
        },
        "limits": {
            "max_batch": q(
                377_024 // (inputs + outputs),
                "derived",
                "silybench",
                note="all sequences at full length without preemption",
            ),
            "kv_tokens": q(377_024, "measured", "silybench", n=6),
        },
        "weights_gb": q(STORED_BF16 / 1e9, "derived", "config"),
        "throttle": {
            "start_k": q(360.15, "published", "hopper-readouts", [356.15, 362.15], n=5),
            "full_k": q(
                368.15, "published", "hopper-readouts", [362.15, 370.15], "shutdown margin", n=5
            ),
        },
        "uncertainty": {
            "throughput": [0.95, 1.03],
            "active_power": [0.97, 1.03],
            "idle_power": [0.6, 1.25],
            "note": "same engine and workload; another engine version and chat prompts gave 0.58 "
            "of this throughput at batch 128 (ML.ENERGY, 5,930 tokens/s). Held out, a batch at a "
            f"time, the step model misses gaps by {gaps.mean():.1%} (worst {gaps.max():.1%}) and "
            f"watts by {power.mean():.1%} (worst {power.max():.1%})",
        },
        "sources": sources("silybench", "config", "nvidia", "hopper-readouts", "arithmetic"),
    }


def step(n, t0, size, kv, context, flop, bandwidth, compute):
    """Seconds of a decode step of `n` requests: host, then bytes or arithmetic."""
    return t0 + max((size + n * context * kv) / bandwidth, n * flop / compute)


PROFILES = {"h100-sxm/qwen3-8b-bf16": h100}


def text(name, of=PROFILES):
    """The file's content."""
    return json.dumps(of[name](), indent=1, ensure_ascii=False) + "\n"


def write(of):
    """The files of these profiles."""
    for name in of:
        path = SHELF / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(name, of), encoding="utf-8")
        print(path.relative_to(HERE.parents[1]), path.stat().st_size, "bytes")


if __name__ == "__main__":
    write(PROFILES)

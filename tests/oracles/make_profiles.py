"""Writes every shipped payload profile: ``python tests/oracles/make_profiles.py``.

This is the arithmetic behind ``assets/profiles``; a test checks that it gives the shipped files
again. Inputs: the measured rows in ``qwen3_8b_h100_decode.csv`` and the published figures below.
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
            "of this throughput at batch 128 (ML.ENERGY, 5,930 tokens/s)",
        },
        "sources": sources("silybench", "config", "nvidia", "hopper-readouts", "arithmetic"),
    }


# Published by TensorRT Edge-LLM 0.9.0 for Qwen3-8B INT4 AWQ, vanilla: batch, decode tokens/s of the
# whole batch, seconds of prefill of the whole batch (61 tokens a prompt at batch 1).
ORIN_64 = ((1, 32.5, 0.0657), (8, 151.5, 0.5928))
THOR = ((1, 49.3, 0.0560), (8, 191.8, 0.4265))
CONTEXT = 361.0  # tokens: 61 in and half of an answer of 600, assumed


def bf16_line(tokens_per_s):
    """t0 and bandwidth from the bf16 batch-1 speeds of Qwen3-0.6B and 1.7B (tied heads)."""
    seconds = 1 / np.array(tokens_per_s)
    read = 2 * np.array([0.596e9, 1.721e9])
    bandwidth = (read[1] - read[0]) / (seconds[1] - seconds[0])
    return seconds[0] - read[0] / bandwidth, bandwidth


def calibrate(rows, t0):
    """Bandwidth from batch 1 and compute from batch 8, so that the step model meets both."""
    (_, one, _), (n, many, _) = rows
    kv = CONTEXT * KV_BYTES
    bandwidth = (READ_AWQ + kv) / (1 / one - t0)
    compute = n * flop_per_token(CONTEXT) / (n / many - t0)
    return bandwidth, compute


def jetson(device, rows, t0, step, point_origin, power, watts, peak, factors, notes, throttle_note):
    bandwidth, compute = step
    flop = flop_per_token(CONTEXT)
    points, rates = [], []
    scaled = point_origin == "derived"
    for (n, rate, prefill), watt in zip(rows, watts, strict=True):
        moved = READ_AWQ + n * CONTEXT * KV_BYTES
        seconds = t0["value"] + max(moved / bandwidth, n * flop / compute)
        rates.append((moved / seconds, n * flop / seconds))
        points.append(
            {
                "batch": n,
                "output_tokens_per_s": digits(n / seconds) if scaled else rate,
                "itl_s": digits(seconds),
                "ttft_s": digits(prefill * 42.5 / 38) if scaled else prefill,
                "power_w": watt[0],
                "origin": point_origin,
                "source": "edge-llm",
                "origins": {"power_w": "assumed"},
            }
        )
    # a and b from the two assumed powers: two equations, two unknowns
    p0 = power["p0_w"]["value"]
    (a, a_low, a_high), (b, b_low, b_high) = np.linalg.solve(rates, np.array(watts) - p0)
    spread = f"from assumed powers: {watts[0]} W at batch 1, {watts[1]} W at 8 (value, low, high)"
    power |= {
        "a_j_per_byte": q(a, "assumed", "arithmetic", sorted([a_low, a_high]), spread),
        "b_j_per_flop": q(b, "assumed", "arithmetic", sorted([b_low, b_high]), spread),
    }
    return {
        "format": "payload-profile",
        "version": 1,
        "device": device,
        "model": "Qwen3-8B",
        "precision": "int4-awq",
        "dtype": "fp16",
        "engine": {"name": "TensorRT Edge-LLM", "version": "0.9.0"},
        "origin": point_origin,
        "workload": {
            "input_len": 61,
            "output_len": None,
            "note": "MTBench prompts; length of the answers not stated",
        },
        "statistics": {
            "output_tokens_per_s": "decode phase of the whole batch, prefill not included",
            "itl_s": "batch / throughput",
            "ttft_s": "prefill of the whole batch, mean",
            "power_w": "module, assumed",
        },
        "points": points,
        "power": power,
        "step_model": {
            "t0_s": t0,
            "weight_bytes_read_per_step": q(
                READ_AWQ, "derived", "config", note="scales and zeros per 128; head in 16 bit"
            ),
            "kv_bytes_per_token": q(KV_BYTES, "derived", "config", n=6),
            "flop_per_token": q(flop, "derived", "config"),
            "bandwidth_bytes_per_s": q(bandwidth, "derived", "edge-llm", note="from batch 1"),
            "compute_flop_per_s": q(
                compute, "derived", "edge-llm", note="from batch 8: small-batch int4 kernels"
            ),
            "mean_context": q(CONTEXT, "assumed", None, [100, 1000]),
            "peak_bandwidth_bytes_per_s": q(peak[0], "published", "nvidia"),
            "peak_flop_per_s": q(peak[1], "published", "nvidia", note="dense FP16, GPU alone"),
        },
        "limits": {
            "max_batch": q(8, "published", "edge-llm", note="largest batch published"),
            "kv_tokens": q(
                8 * 2200, "published", "edge-llm", note="as built; memory would allow more", n=5
            ),
        },
        "weights_gb": q(STORED_AWQ / 1e9, "derived", "config"),
        "throttle": {
            "start_k": q(358.15, "assumed", "electronics", [348.15, 372.15], throttle_note, n=5),
            "full_k": q(368.15, "assumed", "electronics", [363.15, 378.15], n=5),
        },
        "uncertainty": factors,
        "sources": sources(
            "edge-llm", "config", "nvidia", "arithmetic", "electronics", *(["embedl"] * scaled)
        ),
        "notes": notes,
    }


def orin():
    """Orin Industrial: same memory as the Orin 64GB, its GPU slower by 38 to 42.5 TFLOP/s."""
    t0, line = bf16_line((117.52, 45.83))
    bandwidth, compute = calibrate(ORIN_64, digits(t0))
    predicted = 1 / (t0 + (READ_AWQ + CONTEXT * KV_BYTES) / line)
    return jetson(
        "Jetson AGX Orin Industrial",
        ORIN_64,
        q(t0, "derived", "embedl", [0, 0.0043], "line through bf16 0.6B and 1.7B at batch 1"),
        (bandwidth, compute * 38 / 42.5),
        "derived",
        {
            "idle_w": q(10, "assumed", None, [6, 15]),
            "p0_w": q(10, "assumed", None, [6, 20], "taken as idle"),
            "cap_w": q(75, "published", "nvidia", note="module power 15-75 W"),
        },
        ((40.0, 30.0, 50.0), (50.0, 38.0, 62.0)),
        (204.8e9, 38e12),
        {
            "throughput": [0.75, 1.1],
            "active_power": [0.76, 1.24],
            "idle_power": [0.6, 1.5],
            "note": "throughput: published on the Orin 64GB in its largest mode (Llama-3.1-8B, "
            "another engine, 112 tokens/s at 8), scaled here; power assumed",
        },
        [
            "Batch 1 carries over (same 204.8 GB/s); batch 8 and prefill are scaled by 38/42.5.",
            f"Independent check: the bf16 line (t0 {t0 * 1e3:.2f} ms, {line / 1e9:.0f} GB/s) "
            f"predicts {predicted:.1f} tokens/s at batch 1, published 32.5.",
        ],
        "case; the junction limit is higher",
    )


def thor():
    """Thor: published INT4 AWQ points, taken as they are."""
    t0 = 0.0005
    return jetson(
        "Jetson AGX Thor (T5000)",
        THOR,
        q(t0, "assumed", None, [0, 0.0015], "the bf16 line of another engine gives 0.1 ms"),
        calibrate(THOR, t0),
        "published",
        {
            "idle_w": q(25, "assumed", None, [15, 40]),
            "p0_w": q(25, "assumed", None, [15, 45], "taken as idle"),
            "cap_w": q(130, "published", "nvidia", note="module power 40-130 W"),
        },
        ((70.0, 50.0, 95.0), (95.0, 70.0, 128.0)),
        (273e9, 259e12),
        {
            "throughput": [0.9, 1.1],
            "active_power": [0.73, 1.35],
            "idle_power": [0.6, 1.6],
            "note": "throughput: same engine, other versions and prompts vary; power assumed",
        },
        [
            "INT4 AWQ because both batches are published with engine and version, as for Orin. "
            "The same table gives NVFP4 46.8 and 283.1 tokens/s at batch 1 and 8.",
            "FP8 (298 tokens/s, vLLM, MAXN) is published without its batch, and its low-load "
            "8.9 ms a token would need 1.0 TB/s of 0.273: not used.",
        ],
        "case; the junction limit is higher",
    )


PROFILES = {
    "agx-orin-industrial/qwen3-8b-int4": orin,
    "agx-thor/qwen3-8b-int4": thor,
    "h100-sxm/qwen3-8b-bf16": h100,
}


def text(name):
    """The file's content."""
    return json.dumps(PROFILES[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in PROFILES:
        path = SHELF / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(name), encoding="utf-8")
        print(path.relative_to(HERE.parents[1]), path.stat().st_size, "bytes")

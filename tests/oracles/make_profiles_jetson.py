"""The Jetsons' payload profiles: ``python tests/oracles/make_profiles_jetson.py``.

Two published points a board fix the step model's two numbers, so nothing of a board is left to
judge it. HELD OUT is therefore a board: its points are foretold from those of the other, by the
ratio of their bandwidths alone, and at batch 8 also by the share of arithmetic that the other
reaches. Both boards had been seen before. Date: 2026-11-28. Numbers are rounded to four digits.
"""

import make_profiles as made
import numpy as np
from make_profiles import (
    FACTS,
    KV_BYTES,
    READ_AWQ,
    STORED_AWQ,
    digits,
    flop_per_token,
    q,
    sources,
    write,
)

# Published by TensorRT Edge-LLM 0.9.0 for Qwen3-8B INT4 AWQ, vanilla: batch, decode tokens/s of the
# whole batch, seconds of prefill of the whole batch (61 tokens a prompt at batch 1).
ORIN_64 = ((1, 32.5, 0.0657), (8, 151.5, 0.5928))
THOR = ((1, 49.3, 0.0560), (8, 191.8, 0.4265))
ORIN_BF16 = 117.52, 45.83  # tokens/s of Qwen3-0.6B and 1.7B, batch 1 (Embedl)
T0_THOR = 0.0005  # s, assumed
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
            "edge-llm",
            "config",
            "nvidia",
            "arithmetic",
            "electronics",
            *(["embedl"] * scaled),
            facts=FACTS | HERE,
        ),
        "notes": notes,
    }


HERE = {"arithmetic": "computed in tests/oracles/make_profiles_jetson.py | 2026-11-28 | Apache-2.0"}

BOARDS = {  # published rows, t0, peaks of the data sheet
    "Orin 64GB": (ORIN_64, bf16_line(ORIN_BF16)[0], 204.8e9, 42.5e12),
    "Thor": (THOR, T0_THOR, 273e9, 259e12),
}


def held_out(board):
    """Errors of both points, foretold from the other board: what a profile's note says."""
    other = next(name for name in BOARDS if name != board)
    (rows, t0, peak, flop), (known, known_t0, known_peak, known_flop) = BOARDS[board], BOARDS[other]
    ratio = peak / known_peak
    one, eight = (a[1] * ratio / b[1] - 1 for a, b in zip(known, rows, strict=True))
    bandwidth, _ = calibrate(rows, t0)
    share = calibrate(known, known_t0)[1] / known_flop
    law = (t0, READ_AWQ, KV_BYTES, CONTEXT, flop_per_token(CONTEXT), bandwidth, share * flop)
    arithmetic = 8 / made.step(8, *law) / rows[1][1] - 1
    return (
        f"held out, foretold from the {other}: {one:+.0%} at batch 1 and {eight:+.0%} at batch 8 by"
        f" the ratio of bandwidths; {arithmetic:+.0%} at batch 8 by its share of arithmetic, so"
        " batches between and beyond, and other precisions, may be that far off"
    )


def orin():
    """Orin Industrial: same memory as the Orin 64GB, its GPU slower by 38 to 42.5 TFLOP/s."""
    t0, line = bf16_line(ORIN_BF16)
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
            "another engine, 112 tokens/s at 8), scaled here; power assumed; the Orin 64GB itself "
            + held_out("Orin 64GB"),
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
    t0 = T0_THOR
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
            "note": "throughput: same engine, other versions and prompts vary; power assumed; "
            + held_out("Thor"),
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
}


def text(name):
    """The file's content."""
    return made.text(name, PROFILES)


if __name__ == "__main__":
    write(PROFILES)

"""Writes the payload profiles fitted to published or to own figures: this script, run.

``PYTHONPATH=. python tests/oracles/make_profiles_published.py``. A test checks that it gives the
shipped files again. Date: 2026-11-27. Numbers are rounded to four digits.

H20. Rows: ``qwen3_h20_speed.csv``, one request at a time, so a step is ``layers t0 + bytes / bw``
and a prompt its work at the rate below. HELD OUT, fixed before the fit: every row but the six of
bf16 at input 1. Batches above 1 were not published; they are the step model's, with arithmetic of
the data sheet by the share that the H100 reaches. What such a step from batch 1 costs is seen where
batches are known: Orin and Thor (batch 8, int4) and the H100 itself.

Processor. What ``twin calibrate cpu-epyc-zen3/qwen3-0.6b-fp32.json --profile FILE --idle-w 3
--busy-w 9`` writes, rounded, with wider ranges of the watts and with notes. Held out there:
``assets/measurements/heldout.toml``.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path

import make_profiles as made
import make_profiles_jetson as jetson
import numpy as np
from make_profile_ascend import ascend
from make_profiles import FACTS, KV_BYTES, READ_BF16, STORED_BF16, digits, flop_per_token, q, step

from serving.fit import fit
from serving.measured import read, split
from serving.models import find
from serving.profile import profile
from serving.steplaw import Subject

HERE = Path(__file__).parent

H20 = {
    "qwen": "Qwen3 documentation, speed_benchmark.md, commit 7a2f61ff: H20 96GB, SGLang"
    " 0.4.6.post1, one request, 2048 tokens generated | 2026-01-09 | Apache-2.0",
    "h20-sheet": "NVIDIA H20: 4.0 TB/s, 148 TFLOP/s dense bf16, 96 GB, 500 W (recalled, not read"
    " again; 500 W also in the readout below) | |",
    "h20-readout": "public nvidia-smi readout of H20-3e boards, 141 GB: 118 W of 500 W without work"
    " (sgl-project/sglang issue 6418) | 2025-05-19 |",
    "h100-profile": "assets/profiles/h100-sxm/qwen3-8b-bf16.json: shares and joules of the same"
    " family of chips | 2026-11-22 | silybench-data, CC BY 4.0",
    "arithmetic": "computed in tests/oracles/make_profiles_published.py | 2026-11-27 | Apache-2.0",
}
GENERATED = 2048
H20_CONTEXT = 1 + GENERATED / 2
H20_BATCHES = (1, 4, 8, 16, 32, 64, 128, 192)
H20_MEMORY = 0.85 * 96e9  # weights and cache: SGLang's mem_fraction_static of that page


def h20_rows():
    with open(HERE / "qwen3_h20_speed.csv") as file:
        return list(csv.DictReader(line for line in file if line[0] != "#"))


def h20_fit():
    """t0 of a layer and bandwidth: relative least squares over the six rows of bf16 at input 1."""
    matrix = []
    for row in h20_rows():
        if (row["precision"], row["input_len"]) == ("bf16", "1"):
            subject = Subject.of(find(row["model"]), "bf16")
            seconds = (1 + GENERATED) / float(row["tokens_per_s"]) / GENERATED
            moved = subject.weights + H20_CONTEXT * subject.kv
            matrix.append([subject.layers / seconds, moved / seconds])
    assert len(matrix) == 6
    (t0, inverse), *_ = np.linalg.lstsq(np.array(matrix), np.ones(6), rcond=None)
    return t0, 1 / inverse


def h20_error(row, t0, bandwidth, rate):
    """Predicted over published, less 1."""
    subject, n = Subject.of(find(row["model"]), row["precision"]), int(row["input_len"])
    moved = subject.weights + (n + GENERATED / 2) * subject.kv
    prompt = (n * subject.flop + subject.attention * n * n / 2) / rate
    seconds = prompt + GENERATED * (subject.layers * t0 + moved / bandwidth)
    return (n + GENERATED) / seconds / float(row["tokens_per_s"]) - 1


def told(errors):
    worst = max(errors, key=abs)
    return f"mean {np.mean(np.abs(errors)):.1%}, worst {worst:+.1%} ({len(errors)} rows)"


def from_batch_1(one, many, batches, size, kv, context, flop, compute):
    """Known over predicted rates at larger batches, where only batch 1 is looked at."""
    bandwidth = (size + context * kv) * one
    law = (0.0, size, kv, context, flop, bandwidth, compute)
    return [rate * step(n, *law) / n for n, rate in zip(batches, many, strict=True)]


def h20():
    """H20: published at batch 1, by the step model above."""
    h100 = made.h100()
    reached = {k: v["value"] for k, v in h100["step_model"].items()}
    share = reached["compute_flop_per_s"] / reached["peak_flop_per_s"]
    share_bytes = reached["bandwidth_bytes_per_s"] / reached["peak_bandwidth_bytes_per_s"]
    peak_bytes, peak_flop = 4.0e12, 148e12
    compute = share * peak_flop
    t0, bandwidth = h20_fit()
    host, flop = 36 * t0, flop_per_token(H20_CONTEXT)
    law = (host, READ_BF16, KV_BYTES, H20_CONTEXT, flop, bandwidth, compute)

    off = {}
    for row in h20_rows():
        first = (row["precision"], row["input_len"]) == ("bf16", "1")
        own = row["model"] == "qwen3-8b" and row["precision"] == "bf16"
        kinds = ["fitted"] if first else [row["precision"]] + ["own"] * own
        for kind in kinds:
            off.setdefault(kind, []).append(h20_error(row, t0, bandwidth, compute))
    held = (
        f"bf16, inputs 6144 to 30720: {told(off['bf16'])}, of the 8B itself {told(off['own'])};"
        f" fp8: {told(off['fp8'])}; int4: {told(off['int4-awq'])}"
    )

    # What the step from batch 1 costs, known over predicted.
    small = (jetson.READ_AWQ, KV_BYTES, jetson.CONTEXT, flop_per_token(jetson.CONTEXT))
    orin, thor = ([r for _, r, _ in rows] for rows in (jetson.ORIN_64, jetson.THOR))
    large = h100["points"]
    large = [p for p in large if p["batch"] <= h100["limits"]["max_batch"]["value"]]
    speeds = [p["output_tokens_per_s"] for p in large]
    cost = {
        "Orin": from_batch_1(orin[0], orin[1:], [8], *small, share * 42.5e12),
        "Thor": from_batch_1(thor[0], thor[1:], [8], *small, share * 259e12),
        "H100": from_batch_1(
            speeds[0],
            speeds,
            [p["batch"] for p in large],
            READ_BF16,
            KV_BYTES,
            reached["mean_context"],
            reached["flop_per_token"],
            reached["compute_flop_per_s"],
        ),
    }
    lowest = min(min(x) for x in cost.values())
    best = (*law[:-2], share_bytes * peak_bytes, 0.9 * peak_flop)
    highest = max(step(n, *law) / step(n, *best) for n in H20_BATCHES[-2:])

    # Power: the H100's joules, for the chip is of its family.
    p0, cap = 118.0, 500.0
    a, b = (h100["power"][k]["value"] for k in ("a_j_per_byte", "b_j_per_flop"))
    points = []
    speed = next(
        float(r["tokens_per_s"])
        for r in h20_rows()
        if (r["model"], r["precision"], r["input_len"]) == ("qwen3-8b", "bf16", "1")
    )
    for n in H20_BATCHES:
        seconds = step(n, *law) if n > 1 else (1 + GENERATED) / speed / GENERATED
        moved = (READ_BF16 + n * H20_CONTEXT * KV_BYTES) / seconds
        points.append(
            {
                "batch": n,
                "output_tokens_per_s": digits(n / seconds),
                "itl_s": digits(seconds),
                "ttft_s": digits(seconds),
                "power_w": digits(min(cap, p0 + a * moved + b * n * flop / seconds)),
                "origin": "published" if n == 1 else "derived",
                "source": "qwen" if n == 1 else "arithmetic",
                "origins": {"power_w": "assumed"} | ({"ttft_s": "derived"} if n == 1 else {}),
            }
        )
    kv_tokens = (H20_MEMORY - STORED_BF16) // KV_BYTES
    carried = "the H100's: the same family of chips, other clocks"
    return {
        "format": "payload-profile",
        "version": 1,
        "device": "H20 96GB",
        "model": "Qwen3-8B",
        "precision": "bf16",
        "dtype": "bf16",
        "engine": {"name": "SGLang", "version": "0.4.6.post1"},
        "origin": "derived",
        "workload": {
            "input_len": 1,
            "output_len": GENERATED,
            "note": "one request as published; larger batches are derived for the same lengths",
        },
        "statistics": {
            "output_tokens_per_s": "whole run; batch 1 from (prompt + generated) / time",
            "itl_s": "batch / throughput",
            "ttft_s": "one step: the prompt is one token",
            "power_w": "board, assumed",
        },
        "points": points,
        "power": {
            "idle_w": q(p0, "assumed", "h20-readout", [70, 140], "read on its sister of 141 GB"),
            "p0_w": q(p0, "assumed", "h20-readout", [70, 200], "taken as idle"),
            "a_j_per_byte": q(a, "assumed", "h100-profile", [0.7 * a, 1.3 * a], carried),
            "b_j_per_flop": q(b, "assumed", "h100-profile", [0.7 * b, 1.3 * b], carried),
            "cap_w": q(cap, "published", "h20-readout"),
        },
        "step_model": {
            "t0_s": q(host, "derived", "qwen", note=f"{t0 * 1e6:.1f} us a layer, 36 layers"),
            "weight_bytes_read_per_step": q(READ_BF16, "derived", "config"),
            "kv_bytes_per_token": q(KV_BYTES, "derived", "config", n=6),
            "flop_per_token": q(flop, "derived", "config"),
            "bandwidth_bytes_per_s": q(
                bandwidth,
                "derived",
                "qwen",
                note=f"six models in bf16 at batch 1, residual: {told(off['fitted'])}",
            ),
            "compute_flop_per_s": q(
                compute,
                "assumed",
                "h100-profile",
                [0.5 * compute, 0.9 * peak_flop],
                f"{share:.2f} of the data sheet, as on the H100: nothing was published",
            ),
            "mean_context": q(H20_CONTEXT, "derived", "qwen"),
            "peak_bandwidth_bytes_per_s": q(peak_bytes, "published", "h20-sheet", note="recalled"),
            "peak_flop_per_s": q(peak_flop, "published", "h20-sheet", note="recalled"),
        },
        "limits": {
            "max_batch": q(
                kv_tokens // (1 + GENERATED),
                "derived",
                "h20-sheet",
                note="all sequences at full length",
            ),
            "kv_tokens": q(
                kv_tokens, "derived", "h20-sheet", note="0.85 of 96 GB, less weights", n=6
            ),
        },
        "weights_gb": q(STORED_BF16 / 1e9, "derived", "config"),
        "throttle": {
            "start_k": q(360.15, "assumed", "hopper-readouts", [356.15, 362.15], "as H100", n=5),
            "full_k": q(368.15, "assumed", "hopper-readouts", [362.15, 370.15], "as H100", n=5),
        },
        "uncertainty": {
            "throughput": [digits(lowest, 3), digits(highest, 3)],
            "active_power": [0.7, 1.3],
            "idle_power": [0.6, 1.2],
            "note": f"batch 1 as published; held out, speed is off by {held}. Above batch 1 all is"
            " extrapolated: lowest as where batches are known, highest had it the H100's share of"
            " bandwidth and 0.9 of its own arithmetic. Power assumed",
        },
        "sources": made.sources(
            "qwen",
            "config",
            "h20-sheet",
            "h20-readout",
            "h100-profile",
            "hopper-readouts",
            "arithmetic",
            facts=FACTS | H20,
        ),
        "notes": [
            f"Two numbers from six rows (bf16, input 1): {told(off['fitted'])}. Held out: {held}.",
            "In bf16 one request reaches"
            f" {bandwidth / peak_bytes:.0%} of the nominal bandwidth (H100: {share_bytes:.0%})."
            " fp8 is faster than the law says and int4 slower, so the rest is the kernels'.",
            "From batch 1 alone, known over predicted: "
            + "; ".join(
                f"{k} {min(x):.2f} to {max(x):.2f}" if len(x) > 1 else f"{k} {x[0]:.2f} at batch 8"
                for k, x in cost.items()
            )
            + ". The H100's compute was fitted to itself, the others' kernels are int4.",
        ],
    }


IDLE, BUSY = 3.0, 9.0
CPU = {"idle_w": [1.5, 5.0], "p0_w": [1.5, 5.0], "cap_w": [5.4, 20.0]}


def rounded(part):
    if isinstance(part, dict):
        return {k: rounded(v) for k, v in part.items()}
    if isinstance(part, list):
        return [rounded(v) for v in part]
    return digits(part) if isinstance(part, float) else part


def cpu():
    """Two cores of an EPYC (Zen 3): measured here; watts assumed."""
    campaign = read("cpu-epyc-zen3/qwen3-0.6b-fp32.json")
    seen, apart = split(campaign, None)
    judged = fit(seen, apart)
    whole = replace(fit(campaign), held_out=judged.held_out, covered=judged.covered)
    found = rounded(profile(whole, campaign, IDLE, BUSY))
    for name, ends in CPU.items():
        found["power"][name] |= {"range": ends, "note": "two of 64 cores: see notes"}
    found["uncertainty"] |= {"active_power": [0.6, 2.2], "idle_power": [0.5, 1.67]}
    found["sources"].append(
        {
            "id": "epyc-power",
            "title": "AnandTech, AMD EPYC Milan review, 2021-03: packages idle near 100 W, up to"
            " 111 W; TDP of 64 cores 280 W (EPYC 7763)",
        }
    )
    n = whole.numbers
    law = found["step_model"]
    short = []
    for point in found["points"]:
        held = point["output_tokens_per_s"] * point["itl_s"]
        size, kv, flop = (
            law[k]["value"]
            for k in ("weight_bytes_read_per_step", "kv_bytes_per_token", "flop_per_token")
        )
        lasts = held * n.each + step(
            held, n.t0, size, kv, law["mean_context"]["value"], flop, n.bandwidth, n.rate
        )
        short.append(lasts / point["itl_s"] - 1)
    found["notes"] = [
        f"Power was not measured: {IDLE:g} W at rest and {BUSY:g} W busy are two 64ths of 100 W and"
        " 280 W, a Zen 3 package of 64 cores at rest and at its TDP. How many cores the package"
        " has was not told, and its I/O die does not shrink with a share of cores: wide ranges.",
        f"The step model has no part for entering prompts: its steps are {max(short):+.0%} to"
        f" {min(short):+.0%} off the measured gaps. The points are what the twin flies.",
        "Repeats of the campaign differ by up to 23 %: see its file.",
        "No throttle is given: the machine's cooling is not the payload's.",
    ]
    return found


PROFILES = {
    "ascend-910b/qwen3-8b-bf16": ascend,
    "cpu-epyc-zen3/qwen3-0.6b-fp32": cpu,
    "h20/qwen3-8b-bf16": h20,
}


def text(name):
    """The file's content."""
    return json.dumps(PROFILES[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in PROFILES:
        path = made.SHELF / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(name), encoding="utf-8")
        print(path.relative_to(HERE.parents[1]), path.stat().st_size, "bytes")

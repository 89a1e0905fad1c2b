"""A payload profile from a fit, for ``twin run``, in the form ``assets/schemas/profile-1.json``.

Points are those measured, of one pair of lengths. Power is the fit's where a meter was there. Where
none was it is the user's word, marked as assumed, and nothing is estimated.
"""

import math
from typing import Any

import numpy as np

from serving.fit import Fit
from serving.measured import Measured, Point
from serving.problem import UsageProblem

SPREAD = 1.645  # standard deviations to either side that hold 90 %
UNKNOWN = 0.4  # of a power that is the user's word: how far it may be off, either way. Assumed


def profile(
    fit: Fit,
    measured: Measured,
    idle: float | None = None,
    busy: float | None = None,
    lengths: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The profile of one device, one model and one pair of lengths (default: the longest sweep).

    `idle` and `busy` are watts at rest and at the largest throughput, in the user's word: `busy`
    is taken only where power was not measured.

    Raises:
        UsageProblem: what a profile needs is missing.
    """
    points = check(measured, idle, busy, lengths)
    model, subject, n = measured.architecture, measured.subject, fit.numbers
    load = points[0].load
    context = load.input_len + load.output_len / 2
    metered = _metered(points)
    best = max(points, key=lambda p: p.seen["throughput"] or 0.0)
    in_flight = np.array([float(best.load.concurrency)])
    if metered:
        power = _fitted_power(fit, points, idle)
    else:
        power = _assumed(float(idle or 0), float(busy or 0), best, subject.flop + subject.head)
    watts, rest = power["_watts"], power.pop("_rest")
    del power["_watts"]
    name, version = _server(fit.server)
    rows = {"origin": "measured", "source": "points"}
    width = math.exp(SPREAD * fit.misses["throughput"])
    return {
        "format": "payload-profile", "version": 1,
        "device": fit.device, "model": model.name, "precision": fit.precision,
        "dtype": "fp32" if fit.precision.startswith("f") and "32" in fit.precision else "bf16",
        "engine": {"name": name, "version": version}, "origin": "measured",
        "workload": {"input_len": load.input_len, "output_len": load.output_len,
                     "note": "closed loop"},
        "statistics": {
            "output_tokens_per_s": "whole run, prefill included", "itl_s": "median",
            "ttft_s": "95th percentile",
            "power_w": "mean in the measured window" if metered else "assumed",
        },
        "points": [
            {"batch": p.load.concurrency, "output_tokens_per_s": p.seen["throughput"],
             "itl_s": p.seen["itl"], "ttft_s": p.seen["ttft"], "power_w": watts(p), **rows,
             **({} if metered else {"origins": {"power_w": "assumed"}})}
            for p in points
        ],
        "power": power,
        "step_model": {
            "t0_s": _fitted(n.t0 * subject.layers / n.layers),
            "sequence_s": _fitted(n.each, "the host's; prompts that enter are not in a step"),
            "weight_bytes_read_per_step": _shape(
                subject.weights + subject.expert * float(subject.touched(in_flight)[0])),
            "kv_bytes_per_token": _shape(subject.kv),
            "flop_per_token": _shape(subject.flop + subject.head),
            "bandwidth_bytes_per_s": _fitted(n.bandwidth),
            "compute_flop_per_s": _fitted(n.rate),
            "mean_context": _shape(context),
            "peak_bandwidth_bytes_per_s": _fitted(n.bandwidth, "as fitted: not a data sheet's"),
            "peak_flop_per_s": _fitted(n.rate, "as fitted: not a data sheet's"),
        },
        "limits": {
            "max_batch": {
                "value": float(min(fit.engine.max_num_seqs, fit.engine.kv_tokens
                                   // (load.input_len + load.output_len))),
                "origin": "derived", "source": "points",
                "note": "all sequences at full length without preemption",
            },
            "kv_tokens": {"value": float(fit.engine.kv_tokens), "origin": "measured",
                          "source": "points"},
        },
        "weights_gb": _shape(model.weight_bytes(fit.precision) / 1e9),
        "uncertainty": {
            "throughput": [1 / width, width],
            "active_power": _factors(fit.misses["power"] if metered else None),
            "idle_power": rest,
            "note": _judged(fit),
        },
        "sources": [
            {"id": "points", "title": f"{fit.source}: {model.name} in {fit.precision} on"
             f" {fit.device}, {fit.server}"},
            {"id": "fit", "title": "fitted by twin calibrate to"
             f" {fit.points} points, of which these are {len(points)}"},
            {"id": "config", "title": f"{model.name}'s config.json (assets/models)"},
            *([] if idle is None else [{"id": "user", "title": "given to twin calibrate"}]),
        ],
    }  # fmt: skip


def check(
    measured: Measured, idle: float | None, busy: float | None, lengths: tuple[int, int] | None
) -> list[Point]:
    """The points that a profile would be made of. Raises UsageProblem if it cannot be made."""
    points = _sweep(measured, lengths)
    if _metered(points):
        least = min(float(p.seen["power"] or 0.0) for p in points)
        if busy is not None:
            raise UsageProblem("--busy-w", "given beside measured power", "left out")
        if idle is not None and not 0 < idle < least:
            raise UsageProblem("--idle-w", f"{idle:g} W", f"above 0, below {least:g} W (measured)")
    elif idle is None or busy is None or not 0 < idle < busy:
        raise UsageProblem("--profile", "power was not measured",
                           "--idle-w and --busy-w, watts in your own word, the first smaller",
                           "they are marked as assumed")  # fmt: skip
    return points


def _metered(points: list[Point]) -> bool:
    return all(p.seen["power"] for p in points)


def _sweep(measured: Measured, lengths: tuple[int, int] | None) -> list[Point]:
    """The points of one pair of lengths, by rising concurrency; the first of equal ones."""
    pairs: dict[tuple[int, int], dict[int, Point]] = {}
    for p in measured.points:
        if all(p.seen[name] for name in ("throughput", "itl", "ttft")):
            own = pairs.setdefault((p.load.input_len, p.load.output_len), {})
            own.setdefault(p.load.concurrency, p)
    if not pairs:
        raise UsageProblem(measured.name, "no point has throughput, gaps and first tokens")
    chosen = lengths or max(pairs, key=lambda pair: (len(pairs[pair]), pair[1]))
    if chosen not in pairs:
        raise UsageProblem("--lengths", f"{chosen[0]}/{chosen[1]} was not measured",
                           ", ".join(f"{a}/{b}" for a, b in pairs))  # fmt: skip
    return [p for _, p in sorted(pairs[chosen].items())]


def _fitted_power(fit: Fit, points: list[Point], idle: float | None) -> dict[str, Any]:
    n, seen = fit.numbers, [float(p.seen["power"] or 0.0) for p in points]
    said = {"origin": "assumed", "source": "user", "note": "given"}
    rest = min(n.p0, min(seen) * 0.999) if idle is None else idle
    ends = [rest * (1 - UNKNOWN), min(rest * (1 + UNKNOWN), min(seen) * 0.999)]
    p0 = min(n.p0, min(seen) * 0.999)
    return {
        "idle_w": {"value": rest, "range": ends, **(
            said if idle is not None else {"origin": "derived", "source": "fit",
                                           "note": "the fit's P0: idle was not measured"})},
        "p0_w": {"value": p0, "origin": "derived", "source": "fit",
                 "note": "moves against a_j_per_byte"},
        "a_j_per_byte": _fitted(n.per_byte), "b_j_per_flop": _fitted(n.per_flop),
        "cap_w": {"value": n.cap, "origin": "published", "source": "points"}
        if math.isfinite(n.cap) else {"value": max(seen), "origin": "derived", "source": "points",
                                      "note": "no limit is known: the largest power seen"},
        "_watts": lambda p: p.seen["power"],
        "_rest": [ends[0] / rest, max(ends[1] / rest, 1.0)],
    }  # fmt: skip


def _assumed(idle: float, busy: float, best: Point, flop: float) -> dict[str, Any]:
    """Watts in the user's word: straight in the work done, from idle to busy at the best point."""
    rate = float(best.seen["throughput"] or 0.0)
    slope = (busy - idle) / rate

    def word(value: float, note: str) -> dict[str, Any]:
        ends = [value * (1 - UNKNOWN), value * (1 + UNKNOWN)]
        return {"value": value, "origin": "assumed", "source": "user", "range": ends, "note": note}

    return {
        "idle_w": word(idle, "given"), "p0_w": word(idle, "taken as idle"),
        "a_j_per_byte": {"value": 0.0, "origin": "assumed", "source": "user", "range": [0.0, 0.0],
                         "note": "all is laid on FLOP: nothing was measured"},
        "b_j_per_flop": word(slope / flop, "from the two watts given"),
        "cap_w": word(busy, "taken as busy"),
        "_watts": lambda p: idle + slope * float(p.seen["throughput"] or 0.0),
        "_rest": [1 - UNKNOWN, 1 + UNKNOWN],
    }  # fmt: skip


def _factors(miss: float | None) -> list[float]:
    if miss is None:
        return [1 - UNKNOWN, 1 + UNKNOWN]
    width = math.exp(SPREAD * miss)
    return [1 / width, width]


def _judged(fit: Fit) -> str:
    if not fit.held_out:
        return "90 %, by the law's own error; no point was held out"
    told = ", ".join(f"{k} {mean:.1%} (worst {worst:.1%})"
                     for k, (mean, worst) in fit.held_out.items())  # fmt: skip
    return f"90 %, by the law's own error; on points held out it missed {told}"


def _fitted(value: float, note: str | None = None) -> dict[str, Any]:
    said = {"value": float(value), "origin": "derived", "source": "fit"}
    return said | ({"note": note} if note else {})


def _shape(value: float) -> dict[str, Any]:
    return {"value": float(value), "origin": "derived", "source": "config"}


def _server(words: str) -> tuple[str, str]:
    name, _, version = words.partition(" ")
    return name, version or "not stated"

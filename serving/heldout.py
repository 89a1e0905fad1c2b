"""A campaign judges its own fit: one concurrency is left out, predicted, and compared.

Rule, fixed before any figure is seen: the middle one of the longest sweep. Everything else in the
closed loop is fitted. Beside the fit stand a straight line and a spline through the logarithms.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from serving import lines
from serving.fit import Band, bands_of, fit
from serving.measured import Point, read
from serving.problem import UsageProblem

LEAST = 5  # concurrencies of a sweep: with fewer, three points would be left for a dozen numbers
SHOWN = 14  # concurrencies at which the curves are drawn, about
NAMES = {"throughput": (1.0, "output tok/s"), "itl": (1e3, "ITL median, ms"),
         "ttft": (1e3, "TTFT p95, ms"), "power": (1.0, "power, W")}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """One figure of the point left out, in the unit that is shown, and what was expected."""

    figure: str
    measured: float
    fit: Band
    line: float
    spline: float

    def off(self, value: float) -> float:
        """Relative error of an expectation."""
        return value / self.measured - 1


@dataclass(frozen=True)
class HeldOut:
    """The point left out, and throughput over the concurrency by each way to expect it."""

    workload: str
    concurrency: int
    guesses: tuple[Guess, ...]
    seen: tuple[tuple[int, float], ...]  # the sweep's other points
    at: np.ndarray  # concurrencies of the curves
    fitted: np.ndarray  # (low, value, high; concurrency)
    line: np.ndarray
    spline: np.ndarray


def held_out(folder: Path, cap: float = float("inf")) -> HeldOut | str:
    """Judge the campaign in a folder; a sentence where it cannot be."""
    try:
        whole = read(str(folder))
        subject = whole.subject
    except UsageProblem as error:
        return str(error)
    sweeps: dict[tuple[int, int], list[Point]] = {}
    for point in whole.points:
        if point.seen["throughput"] and point.seen["itl"]:
            sweeps.setdefault((point.load.input_len, point.load.output_len), []).append(point)
    sweep = sorted(max(sweeps.values(), key=len, default=[]), key=lambda p: p.load.concurrency)
    steps = sorted({p.load.concurrency for p in sweep})
    if len(steps) < LEAST:
        return f"the longest sweep has {len(steps)} concurrencies; at least {LEAST} are needed"
    middle = steps[len(steps) // 2]
    out = next(p for p in sweep if p.load.concurrency == middle)
    rest = [p for p in whole.points if p.load.concurrency != middle or p not in sweep]
    try:
        found = fit(whole.only(rest), None, cap)
        bands = bands_of(found, out.load, subject, whole.engine)
    except (UsageProblem, ValueError) as error:
        return str(error)
    guesses = []
    for name, (unit, words) in NAMES.items():
        value = out.seen[name]
        if value and name in bands:
            b = bands[name]
            guesses.append(Guess(
                words, value * unit, Band(b.value * unit, b.low * unit, b.high * unit),
                lines.straight_line(rest, out.load, name) * unit,
                lines.spline(rest, out.load, name) * unit,
            ))  # fmt: skip
    between = np.geomspace(steps[0], steps[-1], SHOWN).round().astype(int)
    at = np.array(sorted({*between.tolist(), *steps}))
    rounds = out.load.num_prompts / middle
    loads = [replace(out.load, concurrency=n, num_prompts=max(int(n * rounds), n)) for n in at]
    curve = [bands_of(found, load, subject, whole.engine)["throughput"] for load in loads]
    return HeldOut(
        workload=out.workload, concurrency=middle, guesses=tuple(guesses),
        seen=tuple((p.load.concurrency, p.seen["throughput"] or 0.0)
                   for p in sweep if p is not out),
        at=at, fitted=np.array([(b.low, b.value, b.high) for b in curve]).T,
        line=np.array([lines.straight_line(rest, load) for load in loads]),
        spline=np.array([lines.spline(rest, load) for load in loads]),
    )  # fmt: skip

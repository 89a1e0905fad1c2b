"""What needs no model: a straight line or a spline through logarithms, to be compared with.

Both know the workload whose lengths are nearest, and nothing of the machine. Inside a sweep a
spline is hard to beat; to other lengths, caches, precisions or models neither can be carried.
"""

from collections.abc import Iterable

import numpy as np
from scipy.interpolate import PchipInterpolator

from serving.measured import Point
from serving.schedule import Load


def straight_line(points: Iterable[Point], load: Load, name: str = "throughput") -> float:
    """A figure by least squares of its logarithm on that of the concurrency (SI as measured)."""
    x, y = _sweep(points, load, name)
    at = np.log(load.concurrency)
    if len(x) < 2:
        return float(np.exp(y[0]))
    return float(np.exp(np.polyval(np.polyfit(x, y, 1), at)))


def spline(points: Iterable[Point], load: Load, name: str = "throughput") -> float:
    """A figure by a monotone cubic through the logarithms; held level beyond the ends."""
    x, y = _sweep(points, load, name)
    at = np.clip(np.log(load.concurrency), x[0], x[-1])
    return float(np.exp(y[0] if len(x) < 2 else PchipInterpolator(x, y)(at)))


def _sweep(points: Iterable[Point], load: Load, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of concurrency and figure of the workload with the nearest lengths, in order."""
    known = [p for p in points if p.seen[name]]

    def far(lengths: tuple[int, int]) -> float:
        return abs(np.log(lengths[0] / load.input_len)) + abs(np.log(lengths[1] / load.output_len))

    nearest = min({(p.load.input_len, p.load.output_len) for p in known}, key=far)
    own = {p.load.concurrency: p.seen[name] for p in known
           if (p.load.input_len, p.load.output_len) == nearest}  # fmt: skip
    pairs = sorted((np.log(n), np.log(value)) for n, value in own.items() if value)
    return np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])

"""What the surfaces of a satellite of 22 parts see of the Sun, against ten times the points.

The issue's measure: 500 directions, 22 parts, each a surface of its own; then whole tables of view
factors for a satellite of the default shape, with wings that track and without. `seconds` is the
median of three, without the cache; `cpu_seconds` is of all threads.

Prints one line of JSON a case: `python tests/bench/bench_geometry.py`.
"""

import json
import platform
import statistics
import time

import numpy as np

from twin.spacecraft.craft import Craft, Part, box, cylinder, default_craft, plate
from twin.spacecraft.facets import Model
from twin.spacecraft.factors import solar_cosines
from twin.spacecraft.geometry import POINTS, views
from twin.spacecraft.rays import Tracer

ROUNDS, DIRECTIONS = 3, 500


def main() -> None:
    craft = large_craft()
    sun = fibonacci(DIRECTIONS)
    begin, cpu = [], []
    for _ in range(ROUNDS):
        start, used = time.perf_counter(), time.process_time()
        area = projected(craft, sun, POINTS)
        begin.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    dense = projected(craft, sun, 10 * POINTS)
    error = area - dense
    of_sum, rms = error.sum(axis=1), np.sqrt((dense**2).mean(axis=0))
    say(
        "geometry-22-parts", begin, cpu,
        directions=DIRECTIONS,
        parts=len(craft.parts),
        rms_error=float(np.sqrt((error**2).mean() / (dense**2).mean())),
        rms_error_of_the_sum=float(np.sqrt((of_sum**2).mean() / (dense.sum(1) ** 2).mean())),
        worst_rms_of_a_part=float((np.sqrt((error**2).mean(axis=0)) / rms).max()),
    )  # fmt: skip
    for name, axes, tracking in (("one-axis", 1, True), ("two-axes", 2, True), ("rigid", 1, False)):
        design = default_craft(1.0, 12.0, 3.0, array_axes=axes)
        begin, cpu = [], []
        for _ in range(ROUNDS):
            start, used = time.perf_counter(), time.process_time()
            views(design, tracking=tracking)
            begin.append(time.perf_counter() - start)
            cpu.append(time.process_time() - used)
        say(f"geometry-default-{name}", begin, cpu)


def projected(craft: Craft, sun: np.ndarray, points: int) -> np.ndarray:
    """Lit projected areas (direction, surface), from the mesh on."""
    model = Model(craft)
    rest = model.turned(*np.zeros((2, 1)))
    lit = solar_cosines(Tracer(model, points), lambda _: rest, sun)[1]
    found = np.zeros((len(sun), len(model.surfaces)))
    for facet, surface in enumerate(model.facet_surface):
        found[:, surface] += lit[:, facet]
    return found


def large_craft() -> Craft:
    """A bus, two wings of six panels, yokes, radiators, four terminals and a dish: 22 parts."""
    parts = [Part("bus", box((3.0, 2.0, 2.0)), "bus")]
    for sign in (1, -1):
        side = "+-"[sign < 0]
        yoke = box((0.1, 0.1, 1.0), (0.0, 0.0, sign * 1.55))
        parts.append(Part(f"yoke {side}", yoke, f"yoke {side}"))
        for k in range(6):
            panel = box((0.03, 3.0, 1.9), (0.0, 0.0, sign * (3.05 + 2.0 * k)))
            parts.append(Part(f"panel {side}{k}", panel, f"panel {side}{k}"))
        radiator = plate((4.0, 1.8), f"{side}y", (0.0, sign * 1.2, 0.0))
        parts.append(Part(f"radiator {side}", radiator, f"radiator {side}"))
        for k in (1, -1):
            terminal = cylinder(0.15, 0.4, "x", (1.75, 0.7 * k, sign * 0.7))
            parts.append(Part(f"terminal {side}{k}", terminal, f"terminal {side}{k}"))
    parts.append(Part("antenna", cylinder(0.8, 0.1, "x", (-1.7, 0.0, 0.0), 24), "antenna"))
    return Craft(tuple(parts))


def fibonacci(count: int) -> np.ndarray:
    """Directions spread evenly over the sphere."""
    k = np.arange(count) + 0.5
    z, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    return np.column_stack(
        [np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z]
    )


def say(name: str, seconds: list[float], cpu: list[float], **more: float) -> None:
    row = {
        "name": name,
        "device": f"{platform.machine()}, host",
        "seconds": round(statistics.median(seconds), 3),
        "cpu_seconds": round(statistics.median(cpu), 3),
    }
    print(json.dumps(row | {k: round(v, 6) for k, v in more.items()}), flush=True)


if __name__ == "__main__":
    main()

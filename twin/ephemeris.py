"""Element sets and times in, positions and velocities out: what `twin ephemeris` prints.

Host code: nothing is compiled, each operation runs on the whole fleet and all times at once.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twin.arrays import use_64_bit
from twin.catalog import ElementSet
from twin.clock import Epoch
from twin.constants import DAY
from twin.orbits.elements import AbstractOrbit
from twin.orbits.secular import secular_from_elements
from twin.orbits.sgp4 import sgp4_orbit

FRAMES = ("teme", "gcrs", "itrf")
PROPAGATORS: dict[str, Callable[[Sequence[ElementSet], Epoch], AbstractOrbit]] = {
    "sgp4": sgp4_orbit,
    "secular": secular_from_elements,
}
OLD_ELEMENTS_DAYS = 14.0
_LATER = {
    "numerical": "the numerical propagator is not there yet",
    "oem": "OEM is not written yet",
    "kvn": "OEM is not written yet",
}
_BLOCK = 200_000  # satellite-moments at once: 40 MB


def times_between(start: Epoch, stop: Epoch, step: float) -> list[Epoch]:
    """From `start` to `stop`, both included where the step meets it."""
    span = stop.seconds_since(start)
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"the step must be above 0 s, got {step:g}")
    if span < 0:
        raise ValueError(f"stop ({stop}) is before start ({start})")
    count = int(math.floor(span / step * (1 + 1e-12) + 1e-9)) + 1
    if count > 10_000_000:
        raise ValueError(f"{count:,} times are too many: take a longer step")
    return [start.plus(k * step) for k in range(count)]


def ephemeris(
    elements: Sequence[ElementSet],
    times: Sequence[Epoch],
    *,
    frame: str = "teme",
    propagator: str = "sgp4",
) -> dict[str, Any]:
    """States of every satellite at every time, in the JSON shape of `twin ephemeris`.

    Where a satellite has no state (decayed, below the surface) its vectors are None and its
    `error` says from when on; `warnings` names sets more than 14 days from a time.
    """
    if propagator not in PROPAGATORS:
        why = _LATER.get(propagator, f"there is no propagator {propagator!r}")
        raise ValueError(f"{why}: choose {' or '.join(PROPAGATORS)}")
    if frame not in FRAMES:
        raise ValueError(f"there is no frame {frame!r}: choose {', '.join(FRAMES)}")
    if not elements or not times:
        raise ValueError("an ephemeris needs at least one element set and one time")
    use_64_bit()
    start = times[0]
    seconds = np.array([time.seconds_since(start) for time in times])
    position, velocity = _states(PROPAGATORS[propagator](elements, start), seconds)
    if frame != "teme":
        position, velocity = _turned(frame, start, seconds, position, velocity)
    decimals = 0 if all(round(t.fraction * DAY * 1e6) % 1_000_000 == 0 for t in times) else 6
    stamps = [time.text(decimals) for time in times]
    satellites = []
    for k, one in enumerate(elements):
        lost = np.asarray(np.isnan(position[:, k]).any(axis=-1))
        satellites.append(
            {
                "name": one.name,
                "norad": one.norad,
                "position_m": _listed(position[:, k], lost),
                "velocity_m_s": _listed(velocity[:, k], lost),
                "error": _error(lost, stamps),
            }
        )
    warnings = [text for one in elements if (text := _age_warning(one, times))]
    return {"frame": frame, "times": stamps, "satellites": satellites, "warnings": warnings}


def ephemeris_csv(table: dict[str, Any]) -> str:
    """The result of `ephemeris` as CSV: one line per satellite and time; empty where there is none.

    Lines of one satellite follow each other. Numbers are written in full.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    vectors = ["x_m", "y_m", "z_m", "vx_m_s", "vy_m_s", "vz_m_s"]
    writer.writerow(["time", "name", "norad", "frame", *vectors, "error"])
    for one in table["satellites"]:
        states = zip(table["times"], one["position_m"], one["velocity_m_s"], strict=True)
        for time, position, velocity in states:
            lost = position is None
            values = [""] * 6 if lost else [*position, *velocity]
            error = (one["error"] or "") if lost else ""
            writer.writerow([time, one["name"], one["norad"], table["frame"], *values, error])
    return out.getvalue()


def _states(orbit: AbstractOrbit, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities, `time sat 3`."""
    fleet = jax.vmap(lambda orbit, time: orbit.state(time), in_axes=(-1, None), out_axes=-1)
    moments = jax.vmap(fleet, in_axes=(None, 0))
    satellites = jax.tree.leaves(orbit)[0].shape[-1]
    block = max(1, _BLOCK // satellites)
    parts = [
        moments(orbit, jnp.asarray(seconds[first : first + block]))
        for first in range(0, len(seconds), block)
    ]
    position, velocity = (np.concatenate([np.asarray(p[k]) for p in parts]) for k in (0, 1))
    return np.moveaxis(position, -1, -2), np.moveaxis(velocity, -1, -2)


def _turned(
    frame: str, start: Epoch, seconds: np.ndarray, position: np.ndarray, velocity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from twin.frames import gcrs_state_from_teme, itrf_state_from_teme

    turn = itrf_state_from_teme if frame == "itrf" else gcrs_state_from_teme
    turned = [
        turn(start, seconds, position[:, k], velocity[:, k]) for k in range(position.shape[1])
    ]
    return np.stack([p for p, _ in turned], axis=1), np.stack([v for _, v in turned], axis=1)


def _listed(vectors: np.ndarray, lost: np.ndarray) -> list[list[float] | None]:
    return [None if gone else row for row, gone in zip(vectors.tolist(), lost, strict=True)]


def _error(lost: np.ndarray, stamps: list[str]) -> str | None:
    if not lost.any():
        return None
    first = stamps[int(np.argmax(lost))]
    if lost.all():
        return f"decayed or outside the model: no state at any time asked, from {first} on"
    if lost[np.argmax(lost) :].all():
        return f"decayed: below the surface from {first} on"
    return f"below the surface or outside the model at {lost.sum()} times, first at {first}"


def _age_warning(one: ElementSet, times: Sequence[Epoch]) -> str | None:
    days = max(abs(t.seconds_since(one.epoch)) for t in (min(times), max(times))) / DAY
    if days <= OLD_ELEMENTS_DAYS:
        return None
    return (
        f"{one.name} ({one.norad}): asked up to {days:.0f} days from its epoch {one.epoch};"
        " beyond 14 days an element set is a guess, get a newer one"
    )

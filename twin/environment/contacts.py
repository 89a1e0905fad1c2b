"""When a satellite enters and leaves the Earth's shadow: root-found on the host.

The geometry is that of `eclipse.py`, with angles from the library: here accuracy comes before
speed. The roots are as good as the positions and the Sun that are handed in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import elementwise

from twin.constants import EARTH_FLATTENING, EARTH_RADIUS, SUN_RADIUS

Track = Callable[[Float[np.ndarray, " time"]], Float[np.ndarray, "time 3"]]

_TOLERANCE = 1e-4  # s


@dataclass(frozen=True)
class Eclipse:
    """One passage through the shadow, in seconds since the start.

    A contact is None where it lies outside the window, and both umbra contacts are None where the
    satellite only grazes the penumbra.
    """

    penumbra_in: float | None
    umbra_in: float | None
    umbra_out: float | None
    penumbra_out: float | None


def contacts(
    positions: Track,
    sun_positions: Track,
    start: float,
    stop: float,
    flattening: float = EARTH_FLATTENING,
    step: float = 30.0,
) -> list[Eclipse]:
    """All eclipses of one satellite between `start` and `stop` (seconds).

    Both callables map times to geocentric positions in one frame with z along the Earth's axis, for
    example TEME. Contacts are found to 0.1 ms; an eclipse shorter than `step` is found too, since
    every dip of the Sun towards the limb is followed to its bottom.
    """
    if not stop > start:
        raise ValueError(f"the window must end after it starts, got {start} to {stop} s")

    def above(times: np.ndarray, size: np.ndarray) -> np.ndarray:
        shape = times.shape
        flat = times.ravel()
        clear = _clearance(positions(flat), sun_positions(flat), size.ravel(), flattening)
        return clear.reshape(shape)

    penumbra = _gaps(above, 1.0, start, stop, step)
    umbra = _gaps(above, -1.0, start, stop, step)
    eclipses = []
    for first, last in penumbra:
        inner = [gap for gap in umbra if gap[0] >= first - 1e-3 and gap[1] <= last + 1e-3]
        # A window may begin or end in the umbra; otherwise each penumbra holds at most one.
        dark = inner[0] if inner else (None, None)
        eclipses.append(
            Eclipse(*(_inside(t, start, stop) for t in (first, dark[0], dark[1], last)))
        )
    return eclipses


def _clearance(
    position: np.ndarray, sun_position: np.ndarray, size: np.ndarray, flattening: float
) -> np.ndarray:
    """Angle from the Earth's limb to the Sun's centre, less `size` angular radii of the Sun.

    The stretch that makes the Earth round is applied to the Sun's disc as well, and undone in the
    one direction that matters: across the limb.
    """
    stretch = np.array([1.0, 1.0, 1.0 / (1.0 - flattening)])
    position, to_sun = position * stretch, (sun_position - position) * stretch
    radius, distance = (np.linalg.norm(v, axis=-1) for v in (position, to_sun))
    cosine = -np.sum(position * to_sun, axis=-1) / (radius * distance)
    across = position / radius[:, None] + cosine[:, None] * to_sun / distance[:, None]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    sun_radius = SUN_RADIUS * np.linalg.norm(across * stretch, axis=-1)
    between = np.arccos(np.clip(cosine, -1.0, 1.0))
    return between - np.arcsin(EARTH_RADIUS / radius) - size * np.arcsin(sun_radius / distance)


def _gaps(
    above: Callable[[np.ndarray, np.ndarray], np.ndarray],
    size: float,
    start: float,
    stop: float,
    step: float,
) -> list[tuple[float, float]]:
    """Intervals in which `above` is negative, cut at the ends of the window."""
    times = np.linspace(start, stop, max(3, int(np.ceil((stop - start) / step)) + 1))
    values = above(times, np.full_like(times, size))
    dips = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] <= values[2:])) + 1
    dips = dips[values[dips] > 0]  # a dip below zero shows as a change of sign already
    if dips.size:
        bottom = elementwise.find_minimum(
            above,
            (times[dips - 1], times[dips], times[dips + 1]),
            args=(np.full(dips.size, size),),
            tolerances={"xatol": 1e-3, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
        )
        times = np.concatenate([times, np.asarray(bottom.x)])
        values = np.concatenate([values, np.asarray(bottom.f_x)])
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    change = np.flatnonzero((values[:-1] < 0) != (values[1:] < 0))
    edges = np.array([])
    if change.size:
        found = elementwise.find_root(
            above,
            (times[change], times[change + 1]),
            args=(np.full(change.size, size),),
            tolerances={"xatol": _TOLERANCE, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
        )
        edges = np.asarray(found.x)
    ends = [start] if values[0] < 0 else []
    ends += edges.tolist()
    ends += [stop] if values[-1] < 0 else []
    return list(zip(ends[::2], ends[1::2], strict=True))


def _inside(time: float | None, start: float, stop: float) -> float | None:
    return None if time is None or time in (start, stop) else float(time)

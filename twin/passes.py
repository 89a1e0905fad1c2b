"""When satellites stand over stations: single passes, and how much of the time somebody is there.

Host functions. Positions are TEME of date in metres at seconds since `start`; the Earth turns by
the sidereal angle alone (no polar motion), elevations are geometric as in `network/ground.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import elementwise

from twin.clock import Epoch
from twin.constants import DEG
from twin.frames import earth_rotation, geodetic_position, geodetic_up, rotate_z
from twin.network.ground import Station, Stations, contact_margin, place
from twin.orbits.elements import AbstractOrbit

Track = Callable[[Float[np.ndarray, " time"]], Float[np.ndarray, "time 3"]]
FleetTrack = Callable[[Float[np.ndarray, " time"]], Float[Array, "time 3 sat"]]

_TOLERANCE = 1e-3  # s
_BLOCK = 256  # moments one satellite is evaluated at together


@dataclass(frozen=True)
class Pass:
    """One pass over one station.

    Rise or set is None where the satellite is already, or still, up at the window's edge;
    culmination is None where the highest moment of the pass lies outside the window. Then the
    maximum elevation is that within the window, and `note` says so.
    """

    station: str
    rise: Epoch | None
    culmination: Epoch | None
    set: Epoch | None
    max_elevation_deg: float
    note: str = ""


def passes(
    positions: Track,
    stations: Sequence[Station],
    mask_deg: float,
    start: Epoch,
    stop: Epoch,
    step: float = 30.0,
) -> list[Pass]:
    """All passes of one satellite above `mask_deg` between `start` and `stop`, in order of time.

    Times are root-found to a millisecond; every culmination between samples of `step` seconds is
    followed to its top, so short passes are not missed in low orbit. A satellite that never sets
    gives one pass without rise and set.
    """
    _check(mask_deg)
    duration = stop.seconds_since(start)
    if not duration > 0:
        raise ValueError(f"passes: the window must end after it starts, got {start} to {stop}")
    times = np.linspace(0.0, duration, max(3, int(np.ceil(duration / step)) + 1))
    track = _ground_track(positions, start)
    coarse = track(times)
    found: list[tuple[float, Pass]] = []
    for station in stations:
        found += _station_passes(track, times, coarse, station, mask_deg, start)
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class ContactStatistics:
    """How much of one window some satellite stands over some station."""

    share: float
    """Of the time: at least one satellite above the mask of at least one station."""
    chance: float
    """That a random moment meets a contact within the wait, one in progress included."""


def contact_statistics(
    fleets: Sequence[FleetTrack],
    stations: Sequence[Station],
    mask_deg: float | Sequence[float],
    start: Epoch,
    *,
    begin: float = 0.0,
    window: float = 2 * 86_400.0,
    windows: int = 1,
    wait: float = 90.0,
    step: float = 10.0,
    chunk: int = 64,
) -> list[ContactStatistics]:
    """Contact of a fleet with any of its stations, for consecutive windows from `begin` (s).

    `mask_deg` is one for all stations, or one each. `fleets` are disjoint parts of one fleet, see
    `fleet_tracks`: a part is evaluated only where the parts before it left a moment without
    contact. Rise and set are interpolated between samples, so at 10 s they are good to 0.1 s;
    contacts shorter than a step may be missed. Positions are asked for up to `wait` and one chunk
    beyond the last window. A satellite whose position is NaN is never in contact. `chunk` moments
    are evaluated together: with few satellites, many; with thousands, few enough for a cache.
    """
    masks = np.broadcast_to(np.asarray(mask_deg, dtype=np.float64), (len(stations),))
    for mask in masks:
        _check(float(mask))
    if not (window > 0 and windows > 0 and wait >= 0 and step > 0):
        raise ValueError("contact statistics: window, windows and step must be above zero")
    ground = place(stations, (masks * DEG).tolist())
    count = int(np.ceil((windows * window + wait) / step)) + 1
    times = begin + step * np.arange(chunk * int(np.ceil(count / chunk)))
    angles = earth_rotation(start, times)
    best = np.full(times.shape, -2.0)
    for first in range(0, len(times), chunk):
        part = slice(first, first + chunk)
        for fleet in fleets:
            if (best[part] >= 0).all():
                break
            moment = jnp.asarray(angles[part])
            margins = np.asarray(_margins(jnp.asarray(fleet(times[part])), moment, ground))
            best[part] = np.maximum(best[part], margins.max(axis=1))
    rise, fall = _up(times[:count], best[:count])
    result = []
    for k in range(windows):
        low, high = begin + k * window, begin + (k + 1) * window
        shares = (_covered(rise - lead, fall, low, high) / window for lead in (0.0, wait))
        result.append(ContactStatistics(*shares))
    return result


def fleet_tracks(orbits: AbstractOrbit, sample: int = 200) -> list[FleetTrack]:
    """A stacked fleet as callables: first about `sample` satellites, evenly strided, then the rest.

    A large fleet is often always in view already by its sample. This is one of the places outside
    `rollout` that compile: a window of a fleet has too many moments for Python.
    """
    count = jax.tree.leaves(orbits)[0].shape[-1]
    first = np.zeros(count, dtype=bool)
    first[:: max(1, count // sample)] = True
    return [
        _track(jax.tree.map(lambda leaf, part=part: leaf[..., part], orbits))
        for part in (np.flatnonzero(first), np.flatnonzero(~first))
        if part.size
    ]


def satellite_track(orbits: AbstractOrbit, index: int | None = None) -> Track:
    """One satellite as a callable for `passes`: the only one, or the `index`-th of a stacked fleet.

    Compiled once, for blocks of moments (see `fleet_tracks`), since a root-finder asks for any
    number of them.
    """
    orbit = orbits if index is None else jax.tree.map(lambda leaf: leaf[..., index], orbits)

    def track(times: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3"]:
        padded = np.resize(times, -(-len(times) // _BLOCK) * _BLOCK).reshape(-1, _BLOCK)
        rows = [np.asarray(_block(orbit, jnp.asarray(row))) for row in padded]
        return np.concatenate(rows)[: len(times)]

    return track


@eqx.filter_jit
def _block(orbit: AbstractOrbit, times: Float[Array, " time"]) -> Float[Array, "time 3"]:
    """Positions at a block of moments, compiled once for every satellite. See `fleet_tracks`."""
    return jax.vmap(lambda time: orbit.state(time)[0])(times)


def _track(orbits: AbstractOrbit) -> FleetTrack:
    """Compiled, see `fleet_tracks`."""

    @jax.jit
    @jax.vmap
    def together(time: Float[Array, ""]) -> Float[Array, "3 sat"]:
        one = jax.vmap(lambda orbit: orbit.state(time)[0], in_axes=-1, out_axes=-1)
        return one(orbits)

    return lambda times: together(jnp.asarray(times))


@eqx.filter_jit
def _margins(
    positions: Float[Array, "time 3 sat"], angles: Float[Array, " time"], stations: Stations
) -> Float[Array, "time sat"]:
    """Largest `contact_margin` over the stations. Compiled, see `fleet_tracks`.

    The few stations are turned into TEME rather than the many satellites into ITRF. The maximum
    over satellites is left to NumPy, which is five times as fast at it on a CPU.
    """

    def best(position: Float[Array, "3 sat"], angle: Float[Array, ""]) -> Float[Array, "sat"]:
        turn = jax.vmap(rotate_z, in_axes=(-1, None), out_axes=-1)
        turned = Stations(
            turn(stations.position, angle), turn(stations.up, angle), stations.sine_mask
        )
        result = jnp.full(position.shape[1:], -2.0)
        for k in range(stations.sine_mask.shape[0]):
            station = jax.tree.map(lambda leaf, k=k: leaf[..., k], turned)
            result = jnp.maximum(
                result, jax.vmap(contact_margin, in_axes=(-1, None))(position, station)
            )
        return jnp.where(jnp.isnan(result), -2.0, result)

    return jax.vmap(best)(positions, angles)


def _up(times: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the spans where `margin`, taken as straight between samples, is >= 0."""
    up = margin >= 0
    change = np.flatnonzero(up[:-1] != up[1:])
    part = margin[change] / (margin[change] - margin[change + 1])
    edges = times[change] + part * (times[change + 1] - times[change])
    edges = np.concatenate([times[:1][up[:1]], edges, times[-1:][up[-1:]]])
    return edges[::2], edges[1::2]


def _covered(rise: np.ndarray, fall: np.ndarray, low: float, high: float) -> float:
    """Length of the union of the spans within [low, high]; spans are in order of time."""
    rise, fall = np.clip(rise, low, high), np.clip(fall, low, high)
    if not len(rise):
        return 0.0
    reached = np.maximum.accumulate(np.concatenate([[low], fall]))[:-1]
    return float(np.maximum(fall - np.maximum(rise, reached), 0.0).sum())


def _station_passes(
    track: Track,
    times: np.ndarray,
    coarse: np.ndarray,
    station: Station,
    mask_deg: float,
    start: Epoch,
) -> list[tuple[float, Pass]]:
    place_itrf, up = _place(station)
    sine_mask = np.sin(mask_deg * DEG)

    def below(moments: np.ndarray) -> np.ndarray:
        seen = _sine_elevation(track(moments.ravel()), place_itrf, up)
        return sine_mask - seen.reshape(moments.shape)

    values = sine_mask - _sine_elevation(coarse, place_itrf, up)
    tops = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] <= values[2:])) + 1
    tops = tops[values[tops] < 0.2]  # a pass rises by less than that between samples
    if tops.size:
        top = elementwise.find_minimum(
            below,
            (times[tops - 1], times[tops], times[tops + 1]),
            tolerances={"xatol": 0.01, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
        )
        top_times, top_values = np.asarray(top.x), np.asarray(top.f_x)
    else:
        top_times, top_values = np.array([]), np.array([])
    grid = np.concatenate([times, top_times])
    order = np.argsort(grid, kind="stable")
    grid, level = grid[order], np.concatenate([values, top_values])[order]
    change = np.flatnonzero((level[:-1] < 0) != (level[1:] < 0))
    edges = np.array([])
    if change.size:
        edges = np.asarray(
            elementwise.find_root(
                below,
                (grid[change], grid[change + 1]),
                tolerances={"xatol": _TOLERANCE, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
            ).x
        )
    first, last = float(times[0]), float(times[-1])
    ends = ([first] if level[0] < 0 else []) + edges.tolist() + ([last] if level[-1] < 0 else [])
    result = []
    for rise, fall in zip(ends[::2], ends[1::2], strict=True):
        inside = (top_times > rise) & (top_times < fall)
        candidates = [
            *zip(top_times[inside], top_values[inside], strict=True),
            *((t, float(below(np.array([t]))[0])) for t in (rise, fall) if t in (first, last)),
        ]
        best, value = min(candidates, key=lambda pair: pair[1])
        open_start, open_stop = rise == first and level[0] < 0, fall == last and level[-1] < 0
        notes = ["already up at the start"] if open_start else []
        notes += ["still up at the end"] if open_stop else []
        at_edge = best in (first, last)
        notes += ["highest outside the window"] if at_edge else []
        item = Pass(
            station=station.name,
            rise=None if open_start else start.plus(rise),
            culmination=None if at_edge else start.plus(float(best)),
            set=None if open_stop else start.plus(fall),
            max_elevation_deg=float(np.degrees(np.arcsin(np.clip(sine_mask - value, -1, 1)))),
            note=", ".join(notes),
        )
        result.append((rise, item))
    return result


def _ground_track(positions: Track, start: Epoch) -> Track:
    """The same positions in ITRF."""

    def track(times: np.ndarray) -> np.ndarray:
        angle = earth_rotation(start, times)
        sine, cosine = np.sin(angle), np.cos(angle)
        x, y, z = np.moveaxis(np.asarray(positions(times)), 1, 0)
        extra = (np.newaxis,) * (x.ndim - 1)
        sine, cosine = sine[(..., *extra)], cosine[(..., *extra)]
        return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=1)

    return track


def _sine_elevation(position: np.ndarray, place: np.ndarray, up: np.ndarray) -> np.ndarray:
    x, y, z = (position[:, k] - place[k] for k in range(3))
    return (x * up[0] + y * up[1] + z * up[2]) / np.sqrt(x * x + y * y + z * z)


def _place(station: Station) -> tuple[np.ndarray, np.ndarray]:
    position = geodetic_position(station.latitude_deg, station.longitude_deg, station.altitude_m)
    return position, geodetic_up(station.latitude_deg, station.longitude_deg)


def _check(mask_deg: float) -> None:
    if not 0.0 <= mask_deg < 90.0:
        raise ValueError(f"the elevation mask must be from 0 to below 90 degrees, got {mask_deg}")

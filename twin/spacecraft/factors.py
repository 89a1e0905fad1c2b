"""Tables of what a satellite's surfaces see of the Sun, the Earth and each other.

All tables here are by facet and sums over its area (m²); `by_surface` makes means of them. Faces
are diffuse. What a facet sees with nothing in the way is exact; rays tell the blocked share.

Source: Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-43 (a planar element
to a sphere); Howell, Mengüç & Siegel, Thermal Radiation Heat Transfer (2016), chapters 5 and 10.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from twin.spacecraft.facets import INSIDE, INSULATED, Model, kronecker
from twin.spacecraft.rays import SPACE, Tracer

LATITUDES = np.radians(np.arange(-90.0, 91.0, 5.0))
LONGITUDES = np.radians(np.arange(0.0, 360.0, 5.0))
EXCHANGE_POINTS = 1024  # sample points on a surface, for what it sees of the others
RAY_SETS = 256  # of rays to the Earth
CHUNK = 250_000  # points times directions at once


def unit(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Directions (n, 3) in the body frame from two angles (rad)."""
    out = np.cos(latitude)
    return np.column_stack([out * np.cos(longitude), out * np.sin(longitude), np.sin(latitude)])


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude (rad) of all directions of the tables, latitude by latitude."""
    latitude, longitude = np.meshgrid(LATITUDES, LONGITUDES, indexing="ij")
    return latitude.ravel(), longitude.ravel()


def solar_cosines(
    tracer: Tracer, turns: Callable[[slice], np.ndarray], towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Projected areas (n, facet) in m² towards the Sun at `towards` (n, 3): bare, and lit."""

    def part(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
        turn, sun = turns(chunk), towards[chunk]
        exact = _projected(tracer.model, turn, sun)
        traced = tracer.trace(turn, sun[:, None], tracer.threats(turn, sun) & (exact > 0))
        lit = exact.copy()
        lit[traced.case, traced.facet] *= 1.0 - traced.lost_share()
        return exact, lit

    found = _parallel(part, len(towards), len(tracer.joint))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def plate_to_sphere(square: float, cosine: np.ndarray) -> np.ndarray:
    """View factor of a small plate to a sphere, by B-43.

    `square` is (radius / distance)², `cosine` that of the plate's normal to the sphere's centre.
    """
    sine_horizon = np.sqrt(square)
    edge = np.clip(cosine, -sine_horizon, sine_horizon)
    sine = np.sqrt(1.0 - edge * edge)
    horizon = np.sqrt(1.0 - square)
    cut = np.arccos(np.clip(horizon / sine, -1, 1))
    cut -= horizon * np.sqrt(np.maximum(square - edge * edge, 0))
    cut += square * edge * np.arccos(np.clip(-horizon * edge / (sine_horizon * sine), -1, 1))
    whole = np.where(cosine > 0, square * cosine, 0.0)
    return np.where(np.abs(cosine) < sine_horizon, cut / np.pi, whole)


def earth_of_rigid(
    model: Model,
    horizons: tuple[float, float],
    exact: np.ndarray,
    lit: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The Earth's view factors by its direction, and the view (surface,) of the whole sky.

    What is lit from a direction sees that direction: the Earth's disc is a sum of them.
    """
    latitude, longitude = grid()
    towards = unit(latitude, longitude)
    earth = []
    for square in horizons:
        disc = _disc_weights(square)
        bare, seen = _convolved(disc, exact), _convolved(disc, lit)
        share = np.where(bare > 1e-9, seen / np.maximum(bare, 1e-9), 1.0)
        plain = on_grid((_facing(model, model.turned(*np.zeros((2, 1))), square, towards),))[0]
        earth.append(by_surface(model, plain * np.minimum(share, 1.0)))
    ring = _disc_weights(None)[0]
    bare, seen = (np.einsum("ab,fab->f", ring, table) for table in (exact, lit))
    area = np.bincount(model.facet_surface, model.facet_area * seen / bare)
    return np.array(earth), area / model.area


def earth_of_tracking(tracer: Tracer, horizons: tuple[float, float], axes: int) -> np.ndarray:
    """The Earth's view factors, with it at -x, by the Sun's direction, which the wings follow.

    With two axes the blocked part is worked out every 10 degrees and interpolated by cubics. Rays
    differ from case to case, so that their noise is averaged along an orbit instead of shared.
    """
    model = tracer.model
    coarse = 2 if axes == 2 else 1
    north = LATITUDES[::2] if axes == 2 else np.zeros(1)
    latitude, longitude = (
        x.ravel() for x in np.meshgrid(north, LONGITUDES[::coarse], indexing="ij")
    )
    down = np.array([[-1.0, 0.0, 0.0]])
    many = 4 if axes == 2 else 8

    def lost(turns: np.ndarray, threats: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Shares (2, n, facet) that sets of rays find blocked; of each case those in a row."""
        found = np.zeros((2, *threats.shape[1:]))
        for which in chosen.T:
            ray = _disc_rays(tracer.points.step + which[:, None] * 7919, horizons[1])
            traced = tracer.trace(turns, ray, threats)
            down = -ray[traced.case[traced.cell] if len(ray) > 1 else 0, traced.point, 0]
            for h, square in enumerate(horizons):
                share = traced.lost_share(down >= np.sqrt(1.0 - square))
                found[h][traced.case, traced.facet] += share / chosen.shape[1]
        return found

    # What fixed parts hide from each other is the same in every case: there, more rays are cheap.
    fixed = np.array([joint.axes == 0 for joint in model.joints])
    rest = model.turned(*np.zeros((2, 1)))
    still = tracer.threats(rest, None) & fixed[:, None, None] & fixed[model.facet_joint]
    each = [lost(rest, still, np.array([[k]])) for k in range(RAY_SETS)]
    single = np.concatenate(each, axis=1)  # (2, set, facet)
    sets = np.arange(len(latitude) * many).reshape(-1, many) % RAY_SETS

    def part(chunk: slice) -> np.ndarray:
        turns = model.turned(latitude[chunk], longitude[chunk])
        plain = np.array([_facing(model, turns, square, down) for square in horizons])
        share = lost(turns, tracer.threats(turns, None), sets[chunk])
        correction = single.mean(axis=1, keepdims=True) - single[:, sets[chunk]].mean(axis=2)
        return plain * np.clip(share + correction, 0.0, 1.0)

    shape = (2, len(north), len(LONGITUDES) // coarse, -1)
    found = _parallel(part, len(latitude), many * len(tracer.joint))
    hidden = np.concatenate(found, axis=1).reshape(shape)
    if axes == 2:
        hidden = finer(hidden)
    hidden = np.broadcast_to(hidden, (2, len(LATITUDES), *hidden.shape[2:]))
    latitude, longitude = grid()
    turns = model.turned(latitude, longitude)
    plain = [on_grid((_facing(model, turns, square, down),))[0] for square in horizons]
    seen = np.maximum(np.array(plain) - np.moveaxis(hidden, 3, 1), 0.0)
    return np.array([by_surface(model, one) for one in seen])


def exchange(model: Model, axes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """View factors between surfaces, of a surface to itself, and to the sky, as means.

    And of each part of the model the share (part, part) that sees but the inside of another.
    """
    tracer = Tracer(model, EXCHANGE_POINTS)
    points, cases = tracer.points, (24, 24, 48)[axes]
    helper = np.where(np.abs(points.normal[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(points.normal, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(points.normal, first)
    surface = model.facet_surface[points.facet]
    size, owner, parts = len(model.surfaces), model.facet_part[points.facet], len(model.parts)

    def part(chunk: slice) -> np.ndarray:
        met, sunk = np.zeros((size, size + 3)), np.zeros((parts, parts))
        for case in range(chunk.start, chunk.stop):
            sine = 2 * (case + 0.5) / cases - 1 if axes == 2 else 0.0
            turn = 2 * np.pi * (kronecker(np.array([case]), 1) if axes == 2 else case / cases)
            turns = model.turned(np.arcsin([sine]), np.reshape(turn, 1))
            step = points.step + case * EXCHANGE_POINTS
            radius, angle = np.sqrt(kronecker(step, 0)), 2 * np.pi * kronecker(step, 1)
            ray = (radius * np.cos(angle))[:, None] * first
            ray += (radius * np.sin(angle))[:, None] * second
            ray += np.sqrt(1 - radius**2)[:, None] * points.normal
            seen, which = tracer.first(turns, tracer.into_body(ray, turns, places=False))
            cell = surface * (size + 3) + np.where(seen < 0, size - 1 - seen, seen)
            met += np.bincount(cell, points.weight, met.size).reshape(met.shape)
            lost = seen == INSIDE
            pair = owner[lost] * parts + which[lost]
            sunk += np.bincount(pair, points.weight[lost], sunk.size).reshape(sunk.shape)
        return np.concatenate([met.ravel(), sunk.ravel()])

    total = np.sum(_parallel(part, cases, CHUNK // 4), axis=0) / cases
    factor = total[: size * (size + 3)].reshape(size, -1) / model.area[:, None]
    sunk = total[size * (size + 3) :].reshape(parts, parts) / model.part_area[:, None]
    inner = factor[:, :size]
    own = np.diag(inner) + factor[:, size - 1 - INSULATED] + factor[:, size - 1 - INSIDE]
    # The error of a sum of rays goes with its own area: this mean of both ways weighs them so.
    inverse = 1.0 / model.area
    others = (inner + inner.T) / (1.0 + model.area[:, None] * inverse)
    np.fill_diagonal(others, 0.0)
    return others, own, factor[:, size - 1 - SPACE], sunk


def _projected(model: Model, turns: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Areas (n, facet) projected to the Sun with nothing in the way."""
    vectors, facet = model.bins
    found = np.empty((len(sun), len(vectors)))
    for j, turn in enumerate(turns):
        mine = model.facet_joint[facet] == j
        found[:, mine] = np.maximum(_into(sun, turn) @ vectors[mine].T, 0.0)
    return np.add.reduceat(found, np.flatnonzero(np.diff(facet, prepend=-1)), axis=1)


def _facing(model: Model, turns: np.ndarray, square: float, centre: np.ndarray) -> np.ndarray:
    """Area times view factor (n, facet) to a sphere towards `centre`, with nothing in the way."""
    vectors, facet = model.bins
    size = np.linalg.norm(vectors, axis=1)
    found = np.empty((max(len(centre), turns.shape[1]), len(vectors)))
    for j, turn in enumerate(turns):
        mine = model.facet_joint[facet] == j
        cosine = _into(centre, turn) @ (vectors[mine] / size[mine, None]).T
        found[:, mine] = size[mine] * plate_to_sphere(square, cosine)
    return np.add.reduceat(found, np.flatnonzero(np.diff(facet, prepend=-1)), axis=1)


def _into(direction: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Directions (n, 3) of the body frame in the frame of a joint."""
    return (direction[:, None, :] @ turn)[:, 0]


def by_surface(model: Model, table: np.ndarray) -> np.ndarray:
    """Means (surface, ...) of what (facet, ...) sums over areas."""
    found = np.zeros((len(model.area), *table.shape[1:]))
    np.add.at(found, model.facet_surface, table)
    return found / model.area.reshape(-1, *[1] * (table.ndim - 1))


def on_grid(tables: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Tables (n, facet) as (facet, latitude, longitude)."""
    return [table.T.reshape(-1, len(LATITUDES), len(LONGITUDES)) for table in tables]


@cache
def _disc_weights(square: float | None) -> np.ndarray:
    """Solid angle (centre, latitude, longitude) that grid directions stand for in a disc.

    The disc is the Earth's at (radius / distance)² = `square` around the directions of longitude 0
    at each latitude; None is the whole sky. Between directions a table is bilinear.
    """
    fine = 3
    north = np.radians(-90 + (np.arange(36 * fine) + 0.5) * 5 / fine)
    east = np.radians((np.arange(72 * fine) + 0.5) * 5 / fine)
    up, along = _hats(36 * fine, 37, fine), _hats(72 * fine, 73, fine)
    along[:, 0] += along[:, 72]
    along = along[:, :72]
    solid = np.cos(north)[:, None] * np.radians(5 / fine) ** 2
    if square is None:
        return (up.T @ (solid * np.ones(len(east))) @ along)[None]
    found = []
    for latitude in LATITUDES[:19]:
        cosine = np.outer(np.cos(latitude) * np.cos(north), np.cos(east))
        cosine += np.sin(latitude) * np.sin(north)[:, None]
        # The edge is as soft as a fine cell is wide, so that the disc has nearly its true area.
        edge = (cosine - np.sqrt(1.0 - square)) / (np.sqrt(square) * np.radians(5 / fine))
        found.append(up.T @ (solid * np.clip(edge + 0.5, 0.0, 1.0)) @ along)
    return np.array(found + [one[::-1] for one in found[-2::-1]])


def _hats(cells: int, nodes: int, fine: int) -> np.ndarray:
    """How cell centres (cell, node) share themselves between the nodes beside them."""
    place = (np.arange(cells) + 0.5) / fine
    low = np.floor(place).astype(int)
    found = np.zeros((cells, nodes))
    found[np.arange(cells), low] = 1 - (place - low)
    found[np.arange(cells), low + 1] = place - low
    return found


def _convolved(disc: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Sums (facet, latitude, longitude) of a table over the disc around each direction."""
    weights = np.conj(np.fft.rfft(disc, axis=2))
    spectrum = np.einsum("eak,fak->fek", weights, np.fft.rfft(table, axis=2), optimize=True)
    return np.fft.irfft(spectrum, n=table.shape[2], axis=2)


def finer(table: np.ndarray) -> np.ndarray:
    """A table (any, latitude, longitude) with the middles between its directions, by cubics."""
    return _between(_between(table, 2, periodic=True), 1, periodic=False)


def _between(table: np.ndarray, axis: int, *, periodic: bool) -> np.ndarray:
    """A table with the middles between its rows put in, by cubics through four of them."""
    table = np.moveaxis(table, axis, 0)
    if periodic:
        around = np.concatenate([table[-1:], table, table[:2]])
    else:  # the outer row that a parabola through the last three goes on to
        first = 3 * (table[0] - table[1]) + table[2]
        last = 3 * (table[-1] - table[-2]) + table[-3]
        around = np.concatenate([first[None], table, last[None]])
    middle = (9 * (around[1:-2] + around[2:-1]) - around[:-3] - around[3:]) / 16
    found = np.empty((len(table) + len(middle), *table.shape[1:]))
    found[::2], found[1::2] = table, middle
    return np.moveaxis(found, 0, axis)


def _disc_rays(step: np.ndarray, square: float) -> np.ndarray:
    """Directions (*any, 3) spread evenly over the Earth's disc around -x."""
    down = 1.0 - kronecker(step, 0) * (1.0 - np.sqrt(1.0 - square))
    side, angle = np.sqrt(1.0 - down**2), 2 * np.pi * kronecker(step, 1)
    rays = [-down, side * np.cos(angle), side * np.sin(angle)]
    return np.stack(rays, axis=-1).astype(np.float32)


def _parallel(part: Callable[[slice], Any], count: int, load: int) -> list[Any]:
    """`part` of each of the slices of `count` things of which each costs `load` points, in order.

    Where the slices end does not depend on the machine: the bits do not either.
    """
    size = max(1, CHUNK // load)
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(part, slices))

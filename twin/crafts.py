"""From designs to tables of what their surfaces see: shapes drawn, traced once, and kept.

A *shape* is one class at about one altitude: satellites of a class within some tens of kilometres
share the Earth's view factors.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from twin.constants import EARTH_RADIUS, KM
from twin.design import Design
from twin.drawings import craft_of
from twin.fleet import Fleet
from twin.problems import InputError, Problem
from twin.scenario import Scenario
from twin.spacecraft import craft as draw
from twin.spacecraft.attitude import GRID, KINDS, TRACKING, Views
from twin.spacecraft.geometry import OpenViews, cached_views
from twin.spacecraft.geometry import Views as Looked
from twin.spacecraft.octahedron import Unblocked, earth_table, sun_table

BAND = 25 * KM  # satellites of a class whose altitudes lie in one such band share a shape
EDGE = 100 * KM  # altitudes for which views are traced
SUNKEN = 0.01  # of a part's surface: what lies in another part is worth a warning
DROWNED = 0.5  # of it: the part is refused


@dataclass(frozen=True)
class Seen:
    """One class's surfaces: names and nodes, areas as drawn, and how they see each other."""

    nodes: dict[str, str]  # of each surface, in the order of `exchange`
    materials: dict[str, str]  # of the surfaces that have one of their own
    area: dict[str, float]  # m², as drawn
    exchange: np.ndarray  # (surface, surface) mean view factors
    hidden: dict[str, float]  # view factor to what is insulated
    drawn: bool  # part by part: areas are the drawing's


@dataclass(frozen=True)
class Gallery:
    """All classes' surfaces on one list, their tables, and each satellite's shape."""

    seen: dict[str, Seen]
    surfaces: tuple[str, ...]
    surface_nodes: tuple[str, ...]
    views: Views
    shape: np.ndarray
    kinds: tuple[str, ...]


def gallery(scenario: Scenario, fleet: Fleet) -> Gallery:
    """Look at every class in every attitude that it takes."""
    crafts = {
        name: craft_of(scenario.class_[name], f"class.{name}", fleet.folders)
        for name in fleet.classes
    }
    kinds = tuple(k for k in KINDS if any(k in attitudes(d) for d in scenario.class_.values()))
    shape, members = shapes(fleet)
    surfaces = {"array": "array", "array_back": "array_back"}
    for _, nodes, _ in crafts.values():
        surfaces |= nodes
    names = list(surfaces)
    cells = GRID * GRID
    solar = np.zeros((len(members), len(kinds), len(names), cells))
    earth = np.zeros_like(solar)
    seen, edges = {}, horizons(fleet)
    for name, (craft, nodes, own) in crafts.items():
        design = scenario.class_[name]
        mine = [(index, square(h)) for index, (label, h) in enumerate(members) if label == name]
        for kind in attitudes(design):
            tracking = kind in TRACKING
            looked = look_at(name, design, craft, kind, edges)
            bare = Unblocked(craft, tracking=tracking)
            rows = [names.index(s) for s in looked.surfaces]
            sunlight = sun_table(bare, looked)
            for index, size in mine:
                solar[index, kinds.index(kind), rows] = sunlight
                earth[index, kinds.index(kind), rows] = earth_table(bare, looked, size)
            if kind == design.attitude:
                seen[name] = Seen(
                    nodes={s: nodes[s] for s in looked.surfaces},
                    materials=own,
                    area=dict(zip(looked.surfaces, looked.area.tolist(), strict=True)),
                    exchange=looked.exchange,
                    hidden=dict(zip(looked.surfaces, looked.own.tolist(), strict=True)),
                    drawn=bool(design.part),
                )
    views = Views(
        solar=jnp.asarray(solar.reshape(-1)),
        earth=jnp.asarray(earth.reshape(-1)),
        surfaces=len(names),
        kinds=len(kinds),
    )
    return Gallery(seen, tuple(names), tuple(surfaces.values()), views, shape, kinds)


def look_at(
    name: str, design: Design, craft: draw.Craft, kind: str, edges: tuple[float, float]
) -> Looked:
    """What a class's surfaces see in an attitude; InputError where its parts cannot be so."""
    try:
        found = cached_views(craft, tracking=kind in TRACKING, horizons=edges)
    except OpenViews as error:
        raise InputError([_open(name, design, craft, error)]) from None
    hidden = [
        Problem(
            f"class.{name}.part.{one}",
            f"{share:.0%} of its surface lies in part {other}, where it sees nothing else",
            f"{DROWNED:.0%} at most",
            f"move it out; what is inside {other} is a node with links, not a part",
        )
        for one, other, share in _overlaps(found)
        if share > DROWNED
    ]
    if hidden:
        raise InputError(hidden)
    return found


def overlapping(scenario: Scenario, fleet: Fleet) -> list[str]:
    """A warning for each two parts that reach into each other; InputError as for `gallery`."""
    found = []
    for name, design in scenario.class_.items():
        craft, edges = craft_of(design, f"class.{name}", fleet.folders)[0], horizons(fleet)
        looks = [look_at(name, design, craft, kind, edges) for kind in attitudes(design)]
        if not design.part:  # the standard craft is drawn as it is meant
            continue
        seen = {(one, other): share for look in looks for one, other, share in _overlaps(look)}
        found += [
            f"class {name}: {share:.1%} of the surface of part {one} lies in part {other}, where it"
            " sees neither the Sun nor space; move one of them if this is not meant"
            for (one, other), share in seen.items()
        ]
    return found


def _overlaps(looked: Looked) -> list[tuple[str, str, float]]:
    """Parts that reach into others by more than a little: which, into which, by which share."""
    return [
        (looked.parts[one], looked.parts[other], float(looked.sunken[one, other]))
        for one, other in np.argwhere(looked.sunken > SUNKEN)
    ]


def _open(name: str, design: Design, craft: draw.Craft, error: OpenViews) -> Problem:
    """Where to look if the view factors of a surface do not sum to one."""
    own = [part for part in craft.parts if error.surface in (part.front, part.back)]
    span = np.ptp(np.concatenate([part.mesh.bounds for part in craft.parts]), axis=0).max()
    near = [
        other.name
        for other in craft.parts
        if other is not own[0] and _gap(own[0].mesh.bounds, other.mesh.bounds) < 1e-3 * span
    ]
    beside = f"such as {' or '.join(near)}" if near else "or a face of its own"
    where = f"class.{name}.part.{own[0].name}" if design.part else f"class.{name}"
    return Problem(
        where,
        f"view factors of surface {error.surface} that do not sum to one ({error.total:.4f})",
        "1 within 0.005",
        f"move what lies on it or in it, {beside}: faces may touch, but not coincide",
    )


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """Between two boxes, each its lowest and highest corner; 0 where they meet."""
    apart = np.maximum(one[0] - other[1], other[0] - one[1])
    return float(np.linalg.norm(np.maximum(apart, 0.0)))


def attitudes(design: Design) -> tuple[str, ...]:
    """The attitudes that a class takes: in the light, in the dark, in safe mode."""
    asked = (design.attitude, design.attitude_dark, design.attitude_safe)
    return tuple(kind for kind in KINDS if kind in asked)


def horizons(fleet: Fleet) -> tuple[float, float]:
    """Two values of (Earth's radius / distance)² between which the fleet's altitudes lie.

    What is hidden of the Earth is traced for both and runs straight between them; what nothing
    hides is exact at every altitude.
    """
    far = EDGE * np.ceil((fleet.altitude.max() + 1.0) / EDGE)
    near = max(EDGE * np.floor(fleet.altitude.min() / EDGE), EDGE)
    return square(far), square(near)


def square(altitude: float) -> float:
    """(Earth's radius / distance)² at an altitude."""
    return float((EARTH_RADIUS / (EARTH_RADIUS + altitude)) ** 2)


def shapes(fleet: Fleet) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Each satellite's shape, and for each shape its class and mean altitude (m)."""
    band = np.floor(fleet.altitude / BAND).astype(int)
    found: dict[tuple[int, int], list[int]] = {}
    for k, key in enumerate(zip(fleet.class_index.tolist(), band.tolist(), strict=True)):
        found.setdefault(key, []).append(k)
    index = np.zeros(len(fleet), np.int64)
    members = []
    for place, ((label, _), who) in enumerate(found.items()):
        index[who] = place
        members.append((fleet.classes[label], float(fleet.altitude[who].mean())))
    return index, members

"""From designs to tables of what their surfaces see: shapes drawn, traced once, and kept.

A *shape* is one class at about one altitude: satellites of a class within some tens of kilometres
share the Earth's view factors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from twin.constants import EARTH_RADIUS, KM
from twin.design import Design
from twin.fleet import Fleet
from twin.parts import Part
from twin.problems import InputError, Problem
from twin.scenario import Scenario
from twin.spacecraft import craft as draw
from twin.spacecraft.attitude import GRID, KINDS, TRACKING, Views
from twin.spacecraft.geometry import cached_views
from twin.spacecraft.octahedron import Unblocked, earth_table, sun_table

BAND = 25 * KM  # satellites of a class whose altitudes lie in one such band share a shape
EDGE = 100 * KM  # altitudes for which views are traced
STANDARD = ("array", "array_back", "blanket", "radiator", "radiator_back", "terminals")
NORMALS = {
    "up": "+x", "down": "-x", "along": "+y", "wake": "-y", "sunward": "+z", "cold": "-z",
    "zenith": "+x", "nadir": "-x",
}  # fmt: skip

Face = tuple[str, str | None]
"""The thermal node of a surface, and its material if it names one."""


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
            looked = cached_views(craft, tracking=tracking, horizons=edges)
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
        solar=jnp.asarray(solar.reshape(-1, cells)),
        earth=jnp.asarray(earth.reshape(-1, cells)),
        surfaces=len(names),
        kinds=len(kinds),
    )
    return Gallery(seen, tuple(names), tuple(surfaces.values()), views, shape, kinds)


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


def craft_of(
    design: Design, where: str, folders: Sequence[Path] = ()
) -> tuple[draw.Craft, dict[str, str], dict[str, str]]:
    """The drawing of a design, the node of each surface, and the materials of some of them.

    Raises InputError for a mesh that cannot be used.
    """
    body = design.body
    if not design.part:
        craft = draw.default_craft(
            box_side=float(body.box_face_m2.value) ** 0.5,
            array_area=design.array_m2.value,
            radiator_area=body.radiator_m2.value,
            radiator_normal=NORMALS[body.radiator_faces],
            radiator_sides=body.radiator_sides,
            array_axes=design.array_axes,
        )
        return craft, {name: name for name in craft.surfaces}, {}
    try:
        return _from_parts(design, folders)
    except ValueError as error:
        raise InputError([Problem(f"{where}.part", str(error))]) from None


def _from_parts(design: Design, folders: Sequence[Path]):
    meshes = {}
    if design.mesh is not None:
        path = next((f / design.mesh for f in folders if (f / design.mesh).is_file()), design.mesh)
        sheets = [
            part.object or name
            for name, part in design.part.items()
            if part.kind == "mesh" and not part.solid
        ]
        meshes = draw.read_mesh(path, plates=sheets)
    called = _called(design.part)
    parts = []
    for name, part in design.part.items():
        front, *behind = (called[face] for face in _faces(part))
        back = behind[0] if behind else None
        mesh = _drawn(name, part, meshes)
        pivot = _pivot(name, mesh) if part.axes else (0.0, 0.0, 0.0)
        parts.append(draw.Part(name, mesh, front, back, part.axes, pivot))
    craft = draw.Craft(tuple(parts))
    total = sum(float(p.mesh.area) for p in parts if p.front == "array")
    if abs(total / design.array_m2.value - 1) > 0.02:
        raise ValueError(
            f"the parts on node array show {total:.3g} m² of cells but array_m2 is"
            f" {design.array_m2.value:g}; make them agree within 2 %"
        )
    nodes = {label: node for (node, _), label in called.items()}
    own = {label: material for (_, material), label in called.items() if material is not None}
    return craft, nodes, own


def _faces(part: Part) -> list[Face]:
    """The front of a part and, of a sheet, its back."""
    front = part.node, part.material
    if not (part.kind == "plate" or (part.kind == "mesh" and not part.solid)):
        return [front]
    behind: str = {"array": "array_back", "radiator": "radiator_back"}.get(part.node, part.node)
    return [front, (behind, getattr(part, "back_material", None) or part.material)]


def _called(parts: dict[str, Part]) -> dict[Face, str]:
    """A name for each surface: its node's or, where a node has several materials, both.

    The cells are the surface "array", which makes power: of several materials on that node they
    are the one that is called so, else the default, else that of the first sheet.
    """
    cells = ("solar_cells", None)

    def order(part: Part) -> tuple[int, bool]:
        rank = cells.index(part.material) if part.material in cells else len(cells)
        return rank, len(_faces(part)) == 1

    found: dict[Face, str] = {}
    for part in sorted(parts.values(), key=order):
        for node, material in _faces(part):
            name = f"{node}:{material or 'body'}" if node in found.values() else node
            found.setdefault((node, material), name)
    return found


def _pivot(name: str, mesh: draw.trimesh.Trimesh) -> draw.Axis:
    """Where a wing turns: about the line along z through its middle, at the end next to the box."""
    facing = mesh.face_normals.T @ mesh.area_faces / mesh.area
    if facing[0] < 0.999:
        raise ValueError(
            f"part {name!r} follows the Sun, but its front does not look up: a wing at rest looks"
            " along the axis up"
        )
    low, high = mesh.bounds
    middle = 0.5 * (low + high)
    return float(middle[0]), float(middle[1]), float(np.clip(0.0, low[2], high[2]))


def _drawn(name: str, part: Any, meshes: dict[str, draw.trimesh.Trimesh]) -> draw.trimesh.Trimesh:
    makers: dict[str, Callable] = {
        "box": lambda: draw.box(part.size_m, part.centre_m),
        "plate": lambda: draw.plate(part.size_m, NORMALS[part.normal], part.centre_m),
        "cylinder": lambda: draw.cylinder(
            part.radius_m, part.length_m, NORMALS[part.axis][1:], part.centre_m
        ),
    }
    if part.kind in makers:
        return makers[part.kind]()
    label = part.object or name
    if label not in meshes:
        raise ValueError(f"the mesh has no object {label!r}; it has {', '.join(sorted(meshes))}")
    return meshes[label]

"""From a design to its drawing: the standard craft, its parts, or a mesh file. No JAX here."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twin.design import Design
from twin.parts import Part
from twin.problems import InputError, Problem
from twin.spacecraft import craft as draw

NORMALS = {
    "up": "+x", "down": "-x", "along": "+y", "wake": "-y", "sunward": "+z", "cold": "-z",
    "zenith": "+x", "nadir": "-x",
}  # fmt: skip

Face = tuple[str, str | None]
"""The thermal node of a surface, and its material if it names one."""


def craft_of(
    design: Design, where: str, folders: Sequence[Path] = ()
) -> tuple[draw.Craft, dict[str, str], dict[str, str]]:
    """The drawing of a design, the node of each surface, and the materials of some of them.

    Raises InputError for measures or a mesh that cannot be used.
    """
    try:
        return _from_parts(design, folders) if design.part else _standard(design)
    except ValueError as error:
        named = re.match(r"part '(\w+)'", str(error)) if design.part else None
        section = ".part" if design.part else ""
        place = f"{where}{section}.{named[1]}" if named else where + section
        raise InputError([Problem(place, str(error))]) from None


def _standard(design: Design) -> tuple[draw.Craft, dict[str, str], dict[str, str]]:
    body = design.body
    craft = draw.default_craft(
        box_side=float(body.box_face_m2.value) ** 0.5,
        array_area=design.array_m2.value,
        radiator_area=body.radiator_m2.value,
        radiator_normal=NORMALS[body.radiator_faces],
        radiator_sides=body.radiator_sides,
        array_axes=design.array_axes,
    )
    return craft, {name: name for name in craft.surfaces}, {}


def _from_parts(
    design: Design, folders: Sequence[Path]
) -> tuple[draw.Craft, dict[str, str], dict[str, str]]:
    meshes = {}
    if design.mesh is not None:
        names = design.mesh, Path(design.mesh).name  # a run keeps its copy without folders
        places = (folder / name for folder in folders for name in names)
        path = next((place for place in places if place.is_file()), design.mesh)
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
    panels = [float(p.mesh.area) for p in parts if design.part[p.name].node == "radiator"]
    if panels and abs(sum(panels) / design.body.radiator_m2.value - 1) > 0.02:
        raise ValueError(
            f"the parts on node radiator show {sum(panels):.3g} m², backs not counted, but"
            f" body.radiator_m2 is {design.body.radiator_m2.value:g}; make them agree within 2 %"
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

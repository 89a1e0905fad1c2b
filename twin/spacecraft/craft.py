"""The shape of a satellite: parts made of triangles, from a few measures or from a mesh file.

Body frame, metres: x is up (away from the Earth), y along the orbit, z across it, towards the side
of the Sun. In nadir attitude the body frame is the orbit frame. The origin is near the satellite.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import trimesh

Axis = tuple[float, float, float]

MOST_FACES = 1_000_000
LARGEST_EXTENT = 500.0


@dataclass(frozen=True, eq=False)
class Part:
    """One rigid piece. A plate is an open sheet with a front and a back, a solid a closed mesh.

    `front` names the surface that the outside of a solid, or the side of a plate towards its
    normals, belongs to. `back` names the other side of a plate; without a name it only blocks: it
    is insulated, and a face that looks at it sees itself. `axes` says how a wing follows the Sun:
    not at all (0), about an axis along z (1), or about that axis and then about its own short edge
    (2), both through `pivot`. At zero rotation the front of a wing looks to +x.
    """

    name: str
    mesh: trimesh.Trimesh
    front: str
    back: str | None = None
    axes: int = 0
    pivot: Axis = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.axes not in (0, 1, 2):
            raise ValueError(f"part {self.name!r}: axes is {self.axes}; allowed: 0, 1, 2")
        _check_mesh(self.name, self.mesh)
        if self.back is not None and self.solid:
            raise ValueError(f"part {self.name!r} is closed: its back {self.back!r} is never seen")

    @property
    def solid(self) -> bool:
        """Whether it is closed, so that nothing outside sees its inside."""
        return bool(self.mesh.is_watertight)


@dataclass(frozen=True, eq=False)
class Craft:
    """A satellite. All faces that share a surface's name make up that surface."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a craft needs at least one part")
        twice = [name for name, n in Counter(p.name for p in self.parts).items() if n > 1]
        if twice:
            raise ValueError(f"part {twice[0]!r} is there twice; names are unique")
        _check_count("the craft", sum(len(part.mesh.faces) for part in self.parts))
        bounds = np.array([part.mesh.bounds for part in self.parts])
        _check_extent("the craft", float((bounds[:, 1].max(0) - bounds[:, 0].min(0)).max()))

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Names in the order in which the parts bring them, the front before the back."""
        names = (name for part in self.parts for name in (part.front, part.back) if name)
        return tuple(dict.fromkeys(names))


def box(size: Axis, centre: Axis = (0.0, 0.0, 0.0)) -> trimesh.Trimesh:
    """A closed box with its edges along the body axes."""
    mesh = trimesh.creation.box(extents=size)
    mesh.apply_translation(centre)
    return mesh


def plate(
    size: tuple[float, float], normal: str | Axis, centre: Axis = (0.0, 0.0, 0.0)
) -> trimesh.Trimesh:
    """A rectangle that looks along `normal`, a body axis: "-z", or (0.0, 0.0, -1.0).

    `size` is its extent along the two other body axes, in the order x, y, z.
    """
    axis, sign = _axis(normal)
    first, second = (i for i in range(3) if i != axis)
    corners = np.tile(np.asarray(centre, float), (4, 1))
    corners[:, first] += np.array([-0.5, 0.5, 0.5, -0.5]) * size[0]
    corners[:, second] += np.array([-0.5, -0.5, 0.5, 0.5]) * size[1]
    if (axis == 1) == (sign > 0):  # x cross z is -y: this order of corners looks to +x, -y or +z
        corners = corners[::-1]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def cylinder(
    radius: float,
    height: float,
    along: str = "x",
    centre: Axis = (0.0, 0.0, 0.0),
    sections: int = 12,
) -> trimesh.Trimesh:
    """A closed prism of `sections` sides that has the side area of a true cylinder.

    `along` is the body axis of its length. The corners stand a little outside the radius, so that
    the area seen from the side is right as the mean over all sides.
    """
    step = math.pi / sections
    mesh = trimesh.creation.cylinder(radius * step / math.sin(step), height, sections=sections)
    axis, _ = _axis(along)
    mesh.apply_transform(trimesh.geometry.align_vectors((0, 0, 1), np.eye(3)[axis]))
    mesh.apply_translation(centre)
    return mesh


def wing_pair(
    area: float,
    chord: float,
    root: float,
    axes: int,
    front: str = "array",
    back: str = "array_back",
) -> tuple[Part, Part]:
    """Two plates that reach from z = `root` outwards and from z = -`root`, `area` in all.

    They look to +x and turn about the z axis; a second axis turns each about its inner edge.
    """
    length = area / 2 / chord

    def wing(side: str, sign: int) -> Part:
        sheet = plate((chord, length), "+x", (0.0, 0.0, sign * (root + length / 2)))
        return Part(f"wing {side}z", sheet, front, back, axes, (0.0, 0.0, sign * root))

    return wing("+", 1), wing("-", -1)


def default_craft(
    box_side: float,
    array_area: float,
    radiator_area: float,
    radiator_normal: str | Axis = "+x",
    radiator_sides: int = 1,
    array_axes: int = 1,
    terminals: int = 2,
) -> Craft:
    """A box with two wings, a radiator panel and laser terminals, from a few measures.

    - The box has its centre at the origin and is wrapped in insulation: surface "blanket".
    - The radiator is a plate parallel to the box's face at `radiator_normal`, as wide along z as
      its square root or, where that is more than the box, as the box, up to 4 times as long as
      wide; it overhangs along the other axis. With one side it stands off by 2 % of the box, its
      back insulated ("radiator"); with two it stands off by half the box, so that its back sees
      more than the box ("radiator", "radiator_back"). An area of 0 leaves it out.
    - The wings ("array", "array_back") reach out along +z and -z. Their chord is the box's side,
      no more than makes them square and no less than makes them 4 times as long as wide. The gap
      of the yoke is a quarter of the box, beyond box and radiator; the yoke itself is left out.
    - A terminal is a cylinder of a tenth of the box in radius and twice that in length, along y.
      It hangs under the face towards the Earth, at its fore or aft edge; above the other face
      where the radiator looks to the Earth. There may be 0, 1 (fore) or 2 ("terminals").
    """
    for name, value in (("box_side", box_side), ("array_area", array_area)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be above 0")
    if not (math.isfinite(radiator_area) and radiator_area >= 0):
        raise ValueError(f"radiator_area is {radiator_area}; it must be 0 or above")
    if radiator_sides not in (1, 2):
        raise ValueError(f"radiator_sides is {radiator_sides}; allowed: 1, 2")
    if terminals not in (0, 1, 2):
        raise ValueError(f"terminals is {terminals}; allowed: 0, 1, 2")
    axis, sign = _axis(radiator_normal)
    half = box_side / 2
    parts = [Part("box", box((box_side, box_side, box_side)), "blanket")]
    reach = half
    if radiator_area:
        width = min(math.sqrt(radiator_area), max(box_side, math.sqrt(radiator_area) / 2))
        stand_off = box_side * (0.02 if radiator_sides == 1 else 0.5)
        centre = [0.0, 0.0, 0.0]
        centre[axis] = sign * (half + stand_off)
        length = radiator_area / width
        size = (length, width) if axis != 2 else (width, length)
        mesh = plate(size, radiator_normal, (centre[0], centre[1], centre[2]))
        back = "radiator_back" if radiator_sides == 2 else None
        parts.append(Part("radiator", mesh, "radiator", back))
        reach = max(half, width / 2 if axis != 2 else half + stand_off)
    wing = array_area / 2
    chord = max(min(box_side, math.sqrt(wing)), math.sqrt(wing) / 2)
    parts += wing_pair(array_area, chord, reach + box_side / 4, array_axes)
    radius = 0.1 * box_side
    height = (half + 1.1 * radius) * (1 if (axis, sign) == (0, -1) else -1)
    for name, side in (("terminal fore", 1), ("terminal aft", -1))[:terminals]:
        mesh = cylinder(radius, 2 * radius, "y", (height, side * (half - radius), 0.0))
        parts.append(Part(name, mesh, "terminals"))
    return Craft(tuple(parts))


def locked(craft: Craft, rotation: float) -> Craft:
    """The same craft with its wings turned by `rotation` (rad) about z and locked there."""
    parts = []
    for part in craft.parts:
        mesh = part.mesh
        if part.axes and rotation:
            mesh = mesh.copy()
            turn = trimesh.transformations.rotation_matrix(rotation, (0, 0, 1), part.pivot)
            mesh.apply_transform(turn)
        parts.append(replace(part, mesh=mesh, axes=0))
    return Craft(tuple(parts))


def read_mesh(path: str | Path, plates: Collection[str] = ()) -> dict[str, trimesh.Trimesh]:
    """The named meshes of a GLB or OBJ file, placed as in its scene.

    The file's axes are taken as the body axes and its unit as the metre. Nodes of a GLB and objects
    of an OBJ keep their names. Those named in `plates` may be open sheets; all others must be
    closed. Whatever is wrong raises `ValueError` with one line; a file with too many faces is
    refused before its triangles are read.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("glb", "obj"):
        raise ValueError(f"{path}: is no mesh file that we read; allowed: .glb, .obj")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        count = _glb_faces(path) if kind == "glb" else _obj_faces(path)
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise ValueError(f"{path}: is not a mesh ({error or type(error).__name__})") from None
    _check_count(str(path), count)
    try:
        if kind == "glb":
            scene = trimesh.load_scene(path, file_type=kind)
        else:
            scene = trimesh.load_scene(
                _plain_obj(path), file_type=kind, split_objects=True, skip_materials=True
            )
        found = _nodes(scene)
    except Exception as error:  # a broken file fails anywhere inside the reader
        raise ValueError(f"{path}: is not a mesh ({error or type(error).__name__})") from None
    if not found:
        raise ValueError(f"{path}: holds no triangles")
    _check_count(str(path), sum(len(mesh.faces) for mesh in found.values()))
    if unknown := sorted(set(plates) - set(found)):
        raise ValueError(
            f"{path}: no part {unknown[0]!r}, named in plates; it has {', '.join(sorted(found))}"
        )
    bounds = np.array([mesh.bounds for mesh in found.values()])
    _check_extent(str(path), float((bounds[:, 1].max(0) - bounds[:, 0].min(0)).max()))
    for name, mesh in found.items():
        _check_mesh(f"{path}: {name}", mesh)
        if name not in plates and not mesh.is_watertight:
            edges = np.unique(mesh.edges_sorted, axis=0, return_counts=True)[1]
            raise ValueError(
                f"{path}: part {name!r} has holes ({int((edges == 1).sum())} open edges); close "
                "them, or name it as a plate if it is a sheet"
            )
    return found


def _nodes(scene: trimesh.Scene) -> dict[str, trimesh.Trimesh]:
    """Every mesh of a scene in world coordinates, under its node's name, without double corners."""
    found = {}
    for node in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[node]
        mesh = scene.geometry[geometry]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            bare = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
            bare.apply_transform(transform)
            bare.merge_vertices()
            found[str(node)] = bare
    return found


def _glb_faces(path: Path) -> int:
    """Triangles in a GLB, each mesh as often as nodes use it, from its header alone."""
    with path.open("rb") as file:
        magic, version, _, length, chunk = struct.unpack("<4sIIII", file.read(20))
        if magic != b"glTF" or version != 2 or chunk != 0x4E4F534A or length > 1 << 28:
            raise ValueError("no binary glTF 2.0 header")
        tree = json.loads(file.read(length))
    uses = Counter(node["mesh"] for node in tree.get("nodes", []) if "mesh" in node)
    total = 0
    for index, mesh in enumerate(tree.get("meshes", [])):
        for primitive in mesh["primitives"]:
            which = primitive.get("indices", primitive["attributes"]["POSITION"])
            total += tree["accessors"][which]["count"] // 3 * max(1, uses[index])
    return total


def _obj_faces(path: Path) -> int:
    """Triangles of an OBJ, without its corners: a face of n corners makes n - 2 of them.

    Blanks and tabs may stand before and between the words of a line.
    """
    total = 0
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise ValueError("it is binary")
        file.seek(0)
        for line in file:
            if b"f" in line and (words := line.split())[0] == b"f":
                total += max(len(words) - 3, 1)
    return total


def _plain_obj(path: Path) -> BytesIO:
    """An OBJ with its words parted by single blanks: the reader sees no faces otherwise."""
    lines = path.read_bytes().replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    return BytesIO(b"\n".join(b" ".join(line.split()) for line in lines) + b"\n")


def _axis(word: str | Axis) -> tuple[int, int]:
    """Index and sign of a body axis such as "+x", "z" or (0.0, -1.0, 0.0)."""
    if not isinstance(word, str):
        index = int(np.argmax(np.abs(word)))
        if not np.allclose(np.abs(word), np.eye(3)[index]):
            raise ValueError(f"{word} is no body axis; allowed: a 1 or -1 and two zeros")
        return index, 1 if word[index] > 0 else -1
    letter, sign = word.lstrip("+-"), -1 if word.startswith("-") else 1
    if letter not in ("x", "y", "z") or len(word) > 2:
        raise ValueError(f"{word!r} is no body axis; allowed: +x, -x, +y, -y, +z, -z")
    return "xyz".index(letter), sign


def _check_count(where: str, count: int) -> None:
    if count > MOST_FACES:
        raise ValueError(
            f"{where}: {count:,} faces; at most {MOST_FACES:,} are allowed: decimate the mesh "
            "(a few thousand faces are plenty for heat)"
        )


def _check_extent(where: str, extent: float) -> None:
    if extent > LARGEST_EXTENT:
        raise ValueError(
            f"{where}: {extent:,.0f} m across; at most {LARGEST_EXTENT:,.0f} m are allowed: is the "
            "mesh in millimetres? Scale it to metres"
        )


def _check_mesh(name: str, mesh: trimesh.Trimesh) -> None:
    _check_count(f"part {name!r}", len(mesh.faces))
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise ValueError(f"part {name!r} has no faces, or corners that are not finite")
    if not mesh.area > 0:
        raise ValueError(f"part {name!r} has no area: all its faces are lines or points")
    if not mesh.is_winding_consistent:
        raise ValueError(f"part {name!r} has faces that look the wrong way: make its normals agree")
    if mesh.is_watertight and mesh.volume < 0:
        raise ValueError(f"part {name!r} is inside out: flip its normals")

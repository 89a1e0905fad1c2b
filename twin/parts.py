"""What a satellite is built of: parts, materials, and thermal nodes and links of its own.

Without a part the standard craft is made from the class's areas. Nothing here computes.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from twin.numbers import NotNegative, Positive, Section, Share, number
from twin.problems import Problem, nearest

STANDARD_NODES = (
    "array", "array_back", "bus", "avionics", "battery", "chip",
    "cold_plate", "loop", "radiator", "radiator_back", "blanket", "terminals",
)  # fmt: skip
WITH_OPTICS = ("array", "array_back", "radiator", "radiator_back", "blanket", "terminals")
MOST_NODES = 20
STANDARD_JOINTS = {
    ("array", "array_back"): "array_through_w_k_m2",  # per m² of wings
    ("array_back", "bus"): "array_bus_w_k",
    ("bus", "avionics"): "bus_avionics_w_k",
    ("bus", "battery"): "bus_battery_w_k",
    ("bus", "cold_plate"): "bus_cold_plate_w_k",
    ("bus", "radiator"): "bus_radiator_w_k",
    ("bus", "blanket"): "bus_blanket_w_k",
    ("bus", "terminals"): "bus_terminals_w_k",
    ("avionics", "radiator"): "avionics_radiator_w_k",
    ("chip", "cold_plate"): "chip_cold_plate_w_k",  # of each device
    ("cold_plate", "loop"): "cold_plate_loop_w_k",  # by heat pipes
    ("loop", "radiator"): "loop_radiator_w_k",
    ("radiator", "radiator_back"): "radiator_through_w_k_m2",  # per m² of radiator
}
"""How the standard network conducts: two nodes, and the key in body."""

Length = Annotated[float, Field(gt=0, le=1000)]
Normal = Literal["up", "down", "along", "wake", "sunward", "cold"]


def _numbers(count: int, words: str) -> BeforeValidator:
    def check(given: Any) -> Any:
        if not isinstance(given, list | tuple) or len(given) != count:
            raise ValueError(f"needs a list of {count} numbers; allowed: {words}")
        return given

    return BeforeValidator(check)


def _positive_sides(given: tuple[float, ...]) -> tuple[float, ...]:
    for length in given:
        if not 0 < length <= 1000:
            raise ValueError(f"got {length:g}; allowed: each above 0, to 1000")
    return given


_SIDES = AfterValidator(_positive_sides)
Sides3 = Annotated[tuple[float, float, float], _SIDES, _numbers(3, "[up, along, across], in m")]
Sides2 = Annotated[tuple[float, float], _SIDES, _numbers(2, "[one side, the other], in m")]
Place = Annotated[tuple[float, float, float], _numbers(3, "[up, along, across], in m")]


class _OnNode(Section):
    """What every part says."""

    node: str = Field(description="the thermal node that it belongs to")
    material: str | None = Field(
        default=None, description="its surface; default: the optics of its node in body"
    )
    axes: Literal[0, 1, 2] = Field(
        default=0, description="axes about which it follows the Sun: wings; 0: fixed"
    )


class BoxPart(_OnNode):
    """A box with six outer faces, along the axes of the body."""

    kind: Literal["box"] = "box"
    size_m: Sides3 = Field(description="up, along the orbit, across towards the Sun")
    centre_m: Place = Field(default=(0.0, 0.0, 0.0), description="up, along, across")


class PlatePart(_OnNode):
    """A thin rectangle with two faces: a wing, a radiator."""

    kind: Literal["plate"] = "plate"
    size_m: Sides2 = Field(description="its two sides, in the order of the axes up, along, across")
    normal: Normal = Field(default="up", description="where its front looks")
    centre_m: Place = Field(default=(0.0, 0.0, 0.0), description="up, along, across")
    back_material: str | None = Field(
        default=None, description="the surface of its back; default: as of the front"
    )


class CylinderPart(_OnNode):
    """A closed cylinder."""

    kind: Literal["cylinder"] = "cylinder"
    radius_m: Length = Field(description="of its round")
    length_m: Length = Field(description="along its axis")
    axis: Normal = Field(default="along", description="where its axis points")
    centre_m: Place = Field(default=(0.0, 0.0, 0.0), description="up, along, across")


class MeshPart(_OnNode):
    """An object of the class's mesh file."""

    kind: Literal["mesh"] = "mesh"
    object: str | None = Field(default=None, description="its name there; default: the part's own")
    solid: bool = Field(default=True, description="closed, with outer faces only; false: a sheet")


Part = Annotated[BoxPart | PlatePart | CylinderPart | MeshPart, Field(discriminator="kind")]


class Material(Section):
    """A surface: how much sunlight it absorbs and how well it radiates, new and old."""

    absorptance: Share = Field(description="of sunlight, new")
    emittance: Share = Field(description="in the infrared, new")
    absorptance_eol: Share | None = Field(
        default=None, description="at the end of life; default: as new"
    )
    emittance_eol: Share | None = Field(
        default=None, description="at the end of life; default: as new"
    )
    source: str | None = Field(default=None, description="who says so")


class Node(Section):
    """A lump of heat of one's own, beside the standard network's twelve."""

    heat_capacity_j_k: NotNegative = Field(description="0: so light that it is always in balance")
    limit_low_k: number(1, 2000) | None = Field(
        default=None, description="a warning when it is colder"
    )
    limit_high_k: number(1, 2000) | None = Field(
        default=None, description="a warning when it is hotter"
    )


Between = Annotated[tuple[str, str], _numbers(2, '["one node", "another"]')]


class ConductionLink(Section):
    """Heat that flows through matter, both ways."""

    kind: Literal["conduction"] = "conduction"
    between: Between = Field(description="two nodes")
    w_k: Positive = Field(description="heat flow for each kelvin between them")


class RadiationLink(Section):
    """Heat that two nodes radiate at each other."""

    kind: Literal["radiation"] = "radiation"
    between: Between = Field(description="two nodes")
    exchange_m2: Positive = Field(description="area x view factor x effective emittance")


class FlowLink(Section):
    """Heat that a fluid carries from the first node to the second, one way."""

    kind: Literal["flow"] = "flow"
    between: Between = Field(description="from, to")
    w_k: Positive = Field(description="mass flow x specific heat")


Link = Annotated[ConductionLink | RadiationLink | FlowLink, Field(discriminator="kind")]


def has_radiator(design: Any) -> bool:
    """Whether a class has a radiator to size: the standard craft's, or a part on that node."""
    return not design.part or any(part.node == "radiator" for part in design.part.values())


@cache
def materials() -> dict[str, Material]:
    """The built-in materials, by name: ``assets/materials.toml``."""
    text = (files("assets") / "materials.toml").read_text(encoding="utf-8")
    return {name: Material.model_validate(what) for name, what in tomllib.loads(text).items()}


def with_kinds(given: Any, has_mesh: bool = False) -> Any:
    """Parts and links as written, each with its kind: what was left out follows from its keys."""
    found = dict(given)
    if isinstance(parts := given.get("part"), dict):
        found["part"] = {name: _kind(part, _part_kind, has_mesh) for name, part in parts.items()}
    if isinstance(links := given.get("link"), list):
        found["link"] = [_kind(link, _link_kind) for link in links]
    return found


def _kind(item: Any, guess: Any, *more: Any) -> Any:
    if isinstance(item, dict) and "kind" not in item:
        return {"kind": guess(item, *more)} | item
    return item


def _part_kind(part: dict[str, Any], has_mesh: bool) -> str:
    size = part.get("size_m")
    if "radius_m" in part or "length_m" in part:
        return "cylinder"
    if "normal" in part or "back_material" in part or (isinstance(size, list) and len(size) == 2):
        return "plate"
    if "object" in part or "solid" in part or (has_mesh and size is None):
        return "mesh"
    return "box"


def _link_kind(link: dict[str, Any]) -> str:
    return "radiation" if "exchange_m2" in link else "conduction"


def structure_problems(design: Any) -> list[Problem]:
    """What is wrong with a class's parts, nodes and links, each in a line of its own."""
    nodes = (*STANDARD_NODES, *design.node)
    found = [
        *_name_problems(design, nodes),
        *_part_problems(design, nodes),
        *_link_problems(design, nodes),
    ]
    return found or [*_flow_problems(design.link), *_island_problems(design, nodes)]


def _name_problems(design: Any, nodes: tuple[str, ...]) -> Iterator[Problem]:
    if len(nodes) > MOST_NODES:
        wrong = f"{len(design.node)} nodes beside the standard {len(STANDARD_NODES)}"
        allowed = f"{MOST_NODES - len(STANDARD_NODES)} at most, {MOST_NODES} in all"
        yield Problem("node", wrong, allowed, "join those that share a temperature")
    for table in ("part", "material", "node"):
        for name in getattr(design, table):
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                allowed = "a letter, then letters, digits and _"
                yield Problem(table, f"the name {name!r} cannot be used", allowed)
    for name in design.node:
        if name in STANDARD_NODES:
            wrong = "is a node of the standard network already"
            yield Problem(f"node.{name}", wrong, hint="its numbers stand in body; or rename it")


def _no_node(where: str, name: str, nodes: Iterable[str]) -> Problem:
    hint = nearest(name, nodes) or f"add [class.NAME.node.{name}]"
    if name == "space":
        hint = "heat leaves for space through a part"
    return Problem(where, f"no such node: {name!r}", ", ".join(nodes), hint)


def _part_problems(design: Any, nodes: tuple[str, ...]) -> Iterator[Problem]:
    known = materials() | design.material if design.part else {}
    meshes = [name for name, part in design.part.items() if part.kind == "mesh"]
    if design.mesh is not None and not design.mesh.lower().endswith((".glb", ".obj")):
        yield Problem("mesh", f"got {design.mesh!r}", "a file that ends in .glb or .obj")
    if design.mesh is not None and not meshes:
        yield Problem(
            "mesh",
            "no part is made from it",
            hint='say which node each of its objects belongs to: part.OBJECT = { kind = "mesh",'
            ' node = "bus" }',
        )
    for name, part in design.part.items():
        where = f"part.{name}"
        if part.kind == "mesh" and design.mesh is None:
            hint = 'mesh = "satellite.glb" beside the class\'s other keys'
            yield Problem(where, "is an object of a mesh file, but no file is named", hint=hint)
        if part.axes and part.kind in ("box", "cylinder"):
            wrong = f"got {part.axes}, but a {part.kind} does not follow the Sun"
            yield Problem(f"{where}.axes", wrong, "0", 'a wing is kind = "plate"')
        if part.axes and part.kind == "plate" and part.normal != "up":
            wrong = f"got {part.normal!r}, but a wing at rest looks up"
            yield Problem(f"{where}.normal", wrong, "up", "or axes = 0: it does not follow the Sun")
        if part.node not in nodes:
            yield _no_node(f"{where}.node", part.node, nodes)
        for key in ("material", "back_material"):
            material = getattr(part, key, None)
            if material is not None and material not in known:
                wrong = f"no such material: {material!r}"
                yield Problem(f"{where}.{key}", wrong, ", ".join(known), nearest(material, known))
        if part.material is None and part.node in nodes and part.node not in WITH_OPTICS:
            yield Problem(
                f"{where}.material",
                f"is missing, and node {part.node} has no optics in body",
                ", ".join(known),
                "or define one: [class.NAME.material.paint]",
            )


def _standard_links(design: Any) -> dict[frozenset[str], tuple[str, float]]:
    """The standard network's joints: the key in body that each has, and its value."""
    return {
        frozenset(pair): (key, getattr(design.body, key).value)
        for pair, key in STANDARD_JOINTS.items()
    }


def _link_problems(design: Any, nodes: tuple[str, ...]) -> Iterator[Problem]:
    standard = _standard_links(design)
    massless = {"blanket"} | {
        n for n, what in design.node.items() if not what.heat_capacity_j_k.value
    }
    seen = set()
    for i, link in enumerate(design.link):
        where, (one, other) = f"link[{i}]", link.between
        pair = frozenset(link.between)
        strangers = [name for name in dict.fromkeys(link.between) if name not in nodes]
        yield from (_no_node(f"{where}.between", name, nodes) for name in strangers)
        if strangers:
            continue
        same = (link.kind, link.between if link.kind == "flow" else pair)
        if one == other:
            yield Problem(where, f"joins {one} to itself", "two different nodes")
        elif same in seen:
            wrong = f"{one} and {other} are joined by {link.kind} twice"
            yield Problem(where, wrong, hint="add the two up in one link")
        elif link.kind == "conduction" and pair in standard:
            wrong = f"{one} and {other} are joined by the standard network"
            yield Problem(where, wrong, hint=f"set body.{standard[pair][0]} instead")
        elif pair <= massless:
            wrong = f"joins two nodes without heat capacity, {one} and {other}"
            yield Problem(where, wrong, hint="give one of them a heat_capacity_j_k, or make it one")
        seen.add(same)


def circuits(links: Sequence[Link]) -> dict[int, int]:
    """For each link of a fluid the one that leads its circuit: flows that meet vary together.

    The first with a range leads, else the first: its number stands for the circuit's.
    """
    flows = [k for k, link in enumerate(links) if isinstance(link, FlowLink)]
    groups: list[tuple[set[str], list[int]]] = []
    for k in flows:
        nodes, members = set(links[k].between), [k]
        apart = []
        for other, mine in groups:
            if other & nodes:
                nodes, members = nodes | other, members + mine
            else:
                apart.append((other, mine))
        groups = [*apart, (nodes, members)]
    found = {}
    for _, members in groups:
        lead = min(members, key=lambda k: (links[k].w_k.range is None, k))  # type: ignore[union-attr]
        found |= dict.fromkeys(members, lead)
    return found


def _flow_problems(links: Iterable[Any]) -> Iterator[Problem]:
    into: dict[str, float] = {}
    out: dict[str, float] = {}
    for link in links:
        if link.kind == "flow":
            out[link.between[0]] = out.get(link.between[0], 0.0) + link.w_k.value
            into[link.between[1]] = into.get(link.between[1], 0.0) + link.w_k.value
    for node in {**out, **into}:
        one, other = into.get(node, 0.0), out.get(node, 0.0)
        if abs(one - other) > 1e-9 * max(one, other):
            wrong = f"{one:g} W/K flow into {node}, {other:g} W/K flow out"
            yield Problem("link", wrong, "equal sums", "flow links form closed circuits")


def _island_problems(design: Any, nodes: tuple[str, ...]) -> Iterator[Problem]:
    """Nodes whose heat finds no way to space."""
    standard = _standard_links(design)
    pairs = [tuple(pair) for pair, (_, value) in standard.items() if value > 0]
    pairs += [link.between for link in design.link]
    if design.body.loop_flow_w_k.value > 0:
        pairs += [("cold_plate", "loop"), ("loop", "radiator")]
    one_sided = not design.part and design.body.radiator_sides == 1
    radiating = {part.node for part in design.part.values()} or set(WITH_OPTICS)
    reached = radiating - ({"radiator_back"} if one_sided else set())
    size = 0
    while size < len(reached):
        size = len(reached)
        reached |= {node for pair in pairs if reached & set(pair) for node in pair}
    for name in (node for node in nodes if node not in reached):
        keys = [key for pair, (key, _) in standard.items() if name in pair]
        if name in design.node:
            hint = (
                f'add [[class.NAME.link]] with between = ["{name}", "bus"] and w_k = 1, or a part'
            )
        else:
            hint = f"set body.{' or body.'.join(keys)} above 0"
        yield Problem(f"node.{name}", "is joined to nothing that radiates into space", hint=hint)

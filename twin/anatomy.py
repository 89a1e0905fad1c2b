"""What satellites are made of: designs become thermal nodes, joints and surfaces, in SI.

All classes of a run share one list of nodes, joints and surfaces, so that they share one program;
what a class does not have is zero there. Numbers stay functions of their variant, so that areas,
optics and joints may be varied without looking at the mesh again: what surfaces see is per area.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twin.constellation import (
    ARRAY,
    ARRAY_BACK,
    AVIONICS,
    BATTERY,
    BLANKET,
    BUS,
    CHIP,
    COLD_PLATE,
    LOOP,
    RADIATOR,
    RADIATOR_BACK,
    STANDARD,
    TERMINALS,
)  # fmt: skip
from twin.crafts import Gallery, Seen
from twin.design import Design
from twin.parts import STANDARD_JOINTS, Material, circuits, materials

Of = Callable[[str], np.ndarray]
"""A number of a design by its dotted name within the class: one value, or one per variant."""

Joint = tuple[int, int]
FAINT = 0.01  # of the smaller surface: faces that see less of each other see space instead
MIDDLE_AGE = 0.5  # of a coating: optics in `body` are those at this age
AGES_AS = {
    "radiator": "white_paint", "array_back": "white_paint", "terminals": "white_paint",
    "blanket": "kapton_mli", "array_front": "solar_cells",
}  # fmt: skip
"""Whose absorptance that of a surface in `body` follows with age, in proportion. Assumed."""


@dataclass
class Lumps:
    """One class's thermal network, by node and joint, and its surfaces by name."""

    mass: dict[int, np.ndarray | float] = field(default_factory=dict)
    conducting: dict[Joint, np.ndarray | float] = field(default_factory=dict)
    exchanging: dict[Joint, np.ndarray | float] = field(default_factory=dict)
    flowing: dict[Joint, np.ndarray | float] = field(default_factory=dict)
    emitting: dict[int, np.ndarray | float] = field(default_factory=dict)
    # power, on below, off above, of each heater of a node
    heating: dict[int, list[tuple[np.ndarray | float, ...]]] = field(default_factory=dict)
    surfaces: dict[str, tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float]] = field(
        default_factory=dict
    )  # area, absorptance, emittance


@dataclass(frozen=True)
class Anatomy:
    """What all classes share (names, joints), and each class's own numbers."""

    nodes: tuple[str, ...]
    arithmetic: tuple[int, ...]
    enclosed: tuple[int, ...]  # nodes that see no space
    links: tuple[Joint, ...]
    pairs: tuple[Joint, ...]
    pipes: tuple[Joint, ...]
    surfaces: tuple[str, ...]
    surface_nodes: tuple[int, ...]
    heaters: tuple[int, ...]  # the node of each
    lumps: dict[str, Lumps]

    def parameters(self, name: str) -> dict[str, np.ndarray | float]:
        """The numbers of one class, zero where it lacks what others have."""
        own = self.lumps[name]
        found: dict[str, np.ndarray | float] = {}
        for k in range(len(self.nodes)):
            absent = 0.0 if k in self.arithmetic else 1.0  # a lump that nothing touches
            found[f"heat_capacity.{k}"] = own.mass.get(k, absent)
            found[f"emitting_area.{k}"] = own.emitting.get(k, 0.0)
        for label, joints, values in (
            ("conductance", self.links, own.conducting),
            ("exchange", self.pairs, own.exchanging),
            ("flow", self.pipes, own.flowing),
        ):
            for k, joint in enumerate(joints):
                found[f"{label}.{k}"] = values.get(joint, 0.0)
        for k, surface in enumerate(self.surfaces):
            area, absorptance, emittance = own.surfaces.get(surface, (0.0, 0.0, 0.0))
            found[f"surface_area.{k}"] = area
            found[f"surface_absorptance.{k}"] = absorptance
            found[f"surface_emittance.{k}"] = emittance
        taken: dict[int, int] = {}
        for k, node in enumerate(self.heaters):
            nth = taken.get(node, 0)
            taken[node] = nth + 1
            mine = own.heating.get(node, [])
            power, low, high = mine[nth] if nth < len(mine) else (0.0, 0.0, 0.0)
            found |= {f"heater_power.{k}": power, f"heater_on.{k}": low, f"heater_off.{k}": high}
        return found


def anatomy(designs: Mapping[str, Design], shown: Gallery, of: Callable[[str], Of]) -> Anatomy:
    """Nodes, joints and surfaces of all classes together.

    `shown` is what the surfaces see; `of` gives for a class the look-up of its numbers.
    """
    nodes: list[str] = list(STANDARD)
    for design in designs.values():
        nodes += [node for node in design.node if node not in nodes]
    lumps = {
        name: _lumps(design, shown.seen[name], of(name), nodes) for name, design in designs.items()
    }

    def joints(kind: str) -> tuple[Joint, ...]:
        used = [j for own in lumps.values() for j, v in getattr(own, kind).items() if np.any(v)]
        return tuple(sorted(set(used)))

    massless = {k for own in lumps.values() for k, mass in own.mass.items() if not np.any(mass)}
    return Anatomy(
        nodes=tuple(nodes),
        arithmetic=tuple(sorted(massless)),
        enclosed=tuple(
            k for k in range(len(nodes)) if all(k not in own.emitting for own in lumps.values())
        ),
        links=joints("conducting"),
        pairs=joints("exchanging"),
        pipes=joints("flowing"),
        surfaces=shown.surfaces,
        surface_nodes=tuple(nodes.index(node) for node in shown.surface_nodes),
        heaters=_heaters(lumps.values()),
        lumps=lumps,
    )


def _heaters(lumps: Iterable[Lumps]) -> tuple[int, ...]:
    """The node of each heater: as many of a node as the class with most has there."""
    most: dict[int, int] = {}
    for own in lumps:
        for node, mine in own.heating.items():
            most[node] = max(most.get(node, 0), len(mine))
    return tuple(node for node in sorted(most) for _ in range(most[node]))


def _lumps(design: Design, seen: Seen, of: Of, nodes: list[str]) -> Lumps:
    """One class's numbers."""

    def body(key: str) -> np.ndarray:
        return of(f"body.{key}")

    wings, radiator, devices = of("array_m2"), body("radiator_m2"), design.payload.devices
    face = 0.5 * body("radiator_heat_capacity_j_k_m2") * radiator
    own = Lumps()
    own.mass = {
        ARRAY: body("cell_heat_capacity_j_k_m2") * wings,
        ARRAY_BACK: body("array_back_heat_capacity_j_k_m2") * wings,
        BUS: body("bus_heat_capacity_j_k"),
        AVIONICS: body("avionics_heat_capacity_j_k"),
        BATTERY: body("battery_heat_capacity_j_k_wh") * of("battery_wh"),
        CHIP: body("chip_heat_capacity_j_k") * devices,
        COLD_PLATE: body("cold_plate_heat_capacity_j_k"),
        LOOP: body("loop_heat_capacity_j_k"),
        RADIATOR: face,
        RADIATOR_BACK: face,
        BLANKET: 0.0,
        TERMINALS: body("terminals_heat_capacity_j_k"),
    }
    pumped = body("loop_flow_w_k")
    pipes = np.where(pumped > 0, 0.0, 1.0)  # heat pipes, where no fluid is pumped
    times = {
        (ARRAY, ARRAY_BACK): wings,
        (RADIATOR, RADIATOR_BACK): radiator,
        (CHIP, COLD_PLATE): devices,
        (COLD_PLATE, LOOP): pipes,
        (LOOP, RADIATOR): pipes,
    }
    for (first, second), key in STANDARD_JOINTS.items():
        one, two = nodes.index(first), nodes.index(second)
        joint = min(one, two), max(one, two)
        own.conducting[joint] = body(key) * times.get((one, two), 1.0)
    own.flowing = {
        (COLD_PLATE, LOOP): pumped, (LOOP, RADIATOR): pumped, (RADIATOR, COLD_PLATE): pumped
    }  # fmt: skip
    for name in design.node:
        own.mass[nodes.index(name)] = of(f"node.{name}.heat_capacity_j_k")
    leader = circuits(design.link)
    for k, link in enumerate(design.link):
        one, two = (nodes.index(n) for n in link.between)
        if link.kind == "conduction":
            _add(own.conducting, (min(one, two), max(one, two)), of(f"link.{k}.w_k"))
        elif link.kind == "radiation":
            _add(own.exchanging, (min(one, two), max(one, two)), of(f"link.{k}.exchange_m2"))
        else:  # a circuit's flows rise and fall together, or it would not close
            first: Any = design.link[leader[k]]
            share = link.w_k.value / first.w_k.value
            _add(own.flowing, (one, two), share * of(f"link.{leader[k]}.w_k"))
    own.heating[BATTERY] = [tuple(of(f"battery_heater_{key}") for key in ("w", "on_k", "off_k"))]
    for k, heater in enumerate(design.heater):
        numbers = tuple(of(f"heater.{k}.{key}") for key in ("power_w", "on_k", "off_k"))
        own.heating.setdefault(nodes.index(heater.node), []).append(numbers)
    _outside(own, design, seen, of, nodes)
    return own


def _outside(own: Lumps, design: Design, seen: Seen, of: Of, nodes: list[str]) -> None:
    """Surfaces, what they radiate to space, and what they exchange among themselves."""
    names = list(seen.nodes)
    scale, open_area = {}, {}
    for name, node in seen.nodes.items():
        given = _drawn(name, seen, of) if seen.drawn else _area(name, of)
        area = np.asarray(seen.area[name] if given is None else given, float)
        absorptance, emittance = _optics(name, node, design, seen, of)
        own.surfaces[name] = area, absorptance, emittance
        scale[name] = area / seen.area[name]
        open_area[name] = area * (1 - seen.hidden[name])
    for i, one in enumerate(names):
        for j, two in enumerate(names[i:], start=i):
            drawn = float(seen.exchange[i, j]) * seen.area[one]
            if drawn < FAINT * min(seen.area[one], seen.area[two]):
                continue
            facing = drawn * np.sqrt(scale[one] * scale[two])
            bright, dark = own.surfaces[one][2], own.surfaces[two][2]
            # What is reflected is taken to reach space: of second order for surfaces this dark.
            open_area[one] = open_area[one] - facing * dark
            if i != j:
                open_area[two] = open_area[two] - facing * bright
            a, b = sorted((nodes.index(seen.nodes[one]), nodes.index(seen.nodes[two])))
            if a != b:
                _add(own.exchanging, (a, b), facing * bright * dark)
    for name, node in seen.nodes.items():
        emitting = own.surfaces[name][2] * np.maximum(open_area[name], 0.0)
        _add(own.emitting, nodes.index(node), emitting)


def _area(name: str, of: Of) -> np.ndarray | None:
    """Area of a standard surface, which the scenario gives as a number."""
    return {
        "array": lambda: of("array_m2"),
        "array_back": lambda: of("array_m2"),
        "radiator": lambda: of("body.radiator_m2"),
        "radiator_back": lambda: of("body.radiator_m2"),
        "blanket": lambda: np.asarray(6 * of("body.box_face_m2")),
        "terminals": lambda: of("body.terminals_area_m2"),
    }.get(name, lambda: None)()


def _drawn(name: str, seen: Seen, of: Of) -> np.ndarray | None:
    """Area of a drawn wing or radiator: as drawn, times what the scenario's number asks of it.

    The drawing agrees with the numbers within 2 % (`drawings`); the number counts. Booms and other
    parts on the array's node stay as drawn.
    """
    node = seen.nodes[name]
    if name == "array" or node == "array_back":
        return np.asarray(of("array_m2") * (seen.area[name] / seen.area["array"]))
    if node in ("radiator", "radiator_back"):
        fronts = sum(seen.area[s] for s, n in seen.nodes.items() if n == "radiator")
        return np.asarray(of("body.radiator_m2") * (seen.area[name] / fronts)) if fronts else None
    return None


def _optics(
    name: str, node: str, design: Design, seen: Seen, of: Of
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Absorptance and emittance: of the surface's material, or those of its node in `body`.

    Both age: a material from its new to its old value, and those in `body` as much in proportion as
    the material of their kind (`AGES_AS`). Emittances in `body` stay, as those of all built-in
    materials do.
    """
    chosen, age = seen.materials.get(name), of("coating_age")
    known: dict[str, Material] = {**materials(), **design.material}
    if chosen is None:
        label = {"array": "array_front", "radiator_back": "radiator"}.get(node, node)
        like = materials()[AGES_AS[label]]
        new, old = like.absorptance.value, (like.absorptance_eol or like.absorptance).value
        growth = 1 + (age - MIDDLE_AGE) * (old - new) / (0.5 * (new + old))
        absorptance = np.minimum(of(f"body.{label}_absorptance") * growth, 1.0)
        return absorptance, of(f"body.{label}_emittance")
    where = f"material.{chosen}"

    def aged(key: str) -> np.ndarray:
        new = of(f"{where}.{key}")
        worn = getattr(known[chosen], f"{key}_eol") is not None
        return np.asarray(new + age * (of(f"{where}.{key}_eol") - new) if worn else new)

    return aged("absorptance"), aged("emittance")


def _add(values: dict, key: object, more: np.ndarray | float) -> None:
    values[key] = values.get(key, 0.0) + more

"""Satellites that cannot be: one line for each, which says where, what is allowed, what to do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from twin.load import parse
from twin.parts import MOST_NODES, STANDARD_NODES, WITH_OPTICS, materials
from twin.problems import InputError

HEAD = "[run]\nstart = 2025-10-04T00:00:00Z\n[[shell]]\nsatellites = 3\n[class.a]\n"
NODE = f"{HEAD}[class.a.node.camera]\nheat_capacity_j_k = 500\n"


def link(one: str, other: str, more: str = "w_k = 2") -> str:
    return f"[[class.a.link]]\nbetween = ['{one}', '{other}']\n{more}\n"


def part(more: str, name: str = "wing") -> str:
    return f"{HEAD}[class.a.part.{name}]\n{more}\n"


JOINED = NODE + link("camera", "bus")
CLOSED = JOINED + "".join(
    link(*pair, "kind = 'flow'\nw_k = 5") for pair in (("camera", "bus"), ("bus", "camera"))
)
WING = part("node = 'array'\nsize_m = [1, 2]")


def problems(text: str) -> list[str]:
    try:
        parse(text, "mine.toml")
    except InputError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_what_is_right_is_taken():
    for text in (HEAD, JOINED, CLOSED, WING):
        assert problems(text) == []
    shapes = parse(
        part("node = 'array'\nsize_m = [1, 2]", "wing")
        + "[class.a.part.box]\nnode = 'blanket'\nsize_m = [1, 2, 3]\n"
        + "[class.a.part.tube]\nnode = 'bus'\nmaterial = 'osr'\nradius_m = 1\nlength_m = 2\n"
        + link("chip", "radiator", "exchange_m2 = 0.1")
    ).class_["a"]
    assert [p.kind for p in shapes.part.values()] == ["plate", "box", "cylinder"], "from their keys"
    assert shapes.link[0].kind == "radiation"


WRONG = [
    # attitude, shares of charge and temperatures
    (f"{HEAD}attitude_dark = 'edges'", "attitude_dark: got 'edges'", "'edge'?"),
    (f"{HEAD}attitude_safe = 3", "attitude_safe: got 3", "nadir, edge, sun, inertial"),
    (f"{HEAD}safe_below = 0.6", "safe_below: 0.6 is not below shed_isl_below = 0.5"),
    (f"{HEAD}battery_depth = 0.6", "shed_isl_below: 0.5 is not below 1 - battery_depth = 0.4"),
    (f"{HEAD}battery_floor = 0.35", "battery_floor: 0.35 is not below safe_below = 0.35"),
    (f"{HEAD}shed_hysteresis = 0.5", "shed_hysteresis: shed_isl_below + shed_hysteresis = 1"),
    (f"{HEAD}battery_heater_on_k = 284", "battery_heater_on_k: 284 is not", "_off_k = 283.15"),
    (f"{HEAD}battery_heater_off_k = 278.15", "battery_heater_on_k: 278.15 is not below"),
    (f"{HEAD}battery_charge_cold_k = 290", "battery_charge_cold_k: 290 is", "_warm_k = 283.15"),
    (f"{HEAD}battery_charge_stop_k = 310", "battery_charge_hot_k: 318.15 is not", "_stop_k = 310"),
    (f"{HEAD}payload = {{ kind = 'training', shutdown_k = 360 }}", "payload.throttle_full_k: 368"),
    (f"{HEAD}payload = {{ kind = 'training', resume_k = 380 }}", "payload.resume_k: 380"),
    # nodes and links
    (NODE, "node.camera: is joined to nothing", 'between = ["camera", "bus"]'),
    (NODE + link("camera", "bsu"), "link[0].between: no such node: 'bsu'", "did you mean 'bus'?"),
    (NODE + link("camera", "space"), "link[0].between: no such node: 'space'", "through a part"),
    (NODE + link("camera", "xyz"), "link[0].between: no such node: 'xyz'", "class.NAME.node.xyz"),
    (NODE + link("camera", "camera"), "link[0]: joins camera to itself"),
    (NODE + link("camera", "bus", "w_k = -2"), "link[0].w_k: got -2", "above 0"),
    (NODE + link("camera", "bus", "w_k = { value = -2, range = [1, 3] }"), "link[0].w_k: got -2"),
    (f"{HEAD}[class.a.body]\nbus_battery_w_k = {{ value = -1, range = [1, 3] }}",
     "body.bus_battery_w_k: got -1", "0 or more"),
    (NODE + link("camera", "bus", "w_k = 0"), "link[0].w_k: got 0", "above 0"),
    (NODE + link("camera", "bus", "exchange_m2 = -2"), "link[0].exchange_m2: got -2", "above 0"),
    (NODE + link("camera", "bus", "kind = 'conduct'"), "link[0].kind: got 'conduct'", "conduction"),
    (f"{NODE}[[class.a.link]]\nbetween = ['bus']\nw_k = 1", "link[0].between: needs a list of 2"),
    (JOINED + link("bus", "camera"), "link[1]: bus and camera are joined by conduction twice"),
    (HEAD + link("battery", "bus"), "link[0]: battery and bus are joined", "body.bus_battery_w_k"),
    (NODE.replace("500", "0") + link("blanket", "camera"), "link[0]: joins two nodes without heat"),
    (f"{NODE}[class.a.body]\nbus_battery_w_k = -1", "body.bus_battery_w_k: got -1", "0 or more"),
    (f"{HEAD}[class.a.body]\nbus_battery_w_k = 0", "node.battery: is joined to nothing", "above 0"),
    (f"{HEAD}[class.a.node.bus]\nheat_capacity_j_k = 1", "node.bus: is a node of the standard"),
    (f"{HEAD}[class.a.node.'a.b']\nheat_capacity_j_k = 1", "node: the name 'a.b'", "letters"),
    (f"{HEAD}[class.a.node.camera]", "node.camera.heat_capacity_j_k: is required"),
    # parts and materials
    (part("node = 'bus'\nsize_m = [1, 2]"), "part.wing.material: is missing", "white_paint, osr"),
    (WING + "material = 'osrr'", "part.wing.material: no such material: 'osrr'", "'osr'?"),
    (WING + "back_material = 'white'", "part.wing.back_material: no such", "'white_paint'?"),
    (part("node = 'aray'\nsize_m = [1, 2]"), "part.wing.node: no such node: 'aray'", "'array'?"),
    (part("node = 'array'\nkind = 'plat'"), "part.wing.kind: got 'plat'", "did you mean 'plate'?"),
    (part("node = 'array'\nsize_m = [1, 0]"), "part.wing.size_m: got 0", "each above 0"),
    (part("node = 'array'\nsize_m = [1]"), "part.wing.size_m: needs a list of 3 numbers"),
    (WING + "normal = 'upp'", "part.wing.normal: got 'upp'", "did you mean 'up'?"),
    (WING + "norml = 'up'", "part.wing.norml: unknown key", "'normal'?"),
    (part("node = 'array'\nsize_m = [1, 1, 1]\naxes = 1"), "part.wing.axes: got 1", "plate"),
    (part("node = 'array'\nsize_m = [1, 2]\naxes = 3"), "part.wing.axes: got 3", "0, 1 or 2"),
    (part("size_m = [1, 2]"), "part.wing.node: is required"),
    (part("node = 'array'\nkind = 'mesh'"), "part.wing: is an object of a mesh file", "mesh ="),
    (f"{HEAD}mesh = 'a.glb'", "mesh: no part is made from it", 'kind = "mesh"'),
    (f"{HEAD}mesh = 'a.stl'\n[class.a.part.b]\nnode = 'array'", "mesh: got 'a.stl'", "or .obj"),
    (f"{HEAD}[class.a.material.node]\nabsorptance = 0.1", "material.node.emittance: is required"),
    (
        f"{HEAD}[class.a.material.body]\nabsorptance = 0.1\nemittance = 1.2",
        "material.body.emittance: got 1.2", "0 to 1",
    ),
    (
        f"{HEAD}[class.a.material.body]\nabsorptance = 0.1\nemittance = 1\nemitance_eol = 1",
        "material.body.emitance_eol: unknown key", "'emittance_eol'?",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"), [(text, says) for text, *says in WRONG], ids=[says[0] for _, *says in WRONG]
)
def test_what_cannot_be_gives_one_line_that_says_where(text, says):
    found = problems(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"mine.toml: class.a.{says[0]}"), found[0]
    assert all(words in found[0] for words in says[1:]), found[0]


def test_several_mistakes_come_at_once():
    text = f"{HEAD}battery_heater_on_k = 290\nsafe_below = 0.6\n" + WING.removeprefix(HEAD)
    found = problems(text + "back_material = 'gold'\n" + link("bus", "bus"))
    assert sorted(line.split(": ")[1] for line in found) == [
        f"class.a.{key}"
        for key in ("battery_heater_on_k", "link[0]", "part.wing.back_material", "safe_below")
    ]


def test_flow_that_is_not_closed_names_nodes_and_sums():
    assert problems(CLOSED) == []
    found = problems(CLOSED.replace("w_k = 5", "w_k = 4", 1))
    assert len(found) == 2
    assert "link: 5 W/K flow into camera, 4 W/K flow out; allowed: equal sums" in found[0]
    assert "link: 4 W/K flow into bus, 5 W/K flow out" in found[1]


def test_twenty_nodes_and_not_one_more():
    def text(count):
        own = (f"[class.a.node.n{i}]\nheat_capacity_j_k = 1\n" for i in range(count))
        return HEAD + "".join(own) + "".join(link(f"n{i}", "bus") for i in range(count))

    most = MOST_NODES - len(STANDARD_NODES)
    assert problems(text(most)) == []
    (line,) = problems(text(most + 1))
    assert "class.a.node: 9 nodes beside the standard 12; allowed: 8 at most, 20 in all" in line


def test_a_name_means_the_same_in_every_class():
    """All classes share one list of nodes, so that a node is massless everywhere or nowhere."""
    other = JOINED[len(HEAD) :].replace("class.a", "class.b") + "[[shell]]\nclass = 'b'\n"
    assert problems(JOINED + other) == []
    (line,) = problems(JOINED + other.replace("500", "0"))
    assert "class.b.node.camera: in class a a node of this name has a heat capacity" in line


names = st.sampled_from([f"n{i}" for i in range(6)] + ["bus", "chip", "radiator"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(names, names).filter(lambda pair: pair[0] != pair[1]), max_size=8),
    st.sets(st.sampled_from([f"n{i}" for i in range(6)])),
)
def test_islands_are_those_that_scipy_finds(pairs, radiating):
    """Own nodes are told of if, and only if, no chain of links leads to the rest or to a part."""
    pairs = list({frozenset(p): p for p in pairs}.values())
    own = [f"n{i}" for i in range(6)]
    text = HEAD + "".join(f"[class.a.node.{n}]\nheat_capacity_j_k = 1\n" for n in own)
    for n in sorted(radiating | {"blanket"}):  # a part of the standard network radiates
        text += f"[class.a.part.on_{n}]\nnode = '{n}'\nmaterial = 'osr'\nsize_m = [1, 1]\n"
    text += "".join(link(one, other, "exchange_m2 = 1") for one, other in pairs)
    index = {n: i for i, n in enumerate(own)}
    edges = [[index.get(n, 6) for n in pair] for pair in pairs]  # 6: the rest, and space
    edges += [[index[n], 6] for n in radiating]
    rows, columns = np.array(edges or [[6, 6]]).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(7, 7))
    _, label = connected_components(graph, directed=False)
    lost = [n for n in own if label[index[n]] != label[6]]
    assert [line.split(": ")[1] for line in problems(text)] == [f"class.a.node.{n}" for n in lost]


@pytest.mark.parametrize("name", sorted(materials()))
def test_materials_age_towards_the_worse_and_say_who_says_so(name):
    what = materials()[name]
    assert what.source and what.absorptance.range and what.emittance.range
    if what.absorptance_eol:
        assert what.absorptance_eol.value > what.absorptance.value, "surfaces darken"
    assert problems(part(f"node = 'bus'\nsize_m = [1, 2]\nmaterial = '{name}'")) == []


def test_a_material_of_ones_own_may_be_used():
    own = "[class.a.material.gold]\nabsorptance = 0.2\nemittance = 0.03\n"
    text = part("node = 'bus'\nsize_m = [1, 2]\nmaterial = 'gold'")
    assert problems(text + own) == [] and len(problems(text)) == 1


def test_nodes_with_optics_need_no_material():
    for node in STANDARD_NODES:
        found = problems(part(f"node = '{node}'\nsize_m = [1, 2]"))
        assert (found == []) == (node in WITH_OPTICS)

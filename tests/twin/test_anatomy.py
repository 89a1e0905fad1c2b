"""Nodes, joints and surfaces: areas and optics, and a balance of what the surfaces radiate."""

from dataclasses import replace

import numpy as np
import pytest

from twin.anatomy import FAINT, anatomy
from twin.build import build, nominal
from twin.constellation import STANDARD
from twin.crafts import Seen, gallery
from twin.fleet import fleet
from twin.load import load, parse
from twin.parts import STANDARD_JOINTS, STANDARD_NODES, materials
from twin.problems import InputError

RUN = "[run]\nstart = 2026-03-20T12:00:00Z\nduration_h = 1\n"
TWO = """
[class.a]
[class.a.body]
radiator_sides = 2
radiator_faces = "wake"
[class.b]
array_m2 = 30
[class.b.payload]
kind = "training"
devices = 3
[class.b.body]
radiator_m2 = 12
box_face_m2 = 4
loop_flow_w_k = 500
[class.b.node.camera]
heat_capacity_j_k = 5000
[[class.b.link]]
between = ["camera", "bus"]
w_k = 0.8
[[class.b.link]]
between = ["camera", "radiator"]
exchange_m2 = 0.02
[[shell]]
class = "a"
satellites = 1
altitude_km = 600
[[shell]]
class = "b"
satellites = 1
altitude_km = 600
"""
NODE = {name: k for k, name in enumerate(STANDARD)}


def bodies(scenario, changed=None):
    """The anatomy of a scenario, with numbers of class a or b changed, and what was seen."""
    flying = fleet(scenario)
    shown, value, changed = gallery(scenario, flying), nominal(scenario), changed or {}
    designs = {name: scenario.class_[name] for name in flying.classes}

    def of(name):
        return lambda key: np.asarray(changed.get(key, value(f"class.{name}.{key}")))

    return anatomy(designs, shown, of), shown


@pytest.fixture(scope="module")
def two():
    return parse(RUN + TWO)


@pytest.fixture(scope="module")
def found(two):
    return bodies(two)


def balance(own, seen, nodes):
    """By node: what leaves at one temperature, and what each surface alone would radiate."""
    alone, caught = np.zeros(len(nodes)), np.zeros(len(nodes))
    names = list(seen.nodes)
    scale = {s: own.surfaces[s][0] / seen.area[s] for s in names}
    for i, one in enumerate(names):
        area, _, bright = own.surfaces[one]
        k = nodes.index(seen.nodes[one])
        alone[k] += bright * area * (1 - seen.hidden[one])
        for j, two in enumerate(names):
            flow = seen.exchange[i, j] * seen.area[one] * np.sqrt(scale[one] * scale[two])
            if seen.exchange[i, j] * seen.area[one] >= FAINT * min(seen.area[one], seen.area[two]):
                caught[k] += bright * own.surfaces[two][2] * flow
    return alone, caught


@pytest.mark.parametrize("name", ["a", "b", "imager"])
def test_at_one_temperature_nothing_is_exchanged_and_nothing_is_lost(two, found, name):
    """What leaves is eps A (1 - hidden) less what other surfaces catch; all of that is exchanged.

    What a surface of the same node catches comes back to it. So the sum over nodes of what is
    emitted, and twice the exchanges between nodes, is what the surfaces would radiate alone, less
    what stays within a node.
    """
    if name == "imager":
        scenario = load("parts").scenario
        body, shown = bodies(scenario)
    else:
        body, shown = found
    own, seen = body.lumps[name], shown.seen[name]
    alone, caught = balance(own, seen, list(body.nodes))
    emitted = np.array([float(own.emitting.get(k, 0.0)) for k in range(len(body.nodes))])
    np.testing.assert_allclose(emitted, alone - caught, atol=1e-12)
    assert caught.sum() > 0.01, "surfaces see one another"
    by_hand = {pair: x for pair, x in own.exchanging.items() if pair != camera(body)}
    exchanged = np.zeros(len(body.nodes))
    for (one, other), area in by_hand.items():
        exchanged[[one, other]] += float(area)
    within = caught - exchanged
    assert (within > -1e-12).all(), "no more is exchanged than is caught"
    assert emitted.sum() + exchanged.sum() + within.sum() == pytest.approx(alone.sum())


def camera(body):
    """The one exchange that a user gives by hand."""
    if "camera" not in body.nodes:
        return None
    return NODE["radiator"], body.nodes.index("camera")


def test_a_wrong_count_of_what_is_caught_would_show(two, found):
    """Twice the exchange, or none: the sums above are off by more than 1 % of all emission."""
    body, shown = found
    seen = shown.seen["a"]
    right = sum(float(x) for x in body.lumps["a"].emitting.values())
    for factor in (0.0, 2.0):
        wrong: Seen = replace(seen, exchange=factor * seen.exchange)
        other = anatomy(
            {"a": two.class_["a"]},
            replace(shown, seen={"a": wrong}),
            lambda _: lambda key: np.asarray(nominal(two)(f"class.a.{key}")),
        )
        assert abs(sum(float(x) for x in other.lumps["a"].emitting.values()) / right - 1) > 0.01


def test_classes_share_one_list_and_lack_what_they_have_not(found):
    body, shown = found
    assert body.nodes == (*STANDARD, "camera") and STANDARD == STANDARD_NODES
    a, b = body.parameters("a"), body.parameters("b")
    assert set(a) == set(b), "the same keys, so the same program"
    assert a["heat_capacity.12"] == 1.0 and b["heat_capacity.12"] == 5000
    back = body.surfaces.index("radiator_back")
    assert b[f"surface_area.{back}"] == 0 and a[f"surface_area.{back}"] == pytest.approx(0.8)
    assert b[f"emitting_area.{NODE['radiator_back']}"] == 0
    assert body.surfaces == shown.surfaces
    assert [body.nodes[k] for k in body.surface_nodes] == list(shown.surface_nodes)
    assert body.arithmetic == (NODE["blanket"],)


def test_joints_are_those_of_the_list_scaled_by_size(two, found):
    body, _ = found
    b, design = body.lumps["b"], two.class_["b"]
    times = {"array_through_w_k_m2": 30, "radiator_through_w_k_m2": 12, "chip_cold_plate_w_k": 3}
    for pair, key in STANDARD_JOINTS.items():
        joint = tuple(sorted(NODE[name] for name in pair))
        pumped = key in ("cold_plate_loop_w_k", "loop_radiator_w_k")  # in b fluid flows there
        expected = 0.0 if pumped else getattr(design.body, key).value * times.get(key, 1)
        assert b.conducting[joint] == pytest.approx(expected)
    assert b.conducting[NODE["bus"], 12] == 0.8
    assert set(b.flowing) == {(6, 7), (7, 8), (8, 6)} and {
        float(x) for x in b.flowing.values()
    } == {500}
    assert all(not np.any(x) for x in body.lumps["a"].flowing.values())
    named = [j for j in body.links if max(j) < len(STANDARD)]
    assert len(named) == len(STANDARD_JOINTS), "every joint conducts in one class or the other"


def test_masses_follow_the_sizes(two, found):
    body, _ = found
    mass, design = body.lumps["b"].mass, two.class_["b"].body
    assert mass[NODE["array"]] == pytest.approx(30 * design.cell_heat_capacity_j_k_m2.value)
    face = 0.5 * 12 * design.radiator_heat_capacity_j_k_m2.value
    assert mass[NODE["radiator"]] == mass[NODE["radiator_back"]] == pytest.approx(face)
    assert mass[NODE["chip"]] == pytest.approx(3 * design.chip_heat_capacity_j_k.value)


def test_variants_scale_areas_without_another_look(two, found):
    """Three variants of the radiator's area: its surfaces, mass and emission go with it."""
    sizes = np.array([0.8, 1.0, 1.2])
    body, _ = bodies(two, {"body.radiator_m2": sizes})
    own, one = body.lumps["a"], found[0].lumps["a"]
    k = NODE["radiator"]
    np.testing.assert_allclose(own.surfaces["radiator"][0], sizes)
    np.testing.assert_allclose(own.mass[k], one.mass[k] * sizes / 0.8)
    np.testing.assert_allclose(own.emitting[k], one.emitting[k] * sizes / 0.8, rtol=0.02)
    np.testing.assert_allclose(own.emitting[k][0], one.emitting[k])
    joint = NODE["radiator"], NODE["radiator_back"]
    np.testing.assert_allclose(own.conducting[joint], one.conducting[joint] * sizes / 0.8)
    shared = [v for (i, j), v in own.exchanging.items() if NODE["radiator_back"] in (i, j)]
    assert shared and all(np.ptp(v) > 0 for v in shared), "and what it exchanges, with the root"


def test_drawn_wings_and_radiators_follow_their_numbers():
    """Light, what is radiated, mass and electricity: all by one factor; the rest stays as drawn."""
    scenario = load("parts").scenario
    factors = np.array([1.0, 0.5, 2.0])
    plain = nominal(scenario)
    for key, moved, node in (
        ("array_m2", {"array", "array_back"}, "array_back"),
        ("body.radiator_m2", {"radiator", "radiator_back"}, "radiator"),
    ):
        sizes = factors * plain(f"class.imager.{key}")
        body, _ = bodies(scenario, {key: sizes})
        own, k = body.lumps["imager"], NODE[node]
        for name, (area, _, _) in own.surfaces.items():
            drawn = area * np.ones(3)
            np.testing.assert_allclose(drawn / drawn[0], factors if name in moved else 1.0)
        np.testing.assert_allclose(own.mass[k] / own.mass[k][0], factors)
        np.testing.assert_allclose(own.emitting[k] / own.emitting[k][0], factors, rtol=0.15)
    sizes = np.array([2.4, 1.2])
    wings = {"class.imager.array_m2": sizes}
    lanes = np.zeros(2, np.int64), np.arange(2)
    built, _ = build(scenario, fleet(scenario), lambda n: wings.get(n, plain(n)), lanes)
    sats = built.satellites
    np.testing.assert_allclose(sats.panels.area, sats.skin.area[sats.skin.front])
    np.testing.assert_allclose(sats.panels.area, sizes)


def test_a_radiator_drawn_otherwise_than_its_number_is_refused():
    scenario = load("parts", ["class.imager.body.radiator_m2=1.2"]).scenario
    with pytest.raises(InputError, match=r"show 0.8 m², backs not counted, but body.radiator_m2"):
        gallery(scenario, fleet(scenario))


def test_the_optics_of_the_standard_craft_age():
    """In proportion as the materials of their kind; cells under glass and emittances do not."""
    scenario = parse(RUN + TWO)
    young, middle, old = (
        bodies(scenario, {"coating_age": np.asarray(age)})[0].lumps["a"].surfaces
        for age in (0.0, 0.5, 1.0)
    )
    for name, key in (
        ("radiator", "white_paint"), ("radiator_back", "white_paint"), ("blanket", "kapton_mli"),
        ("array_back", "white_paint"), ("terminals", "white_paint"),
    ):  # fmt: skip
        kind = materials()[key]
        ratio = kind.absorptance_eol.value / kind.absorptance.value
        assert old[name][1] / young[name][1] == pytest.approx(ratio), name
        assert middle[name][1] == pytest.approx((old[name][1] + young[name][1]) / 2)
    body_of = scenario.class_["a"].body
    assert middle["radiator"][1] == body_of.radiator_absorptance.value
    assert middle["blanket"][1] == body_of.blanket_absorptance.value
    assert old["array"] == young["array"]
    assert all(old[name][2] == young[name][2] for name in old)


def test_optics_are_those_of_the_material_at_its_age():
    scenario = load("parts", ["class.imager.coating_age=0.25"]).scenario
    body, _ = bodies(scenario)
    own, teflon = body.lumps["imager"], materials()["silver_teflon"]
    old, new = teflon.absorptance_eol.value, teflon.absorptance.value
    _, absorptance, emittance = own.surfaces["radiator"]
    assert absorptance == pytest.approx(0.75 * new + 0.25 * old)
    assert emittance == teflon.emittance.value, "no other value at the end of life"
    body_of = scenario.class_["imager"].body
    assert own.surfaces["array"][1] == body_of.array_front_absorptance.value
    assert own.surfaces["array_back"][2] == body_of.array_back_emittance.value

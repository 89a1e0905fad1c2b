"""What is sampled: every range of a scenario that the run uses; and each moves something."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.build import build, nominal
from twin.constants import WH
from twin.fleet import fleet
from twin.load import load, parse, shipped
from twin.parts import circuits
from twin.remedies import planned
from twin.simulate import Clock, Engine, check, simulate
from twin.uncertainty import batch, draws, inputs, joined, representatives, varied

OWN = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 1
step_s = 20
record_s = 120
[class.a]
array_m2 = 2
coating_age = { value = 0.5, range = [0, 1], origin = "assumed" }
[class.a.body]
radiator_m2 = { value = 1.0, range = [0.9, 1.1], origin = "assumed" }
[class.a.part]
box = { node = "blanket", size_m = [1, 0.8, 0.8], material = "paint" }
wing = { node = "array", axes = 1, size_m = [1, 2], normal = "up", centre_m = [0.6, 0, 2] }
panel = { node = "radiator", size_m = [1, 1], normal = "cold", centre_m = [0, 0, -0.5], \
material = "osr" }
[class.a.material.paint]
absorptance = { value = 0.3, range = [0.25, 0.4], origin = "assumed" }
absorptance_eol = { value = 0.4, range = [0.35, 0.6], origin = "assumed" }
emittance = { value = 0.8, range = [0.7, 0.9], origin = "assumed" }
[class.a.material.spare]
absorptance = { value = 0.3, range = [0.25, 0.4], origin = "assumed" }
emittance = 0.8
[class.a.node.tank]
heat_capacity_j_k = { value = 4000, range = [3000, 6000], origin = "assumed" }
limit_high_k = { value = 320, range = [310, 330], origin = "assumed" }
[class.a.node.pump]
heat_capacity_j_k = 900
[[class.a.link]]
between = ["tank", "bus"]
w_k = { value = 2, range = [1, 4], origin = "assumed" }
[[class.a.link]]
between = ["tank", "radiator"]
exchange_m2 = { value = 0.05, range = [0.02, 0.1], origin = "assumed" }
[[class.a.link]]
between = ["tank", "pump"]
kind = "flow"
w_k = 6
[[class.a.link]]
between = ["pump", "bus"]
kind = "flow"
w_k = { value = 4, range = [3, 6], origin = "assumed" }
[[class.a.link]]
between = ["pump", "battery"]
kind = "flow"
w_k = { value = 2, range = [1, 3], origin = "assumed" }
[[class.a.link]]
between = ["bus", "battery"]
w_k = 4
kind = "flow"
[[class.a.link]]
between = ["battery", "tank"]
kind = "flow"
w_k = 6
[[class.a.heater]]
node = "tank"
power_w = { value = 8, range = [6, 10], origin = "assumed" }
on_k = { value = 280, range = [278, 281], origin = "assumed" }
off_k = { value = 284, range = [283, 286], origin = "assumed" }
[[shell]]
satellites = 2
altitude_km = 600
"""
OWNED = {
    "coating_age", "body.radiator_m2", "material.osr.absorptance", "material.osr.emittance",
    "material.paint.absorptance", "node.tank.heat_capacity_j_k",
    "material.paint.absorptance_eol", "material.paint.emittance", "link.0.w_k",
    "link.1.exchange_m2", "link.3.w_k", "heater.0.power_w", "heater.0.on_k", "heater.0.off_k",
}  # fmt: skip
UNUSED = (
    "material.spare.absorptance", "node.tank.limit_high_k", "link.4.w_k",
    "material.white_paint.emittance", "body.radiator_absorptance", "body.blanket_emittance",
)  # fmt: skip


@pytest.fixture(scope="module")
def own():
    return parse(OWN)


def test_ranges_of_ones_own_nodes_links_heaters_and_materials_are_sampled(own):
    found = {item.name.removeprefix("class.a.") for item in inputs(own, fleet(own))}
    assert found >= OWNED, OWNED - found
    assert not found & set(UNUSED), "what the run does not use would only dilute the rest"


SLOW = pytest.mark.slow
NAMES = [pytest.param(n, marks=SLOW if n == "star2035" else ()) for n in (*shipped(), "own")]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_sampled_moves_the_run(name, own):
    """Each input alone, at its lowest and its highest: some array of the build differs."""
    scenario = own if name == "own" else load(name).scenario
    ships = fleet(scenario)
    found = inputs(scenario, ships)
    plain, count = nominal(scenario), len(found)
    columns = {}
    for k, item in enumerate(found):
        columns[item.name] = np.full(2 * count, item.value)
        columns[item.name][2 * k : 2 * k + 2] = item.low, item.high
    firsts = np.unique(ships.class_index, return_index=True)[1]
    lanes = np.tile(firsts, 2 * count), np.repeat(np.arange(2 * count), firsts.size)
    built = build(scenario, ships, lambda key: columns.get(key, plain(key)), lanes)
    moved = np.zeros(count, bool)
    for leaf in jax.tree.leaves(built):
        leaf = np.asarray(leaf)
        if leaf.ndim and leaf.shape[-1] == lanes[0].size and leaf.dtype != bool:
            ends = leaf.astype(float).reshape(-1, count, 2, firsts.size)
            moved |= (ends[:, :, 0] != ends[:, :, 1]).any(axis=(0, 2))
    assert count > 10
    assert moved.all(), [item.name for item, ok in zip(found, moved, strict=True) if not ok]


@SLOW
def test_flows_that_meet_vary_together_and_books_stay_closed(own):
    links = own.class_["a"].link
    assert circuits(links) == dict.fromkeys(range(2, 7), 3), "the first with a range leads"
    ships = fleet(own)
    found = inputs(own, ships)
    rows = draws(found, 7, 1)
    lanes = np.tile([0, 1], 8), np.repeat(np.arange(8), 2)
    constellation, state = build(own, ships, varied(own, found, rows), lanes)
    flow = np.asarray(constellation.satellites.body.flow)
    live = flow[flow.any(axis=1)]
    assert len(live) == 5 and np.ptp(live[:, ::2], axis=1).min() > 0.5
    np.testing.assert_allclose(live / live[0], (live[:, :1] / live[0, 0]) * np.ones(16))
    run = own.run
    engine = Engine(constellation, state, Clock.of(run.step_s, run.record_s, 3600.0, 16))
    end = simulate(engine, state)
    check(end, engine, 3600.0)
    assert float(np.asarray(end.ledger.heat_residual).max()) < 1e-6


def test_the_age_of_coatings_moves_temperatures(own):
    """New and old, after twenty minutes of sunlight: the old box is warmer by a kelvin and more."""
    constellation, state = build(
        own, fleet(own),
        lambda key: np.array([0.0, 1.0]) if key.endswith("coating_age") else nominal(own)(key),
        (np.zeros(2, np.int64), np.arange(2)),
    )  # fmt: skip
    run = own.run
    engine = Engine(constellation, state, Clock.of(run.step_s, run.record_s, 1200.0, 2))
    end = simulate(engine, state)
    blanket = np.asarray(end.temperature)[constellation.satellites.body.names.index("blanket"), :2]
    assert blanket[1] > blanket[0] + 1.0


SHELL = """
[run]
start = 2025-03-20T12:00:00Z
[[shell]]
satellites = 100
planes = 4
"""


@pytest.mark.parametrize("name", ["scs01", "shell", pytest.param("star2035", marks=SLOW)])
def test_a_study_flies_in_the_program_that_was_planned(name, monkeypatch):
    """It is compiled before the run tells who is emptiest, and what batteries the night takes."""
    monkeypatch.setattr(Engine, "compile", lambda self, state, records: None)
    scenario = parse(SHELL) if name == "shell" else load(name).scenario
    ships = fleet(scenario)
    run = scenario.run
    mine, state = build(scenario, ships)
    engine = Engine(mine, state, Clock.of(run.step_s, run.record_s, 86_400.0, len(ships)))
    plan = planned(scenario, ships, engine)
    larger = {name: 1.2 * scenario.class_[name].battery_wh.value for name in ships.classes}
    value, count = joined(plan.parts(scenario, larger))
    random = np.random.default_rng(1)
    ledger = replace(
        state.ledger,
        battery_least=jnp.asarray(random.random(len(ships))),
        chip_hottest=jnp.asarray(random.random(len(ships))),
    )
    who = representatives(ships, ledger, count)
    built = batch(scenario, ships, who, value, count)
    assert plan.engine is not engine and plan.engine.fits(*built)
    where = count * who.satellites.size
    energy = np.asarray(built[0].satellites.battery.capacity)[:where].reshape(count, -1) / WH
    nominal_wh = [scenario.class_[ships.classes[k]].battery_wh.value for k in ships.class_index]
    row = len(plan.rows)  # the first of the arrays
    np.testing.assert_allclose(energy[row], 1.2 * np.array(nominal_wh)[who.satellites])

"""Sizing: what closes, closes; what is a little smaller does not; and the hardest days."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from calling import command, refused  # noqa: F401  # fixtures

from twin import seasons, size_cli, sizing, tally
from twin.build import build, nominal
from twin.constellation import RADIATOR
from twin.effects import Effects
from twin.fleet import fleet
from twin.gradients import HEADLINES, Slopes, number_of, with_number
from twin.hard_days import chosen, hard_days
from twin.load import load, parse
from twin.remedies import throttle_start
from twin.simulate import Clock, Engine
from twin.trials import Day, Programs, Trial

SMALL = """
title = "Small"
[run]
start = 2025-03-20T12:00:00Z
duration_h = 12
step_s = 30
record_s = 300
samples = 0
[class.a]
array_axes = 2
battery_wh = 400
payload = { kind = "inference", devices = 2 }
[class.b]
array_axes = 2
array_m2 = 4
battery_wh = 1500
payload = { kind = "training", compute_w = 300 }
[class.b.body]
radiator_m2 = 2
[[shell]]
kind = "sso"
class = "a"
satellites = 4
planes = 2
ltan_h = 10.5
ltan_spread_h = 1
altitude_km = 540
[[shell]]
class = "b"
satellites = 3
planes = 3
altitude_km = 560
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenario():
    return parse(SMALL)


@pytest.fixture(scope="module")
def ships(scenario):
    return fleet(scenario)


@pytest.fixture(scope="module")
def sized(scenario, ships):
    heard = []
    answer = sizing.size(scenario, ships, season="asis", slopes=False, say=heard.append)
    assert len(heard) == 1 + sizing.ROUNDS, "every stage is told"
    return answer


def put_back(scenario, sizes, **factors):
    """The scenario with sizes of a class written into it; parts that are drawn grow with them."""
    for name, needed in sizes.items():
        for part, size in needed.items():
            label = f"class.{name}.{sizing.PARTS[part]}"
            stretch = factors.get(part, 1.0) * size / number_of(scenario, label)
            scenario = with_number(scenario, label, factors.get(part, 1.0) * size)
            design = scenario.class_[name]
            drawn = {
                key: one.model_copy(
                    update={"size_m": tuple(np.sqrt(stretch) * np.array(one.size_m))}
                )
                for key, one in design.part.items()
                if one.node == part
            }
            if drawn:
                changed = design.model_copy(update={"part": design.part | drawn})
                scenario = scenario.model_copy(update={"class_": scenario.class_ | {name: changed}})
    return scenario


ENGINES = []  # compiled rollouts of the runs below


def simply_run(scenario, ships):
    """An ordinary run of the whole fleet, without upsets: charge at its least, the settled half."""
    for name in ships.classes:
        scenario = with_number(scenario, f"class.{name}.resets_per_day", 0.0)
    constellation, state = build(scenario, ships)
    run = scenario.run
    clock = Clock.of(run.step_s, run.record_s, run.duration_h * 3600, len(ships))
    known = [engine for engine in ENGINES if engine.fits(constellation, state)]
    if not known:
        ENGINES.append(Engine(constellation, state, clock))
    engine = (known or ENGINES)[-1].holding(constellation)
    state, _ = engine.advance(engine.start(state), 0, clock.records // 2)
    first = engine.ledger(state)
    afresh = tally.opened(state.battery_energy, jnp.asarray(state.temperature))
    state = engine.start(eqx.tree_at(lambda s: s.ledger, state, afresh))
    state, _ = engine.advance(state, clock.records // 2, clock.records // 2)
    ledger = engine.ledger(state)
    capacity = np.asarray(constellation.satellites.battery.capacity)
    return ledger, np.minimum(first.battery_least, ledger.battery_least) / capacity


def closed(scenario, ships, name, ledger, least):
    """Whether a class closes its budgets of energy and of heat in a run, by the run's own books."""
    mine = ships.class_index == ships.classes.index(name)
    design = scenario.class_[name]
    serves = design.payload.kind == "inference"
    reserve = 1 - design.battery_depth.value
    reserve += 0.0 if serves else design.battery_ration_band.value
    lost = ledger.tokens_lost_to_energy[mine] <= 1e-3 * ledger.tokens_offered[mine]
    served = ledger.unserved_energy[:, mine].sum(axis=0) <= 1e-3 * ledger.housekeeping_energy[mine]
    energy = lost.all() and served.all() and (least[mine] >= reserve).all()
    chip = ledger.chip_hottest[mine].max() <= throttle_start(scenario, ships, name)
    return energy, chip and ledger.cell_hottest[mine].max() <= 318.15


@pytest.mark.parametrize("less", [None, *sizing.PARTS])
def test_needed_sizes_close_when_simply_run_and_smaller_ones_do_not(less, scenario, ships, sized):
    """Put back and drawn anew: as needed, then each part alone a tenth smaller."""
    sizes = {one.name: one.needed for one in sized.classes}
    other = put_back(scenario, sizes, **({less: 0.9} if less else {}))
    ledger, least = simply_run(other, ships)
    for name in "ab":
        energy, heat = closed(other, ships, name, ledger, least)
        print(name, less, energy, heat, sizes[name])
        if less is None:
            assert energy and heat
        else:
            assert not (heat if less == "radiator" else energy)


def test_a_drawn_craft_closes_with_its_parts_drawn_at_the_sizes_found():
    """The shipped `parts`: both areas act, though nothing but its drawing has radiators."""
    sharp = ["run.start=2025-12-08T12:00:00Z", "run.step_s=60", "run.record_s=600"]
    given = load("parts", sharp).scenario
    ships = fleet(given)
    (one,) = sizing.size(given, ships, season="asis", slopes=False).classes
    assert one.now.closes and one.then.closes
    assert one.needed["radiator"] < 0.6 * one.present["radiator"], "twice what it needs"
    assert one.needed["array"] < 0.7 * one.present["array"]
    for less, expected in (
        (None, (True, True)),
        ("array", (False, True)),
        ("radiator", (True, False)),
    ):
        factors = {less: 0.9} if less else {}
        other = put_back(given, {"imager": one.needed}, **factors)
        ledger, least = simply_run(other, ships)
        print(less, one.needed, least.min(), ledger.cell_hottest.max(), ledger.chip_hottest.max())
        assert closed(other, ships, "imager", ledger, least) == expected, less
    assert any("change the parts" in note for note in one.notes)


def test_the_answer_says_what_is_there_and_what_decides(sized, scenario):
    a, b = sized.classes
    assert (a.name, b.name) == ("a", "b") and a.present["array"] == 2.0
    assert not a.now.closes and a.then.closes, "400 Wh are too few for two computers"
    assert a.needed["battery"] > 400
    assert a.decided["energy"] == (date(2025, 3, 20), 0) and b.decided["heat"][1] == 1
    lines = "\n".join(size_cli.page(sized, scenario))
    for word in ("class a: does not close as it is", "battery", "margin", "20 March 2025"):
        assert word in lines
    found = json.loads(json.dumps(size_cli.as_json(sized, scenario), allow_nan=False))
    assert found["dates"] == ["2025-03-20"] and found["classes"][0]["name"] == "a"
    assert found["classes"][0]["needed"]["battery_wh"] == a.needed["battery"]


COLD = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 12
step_s = 30
record_s = 300
[class.a]
array_axes = 2
array_m2 = 4
battery_wh = 1500
survival_w = 60
battery_heater_w = 5
[class.a.body]
radiator_m2 = 3
[class.a.node.camera]
heat_capacity_j_k = 500
limit_low_k = 285
limit_high_k = 290
[[class.a.link]]
between = ["camera", "bus"]
w_k = 1
[[shell]]
kind = "sso"
satellites = 2
ltan_h = 10.5
"""


def test_the_cold_budget_is_told_too():
    """Far more radiator than it needs: a battery below zero, its heater on, a camera too cold."""
    cold = parse(COLD)
    ships = fleet(cold)
    answer = sizing.size(cold, ships, season="asis", slopes=False)
    (one,) = answer.classes
    assert one.now.coldest < 273.15 and not one.now.closes
    assert one.now.heater == pytest.approx(5.0, abs=0.3), "it is on all the time"
    assert one.now.nodes["camera"][0] < 285
    assert one.new < one.now.coldest, "new coatings absorb less"
    assert one.then.closes and one.then.coldest > 273.15 and one.then.heater == 0
    text = "\n".join(size_cli.page(answer, cold))
    for words in ("cold, as it is: the battery falls to -", "Wh a day", "node camera cools to"):
        assert words in text, text
    assert "hot, as needed: node camera reaches" in text
    assert "cold, as needed" not in text


def test_a_class_alone_and_old(scenario, ships, sized):
    """At the end of life the array is larger by what the cells lost; one class is asked for."""
    old = sizing.size(scenario, ships, only="a", season="asis", life=10.0, slopes=False).classes
    assert [one.name for one in old] == ["a"]
    ratio = old[0].needed["array"] / sized.classes[0].needed["array"]
    assert ratio == pytest.approx((1 - 0.01) ** (1 - 10), abs=0.04), "the grid is 2 % wide"


def test_slopes_are_told_in_steps_that_a_person_would_take(scenario, sized):
    values = np.array([[0.7, 0.8], [330.0, 320.0], [1e7, 0.0]])
    by = np.zeros((3, 2, 2))
    by[:, 0, 0], by[:, 1, 0] = (0.31, -2.0, 2.4e6), (0.05, 1.0, 1e5)
    names = ("class.a.array_m2", "shell.0.ltan_h")
    secants = by.copy()
    secants[0, 0, 0], secants[1, 0, 0] = 0.25, -2.1
    told = Effects(
        Slopes(names, values, by, ({"shed_h": 2.0}, {})), secants, np.array([2.0, 10.5]), ("so",)
    )
    answer = replace(sized, effects=told, effects_date=date(2025, 3, 20))
    text = "\n".join(size_cli.page(answer, scenario))
    assert "+0.1 m² of array" in text and "least charge +3.10 [+2.50] points" in text
    assert "hottest chip -0.20 K, tokens +2.40 %" in text, "a twentieth is no difference"
    assert "hours with the payload asleep: 2" in text and text.endswith("so")
    rows = size_cli.as_json(answer, scenario)["effects"]
    assert {row["headline"] for row in rows} == set(HEADLINES) and len(rows) == 6
    assert [row["differ"] for row in rows] == [True] + 5 * [False]
    assert {row["class"] for row in rows} == {"a"}


def test_the_year_knows_the_facts_table_of_nights():
    """Nights in a year, by the project's facts (cylinder): 500 km, local time 22.4 and 18 h."""
    text = """
[run]
start = 2025-01-01T00:00:00Z
[[shell]]
kind = "sso"
satellites = 1
altitude_km = 500
ltan_h = {}
"""
    late, dusk = (parse(text.format(hour)) for hour in (22.4, 18.0))
    found = seasons.year(late, fleet(late))
    period = 94.62 * 60
    assert found.night.max() / 60 == pytest.approx(35.1, abs=0.15)
    assert found.night.min() / period == pytest.approx(0.360, abs=0.002)
    edge = fleet(dusk)
    found = seasons.year(dusk, edge)
    assert found.night.max() / 60 == pytest.approx(22.7, abs=0.4), "dates are ten days apart"
    assert (found.night[:, 0] > 0).mean() == pytest.approx(106 / 365, abs=0.04)


def test_hard_days_are_the_worst_of_the_year_by_running_it():
    """At dusk: the deepest night in June; nowhere in the year is any measure worse than here."""
    dusk = parse(
        "[run]\nstart = 2025-01-01T00:00:00Z\nduration_h = 6\nstep_s = 30\nrecord_s = 300\n"
        "[class.standard]\narray_axes = 2\n"
        '[[shell]]\nkind = "sso"\nsatellites = 1\naltitude_km = 500\nltan_h = 18\n'
    )
    ships, programs = fleet(dusk), Programs(dusk)
    days = hard_days(dusk, ships, "worst", programs, nominal, 1)
    print([day.date for day in days])
    assert any(abs((day.date - datetime(2025, 6, 21, tzinfo=UTC)).days) < 12 for day in days)
    alone = Trial(
        [Day(*seasons.at(dusk, ships, d), d, np.zeros(1, np.int64)) for d in seasons.dates(dusk)],
        programs,
    )
    hardest = Trial(days, programs)
    for what, slack in (("least", 0.01), ("chip", 0.3), ("cell", 0.3), ("coldest", 1.0)):
        sign = -1 if what in ("least", "coldest") else 1
        ours, everywhere = (
            sign * float(getattr(trial(nominal, 1), what)[0, 0]) for trial in (hardest, alone)
        )
        print(what, ours, everywhere)
        assert ours >= everywhere - slack, what


def test_few_dates_serve_all_shells_and_measures():
    """Three dates, two shells, five measures: two dates are worst, the third nearly so."""
    worst = np.zeros((3, 2, 5))
    worst[:, 0, 0] = 0.2, 0.3, 0.299
    worst[:, 0, 1] = -10.0, -12.0, -11.9
    worst[:, 1, 2] = 300.0, 340.0, 339.8
    assert chosen(worst) == [0, 1]


def test_walker_nodes_drift_from_date_to_date(scenario, ships):
    moved, there = seasons.at(scenario, ships, datetime(2025, 4, 19, 12, tzinfo=UTC))
    rate = np.asarray(ships.orbit.raan_rate)[-1]
    turned = np.asarray(there.orbit.raan)[-1] - np.asarray(ships.orbit.raan)[-1]
    wrapped = (turned - rate * 30 * 86_400 + np.pi) % (2 * np.pi) - np.pi
    assert abs(wrapped) < 1e-9
    assert moved.shell[0] == scenario.shell[0], "local time stays"


def test_the_end_of_life_is_old_cells_and_old_coatings_once(scenario, ships):
    """White paint grows from 0.16 to 0.25 over its life: 0.20 in the middle, 0.244 at the end."""
    old = sizing.aged(scenario, 7.0)
    assert number_of(old, "class.a.array_age_years") == 7.0
    assert number_of(old, "class.b.coating_age") == 1.0
    assert number_of(scenario, "class.a.array_age_years") == 1.0
    constellation, _ = build(old, ships)
    skin = constellation.satellites.skin
    radiator = skin.nodes.index(RADIATOR)
    np.testing.assert_allclose(skin.absorptance[radiator], 0.2 * (1 + 0.5 * 0.09 / 0.205))
    assert skin.absorptance[radiator].max() < 0.25, "not aged twice: 0.305"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scs01", "--class", "larg"), ("no class", "large")),
        (("scs01", "--season", "winter"), ("winter", "worst, asis")),
        (("scs01", "--life", "-5"), ("--life", "got -5", "years above 0, to 30")),
        (("scs01", "--eol", "--life", "0"), ("--life", "got 0", "above 0")),
        (("scs01", "--life", "nan"), ("--life", "got nan")),
        (("scs01", "--life", "inf"), ("--life", "got inf")),
        (("scs01", "--life", "31"), ("--life", "got 31", "to 30")),
        (("scs02",), ("no such scenario", "scs01")),
    ],
)
def test_bad_questions_are_one_line(arguments, words, command):  # noqa: F811
    refused(command("size", *arguments), *words)


def test_a_number_is_changed_without_touching_the_rest(scenario):
    other = with_number(scenario, "shell.1.altitude_km", 700.0)
    assert other.shell[1].altitude_km == 700.0 and scenario.shell[1].altitude_km == 560.0
    assert other.shell[0] == scenario.shell[0]

"""Sizing: what closes, closes; what is a little smaller does not; and the hardest days."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from calling import command, refused  # noqa: F401  # fixtures

from twin import seasons, size_cli, sizing
from twin.build import build
from twin.constellation import RADIATOR
from twin.fleet import fleet
from twin.gradients import HEADLINES, Slopes, number_of, with_number
from twin.load import parse

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
    assert len(heard) == 4, "every stage is told"
    return answer


@pytest.fixture(scope="module")
def trial(scenario, ships):
    days, _ = sizing.hard_days(scenario, ships, "asis")
    return sizing.Trial(days)


def _sizes(sized, **factors):
    return {
        f"class.{one.name}.{label}": np.array([one.needed[part]]) * factors.get(part, 1.0)
        for one in sized.classes
        for part, label in sizing.PARTS.items()
    }


def test_needed_sizes_close_and_smaller_ones_do_not(scenario, sized, trial):
    """All at once, in one batch: as needed, then each part alone a tenth smaller."""
    parts = list(sizing.PARTS)
    rows = [_sizes(sized)] + [_sizes(sized, **{part: 0.9}) for part in parts]
    table = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    quiet = table | {f"class.{c}.resets_per_day": np.zeros(len(rows)) for c in "ab"}
    verdict = trial(lambda dated: sizing._lookup(dated, quiet), len(rows))
    print(verdict.energy, verdict.heat, [one.needed for one in sized.classes])
    assert (verdict.energy[:, 0] <= 0).all()
    assert (verdict.heat[:, 0] < 0.05).all(), "the search for the radiator stops within 0.05 K"
    assert (verdict.energy[:, 1:3] > 0).all(), "less array, or less battery"
    assert (verdict.heat[:, 3] > 0).all(), "less radiator"


def test_the_answer_says_what_is_there_and_what_decides(sized, scenario):
    a, b = sized.classes
    assert (a.name, b.name) == ("a", "b") and a.present["array"] == 2.0
    assert not a.closes_now, "400 Wh are too few for two computers"
    assert a.needed["battery"] > 400
    assert a.decided["energy"] == ("20 March 2025", 0) and b.decided["heat"][1] == 1
    lines = "\n".join(size_cli.page(sized, scenario))
    for word in ("class a: does not close as it is", "battery", "margin", "20 March 2025"):
        assert word in lines
    assert json.loads(json.dumps(size_cli.as_json(sized)))["classes"][0]["name"] == "a"


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
    events = ({"shed_h": 2.0}, {})
    answer = sizing.Sizing(
        sized.classes, sized.dates, 4, Slopes(names, values, by, events), "20 March 2025", ()
    )
    text = "\n".join(size_cli.page(answer, scenario))
    assert "+0.1 m² of array" in text and "least charge +3.10 points" in text
    assert "hottest chip -0.20 K, tokens +2.40 %" in text
    assert "things were switched (hours with the payload asleep: 2)" in text
    rows = size_cli.as_json(answer)["slopes"]
    assert {row["headline"] for row in rows} == set(HEADLINES) and len(rows) == 12


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
    chosen = [found.dates[k] for k in seasons.hardest(found, edge)]
    assert any(abs((d - datetime(2025, 6, 21, tzinfo=UTC)).days) < 12 for d in chosen)
    assert any(d.month in (12, 1, 2) for d in chosen), "most Sun, and nearest to it"


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

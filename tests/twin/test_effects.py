"""What a little more would do: which numbers are turned, and secants beside the slopes."""

from datetime import timedelta

import numpy as np
import pytest

from twin import seasons
from twin.build import nominal
from twin.effects import APART, SECANT, Effects, effects, emittances, numbers, pulled
from twin.fleet import fleet
from twin.gradients import Slopes
from twin.hard_days import WITNESSES, stand_ins
from twin.load import load, parse

SHED = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 3
step_s = 10
record_s = 300
samples = 0
[class.a]
array_m2 = 2.6
array_axes = 2
battery_wh = 330
battery_ration_band = 0.2
battery_heater_w = 0
resets_per_day = 0
payload = { kind = "inference", devices = 2 }
[[shell]]
kind = "sso"
satellites = 1
ltan_h = 10.5
altitude_km = 560
"""
SIZES = (
    "class.a.array_m2",
    "class.a.battery_wh",
    "class.a.body.radiator_m2",
    "class.a.body.radiator_emittance",
)
ORBIT = ("shell.0.ltan_h", "shell.0.altitude_km")


def test_a_drawn_radiators_emittance_is_that_of_its_material():
    """The shipped `parts`: its radiators are silver teflon, whose number is asked for by name."""
    scenario = load("parts", []).scenario
    assert emittances(scenario.class_["imager"]) == ["material.silver_teflon.emittance"]
    names, notes = numbers(scenario, ["imager"], fleet(scenario))
    assert "class.imager.material.silver_teflon.emittance" in names
    assert not any("radiator_emittance" in name for name in names), "the run does not look at it"
    assert any("silver_teflon" in note for note in notes)
    assert float(nominal(scenario)(names[3])) == 0.79
    assert names[-1] == "shell.0.altitude_km", "a Walker shell has an altitude too"


PLATE = """
[class.a.part.r]
node = "radiator"
size_m = [0.8, 1.0]
normal = "cold"
centre_m = [0, 0, -1]
{}
[class.a.part.w]
node = "array"
size_m = [1.0, 2.0]
axes = 1
normal = "up"
centre_m = [0, 0, 1.5]
"""
PAINT = (
    "[class.a.material.p]\nabsorptance = 0.2\nemittance = 0.8\n{}\n[class.a]\ncoating_age = {}\n"
)


@pytest.mark.parametrize(
    ("plate", "paint", "expected"),
    [
        ("", "", ["body.radiator_emittance"]),
        ('material = "p"', PAINT.format("", 0.5), ["material.p.emittance"]),
        (
            'material = "p"', PAINT.format("emittance_eol = 0.7", 0.5),
            ["material.p.emittance", "material.p.emittance_eol"],
        ),
        ('material = "p"', PAINT.format("emittance_eol = 0.7", 1.0), ["material.p.emittance_eol"]),
        ('material = "p"', PAINT.format("emittance_eol = 0.7", 0.0), ["material.p.emittance"]),
    ],
)  # fmt: skip
def test_emittances_are_those_that_count_at_that_age(plate, paint, expected):
    head = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = 1\nclass = 'a'\n"
    design = parse(head + paint + PLATE.format(plate)).class_["a"]
    assert emittances(design) == expected


def test_without_a_radiator_that_is_said_and_nothing_asked():
    text = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = 1\nclass = 'a'\n"
    scenario = parse(text + PLATE.format('material = "osr"').replace('"radiator"', '"blanket"'))
    names, notes = numbers(scenario, ["a"], fleet(scenario))
    assert not any("radiator" in name or "emittance" in name for name in names)
    assert any("no part is a radiator" in note for note in notes)


def test_what_differs_by_more_than_a_tenth_is_told_if_it_is_seen():
    by = np.array([[[0.10], [0.10]], [[1.0], [1e-4]], [[5e4], [5e4]]])
    beside = np.array([[[0.12], [0.105]], [[-1.0], [-1e-4]], [[5e4], [0.0]]])
    values = np.array([[0.7], [330.0], [1e6]])
    slopes = Slopes(("one", "two"), values, by, ({},))
    apart = Effects(slopes, beside, np.array([2.0, 1.0]), ()).apart()[:, :, 0]
    assert apart.tolist() == [[True, False], [True, False], [False, True]]


@pytest.mark.slow
def test_where_loads_are_shed_and_served_again_slopes_agree_with_secants():
    """All six numbers, over nights in which the payload is put to sleep, and woken by day.

    In sign and size, by a tenth of the larger, wherever a number does something.
    """
    scenario = parse(SHED)
    found = effects(scenario, fleet(scenario), ["a"], np.arange(1))
    slopes, at = found.slopes, found.at
    assert slopes.names == SIZES + ORBIT
    assert slopes.events[0]["shed_h"] > 0.2, "loads are shed"
    ours, beside = slopes.by[..., 0], found.secants[..., 0]
    unit = np.array([1.0, 1.0, slopes.values[2, 0]])[:, None]
    seen = np.abs(beside) * SECANT * at / unit > 1e-5  # of the charge, of the tokens, or kelvins
    print(np.where(seen, ours / beside, np.nan).round(3))
    assert seen.sum() >= 16 and seen.any(axis=0).all(), "each number does something"
    larger = np.maximum(np.abs(ours), np.abs(beside))
    assert (np.abs(ours - beside) <= APART * larger)[seen].all(), "by a tenth of the larger"
    assert not found.apart().any()


class Asked(Exception):
    """The key of a program, instead of the program."""


@pytest.mark.parametrize("name", ["scs01", "hot"])
def test_a_hard_day_asks_for_the_program_that_is_compiled_ahead(name, monkeypatch):
    """`size` begins with a reverse pass of today's fleet, before it knows days and witnesses."""

    def ask(*key):
        raise Asked(key)

    monkeypatch.setattr("twin.gradients.reverse", ask)
    scenario = load(name).scenario
    ships = fleet(scenario)
    keys = []
    for days, back in ((0, 1), (190, -1)):
        date = scenario.run.start_utc + timedelta(days=days)
        who = stand_ins(ships).reshape(-1, WITNESSES)[:, ::back].ravel()
        with pytest.raises(Asked) as asked:
            pulled(*seasons.at(scenario, ships, date), list(ships.classes), who)
        keys.append(asked.value.args[0])
    assert keys[0] == keys[1]
    with pytest.raises(Asked) as asked:
        pulled(scenario, ships, list(ships.classes), stand_ins(ships)[:-1])
    assert asked.value.args[0] != keys[0], "fewer satellites take another program"

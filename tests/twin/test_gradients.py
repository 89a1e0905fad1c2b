"""Slopes by one reverse pass, against differences of the whole pipeline: build and rollout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin import gradients as pulled
from twin.build import build, nominal
from twin.crafts import horizons
from twin.fleet import fleet
from twin.gradients import HEADLINES, clock_of, gradients, number_of, with_number
from twin.load import parse
from twin.problems import InputError
from twin.simulate import rollout, segments

SMOOTH = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 3
samples = 0
[class.a]
array_m2 = 2
battery_wh = 2500
battery_depth = 0.9
battery_ration_band = 0.5
battery_floor = 0.01
safe_below = 0.02
shed_isl_below = 0.03
battery_start = 0.6
battery_heater_w = 0
resets_per_day = 0
payload = { kind = "inference", devices = 4 }
[class.a.body]
chip_cold_plate_w_k = 0.45
[[shell]]
kind = "sso"
satellites = 2
planes = 2
ltan_h = 17
ltan_spread_h = 1
altitude_km = 640
"""
SWITCHING = (
    SMOOTH.replace("battery_start = 0.6", "battery_start = 0.97")
    .replace("battery_wh = 2500", "battery_wh = 600")
    .replace("devices = 4", "devices = 1")
    .replace("array_m2 = 2", "array_m2 = 3.5")
)
BODY = "class.a.body"
pytestmark = pytest.mark.slow  # the reverse pass takes a minute to compile
NAMES = (
    "class.a.array_m2",
    "class.a.battery_wh",
    f"{BODY}.radiator_m2",
    f"{BODY}.radiator_emittance",
    "shell.0.ltan_h",
    "shell.0.altitude_km",
)
# Tables of what surfaces see run straight from cell to cell: a wider step in local time crosses a
# corner (1e-3 h: 0.4 % off). Of the others: 1e-4 of themselves.
STEP = {"shell.0.ltan_h": 1e-5, "shell.0.altitude_km": 0.02}


class Forward:
    """Headlines of a scenario by the forward rollout alone: compiled once."""

    def __init__(self, scenario):
        self.clock = clock_of(scenario, 2)
        self.program = jax.jit(self._run)

    def _run(self, constellation, state):
        pieces = segments(self.clock.steps, self.clock.dt)
        end, _ = rollout(
            constellation, state, jnp.asarray(0), jnp.asarray(self.clock.dt),
            records=self.clock.records, steps=self.clock.steps, pieces=pieces,
        )  # fmt: skip
        return end.ledger, constellation.satellites.battery.capacity

    def ledger(self, scenario, name="", to=0.0):
        """With one number changed: of a shell, or as a look-up, which keeps the drawing."""
        if name.startswith("shell."):
            scenario = with_number(scenario, name, to)
        plain = nominal(scenario)

        def look(key):
            return np.asarray(to) if key == name else plain(key)

        return self.program(*build(scenario, fleet(scenario), look))

    def __call__(self, scenario, name="", to=0.0):
        ledger, capacity = self.ledger(scenario, name, to)
        days = self.clock.records * self.clock.steps * self.clock.dt / 86_400
        least = float((ledger.battery_least / capacity).min())
        return np.array(
            [least, float(ledger.chip_hottest.max()), float(ledger.tokens.sum()) / days]
        )

    def difference(self, scenario, name, step):
        at = number_of(scenario, name)
        high, low = (self(scenario, name, at + s * step) for s in (1, -1))
        return (high - low) / (2 * step)


@pytest.fixture(scope="module")
def smooth():
    return parse(SMOOTH)


@pytest.fixture(scope="module")
def forward(smooth):
    return Forward(smooth)


@pytest.fixture(scope="module")
def slopes(smooth):
    return gradients(smooth, fleet(smooth), NAMES)


def test_nothing_switches_in_the_smooth_case(smooth, forward, slopes):
    ledger, _ = forward.ledger(smooth)
    for name in ("curtailed_energy", "time_shed", "heater_energy", "resets", "time_down"):
        assert float(getattr(ledger, name).sum()) == 0.0, name
    assert slopes.events == ({},)
    lost = float(ledger.tokens_lost_to_energy.sum()), float(ledger.tokens_lost_to_heat.sum())
    assert min(lost) > 0.005 * float(ledger.tokens.sum()), "both brakes are on, smoothly"


def test_the_headlines_are_the_rollouts(smooth, forward, slopes):
    np.testing.assert_allclose(slopes.values[:, 0], forward(smooth), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_those_of_central_differences(name, smooth, forward, slopes):
    """Within 1e-4 of the difference; for what is nearly zero, of the largest in natural units."""
    step = STEP.get(name, 1e-4 * number_of(smooth, name))
    expected = forward.difference(smooth, name, step)
    found = np.array([slopes.of(headline, name) for headline in HEADLINES])
    print(name, found, found / expected - 1)
    assert np.abs(expected).min() > 0, "all three headlines follow it"
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_forgotten_path_would_be_seen(smooth, forward, monkeypatch):
    """The planted fault: the radiator's area without its share of what it emits."""
    whole = pulled.differences

    def lame(*given):
        emitting = next(
            k for k, leaf in enumerate(jax.tree.leaves(given[-1]))
            if leaf is given[-1][0].satellites.body.emitting_area
        )  # fmt: skip
        return [{k: d * (k != emitting) for k, d in move.items()} for move in whole(*given)]

    monkeypatch.setattr(pulled, "differences", lame)
    name = f"{BODY}.radiator_m2"
    found = gradients(smooth, fleet(smooth), NAMES).of("chip_hottest", name)
    expected = forward.difference(smooth, name, 1e-4 * number_of(smooth, name))[1]
    assert abs(found / expected - 1) > 1e-3


def test_where_something_switches_secants_agree_in_sign_and_size(forward):
    """A battery that fills up on the way, and leaves sunlight unused: ±2 %, within a tenth."""
    scenario = parse(SWITCHING)
    ledger, _ = forward.ledger(scenario)
    assert float(ledger.curtailed_energy.sum()) > 0.0, "it is full for a while"
    found = gradients(scenario, fleet(scenario), NAMES)
    for name in NAMES[:4]:
        secant = forward.difference(scenario, name, 0.02 * number_of(scenario, name))
        ours = np.array([found.of(headline, name) for headline in HEADLINES])
        print(name, ours, ours / secant - 1)
        seen = np.abs(secant) * number_of(scenario, name) > 1e-3 * np.abs(found.values[:, 0])
        assert seen.any()
        np.testing.assert_allclose(ours[seen], secant[seen], rtol=0.1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("class.a.array", "no number"),
        ("class.b.array_m2", "no number"),
        ("shell.0.satellites", "no slope"),
        ("run.duration_h", "no slope"),
    ],
)
def test_a_number_without_a_slope_is_named(name, said, smooth):
    with pytest.raises(InputError, match=name) as refused:
        pulled.number_of(smooth, name)
    assert said in str(refused.value)


def test_a_number_that_changes_nothing_is_named(smooth):
    """Where upsets fall, if there are none."""
    name = "class.a.anomaly_share"
    ships, lanes = fleet(smooth), np.arange(2)
    base, value = build(smooth, ships), nominal(smooth)
    with pytest.raises(InputError, match="does not depend"):
        pulled.differences(smooth, ships, [name], value, lanes, base)


def test_at_the_edge_of_a_table_of_views_one_side_counts(smooth):
    scenario = with_number(smooth, "shell.0.altitude_km", 600.0)
    ships = fleet(scenario)
    below = fleet(with_number(scenario, "shell.0.altitude_km", 599.9))
    assert horizons(ships) != horizons(below)
    base = build(scenario, ships)
    lanes, value = np.arange(2), nominal(scenario)
    (move,) = pulled.differences(scenario, ships, ["shell.0.altitude_km"], value, lanes, base)
    leaves = jax.tree.leaves(base)
    axis = [k for k in move if leaves[k] is base[0].satellites.orbit.semi_major_axis]
    np.testing.assert_allclose(move[axis[0]], 1000.0, rtol=1e-5)
    assert all(np.isfinite(d).all() for d in move.values())

"""Laws of one step of the whole twin, over random satellites and over impossible ones."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.books import TOLERANCE
from twin.build import build
from twin.constellation import BATTERY, CHIP, CONSUMERS, Limit
from twin.fleet import fleet
from twin.simulate import rollout
from twin.spacecraft.bus import NO_ISL, NO_PAYLOAD, SAFE
from twin.spacecraft.thermal import HARSH

RECORDS = 96  # of a minute: one orbit
EACH, STEPS = 60, 36
MANY = 2 * EACH
SURVIVAL, COMMS, ISL, PAYLOAD = range(4)
# Heat: a step moves a megajoule a kelvin by what rounds at 1e-13 K, where a watt flows.
CLOSED = {"energy": 1e-9, "heat": 1e-8, "tokens": 1e-9}


@pytest.fixture(scope="module")
def wild(shell_scenario):
    """120 satellites of two classes with all numbers random within a factor of two or so."""
    classes = {
        name: design.model_copy(update={"attitude_safe": "sun", "attitude_dark": "edge"})
        for name, design in shell_scenario.class_.items()
    }
    shells = tuple(s.model_copy(update={"satellites": EACH}) for s in shell_scenario.shell)
    scenario = shell_scenario.model_copy(update={"class_": classes, "shell": shells})
    constellation, state = build(scenario, fleet(scenario))
    rng = np.random.default_rng(11)

    def vary(x):
        return x * jnp.asarray(np.exp(rng.uniform(-0.7, 0.7, x.shape)))

    guarded = replace(constellation.satellites.body, guarded=True)
    constellation = eqx.tree_at(lambda c: c.satellites.body, constellation, guarded)
    constellation = eqx.tree_at(places, constellation, [vary(x) for x in places(constellation)])
    satellites = constellation.satellites
    temperature = jnp.asarray(rng.uniform(255, 345, state.temperature.shape))
    return constellation, replace(
        state,
        battery_energy=jnp.asarray(rng.uniform(0.2, 1.0, MANY)) * satellites.battery.capacity,
        temperature=temperature.at[CHIP].set(jnp.asarray(rng.uniform(270, 390, MANY))),
        hazard_left=jnp.asarray(rng.uniform(0.0, 2e-4, MANY)),
    )


def places(constellation):
    """The numbers that are varied: masses, joints, areas, loads, the battery."""
    s = constellation.satellites
    return [
        s.body.heat_capacity, s.body.conductance, s.body.exchange, s.body.emitting_area,
        s.skin.area, s.panels.area, s.battery.resistance, s.battery.charge_limit,
        s.battery.discharge_limit, s.loads.survival, s.loads.comms, s.loads.isl,
        s.heaters.power, s.payload.full_power, s.surroundings.albedo,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def each(wild):
    """36 steps, each recorded, of any length: (state, telemetry)."""
    program = jax.jit(partial(rollout, records=STEPS, steps=1))

    def strong(tree):  # compiled once: for these types, and for no others
        return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), tree)

    def run(constellation, state, dt=10.0, first=0):
        constellation, state = strong((constellation, state))
        return program(constellation, state, jnp.asarray(first), jnp.asarray(dt))

    return run


@pytest.fixture(scope="module")
def lived(wild, each):
    after, seen = each(*wild)
    return after, jax.tree.map(np.asarray, seen)


def dark(constellation):
    """No Sun, for as long as it lasts."""
    sun = constellation.satellites.surroundings.solar_constant
    return eqx.tree_at(lambda c: c.satellites.surroundings.solar_constant, constellation, 0 * sun)


def check_limits(constellation, after, seen, books=None):
    """Nothing outside its limits, ever, and all books closed."""
    capacity = np.asarray(constellation.satellites.battery.capacity)
    for leaf in jax.tree.leaves((after, seen)):
        assert np.isfinite(np.asarray(leaf)).all()
    assert np.asarray(seen.temperature).min() >= 2.7 - 1e-9
    energy = np.asarray(seen.battery_energy)
    slack = 1e-9 * capacity + 1e-6
    assert (energy >= -slack).all() and (energy <= capacity + slack).all()
    for name in ("panel", "curtailed", "bus", "payload", "unserved"):
        assert np.asarray(getattr(seen, f"{name}_power")).min() >= 0, name
    assert np.asarray(seen.throttle).min() >= 0 and np.asarray(seen.throttle).max() <= 1 + 1e-12
    for name, least in (books or CLOSED).items():
        worst = np.asarray(getattr(after.ledger, f"{name}_residual")).max()
        print(f"{name} {worst:.1e}", end=" ")
        assert worst < least, f"{name} book open by {worst:.1e}"


def test_random_satellites_keep_closed_books_and_all_limits(wild, lived):
    after, seen = lived
    check_limits(wild[0], after, seen)
    levels = np.bincount(seen.shed.ravel(), minlength=4)
    limits = np.bincount(seen.limit.ravel(), minlength=len(Limit))
    assert (levels > 20).all(), "all levels of shedding were there"
    assert (limits[[Limit.NOTHING, Limit.ENERGY, Limit.HEAT, Limit.FAULT]] > 20).all()


def test_the_battery_gains_no_more_than_the_array_gave_beyond_the_loads(wild, lived):
    """Step by step: what is missing is lost as heat, a few per cent of what went through."""
    seen, before = lived[1], np.asarray(wild[1].battery_energy)
    gained = np.diff(np.vstack([before, seen.battery_energy]), axis=0) / 10.0
    net = seen.panel_power - seen.bus_power - seen.payload_power
    lost = net - gained
    scale = 1e-9 * np.maximum(np.abs(net), 1.0)
    assert (lost >= -scale).all(), "energy from nothing"
    share, giving = lost / np.maximum(np.abs(net), 10.0), net < -10.0
    print(f"lost in giving: {np.median(share[giving]):.3f}, at most {share[giving].max():.3f}")
    assert share[giving].max() < 0.7, "the voltage gives by no more than 0.4 of itself"
    assert 0 < np.median(share[giving]) < 0.1
    assert share[~giving].max() < 1 + 1e-9, "what no battery takes is shunted: heat, all of it"


def test_shedding_switches_off_from_the_end_and_owes_to_each(wild, lived):
    """By the level held: payload asleep, terminals off, then survival alone.

    The payload is put to sleep and woken within a step, so only steps between such are looked at.
    """
    (after, seen), satellites = lived, wild[0].satellites
    loads, owed = satellites.loads, np.asarray(after.ledger.unserved_energy) / 10.0
    sleep = np.asarray(satellites.payload.devices * satellites.governor.sleep_power)
    shed = seen.shed >= NO_PAYLOAD
    before, later = np.vstack([np.asarray(wild[1].shed) > 0, shed[:-1]]), np.roll(shed, -1, axis=0)
    later[-1] = False
    throughout = before & shed & later
    asleep = throughout & (seen.shed < SAFE)
    assert asleep.sum() > 100
    assert (seen.tokens_rate[throughout] == 0).all()
    assert (seen.payload_power <= sleep * (1 + 1e-9))[asleep].all()
    assert (seen.payload_power[seen.shed >= SAFE] == 0).all()
    assert (seen.limit[asleep] == Limit.ENERGY).all()
    for row, level in ((ISL, NO_ISL), (COMMS, SAFE)):
        draw = np.asarray(getattr(loads, CONSUMERS[row]))
        shed = (seen.shed >= level).sum(axis=0)
        assert (owed[row] >= draw * shed * (1 - 1e-9)).all(), CONSUMERS[row]
        fed = (seen.unserved_power <= 1e-9).sum(axis=0) + shed >= STEPS
        np.testing.assert_allclose(owed[row][fed], (draw * shed)[fed], rtol=1e-9, atol=1e-6)
        assert fed.any() and shed[fed].any()
    total = np.asarray(seen.unserved_power).sum(axis=0)
    np.testing.assert_allclose(owed.sum(axis=0), total, rtol=1e-9, atol=1e-6)
    time = np.asarray(after.ledger.time_shed) / 10.0
    assert (time[0] >= throughout.sum(axis=0) - 1e-9).all() and (time[0] <= shed.sum(axis=0)).all()
    for level in (2, 3):
        np.testing.assert_allclose(time[level - 1], (seen.shed >= level).sum(axis=0))


def test_levels_rise_and_fall_at_their_thresholds(wild, lived):
    """A shed level comes at once below its charge and goes only above its release."""
    seen, satellites = lived[1], wild[0].satellites
    begin = np.asarray(wild[1].battery_energy)
    charge = np.vstack([begin, seen.battery_energy[:-1]]) / np.asarray(satellites.battery.capacity)
    below, above = (
        np.asarray(satellites.loads.shed_below),
        np.asarray(satellites.loads.restored_above),
    )
    for level in (1, 2, 3):
        assert (seen.shed[charge < below[level - 1]] >= level).all()
    free = charge > above.max(axis=0)
    assert free.any() and np.isin(seen.shed[free], (0, SAFE)).all(), "or starved"


def test_attitude_follows_sunlight_and_safe_mode(wild, lived):
    seen, attitude = lived[1], wild[0].satellites.attitude
    lit = np.where(seen.sunlit > 0.5, np.asarray(attitude.lit), np.asarray(attitude.dark))
    expected = np.where(seen.shed >= SAFE, np.asarray(attitude.safe), lit)
    np.testing.assert_array_equal(seen.mode, expected)
    assert set(np.unique(seen.mode)) == {0, 1, 2}, "all three attitudes were taken"


def test_tripped_or_upset_computers_make_no_tokens_and_say_why(wild, each):
    """Heat takes the blame for a trip, faults for a restart, until the model is back."""
    constellation, state = wild
    satellites = constellation.satellites
    start = np.asarray(satellites.payload.throttle_start)
    odd = jnp.arange(MANY) % 2 == 1
    hot = jnp.where(odd, satellites.governor.shutdown + 5, jnp.asarray(start) - 40)
    cool = state.temperature.at[jnp.array([5, 6, 7, 8, 9])].set(
        jnp.minimum(hot, jnp.asarray(start) - 40)
    )
    state = replace(
        state,
        temperature=cool.at[CHIP].set(hot),
        battery_energy=satellites.battery.capacity,
        hazard_left=jnp.where(odd, 1e9, 0.0),  # the even ones are struck in the first step
    )
    after, seen = each(constellation, state)
    ledger = jax.tree.map(np.asarray, after.ledger)
    fed = np.asarray(seen.shed).max(axis=0) == 0
    working = fed & (np.asarray(satellites.payload.tokens_rate) > 0)
    first = np.asarray(seen.tokens_rate)[0]
    assert (first == 0).all(), "tripped, or booting for longer than a step"
    tripped, struck = working & np.asarray(odd), working & ~np.asarray(odd)
    assert tripped.sum() > 5 and struck.sum() > 5
    assert (np.asarray(seen.payload_power)[0][np.asarray(odd)] == 0).all(), "off"
    assert (np.asarray(seen.limit)[0][tripped] == Limit.HEAT).all()
    assert (np.asarray(seen.limit)[0][struck] == Limit.FAULT).all()
    assert (ledger.resets[struck] == 1).all() and (ledger.resets[np.asarray(odd)] == 0).all()
    restart = np.asarray(satellites.governor.restart)
    offered = np.asarray(satellites.payload.devices * satellites.payload.tokens_rate)
    lost = ledger.tokens_lost_to_fault[struck]
    np.testing.assert_allclose(lost, (offered * restart)[struck], rtol=1e-9)
    np.testing.assert_allclose(ledger.time_down[struck], restart[struck], rtol=1e-9)
    assert (ledger.tokens_lost_to_heat[tripped] >= 10 * offered[tripped] * (1 - 1e-9)).all()
    assert (ledger.tokens[struck] > 0).all(), "it works again"


def test_dark_and_empty_owes_all_and_works_nothing(wild, each):
    """No light, no charge: what is owed is the whole demand, heaters too, and no token is made."""
    constellation, state = wild
    satellites = constellation.satellites
    cold = state.temperature.at[BATTERY].set(jnp.asarray(250.0))
    empty = replace(state, battery_energy=satellites.battery.floor, temperature=cold)
    after, seen = each(dark(constellation), empty)
    np.testing.assert_array_equal(after.battery_energy, satellites.battery.floor)
    assert np.asarray(seen.tokens_rate).max() == np.asarray(seen.payload_power).max() == 0
    assert np.asarray(seen.bus_power).max() == 0 and np.asarray(seen.panel_power).max() == 0
    owed = np.asarray(after.ledger.unserved_energy) / (10.0 * STEPS)
    loads = satellites.loads
    warm = np.asarray(loads.survival + satellites.heaters.power[0])
    np.testing.assert_allclose(owed[SURVIVAL], warm, rtol=1e-9)
    np.testing.assert_allclose(owed[COMMS], loads.comms, rtol=1e-9)
    np.testing.assert_allclose(owed[ISL], loads.isl, rtol=1e-9)
    assert np.asarray(after.ledger.heater_energy).max() == 0
    assert (np.asarray(seen.limit) == Limit.ENERGY).all()
    check_limits(constellation, after, seen)


def test_heaters_hold_the_battery_and_are_counted_as_survival(wild, each):
    """On below 5 °C, off above 10 °C, in between as before: their energy is in the ledger."""
    constellation, state = wild
    satellites = constellation.satellites
    begin = jnp.where(
        jnp.arange(MANY) % 3 == 0, 277.0, jnp.where(jnp.arange(MANY) % 3 == 1, 281.0, 285.0)
    )
    state = replace(
        state,
        temperature=state.temperature.at[BATTERY].set(begin),
        battery_energy=satellites.battery.capacity,
    )
    light = eqx.tree_at(
        lambda c: c.satellites.body.heat_capacity,
        constellation,
        satellites.body.heat_capacity.at[BATTERY].mul(0.05),
    )
    after, seen = each(light, state)
    felt = np.vstack([np.asarray(begin)[None], np.asarray(seen.temperature)[:-1, BATTERY]])
    low, high = (
        np.asarray(x)[0] for x in (satellites.heaters.on_below, satellites.heaters.off_above)
    )
    on = np.zeros(MANY, bool)
    spent = np.zeros(MANY)
    switched = np.zeros(MANY, int)
    for row in felt:
        now = (row < low) | (on & (row <= high))
        switched += now != on
        on, spent = now, spent + 10.0 * now * np.asarray(satellites.heaters.power)[0]
    fed = np.asarray(after.ledger.unserved_energy)[SURVIVAL] == 0
    np.testing.assert_allclose(np.asarray(after.ledger.heater_energy)[fed], spent[fed], rtol=1e-9)
    assert fed.all() and spent.max() > 0 and (spent == 0).any() and switched.max() >= 2
    extra = np.asarray(seen.bus_power) - np.asarray(satellites.loads.survival)
    others = satellites.loads.comms + satellites.loads.isl
    whole = np.asarray(seen.shed) == 0
    warm = extra - np.asarray(others)
    assert (np.abs(warm * (warm - np.asarray(satellites.heaters.power)[0]))[whole] < 1e-6).all()


def no_battery(constellation, state):
    battery = constellation.satellites.battery
    none = jnp.zeros(MANY)
    bare = replace(battery, capacity=none, floor=none, charge_limit=none, discharge_limit=none)
    constellation = eqx.tree_at(lambda c: c.satellites.battery, constellation, bare)
    return constellation, replace(state, battery_energy=none)


def scaled(where, factor):
    def change(constellation, state):
        return eqx.tree_at(where, constellation, where(constellation) * factor), state

    return change


EXTREMES = {
    "no battery": no_battery,
    "a thousandth of the mass": scaled(lambda c: c.satellites.body.heat_capacity, 1e-3),
    "a millionth of the mass": scaled(lambda c: c.satellites.body.heat_capacity, 1e-6),
    "radiators ten thousand times as large": scaled(lambda c: c.satellites.body.emitting_area, 1e4),
    "joints a hundred times as good": scaled(lambda c: c.satellites.body.conductance, 100.0),
    "joints that conduct nothing": scaled(lambda c: c.satellites.body.conductance, 0.0),
    "no consumption": scaled(lambda c: c.satellites.loads.survival, 0.0),
    "fifty times the payload": scaled(lambda c: c.satellites.payload.devices, 50.0),
}


@pytest.mark.parametrize("dt", [10.0, 3600.0])
@pytest.mark.parametrize("name", ["as they are", *EXTREMES])
def test_extremes_leave_no_limit(wild, each, name, dt):
    """Steps of ten seconds and of an hour."""
    constellation, state = EXTREMES.get(name, lambda *x: x)(*wild)
    after, seen = each(constellation, state, dt)
    check_limits(constellation, after, seen, CLOSED | {"heat": TOLERANCE / 2})


def test_two_hours_without_the_sun(wild, each):
    """Everything is shed in turn and cools; nothing breaks."""
    constellation, state = wild
    state = replace(state, battery_energy=constellation.satellites.battery.capacity)
    for first in range(0, 20 * STEPS, STEPS):
        state, seen = each(dark(constellation), state, 10.0, first)
        check_limits(constellation, state, seen)
    shed, satellites = np.asarray(state.ledger.time_shed), constellation.satellites
    assert (shed[0] >= shed[1]).all() and (shed[1] >= shed[2]).all()
    assert (shed[0] > 0).mean() > 0.5 and np.asarray(state.ledger.panel_energy).max() == 0
    spent = state.ledger.payload_energy + state.ledger.housekeeping_energy
    drawn = satellites.battery.capacity - state.battery_energy
    assert (np.asarray(spent) <= np.asarray(drawn) * (1 + 1e-9)).all()


def test_default_satellites_need_no_guard(small_shell, orbit):
    constellation, state = small_shell
    assert not constellation.satellites.body.guarded
    _, seen = orbit(constellation, state, RECORDS)
    massive = [n for n in range(12) if n not in constellation.satellites.body.arithmetic]
    temperature = np.asarray(seen.temperature)[:, massive]
    change = np.abs(np.diff(temperature, axis=0)) / temperature[1:]
    assert change.max() / 6 < HARSH, "in a step, from what a minute moves"


def test_ledger_adds_up(small_shell, orbit):
    """What each minute recorded adds up to the totals, and the battery holds the rest."""
    constellation, state = small_shell
    after, seen = orbit(constellation, state, RECORDS)
    ledger, battery = after.ledger, constellation.satellites.battery
    for total, power in (
        (ledger.panel_energy, seen.panel_power),
        (ledger.curtailed_energy, seen.curtailed_power),
        (ledger.payload_energy, seen.payload_power),
        (ledger.housekeeping_energy, seen.bus_power),
        (ledger.unserved_energy.sum(axis=0), seen.unserved_power),
        (ledger.tokens, seen.tokens_rate),
        (ledger.sunlit_time, seen.sunlit),
    ):
        np.testing.assert_allclose(total, power.sum(axis=0) * 60, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(ledger.alive_time, 60.0 * RECORDS, rtol=1e-12)
    np.testing.assert_allclose(ledger.time_limited.sum(axis=0), 60.0 * RECORDS, rtol=1e-12)
    lost = ledger.tokens_lost_to_energy + ledger.tokens_lost_to_heat + ledger.tokens_lost_to_fault
    np.testing.assert_allclose(ledger.tokens + lost, ledger.tokens_offered, rtol=1e-12)
    energy, temperature = np.asarray(seen.battery_energy), np.asarray(seen.temperature)
    assert (ledger.battery_least <= energy.min(axis=0) + 1e-6).all()
    assert (ledger.chip_hottest >= temperature[:, CHIP].max(axis=0)).all()
    assert (ledger.cell_hottest >= temperature[:, BATTERY].max(axis=0)).all()
    assert (ledger.cell_coldest <= temperature[:, BATTERY].min(axis=0)).all()
    gained = after.battery_energy - state.battery_energy
    spent = ledger.panel_energy - ledger.payload_energy - ledger.housekeeping_energy - gained
    share = np.asarray(spent) / np.asarray(ledger.panel_energy + ledger.payload_energy)
    assert (share >= -1e-12).all() and (share < 0.05).all(), "lost in the battery, never gained"
    assert (energy <= np.asarray(battery.capacity) * (1 + 1e-12)).all()
    for name, least in CLOSED.items():
        assert np.asarray(getattr(ledger, f"{name}_residual")).max() < least
    print(f"booked radiation is off by {np.asarray(ledger.heat_truncation).max():.1e} of itself")
    assert np.asarray(ledger.heat_truncation).max() < 6e-3, "cells, as the Sun sets"

"""The bus: laws over a hundred thousand made-up moments, and simulated days."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.environment.eclipse import mean_sunlit, sunlit
from twin.spacecraft.array import Supply, steady
from twin.spacecraft.battery import RESISTANCE_TIME, Battery
from twin.spacecraft.bus import NO_ISL, SAFE, Demand, Loads, plan, settle

DT = jnp.asarray(10.0)
WINDOW = (273.15, 283.15, 318.15, 328.15)
CONSUMERS = ("survival", "comms", "isl")


def _leaves(kind, *values):
    return kind(*(jnp.asarray(x, float) for x in np.broadcast_arrays(*values)))


def _battery(capacity, floor=0.0, rate=0.5):
    capacity = np.asarray(capacity, float)
    resistance = RESISTANCE_TIME / np.maximum(capacity, 1.0)
    most = rate * capacity / 3600
    return _leaves(Battery, capacity, floor * capacity, resistance, 0.998, most, most, *WINDOW)


@cache
def _moments(dt=10.0):
    """Made-up moments of many satellites: what the bus was asked, promised and settled."""
    rng = np.random.default_rng(7)
    n = 100_000

    def some(low, high):
        return jnp.asarray(rng.uniform(low, high, n))

    def often_zero(high):
        return jnp.asarray(rng.uniform(0, high, n) * (rng.random(n) > 0.2))

    capacity = jnp.asarray(rng.uniform(1e4, 1e7, n) * (rng.random(n) > 0.1))
    battery = _leaves(
        Battery,
        capacity,
        some(0, 0.5) * capacity,
        RESISTANCE_TIME / jnp.maximum(capacity, 1.0) * some(0, 5),
        some(0.8, 1),
        often_zero(3000),
        often_zero(3000),
        *WINDOW,
    )
    edge = rng.integers(0, 4, n)  # empty, full, near the floor, anywhere
    share = jnp.asarray(np.choose(edge, [0.0, 1.0, 0.0, rng.random(n)]))
    energy = battery.floor + share * (capacity - battery.floor)
    energy = jnp.minimum(energy + jnp.asarray((edge == 2) * rng.uniform(0, 1000, n)), capacity)
    temperature = some(250, 330)
    always, full = often_zero(500), often_zero(4500)
    begin, passed = some(-3, 3), often_zero(3) + 1e-3  # in some the Sun rises or sets
    ends = [sunlit(begin), sunlit(begin + passed)]
    mean = always + full * mean_sunlit(begin, begin + passed)
    available = Supply(always, full, mean, *ends, 1 / passed)
    demand = Demand(often_zero(1000), often_zero(1000), often_zero(1000))
    level = jnp.asarray(rng.integers(0, 4, n))
    least, most = often_zero(500), often_zero(3000)
    most = least + most
    now = least + some(0, 1) * (most - least)
    # in the step the chip may warm or cool: the mean draw is anything between least and most
    wish = least + some(0, 1) * (most - least)

    @jax.jit
    def live(battery, demand, level, energy, temperature, available, now, most, wish, dt):
        promise = plan(battery, demand, level, energy, temperature, available, now, most, dt)
        share = promise.payload_share
        flows = settle(
            battery, promise, energy, temperature, available, share * wish, (1 - share) * wish
        )
        after = battery.after(energy, temperature, flows.charge, flows.discharge, dt)
        return after, flows, promise

    given = (battery, demand, level, energy, temperature, available, now, most, wish)
    return jax.tree.map(
        np.asarray, (given, *live(*given, jnp.asarray(dt)))
    )  # NumPy compiles no test's arithmetic


def _payload_demand():
    return _moments()[0][-1]


@pytest.mark.parametrize("dt", [10.0, 3600.0])
def test_books_close_to_rounding(dt):
    """Array, battery, bus and each consumer: 1e-12 of what flowed, or of what is stored."""
    (battery, demand, _, before, *_), after, flows, _ = _moments(dt)
    flowed = flows.extracted + flows.charge + flows.discharge + 1.0

    def closed(imbalance, size):
        assert np.max(np.abs(imbalance) / size) < 1e-12

    closed(flows.available - flows.extracted - flows.curtailed, flows.available + 1)
    stored = (after - before) / dt
    closed(stored - (flows.charge - flows.discharge - flows.loss), flowed + battery.capacity / dt)
    served = flows.survival + flows.comms + flows.isl + flows.payload
    closed(flows.extracted + flows.discharge - flows.charge - flows.shunted - served, flowed)
    for name in CONSUMERS:
        wanted = getattr(demand, name)
        unserved = getattr(flows, f"unserved_{name}")
        closed(wanted - getattr(flows, name) - unserved, wanted + 1)
    closed(_payload_demand() - flows.payload - flows.unserved_payload, _payload_demand() + 1)


@pytest.mark.parametrize("dt", [10.0, 3600.0])
def test_limits_are_never_left(dt):
    (battery, _, _, before, *_), after, flows, promise = _moments(dt)
    slack = 1e-12 * (battery.capacity + 1e4 * dt)  # rounding of some kilowatts over the step
    assert (after <= battery.capacity + slack).all()
    assert (after >= np.minimum(battery.floor, before) - slack).all()
    assert (flows.charge <= battery.charge_limit + 1e-9).all()
    assert (flows.discharge <= battery.discharge_limit + 1e-9).all()
    for name, flow in vars(flows).items():
        assert (flow >= 0).all(), f"{name} has a direction"
    assert (np.minimum(flows.charge, flows.discharge) == 0).all(), "never both at once"
    assert ((promise.payload_share >= 0) & (promise.payload_share <= 1)).all()


def test_the_first_in_line_is_served_first():
    (_, demand, level, *_), _, flows, promise = _moments()
    short = np.zeros(level.shape, bool)
    for name, after in zip(CONSUMERS, ("comms", "isl", "payload"), strict=True):
        owed = getattr(flows, f"unserved_{name}")
        off = {"survival": 9, "comms": SAFE, "isl": NO_ISL}[name]
        short |= (owed > 1e-9) & (level < off)
        assert short.sum() > 1000
        assert (getattr(flows, after)[short] <= 1e-9).all(), f"{after} goes without before {name}"
    assert (flows.payload[flows.unserved_survival > 0] == 0).all()
    hungry = flows.unserved_survival + flows.unserved_comms > 1e-9
    assert promise.starved[hungry & (level < SAFE)].all()


def test_what_is_shed_gets_nothing_and_is_owed_all():
    (_, demand, level, *_), _, flows, _ = _moments()
    unlinked, safe = level >= NO_ISL, level >= SAFE
    assert (flows.isl[unlinked] == 0).all() and (flows.comms[safe] == 0).all()
    assert (flows.payload[safe] == 0).all()
    np.testing.assert_array_equal(flows.unserved_isl[unlinked], demand.isl[unlinked])
    np.testing.assert_array_equal(flows.unserved_comms[safe], demand.comms[safe])
    np.testing.assert_array_equal(flows.unserved_payload[safe], _payload_demand()[safe])
    assert (flows.comms[~safe] > 0).sum() > 1000


def test_shunt_acts_only_when_the_battery_cannot():
    _, _, flows, promise = _moments()
    acts = flows.shunted > 1e-9
    assert acts.sum() > 100
    np.testing.assert_allclose(flows.charge[acts], promise.room[acts], atol=1e-9)


def test_below_freezing_the_array_is_curtailed():
    (_, _, _, _, temperature, *_), _, flows, promise = _moments()
    cold = temperature <= 273.15
    assert (flows.charge[cold] == 0).all()
    idle = cold & (flows.discharge == 0)
    served = flows.survival + flows.comms + flows.isl + flows.payload + flows.shunted
    assert idle.sum() > 1000
    np.testing.assert_allclose((flows.available - flows.curtailed)[idle], served[idle], atol=1e-9)


def test_what_the_battery_lends_for_a_part_of_the_step_stays_in_its_limits():
    """Never below its floor, nor above the ends of the step; it counts where the Sun rises."""
    (battery, _, _, before, _, available, *_), after, _, promise = _moments()
    given = jax.tree.map(jnp.asarray, (battery, before, after, promise.swing))
    least = np.asarray(given[0].least(*given[1:], DT))
    assert (promise.swing >= -1e-9).all()
    assert (least <= np.minimum(before, after) + 1e-6).all()
    assert (least >= np.minimum(np.minimum(before, after), battery.floor) - 1e-6).all()
    assert ((available.high > available.low) & (promise.swing > 1.0)).sum() > 1000
    assert (promise.swing[available.high == available.low] < 1e-6).all()


def test_half_a_step_of_sunlight_feeds_half_a_step_of_loads():
    """1000 W until the Sun sets halfway, in a hundredth of the step; the loads want 400 W.

    A full battery gives the dark half, though the mean of 500 W would do. A half-full one takes all
    sunlight, and what it lends in the dark half is the same.
    """
    off, gone = jnp.zeros(2), jnp.full(2, 0.5)
    lit = Supply(off, off + 1000.0, 1000.0 * gone, off, off + 1.0, 0.01 * gone)
    battery = _battery([3.6e6, 3.6e6], rate=1.0)
    energy, heat = battery.capacity * jnp.asarray([1.0, 0.5]), jnp.full(2, WARM)
    ask, level = off + 100.0, jnp.zeros(2, jnp.int32)
    demand = Demand(off + 200.0, off + 60.0, off + 40.0)
    promise = plan(battery, demand, level, energy, heat, lit, ask, ask, DT)
    np.testing.assert_allclose(promise.extracted, [200.0, 500.0], rtol=0.01)
    np.testing.assert_allclose(promise.curtailed, [300.0, 0.0], atol=3.0)
    np.testing.assert_allclose(promise.swing, [0.0, 200.0], atol=2.0)


def test_slopes_are_finite_at_every_edge():
    battery, demand, level, energy, temperature, available, *_ = _moments()[0]

    def stored(battery, demand, energy, temperature, available, level):
        promise = plan(
            battery, demand, level, energy, temperature, available, 0 * energy, 90 + 0 * energy, DT
        )
        share = promise.payload_share
        flows = settle(battery, promise, energy, temperature, available, 90 * share, 0 * share)
        after = battery.after(energy, temperature, flows.charge, flows.discharge, DT)
        return after + sum(vars(flows).values(), jnp.asarray(0.0))

    slope = jax.jit(jax.vmap(jax.grad(stored, argnums=(0, 1, 2, 3, 4))))
    given = jax.tree.map(jnp.asarray, (battery, demand, energy, temperature, available, level))
    slopes = slope(*given)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


# Days


N = 200  # satellites in every test of days: one compiled program


def _loads(survival=60.0, comms=30.0, isl=40.0, below=(0.6, 0.5, 0.4), above=0.1):
    rows = (jnp.full(N, x) for x in (survival, comms, isl))
    levels = jnp.asarray([[x] * N for x in below])
    return Loads(*rows, levels, levels + above)


@jax.jit
def _day(battery, loads, start, available, temperature, dt, sheds=True):
    """A day under a given array power: energies, levels, flows, step by step; payload 100 W.

    Without `sheds`, safe mode is not entered when the bus is starved.
    """
    hundred = jnp.full_like(start, 100.0)

    def step(carry, power):
        energy, level = carry
        available = steady(power)
        demand = Demand(loads.survival, loads.comms, loads.isl)
        ask = jnp.where(level >= 1, 0.0, hundred)
        promise = plan(battery, demand, level, energy, temperature, available, ask, ask, dt)
        payload = promise.payload_share * ask
        owed = (1 - promise.payload_share) * ask + (hundred - ask)
        flows = settle(battery, promise, energy, temperature, available, payload, owed)
        after = battery.after(energy, temperature, flows.charge, flows.discharge, dt)
        level = loads.shed(level, battery.charge(after), promise.starved & sheds)
        return (after, level), (after, level, flows)

    level = jnp.zeros(start.shape, jnp.int32)
    return jax.lax.scan(step, (start, level), available)[1]


def _sky(power, dt=60.0, night=0.36, period=5700.0):
    """Array power over a day: lit or dark, with edges of a minute."""
    phase = (np.arange(0, 86_400, dt) / period) % 1
    lit = np.clip((1 - night - phase) * period / 60, 0, 1)
    return jnp.asarray(lit[:, None] * np.broadcast_to(power, N))


NEVER = (-1.0, -1.0, -1.0)
WARM = 295.0


def test_more_battery_is_never_emptier():
    """Same sky and loads, nothing shed: never fewer joules; nor less charge if none went short.

    The charge may be less while one that ran dry refills: it has less to fill.
    """
    capacity = np.geomspace(2e5, 6e6, N)
    battery = _battery(capacity, floor=0.2, rate=1.0)
    heat, dt = jnp.full(N, WARM), jnp.asarray(60.0)
    loads = _loads(below=NEVER, above=0.0)
    energy, _, flows = _day(battery, loads, battery.capacity, _sky(420.0), heat, dt, False)
    assert (np.diff(energy, axis=1) > -1e-9 * capacity[1:]).all()
    owed = [getattr(flows, f"unserved_{name}") for name in (*CONSUMERS, "payload")]
    hungry = np.sum(owed, axis=(0, 1))
    fed = hungry < 1e-9
    assert 50 < fed.sum() < 150, "both kinds are among them"
    assert (np.diff(hungry) <= 1e-6 * hungry.max()).all(), "nor hungrier"
    share = np.asarray(energy)[:, fed] / capacity[fed]
    assert (np.diff(share, axis=1) > -1e-9).all()


def test_no_battery_serves_in_the_sun_only():
    battery = _battery(np.zeros(N))
    sky = _sky(420.0)
    heat, dt = jnp.full(N, WARM), jnp.asarray(60.0)
    energy, level, flows = _day(battery, _loads(), jnp.zeros(N), sky, heat, dt)
    assert (energy == 0).all()
    dark, lit = np.asarray(sky == 0), np.asarray(sky == 420.0)
    for name in (*CONSUMERS, "payload"):
        assert (getattr(flows, name)[dark] == 0).all()
    assert (level[dark] == SAFE).all()
    steady = lit & np.roll(lit, 1, axis=0)  # it leaves safe mode one step after sunrise
    assert (level[steady] == 0).all()
    steady &= np.roll(steady, 1, axis=0)
    assert (flows.payload[steady] == 100).all() and (flows.isl[steady] == 40).all()


def test_shedding_goes_up_at_once_and_down_past_the_release():
    loads = jax.tree.map(lambda x: x[..., :1], _loads())
    #   charge, starved -> level
    story = [
        (0.80, False, 0), (0.61, False, 0), (0.59, False, 1), (0.65, False, 1), (0.45, False, 2),
        (0.39, False, 3), (0.45, False, 3), (0.51, False, 2), (0.59, False, 2), (0.61, False, 1),
        (0.69, False, 1), (0.71, False, 0), (0.90, True, 3), (0.90, False, 0), (0.30, False, 3),
    ]  # fmt: skip
    level = jnp.zeros(1, jnp.int32)
    for charge, starved, expected in story:
        level = loads.shed(level, jnp.asarray([charge]), jnp.asarray([starved]))
        assert level.dtype == jnp.int32
        assert int(level[0]) == expected, (charge, starved)


def test_the_payload_sleeps_and_wakes_at_its_moment():
    loads = jax.tree.map(lambda x: x[..., :1], _loads())
    #   level, charge, charge ahead -> share of the step awake; shed below 0.6, back above 0.7
    story = [
        (0, 0.62, 0.58, 0.5), (0, 0.62, 0.60, 1.0), (0, 0.62, 0.70, 1.0), (0, 0.60, 0.50, 0.0),
        (0, 0.61, 0.57, 0.25), (1, 0.69, 0.73, 0.75), (1, 0.69, 0.70, 0.0), (1, 0.65, 0.60, 0.0),
        (1, 0.70, 0.80, 1.0), (2, 0.69, 0.73, 0.0), (3, 0.69, 0.73, 0.0), (0, 0.62, 0.62, 1.0),
    ]  # fmt: skip
    for level, charge, ahead, expected in story:
        share = loads.awake(*(jnp.asarray([x]) for x in (level, charge, ahead)))
        assert float(share[0]) == pytest.approx(expected, abs=1e-12), (level, charge, ahead)


def test_hysteresis_does_not_chatter():
    """A night too long and a day too weak: as many changes of level as nights, not as steps."""
    battery = _battery(np.full(N, 2e6), floor=0.1, rate=1.0)
    heat, dt = jnp.full(N, WARM), jnp.asarray(60.0)
    sky = _sky(np.linspace(60, 600, N))
    _, level, _ = _day(battery, _loads(), battery.capacity, sky, heat, dt)
    reached = np.asarray(level).max(0)
    assert set(np.unique(reached)) == {0, 1, 2, 3}
    changes = (np.diff(np.asarray(level), axis=0) != 0).sum(0)
    orbits = 86_400 / 5700
    assert changes.max() <= 6 * orbits, "each level goes up and down once an orbit at most"

    sharp = _loads(above=0.0)
    _, level, _ = _day(battery, sharp, battery.capacity, sky, heat, dt)
    without = (np.diff(np.asarray(level), axis=0) != 0).sum(0)
    assert without.max() > 2 * changes.max(), "without the gap it does: the test can fail"


def test_a_supply_on_the_edge_does_not_chatter():
    """A battery that cannot lift survival and comms: safe mode stays while the supply is short."""
    battery = _battery(np.full(N, 1e6), rate=0.3)  # 83 W, of 90 W essential
    heat, dt = jnp.full(N, WARM), jnp.asarray(60.0)
    sky = _sky(420.0)
    _, level, flows = _day(battery, _loads(below=NEVER), battery.capacity, sky, heat, dt)
    changes = int((jnp.diff(level[:, 0]) != 0).sum())
    assert 20 < changes <= 2 * 16, "in at nightfall, out at sunrise"
    assert (flows.survival == 60.0).all()

    none = _battery(np.zeros(N))
    flicker = jnp.asarray(np.resize([88.0, 94.0], 1440)[:, None] * np.ones(N))  # about 90 W
    _, level, _ = _day(none, _loads(), jnp.zeros(N), flicker, heat, dt)
    assert (level == SAFE).all(), "safe mode is left with something to spare"

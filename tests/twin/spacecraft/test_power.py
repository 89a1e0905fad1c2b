"""Array, battery and bus: closed forms, and laws over a hundred thousand made-up moments."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.spacecraft.power import Battery, SolarArray, plan, settle

DT = jnp.asarray(10.0)
PANELS = SolarArray(*(jnp.asarray(x) for x in (2.0, 0.25, -0.0023, 301.15)))


def test_array_power_by_hand():
    at_reference = PANELS.power(jnp.asarray(1361.0), jnp.asarray(301.15))
    assert float(at_reference) == pytest.approx(680.5, rel=1e-14)
    warm = PANELS.power(jnp.asarray(1361.0), jnp.asarray(351.15))
    assert float(warm / at_reference) == pytest.approx(1 - 0.0023 * 50, rel=1e-12)
    assert float(PANELS.power(jnp.asarray(0.0), jnp.asarray(200.0))) == 0.0
    assert float(PANELS.power(jnp.asarray(1361.0), jnp.asarray(900.0))) == 0.0, (
        "never below nothing"
    )


@cache
def _moments():
    """Made-up moments of many satellites: what the bus was asked, promised and settled."""
    rng = np.random.default_rng(7)
    n = 100_000

    def some(low, high):
        return jnp.asarray(rng.uniform(low, high, n))

    def often_zero(high):
        return jnp.asarray(rng.uniform(0, high, n) * (rng.random(n) > 0.2))

    capacity = some(1e5, 1e7)
    battery = Battery(
        capacity=capacity,
        floor=some(0, 0.5) * capacity,
        charge_efficiency=some(0.5, 1),
        discharge_efficiency=some(0.5, 1),
        charge_limit=often_zero(3000),
        discharge_limit=often_zero(3000),
    )
    edge = rng.integers(0, 4, n)  # empty, full, near the floor, anywhere
    share = jnp.asarray(np.choose(edge, [0.0, 1.0, 0.0, rng.random(n)]))
    energy = battery.floor + share * (capacity - battery.floor)
    energy = energy + jnp.asarray((edge == 2) * rng.uniform(0, 1000, n))
    available, housekeeping = often_zero(5000), often_zero(2000)
    least, most = often_zero(500), often_zero(3000)
    most = least + most
    now = least + some(0, 1) * (most - least)
    promise = plan(battery, energy, available, housekeeping, now, most, DT)
    # in the step the chip may warm or cool: the mean draw is anything between least and most
    wish = least + some(0, 1) * (most - least)
    share = promise.payload_share
    flows = settle(battery, promise, available, share * wish, (1 - share) * wish)
    after = battery.after(energy, flows.charge, flows.discharge, DT)
    return battery, energy, after, flows, promise, housekeeping + wish


def test_battery_gains_what_was_earned_less_what_was_spent():
    """Earned and spent are counted outside the battery: array, loads, shunt and losses."""
    _, before, after, flows, _, _ = _moments()
    earned = flows.extracted
    spent = flows.housekeeping + flows.payload + flows.shunted + flows.loss
    np.testing.assert_allclose((after - before) / 10, earned - spent, atol=1e-6)


def test_limits_are_never_left():
    battery, before, after, flows, _, _ = _moments()
    assert (after <= battery.capacity * (1 + 1e-12)).all()
    assert (after >= jnp.minimum(battery.floor, before) - 1e-6).all()
    assert (flows.charge <= battery.charge_limit).all()
    assert (flows.discharge <= battery.discharge_limit + 1e-9).all()
    for name, flow in vars(flows).items():
        assert (flow >= 0).all(), f"{name} has a direction"
    assert (jnp.minimum(flows.charge, flows.discharge) == 0).all(), "never both at once"


def test_all_the_array_offers_is_taken_or_left():
    flows = _moments()[3]
    np.testing.assert_allclose(flows.extracted + flows.curtailed, flows.available, atol=1e-9)


def test_demand_is_served_or_counted_as_unserved():
    *_, flows, promise, demand = _moments()
    served = flows.housekeeping + flows.payload
    np.testing.assert_allclose(served + flows.unserved, demand, atol=1e-8)
    starved = np.asarray(promise.unserved) > 0
    assert starved.sum() > 1000
    assert (flows.payload[starved] == 0).all(), "housekeeping comes first"


def test_shunt_acts_only_when_the_battery_cannot():
    _, _, _, flows, promise, _ = _moments()
    acts = np.asarray(flows.shunted) > 1e-9
    assert acts.sum() > 100
    np.testing.assert_allclose(flows.charge[acts], promise.room[acts], atol=1e-9)


def test_empty_battery_in_the_dark_serves_nothing_and_says_so():
    battery = Battery(*(jnp.asarray(x) for x in (2e6, 4e5, 0.97, 0.96, 300.0, 300.0)))
    dark, floor = jnp.asarray(0.0), battery.floor
    promise = plan(
        battery, floor, dark, jnp.asarray(173.0), jnp.asarray(60.0), jnp.asarray(60.0), DT
    )
    wish, share = jnp.asarray(60.0), promise.payload_share
    flows = settle(battery, promise, dark, share * wish, (1 - share) * wish)

    assert float(flows.unserved) == 233.0
    assert float(flows.payload) == 0.0, "no work without charge"
    assert float(battery.after(floor, flows.charge, flows.discharge, DT)) == float(floor)


def test_round_trip_costs_both_efficiencies():
    battery = Battery(*(jnp.asarray(x) for x in (2e6, 0.0, 0.9, 0.8, 300.0, 300.0)))
    zero, watts = jnp.asarray(0.0), jnp.asarray(100.0)
    stored = battery.after(zero, watts, zero, DT)
    assert float(stored) == pytest.approx(900.0)
    given = battery.reach(stored, DT)
    assert float(given) == pytest.approx(72.0), "0.9 · 0.8 of what came in"
    assert float(battery.after(stored, zero, given, DT)) == pytest.approx(0.0, abs=1e-9)
    losses = battery.loss(watts, zero) + battery.loss(zero, given)
    assert float(losses) == pytest.approx(28.0), "and the rest is heat"


def test_curtails_when_full_and_discharges_into_the_night():
    battery = Battery(*(jnp.asarray(x) for x in (2e6, 4e5, 0.975, 0.975, 300.0, 300.0)))
    load = jnp.asarray(60.0)
    full = plan(battery, battery.capacity, jnp.asarray(680.0), jnp.asarray(173.0), load, load, DT)
    assert float(full.extracted) == 233.0
    assert float(full.curtailed) == 447.0
    night = plan(battery, battery.capacity, jnp.asarray(0.0), jnp.asarray(173.0), load, load, DT)
    flows = settle(battery, night, jnp.asarray(0.0), load, jnp.asarray(0.0))
    assert float(flows.discharge) == 233.0
    after = battery.after(battery.capacity, flows.charge, flows.discharge, DT)
    assert float(battery.capacity - after) == pytest.approx(2330 / 0.975)


def test_gradients_are_finite_at_every_edge():
    battery, energy, *_ = _moments()

    def stored(b, e):
        promise = plan(b, e, jnp.asarray(400.0), jnp.asarray(173.0), e * 0, e * 0 + 90, DT)
        flows = settle(b, promise, jnp.asarray(400.0), 90 * promise.payload_share, e * 0)
        return b.after(e, flows.charge, flows.discharge, DT)

    slopes = jax.jit(jax.vmap(jax.grad(stored, argnums=(0, 1))))(battery, energy)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))

"""The payload's brakes, its power states, and where its tokens go."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.spacecraft.payload import Duty, Governor, Payload, duty, tokens, wish

PAYLOAD = Payload(*(jnp.asarray(x) for x in (3.0, 15.0, 60.0, 40.0, 353.15, 368.15, 0.7, 0.05)))
GOVERNOR = Governor(*(jnp.asarray(x) for x in (0.5, 378.15, 343.15, 4.0, 5.0, 98.0)))
ON, ASLEEP, NO_LINKS, SAFE = 0, 1, 2, 3


def many(what, count):
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count,)), what)


def bent(curvature):
    return eqx.tree_at(lambda g: g.curvature, GOVERNOR, jnp.asarray(curvature))


def lived(down, shed, tripped, upset, dt, governor=GOVERNOR):
    down, shed, tripped, upset = jnp.broadcast_arrays(
        jnp.asarray(down, float), jnp.asarray(shed), jnp.asarray(tripped), jnp.asarray(upset)
    )
    payload, governor = many(PAYLOAD, down.size), many(governor, down.size)
    down, shed, tripped, upset = (jnp.ravel(x) for x in (down, shed, tripped, upset))
    return duty(payload, governor, down, shed, tripped, upset, jnp.asarray(float(dt)))


def shares(spent):
    return spent.up + spent.restarting + spent.withheld + spent.hot


def test_throttle_falls_from_one_to_zero_and_its_slope_is_its_derivative():
    chip = jnp.linspace(2.7, 600.0, 5975)
    share, slope = jax.vmap(PAYLOAD.throttle)(chip)
    derivative = jax.vmap(jax.grad(lambda t: PAYLOAD.throttle(t)[0]))(chip)

    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share) <= 0).all(), "a hotter chip never works more"
    assert (share[chip <= 353.15] == 1).all() and (share[chip >= 368.15] == 0).all()
    np.testing.assert_allclose(slope, derivative, rtol=1e-12, atol=1e-15)
    assert float(PAYLOAD.throttle(jnp.asarray(360.65))[0]) == 0.5


def test_throttle_is_smooth_where_it_sets_in():
    edge = jnp.asarray([353.15, 368.15])
    for shift in (-1e-6, 1e-6):
        assert np.abs(jax.vmap(PAYLOAD.throttle)(edge + shift)[1]).max() < 1e-7


def test_ration_rises_from_zero_to_one():
    charge = jnp.linspace(0.0, 1.0, 10_001)
    share = jax.vmap(PAYLOAD.ration)(charge)
    slope = jax.vmap(jax.grad(PAYLOAD.ration))(charge)

    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share) >= 0).all(), "a fuller battery never allows less"
    assert (share[charge < 0.7] == 0).all(), "no work on the bus's reserve"
    assert (share[charge > 0.7501] == 1).all()
    assert np.isfinite(slope).all() and (slope >= 0).all()
    np.testing.assert_allclose(PAYLOAD.ration(jnp.asarray(0.725)), 0.5, rtol=1e-12)


def test_draw_of_all_devices():
    assert float(PAYLOAD.idle()) == 45.0
    assert float(PAYLOAD.idle() + PAYLOAD.swing()) == 180.0


@pytest.mark.parametrize("curvature", [0.0, 0.5, 0.95])
def test_power_rises_with_work_and_its_slope_is_its_derivative(curvature):
    work = jnp.linspace(0.0, 1.0, 10_001)
    governor = many(bent(curvature), work.size)
    power, slope = governor.draw(work)
    derivative = jax.vmap(jax.grad(lambda w: bent(curvature).draw(w)[0]))(work)

    assert power[0] == 0
    np.testing.assert_allclose(power[-1], 1.0, rtol=1e-15)
    assert (np.diff(power) > 0).all(), "more work never draws less"
    assert (np.diff(slope) >= -1e-12).all(), "the last share of work is the dearest"
    np.testing.assert_allclose(slope, derivative, rtol=1e-12)
    np.testing.assert_allclose(power, (1 - curvature) * work + curvature * work**3, atol=1e-15)


def test_wish_follows_heat_and_ration_and_its_slope_is_its_derivative():
    ration, chip = (
        x.ravel() for x in jnp.meshgrid(jnp.linspace(0, 1, 41), jnp.linspace(340, 380, 801))
    )
    up = lived(30.0, ON, False, False, 120.0)
    assert float(up.up[0]) == 0.75
    one = jax.tree.map(lambda x: x[0], up)
    payload, governor, spent = (many(x, chip.size) for x in (PAYLOAD, GOVERNOR, one))
    power, slope = wish(payload, governor, spent, ration, chip)

    def alone(chip, ration):
        return wish(PAYLOAD, GOVERNOR, one, ration, chip)[0]

    np.testing.assert_allclose(slope, jax.vmap(jax.grad(alone))(chip, ration), atol=1e-12)
    table = np.asarray(power).reshape(801, 41)
    assert (np.diff(table, axis=0) <= 1e-12).all(), "a hotter chip never draws more"
    assert (np.diff(table, axis=1) >= -1e-12).all(), "more ration never draws less"
    np.testing.assert_allclose(table[0, -1], 45.0 + 0.75 * 135.0)
    np.testing.assert_allclose(table[-1], 45.0)
    pull = jax.vmap(jax.grad(alone, argnums=1))(chip, ration)
    assert np.isfinite(pull).all()


def test_without_curvature_and_pause_the_wish_is_the_straight_line():
    chip = jnp.linspace(340.0, 380.0, 801)
    share, slope = many(PAYLOAD, 801).throttle(chip)
    always = many(lived(0.0, ON, False, False, 10.0), 801)
    power, steepness = wish(many(PAYLOAD, 801), many(bent(0.0), 801), always, 0.8 * share**0, chip)
    np.testing.assert_allclose(power, 45 + 135 * 0.8 * share, rtol=1e-14)
    np.testing.assert_allclose(steepness, 135 * 0.8 * slope, rtol=1e-14, atol=1e-14)


def test_heat_trips_high_and_releases_low():
    heating, cooling = jnp.arange(330.0, 390.0, 0.5), jnp.arange(390.0, 330.0, -0.5)
    sweep = jnp.concatenate([heating, cooling, heating])
    off, record = jnp.asarray(False), []
    for chip in sweep:
        off = GOVERNOR.tripped(off, chip)
        record.append(bool(off))
    going, coming, again = np.split(np.array(record), [heating.size, 2 * heating.size])

    np.testing.assert_array_equal(going, heating > 378.15)
    np.testing.assert_array_equal(coming, cooling >= 343.15)
    np.testing.assert_array_equal(again, heating > 378.15)


def test_shares_of_a_step_make_one_whatever_happens():
    rng = np.random.default_rng(11)
    n = 20_000
    for dt in (1.0, 10.0, 3600.0):
        spent = lived(
            rng.uniform(0, 400, n) * (rng.random(n) < 0.7), rng.integers(0, 4, n),
            rng.random(n) < 0.3, rng.random(n) < 0.3, dt,
        )  # fmt: skip
        np.testing.assert_allclose(shares(spent), 1.0, rtol=1e-15)
        assert all((x >= 0).all() and (x <= 1).all() for x in (spent.up, spent.restarting))
        assert (spent.down >= 0).all(), "a countdown ends at zero"
        assert set(np.unique(spent.draw)) == {0.0, 12.0, 45.0}, "off, asleep, idle"
    broken = eqx.tree_at(lambda s: s.up, spent, spent.up + spent.restarting)
    assert np.abs(np.asarray(shares(broken)) - 1).max() > 0.01, "and a share counted twice is seen"


@pytest.mark.parametrize("dt", [1.0, 7.0, 10.0, 98.0, 3600.0])
@pytest.mark.parametrize(
    ("before", "upset", "lost"),
    [(ON, True, 98.0), (ON, False, 0.0), (ASLEEP, False, 5.0), (NO_LINKS, False, 5.0),
     (ASLEEP, True, 98.0), (SAFE, False, 98.0)],
)  # fmt: skip
def test_coming_back_costs_its_time_once_whatever_the_step(dt, before, upset, lost):
    """One step of the state before, then service: seconds without work, at idle power."""
    spent = lived(0.0, before, False, upset, dt)
    down = float(spent.restarting[0]) * dt if before == ON else 0.0
    while float(spent.down[0]) > 0:
        spent = lived(spent.down, ON, False, False, dt)
        assert float(spent.draw[0]) == 45.0
        down += float(spent.restarting[0]) * dt
    assert down == pytest.approx(lost, rel=1e-12)
    assert float(lived(spent.down, ON, False, False, dt).up[0]) == 1


def test_long_steps_do_what_seconds_do():
    """Twelve hours of sleep, safe mode, trips and upsets: up-time of one-hour and 1 s steps."""
    rng = np.random.default_rng(5)
    n, hours = 400, 12
    shed = rng.choice([ON, ON, ON, ASLEEP, SAFE], (hours, n))
    tripped, upset = rng.random((hours, n)) < 0.1, rng.random((hours, n)) < 0.2
    payload, governor = many(PAYLOAD, n), many(GOVERNOR, n)

    def second(carry, flag):
        down, level, hot = carry
        spent = duty(payload, governor, down, level, hot, flag, jnp.asarray(1.0))
        return (spent.down, level, hot), spent.up

    @jax.jit
    def seconds(down, level, hot, struck):
        flags = jnp.zeros((3600, n), bool).at[0].set(struck)
        (down, _, _), up = jax.lax.scan(second, (down, level, hot), flags)
        return down, up.sum(0)

    coarse, fine = jnp.zeros(n), jnp.zeros(n)
    for hour in range(hours):
        now = (jnp.asarray(shed[hour]), jnp.asarray(tripped[hour]), jnp.asarray(upset[hour]))
        spent = duty(payload, governor, coarse, *now, jnp.asarray(3600.0))
        fine, up = seconds(fine, *now)
        coarse = spent.down
        np.testing.assert_allclose(spent.up * 3600.0, up, atol=1e-9)
        np.testing.assert_allclose(coarse, fine, atol=1e-9)


def test_a_step_partly_asleep_is_its_two_parts_one_after_the_other():
    """Awake first at level 0, last at level 1: shares, draw, countdown, of two whole steps."""
    rng = np.random.default_rng(8)
    n, dt = 500, 10.0
    down, awake = jnp.asarray(rng.uniform(-8, 30, n).clip(0)), jnp.asarray(rng.random(n))
    payload, governor = many(PAYLOAD, n), many(GOVERNOR, n)
    never, each = jnp.zeros(n, bool), jax.vmap(duty)
    for level in (ON, ASLEEP):
        spent = duty(
            payload, governor, down, jnp.full(n, level), never, never, jnp.asarray(dt), awake
        )
        first, second = (awake, 1 - awake) if level == ON else (1 - awake, awake)
        parts, left = [], down
        for kind, share in ((level, first), (ASLEEP - level, second)):
            parts.append(each(payload, governor, left, jnp.full(n, kind), never, never, share * dt))
            left = parts[-1].down
        for name in ("up", "restarting", "withheld", "draw", "denied"):
            both = [np.asarray(getattr(x, name)) for x in parts]
            mean = np.asarray(first) * both[0] + np.asarray(second) * both[1]
            np.testing.assert_allclose(getattr(spent, name), mean, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(spent.down, left, atol=1e-9)
        np.testing.assert_allclose(shares(spent), 1.0, rtol=1e-12)


def test_off_is_dark_and_forgets():
    for shed, tripped in ((SAFE, False), (ON, True), (SAFE, True), (ASLEEP, True)):
        spent = lived([0.0, 20.0, 150.0], shed, tripped, False, 10.0)
        assert (spent.draw == 0).all() and (spent.up == 0).all()
        np.testing.assert_array_equal(spent.down, [98.0, 98.0, 150.0])
        assert (spent.hot == float(shed == ON)).all(), "what the bus withholds is not heat's fault"


def test_gradients_of_a_step_are_finite():
    def done(down, restart, dt):
        governor = eqx.tree_at(lambda g: g.restart, GOVERNOR, restart)
        spent = duty(PAYLOAD, governor, down, *flags, dt)
        return tokens(PAYLOAD, dt / dt, dt / dt, 0 * dt, spent).done + spent.draw + spent.down

    values = (0.0, 10.0, 98.0)
    for shed in (ON, ASLEEP, SAFE):
        for struck in (False, True):
            flags = (jnp.asarray(shed), jnp.asarray(False), jnp.asarray(struck))
            for down in values:
                args = (jnp.asarray(down), jnp.asarray(98.0), jnp.asarray(10.0))
                assert np.isfinite(jax.grad(done, argnums=(0, 1, 2))(*args)).all()


def test_every_token_on_offer_is_done_or_lost():
    fed, cool = (x.ravel() for x in jnp.meshgrid(*[jnp.linspace(0, 1, 101)] * 2))
    fleet = jax.tree.map(lambda x: jnp.broadcast_to(x, fed.shape), PAYLOAD)
    flows = tokens(fleet, fed, cool, 1 - cool)

    assert (flows.offered == 120.0).all()
    np.testing.assert_allclose(flows.done, 120.0 * fed * cool, rtol=1e-14)
    gone = flows.done + flows.lost_to_energy + flows.lost_to_heat
    np.testing.assert_allclose(gone, flows.offered, rtol=1e-14)
    assert (flows.lost_to_energy[fed == 1] == 0).all(), "what is fed is not lost to energy"
    assert (flows.lost_to_heat[cool == 1] == 0).all(), "nor what is cool to heat"


def test_every_token_is_done_or_lost_through_pauses_too():
    rng = np.random.default_rng(2)
    n = 50_000
    fed, cool = jnp.asarray(rng.random(n)), jnp.asarray(rng.random(n))
    spent = lived(
        rng.uniform(0, 200, n),
        rng.integers(0, 4, n),
        rng.random(n) < 0.2,
        rng.random(n) < 0.2,
        120.0,
    )
    flows = tokens(many(PAYLOAD, n), fed, cool, 1 - cool, spent)
    parts = (flows.done, flows.lost_to_energy, flows.lost_to_heat, flows.lost_to_fault)

    np.testing.assert_allclose(sum(parts), flows.offered, rtol=1e-14)
    assert all((x >= 0).all() for x in parts)
    assert (flows.lost_to_energy[spent.withheld == 1] == 120.0).all(), "asleep by charge"
    assert (flows.lost_to_heat[spent.hot == 1] == 120.0).all(), "off by heat"
    np.testing.assert_allclose(flows.lost_to_fault, 120.0 * spent.restarting, rtol=1e-14)
    forgotten = sum(parts[:3])
    assert np.abs(forgotten / flows.offered - 1).max() > 0.1, "a forgotten account is seen"


def test_without_pauses_nothing_is_lost_to_fault():
    fed = jnp.linspace(0, 1, 11)
    plain = tokens(many(PAYLOAD, 11), fed, fed, 1 - fed)
    always = Duty(fed**0, *(0 * fed for _ in range(6)))
    paused = tokens(many(PAYLOAD, 11), fed, fed, 1 - fed, always)
    assert (plain.lost_to_fault == 0).all()
    assert all(map(np.array_equal, jax.tree.leaves(plain), jax.tree.leaves(paused)))

"""The two brakes of the payload, and where its tokens go."""

import jax
import jax.numpy as jnp
import numpy as np

from twin.spacecraft.payload import Payload, tokens

PAYLOAD = Payload(*(jnp.asarray(x) for x in (3.0, 15.0, 60.0, 40.0, 353.15, 368.15, 0.7, 0.05)))


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

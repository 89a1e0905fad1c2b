"""Steady states: SciPy's root finder, and closed forms of one radiator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heat_networks import (
    DARK,
    GREY,
    LINKS,
    LIT,
    MASS,
    PAIRS,
    PAYLOAD,
    PUMPED,
    constant,
    placed,
    satellite,
    simple,
)
from oracles import thermal_radau
from scipy.optimize import root

HEAT = DARK + LIT


def braked(temperature):
    """A payload that lets go between 300 and 330 K."""
    x = jnp.clip((temperature - 300.0) / 30.0, 0.0, 1.0)
    return 800.0 * (1 - x * x * (3 - 2 * x)), -800.0 * 6 * x * (1 - x) / 30.0


@pytest.mark.parametrize(
    ("pipes", "payload"),
    [((), constant(PAYLOAD)), (PUMPED, braked)],
    ids=["linked, constant", "pumped, braked"],
)
def test_steady_state_is_the_root(pipes, payload):
    network = satellite(pipes)
    found = np.asarray(
        jax.jit(lambda n, q: n.steady(q, 0 * q, payload))(network, jnp.asarray(HEAT))
    )
    rate, _ = thermal_radau.network_rate(
        np.ones(12), placed(LINKS), placed(PAIRS), placed(pipes), GREY
    )

    def net(temperature):
        heat = HEAT.copy()
        heat[5] += float(payload(jnp.asarray(temperature[5]))[0])
        return rate(temperature, heat)

    exact = root(net, np.full(12, 300.0), method="hybr", options={"xtol": 1e-13})
    assert np.abs(exact.fun).max() < 1e-7
    np.testing.assert_allclose(found, exact.x, atol=1e-6)


@pytest.mark.parametrize(("area", "expected"), [(2419.0, 300.0), (1306.0, 350.0), (151.0, 600.0)])
def test_a_megawatt_leaves_by_one_side(area, expected):
    """ε 0.9: an identity of Stefan and Boltzmann, in rounded square metres."""
    plate = simple([1.0], np.zeros(0), [0.9 * area], ())
    found = float(plate.steady(jnp.array([1e6]), jnp.zeros(1), constant(0.0))[0])
    assert found == pytest.approx(expected, rel=1e-3)


def test_it_is_where_a_long_march_ends():
    network = satellite(guarded=True)
    heat = jnp.asarray(HEAT)

    @jax.jit
    def march(t):
        def turn(_, t):
            return network.after(t, heat, 0 * heat, constant(PAYLOAD), jnp.asarray(3600.0))[0]

        return jax.lax.fori_loop(0, 2000, turn, t)

    found = network.steady(heat, 0 * heat, constant(PAYLOAD))
    np.testing.assert_allclose(march(jnp.full(12, 290.0)), found, atol=1e-6)


@jax.jit
def chip(scale, mass):
    """Temperature of the chip with all areas, conductances, exchanges and flows scaled."""
    plain = satellite(PUMPED)
    network = satellite(
        PUMPED,
        heat_capacity=mass,
        emitting_area=plain.emitting_area * scale[0],
        conductance=plain.conductance * scale[1],
        exchange=plain.exchange * scale[2],
        flow=plain.flow * scale[3],
    )
    return network.steady(jnp.asarray(HEAT), jnp.zeros(12), braked)[5]


def test_its_gradient_is_that_of_finite_differences():
    one, mass = jnp.ones(4), jnp.asarray(MASS)
    slope, by_mass = jax.jit(jax.grad(chip, argnums=(0, 1)))(one, mass)
    assert np.abs(np.asarray(by_mass)).max() == 0, "mass does not matter"
    for k in range(4):
        high, low = (float(chip(one.at[k].add(s * 1e-4), mass)) for s in (1, -1))
        assert float(slope[k]) == pytest.approx((high - low) / 2e-4, rel=1e-4, abs=1e-6), k

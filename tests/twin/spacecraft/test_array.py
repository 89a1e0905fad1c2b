"""The array: closed forms, one line in light and one in temperature, never below nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.spacecraft.array import SolarArray, aged

NOTHING = jnp.asarray(0.0)


def _array(back=0.0):
    return SolarArray(*(jnp.asarray(x) for x in (2.0, 0.25, back, -0.0023, 301.15)))


def _power(array, irradiance, temperature, back=0.0):
    return float(array.power(*(jnp.asarray(x) for x in (irradiance, temperature, back))))


def test_power_by_hand():
    at_reference = _power(_array(), 1361.0, 301.15)
    assert at_reference == pytest.approx(680.5, rel=1e-14)
    warm = _power(_array(), 1361.0, 351.15)
    assert warm / at_reference == pytest.approx(1 - 0.0023 * 50, rel=1e-12)
    assert _power(_array(), 0.0, 200.0) == 0.0
    assert _power(_array(), 1361.0, 900.0) == 0.0, "never below nothing"


def test_light_from_behind_counts_only_with_cells_there():
    assert _power(_array(), 1000.0, 301.15, back=300.0) == pytest.approx(500.0)
    assert _power(_array(back=0.2), 1000.0, 301.15, back=300.0) == pytest.approx(500.0 + 120.0)
    assert _power(_array(back=0.2), 0.0, 301.15, back=300.0) == pytest.approx(120.0)


def test_ageing_is_compound():
    """1 % a year for five years leaves 0.99⁵: by hand 0.9509900499."""
    assert aged(0.3, 5.0, 0.01) == pytest.approx(0.3 * 0.9509900499, rel=1e-12)
    assert aged(0.3, 0.0, 0.01) == 0.3


def test_power_is_linear_never_negative_and_has_finite_slopes():
    rng = np.random.default_rng(3)
    n = 50_000
    light, glow = (jnp.asarray(rng.uniform(0, top, n)) for top in (1500, 400))
    heat = jnp.asarray(rng.uniform(3, 900, n))
    array = jax.tree.map(lambda x: x + jnp.zeros(n), _array(back=0.2))
    power = array.power(light, heat, glow)
    assert (power >= 0).all()
    np.testing.assert_allclose(array.power(2 * light, heat, 2 * glow), 2 * power, rtol=1e-13)
    cold, warm = jnp.full(n, 100.0), jnp.full(n, 500.0)
    ends = array.power(light, cold, glow), array.power(light, warm, glow)
    middle = array.power(light, 0.5 * (cold + warm), glow)
    np.testing.assert_allclose(middle, 0.5 * (ends[0] + ends[1]), rtol=1e-12)
    slope = jax.jit(jax.vmap(jax.grad(SolarArray.power, argnums=(0, 1, 2, 3))))
    slopes = slope(array, light, heat, glow)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))

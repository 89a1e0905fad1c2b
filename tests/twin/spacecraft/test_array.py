"""The array: closed forms, one line in light and one in temperature, never below nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.spacecraft.array import SolarArray, Sunshine, aged

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


def visible(coordinate):
    """Share of a disc above a straight limb, `coordinate` radii below its centre."""
    x = np.clip(coordinate, -1, 1)
    return 1 - (np.arccos(x) - x * np.sqrt(1 - x * x)) / np.pi


@pytest.mark.parametrize("step", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("rate", [0.24, 0.1, 0.03])  # solar radii a second: steep to grazing
def test_what_is_drawn_while_the_sun_rises_is_the_mean_of_the_lesser(rate, step):
    """Within 0.02 % of the sunset in any phase; the lesser of means is wrong by 0.3 to 20 %."""
    fine = 400
    begin = -1 / rate - 2 * step + np.linspace(0, step, 21)[:-1]  # phases of the steps
    count = int(np.ceil((2 / rate) / step)) + 4
    time = begin[:, None] + np.arange(count * fine + 1) * step / fine
    shares = visible(rate * time)
    cut = 0.5 * (shares[:, 1:] + shares[:, :-1])
    mean = cut.reshape(len(begin), count, fine).mean(axis=2)
    ends = shares[:, ::fine]
    pace = np.full(mean.shape, 1 / (rate * step))
    sun = Sunshine(*(jnp.asarray(x) for x in (mean, ends[:, :-1], ends[:, 1:], pace)))
    ones = jnp.ones(mean.shape)
    array = SolarArray(*(x * ones for x in (1.0, 1.0, 0.0, 0.0, 300.0)))
    there = array.supply(sun, ones, 300.0 * ones, 0.0 * ones)
    off, naive = [], []
    for wanted in (0.2, 0.4, 0.6, 0.8, 0.95, 2.0):
        exact = np.minimum(cut, wanted).sum(axis=1) * step / fine
        drawn = np.asarray(there.drawn(wanted * ones))
        assert (drawn <= np.minimum(mean, wanted) + 1e-9).all()
        off.append(drawn.sum(axis=1) * step - exact)
        naive.append(np.minimum(mean, wanted).sum(axis=1) * step - exact)
    worst, plain = np.abs(off).max(), np.abs(naive).max()
    print(f"{worst:.3f} s of full power, the lesser of means {plain:.2f} s")
    assert worst < 0.0002 * 2 / rate and plain > 0.0034 * 2 / rate
    np.testing.assert_allclose(off[-1], 0.0, atol=1e-9)

"""The Earth's shadow: laws it must obey, an oracle that counts rays, and step averages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.eclipse_rays import EQUATORIAL, visible_share
from scipy.integrate import quad

from twin.constants import AU, EARTH_RADIUS
from twin.environment.eclipse import mean_sunlit, shadow_coordinate, sunlit, sunlit_fraction

SUN = jnp.array([AU, 0.0, 0.0])
TILTED_SUN = AU * jnp.array([0.8, 0.3, 0.5]) / np.linalg.norm([0.8, 0.3, 0.5])


@jax.jit
def both(positions, sun_position, flattening):
    """Textbook and fast share of full sun."""
    over = jax.vmap(sunlit_fraction, in_axes=(-1, None, None))
    coordinates = jax.vmap(shadow_coordinate, in_axes=(-1, None, None))
    return over(positions, sun_position, flattening), sunlit(
        coordinates(positions, sun_position, flattening)
    )


@pytest.fixture(scope="module")
def low_orbits():
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(3, 100_000))
    radii = EARTH_RADIUS + rng.uniform(200e3, 2000e3, size=100_000)
    return directions / np.linalg.norm(directions, axis=0) * radii


def test_laws_hold_all_over_low_orbit(low_orbits):
    shares = both(low_orbits, SUN, 1 / 298.257)
    gradients = jax.jit(
        jax.vmap(jax.grad(lambda r: sunlit(shadow_coordinate(r, SUN))), in_axes=-1)
    )(low_orbits)
    textbook = jax.jit(jax.vmap(jax.grad(sunlit_fraction), in_axes=(-1, None)))(low_orbits, SUN)

    for seen in shares:
        assert ((seen >= 0) & (seen <= 1)).all()
        assert (seen[low_orbits[0] > 0] == 1).all(), "the day side sees the whole Sun"
        assert 0.2 < (seen == 0).mean() < 0.4, "a good part of low orbit is dark"
    assert np.isfinite(gradients).all() and np.isfinite(textbook).all()


def test_fast_share_is_the_textbook_one_within_a_thousandth(low_orbits):
    for flattening in (0.0, 1 / 298.257223563):
        textbook, fast = both(low_orbits, TILTED_SUN, flattening)
        assert np.abs(textbook - fast).max() < 1e-3, "straight limb against round limb"


def test_on_the_shadows_axis_everything_is_finite():
    axis = jnp.array([-7e6, 0.0, 0.0])
    for kernel in (sunlit_fraction, shadow_coordinate):
        assert np.isfinite(kernel(axis, SUN))
        assert np.isfinite(jax.grad(kernel)(axis, SUN)).all()


def test_below_the_surface_is_nan():
    inside = jnp.array([-6e6, 1e5, 0.0])
    assert np.isnan(sunlit_fraction(inside, SUN))
    assert np.isnan(shadow_coordinate(inside, SUN))


@pytest.mark.parametrize("polar_share", [1.0, 1 - 1 / 298.257223563])
@pytest.mark.parametrize("angle", [-0.006, -0.004, -0.002, 0.0, 0.002, 0.004, 0.006])
def test_penumbra_matches_counted_rays(angle, polar_share):
    """`angle` (rad) is measured from the edge of the Earth's shadow, outward, over the pole."""
    radius = EARTH_RADIUS + 550e3
    azimuth = np.arcsin(EARTH_RADIUS * polar_share / radius) + angle
    position = radius * np.array([-np.cos(azimuth), 0.0, np.sin(azimuth)])
    counted = visible_share(position, np.asarray(SUN), polar=EQUATORIAL * polar_share, rings=400)

    textbook, fast = both(position[:, None], SUN, 1 - polar_share)

    # A thousandth: both draw the limb and the stretched Sun approximately.
    assert textbook[0] == pytest.approx(counted, abs=1e-3)
    assert fast[0] == pytest.approx(counted, abs=1e-3)


def test_the_step_average_is_the_integral():
    share = jax.jit(jax.vmap(sunlit))
    rng = np.random.default_rng(5)
    starts = rng.uniform(-4, 4, size=200)
    stops = starts + rng.choice([-1, 1], size=200) * 10 ** rng.uniform(-8, 0.7, size=200)

    averages = jax.jit(jax.vmap(mean_sunlit))(starts, stops)

    def exact(x):
        x = np.clip(x, -1, 1)
        return 1 - (np.arccos(x) - x * np.sqrt(1 - x * x)) / np.pi

    for x0, x1, average in zip(starts, stops, averages, strict=True):
        inside = [x for x in (-1.0, 1.0) if min(x0, x1) < x < max(x0, x1)]
        expected = quad(exact, x0, x1, points=inside or None, epsabs=1e-13)[0] / (x1 - x0)
        assert average == pytest.approx(expected, abs=1e-5), (x0, x1)
    assert np.abs(share(starts) - exact(starts)).max() < 5e-8


def test_step_average_does_not_jump_where_the_coordinate_stands_still():
    starts = np.repeat(np.linspace(-1.5, 1.5, 301), 5)
    change = np.tile([0.0, 0.99e-4, 1.01e-4, 1e-3, -1.01e-4], 301)
    averages = jax.jit(jax.vmap(mean_sunlit))(starts - change / 2, starts + change / 2)
    assert np.abs(averages - jax.vmap(sunlit)(starts)).max() < 2e-5
    gradients = jax.jit(jax.vmap(jax.grad(mean_sunlit, argnums=(0, 1))))(starts, starts + change)
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("beta", [0.0, 60.0, 66.5, 68.2])
def test_ten_second_averages_match_a_finely_sampled_sun(beta):
    """A circular orbit at 500 km through the shadow; 68.2 degrees of beta only grazes it."""
    radius, beta = EARTH_RADIUS + 500e3, np.radians(beta)
    sun = AU * jnp.array([np.cos(beta), 0.0, np.sin(beta)])
    times = np.arange(-1_300.0, 1_300.1, 0.1)
    angle = np.pi + 1.107e-3 * times
    orbit = radius * np.array([np.cos(angle), np.sin(angle), np.zeros_like(angle)])

    fine, _ = both(orbit, sun, 0.0)
    x = jax.vmap(shadow_coordinate, in_axes=(-1, None, None))(orbit[:, ::100], sun, 0.0)
    averages = jax.vmap(mean_sunlit)(x[:-1], x[1:])

    fine = (np.asarray(fine[:-1]) + np.asarray(fine[1:])) / 2
    assert fine.min() < 0.99, "the case must meet the shadow"
    assert np.abs(averages - fine.reshape(-1, 100).mean(axis=1)).max() < 5e-4
    assert abs(np.mean(averages) - fine.mean()) < 2e-4, "the energy of the whole passage"

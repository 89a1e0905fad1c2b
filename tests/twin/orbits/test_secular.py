"""Mean orbits under J2: laws, published inclinations and closed forms."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.catalog import read_elements
from twin.constants import DAY, DEG, EARTH_GM, EARTH_J2, EARTH_RADIUS, TROPICAL_YEAR
from twin.orbits.secular import (
    secular_from_elements,
    secular_orbit,
    secular_rates,
    sun_synchronous,
    sun_synchronous_inclination,
    walker,
)
from twin.orbits.sgp4 import sgp4_orbit

ELEMENTS = Path(__file__).parents[3] / "assets" / "elements"

fleet = jax.vmap(lambda orbit, time: orbit.state(time), in_axes=(-1, None), out_axes=-1)
fleet_at_times = jax.jit(jax.vmap(fleet, in_axes=(None, 0)))


@pytest.mark.parametrize(
    ("altitude_km", "degrees"), [(500, 97.40), (650, 97.99), (800, 98.60), (1000, 99.48)]
)
def test_published_sun_synchronous_inclinations(altitude_km, degrees):
    a = EARTH_RADIUS + altitude_km * 1e3
    the_tables_last_digit = 0.005 * 1.2
    found = sun_synchronous_inclination(a) / DEG
    assert found == pytest.approx(degrees, abs=the_tables_last_digit)


def test_no_sun_synchronous_orbit_far_out():
    with pytest.raises(ValueError, match="no sun-synchronous orbit at a = 13000 km"):
        sun_synchronous_inclination(13_000e3)


def test_the_node_of_a_sun_synchronous_shell_keeps_its_local_time():
    """For five years, against a mean Sun that turns once in a tropical year."""
    sun, ltan = 1.2345, 18 * 3600.0
    orbit = sun_synchronous(
        12, 3, semi_major_axis=7.0e6, ltan=ltan, sun_right_ascension=sun, eccentricity=1e-3
    )
    times = jnp.linspace(0.0, 5 * TROPICAL_YEAR, 200)
    position, velocity = (np.asarray(x) for x in fleet_at_times(orbit, times))
    normal = np.cross(position, velocity, axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    node = np.arctan2(normal[:, 0], -normal[:, 1])
    local = (node - (sun + 2 * np.pi * np.asarray(times) / TROPICAL_YEAR)[:, None]) / (2 * np.pi)
    lag = (local * DAY + DAY / 2 - ltan + DAY / 2) % DAY - DAY / 2
    # the plane of position and velocity is tipped from the mean one by the node's own drift
    assert np.abs(lag).max() < 5.0, "seconds of local time"
    assert np.abs(lag.mean()) < 1.0


def test_radius_inclination_and_energy_stay():
    orbit = walker(60, 6, semi_major_axis=6.9e6, inclination=53 * DEG, phasing=1.0)
    position, _ = fleet_at_times(orbit, jnp.linspace(0.0, 10 * DAY, 500))
    radius = np.linalg.norm(position, axis=1)
    np.testing.assert_allclose(radius, 6.9e6, rtol=1e-14)
    highest = np.abs(np.asarray(position)[:, 2]).max()
    assert highest == pytest.approx(6.9e6 * np.sin(53 * DEG), rel=1e-4)
    assert highest <= 6.9e6 * np.sin(53 * DEG) * (1 + 1e-14)


@pytest.mark.parametrize("eccentricity", [0.0, 0.001, 0.02, 0.1, 0.4])
def test_velocity_is_the_slope_of_the_position_and_gradients_are_finite(eccentricity):
    orbit = walker(
        40, 5, semi_major_axis=11e6, inclination=1.0, phasing=2.0, eccentricity=eccentricity
    )
    time = jnp.asarray(54_321.0)
    slope_of_one = jax.jacfwd(lambda orbit, t: orbit.state(t)[0], argnums=1)
    slope = jax.jit(jax.vmap(slope_of_one, in_axes=(-1, None), out_axes=-1))(orbit, time)
    np.testing.assert_allclose(slope, fleet(orbit, time)[1], rtol=0, atol=1e-8)
    gradient = jax.jit(jax.grad(lambda orbit: fleet(orbit, time)[1].sum()))(orbit)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_circle_is_the_limit_of_ellipses():
    shell = {"semi_major_axis": 7e6, "inclination": 0.9, "phasing": 1.0}
    times = jnp.linspace(0.0, DAY, 50)
    circle = fleet_at_times(walker(30, 3, **shell), times)[0]
    ellipse = fleet_at_times(walker(30, 3, **shell, eccentricity=1e-9), times)[0]
    np.testing.assert_allclose(circle, ellipse, rtol=0, atol=0.02)  # 2 a e is 14 mm


def test_without_j2_the_ellipse_is_keplers():
    """At the start the closed form: distance a(1 - e cos E), and E from SciPy's root-finder."""
    from scipy.optimize import brentq

    e, a, mean = 0.3, 1.2e7, np.linspace(0.1, 6.2, 9)
    zero = np.zeros(9)
    orbit = secular_orbit(a + zero, e + zero, 0.5 + zero, zero, 0.7 + zero, mean)
    position, _ = fleet(orbit, jnp.asarray(0.0))
    eccentric = [brentq(lambda x, m=m: x - e * np.sin(x) - m, 0, 7, xtol=1e-14) for m in mean]
    x, y = a * (np.cos(eccentric) - e), a * np.sqrt(1 - e**2) * np.sin(eccentric)
    expected = [
        x * np.cos(0.7) - y * np.sin(0.7),
        (x * np.sin(0.7) + y * np.cos(0.7)) * np.cos(0.5),
        (x * np.sin(0.7) + y * np.cos(0.7)) * np.sin(0.5),
    ]
    np.testing.assert_allclose(position, expected, rtol=0, atol=1e-6)


def test_rates_agree_with_the_same_gravity_integrated():
    """Point mass and J2 by DOP853, ten revolutions: the node's drift, averaged, within 0.3 %."""
    from scipy.integrate import solve_ivp

    a, inclination = 7.2e6, 60 * DEG
    rate = secular_rates(*(np.array([x]) for x in (a, 0.0, inclination)))[0][0]

    def pull(_, state):
        x, y, z = state[:3]
        r2 = x * x + y * y + z * z
        k = 1.5 * EARTH_J2 * (EARTH_RADIUS**2 / r2)
        w = 5 * z * z / r2
        factor = -EARTH_GM / r2**1.5
        bulge = np.array([1 + k * (1 - w), 1 + k * (1 - w), 1 + k * (3 - w)])
        return np.concatenate([state[3:], factor * bulge * state[:3]])

    v = np.sqrt(EARTH_GM / a)
    first = [a, 0, 0, 0, v * np.cos(inclination), v * np.sin(inclination)]
    period = 2 * np.pi / np.sqrt(EARTH_GM / a**3)
    times = np.linspace(0, 10 * period, 1000)
    path = solve_ivp(pull, (0, times[-1]), first, "DOP853", times, rtol=1e-11, atol=1e-6).y
    normal = np.cross(path[:3].T, path[3:].T)
    node = np.unwrap(np.arctan2(normal[:, 0], -normal[:, 1]))
    assert np.polyfit(times, node, 1)[0] == pytest.approx(rate, rel=0.005)


def test_walker_geometry():
    delta = walker(24, 4, semi_major_axis=7e6, inclination=1.0, phasing=1.0)
    np.testing.assert_allclose(np.diff(delta.raan[::6]), np.pi / 2, rtol=1e-12)
    np.testing.assert_allclose(delta.latitude_argument[6], 2 * np.pi / 24, rtol=1e-12)
    star = walker(24, 4, semi_major_axis=7e6, inclination=1.5, spread=np.pi)
    np.testing.assert_allclose(np.diff(star.raan[::6]), np.pi / 4, rtol=1e-12)
    with pytest.raises(ValueError, match="25 satellites do not fill 4 planes"):
        walker(25, 4, semi_major_axis=7e6, inclination=1.0)


def test_below_the_surface_is_nan():
    position, velocity = fleet(
        walker(3, 1, semi_major_axis=6.3e6, inclination=1.0), jnp.asarray(0.0)
    )
    assert np.isnan(position).all() and np.isnan(velocity).all()


def test_published_sets_stay_near_sgp4_for_an_orbit():
    """J2's periodic terms (some 10 km) and a little drag are what separates the two models."""
    elements = read_elements(ELEMENTS / "scs01_2025-10-03.csv")
    start = elements[-1].epoch
    times = jnp.linspace(0.0, 5700.0, 40)
    secular = fleet_at_times(secular_from_elements(elements, start), times)[0]
    sgp4 = fleet_at_times(sgp4_orbit(elements, start), times)[0]
    assert np.linalg.norm(secular - sgp4, axis=1).max() < 25e3

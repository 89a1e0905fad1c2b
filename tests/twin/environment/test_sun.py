"""The Sun against Skyfield, and the mean Sun against sidereal time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.sun_skyfield import geometric_sun
from skyfield.sgp4lib import theta_GMST1982

from twin.clock import Epoch, ephemeris, skyfield_times
from twin.environment.sun import beta_angle, mean_sun_right_ascension, sun_ephemeris

A_METRE = 1.0
A_MILLIARCSECOND = np.radians(1 / 3_600_000)


@pytest.mark.parametrize(
    "text, days", [("2025-10-03T13:22:35Z", 0.01), ("2035-03-20T12:00:00Z", 30.0)]
)
def test_the_sun_of_a_run_is_skyfields_within_a_metre(text, days):
    start, duration = Epoch.parse(text), days * 86_400.0
    times = np.random.default_rng(3).uniform(0.0, duration, size=1000)

    seen = np.asarray(jax.jit(jax.vmap(sun_ephemeris(start, duration).position))(times))

    expected = geometric_sun(ephemeris(), skyfield_times(start, times))
    assert np.abs(seen - expected).max() < A_METRE
    assert np.abs(np.cross(seen, expected)).max() / 1.5e11**2 < A_MILLIARCSECOND


def test_the_ends_of_the_run_are_inside_and_beyond_them_is_nan():
    sun = sun_ephemeris(Epoch.parse("2035-03-20T12:00:00Z"), 86_400.0)
    for inside in (0.0, 86_400.0):
        assert np.isfinite(sun.position(jnp.asarray(inside))).all()
    for outside in (-1.0, 86_401.0):
        assert np.isnan(sun.position(jnp.asarray(outside))).all()


def test_the_sun_moves_smoothly_through_a_node():
    sun = sun_ephemeris(Epoch.parse("2035-03-20T12:00:00Z"), 86_400.0)
    velocity = jax.jacfwd(sun.position)
    before, after = (velocity(jnp.asarray(6 * 3600.0 + s)) for s in (-1e-3, 1e-3))
    assert np.abs(before - after).max() < 1e-3, "1 mm/s of 30 km/s"


def test_the_mean_sun_defines_the_hour():
    # Sidereal angle = mean Sun's right ascension + hour angle, which is UT1 less 12 h.
    for text in ("1999-01-01T03:00:00Z", "2035-07-20T17:45:00Z"):
        epoch = Epoch.parse(text)
        angle, _ = theta_GMST1982(epoch.whole, epoch.fraction)
        expected = (angle - 2 * np.pi * (epoch.fraction - 0.5)) % (2 * np.pi)
        assert mean_sun_right_ascension(epoch) == pytest.approx(expected, abs=1e-9)


def test_the_true_sun_stays_near_the_mean_one():
    # The equation of time reaches 16.5 minutes, 4.1 degrees.
    start = Epoch.parse("2025-01-01T00:00:00Z")
    for day in range(0, 365, 15):
        moment = start.plus(day * 86_400.0)
        x, y, _ = geometric_sun(ephemeris(), skyfield_times(moment, np.zeros(1)))[0]
        apart = np.angle(np.exp(1j * (np.arctan2(y, x) - mean_sun_right_ascension(moment))))
        assert abs(apart) < np.radians(4.2)


def test_beta_is_the_sun_over_the_plane():
    position, velocity = jnp.array([7e6, 0.0, 0.0]), jnp.array([0.0, 7.5e3, 0.0])
    for beta in (-1.2, 0.0, 0.7):
        sun = 1.5e11 * jnp.array([np.cos(beta) * 0.6, np.cos(beta) * 0.8, np.sin(beta)])
        assert beta_angle(position, velocity, sun) == pytest.approx(beta, abs=1e-12)

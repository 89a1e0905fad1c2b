"""How much of a face's view the Earth fills: closed forms and counted rays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.constants import EARTH_RADIUS
from twin.environment.earthshine import (
    fast_view_factor,
    plate_view_factor,
)

AT_500_KM = EARTH_RADIUS / (EARTH_RADIUS + 500e3)


def test_a_plate_that_faces_the_earth_sees_the_square_of_the_horizon():
    for sine in (0.15, 0.7, AT_500_KM, 0.999):
        seen = plate_view_factor(jnp.asarray(sine), jnp.asarray(1.0))
        assert seen == pytest.approx(sine**2, rel=1e-15)


def test_an_upright_plate_sees_the_closed_form():
    for sine in (0.15, 0.7, AT_500_KM, 0.999):
        half = np.arcsin(sine)
        expected = (half - sine * np.cos(half)) / np.pi
        assert plate_view_factor(jnp.asarray(sine), jnp.asarray(0.0)) == pytest.approx(expected)


def test_a_plate_that_looks_away_sees_nothing():
    assert plate_view_factor(jnp.asarray(AT_500_KM), jnp.asarray(-0.95)) == 0.0


@pytest.mark.parametrize("tilt", [0, 30, 60, 90, 120, 150])
def test_view_factor_matches_counted_rays(tilt):
    """Rays leave the plate as Lambert has it: evenly over the disc below the hemisphere."""
    side = 1500
    u, v = (np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side
    r, turn = np.meshgrid(np.sqrt(u), 2 * np.pi * v)
    x, z = r * np.cos(turn), np.sqrt(1 - r**2)
    toward_earth = x * np.sin(np.radians(tilt)) + z * np.cos(np.radians(tilt))
    counted = (toward_earth > np.sqrt(1 - AT_500_KM**2)).mean()
    exact = plate_view_factor(jnp.asarray(AT_500_KM), jnp.asarray(np.cos(np.radians(tilt))))
    assert exact == pytest.approx(counted, abs=3e-4), "two million even rays"


def test_fast_is_exact_within_twenty_billionths_and_smooth():
    cosine = jnp.linspace(-1.0, 1.0, 100_001)
    exact = jax.jit(jax.vmap(plate_view_factor, in_axes=(None, 0)))
    fast = jax.jit(jax.vmap(fast_view_factor, in_axes=(None, 0)))
    slope = jax.jit(jax.vmap(jax.grad(fast_view_factor, argnums=(0, 1)), in_axes=(None, 0)))
    for altitude in (200e3, 500e3, 2_000e3, 36_000e3):
        sine = jnp.asarray(EARTH_RADIUS / (EARTH_RADIUS + altitude))
        seen = fast(sine, cosine)
        assert np.abs(seen - exact(sine, cosine)).max() < 2e-8
        assert (np.diff(seen) >= -2e-8).all(), "turning to the Earth never shows less of it"
        assert np.isfinite(slope(sine, cosine)).all()


def test_front_less_back_is_a_vector():
    """Net flux through a surface is a vector field's component, whatever the horizon cuts."""
    sine = jnp.asarray(0.2)
    for tilt in (0.1, 0.5, 1.0, 1.5):
        both = plate_view_factor(sine, jnp.cos(tilt)) - plate_view_factor(sine, -jnp.cos(tilt))
        assert both == pytest.approx(0.04 * np.cos(tilt), abs=1e-12)

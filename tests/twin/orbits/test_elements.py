"""Kepler's equation, solved a fixed number of times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.orbits.elements import SMALL_ECCENTRICITY, kepler, kepler_iterations, small_sincos

A_FEW_ROUNDINGS = 4e-15


@pytest.mark.parametrize("largest", [1e-4, 0.01, 0.05, 0.2, 0.5, 0.75, 0.95])
def test_the_chosen_iterations_solve_keplers_equation(largest):
    rng = np.random.default_rng(5)
    eccentricity = largest * rng.uniform(0, 1, 50_000)
    mean = rng.uniform(-np.pi, np.pi, 50_000)
    iterations, small = kepler_iterations(largest), largest <= SMALL_ECCENTRICITY
    solve = jax.vmap(lambda f, g: kepler(f, g, iterations, small))
    delta, sine, cosine = solve(
        jnp.asarray(eccentricity * np.sin(mean)), jnp.asarray(eccentricity * np.cos(mean))
    )
    eccentric = mean + delta
    rounding = A_FEW_ROUNDINGS / (1 - eccentricity)
    assert (np.abs(eccentric - eccentricity * np.sin(eccentric) - mean) < rounding).all()
    np.testing.assert_allclose(sine, np.sin(delta), rtol=0, atol=A_FEW_ROUNDINGS)
    np.testing.assert_allclose(cosine, np.cos(delta), rtol=0, atol=A_FEW_ROUNDINGS)


def test_the_count_is_small_and_grows_with_eccentricity():
    counts = [kepler_iterations(e) for e in (1e-4, 0.01, 0.05, 0.5, 0.95)]
    assert counts == sorted(counts)
    assert counts[0] <= 1 and counts[1] == 1 and counts[-1] <= 12


def test_small_sines_are_sines():
    angle = jnp.linspace(-0.06, 0.06, 10_001)
    sine, cosine = jax.vmap(small_sincos)(angle)
    np.testing.assert_allclose(sine, np.sin(angle), rtol=0, atol=1e-15)
    np.testing.assert_allclose(cosine, np.cos(angle), rtol=0, atol=1e-15)

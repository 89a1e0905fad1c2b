"""The fast functions against NumPy's, in their stated domains."""

import jax.numpy as jnp
import numpy as np
import pytest

from twin.fastmath import arccos, exp, sincos


@pytest.mark.parametrize(("reach", "bound"), [(4.0, 2e-13), (7.5, 2e-10)])
def test_exponential_is_as_near_as_it_says(reach, bound):
    x = np.linspace(-reach, reach, 20_001)
    assert np.abs(np.asarray(exp(jnp.asarray(x))) / np.exp(x) - 1).max() < bound


def test_sine_and_cosine_are_as_near_as_they_say():
    x = np.linspace(-1e4, 1e4, 200_001)
    sine, cosine = sincos(jnp.asarray(x))
    assert np.abs(np.asarray(sine) - np.sin(x)).max() < 3e-16
    assert np.abs(np.asarray(cosine) - np.cos(x)).max() < 3e-16


def test_inverse_cosine_is_as_near_as_it_says():
    x = np.linspace(-1, 1, 20_001)
    assert np.abs(np.asarray(arccos(jnp.asarray(x))) - np.arccos(x)).max() < 3e-8

"""How much of a face's view the Earth fills, which scales the albedo and infrared that reach it.

The Earth is a sphere that reflects and radiates alike everywhere and equally in all directions
(Lambert). The fluxes themselves are put together in `forcing.glimpse`.

Source: Gilmore (ed.), Spacecraft Thermal Control Handbook, vol. 1 (2002), chapter 2.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.fastmath import arccos

Real = Float[Array, "*any"]

_PI = 3.141592653589793


def plate_view_factor(sine_horizon: Real, cosine_tilt: Real) -> Real:
    """Share of a flat plate's hemisphere view that the Earth fills, weighted as Lambert does.

    `sine_horizon` is R/r, the sine of the Earth's angular radius; `cosine_tilt` is the plate's
    normal against the direction of the Earth's centre: 1 faces it, -1 turns its back. Exact for a
    sphere, by library trigonometry; `fast_view_factor` is the one for kernels. NaN below the
    surface.

    Source: Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-43 (a planar
    element to a sphere), rewritten in these symbols.
    """
    return _view_factor(sine_horizon, cosine_tilt, jnp.arccos)


def fast_view_factor(sine_horizon: Real, cosine_tilt: Real) -> Real:
    """`plate_view_factor` within 4e-8, without library trigonometry."""
    return _view_factor(sine_horizon, cosine_tilt, arccos)


def _view_factor(
    sine_horizon: Real, cosine_tilt: Real, inverse_cosine: Callable[[Real], Real]
) -> Real:
    # The whole Earth is in view up to cosine = sine_horizon, none of it beyond minus that; between,
    # the plate's own plane cuts it. The inner clip keeps the unused branch's gradient finite.
    edge = sine_horizon * (1.0 - 1e-9)
    cosine = jnp.clip(cosine_tilt, -edge, edge)
    sine = jnp.sqrt(1.0 - cosine * cosine)
    square = sine_horizon * sine_horizon
    horizon = jnp.sqrt(1.0 - square)
    part = inverse_cosine(horizon / sine) - horizon * jnp.sqrt(square - cosine * cosine)
    part += square * cosine * inverse_cosine(-horizon * cosine / (sine_horizon * sine))
    return jnp.where(
        cosine_tilt >= sine_horizon,
        square * cosine_tilt,
        jnp.where(cosine_tilt <= -sine_horizon, 0.0 * square, part / _PI),
    )

"""What the Earth itself sends to a face: reflected sunlight (albedo) and infrared.

The Earth is a sphere that reflects and radiates alike everywhere and equally in all directions
(Lambert). Reflected light is taken as if the whole visible Earth were lit as the point below the
satellite is: right near noon, too little beyond the terminator, as usual for fluxes averaged over
an orbit.

Source: Gilmore (ed.), Spacecraft Thermal Control Handbook, vol. 1 (2002), chapter 2.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Scalar, Vec3
from twin.constants import EARTH_RADIUS
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


def nadir_cosine(position: Vec3, normal: Vec3) -> Scalar:
    """How squarely a face with unit `normal` looks at the Earth's centre: the `cosine_tilt`."""
    x, y, z = position[0], position[1], position[2]
    radius = jnp.sqrt(x * x + y * y + z * z)
    return -(x * normal[0] + y * normal[1] + z * normal[2]) / radius


def albedo_flux(
    position: Vec3, sun_position: Vec3, view_factor: Scalar, solar_flux: Scalar, albedo: Scalar
) -> Scalar:
    """Reflected sunlight on a face (W/m², before absorption): zero at night below the satellite."""
    x, y, z = position[0], position[1], position[2]
    sun_x, sun_y, sun_z = sun_position[0], sun_position[1], sun_position[2]
    along = x * sun_x + y * sun_y + z * sun_z
    scale2 = (x * x + y * y + z * z) * (sun_x * sun_x + sun_y * sun_y + sun_z * sun_z)
    return solar_flux * albedo * view_factor * jnp.maximum(along / jnp.sqrt(scale2), 0.0)


def infrared_flux(view_factor: Real, earth_flux: Scalar) -> Real:
    """The Earth's own heat on a face (W/m², before absorption).

    `earth_flux` leaves the Earth's surface: about 237 W/m² on average, 220 to 260 by place.
    """
    return view_factor * earth_flux


def sine_horizon(position: Vec3) -> Scalar:
    """R/r: the sine of the Earth's angular radius, as a sphere of equatorial radius."""
    x, y, z = position[0], position[1], position[2]
    return EARTH_RADIUS / jnp.sqrt(x * x + y * y + z * z)


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

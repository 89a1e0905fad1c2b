"""Everything the sky decides: it depends on time alone, so a block of steps is computed at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar, Vec3
from twin.constants import AU, EARTH_RADIUS
from twin.constellation import (
    Constellation,
    Forcing,
    Satellite,
    Skin,
    Sky,
    Surroundings,
)
from twin.environment.earthshine import fast_view_factor
from twin.environment.eclipse import mean_sunlit, shadow_coordinate

Parts = tuple[Float[Array, "*sat"], Float[Array, "*sat"], Float[Array, "*sat"]]
"""A vector in pieces: stacked inside the scan it would cost more than the orbit itself."""


class Views(eqx.Module):
    """View factors to the Earth of the faces that stay put in the orbit's own directions."""

    radiator_front: Float[Array, "*sat"]
    radiator_back: Float[Array, "*sat"]
    box: Float[Array, "*sat"]  # all six faces together


class Glimpse(eqx.Module):
    """What one satellite would receive at one moment, before the Earth's shadow is applied."""

    shadow: Float[
        Array, "*sat"
    ]  # shadow coordinate: 1 and above in full sun, -1 and below in umbra
    irradiance: Float[Array, "*sat"]  # W/m² on the array's front
    solar_array: Float[Array, "*sat"]  # W absorbed from the Sun, by part
    solar_box: Float[Array, "*sat"]
    solar_radiator: Float[Array, "*sat"]
    earth_array: Float[Array, "*sat"]  # W absorbed of albedo and infrared, by part
    earth_box: Float[Array, "*sat"]
    earth_radiator: Float[Array, "*sat"]


def forcing(constellation: Constellation, time: Float[Array, "time"]) -> Forcing:
    """The sky over the steps between consecutive `time`s (one fewer than there are times).

    Fluxes are means of the two ends of a step; the shadow's edge is integrated over it. The error
    at 10 s is below 2e-5 of a flux. View factors of fixed faces are taken once, at the block's
    start.
    """
    satellites = constellation.satellites
    orbits = jax.vmap(lambda orbit, t: orbit.state(t), in_axes=(-1, None), out_axes=-1)

    def look(t: Scalar) -> tuple[Glimpse, Parts, Parts]:
        position, velocity = orbits(satellites.orbit, t)
        sun_position = constellation.sun.position(t)
        seen = glimpse(satellites, views, position, velocity, sun_position)
        return seen, _parts(position), _parts(velocity)

    def advance(before, t: Scalar):  # each moment is evaluated once and serves two steps
        now = look(t)
        return now, _mean(before[0], now[0])

    views = fixed_views(satellites.skin, orbits(satellites.orbit, time[0])[0])
    (_, position, velocity), sky = jax.lax.scan(advance, look(time[0]), time[1:])
    return Forcing(sky=sky, position=jnp.stack(position), velocity=jnp.stack(velocity))


def fixed_views(skin: Skin, position: Float[Array, "3 *sat"]) -> Views:
    """View factors of the radiator's two faces and of the box, for one position."""
    horizon = EARTH_RADIUS / jnp.sqrt(jnp.sum(position * position, axis=0))
    sideways = fast_view_factor(horizon, jnp.zeros_like(horizon))
    return Views(
        radiator_front=fast_view_factor(horizon, -skin.radiator_normal[0]),
        radiator_back=fast_view_factor(horizon, skin.radiator_normal[0]),
        box=horizon * horizon + 4 * sideways,
    )


def glimpse(
    satellite: Satellite,
    views: Views,
    position: Float[Array, "3 *sat"],
    velocity: Float[Array, "3 *sat"],
    sun_position: Vec3,
) -> Glimpse:
    """Irradiance and absorbed heat of one satellite at one moment, as if the Earth cast no shadow.

    Sunlight is parallel on the scale of an orbit (error 5e-5 rad). Albedo is the sub-satellite
    point's, so it ends at the terminator; the Earth radiates infrared evenly. Faces do not shade
    each other.

    Source: Gilmore, Spacecraft Thermal Control Handbook I (2002), chapter 2.
    """
    skin, around = satellite.skin, satellite.surroundings
    # Written out by component: stacked vectors and their sums cost five times as much.
    x, y, z = position[0], position[1], position[2]
    vx, vy, vz = velocity[0], velocity[1], velocity[2]
    cx, cy, cz = y * vz - z * vy, z * vx - x * vz, x * vy - y * vx  # across the orbit
    sx, sy, sz = sun_position[0], sun_position[1], sun_position[2]
    radius_2 = x * x + y * y + z * z
    across_2 = cx * cx + cy * cy + cz * cz
    distance_2 = sx * sx + sy * sy + sz * sz
    sun_up = (sx * x + sy * y + sz * z) / jnp.sqrt(radius_2 * distance_2)
    sun_across = (sx * cx + sy * cy + sz * cz) / jnp.sqrt(across_2 * distance_2)
    ax, ay, az = cy * z - cz * y, cz * x - cx * z, cx * y - cy * x  # along it
    sun_along = (sx * ax + sy * ay + sz * az) / jnp.sqrt(across_2 * radius_2 * distance_2)

    flux = around.solar_constant * AU**2 / distance_2
    albedo = around.albedo * flux * jnp.maximum(sun_up, 0.0)
    horizon = EARTH_RADIUS / jnp.sqrt(radius_2)

    facing = jnp.sqrt(1 - (1 - skin.two_axis) * sun_across * sun_across)
    tilt = -sun_up / facing  # cosine between the wings' front and the nadir
    front = fast_view_factor(horizon, tilt)
    back = fast_view_factor(horizon, -tilt)
    normal = skin.radiator_normal
    radiator = normal[0] * sun_up + normal[1] * sun_along + normal[2] * jnp.abs(sun_across)
    second = skin.radiator_sides - 1
    box = jnp.abs(sun_up) + jnp.abs(sun_along) + jnp.abs(sun_across)
    lit_radiator = jnp.maximum(radiator, 0.0) + second * jnp.maximum(-radiator, 0.0)
    seen_radiator = views.radiator_front + second * views.radiator_back

    return Glimpse(
        shadow=shadow_coordinate(position, sun_position, around.flattening),
        irradiance=flux * facing,
        solar_array=skin.array_area * skin.front_absorptance * flux * facing,
        solar_box=skin.box_face * skin.box_absorptance * flux * box,
        solar_radiator=skin.radiator_area * skin.radiator_absorptance * flux * lit_radiator,
        earth_array=skin.array_area
        * (
            _earthlight(around, albedo, skin.front_absorptance, skin.front_emittance) * front
            + _earthlight(around, albedo, skin.back_absorptance, skin.back_emittance) * back
        ),
        earth_box=skin.box_face
        * _earthlight(around, albedo, skin.box_absorptance, skin.box_emittance)
        * views.box,
        earth_radiator=skin.radiator_area
        * _earthlight(around, albedo, skin.radiator_absorptance, skin.radiator_emittance)
        * seen_radiator,
    )


def _earthlight(around: Surroundings, albedo: Each, absorptance: Each, emittance: Each) -> Each:
    """Absorbed albedo and infrared per area of a face that sees nothing but the Earth (W/m²)."""
    return absorptance * albedo + emittance * around.infrared


def _parts(vector: Float[Array, "3 *sat"]) -> Parts:
    return vector[0], vector[1], vector[2]


def _mean(before: Glimpse, now: Glimpse) -> Sky:
    """Means over the step between two moments, the Earth's shadow applied; nothing if decayed."""
    here = jnp.isfinite(now.shadow)
    lit = jnp.where(here, mean_sunlit(before.shadow, now.shadow), 0.0)
    middle = jax.tree.map(lambda a, b: jnp.where(here, 0.5 * (a + b), 0.0), before, now)
    return Sky(
        sunlit=lit,
        irradiance=lit * middle.irradiance,
        heat_array=lit * middle.solar_array + middle.earth_array,
        heat_bus=lit * middle.solar_box + middle.earth_box,
        heat_radiator=lit * middle.solar_radiator + middle.earth_radiator,
        up=here,
    )

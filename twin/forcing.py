"""Everything the sky decides: it depends on time alone, so a block of steps is computed at once."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.constants import AU, EARTH_FLATTENING, EARTH_RADIUS
from twin.constellation import (
    Constellation,
    Forcing,
    Glimpse,
    Light,
    Moment,
    Parts,
    Satellite,
    Sky,
)  # fmt: skip
from twin.devices import anew, as_one
from twin.environment.eclipse import mean_sunlit, shadow_coordinate, sunlit
from twin.environment.radiation import proton_flux
from twin.spacecraft.array import Sunshine
from twin.spacecraft.attitude import TRACKING, Direction, pointing, seen
from twin.spacecraft.attitude import place as placed

SEGMENT = 60.0  # s, the longest stretch along which what the surfaces see runs straight
STILL = 1e-3  # of the shadow coordinate, in a step: the light hardly changes


class Sight(eqx.Module):
    """How a satellite stands to Sun and Earth at one moment."""

    flux: Float[Array, "*sat"]  # W/m² of sunlight
    sun: Direction  # up, along the orbit, across it towards the Sun
    still_sun: Direction  # the Sun and the Earth in axes fixed among the stars
    still_earth: Direction


def segments(steps: int, dt: float) -> int:
    """Into how many segments of whole steps a block is cut, so that none is too long."""
    fits = [count for count in range(1, steps + 1) if steps % count == 0]
    return next((count for count in fits if steps / count * dt <= SEGMENT), steps)


def forcing(
    constellation: Constellation,
    time: Float[Array, "time"],
    pieces: int = 1,
    before: Moment | None = None,
) -> Forcing:
    """The sky over the steps between consecutive `time`s (one fewer than there are times).

    The block is cut into `pieces` segments (see `segments`). Sunlight on the surfaces and albedo
    run straight along a segment: after 60 s the error is below 6e-4 of a flux, and its mean far
    smaller. How surfaces see the Earth is taken in the middle. The shadow's coordinate is a
    parabola through three moments (error below 1e-3 of the Sun's radius) and is integrated over
    each step in closed form. `before` is the moment at the start, if it is known already.
    """
    steps = time.size - 1
    stride = steps // pieces
    ends = time[::stride]
    middles = 0.5 * (ends[:-1] + ends[1:])

    def advance(before: Moment, times: tuple[Scalar, Scalar]) -> tuple[Moment, tuple[Sky, Array]]:
        now = moment(constellation, times[1])
        sky = between(constellation, before, now, times[0], jnp.zeros(stride))
        return now, (sky, now.here)

    before = moment(constellation, time[0]) if before is None else before
    last, (sky, here) = jax.lax.scan(advance, before, (middles, ends[1:]))
    flat = jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), sky)
    return Forcing(flat, last, before.here & jnp.all(here, axis=0))


@as_one
@anew
def between(
    constellation: Constellation,
    before: Moment,
    now: Moment,
    middle: Scalar,
    blank: Float[Array, "step"],
) -> Sky:
    """The sky over each step of a segment (as many as `blank` has), from its ends and middle."""
    position, velocity, shadow, _ = where(constellation, middle)
    views = earth_views(constellation, sight(constellation, position, velocity, middle))
    rate = upset_rate(constellation, position, middle)
    return _means(constellation.satellites, before, shadow, now, views, rate, blank.size)


@as_one
@anew
def moment(constellation: Constellation, time: Scalar) -> Moment:
    """Orbit, Sun, and the sunlight on each surface in each attitude, at one moment.

    Sunlight is parallel on the scale of an orbit (error 5e-5 rad). Albedo is the sub-satellite
    point's, so it ends at the terminator.

    Source: Gilmore, Spacecraft Thermal Control Handbook I (2002), chapter 2.
    """
    satellites, views = constellation.satellites, constellation.views
    skin = satellites.skin
    position, velocity, shadow, here = where(constellation, time)
    stand = sight(constellation, position, velocity, time)
    found = []
    for kind, name in enumerate(satellites.attitude.kinds):
        at = placed(pointing(name, stand.sun, stand.still_sun, stand.still_earth)[0])
        cosines = [
            seen(views.solar, views.row(skin.shape, kind, surface), at) * stand.flux
            for surface in range(len(skin.nodes))
        ]
        solar = [a * b * c for a, b, c in zip(skin.area, skin.absorptance, cosines, strict=True)]
        found.append(Glimpse(cosines[skin.front], tuple(solar)))
    albedo = satellites.surroundings.albedo * stand.flux * jnp.maximum(stand.sun[0], 0.0)
    return Moment(position, velocity, shadow, albedo, tuple(found), here)


def sight(constellation: Constellation, position: Parts, velocity: Parts, time: Scalar) -> Sight:
    """How the satellites stand to Sun and Earth."""
    # Written out by component: stacked vectors and their sums cost five times as much.
    (x, y, z), (vx, vy, vz) = position, velocity
    sun = constellation.sun.position(time)
    distance_2 = jnp.sum(sun * sun)
    sx, sy, sz = _parts(sun / jnp.sqrt(distance_2))
    cx, cy, cz = y * vz - z * vy, z * vx - x * vz, x * vy - y * vx  # across the orbit
    radius_2 = x * x + y * y + z * z
    across_2 = cx * cx + cy * cy + cz * cz
    sun_up = (sx * x + sy * y + sz * z) / jnp.sqrt(radius_2)
    sun_across = (sx * cx + sy * cy + sz * cz) / jnp.sqrt(across_2)
    ax, ay, az = cy * z - cz * y, cz * x - cx * z, cx * y - cy * x  # along it
    sun_along = (sx * ax + sy * ay + sz * az) / jnp.sqrt(across_2 * radius_2)
    still = [(row[0], row[1], row[2]) for row in constellation.still]
    to_sun = [(sx * a + sy * b + sz * c) + 0 * x for a, b, c in still]
    to_earth = [-(x * a + y * b + z * c) for a, b, c in still]
    return Sight(
        flux=constellation.satellites.surroundings.solar_constant * AU**2 / distance_2,
        sun=(sun_up, sun_along, jnp.abs(sun_across)),
        still_sun=(to_sun[0], to_sun[1], to_sun[2]),
        still_earth=(to_earth[0], to_earth[1], to_earth[2]),
    )


def earth_views(constellation: Constellation, stand: Sight) -> tuple[tuple[Each, ...], ...]:
    """View factors to the Earth, by attitude and surface."""
    satellites, views = constellation.satellites, constellation.views
    skin = satellites.skin
    found = []
    for kind, name in enumerate(satellites.attitude.kinds):
        to_sun, to_earth = pointing(name, stand.sun, stand.still_sun, stand.still_earth)
        at = placed(to_sun if name in TRACKING else to_earth)
        found.append(
            tuple(
                seen(views.earth, views.row(skin.shape, kind, surface), at)
                for surface in range(len(skin.nodes))
            )
        )
    return tuple(found)


def upset_rate(constellation: Constellation, position: Parts, time: Scalar) -> Each:
    """Upsets a second that make the payload reboot, from where the satellite is over the Earth."""
    x, y, z = position
    radius = jnp.sqrt(x * x + y * y + z * z)
    angle = constellation.rotation[0] + constellation.rotation[1] * time
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    east, north = (cosine * x + sine * y) / radius, (cosine * y - sine * x) / radius
    up = z / radius
    ground = EARTH_RADIUS * (1 - EARTH_FLATTENING * up * up)
    flux = proton_flux(east, north, up, radius - ground)
    return constellation.satellites.upsets.rate(flux)


def where(constellation: Constellation, time: Scalar) -> tuple[Parts, Parts, Each, Array]:
    """Position, velocity, shadow coordinate, and whether the orbit is in its domain.

    Outside it the numbers stand for nothing, but they are numbers.
    """
    satellites = constellation.satellites
    orbits = jax.vmap(lambda orbit, t: orbit.state(t), in_axes=(-1, None), out_axes=-1)
    position, velocity = orbits(satellites.orbit, time)
    sun, flattening = constellation.sun.position(time), satellites.surroundings.flattening
    shadow = shadow_coordinate(position, sun, flattening)
    here = jnp.isfinite(shadow)
    nowhere = (2 * EARTH_RADIUS, 0.0, 0.0), (0.0, 1.0, 1.0)
    place, motion = (
        _parts([jnp.where(here, a, b) for a, b in zip(vector, other, strict=True)])
        for vector, other in zip((position, velocity), nowhere, strict=True)
    )
    return place, motion, jnp.where(here, shadow, 0.0), here


def _parts(vector: Sequence[Each] | Float[Array, "3 *sat"]) -> Parts:
    return vector[0], vector[1], vector[2]


def _means(
    satellites: Satellite,
    before: Moment,
    middle: Each,
    now: Moment,
    views: tuple[tuple[Each, ...], ...],
    rate: Each,
    steps: int,
) -> Sky:
    """Means over each of the `steps` between two moments, shadow applied."""
    skin, around = satellites.skin, satellites.surroundings
    count = jnp.arange(steps + 1, dtype=middle.dtype).reshape(-1, *[1] * middle.ndim)
    share, half = count / steps, (count[:-1] + 0.5) / steps
    bend = 2.0 * (before.shadow + now.shadow) - 4.0 * middle
    slope = now.shadow - before.shadow - bend
    shadow = before.shadow[None] + share * (slope[None] + share * bend[None])
    lit = mean_sunlit(shadow[:-1], shadow[1:])
    pace = 1 / jnp.maximum(jnp.abs(shadow[1:] - shadow[:-1]), STILL)
    sun = Sunshine(lit, sunlit(shadow[:-1]), sunlit(shadow[1:]), pace)

    def mean(start: Each, stop: Each) -> Float[Array, "step *sat"]:
        return start[None] + half * (stop - start)[None]

    albedo = mean(before.albedo, now.albedo)
    light = []
    for a, b, view in zip(before.glimpses, now.glimpses, views, strict=True):
        heat = []
        for k, (start, stop) in enumerate(zip(a.solar, b.solar, strict=True)):
            mirror = skin.area[k] * skin.absorptance[k] * view[k]
            steady = skin.area[k] * skin.emittance[k] * around.infrared * view[k]
            heat.append(lit * mean(start, stop) + (mirror[None] * albedo + steady[None]))
        clear = mean(a.irradiance, b.irradiance)
        back = albedo * view[skin.back][None]
        light.append(Light(clear, back, tuple(heat)))
    return Sky(sun, tuple(light), rate[None] + jnp.zeros_like(lit))

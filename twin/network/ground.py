"""Ground stations: where they are, and whether a satellite stands high enough over one.

Elevations are geometric, against the horizontal plane of the WGS 84 ellipsoid: no refraction (it
lifts a satellite by 0.2° at 5°, 0.5° at the horizon), no mountains.

Source: Vallado, Fundamentals of Astrodynamics (2013), 4.4 (topocentric horizon, elevation).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twin.arrays import Vec3
from twin.frames import geodetic_position, geodetic_up


@dataclass(frozen=True)
class Station:
    """A place on the Earth as a human writes it: degrees north and east, metres above WGS 84."""

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0

    def __post_init__(self):
        if not -90.0 <= self.latitude_deg <= 90.0:
            raise ValueError(
                f"station {self.name}: latitude must be from -90 to 90, got {self.latitude_deg}"
            )
        if not -360.0 <= self.longitude_deg <= 360.0:
            raise ValueError(
                f"station {self.name}: longitude must be from -360 to 360, got {self.longitude_deg}"
            )
        if not -1e3 <= self.altitude_m <= 1e5:
            raise ValueError(
                f"station {self.name}: altitude must be from -1 to 100 km, got {self.altitude_m} m"
            )


class Stations(eqx.Module):
    """Stations as kernels see them: fixed to the Earth (ITRF). `*station` is absent for one."""

    position: Float[Array, "3 *station"]  # m
    up: Float[Array, "3 *station"]  # unit vector, the ellipsoid's normal
    sine_mask: Float[Array, "*station"]  # sine of the lowest usable elevation


def place(stations: Sequence[Station], mask: float | Sequence[float]) -> Stations:
    """The stations as arrays, with one elevation `mask` (rad) for all, or one each."""
    if not stations:
        raise ValueError("at least one station is needed")
    places = [(s.latitude_deg, s.longitude_deg, s.altitude_m) for s in stations]
    return Stations(
        position=jnp.asarray(np.stack([geodetic_position(*p) for p in places], axis=-1)),
        up=jnp.asarray(np.stack([geodetic_up(*p[:2]) for p in places], axis=-1)),
        sine_mask=jnp.asarray(np.broadcast_to(np.sin(mask), (len(stations),))),
    )


def elevation(position_itrf: Vec3, stations: Stations) -> Float[Array, "*station"]:
    """Height (rad) of one satellite over the horizon of each station. For people, not for steps."""
    height, distance = _line(position_itrf, stations)
    return jnp.arcsin(jnp.clip(height / distance, -1.0, 1.0))


def contact(position_itrf: Vec3, stations: Stations) -> Bool[Array, "*station"]:
    """Whether one satellite stands above the mask of each station; no trigonometry."""
    height, distance = _line(position_itrf, stations)
    return height >= stations.sine_mask * distance


def contact_margin(position_itrf: Vec3, stations: Stations) -> Float[Array, "*station"]:
    """Sine of the elevation less that of the mask: positive in contact, smooth through it."""
    height, distance = _line(position_itrf, stations)
    return height / distance - stations.sine_mask


def _line(
    position: Vec3, stations: Stations
) -> tuple[Float[Array, "*station"], Float[Array, "*station"]]:
    """Height over the horizontal plane and distance, per station."""
    x, y, z = (position[k] - stations.position[k] for k in range(3))
    height = x * stations.up[0] + y * stations.up[1] + z * stations.up[2]
    return height, jnp.sqrt(x * x + y * y + z * z)

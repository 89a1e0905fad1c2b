"""Mean orbits that drift under the Earth's oblateness: planned shells, before anybody tracks them.

Shells are built on the host, in SI and radians; `SecularOrbit` is what a run carries.
"""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.arrays import Scalar, Vec3
from twin.clock import Epoch
from twin.constants import DAY, DEG, EARTH_GM, EARTH_J2, EARTH_RADIUS, TROPICAL_YEAR
from twin.fastmath import settled, sincos
from twin.orbits.elements import (
    SMALL_ECCENTRICITY,
    AbstractOrbit,
    PublishedElements,
    column,
    epoch_offset,
    kepler,
    kepler_iterations,
)

PerSat = Float[np.ndarray, "sat"]
_TWO_PI = 2.0 * math.pi
_NOON = DAY / 2


class SecularOrbit(AbstractOrbit):
    """Kepler ellipses whose node, perigee and mean anomaly drift at the constant rates of J2.

    TEME of date; angles are those of the run's start. Left out: periodic terms (up to 9 km in low
    orbit), drag, the Sun and the Moon. NaN below the equatorial radius. With `iterations` 0 all
    orbits are circles.
    """

    semi_major_axis: Float[Array, "*sat"]
    eccentricity: Float[Array, "*sat"]
    sin_inclination: Float[Array, "*sat"]
    cos_inclination: Float[Array, "*sat"]
    raan: Float[Array, "*sat"]
    raan_rate: Float[Array, "*sat"]
    argp: Float[Array, "*sat"]
    argp_rate: Float[Array, "*sat"]
    latitude_argument: Float[Array, "*sat"]  # argument of perigee + mean anomaly
    latitude_argument_rate: Float[Array, "*sat"]
    one: Float[Array, "*sat"]  # 1, which the compiler cannot know: see `settled`
    iterations: int = eqx.field(static=True)
    small: bool = eqx.field(static=True)

    def state(self, time: Scalar) -> tuple[Vec3, Vec3]:
        """Position and velocity in TEME of date; the velocity is the position's derivative."""
        a = self.semi_major_axis
        sin_n, cos_n = settled(self.one, sincos(self.raan + self.raan_rate * time))
        angle = self.latitude_argument + self.latitude_argument_rate * time
        sin_l, cos_l = settled(self.one, sincos(angle))
        if self.iterations == 0:
            r, sin_u, cos_u = a, sin_l, cos_l
            radial, transverse = jnp.zeros_like(a), self.latitude_argument_rate * a
        else:
            sin_w, cos_w = sincos(self.argp + self.argp_rate * time)
            ax, ay = self.eccentricity * cos_w, self.eccentricity * sin_w
            e_sine, e_cosine = ax * sin_l - ay * cos_l, ax * cos_l + ay * sin_l
            delta, sin_d, cos_d = kepler(e_sine, e_cosine, self.iterations, self.small)
            closeness = 1.0 / (1.0 - (e_cosine * cos_d - e_sine * sin_d))  # a/r
            beta = jnp.sqrt(1.0 - self.eccentricity * self.eccentricity)
            tilt = delta / (1.0 + beta)
            sin_u = closeness * (sin_l * cos_d + cos_l * sin_d - ay - ax * tilt)
            cos_u = closeness * (cos_l * cos_d - sin_l * sin_d - ax + ay * tilt)
            r = a / closeness
            speed = (self.latitude_argument_rate - self.argp_rate) * a
            radial = speed * delta * closeness
            transverse = speed * beta * closeness + self.argp_rate * r
        above = jnp.where(r >= EARTH_RADIUS, 1.0, jnp.nan)
        r, radial, transverse = r * above, radial * above, transverse * above
        s, c = self.sin_inclination, self.cos_inclination
        ux, vx = cos_n * cos_u - sin_n * c * sin_u, -cos_n * sin_u - sin_n * c * cos_u
        uy, vy = sin_n * cos_u + cos_n * c * sin_u, -sin_n * sin_u + cos_n * c * cos_u
        uz, vz = s * sin_u, s * cos_u
        x, y, z = r * ux, r * uy, r * uz
        position = jnp.stack([x, y, z])
        velocity = jnp.stack(
            [
                radial * ux + transverse * vx - self.raan_rate * y,
                radial * uy + transverse * vy + self.raan_rate * x,
                radial * uz + transverse * vz,
            ]
        )
        return position, velocity


def secular_rates(
    semi_major_axis: PerSat, eccentricity: PerSat, inclination: PerSat
) -> tuple[PerSat, PerSat, PerSat]:
    """Drift of node, perigee and mean anomaly under J2, rad/s; host code, first order.

    Source: Vallado, Fundamentals of Astrodynamics (2013), 9.6.2 (after Kozai 1959).
    """
    a, e = semi_major_axis, eccentricity
    n = np.sqrt(EARTH_GM / a**3)
    k = 1.5 * EARTH_J2 * (EARTH_RADIUS / (a * (1 - e**2))) ** 2 * n
    s2 = np.sin(inclination) ** 2
    raan_rate = -k * np.cos(inclination)
    argp_rate = k * (2.0 - 2.5 * s2)
    anomaly_rate = n + k * np.sqrt(1 - e**2) * (1.0 - 1.5 * s2)
    return raan_rate, argp_rate, anomaly_rate


def secular_orbit(
    semi_major_axis: PerSat,
    eccentricity: PerSat,
    inclination: PerSat,
    raan: PerSat,
    argp: PerSat,
    mean_anomaly: PerSat,
) -> SecularOrbit:
    """Orbits from mean elements at the run's start. Circles, if no eccentricity is above zero."""
    raan_rate, argp_rate, anomaly_rate = secular_rates(semi_major_axis, eccentricity, inclination)
    largest = float(np.max(eccentricity))
    if not 0.0 <= float(np.min(eccentricity)) <= largest < 1.0:
        raise ValueError(f"eccentricities must be in [0, 1), got up to {largest}")
    leaves = {
        "semi_major_axis": semi_major_axis,
        "eccentricity": eccentricity,
        "sin_inclination": np.sin(inclination),
        "cos_inclination": np.cos(inclination),
        "raan": np.fmod(raan, _TWO_PI),
        "raan_rate": raan_rate,
        "argp": np.fmod(argp, _TWO_PI),
        "argp_rate": argp_rate,
        "latitude_argument": np.fmod(argp + mean_anomaly, _TWO_PI),
        "latitude_argument_rate": argp_rate + anomaly_rate,
        "one": np.ones_like(semi_major_axis),
    }
    return SecularOrbit(
        **{name: jnp.asarray(value, dtype=jnp.float64) for name, value in leaves.items()},
        iterations=kepler_iterations(largest) if largest > 0.0 else 0,
        small=largest <= SMALL_ECCENTRICITY,
    )


def walker(
    satellites: int,
    planes: int,
    *,
    semi_major_axis: float,
    inclination: float,
    phasing: float = 0.0,
    spread: float = _TWO_PI,
    raan: float = 0.0,
    argument: float = 0.0,
    eccentricity: float = 0.0,
) -> SecularOrbit:
    """A Walker shell i: satellites/planes/phasing, its nodes over `spread` (2π delta, π star).

    `raan` and `argument` of latitude belong to the first satellite of the first plane; neighbours
    in adjacent planes differ by `phasing` · 2π / satellites. Satellites are numbered plane by
    plane. The perigee, if any, starts at the node.

    Source: Walker, Satellite constellations, J. Br. Interplanet. Soc. 37 (1984), 559-571.
    """
    if satellites < 1 or planes < 1 or satellites % planes:
        raise ValueError(
            f"{satellites} satellites do not fill {planes} planes evenly: choose a multiple"
        )
    per_plane = satellites // planes
    plane, slot = np.divmod(np.arange(satellites), per_plane)
    anomaly = argument + _TWO_PI * (slot / per_plane + phasing * plane / satellites)
    same = np.ones(satellites)
    return secular_orbit(
        semi_major_axis * same,
        eccentricity * same,
        inclination * same,
        raan + spread * plane / planes,
        0.0 * same,
        anomaly,
    )


def sun_synchronous_inclination(semi_major_axis: float, eccentricity: float = 0.0) -> float:
    """Inclination (rad) whose node keeps pace with the mean Sun: one turn a tropical year.

    Raises ValueError where even a polar-retrograde node is too slow (a above about 12,350 km).
    """
    slowest = math.sqrt(EARTH_GM / semi_major_axis**3) * 1.5 * EARTH_J2
    slowest *= (EARTH_RADIUS / (semi_major_axis * (1 - eccentricity**2))) ** 2
    cosine = -_TWO_PI / TROPICAL_YEAR / slowest
    if cosine < -1.0:
        raise ValueError(
            f"no sun-synchronous orbit at a = {semi_major_axis / 1e3:.0f} km: the node is too slow"
        )
    return math.acos(cosine)


def sun_synchronous(
    satellites: int,
    planes: int,
    *,
    semi_major_axis: float,
    ltan: float,
    sun_right_ascension: float,
    phasing: float = 0.0,
    spread: float = 0.0,
    argument: float = 0.0,
    eccentricity: float = 0.0,
) -> SecularOrbit:
    """A sun-synchronous shell: the inclination follows from the size, the node from local time.

    `ltan` is the local mean time of the ascending node in seconds since midnight (dawn-dusk:
    18 h or 6 h), at the run's start, against the right ascension of the *mean* Sun there, from
    the mean equinox of date. `spread` is the angle between the first node and where the next
    after the last would be: 0 puts all planes into one.
    """
    return walker(
        satellites,
        planes,
        semi_major_axis=semi_major_axis,
        inclination=sun_synchronous_inclination(semi_major_axis, eccentricity),
        phasing=phasing,
        spread=spread,
        raan=sun_right_ascension + (ltan - _NOON) / DAY * _TWO_PI,
        argument=argument,
        eccentricity=eccentricity,
    )


def secular_from_elements(elements: Sequence[PublishedElements], start: Epoch) -> SecularOrbit:
    """Published sets without their drag: mean elements carried from their epochs to `start`.

    The semi-major axis is the one whose drifting mean anomaly has the set's (Kozai) mean motion.
    """
    e = column(elements, "eccentricity")
    inclination = column(elements, "inclination_deg") * DEG
    kozai = column(elements, "mean_motion_rev_day") * (_TWO_PI / DAY)
    a = (EARTH_GM / kozai**2) ** (1 / 3)
    for _ in range(8):  # each pass gains three digits
        a = a * (secular_rates(a, e, inclination)[2] / kozai) ** (2 / 3)
    raan_rate, argp_rate, anomaly_rate = secular_rates(a, e, inclination)
    offset = epoch_offset(elements, start)
    return secular_orbit(
        a,
        e,
        inclination,
        np.fmod(column(elements, "raan_deg") * DEG + raan_rate * offset, _TWO_PI),
        np.fmod(column(elements, "argp_deg") * DEG + argp_rate * offset, _TWO_PI),
        np.fmod(column(elements, "mean_anomaly_deg") * DEG + anomaly_rate * offset, _TWO_PI),
    )

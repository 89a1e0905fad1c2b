"""SGP4 for published element sets: the theory that the sets were fitted with.

Near-Earth branch (periods below 225 min), WGS 72 constants, improved mode. The deep-space branch
(SDP4) is not there yet: such sets are refused by name.

Source of all formulas and symbols: Hoots & Roehrich, Spacetrack Report No. 3 (1980), as revised in
Vallado, Crawford, Hujsak & Kelso, Revisiting Spacetrack Report #3 (AIAA 2006-6753).
"""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.arrays import Scalar, Vec3
from twin.clock import Epoch
from twin.constants import DEG
from twin.fastmath import settled, sincos
from twin.orbits.elements import (
    SMALL_ECCENTRICITY,
    AbstractOrbit,
    PublishedElements,
    column,
    epoch_offset,
    kepler,
    kepler_iterations,
    small_sincos,
)

# WGS 72, and nothing newer: element sets are fitted with these. Source: AIAA 2006-6753, table 1.
RADIUS = 6_378_135.0  # m
GM = 3.986008e14  # m³/s²
J2 = 0.001082616
J3 = -0.00000253881
J4 = -0.00000165597
XKE = 60.0 * math.sqrt(GM / RADIUS**3)  # rad/min of an orbit at one Earth radius
SPEED = RADIUS * XKE / 60.0  # m/s, of that orbit

DEEP_SPACE_PERIOD = 225.0  # min
_TWO_PI = 2.0 * math.pi


class DeepSpaceError(ValueError):
    """An element set needs SDP4."""


class Sgp4Orbit(AbstractOrbit):
    """Satellites as their published element sets describe them.

    Lengths are in WGS 72 Earth radii and times in seconds. Angles are those of the run's start,
    reduced to one turn; drag counts from each set's own epoch. Valid while the eccentricity
    stays below `eccentricity_limit`, to which the Kepler iterations were fitted. NaN: below
    6,378.135 km from the centre, mean eccentricity outside [-0.001, limit], orbit shrunk to
    nothing.
    """

    epoch_offset: Float[Array, "*sat"]
    mean_anomaly: Float[Array, "*sat"]
    mean_anomaly_rate: Float[Array, "*sat"]
    argp: Float[Array, "*sat"]
    argp_rate: Float[Array, "*sat"]
    raan: Float[Array, "*sat"]
    raan_rate: Float[Array, "*sat"]
    raan_drag: Float[Array, "*sat"]  # rad/s²
    semi_major_axis: Float[Array, "*sat"]
    speed: Float[Array, "*sat"]  # 1/√a
    sin_inclination: Float[Array, "*sat"]
    cos_inclination: Float[Array, "*sat"]
    long_period_longitude: Float[Array, "*sat"]  # xlcof
    shrinking: Float[Array, "4 *sat"]  # C1, D2, D3, D4: powers of time in √(a/a₀)
    advance: Float[Array, "4 *sat"]  # n₀ (t2cof … t5cof): powers of time in the longitude
    eta: Float[Array, "*sat"]
    libration_rate: Float[Array, "*sat"]  # omgcof
    libration_swing: Float[Array, "*sat"]  # xmcof
    libration_origin: Float[Array, "*sat"]  # (1 + η cos M₀)³
    circularising: Float[Array, "*sat"]  # B* C4
    eccentricity_swing: Float[Array, "*sat"]  # B* C5
    eccentricity_origin: Float[Array, "*sat"]  # e₀ + B* C5 sin M₀
    one: Float[Array, "*sat"]  # 1, which the compiler cannot know: see `settled`
    iterations: int = eqx.field(static=True)
    eccentricity_limit: float = eqx.field(static=True)

    def state(self, time: Scalar) -> tuple[Vec3, Vec3]:
        """Position and velocity in TEME of date, m and m/s; symbols of the module's source."""
        t = time + self.epoch_offset

        # Secular gravity and drag
        anomaly = self.mean_anomaly + self.mean_anomaly_rate * time
        argp = self.argp + self.argp_rate * time
        node = self.raan + self.raan_rate * time + self.raan_drag * (t * t)
        _, cos_anomaly = sincos(anomaly)
        bulge = 1.0 + self.eta * cos_anomaly
        libration = self.libration_rate * t + self.libration_swing * (
            bulge * bulge * bulge - self.libration_origin
        )
        libration = settled(self.one, libration)
        sin_anomaly, _ = sincos(anomaly + libration)
        sin_argp, cos_argp = sincos(argp - libration)
        c1, d2, d3, d4 = self.shrinking
        l2, l3, l4, l5 = self.advance
        shrunk = 1.0 - t * (c1 + t * (d2 + t * (d3 + t * d4)))
        longitude = anomaly + argp + (t * t) * (l2 + t * (l3 + t * (l4 + t * l5)))  # from the node
        e = (
            self.eccentricity_origin
            - self.circularising * t
            - self.eccentricity_swing * sin_anomaly
        )
        e = settled(self.one, e)
        valid = (e >= -0.001) & (e < 1.0) & (shrunk > 0.0)
        e = jnp.maximum(e, 1e-6)

        # Long-period terms of J3
        root = self.speed / shrunk  # 1/√a
        inverse_a = root * root
        s, c = self.sin_inclination, self.cos_inclination
        zonal = inverse_a / (1.0 - e * e)
        ax = e * cos_argp
        ay = e * sin_argp + (-0.5 * J3 / J2) * s * zonal
        ax, ay = settled(self.one, (ax, ay))
        sin_l, cos_l = sincos(longitude + self.long_period_longitude * zonal * ax)

        # Kepler's equation: e sin E = E - M, so the difference is the wanted term
        small = self.eccentricity_limit <= SMALL_ECCENTRICITY
        sin_l, cos_l = settled(self.one, (sin_l, cos_l))
        e_sine, e_cosine = ax * sin_l - ay * cos_l, ax * cos_l + ay * sin_l
        delta, sin_d, cos_d = kepler(e_sine, e_cosine, self.iterations, small)
        e_cos_eccentric = e_cosine * cos_d - e_sine * sin_d
        closeness = 1.0 / (1.0 - e_cos_eccentric)  # a/r
        e2 = ax * ax + ay * ay
        valid = valid & (e2 <= self.eccentricity_limit**2)
        beta = jnp.sqrt(1.0 - e2)
        tilt = delta / (1.0 + beta)
        sin_u = closeness * (sin_l * cos_d + cos_l * sin_d - ay - ax * tilt)
        cos_u = closeness * (cos_l * cos_d - sin_l * sin_d - ax + ay * tilt)

        # Short-period terms of J2; all four angles stay below 1e-3 rad above the surface
        sin_2u = 2.0 * sin_u * cos_u
        cos_2u = 1.0 - 2.0 * sin_u * sin_u
        inverse_p = inverse_a / (beta * beta)
        j2_1 = 0.5 * J2 * inverse_p
        j2_2 = j2_1 * inverse_p
        c2, s2 = c * c, s * s
        r = self.semi_major_axis * shrunk * shrunk * (1.0 - e_cos_eccentric)
        r = r * (1.0 - 1.5 * j2_2 * beta * (3.0 * c2 - 1.0)) + 0.5 * j2_1 * s2 * cos_2u
        n = root * inverse_a * j2_1
        radial = root * delta * closeness - n * s2 * sin_2u
        transverse = root * beta * closeness + n * (s2 * cos_2u + 1.5 * (3.0 * c2 - 1.0))
        sin_n, cos_n = sincos(node + 1.5 * j2_2 * c * sin_2u)
        sin_n, cos_n = settled(self.one, (sin_n, cos_n))
        sin_du, cos_du = small_sincos(-0.25 * j2_2 * (7.0 * c2 - 1.0) * sin_2u)
        sin_u, cos_u = sin_u * cos_du + cos_u * sin_du, cos_u * cos_du - sin_u * sin_du
        sin_di, cos_di = small_sincos(1.5 * j2_2 * c * s * cos_2u)
        sin_i, cos_i = s * cos_di + c * sin_di, c * cos_di - s * sin_di

        # Along the radius and across it
        valid = valid & (r >= 1.0)
        r = r * jnp.where(valid, RADIUS, jnp.nan)
        speed = jnp.where(valid, SPEED, jnp.nan)
        r, radial, transverse = settled(self.one, (r, radial * speed, transverse * speed))
        ux, vx = cos_n * cos_u - sin_n * cos_i * sin_u, -cos_n * sin_u - sin_n * cos_i * cos_u
        uy, vy = sin_n * cos_u + cos_n * cos_i * sin_u, -sin_n * sin_u + cos_n * cos_i * cos_u
        uz, vz = sin_i * sin_u, sin_i * cos_u
        position = jnp.stack([r * ux, r * uy, r * uz])
        velocity = jnp.stack(
            [
                radial * ux + transverse * vx,
                radial * uy + transverse * vy,
                radial * uz + transverse * vz,
            ]
        )
        return position, velocity


def sgp4_orbit(elements: Sequence[PublishedElements], start: Epoch) -> Sgp4Orbit:
    """The orbits of `elements`, with time counted from `start` (UTC). Host code.

    Raises DeepSpaceError, naming every satellite whose period is 225 min or more.
    """
    offset = epoch_offset(elements, start)
    constants = _initialise(elements)
    _refuse_deep_space(elements, constants["n"])
    reduced = {
        name: np.fmod(constants[name] + constants[name + "_rate"] * offset, _TWO_PI)
        for name in ("mean_anomaly", "argp", "raan")
    }
    e0, zonal = constants["eccentricity"], constants["long_period"]
    limit = float(np.max(e0 + zonal)) + 0.002  # drag moves e by less, unless it decays
    limit = next((step for step in (0.01, SMALL_ECCENTRICITY) if limit <= step), min(limit, 0.999))
    fields = {k: v for k, v in constants.items() if k in Sgp4Orbit.__annotations__}
    leaves = {k: jnp.asarray(v, dtype=jnp.float64) for k, v in (fields | reduced).items()}
    return Sgp4Orbit(
        epoch_offset=jnp.asarray(offset, dtype=jnp.float64),
        one=jnp.ones_like(leaves["speed"]),
        iterations=kepler_iterations(limit),
        eccentricity_limit=limit,
        **leaves,
    )


def _refuse_deep_space(elements: Sequence[PublishedElements], n: Float[np.ndarray, "sat"]) -> None:
    periods = _TWO_PI / n
    deep = [
        f"{e.name} ({e.norad}): period {period:.0f} min"
        for e, period in zip(elements, periods, strict=True)
        if period >= DEEP_SPACE_PERIOD
    ]
    if deep:
        raise DeepSpaceError(
            f"SDP4, the deep-space part of SGP4 for periods of {DEEP_SPACE_PERIOD:.0f} min and "
            "more, is not there yet. Leave out " + "; ".join(deep)
        )


def _initialise(elements: Sequence[PublishedElements]) -> dict[str, Float[np.ndarray, "..."]]:
    """The constants of each set, in Earth radii and minutes until the last lines (seconds)."""
    e = column(elements, "eccentricity")
    inclination = column(elements, "inclination_deg") * DEG
    argp = column(elements, "argp_deg") * DEG
    anomaly = column(elements, "mean_anomaly_deg") * DEG
    bstar = column(elements, "bstar")
    kozai = column(elements, "mean_motion_rev_day") * (_TWO_PI / 1440.0)
    c, s = np.cos(inclination), np.sin(inclination)
    c2, c4 = c**2, c**4
    con41 = 3.0 * c2 - 1.0
    beta2 = 1.0 - e**2
    beta = np.sqrt(beta2)

    # Brouwer's mean motion from Kozai's
    a1 = (XKE / kozai) ** (2 / 3)
    d1 = 0.75 * J2 * con41 / (beta * beta2)
    d0 = d1 / a1**2
    d0 = d1 / (a1 * (1.0 - d0**2 - d0 * (1 / 3 + 134 * d0**2 / 81))) ** 2
    n = kozai / (1.0 + d0)
    a = (XKE / n) ** (2 / 3)

    # The atmosphere's parameter, lowered for low perigees
    radius_km = RADIUS / 1e3
    perigee = a * (1.0 - e)
    perigee_km = (perigee - 1.0) * radius_km
    s_km = np.where(perigee_km < 98.0, 20.0, np.where(perigee_km < 156.0, perigee_km - 78.0, 78.0))
    s4 = s_km / radius_km + 1.0
    qoms4 = ((120.0 - s_km) / radius_km) ** 4
    full = perigee >= 220.0 / radius_km + 1.0  # else the short drag model

    xi = 1.0 / (a - s4)
    eta = a * e * xi
    eta2, e_eta = eta**2, e * eta
    psi2 = np.abs(1.0 - eta2)
    coef = qoms4 * xi**4
    coef1 = coef / psi2**3.5
    c1 = bstar * coef1 * n * (
        a * (1.0 + 1.5 * eta2 + e_eta * (4.0 + eta2))
        + 0.375 * J2 * xi / psi2 * con41 * (8.0 + 3.0 * eta2 * (8.0 + eta2))
    )  # fmt: skip
    eccentric = e > 1e-4
    safe_e, safe_e_eta = np.where(eccentric, e, 1.0), np.where(eccentric, e_eta, 1.0)
    c3 = np.where(eccentric, -2.0 * coef * xi * (J3 / J2) * n * s / safe_e, 0.0)
    cc4 = 2.0 * n * coef1 * a * beta2 * (
        eta * (2.0 + 0.5 * eta2) + e * (0.5 + 2.0 * eta2)
        - J2 * xi / (a * psi2) * (
            -3.0 * con41 * (1.0 - 2.0 * e_eta + eta2 * (1.5 - 0.5 * e_eta))
            + 0.75 * s**2 * (2.0 * eta2 - e_eta * (1.0 + eta2)) * np.cos(2.0 * argp)
        )
    )  # fmt: skip
    cc5 = 2.0 * coef1 * a * beta2 * (1.0 + 2.75 * (eta2 + e_eta) + e_eta * eta2)

    # Secular rates of J2, J2² and J4
    p2 = 1.0 / (a * beta2) ** 2
    k1 = 1.5 * J2 * p2 * n
    k2 = 0.5 * k1 * J2 * p2
    k3 = -0.46875 * J4 * p2**2 * n
    anomaly_rate = (
        n + 0.5 * k1 * beta * con41 + 0.0625 * k2 * beta * (13.0 - 78.0 * c2 + 137.0 * c4)
    )
    argp_rate = (
        -0.5 * k1 * (1.0 - 5.0 * c2)
        + 0.0625 * k2 * (7.0 - 114.0 * c2 + 395.0 * c4)
        + k3 * (3.0 - 36.0 * c2 + 49.0 * c4)
    )
    node_j2 = -k1 * c
    node_rate = node_j2 + (0.5 * k2 * (4.0 - 19.0 * c2) + 2.0 * k3 * (3.0 - 7.0 * c2)) * c

    # Drag: powers of time
    d2 = 4.0 * a * xi * c1**2
    d3 = (17.0 * a + s4) * d2 * xi * c1 / 3.0
    d4 = 0.5 * (d2 * xi * c1 / 3.0) * a * xi * (221.0 * a + 31.0 * s4) * c1
    t3 = d2 + 2.0 * c1**2
    t4 = 0.25 * (3.0 * d3 + c1 * (12.0 * d2 + 10.0 * c1**2))
    t5 = 0.2 * (3.0 * d4 + 12.0 * c1 * d3 + 6.0 * d2**2 + 15.0 * c1**2 * (2.0 * d2 + c1**2))
    swing = np.where(eccentric & full, -(2 / 3) * coef * bstar / safe_e_eta, 0.0)
    e_swing = np.where(full, bstar * cc5, 0.0)

    minute = 60.0
    power = minute ** np.arange(1.0, 6.0)[:, None]
    return {
        "n": n,
        "mean_anomaly": anomaly,
        "mean_anomaly_rate": anomaly_rate / minute,
        "argp": argp,
        "argp_rate": argp_rate / minute,
        "raan": column(elements, "raan_deg") * DEG,
        "raan_rate": node_rate / minute,
        "raan_drag": 3.5 * beta2 * node_j2 * c1 / minute**2,
        "semi_major_axis": a,
        "speed": 1.0 / np.sqrt(a),
        "eccentricity": e,
        "sin_inclination": s,
        "cos_inclination": c,
        "long_period": np.abs(0.5 * J3 / J2 * s) / (a * beta2),
        # at 180° the divisor vanishes; the source's own floor
        "long_period_longitude": -0.25 * (J3 / J2) * s * (3.0 + 5.0 * c)
        / np.where(np.abs(1.0 + c) > 1.5e-12, 1.0 + c, 1.5e-12),
        "shrinking": np.stack([c1, *(np.where(full, d, 0.0) for d in (d2, d3, d4))]) / power[:4],
        "advance": n
        * np.stack([1.5 * c1, *(np.where(full, t, 0.0) for t in (t3, t4, t5))])
        / power[1:],
        "eta": eta,
        "libration_rate": np.where(full, bstar * c3 * np.cos(argp), 0.0) / minute,
        "libration_swing": swing,
        "libration_origin": (1.0 + eta * np.cos(anomaly)) ** 3,
        "circularising": bstar * cc4 / minute,
        "eccentricity_swing": e_swing,
        "eccentricity_origin": e + e_swing * np.sin(anomaly),
    }  # fmt: skip

"""Where the Sun is: direction, distance, and the mean Sun that local time is counted by."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.numpy.linalg import norm
from jaxtyping import Array, Float

from twin.arrays import Scalar, Vec3
from twin.clock import Epoch, ephemeris, skyfield_times
from twin.constants import DEG
from twin.frames import teme_from_gcrs

_SPACING = 6 * 3600.0  # s between nodes: the cubic is then within 1 m of the ephemeris's own curve
_PROBE = 600.0  # s, half the base of the central difference that gives a node its velocity


class SunEphemeris(eqx.Module):
    """The geometric Sun of one run, Earth-centred in TEME of date, as cubics between nodes.

    Geometric means where the Sun is, not where it is seen: no light time, no aberration. Make one
    with `sun_ephemeris`. Valid from the start of the run to the last node.
    """

    nodes: Float[Array, "node 3"]  # m
    slopes: Float[Array, "node 3"]  # m/s
    spacing: Scalar  # s

    def position(self, time: Scalar) -> Vec3:
        """The Sun at `time` seconds since the start; NaN before the start or after the last node.

        Cubic Hermite interpolation: two rows are read, so it is cheap inside a scan.
        """
        last = self.nodes.shape[0] - 1
        place = time / self.spacing
        inside = (place >= 0.0) & (place <= float(last))
        index = jnp.clip(jnp.floor(place), 0.0, float(last - 1)).astype(jnp.int32)
        u = place - index.astype(place.dtype)
        v = 1.0 - u
        start = (1.0 + 2.0 * u) * v * v * self.nodes[index] + u * v * v * self.spacing * (
            self.slopes[index]
        )
        stop = (1.0 + 2.0 * v) * u * u * self.nodes[index + 1] - v * u * u * self.spacing * (
            self.slopes[index + 1]
        )
        return jnp.where(inside, start + stop, jnp.nan)


def sun_ephemeris(start: Epoch, duration: float) -> SunEphemeris:
    """The Sun from `start` for `duration` seconds (and up to six hours longer), from DE421.

    Raises ValueError outside 1899 to 2053. Within 1e-4 arcseconds of Skyfield's geometric Sun.

    Source: Folkner, Williams & Boggs, IPN Progress Report 42-178 (2009), as read by Skyfield.
    """
    count = max(2, int(np.ceil(duration / _SPACING)) + 1)
    times = _SPACING * np.arange(count)
    before, after = sun_positions(start, times - _PROBE), sun_positions(start, times + _PROBE)
    return SunEphemeris(
        nodes=jnp.asarray(sun_positions(start, times)),
        slopes=jnp.asarray((after - before) / (2 * _PROBE)),
        spacing=jnp.asarray(_SPACING),
    )


def sun_positions(start: Epoch, seconds: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3"]:
    """The geometric Sun on the host, straight from DE421: Earth-centred, TEME of date, metres."""
    moments = skyfield_times(start, seconds)
    kernel = ephemeris()
    gcrs = (kernel["sun"] - kernel["earth"]).at(moments).position.m.T
    return (teme_from_gcrs(start, seconds) @ gcrs[..., None])[..., 0]


def mean_sun_right_ascension(epoch: Epoch) -> float:
    """Right ascension of the mean Sun (rad, 0 to 2π) from the mean equinox of date, as in TEME.

    The node of a Sun-synchronous orbit with local time of ascending node `ltan` (hours) is this
    plus (ltan - 12) times 15 degrees. UTC stands for UT1: 0.04 arcseconds at most.

    Source: Aoki et al., Astronomy & Astrophysics 105, 359 (1982): the definition of UT1.
    """
    centuries = (epoch.whole - 2_451_545.0 + epoch.fraction) / 36_525.0
    degrees = 280.460618375 + centuries * (36_000.770053608333 + centuries * 3.87933e-4)
    return float(degrees % 360.0 * DEG)


def beta_angle(position: Vec3, velocity: Vec3, sun_position: Vec3) -> Scalar:
    """Angle (rad) of the Sun above the orbit's plane, positive on the side of its momentum.

    All in one frame, Earth-centred. NaN where position and velocity are parallel.
    """
    normal = jnp.cross(position, velocity)
    sine = normal @ sun_position / (norm(normal) * norm(sun_position))
    return jnp.arcsin(jnp.clip(sine, -1.0, 1.0))

"""Protons along the orbit, the upsets they cause, and the clock that says when one strikes.

Inside the South Atlantic anomaly the inner belt comes down to low orbit; over the rest of the
world cosmic rays are what is left, taken as constant (they vary by some times with latitude, and
with the Sun's cycle). An upset here is one that needs a restart of the computer; errors that memory
with correction repairs are not counted.
"""

from zlib import crc32

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from twin.arrays import Each, Scalar

REFERENCE_FLUX = 2.43546e5  # 1/m²/s, mean of this map at 550 km and 97.6°, where rates are quoted
LOWEST, HIGHEST = 400e3, 1000e3  # m, the fit's range

# The logarithm of the flux is a polynomial of third degree in the unit vector, whose coefficients
# are quadratic in t = (h - 650 km) / (h + 650 km). Rows as in `_exponent`.
# Source: tests/oracles/radiation_aep8.py, which prints them.
_MAP = (
    (-494.34, 3216.24, -4992.49),
    (376.191, -2615.44, 4623.55),
    (-475.677, 3076.51, -5059.51),
    (215.628, -859.064, 214.802),
    (262.554, -2121.06, 4468.18),
    (238.009, -1095.97, 659.918),
    (-113.065, 507.686, -337.169),
    (142.448, -457.764, -298.249),
    (-73.375, 183.938, 467.282),
    (214.901, -1054.47, 950.304),
    (-465.708, 3026.37, -4560.38),
    (301.116, -2039.37, 3074.09),
    (-412.046, 2689.55, -3978.48),
    (22.6634, -18.8363, -162.66),
    (163.111, -1113.34, 1618.25),
    (-10.7499, 125.001, -364.468),
)


def proton_flux(x: Each, y: Each, z: Each, altitude: Each) -> Each:
    """Protons above 30 MeV from all sides (1/m²/s) at a place fixed to the Earth.

    (`x`, `y`, `z`) is the geocentric unit vector in ITRF, `altitude` the height over the ellipsoid.
    A closed form fitted to AP-8 MIN from 400 to 1000 km; outside it is held at the nearer end.
    AP-8 shows the anomaly of about 1960; the map has it 20° further west, by 0.3° a year until
    2026. Against AP-8 so moved: the mean along an orbit within 11 % (500 to 1000 km, polar and
    45°), correlation over the globe 0.98, 10 % of the flux in a wrong place, the peak 7 to
    27 % too low. AP-8 itself is good to a factor of two, more on the anomaly's edge. float64 only:
    the coefficients cancel.

    Source: AP-8 MIN (Sawyer & Vette, NSSDC 76-06, 1976) by aep8 1.1.0; for measured drifts,
    Grigoryan, Petrov & Romashova, WDS 2005; fit and residuals, tests/oracles/radiation_aep8.py.
    """
    height = jnp.clip(altitude, LOWEST, HIGHEST)
    return jnp.exp(_exponent(x, y, z, (height - 650e3) / (height + 650e3)))


def _exponent(x: Each, y: Each, z: Each, t: Each) -> Each:
    c = [a + t * (b + t * d) for a, b, d in _MAP]
    xx, xy, yy = x * x, x * y, y * y
    even = c[0] + c[1] * x + c[2] * y + c[3] * xx + c[4] * xy + c[5] * yy
    cubic = xx * (c[6] * x + c[7] * y) + yy * (c[8] * x + c[9] * y)
    odd = c[10] + c[11] * x + c[12] * y + c[13] * xx + c[14] * xy + c[15] * yy
    return even + cubic + z * odd


class Upsets(eqx.Module):
    """How often one satellite's computer is upset: always a little, and in proportion to protons.

    Source: none; the split into two parts is an assumption of this twin.
    """

    background: Float[Array, "*sat"]  # 1/s
    cross_section: Float[Array, "*sat"]  # m², upsets for each proton a square metre

    def rate(self, flux: Each) -> Each:
        """Upsets a second at a proton flux (1/m²/s)."""
        return self.background + self.cross_section * flux


def upsets(rate: Each, anomaly_share: Each) -> Upsets:
    """From the mean rate (1/s) on the reference orbit and the share that belongs to the anomaly.

    The reference orbit is 550 km, 97.6°. Elsewhere the rate follows from `proton_flux`: at 1000 km
    the part of the anomaly is ten times larger.

    Source: none for the rate: once in 30 days, 5 to 300, is assumed from proton tests of Jetson
    modules. Share: 70 to 90 % of the upsets of low polar orbits are in the anomaly.
    """
    return Upsets((1 - anomaly_share) * rate, anomaly_share * rate / REFERENCE_FLUX)


def upset_stream(root: PRNGKeyArray) -> PRNGKeyArray:
    """The stream of random numbers that belongs to upsets alone."""
    return jax.random.fold_in(root, crc32(b"upsets"))


def waiting(stream: PRNGKeyArray, satellite: Int[Array, "*sat"], count: Int[Array, "*sat"]) -> Each:
    """How much hazard each satellite's upset number `count` (from 0) waits for: Exp(1).

    It depends on stream, satellite and number alone. Costs some 100 ns a satellite: take it once
    a record, by `next_waits`.
    """

    def one(satellite: Int[Array, ""], count: Int[Array, ""]) -> Scalar:
        key = jax.random.fold_in(jax.random.fold_in(stream, satellite), count)
        return -jnp.log1p(-jax.random.uniform(key, dtype=jnp.float64))  # never log of zero

    draws = jax.vmap(one)(jnp.ravel(satellite), jnp.ravel(jnp.broadcast_to(count, satellite.shape)))
    return draws.reshape(satellite.shape)


def next_waits(
    stream: PRNGKeyArray, satellite: Int[Array, "*sat"], count: Int[Array, "*sat"]
) -> tuple[Each, Each]:
    """The waits after the next two upsets of a satellite that has had `count`: (even, odd).

    The first is that of the upset with an even number. A third upset within one record would take
    the first wait again: at one upset a day and records of five minutes, once in 500,000
    satellite-days.
    """
    later = count + 1
    first, second = waiting(stream, satellite, later), waiting(stream, satellite, later + 1)
    even = later % 2 == 0
    return jnp.where(even, first, second), jnp.where(even, second, first)


def following(waits: tuple[Each, Each], count: Int[Array, "*sat"]) -> Each:
    """The wait that begins when the upset after `count` of them strikes, for `ticked`."""
    return jnp.where((count & 1) == 1, *waits)


def ticked(
    hazard_left: Each, rate: Each, dt: Scalar, next_wait: Each
) -> tuple[Each, Bool[Array, "*sat"]]:
    """The hazard left after a step, and whether an upset struck in it.

    What a step overshoots is taken from the next wait, so the moments of the upsets do not depend
    on the step. At most one strikes in a step; a second one that was due strikes in the next.

    Source: time change of a Poisson process (Brown et al., Neural Computation 14, 2002).
    """
    left = hazard_left - rate * dt
    struck = left <= 0
    return jnp.where(struck, left + next_wait, left), struck

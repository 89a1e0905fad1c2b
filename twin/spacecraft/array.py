"""Solar cells: what light becomes at the terminals of an array.

The cells absorb their full share of the light (absorptance about 0.92). What leaves as electricity
is subtracted once, in the heat balance, never in the absorptance.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.arrays import Each

NEARLY_STEADY = 1e-6  # W: a quotient of less would be rounding
Share = float | Float[Array, "*any"] | np.ndarray


class Sunshine(eqx.Module):
    """The visible share of the Sun in a step, in which it may rise or set."""

    mean: Float[Array, "*any"]
    start: Float[Array, "*any"]
    end: Float[Array, "*any"]
    pace: Float[Array, "*any"]  # steps in which the shadow would move by a solar radius


class Supply(eqx.Module):
    """What an array can give (W) in a step: `always`, and what is `full` sunlight's."""

    always: Float[Array, "*sat"]
    full: Float[Array, "*sat"]
    mean: Float[Array, "*sat"]
    low: Float[Array, "*any"]  # visible share of the Sun at the darker end of the step
    high: Float[Array, "*any"]  # at the brighter end
    pace: Float[Array, "*any"]  # as in `Sunshine`

    def drawn(self, wanted: Each) -> Each:
        """Mean of the lesser of what there is and what is `wanted` (W), moment by moment.

        The limb crosses the Sun's disc at an even pace: over a sunset within 0.02 % of its length,
        2 ms of full power in low orbit.
        """
        span = self.high - self.low
        met = (wanted - self.always) - self.full * self.low
        met = jnp.clip(met / jnp.maximum(self.full * span, NEARLY_STEADY), 0.0, 1.0)
        low, high, here = (_sagging(x) for x in (self.low, self.high, self.low + met * span))
        bend = self.full * jnp.maximum(self.pace * ((low - here) + met * (high - low)), 0.0)
        darkest = self.always + self.full * self.low
        chord = jnp.minimum(darkest, wanted) + met * (self.mean - darkest)
        return jnp.minimum(chord + bend, jnp.minimum(self.mean, wanted))


def _sagging(share: Each) -> Each:
    """Integral over the visible share of the Sun, from 0, of its centre's height over the limb.

    Height in solar radii, so that it falls from 0 to -0.212 and comes back; a fit, within 0.0003.
    """
    x = share * (1 - share)
    return -x * (0.95554 - x * (0.63140 - 0.82295 * x))


def steady(power: Each) -> Supply:
    """The same power throughout."""
    none = 0 * power
    return Supply(power, none, power, none, none, none)


class SolarArray(eqx.Module):
    """Cells on a panel, at a chosen age, with string losses, wiring and peak-power tracker.

    Power is linear in irradiance and in temperature, and nothing once the cells are so hot that
    the line reaches zero. The tracker holds the maximum power point. With light from behind,
    `back_efficiency` counts (0 for cells on one side only).

    Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4.
    """

    area: Float[Array, "*sat"]  # m²
    efficiency: Float[Array, "*sat"]  # at the reference temperature, all losses and age included
    back_efficiency: Float[Array, "*sat"]  # the same, of light on the back
    temperature_coefficient: Float[Array, "*sat"]  # 1/K, relative, negative
    reference_temperature: Float[Array, "*sat"]  # K

    def power(self, irradiance: Each, temperature: Each, back_irradiance: Each) -> Each:
        """Power at the maximum power point (W).

        Irradiances (W/m²) of the front and the back have their cosine applied.
        """
        warm = 1 + self.temperature_coefficient * (temperature - self.reference_temperature)
        caught = self.efficiency * irradiance + self.back_efficiency * back_irradiance
        return self.area * jnp.maximum(warm, 0.0) * caught

    def supply(self, sun: Sunshine, clear: Each, temperature: Each, back: Each) -> Supply:
        """The same over a step; `clear` is the irradiance of the front in full sunlight."""
        full = self.power(clear, temperature, 0.0 * back)
        always = self.power(0.0 * clear, temperature, back)
        low, high = jnp.minimum(sun.start, sun.end), jnp.maximum(sun.start, sun.end)
        return Supply(always, full, always + full * sun.mean, low, high, sun.pace)


def aged(efficiency: Share, years: Share, loss_per_year: Share) -> Share:
    """Efficiency after `years` in orbit: radiation, ultraviolet, impacts and cycling in one rate.

    Triple-junction cells in low orbit lose 0.5 % a year to radiation alone, up to 2.75 % in all.

    Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4, equation 11-7.
    """
    return efficiency * (1 - loss_per_year) ** years

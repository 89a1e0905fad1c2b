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
    """The visible share of the Sun in a step, in which it may rise or set.

    `slope` is half the share of the step that the edge of the shadow takes to pass, times what it
    changes: never more than a line from one end to the other, through the mean, leaves room for.
    """

    mean: Float[Array, "*any"]
    start: Float[Array, "*any"]
    end: Float[Array, "*any"]
    slope: Float[Array, "*any"]


class Supply(eqx.Module):
    """What an array can give (W) in a step."""

    mean: Float[Array, "*sat"]
    low: Float[Array, "*sat"]  # the darker end of the step
    high: Float[Array, "*sat"]  # the brighter end
    slope: Float[Array, "*sat"]  # as in `Sunshine`

    def drawn(self, wanted: Each) -> Each:
        """Mean of the lesser of what there is and what is `wanted` (W), moment by moment.

        The power rests at one level, goes straight to the other and rests there, as long as the
        mean tells: over a sunset in low orbit within 0.05 s of full power, 0.7 % of its length.
        """
        span = jnp.maximum(self.high - self.low, NEARLY_STEADY)
        met = jnp.clip((wanted - self.low) / span, 0.0, 1.0)
        return jnp.minimum(self.low, wanted) + met * (
            (self.mean - self.low) + (1 - met) * self.slope
        )


def steady(power: Each) -> Supply:
    """The same power throughout."""
    return Supply(power, power, power, 0 * power)


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
        mean, low, high = (always + full * share for share in (sun.mean, low, high))
        return Supply(mean, low, high, full * sun.slope)


def aged(efficiency: Share, years: Share, loss_per_year: Share) -> Share:
    """Efficiency after `years` in orbit: radiation, ultraviolet, impacts and cycling in one rate.

    Triple-junction cells in low orbit lose 0.5 % a year to radiation alone, up to 2.75 % in all.

    Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4, equation 11-7.
    """
    return efficiency * (1 - loss_per_year) ** years

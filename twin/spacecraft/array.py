"""Solar cells: what light becomes at the terminals of an array.

The cells absorb their full share of the light (absorptance about 0.92). What leaves as electricity
is subtracted once, in the heat balance, never in the absorptance.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.arrays import Each

Share = float | Float[Array, "*any"] | np.ndarray


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


def aged(efficiency: Share, years: Share, loss_per_year: Share) -> Share:
    """Efficiency after `years` in orbit: radiation, ultraviolet, impacts and cycling in one rate.

    Triple-junction cells in low orbit lose 0.5 % a year to radiation alone, up to 2.75 % in all.

    Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4, equation 11-7.
    """
    return efficiency * (1 - loss_per_year) ** years

"""A lithium-ion battery: a store with an open-circuit voltage, a resistance, and a dislike of cold.

Inside, the chemistry takes or gives the power p; at the terminals stands P. Charging, P = p + r p²;
discharging, P = p - r p², with r = r0 w(T) / v(e)²: the resistance over the square of the
open-circuit voltage. v is that voltage over its mean, e the stored share of energy, w the growth of
resistance in the cold. All are taken at the start of a step.

Left out: the slow part of the overpotential (diffusion), which r0 holds as a mean over half an
hour; the taper at constant voltage near full; self-discharge; the heat of reaction; ageing.
"""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.fastmath import exp

# Source: PyBaMM 26.10 with OKane2022 (LG M50, NMC 811 on graphite and silicon), as stored by
# tests/oracles/battery_pybamm.py; the form is Shepherd's, J. Electrochem. Soc. 112, 657 (1965).
LG_M50 = (0.9258, 0.2047, 0.00536, 0.02067)
ACTIVATION = 2150.0  # K. Source: the same; resistance grows 1.68 times from 25 to 5 °C
RESISTANCE_TIME = 258.0  # s. Source: the same; r0 times capacity, so 2 % is lost at C/3 each way
REFERENCE = 298.15  # K, where r0 holds
COLDEST = 200.0  # K: frozen, and the exponential stays finite
SAG = 0.4  # share of the voltage that a load may pull down (or a charger lift): no power flows
# beyond; at half, more current would give less power
NO_RESISTANCE = 1e-12  # 1/W, and the quotient above it stays finite
WARM = 293.15  # K, from where all of the charge is within reach


class Battery(eqx.Module):
    """Cells in one box, as one cell. Charge and discharge are never both positive in a step.

    `voltage` holds a, b, c, d of v(e) = a + b e - c / (e + d): within 0.9 % of the cell it was
    taken from. `activation` (K) is the slope of the resistance's logarithm over 1 / T, from 0 to
    25 °C.

    Source: Tremblay & Dessaint, World Electric Vehicle Journal 3, 289 (2009), for the circuit.
    """

    capacity: Float[Array, "*sat"]  # J of chemical energy between empty and full
    floor: Float[Array, "*sat"]  # J, below which nothing is drawn
    resistance: Float[Array, "*sat"]  # 1/W: R over the square of the mean voltage, at 25 °C
    coulombic_efficiency: Float[Array, "*sat"]  # of charge that comes in, what stays
    charge_limit: Float[Array, "*sat"]  # W at the terminals
    discharge_limit: Float[Array, "*sat"]  # W at the terminals
    charge_cold: Float[Array, "*sat"]  # K: at and below, no charging
    charge_warm: Float[Array, "*sat"]  # K: from here the full rate
    charge_hot: Float[Array, "*sat"]  # K: up to here the full rate
    charge_stop: Float[Array, "*sat"]  # K: at and above, no charging
    voltage: tuple[float, float, float, float] = eqx.field(static=True, default=LG_M50)
    activation: float = eqx.field(static=True, default=ACTIVATION)
    held: Float[Array, "*sat"] | None = None  # r of this step, once it is known

    def now(self, energy: Each, temperature: Each, one: Each) -> "Battery":
        """The same with its r held for a step: four laws ask for it, and it has an exponential."""
        return replace(self, held=self._resistance(energy, temperature) / one)

    def charge(self, energy: Each) -> Each:
        """State of charge: stored over full. No battery counts as a full one: it lacks nothing."""
        there = self.capacity > 0
        return jnp.where(there, energy / jnp.where(there, self.capacity, 1.0), 1.0)

    def room(self, energy: Each, temperature: Each, dt: Scalar) -> Each:
        """Largest power (W) at the terminals that it can take for the whole step."""
        space = jnp.maximum(self.capacity - energy, 0.0) / self.coulombic_efficiency
        resistance, most = self._most(energy, temperature, dt)
        inner = jnp.minimum(space, most)
        allowed = self.charge_limit * self.willingness(temperature) * dt
        return jnp.minimum(inner * (1 + resistance * inner / dt), allowed) / dt

    def reach(self, energy: Each, temperature: Each, dt: Scalar) -> Each:
        """Largest power (W) at the terminals that it can give for the whole step.

        It leaves the floor, or what the cold keeps, and never pulls the voltage down past `SAG`.
        """
        kept = jnp.maximum(self.floor, self.capacity * cold_share(temperature))
        resistance, most = self._most(energy, temperature, dt)
        inner = jnp.minimum(jnp.maximum(energy - kept, 0.0), most)
        # Energy over the step, and a division last: XLA computes a quotient only once.
        return jnp.minimum(inner * (1 - resistance * inner / dt), self.discharge_limit * dt) / dt

    def after(
        self, energy: Each, temperature: Each, charge: Each, discharge: Each, dt: Scalar
    ) -> Each:
        """Stored energy (J) one step later."""
        inner, _ = self._inner(energy, temperature, charge, discharge)
        return energy + dt * jnp.where(inner > 0, self.coulombic_efficiency * inner, inner)

    def least(self, energy: Each, after: Each, swing: Each, dt: Scalar) -> Each:
        """Least stored energy (J) within a step that began with `energy` and ended with `after`.

        `swing` (W) is what it lent in one part of the step and took back in the other, such as
        before and after sunrise; its losses are left out, 3 % of that part of a step.
        """
        low = jnp.minimum(energy, after)
        return jnp.maximum(low - dt * swing, jnp.minimum(low, self.floor))

    def loss(self, energy: Each, temperature: Each, charge: Each, discharge: Each) -> Each:
        """Heat (W) made by the resistance, and by charge that came in and did not stay."""
        inner, resistance = self._inner(energy, temperature, charge, discharge)
        astray = (1 - self.coulombic_efficiency) * jnp.maximum(inner, 0.0)
        return resistance * inner * inner + astray

    def willingness(self, temperature: Each) -> Each:
        """Share of the charge limit that the temperature allows: lithium plates in the cold."""
        warm = (temperature - self.charge_cold) / (self.charge_warm - self.charge_cold)
        cool = (self.charge_stop - temperature) / (self.charge_stop - self.charge_hot)
        return jnp.clip(jnp.minimum(warm, cool), 0.0, 1.0)

    def _most(self, energy: Each, temperature: Each, dt: Scalar) -> tuple[Each, Each]:
        """r, and the chemical energy (J) that can pass in a step until the voltage gives by SAG."""
        resistance = self._resistance(energy, temperature)
        return resistance, SAG * dt / jnp.maximum(resistance, NO_RESISTANCE)

    def _inner(
        self, energy: Each, temperature: Each, charge: Each, discharge: Each
    ) -> tuple[Each, Each]:
        """Power (W) into the chemistry, negative out of it, and r.

        Both quadratics have one root in common form. NaN past the maximum power point.
        """
        resistance = self._resistance(energy, temperature)
        net = charge - discharge
        return 2 * net / (1 + jnp.sqrt(1 + 4 * resistance * net)), resistance

    def _resistance(self, energy: Each, temperature: Each) -> Each:
        if self.held is not None:
            return self.held
        a, b, c, d = self.voltage
        share = energy / jnp.maximum(self.capacity, 1.0)
        voltage = a + b * share - c / (share + d)
        chill = 1 / jnp.maximum(temperature, COLDEST) - 1 / REFERENCE
        return self.resistance * exp(self.activation * chill) / (voltage * voltage)


def cold_share(temperature: Each) -> Each:
    """Share of the capacity that stays out of reach in the cold: 0.1 at 0 °C, 0.3 at -20 °C.

    Smooth, and nothing from 20 °C up; what is kept comes back with warmth.

    Source: assumed; typical of cells at C/2 on their makers' sheets, which spread by 0.1 at -20 °C.
    """
    below = jnp.maximum(WARM - temperature, 0.0)
    return below * below / (8000 / 3 + 200 / 3 * below)

"""Solar array, battery, and the bus that shares their power out.

No flow here is a remainder: each is computed by its own formula, so that the books can disagree.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar


class SolarArray(eqx.Module):
    """Cells on a panel, at a chosen age, with wiring and peak-power tracker.

    Power is linear in irradiance and in temperature.

    Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4.
    """

    area: Float[Array, "*sat"]  # m²
    efficiency: Float[Array, "*sat"]  # at the reference temperature, all losses and age included
    temperature_coefficient: Float[Array, "*sat"]  # 1/K, relative, negative
    reference_temperature: Float[Array, "*sat"]  # K

    def power(self, irradiance: Each, temperature: Each) -> Each:
        """Power at the maximum power point (W) under `irradiance` (W/m², cosine applied)."""
        warm = 1 + self.temperature_coefficient * (temperature - self.reference_temperature)
        return self.area * self.efficiency * jnp.maximum(warm, 0.0) * irradiance


class Battery(eqx.Module):
    """An energy store with limits of energy and power and a loss each way."""

    capacity: Float[Array, "*sat"]  # J
    floor: Float[Array, "*sat"]  # J, below which nothing is drawn
    charge_efficiency: Float[Array, "*sat"]
    discharge_efficiency: Float[Array, "*sat"]
    charge_limit: Float[Array, "*sat"]  # W at the terminals
    discharge_limit: Float[Array, "*sat"]  # W at the terminals

    def room(self, energy: Each, dt: Scalar) -> Each:
        """Largest power (W) that it can take for the whole step."""
        space = (self.capacity - energy) / (self.charge_efficiency * dt)
        return jnp.clip(space, 0.0, self.charge_limit)

    def reach(self, energy: Each, dt: Scalar) -> Each:
        """Largest power (W) that it can give for the whole step."""
        left = (energy - self.floor) * self.discharge_efficiency / dt
        return jnp.clip(left, 0.0, self.discharge_limit)

    def after(self, energy: Each, charge: Each, discharge: Each, dt: Scalar) -> Each:
        """Stored energy (J) one step later."""
        stored = self.charge_efficiency * charge
        drawn = discharge / self.discharge_efficiency
        return energy + (stored - drawn) * dt

    def loss(self, charge: Each, discharge: Each) -> Each:
        """Heat (W) made on the way in and on the way out."""
        way_in = (1 - self.charge_efficiency) * charge
        way_out = (1 / self.discharge_efficiency - 1) * discharge
        return way_in + way_out


class Plan(eqx.Module):
    """What the bus can promise before the step: it binds, so no load is served from nothing."""

    extracted: Each  # taken from the array
    curtailed: Each  # left in the array, since nobody can use it
    served: Each  # to housekeeping
    unserved: Each  # owed to housekeeping
    payload_share: Each  # of what the payload asks for
    room: Each  # what the battery can take


class BusFlows(eqx.Module):
    """Mean electrical powers over one step (W), each positive, each by its own formula."""

    available: Float[Array, "*sat"]
    extracted: Float[Array, "*sat"]
    curtailed: Float[Array, "*sat"]
    charge: Float[Array, "*sat"]
    discharge: Float[Array, "*sat"]
    loss: Float[Array, "*sat"]
    shunted: Float[Array, "*sat"]
    housekeeping: Float[Array, "*sat"]
    payload: Float[Array, "*sat"]
    unserved: Float[Array, "*sat"]


def plan(
    battery: Battery,
    energy: Each,
    available: Each,
    housekeeping: Each,
    payload_now: Each,
    payload_most: Each,
    dt: Scalar,
) -> Plan:
    """Share the power out for the coming step: to housekeeping, then the payload, then the battery.

    `payload_now` is what the payload would draw at its present temperature, `payload_most` what it
    could draw at any; the promise is measured by the second, the array is loaded by the first.
    """
    reach = battery.reach(energy, dt)
    supply = available + reach
    served = jnp.minimum(housekeeping, supply)
    left = jnp.maximum(supply - housekeeping, 0.0)
    share = jnp.where(payload_most > left, left / jnp.maximum(payload_most, 1e-9), 1.0)
    room = battery.room(energy, dt)
    # The last term is for a battery too small to lend what the payload may rise by in the step.
    wanted = served + jnp.maximum(share * payload_now + room, share * payload_most - reach)
    return Plan(
        extracted=jnp.minimum(available, wanted),
        curtailed=jnp.maximum(available - wanted, 0.0),
        served=served,
        unserved=jnp.maximum(housekeeping - supply, 0.0),
        payload_share=share,
        room=room,
    )


def settle(
    battery: Battery, plan: Plan, available: Each, payload: Each, payload_unserved: Each
) -> BusFlows:
    """Settle the step once the payload's mean draw is known.

    A payload that throttled within the step leaves a little more than the battery has room for: a
    shunt on the bus turns that into heat.
    """
    surplus = plan.extracted - plan.served - payload
    charge = jnp.clip(surplus, 0.0, plan.room)
    discharge = jnp.maximum(-surplus, 0.0)
    return BusFlows(
        available=available,
        extracted=plan.extracted,
        curtailed=plan.curtailed,
        charge=charge,
        discharge=discharge,
        loss=battery.loss(charge, discharge),
        shunted=jnp.maximum(surplus - plan.room, 0.0),
        housekeeping=plan.served,
        payload=payload,
        unserved=plan.unserved + payload_unserved,
    )

"""The bus: who is fed, in which order, and who is switched off before it is too late.

Consumers in order of priority: survival (avionics and heaters), comms, isl (laser terminals),
payload. A level of shedding, held in the state, switches them off from the end: 1 puts the payload
to sleep, 2 also the laser terminals, 3 is safe mode, with survival alone.

No flow here is a remainder: each is computed by its own formula, so that the books can disagree.

Source: Wertz & Larson, Space Mission Analysis and Design (1999), 11.4.4, for regulation by a
peak-power tracker and a shunt; the order and the levels are assumed.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Each, Scalar
from twin.spacecraft.array import Supply
from twin.spacecraft.battery import Battery

Level = Int[Array, "*sat"]

NO_PAYLOAD, NO_ISL, SAFE = 1, 2, 3
AMPLE = 1.1  # safe mode is left only if the supply exceeds survival and comms by this factor


class Loads(eqx.Module):
    """What the consumers but the payload draw, and at which charge they are shed.

    Thresholds are states of charge for levels 1, 2, 3: `shed_below` falling, each below its
    `restored_above`.
    """

    survival: Float[Array, "*sat"]  # W, without heaters
    comms: Float[Array, "*sat"]  # W
    isl: Float[Array, "*sat"]  # W
    shed_below: Float[Array, "3 *sat"]
    restored_above: Float[Array, "3 *sat"]

    def shed(self, level: Level, charge: Each, starved: Bool[Array, "*sat"]) -> Level:
        """The next level: up as soon as the charge is short, down only past the release.

        `starved`: in the step before, the supply could not feed survival and comms (`Plan` says
        so); then it is safe mode at any charge.
        """
        asleep, unlinked, safe = (
            (charge < below) | ((level >= n) & (charge <= above))
            for n, below, above in zip(
                (NO_PAYLOAD, NO_ISL, SAFE), self.shed_below, self.restored_above, strict=True
            )
        )
        zero = jnp.zeros_like(level)
        mild = jnp.where(unlinked, zero + NO_ISL, jnp.where(asleep, zero + NO_PAYLOAD, zero))
        return jnp.where(safe | starved, zero + SAFE, mild)

    def awake(self, level: Level, charge: Each, ahead: Each) -> Each:
        """Share of a step in which the payload is served, while charge runs to what lies `ahead`.

        At level 0 until the charge is short; at level 1 from its release on.
        """
        change = ahead - charge
        at = jnp.where(level <= 0, self.shed_below[0], self.restored_above[0])
        crossed = (change * (ahead - at) > 0) & ((level <= 0) == (change < 0))
        before = (at - charge) / jnp.where(crossed, change, 1.0)
        first = jnp.where(crossed, jnp.clip(before, 0.0, 1.0), 1.0)
        return jnp.where(level <= 0, first, jnp.where(level == NO_PAYLOAD, 1 - first, 0.0))


class Demand(eqx.Module):
    """What the consumers but the payload ask for in this step (W), shed or not."""

    survival: Float[Array, "*sat"]  # heaters included
    comms: Float[Array, "*sat"]
    isl: Float[Array, "*sat"]


class Plan(eqx.Module):
    """What the bus can promise before the step: it binds, so no load is served from nothing."""

    wanted: Float[Array, "*sat"]  # from the array, at any moment of the step
    extracted: Float[Array, "*sat"]  # taken from it
    curtailed: Float[Array, "*sat"]  # left in the array, since nobody can use it
    survival: Float[Array, "*sat"]  # served
    comms: Float[Array, "*sat"]
    isl: Float[Array, "*sat"]
    unserved_survival: Float[Array, "*sat"]
    unserved_comms: Float[Array, "*sat"]
    unserved_isl: Float[Array, "*sat"]
    payload_share: Float[Array, "*sat"]  # of what the payload asks for
    room: Float[Array, "*sat"]  # what the battery can take
    spare: Float[Array, "*sat"]  # what could be served besides
    swing: Float[Array, "*sat"]  # what it lends in one part of the step and takes in the other
    starved: Bool[Array, "*sat"]  # too little for survival and comms: safe mode comes next


class BusFlows(eqx.Module):
    """Mean electrical powers over one step (W), each positive, each by its own formula."""

    available: Float[Array, "*sat"]
    extracted: Float[Array, "*sat"]
    curtailed: Float[Array, "*sat"]
    charge: Float[Array, "*sat"]
    discharge: Float[Array, "*sat"]
    loss: Float[Array, "*sat"]
    shunted: Float[Array, "*sat"]
    survival: Float[Array, "*sat"]
    comms: Float[Array, "*sat"]
    isl: Float[Array, "*sat"]
    payload: Float[Array, "*sat"]
    unserved_survival: Float[Array, "*sat"]
    unserved_comms: Float[Array, "*sat"]
    unserved_isl: Float[Array, "*sat"]
    unserved_payload: Float[Array, "*sat"]


def plan(
    battery: Battery,
    demand: Demand,
    level: Level,
    energy: Each,
    temperature: Each,
    available: Supply,
    payload_now: Each,
    payload_most: Each,
    dt: Scalar,
) -> Plan:
    """Share the power out for the coming step: by priority, then the battery.

    `demand` is whole: what is shed is switched off here and owed to its consumer. `payload_now` is
    what the payload would draw at its present temperature, `payload_most` what it could draw at
    any; asleep, both are its sleep's draw. The promise is measured by the second, the array is
    loaded by the first. In safe mode the payload's share is zero. `temperature` is the battery's.

    Where the Sun rises or sets within the step, the array is loaded with what is wanted while it
    shines, and the battery feeds the rest: a mean that suffices is no power in the dark.
    """
    reach = battery.reach(energy, temperature, dt)
    supply = available.mean + reach
    safe, unlinked = level >= SAFE, level >= NO_ISL
    comms = jnp.where(safe, 0.0, demand.comms)
    isl = jnp.where(unlinked, 0.0, demand.isl)

    after_survival = jnp.maximum(supply - demand.survival, 0.0)
    after_comms = jnp.maximum(after_survival - comms, 0.0)
    after_isl = jnp.maximum(after_comms - isl, 0.0)
    survival_served = jnp.minimum(demand.survival, supply)
    comms_served = jnp.minimum(comms, after_survival)
    isl_served = jnp.minimum(isl, after_comms)
    served = survival_served + comms_served + isl_served

    short = payload_most > after_isl
    share = jnp.where(short, after_isl / jnp.maximum(payload_most, 1e-9), 1.0)
    share = jnp.where(safe, 0.0, share)
    room = battery.room(energy, temperature, dt)
    loads = served + share * payload_now
    wanted = loads + room
    # A battery may be too small to lend what the dark part needs, or what the payload rises by.
    least = jnp.minimum(available.mean, served + share * payload_most - reach)
    extracted = jnp.maximum(available.drawn(wanted), least)
    essential = demand.survival + demand.comms
    return Plan(
        wanted=wanted,
        extracted=extracted,
        curtailed=jnp.maximum(available.mean - extracted, 0.0),
        survival=survival_served,
        comms=comms_served,
        isl=isl_served,
        unserved_survival=jnp.maximum(demand.survival - supply, 0.0),
        unserved_comms=jnp.where(
            safe, demand.comms, jnp.maximum(demand.comms - after_survival, 0.0)
        ),
        unserved_isl=jnp.where(unlinked, demand.isl, jnp.maximum(demand.isl - after_comms, 0.0)),
        payload_share=share,
        room=room,
        spare=jnp.maximum(extracted + reach - (served + share * payload_most), 0.0),
        swing=jnp.minimum(loads, extracted) - available.drawn(loads),
        starved=supply < jnp.where(safe, AMPLE * essential, essential),
    )


def settle(
    battery: Battery,
    plan: Plan,
    energy: Each,
    temperature: Each,
    available: Supply,
    payload: Each,
    unserved_payload: Each,
) -> BusFlows:
    """Settle the step once the payload's mean draw is known.

    A payload that throttled within the step leaves a little more than the battery has room for: a
    shunt on the bus turns that into heat.
    """
    surplus = plan.extracted - plan.survival - plan.comms - plan.isl - payload
    charge = jnp.clip(surplus, 0.0, plan.room)
    discharge = jnp.maximum(-surplus, 0.0)
    return BusFlows(
        available=available.mean,
        extracted=plan.extracted,
        curtailed=plan.curtailed,
        charge=charge,
        discharge=discharge,
        loss=battery.loss(energy, temperature, charge, discharge),
        shunted=jnp.maximum(surplus - plan.room, 0.0),
        survival=plan.survival,
        comms=plan.comms,
        isl=plan.isl,
        payload=payload,
        unserved_survival=plan.unserved_survival,
        unserved_comms=plan.unserved_comms,
        unserved_isl=plan.unserved_isl,
        unserved_payload=unserved_payload,
    )

"""What the flight software decides for a step, from what it measures at its start."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Each, Scalar, Switches
from twin.constellation import CHIP, Limit, Satellite, Sky, State
from twin.environment.radiation import ticked
from twin.spacecraft.bus import SAFE, Demand, Plan
from twin.spacecraft.payload import Duty, duty


class Orders(eqx.Module):
    """Who is fed, which way to point, what to heat, and whether the computer works."""

    shed: Int[Array, "*sat"]
    mode: Int[Array, "*sat"]
    heating: Switches  # by heater
    heat: tuple[Each, ...]  # W that each heater asks for
    demand: Demand  # of all but the payload
    tripped: Bool[Array, "*sat"]
    duty: Duty
    ration: Float[Array, "*sat"]  # share of full work that the charge allows
    hazard_left: Float[Array, "*sat"]
    struck: Bool[Array, "*sat"]  # an upset makes the computer reboot


def decide(satellite: Satellite, state: State, sky: Sky, next_wait: Each, dt: Scalar) -> Orders:
    """The orders for a step: loads are shed by charge, heaters switched, upsets met."""
    payload, governor = satellite.payload, satellite.governor
    charge = satellite.battery.charge(state.battery_energy)
    shed = satellite.loads.shed(state.shed, charge, state.starved)
    heating = satellite.heaters.switched(state.heating, state.temperature)
    heaters = zip(heating, satellite.heaters.power, strict=True)
    heat = tuple(jnp.where(on, watts, 0.0) for on, watts in heaters)
    tripped = governor.tripped(state.tripped, state.temperature[CHIP])
    hazard_left, struck = ticked(state.hazard_left, sky.upset_rate, dt, next_wait)
    loads = satellite.loads
    return Orders(
        shed=shed,
        mode=satellite.attitude.mode(sky.sun.mean, shed >= SAFE),
        heating=heating,
        heat=heat,
        demand=Demand(loads.survival + sum(heat), loads.comms, loads.isl),
        tripped=tripped,
        duty=duty(payload, governor, state.down, shed, tripped, struck, dt),
        ration=payload.ration(charge),
        hazard_left=hazard_left,
        struck=struck,
    )


def timed(
    satellite: Satellite, state: State, orders: Orders, promise: Plan, draw: Each, dt: Scalar
) -> Orders:
    """The orders with the payload put to sleep, or woken, at its moment within the step.

    The charge runs straight, by what is promised and what the payload would `draw` (W) at its
    level. It wakes no sooner than there is power to spare for.
    """
    battery, payload = satellite.battery, satellite.payload
    energy, served = state.battery_energy, promise.survival + promise.comms + promise.isl
    net = jnp.minimum(promise.extracted - served - promise.payload_share * draw, promise.room)
    now, ahead = battery.charge(energy), battery.charge(energy + dt * net)
    awake = satellite.loads.awake(orders.shed, now, ahead)
    most = jnp.maximum(payload.devices * payload.full_power, 1e-9)
    awake = jnp.where(orders.shed > 0, jnp.minimum(awake, promise.spare / most), awake)
    work = duty(
        payload, satellite.governor, state.down, orders.shed, orders.tripped, orders.struck, dt,
        awake / satellite.one,
    )  # fmt: skip
    asleep = (awake < 1).astype(orders.shed.dtype)
    return replace(orders, duty=work, shed=jnp.maximum(orders.shed, asleep))


def binding(duty: Duty, share: Each, cool: Each) -> Int[Array, "*sat"]:
    """What binds the work most: faults, then heat's and energy's switches, then the brakes.

    `share` is what energy allows of full work while the computer is up, `cool` what heat allows.
    """
    limit = jnp.where(share < cool, Limit.ENERGY, Limit.HEAT)
    limit = jnp.where(share * cool > 0.999, Limit.NOTHING, limit)
    limit = jnp.where(duty.withheld > 0.5, Limit.ENERGY, limit)
    limit = jnp.where(duty.hot > 0.5, Limit.HEAT, limit)
    return jnp.where(duty.restarting > 0.5, Limit.FAULT, limit).astype(jnp.int32)

"""One step of the twin. Work is always available for now, so each satellite lives alone."""

import jax.numpy as jnp

from twin import books
from twin.arrays import Each, Scalar
from twin.constellation import (
    ARRAY,
    BATTERY,
    BUS,
    CHIP,
    RADIATOR,
    Constellation,
    Limit,
    Sky,
    State,
    by_node,
)  # fmt: skip
from twin.spacecraft.payload import tokens
from twin.spacecraft.power import plan, settle
from twin.tally import Lived, if_alive


def step(constellation: Constellation, state: State, sky: Sky, dt: Scalar) -> tuple[State, Lived]:
    """Earn, work, spend and warm, for one satellite or a fleet.

    Nothing here crosses the satellite axis, which is last: the lines of one satellite take a fleet,
    without the transpositions that `vmap` would bring.
    """
    satellite = constellation.satellites
    battery, payload, body = satellite.battery, satellite.payload, satellite.body
    alive = state.alive & sky.up
    energy, temperature = state.battery_energy, state.temperature

    available = satellite.panels.power(sky.irradiance, temperature[ARRAY])
    ration = payload.ration(energy / battery.capacity)
    idle, swing = payload.idle(), payload.swing() * ration

    def wish(chip: Each) -> tuple[Each, Each]:  # what it would draw, and the slope in K
        share, slope = payload.throttle(chip)
        return idle + swing * share, swing * slope

    promise = plan(
        battery, energy, available, satellite.housekeeping_power, wish(temperature[CHIP])[0],
        idle + swing, dt,
    )  # fmt: skip
    fed = promise.payload_share

    def draw(chip: Each) -> tuple[Each, Each]:
        power, slope = wish(chip)
        return fed * power, fed * slope

    absorbed = {ARRAY: sky.heat_array, BUS: sky.heat_bus, RADIATOR: sky.heat_radiator}
    waste = {
        ARRAY: -promise.extracted,
        BUS: promise.served + state.shunted,
        BATTERY: state.battery_loss,
    }
    temperature_after, heat, stages = body.after(
        temperature, by_node(absorbed), by_node(waste), draw, dt
    )
    owed = stages.work(lambda t: ((1 - fed) * wish(t)[0], (1 - fed) * wish(t)[1]))
    bus = settle(battery, promise, available, heat.payload, owed)
    energy_after = battery.after(energy, bus.charge, bus.discharge, dt)

    cool = stages.work(payload.throttle)
    hot = stages.work(lambda t: _rest(payload.throttle(t)))
    done = tokens(payload, fed * ration, cool, hot)
    limit = jnp.where(fed * ration < cool, Limit.ENERGY, Limit.HEAT)
    limit = jnp.where(fed * ration * cool > 0.999, Limit.NOTHING, limit)

    residuals = books.audit(
        body,
        (energy, temperature),
        (energy_after, temperature_after),
        (bus, heat, done),
        demand=satellite.housekeeping_power + stages.work(wish),
        waiting=state.battery_loss + state.shunted,
        dt=dt,
    )
    lived = Lived(bus, done, fed * ration * cool, limit.astype(jnp.int32), sky.sunlit, residuals)
    after = State(energy_after, temperature_after, bus.loss, bus.shunted, alive, state.ledger)
    return if_alive(alive, after, state, lived)


def _rest(law: tuple[Each, Each]) -> tuple[Each, Each]:
    return 1 - law[0], -law[1]

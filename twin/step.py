"""One step of the twin. Work is always available for now, so each satellite lives alone."""

import jax.numpy as jnp

from twin import books
from twin.arrays import Each, Scalar
from twin.constellation import (
    ARRAY,
    AVIONICS,
    BATTERY,
    BUS,
    CHIP,
    TERMINALS,
    Constellation,
    Sky,
    State,
    by_node,
)  # fmt: skip
from twin.fastmath import settled
from twin.orders import binding, decide, timed
from twin.spacecraft.bus import plan, settle
from twin.spacecraft.payload import tokens, wish
from twin.tally import Lived


def step(
    constellation: Constellation, state: State, sky: Sky, next_wait: Each, dt: Scalar
) -> tuple[State, Lived]:
    """Decide, earn, work, spend and warm, for one satellite or a fleet.

    `next_wait` is the draw for the upset after the next. Nothing here crosses the satellite axis,
    which is last: the lines of one satellite take a fleet, without `vmap`'s transpositions. Nor
    does it ask who has decayed: a record does (`tally.if_alive`), whose numbers are numbers.
    """
    satellite = constellation.satellites
    payload, body, one = satellite.payload, satellite.body, satellite.one
    energy, temperature = state.battery_energy, state.temperature
    cell = temperature[BATTERY]
    battery = satellite.battery.now(energy, cell, one)

    orders = decide(satellite, state, sky, next_wait, dt)
    demand, ration = orders.demand, orders.ration / one
    light = sky.facing(orders.mode)
    available = satellite.panels.supply(sky.sun, light.clear, temperature[ARRAY], light.back)
    duty = settled(one, orders.duty, "up", "draw")

    def asked(chip: Each) -> tuple[Each, Each]:  # by the payload on its duty, and the slope in K
        return wish(payload, satellite.governor, duty, ration, chip)

    now, most = asked(temperature[CHIP])[0], asked(payload.throttle_start)[0]
    promise = plan(battery, demand, orders.shed, energy, cell, available, now, most, dt)
    promise = settled(
        one, promise, "extracted", "survival", "comms", "isl", "payload_share", "room", "wanted",
        "swing",
    )  # fmt: skip
    orders = timed(satellite, state, orders, promise, now, dt)
    duty = settled(one, orders.duty, "up", "draw")
    fed = promise.payload_share
    on = promise.survival / jnp.maximum(demand.survival, 1e-9)
    heating = [on * heat for heat in orders.heat]
    waste = [
        (ARRAY, -promise.extracted),
        (AVIONICS, on * satellite.loads.survival + promise.comms),
        (TERMINALS, promise.isl),
        (BUS, state.shunted),
        (BATTERY, state.battery_loss),
        *zip(satellite.heaters.nodes, heating, strict=True),
    ]
    temperature_after, heat, stages = body.after(
        temperature,
        by_node(body.heat_capacity, zip(satellite.skin.nodes, light.heat, strict=True)),
        by_node(body.heat_capacity, waste),
        lambda chip: _times(fed, asked(chip)),
        dt,
        late=(ARRAY, satellite.still_rising(light, sky.sun, available, promise)),
    )
    owed = stages.work(lambda chip: _times(1 - fed, asked(chip))) + duty.denied
    bus = settle(battery, promise, energy, cell, available, heat.payload, owed)
    bus = settled(one, bus, "charge", "discharge", "loss")
    energy_after = battery.after(energy, cell, bus.charge, bus.discharge, dt)
    least = battery.least(energy, energy_after, promise.swing, dt)

    share, cool = fed * ration / one, stages.work(payload.throttle) / one
    done = tokens(payload, share, cool, stages.work(lambda t: _rest(payload.throttle(t))), duty)
    residuals = books.audit(
        body, (energy, temperature), (energy_after, temperature_after), (bus, heat, done),
        (demand, stages.work(asked) + duty.denied), state.battery_loss + state.shunted, dt,
    )  # fmt: skip
    limit = binding(duty, share, cool)
    lived = Lived(
        bus, done, duty.up * share * cool, limit, sky.sun.mean, least,
        sum(heating, 0 * on), orders, residuals,
    )  # fmt: skip
    after = State(
        energy_after, temperature_after, bus.loss, bus.shunted, state.alive,
        orders.shed, promise.starved, orders.heating, orders.tripped, duty.down,
        orders.hazard_left, state.upsets + orders.struck.astype(jnp.int32), state.ledger,
    )  # fmt: skip
    return after, lived


def _times(share: Each, law: tuple[Each, Each]) -> tuple[Each, Each]:
    return share * law[0], share * law[1]


def _rest(law: tuple[Each, Each]) -> tuple[Each, Each]:
    return 1 - law[0], -law[1]

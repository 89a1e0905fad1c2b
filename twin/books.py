"""The books: each flow was booked once, now they must balance, per satellite and per step.

Residuals are relative to what flowed through the account in question, so that a small flow cannot
hide behind a large one; the floor keeps an account at rest from dividing rounding by nothing.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.constants import STEFAN_BOLTZMANN
from twin.spacecraft.payload import TokenFlows
from twin.spacecraft.power import BusFlows
from twin.spacecraft.thermal import SPACE, HeatFlows, Network

FLOOR = 1.0  # W
TOLERANCE = 1e-6  # a run whose books are open by more than this has failed


class Residuals(eqx.Module):
    """Largest imbalance of the accounts of each book, relative to the account's throughput."""

    energy: Float[Array, "*sat"]
    heat: Float[Array, "*sat"]
    tokens: Float[Array, "*sat"]
    heat_truncation: Float[Array, "*sat"]  # radiation as booked against finely integrated


def audit(
    body: Network,
    before: tuple[Each, Float[Array, "node *sat"]],
    after: tuple[Each, Float[Array, "node *sat"]],
    flows: tuple[BusFlows, HeatFlows, TokenFlows],
    demand: Each,
    waiting: Each,
    dt: Scalar,
) -> Residuals:
    """All books of one step. `before` and `after` are battery energy and temperatures.

    `demand` is what the loads asked for, `waiting` are the losses of the step before.
    """
    (energy, temperature), (energy_after, temperature_after) = before, after
    bus, heat, done = flows
    power = energy_residual(bus, energy, energy_after, demand, dt)
    return Residuals(
        energy=jnp.maximum(power, crossing_residual(heat, bus, waiting)),
        heat=heat_residual(body, heat, temperature, temperature_after, dt),
        tokens=tokens_residual(done),
        heat_truncation=truncation(body, heat, temperature, temperature_after),
    )


def energy_residual(
    flows: BusFlows, energy: Each, energy_after: Each, demand: Each, dt: Scalar
) -> Each:
    """The array, the battery, the bus and the loads' demand: four accounts."""
    array = _open(flows.available - flows.extracted - flows.curtailed, flows.available)
    stored = (energy_after - energy) / dt
    battery = _open(
        stored - (flows.charge - flows.discharge - flows.loss), flows.charge + flows.discharge
    )
    served = flows.housekeeping + flows.payload
    bus = _open(
        (flows.extracted - served) - (flows.charge + flows.shunted - flows.discharge),
        flows.charge + flows.discharge + flows.shunted,
    )
    loads = _open(demand - served - flows.unserved, demand)
    return jnp.maximum(jnp.maximum(array, battery), jnp.maximum(bus, loads))


def heat_residual(
    body: Network,
    flows: HeatFlows,
    temperature: Float[Array, "node *sat"],
    temperature_after: Float[Array, "node *sat"],
    dt: Scalar,
) -> Each:
    """One account per node: what came in, less what left, is what warmed it."""
    gained = body.heat_capacity * (temperature_after - temperature) / dt
    net = list(flows.absorbed + flows.generated - flows.emitted - gained)
    size = list(jnp.abs(flows.absorbed) + jnp.abs(flows.generated) + jnp.abs(flows.emitted))
    net[body.chip] = net[body.chip] + flows.payload
    size[body.chip] = size[body.chip] + flows.payload
    for flow, (i, j) in zip(flows.conducted, body.links, strict=True):
        net[i], net[j] = net[i] - flow, net[j] + flow
        size[i], size[j] = size[i] + jnp.abs(flow), size[j] + jnp.abs(flow)
    worst = jnp.zeros_like(flows.payload)
    for imbalance, through in zip(net, size, strict=True):
        worst = jnp.maximum(worst, _open(imbalance, 0.5 * through))
    return worst


def crossing_residual(heat: HeatFlows, bus: BusFlows, waiting: Each) -> Each:
    """Between the books: electricity that became heat is the same number in both.

    `waiting` are the losses of the step before, which warm this one.
    """
    as_heat = sum(heat.generated, heat.payload) + bus.extracted
    as_power = bus.housekeeping + bus.payload + waiting
    return _open(as_heat - as_power, as_power)


def tokens_residual(flows: TokenFlows) -> Each:
    """What was on offer was done, or lost to energy, or lost to heat."""
    gone = flows.done + flows.lost_to_energy + flows.lost_to_heat
    return jnp.abs(flows.offered - gone) / jnp.maximum(flows.offered, 1e-9)


def truncation(
    body: Network,
    flows: HeatFlows,
    temperature: Float[Array, "node *sat"],
    temperature_after: Float[Array, "node *sat"],
) -> Each:
    """Booked radiation against Simpson's rule over the step: an error of method, not of books."""
    worst = jnp.zeros_like(flows.payload)
    for booked, area, t, t_after in zip(
        flows.emitted, body.emitting_area, temperature, temperature_after, strict=True
    ):
        fourth = t**4 + 4 * (0.5 * (t + t_after)) ** 4 + t_after**4
        fine = STEFAN_BOLTZMANN * area * (fourth / 6 - SPACE)
        worst = jnp.maximum(worst, jnp.abs(booked - fine) / jnp.maximum(fine, FLOOR))
    return worst


def _open(imbalance: Each, throughput: Each) -> Each:
    return jnp.abs(imbalance) / jnp.maximum(throughput, FLOOR)

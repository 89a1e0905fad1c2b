"""The books: each flow was booked once, now they must balance, per satellite and per step.

Residuals are relative to what flowed through the account in question, so that a small flow cannot
hide behind a large one; the floor keeps an account at rest from dividing rounding by nothing.
"""

from collections.abc import Iterable
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twin.arrays import Each, Rows, Scalar
from twin.constants import STEFAN_BOLTZMANN
from twin.spacecraft.bus import BusFlows, Demand
from twin.spacecraft.payload import TokenFlows
from twin.spacecraft.thermal import SPACE, HeatFlows, Network

Bits = Int[Array, "*sat"]
FLOOR = 1.0  # W, or tokens a second
TOLERANCE = 1e-6  # a run whose books are open by more than this has failed


class Residuals(eqx.Module):
    """Largest imbalance of the accounts of each book, relative to the account's throughput."""

    energy: Float[Array, "*sat"]
    heat: Float[Array, "*sat"]
    tokens: Float[Array, "*sat"]
    heat_truncation: Float[Array, "*sat"]  # radiation as booked against finely integrated


def audit(
    body: Network,
    before: tuple[Each, Rows],
    after: tuple[Each, Rows],
    flows: tuple[BusFlows, HeatFlows, TokenFlows],
    demands: tuple[Demand, Each],
    waiting: Each,
    dt: Scalar,
) -> Residuals:
    """All books of one step. `before` and `after` are battery energy and temperatures.

    `demands` is what the consumers asked for, the payload last; `waiting` are the losses of the
    step before.
    """
    (energy, temperature), (energy_after, temperature_after) = before, after
    bus, heat, done = flows
    power = energy_residual(bus, energy, energy_after, demands, dt)
    found = Residuals(
        energy=jnp.maximum(power, crossing_residual(heat, bus, waiting)),
        heat=heat_residual(body, heat, temperature, temperature_after, dt),
        tokens=tokens_residual(done),
        heat_truncation=truncation(body, heat, temperature, temperature_after),
    )
    return jax.lax.stop_gradient(found)  # an audit is no quantity: a third of a reverse pass


def energy_residual(
    flows: BusFlows, energy: Each, energy_after: Each, demands: tuple[Demand, Each], dt: Scalar
) -> Each:
    """The array, the battery, the bus and each consumer's demand: seven accounts."""
    array = _open(flows.available - flows.extracted - flows.curtailed, flows.available)
    stored = (energy_after - energy) / dt
    battery = _open(
        stored - (flows.charge - flows.discharge - flows.loss), flows.charge + flows.discharge
    )
    served = flows.survival + flows.comms + flows.isl + flows.payload
    bus = _open(
        (flows.extracted - served) - (flows.charge + flows.shunted - flows.discharge),
        flows.charge + flows.discharge + flows.shunted,
    )
    others, payload = demands
    consumers = (
        (others.survival, flows.survival, flows.unserved_survival),
        (others.comms, flows.comms, flows.unserved_comms),
        (others.isl, flows.isl, flows.unserved_isl),
        (payload, flows.payload, flows.unserved_payload),
    )
    demand = [_open(asked - got - owed, asked) for asked, got, owed in consumers]
    return _worst([array, battery, bus, *demand], energy)


def heat_residual(
    body: Network,
    flows: HeatFlows,
    temperature: Rows,
    temperature_after: Rows,
    dt: Scalar,
) -> Each:
    """One account per node: what came in, less what left, is what warmed it.

    Where a fluid runs, one account more: it carries heat about and makes none.
    """
    net, size, often = [], [], 1 / dt
    for mass, t, t_after, absorbed, generated in zip(
        body.masses(), temperature, temperature_after, flows.absorbed, flows.generated, strict=True
    ):
        net.append(absorbed + generated - mass * often * (t_after - t))
        size.append(jnp.abs(absorbed) + jnp.abs(generated))
    for n, _ in body.faces():
        net[n], size[n] = net[n] - flows.emitted[n], size[n] + jnp.abs(flows.emitted[n])
    net[body.chip] = net[body.chip] + flows.payload
    size[body.chip] = size[body.chip] + flows.payload
    for flow, (i, j) in zip(flows.between(), body.links + body.pairs, strict=True):
        net[i], net[j] = net[i] - flow, net[j] + flow
        size[i], size[j] = size[i] + jnp.abs(flow), size[j] + jnp.abs(flow)
    for flow, (_, down) in zip(flows.carried, body.pipes, strict=True):
        net[down], size[down] = net[down] + flow, size[down] + jnp.abs(flow)
    if body.pipes:
        net.append(sum(flows.carried, jnp.zeros_like(flows.payload)))
        size.append(sum(map(jnp.abs, flows.carried), jnp.zeros_like(flows.payload)))
    return _worst(map(_open, net, (0.5 * through for through in size)), flows.payload)


def crossing_residual(heat: HeatFlows, bus: BusFlows, waiting: Each) -> Each:
    """Between the books: electricity that became heat is the same number in both.

    `waiting` are the losses of the step before, which warm this one.
    """
    as_heat = sum(heat.generated, heat.payload) + bus.extracted
    as_power = bus.survival + bus.comms + bus.isl + bus.payload + waiting
    return _worst([_open(as_heat - as_power, as_power)], as_power)


def tokens_residual(flows: TokenFlows) -> Each:
    """What was on offer was done, or lost to energy, to heat or to faults."""
    gone = flows.done + flows.lost_to_energy + flows.lost_to_heat + flows.lost_to_fault
    return _worst([_open(flows.offered - gone, flows.offered)], gone)


def truncation(
    body: Network,
    flows: HeatFlows,
    temperature: Rows,
    temperature_after: Rows,
) -> Each:
    """Booked radiation against that of a straight line of temperature: an error of method.

    It is not an error of books: summed over the nodes, relative to all that the satellite
    radiates. The mean of T⁴ along a line is m⁴ + 2 m² h² + h⁴/5, with its middle m and half its
    length h. Arithmetic nodes are left out: they jump when sunlight comes, so the ends of a step
    tell nothing of its inside.
    """
    wrong = whole = jnp.zeros_like(flows.payload)
    for n, area in body.faces():
        if n in body.arithmetic:
            continue
        middle = 0.5 * (temperature[n] + temperature_after[n])
        half = 0.5 * (temperature_after[n] - temperature[n])
        m, h = middle * middle, half * half
        fine = STEFAN_BOLTZMANN * area * (m * m + 2 * m * h + 0.2 * h * h - SPACE)
        wrong, whole = wrong + jnp.abs(flows.emitted[n] - fine), whole + fine
    return _worst([_open(wrong, whole)], whole)


def _open(imbalance: Each, throughput: Each) -> Bits:
    """How open an account is, relative to what flowed through it.

    In single precision, since only the size matters, and as the bits of a number without sign:
    these order as whole numbers do, NaN above all. A maximum of whole numbers is one instruction,
    one of numbers that may be NaN takes five, and an audit takes thirty.
    """
    least = jnp.maximum(_bits(throughput.astype(jnp.float32)), _bits(jnp.float32(FLOOR)))
    share = imbalance.astype(jnp.float32) / jax.lax.bitcast_convert_type(least, jnp.float32)
    return _bits(jnp.abs(share))


def _bits(number: Array) -> Bits:
    return jax.lax.bitcast_convert_type(number, jnp.int32)


def _worst(accounts: Iterable[Bits], like: Each) -> Each:
    """The largest of what `_open` found, as a number again."""
    worst = reduce(jnp.maximum, accounts)
    return jax.lax.bitcast_convert_type(worst, jnp.float32).astype(like.dtype)

"""From steps to records: means, extremes, totals, so that nothing of size fleet × step is kept."""

from dataclasses import replace
from operator import add

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Each, Scalar
from twin.books import Residuals
from twin.constellation import (
    BATTERY,
    CHIP,
    CONSUMERS,
    Ledger,
    Limit,
    Moment,
    Satellite,
    State,
    Telemetry,
)  # fmt: skip
from twin.orders import Orders
from twin.spacecraft.bus import BusFlows
from twin.spacecraft.payload import TokenFlows

LEVELS = 3  # of load shedding


class Lived(eqx.Module):
    """What one step leaves behind besides the new state."""

    bus: BusFlows
    tokens: TokenFlows
    allowed: Float[Array, "*sat"]  # share of full work
    limit: Int[Array, "*sat"]
    sunlit: Float[Array, "*sat"]
    battery_least: Float[Array, "*sat"]  # J, within the step
    heating: Float[Array, "*sat"]  # W that the heaters got
    orders: Orders
    residuals: Residuals


class Tally(eqx.Module):
    """Sums over the steps of one record, and extremes within it."""

    alive: Float[Array, "*sat"]  # steps
    sunlit: Float[Array, "*sat"]
    panel_power: Float[Array, "*sat"]
    curtailed_power: Float[Array, "*sat"]
    bus_power: Float[Array, "*sat"]
    payload_power: Float[Array, "*sat"]
    heater_power: Float[Array, "*sat"]
    unserved_power: tuple[Each, ...]  # by consumer
    throttle: Float[Array, "*sat"]
    tokens_rate: Float[Array, "*sat"]
    lost_to_energy: Float[Array, "*sat"]
    lost_to_heat: Float[Array, "*sat"]
    lost_to_fault: Float[Array, "*sat"]
    limited: tuple[Each, ...]  # steps, in the order of Limit
    shed: tuple[Each, ...]  # steps at level 1 or above, at 2 or 3, at 3
    down: Float[Array, "*sat"]
    struck: Float[Array, "*sat"]
    limit: Int[Array, "*sat"]
    mode: Int[Array, "*sat"]
    battery_least: Float[Array, "*sat"]
    chip_hottest: Float[Array, "*sat"]
    cell_hottest: Float[Array, "*sat"]
    cell_coldest: Float[Array, "*sat"]
    eclipse_now: Float[Array, "*sat"]
    eclipse_longest: Float[Array, "*sat"]
    residuals: Residuals

    def plus(self, lived: Lived, state: State, dt: Scalar) -> "Tally":
        """The tally after one more step."""
        bus, orders = lived.bus, lived.orders
        cell = state.temperature[BATTERY]
        dark = (1.0 - lived.sunlit) * dt
        owed = [getattr(bus, f"unserved_{name}") for name in CONSUMERS]
        eclipse = jnp.where(dark > 0, self.eclipse_now + dark, 0.0)
        return Tally(
            alive=self.alive + 1.0,
            sunlit=self.sunlit + lived.sunlit,
            panel_power=self.panel_power + bus.extracted,
            curtailed_power=self.curtailed_power + bus.curtailed,
            bus_power=self.bus_power + (bus.survival + bus.comms + bus.isl),
            payload_power=self.payload_power + bus.payload,
            heater_power=self.heater_power + lived.heating,
            unserved_power=tuple(map(add, self.unserved_power, owed)),
            throttle=self.throttle + lived.allowed,
            tokens_rate=self.tokens_rate + lived.tokens.done,
            lost_to_energy=self.lost_to_energy + lived.tokens.lost_to_energy,
            lost_to_heat=self.lost_to_heat + lived.tokens.lost_to_heat,
            lost_to_fault=self.lost_to_fault + lived.tokens.lost_to_fault,
            limited=_counted(self.limited, [lived.limit == kind for kind in Limit]),
            shed=(
                self.shed[0] + orders.duty.withheld,
                *_counted(self.shed[1:], [orders.shed > level for level in range(1, LEVELS)]),
            ),
            down=self.down + orders.duty.restarting,
            struck=self.struck + orders.struck.astype(self.struck.dtype),
            limit=lived.limit,
            mode=orders.mode,
            battery_least=jnp.minimum(self.battery_least, lived.battery_least),
            chip_hottest=jnp.maximum(self.chip_hottest, state.temperature[CHIP]),
            cell_hottest=jnp.maximum(self.cell_hottest, cell),
            cell_coldest=jnp.minimum(self.cell_coldest, cell),
            eclipse_now=eclipse,
            eclipse_longest=jnp.maximum(self.eclipse_longest, eclipse),
            residuals=jax.tree.map(jnp.maximum, self.residuals, lived.residuals),
        )


def _counted(sums: tuple[Each, ...], now: list[Bool[Array, "*sat"]]) -> tuple[Each, ...]:
    return tuple(total + x.astype(total.dtype) for total, x in zip(sums, now, strict=True))


def empty(state: State) -> Tally:
    """A tally of no steps yet."""
    zero = jnp.zeros_like(state.battery_energy)
    none = jnp.zeros(zero.shape, jnp.int32)
    own = {
        "limit": none,
        "mode": none,
        "battery_least": zero + jnp.inf,
        "cell_coldest": zero + jnp.inf,
        "eclipse_now": state.ledger.eclipse_now,
        "limited": (zero,) * len(Limit),
        "shed": (zero,) * LEVELS,
        "unserved_power": (zero,) * len(CONSUMERS),
        "residuals": Residuals(zero, zero, zero, zero),
    }
    return Tally(**{name: own.get(name, zero) for name in Tally.__dataclass_fields__})


def telemetry(tally: Tally, state: State, last: Moment, steps: int) -> Telemetry:
    """The record: means of rates and powers, ends of states."""
    return Telemetry(
        position=jnp.stack(last.position),
        velocity=jnp.stack(last.velocity),
        sunlit=tally.sunlit / steps,
        panel_power=tally.panel_power / steps,
        curtailed_power=tally.curtailed_power / steps,
        battery_energy=state.battery_energy,
        bus_power=tally.bus_power / steps,
        payload_power=tally.payload_power / steps,
        unserved_power=sum(tally.unserved_power, 0 * tally.alive) / steps,
        temperature=jnp.asarray(state.temperature),
        throttle=tally.throttle / steps,
        tokens_rate=tally.tokens_rate / steps,
        limit=tally.limit,
        shed=state.shed,
        mode=tally.mode,
        alive=state.alive,
    )


def entered(ledger: Ledger, tally: Tally, offered: Each, dt: Scalar) -> Ledger:
    """The ledger with one more record entered; `offered` is the rate of tokens on offer (1/s)."""
    worst = tally.residuals
    return Ledger(
        panel_energy=ledger.panel_energy + tally.panel_power * dt,
        curtailed_energy=ledger.curtailed_energy + tally.curtailed_power * dt,
        payload_energy=ledger.payload_energy + tally.payload_power * dt,
        housekeeping_energy=ledger.housekeeping_energy + tally.bus_power * dt,
        heater_energy=ledger.heater_energy + tally.heater_power * dt,
        unserved_energy=ledger.unserved_energy + jnp.stack(tally.unserved_power) * dt,
        sunlit_time=ledger.sunlit_time + tally.sunlit * dt,
        eclipse_now=tally.eclipse_now,
        eclipse_longest=jnp.maximum(ledger.eclipse_longest, tally.eclipse_longest),
        alive_time=ledger.alive_time + tally.alive * dt,
        time_shed=ledger.time_shed + jnp.stack(tally.shed) * dt,
        time_down=ledger.time_down + tally.down * dt,
        resets=ledger.resets + tally.struck,
        tokens=ledger.tokens + tally.tokens_rate * dt,
        tokens_offered=ledger.tokens_offered + offered * tally.alive * dt,
        tokens_lost_to_energy=ledger.tokens_lost_to_energy + tally.lost_to_energy * dt,
        tokens_lost_to_heat=ledger.tokens_lost_to_heat + tally.lost_to_heat * dt,
        tokens_lost_to_fault=ledger.tokens_lost_to_fault + tally.lost_to_fault * dt,
        time_limited=ledger.time_limited + jnp.stack(tally.limited) * dt,
        battery_least=jnp.minimum(ledger.battery_least, tally.battery_least),
        chip_hottest=jnp.maximum(ledger.chip_hottest, tally.chip_hottest),
        cell_hottest=jnp.maximum(ledger.cell_hottest, tally.cell_hottest),
        cell_coldest=jnp.minimum(ledger.cell_coldest, tally.cell_coldest),
        energy_residual=jnp.maximum(ledger.energy_residual, worst.energy),
        heat_residual=jnp.maximum(ledger.heat_residual, worst.heat),
        tokens_residual=jnp.maximum(ledger.tokens_residual, worst.tokens),
        heat_truncation=jnp.maximum(ledger.heat_truncation, worst.heat_truncation),
    )


def closed(satellite: Satellite, state: State, tally: Tally, dt: Scalar) -> State:
    """The state at the end of a record, its ledger up to date."""
    ledger = entered(state.ledger, tally, satellite.payload.offered(), dt)
    return eqx.tree_at(lambda s: s.ledger, state, ledger)


def opened(battery_energy: Float[Array, "sat"], temperature: Float[Array, "node sat"]) -> Ledger:
    """A ledger at the start of a run."""
    zero = jnp.zeros_like(battery_energy)
    totals = {name: zero for name in Ledger.__dataclass_fields__}
    return Ledger(
        **totals
        | {
            "unserved_energy": jnp.zeros((len(CONSUMERS), zero.size)),
            "time_shed": jnp.zeros((LEVELS, zero.size)),
            "time_limited": jnp.zeros((len(Limit), zero.size)),
            "battery_least": battery_energy,
            "chip_hottest": temperature[CHIP],
            "cell_hottest": temperature[BATTERY],
            "cell_coldest": temperature[BATTERY],
        }
    )


def if_alive(
    up: Bool[Array, "*sat"], before: State, after: State, tally: Tally, steps: int
) -> tuple[State, Tally]:
    """A decayed satellite keeps its last state, works no more, and counts as a fault.

    `up` says whose orbit stays in its domain during the record. Asked of a whole record, since in
    each step it would take a choice for every number.
    """
    alive = before.alive & up
    cell, none = before.temperature[BATTERY], empty(before)
    gone = replace(
        none,
        limit=jnp.full_like(none.limit, Limit.FAULT),
        limited=tuple(
            x + steps * (kind == Limit.FAULT) for x, kind in zip(none.limited, Limit, strict=True)
        ),
        battery_least=before.battery_energy,
        chip_hottest=before.temperature[CHIP],
        cell_hottest=cell,
        cell_coldest=cell,
        eclipse_now=jnp.zeros_like(cell),
    )
    state, tally = jax.tree.map(
        lambda here, not_here: jnp.where(alive, here, not_here), (after, tally), (before, gone)
    )
    return replace(state, alive=alive), tally

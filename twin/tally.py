"""From steps to records: means, extremes, totals, so that nothing of size fleet × step is kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Scalar
from twin.books import Residuals
from twin.constellation import BATTERY, CHIP, Forcing, Ledger, Limit, State, Telemetry
from twin.spacecraft.payload import TokenFlows
from twin.spacecraft.power import BusFlows


class Lived(eqx.Module):
    """What one step leaves behind besides the new state."""

    bus: BusFlows
    tokens: TokenFlows
    allowed: Float[Array, "*sat"]  # share of full work
    limit: Int[Array, "*sat"]
    sunlit: Float[Array, "*sat"]
    residuals: Residuals


class Tally(eqx.Module):
    """Sums over the steps of one record, and extremes within it."""

    sunlit: Float[Array, "*sat"]
    panel_power: Float[Array, "*sat"]
    curtailed_power: Float[Array, "*sat"]
    bus_power: Float[Array, "*sat"]
    payload_power: Float[Array, "*sat"]
    unserved_power: Float[Array, "*sat"]
    throttle: Float[Array, "*sat"]
    tokens_rate: Float[Array, "*sat"]
    offered: Float[Array, "*sat"]
    lost_to_energy: Float[Array, "*sat"]
    lost_to_heat: Float[Array, "*sat"]
    limited: Float[Array, "limit *sat"]
    limit: Int[Array, "*sat"]
    battery_least: Float[Array, "*sat"]
    chip_hottest: Float[Array, "*sat"]
    cell_hottest: Float[Array, "*sat"]
    eclipse_now: Float[Array, "*sat"]
    eclipse_longest: Float[Array, "*sat"]
    residuals: Residuals

    def plus(self, lived: Lived, state: State, dt: Scalar) -> "Tally":
        """The tally after one more step."""
        kinds = jnp.arange(len(Limit), dtype=jnp.int32)[:, None]
        dark = jnp.where(lived.limit == Limit.FAULT, 0.0, 1.0 - lived.sunlit) * dt
        eclipse = jnp.where(dark > 0, self.eclipse_now + dark, 0.0)
        return Tally(
            sunlit=self.sunlit + lived.sunlit,
            panel_power=self.panel_power + lived.bus.extracted,
            curtailed_power=self.curtailed_power + lived.bus.curtailed,
            bus_power=self.bus_power + lived.bus.housekeeping,
            payload_power=self.payload_power + lived.bus.payload,
            unserved_power=self.unserved_power + lived.bus.unserved,
            throttle=self.throttle + lived.allowed,
            tokens_rate=self.tokens_rate + lived.tokens.done,
            offered=self.offered + lived.tokens.offered,
            lost_to_energy=self.lost_to_energy + lived.tokens.lost_to_energy,
            lost_to_heat=self.lost_to_heat + lived.tokens.lost_to_heat,
            limited=self.limited + (lived.limit[None] == kinds).astype(self.limited.dtype),
            limit=lived.limit,
            battery_least=jnp.minimum(self.battery_least, state.battery_energy),
            chip_hottest=jnp.maximum(self.chip_hottest, state.temperature[CHIP]),
            cell_hottest=jnp.maximum(self.cell_hottest, state.temperature[BATTERY]),
            eclipse_now=eclipse,
            eclipse_longest=jnp.maximum(self.eclipse_longest, eclipse),
            residuals=jax.tree.map(jnp.maximum, self.residuals, lived.residuals),
        )


def empty(state: State) -> Tally:
    """A tally of no steps yet."""
    zero = jnp.zeros_like(state.battery_energy)
    sums = {f: zero for f in Tally.__dataclass_fields__ if f not in ("residuals", "limited")}
    return Tally(
        **sums
        | {
            "limit": jnp.zeros(zero.shape, jnp.int32),
            "battery_least": zero + jnp.inf,
            "eclipse_now": state.ledger.eclipse_now,
        },
        limited=jnp.zeros((len(Limit), zero.size)),
        residuals=Residuals(zero, zero, zero, zero),
    )


def telemetry(tally: Tally, state: State, sky: Forcing, steps: int) -> Telemetry:
    """The record: means of rates and powers, ends of states."""
    return Telemetry(
        position=sky.position,
        velocity=sky.velocity,
        sunlit=tally.sunlit / steps,
        panel_power=tally.panel_power / steps,
        curtailed_power=tally.curtailed_power / steps,
        battery_energy=state.battery_energy,
        bus_power=tally.bus_power / steps,
        payload_power=tally.payload_power / steps,
        unserved_power=tally.unserved_power / steps,
        temperature=state.temperature,
        throttle=tally.throttle / steps,
        tokens_rate=tally.tokens_rate / steps,
        limit=tally.limit,
        alive=state.alive,
    )


def entered(ledger: Ledger, tally: Tally, dt: Scalar) -> Ledger:
    """The ledger with one more record entered."""
    steps = jnp.sum(tally.limited, axis=0)
    worst = tally.residuals
    return Ledger(
        panel_energy=ledger.panel_energy + tally.panel_power * dt,
        curtailed_energy=ledger.curtailed_energy + tally.curtailed_power * dt,
        payload_energy=ledger.payload_energy + tally.payload_power * dt,
        housekeeping_energy=ledger.housekeeping_energy + tally.bus_power * dt,
        unserved_energy=ledger.unserved_energy + tally.unserved_power * dt,
        sunlit_time=ledger.sunlit_time + tally.sunlit * dt,
        eclipse_now=tally.eclipse_now,
        eclipse_longest=jnp.maximum(ledger.eclipse_longest, tally.eclipse_longest),
        alive_time=ledger.alive_time + (steps - tally.limited[Limit.FAULT]) * dt,
        tokens=ledger.tokens + tally.tokens_rate * dt,
        tokens_offered=ledger.tokens_offered + tally.offered * dt,
        tokens_lost_to_energy=ledger.tokens_lost_to_energy + tally.lost_to_energy * dt,
        tokens_lost_to_heat=ledger.tokens_lost_to_heat + tally.lost_to_heat * dt,
        time_limited=ledger.time_limited + tally.limited * dt,
        battery_least=jnp.minimum(ledger.battery_least, tally.battery_least),
        chip_hottest=jnp.maximum(ledger.chip_hottest, tally.chip_hottest),
        cell_hottest=jnp.maximum(ledger.cell_hottest, tally.cell_hottest),
        energy_residual=jnp.maximum(ledger.energy_residual, worst.energy),
        heat_residual=jnp.maximum(ledger.heat_residual, worst.heat),
        tokens_residual=jnp.maximum(ledger.tokens_residual, worst.tokens),
        heat_truncation=jnp.maximum(ledger.heat_truncation, worst.heat_truncation),
    )


def closed(state: State, tally: Tally, dt: Scalar) -> State:
    """The state at the end of a record, its ledger up to date."""
    ledger = entered(state.ledger, tally, dt)
    return eqx.tree_at(lambda s: s.ledger, state, ledger)


def opened(battery_energy: Float[Array, "sat"], temperature: Float[Array, "node sat"]) -> Ledger:
    """A ledger at the start of a run."""
    zero = jnp.zeros_like(battery_energy)
    totals = {name: zero for name in Ledger.__dataclass_fields__}
    return Ledger(
        **totals
        | {
            "time_limited": jnp.zeros((len(Limit), zero.size)),
            "battery_least": battery_energy,
            "chip_hottest": temperature[CHIP],
            "cell_hottest": temperature[BATTERY],
        }
    )


def if_alive(alive: Bool[Array, "*sat"], after: State, before: State, lived: Lived) -> tuple:
    """A decayed satellite keeps its last state, works no more, and counts as a fault."""
    state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), after, before)
    lived = jax.tree.map(lambda x: jnp.where(alive, x, jnp.zeros_like(x)), lived)
    limit = jnp.where(alive, lived.limit, Limit.FAULT)
    state = eqx.tree_at(lambda s: s.alive, state, alive)
    return state, eqx.tree_at(lambda x: x.limit, lived, limit)

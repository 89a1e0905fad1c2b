"""The computer: what it draws and what it makes, between idle and full, hot and hungry."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each


class Payload(eqx.Module):
    """Several equal devices at one operating point of a measured or published profile.

    Two brakes act on the work: the chip's temperature (`throttle_start` to `throttle_full`) and the
    battery's charge (`reserve` plus `reserve_band` down to `reserve`). Both are smooth: a cubic
    between none and all, an assumption that stands for the governor of the device and the rule of
    the operator. Power between idle and full is linear in the work: assumed until measured, and
    said so in every profile.

    Source: for the numbers, the payload profile (assets/schemas/profile-1.json), which cites its
    own; for the two brakes and the linear power, none: they are assumptions of this twin.
    """

    devices: Float[Array, "*sat"]
    idle_power: Float[Array, "*sat"]  # W, one device
    full_power: Float[Array, "*sat"]  # W, one device at the operating point and under its cap
    tokens_rate: Float[Array, "*sat"]  # 1/s, one device at that point; 0 for a training payload
    throttle_start: Float[Array, "*sat"]  # K
    throttle_full: Float[Array, "*sat"]  # K
    reserve: Float[Array, "*sat"]  # share of the capacity kept for the bus
    reserve_band: Float[Array, "*sat"]

    def throttle(self, temperature: Each) -> tuple[Each, Each]:
        """Share of the full rate that the chip's temperature allows (1…0), and its slope (1/K)."""
        width = self.throttle_full - self.throttle_start
        x = jnp.clip((temperature - self.throttle_start) / width, 0.0, 1.0)
        return 1 - x * x * (3 - 2 * x), -6 * x * (1 - x) / width

    def ration(self, charge: Each) -> Each:
        """Share of the full rate that the state of charge (0…1) allows."""
        x = jnp.clip((charge - self.reserve) / self.reserve_band, 0.0, 1.0)
        return x * x * (3 - 2 * x)

    def idle(self) -> Each:
        """Draw of all devices at rest (W)."""
        return self.devices * self.idle_power

    def swing(self) -> Each:
        """Draw of all devices at full work, above idle (W)."""
        return self.devices * (self.full_power - self.idle_power)


class TokenFlows(eqx.Module):
    """Mean token rates over one step (1/s): what was on offer, and where it went."""

    offered: Float[Array, "*sat"]
    done: Float[Array, "*sat"]
    lost_to_energy: Float[Array, "*sat"]
    lost_to_heat: Float[Array, "*sat"]


def tokens(payload: Payload, fed: Each, cool: Each, hot: Each) -> TokenFlows:
    """Book the tokens of a step.

    `fed` is the share that energy allows, `cool` the mean share that heat allows and `hot` the mean
    share that heat denies; the last two come from the thermal step's own weights, separately.
    """
    offered = payload.devices * payload.tokens_rate
    return TokenFlows(
        offered=offered,
        done=offered * fed * cool,
        lost_to_energy=offered * (1 - fed),
        lost_to_heat=offered * fed * hot,
    )

"""The computer: what it draws and what it makes, between idle and full, hot and hungry, up or down.

`Payload` is the operating point and its two smooth brakes; `Governor` is how the device moves
between power states. A step asks `duty` for how long the computer is up, `wish` for what it would
draw, and `tokens` for where the work went.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Each, Scalar

SHUTDOWN_MARGIN = 10.0  # K above `throttle_full`: where the device turns itself off. Assumed
RESUME_MARGIN = 10.0  # K below `throttle_start`: where it is turned on again. Assumed
STEEPEST = 0.95  # largest curvature: the idle end keeps a slope, so the law can be inverted


class Payload(eqx.Module):
    """Several equal devices at one operating point of a measured or published profile.

    Two brakes act on the work: the chip's temperature (`throttle_start` to `throttle_full`) and the
    battery's charge (`reserve` plus `reserve_band` down to `reserve`). Both are smooth: a cubic
    between none and all, an assumption that stands for the governor of the device and the rule of
    the operator.

    Source: for the numbers, the payload profile (assets/schemas/profile-1.json), which cites its
    own; for the two brakes, none: they are assumptions of this twin.
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

    def offered(self) -> Each:
        """Output tokens a second that all devices could make."""
        return self.devices * self.tokens_rate

    def swing(self) -> Each:
        """Draw of all devices at full work, above idle (W)."""
        return self.devices * (self.full_power - self.idle_power)


class Governor(eqx.Module):
    """How a device saves power and how it starts again.

    Between idle and full it lowers its clock and with it the voltage: the part of the power that
    follows f V² falls with the cube of the work, the part that belongs to memory and to waiting
    falls in proportion. `curvature` is the share of the first. A profile may carry measured points
    to which it is fitted; without them it is assumed, and the profile's numbers say so. A real
    device has a lowest clock and finite steps, which are left out.

    Above `shutdown` the device turns itself off, and stays off until it is below `resume`.

    Source: for f V², Rabaey, Chandrakasan & Nikolic, Digital Integrated Circuits (2003), 5.5. For
    the numbers, the payload profile; for `shutdown` and `resume`, none: they are assumptions.
    """

    curvature: Float[Array, "*sat"]  # 0 (proportional) to STEEPEST
    shutdown: Float[Array, "*sat"]  # K, chip
    resume: Float[Array, "*sat"]  # K, chip
    sleep_power: Float[Array, "*sat"]  # W, one device asleep with the model in memory
    wake: Float[Array, "*sat"]  # s, from asleep to working
    restart: Float[Array, "*sat"]  # s, from off or upset to working: boot and load of the model

    def draw(self, work: Each) -> tuple[Each, Each]:
        """Power between idle (0) and full (1) at a share of the full rate (0…1), and its slope."""
        square = work * work
        straight = 1 - self.curvature
        return work * (straight + self.curvature * square), straight + 3 * self.curvature * square

    def tripped(self, was: Bool[Array, "*sat"], temperature: Each) -> Bool[Array, "*sat"]:
        """Whether heat keeps the device off, from whether it did before and the chip's heat now.

        Between `resume` and `shutdown` it stays as it was. `resume` must lie below `shutdown`.
        """
        return jnp.where(was, temperature >= self.resume, temperature > self.shutdown)


class Duty(eqx.Module):
    """How the computer spends a step: four shares that make one, each by its own formula."""

    up: Float[Array, "*sat"]  # working, as far as energy and heat allow
    restarting: Float[Array, "*sat"]  # powered, and waking, booting or loading
    withheld: Float[Array, "*sat"]  # put to sleep or off by the bus
    hot: Float[Array, "*sat"]  # off by its own heat
    draw: Float[Array, "*sat"]  # W, all devices, over the step and without any work
    denied: Float[Array, "*sat"]  # W by which the bus keeps that below idle
    down: Float[Array, "*sat"]  # s of powered time until it works, at the step's end


def duty(
    payload: Payload,
    governor: Governor,
    down: Each,
    shed: Int[Array, "*sat"],
    tripped: Bool[Array, "*sat"],
    upset: Bool[Array, "*sat"],
    dt: Scalar,
    awake: Each | None = None,
) -> Duty:
    """The computer's step, from the seconds it is still `down` and what happens to it.

    `shed` is the bus's level: 0 serves it, 1 and 2 put it to sleep, 3 turns it off. Asleep it draws
    `sleep_power` and keeps the model; off or `tripped` it draws nothing and must restart, also if
    it was restarting already. An `upset` strikes at the step's beginning and costs a restart, awake
    or asleep. The countdown runs only while the computer is on, at idle power; what is left of a
    step is worked, so a step of an hour loses a restart and no more. Where the bus withholds power
    heat is not blamed. A trip holds for the whole step. The level does too, unless `awake` is the
    share of the step in which the payload is served: at level 0 that comes first, at 1 last.

    Source: none; the states are those of any computer, and their durations are the profile's.
    """
    served, able = shed <= 0, (shed < 3) & ~tripped
    if awake is None:
        awake = jnp.where(served, jnp.ones_like(down), jnp.zeros_like(down))
    lost = upset | ~able  # the model is no longer in memory
    needed = jnp.where(lost, jnp.maximum(down, governor.restart), down)
    needed = jnp.where(able & ~served, jnp.maximum(needed, governor.wake), needed)
    spent = jnp.where(able, jnp.minimum(needed, awake * dt), 0.0)
    left, idle = needed - spent, payload.idle()
    asleep = jnp.where(able, payload.devices * governor.sleep_power, 0.0)
    return Duty(
        up=jnp.where(able, (awake * dt - spent) / dt, 0.0),
        restarting=spent / dt,
        withheld=1 - awake,
        hot=jnp.where(tripped, awake, 0.0),
        draw=jnp.where(able, awake * idle, 0.0) + (1 - awake) * asleep,
        denied=(1 - awake) * (idle - asleep),
        down=jnp.where(served & (awake < 1), jnp.maximum(left, governor.wake), left),
    )


def wish(
    payload: Payload, governor: Governor, duty: Duty, ration: Each, temperature: Each
) -> tuple[Each, Each]:
    """What all devices would draw at a chip temperature (W), and its slope (W/K).

    `ration` is the share of the full rate that the charge allows. While up, the clock is lowered to
    what ration and heat leave; the mean over the step is returned.

    Source: the laws of `Governor` and `Payload`.
    """
    share, slope = payload.throttle(temperature)
    power, steepness = governor.draw(ration * share)
    swing = duty.up * payload.swing()
    return duty.draw + swing * power, swing * steepness * ration * slope


class TokenFlows(eqx.Module):
    """Mean token rates over one step (1/s): what was on offer, and where it went."""

    offered: Float[Array, "*sat"]
    done: Float[Array, "*sat"]
    lost_to_energy: Float[Array, "*sat"]  # rationed, unfed, or asleep and off by the bus
    lost_to_heat: Float[Array, "*sat"]  # throttled, or off by heat
    lost_to_fault: Float[Array, "*sat"]  # waking, booting and loading, whatever the cause


def tokens(
    payload: Payload, fed: Each, cool: Each, hot: Each, duty: Duty | None = None
) -> TokenFlows:
    """Book the tokens of a step.

    While up, `fed` is the share that energy allows, `cool` the mean share that heat allows and
    `hot` the mean share that heat denies; the last two come from the thermal step's own weights,
    separately. Without a `duty` the computer is up all the time.
    """
    offered = payload.offered()
    if duty is None:
        up, restarting, withheld, off = offered, 0.0 * offered, 0.0 * offered, 0.0 * offered
    else:
        up, restarting = offered * duty.up, offered * duty.restarting
        withheld, off = offered * duty.withheld, offered * duty.hot
    return TokenFlows(
        offered=offered,
        done=up * fed * cool,
        lost_to_energy=withheld + up * (1 - fed),
        lost_to_heat=off + up * fed * hot,
        lost_to_fault=restarting,
    )

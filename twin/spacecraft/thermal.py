"""A satellite as a few lumps of heat, joined to each other and facing space.

The step is ROS2, a two-stage Rosenbrock method (L-stable, second order, γ = 1 − 1/√2). It is
linearly implicit: one sparse matrix is factorised once a step, and since the network is fixed the
elimination is written out when the program is traced.

Nodes without mass are algebraic: their temperature follows from their neighbours at each stage, and
what is left of their balance goes into the linear system with a row of no mass, so that the books
close at any accuracy of that balance.

Source: Verwer, Spee, Blom & Hundsdorfer, SIAM J. Sci. Comput. 20 (1999) 1456.
"""

from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twin.arrays import Each, Rows, Scalar, Switches
from twin.constants import DEEP_SPACE_TEMPERATURE
from twin.spacecraft import harsh
from twin.spacecraft.couplings import (
    SPACE,
    SPACE_FLUX,
    Couplings,
    Law,
    exchange_rate,
    fastest_rate,
    fluxes,
    open_circuits,
)
from twin.spacecraft.elimination import Nodes, factorise

__all__ = [
    "GAMMA", "HARSH", "SPACE", "HeatFlows", "Heater", "Law", "Network", "Stages", "exchange_rate",
    "fastest_rate", "open_circuits",
]  # fmt: skip

GAMMA = 1 - 0.5**0.5
# How much more of a late heat a slow node needs (below). For a ramp alone 0.94 would be exact; the
# steps that follow, in steady light or none, err to the other side.
SLOW = 0.62
HARSH = 0.2  # a step that moves a node by more than this share of its temperature


class HeatFlows(eqx.Module):
    """What each node exchanged over one step: mean watts, by the integrator's own weights."""

    absorbed: Rows  # from Sun and Earth, by node
    generated: Rows  # electricity and losses that became heat here, by node
    payload: Float[Array, "*sat"]  # generated in the chip, following its temperature in the step
    conducted: Rows  # from the first node of each link to the second
    exchanged: Rows  # radiated from the first node of each pair to the second
    carried: Rows  # brought by the fluid into the second node of each pipe
    emitted: Rows  # to space, less what space returns, by node

    def between(self) -> Nodes:
        """All that leaves the first node of a joint and enters the second: links, then pairs."""
        return [*self.conducted, *self.exchanged]


class Stages(eqx.Module):
    """The weights by which a step used any function g of temperature: ½g₁ + ½g₂ + ∇g · drift.

    The payload has weights of its own: a harsh step takes emission along its tangent, but the
    payload as it is at the end.
    """

    start: Rows  # by node
    middle: Rows
    drift: Rows
    chip_start: Float[Array, "*sat"]
    chip_middle: Float[Array, "*sat"]
    chip_drift: Float[Array, "*sat"]

    def mean(self, law: Law, node: int) -> Each:
        """Mean over the step of a law of one node's temperature, as the step used it."""
        return _weighted(law, self.start[node], self.middle[node], self.drift[node])

    def work(self, law: Law) -> Each:
        """Mean over the step of a law of the payload, as the step used it."""
        return _weighted(law, self.chip_start, self.chip_middle, self.chip_drift)


class Network(Couplings):
    """Lumped nodes, their couplings, and grey emission from them to space.

    `guarded` compiles the fallback for steps that are harsh for a node (a tiny mass, a huge area,
    an hour); `build` sets it from the numbers.
    """

    def after(
        self,
        temperature: Rows,
        absorbed: Rows,
        generated: Rows,
        payload: Law,
        dt: Scalar,
        late: tuple[int, Each] | None = None,
    ) -> tuple[Rows, HeatFlows, Stages]:
        """Temperatures one step later, and the mean flows that led there; they balance to rounding.

        Row by row if `temperature` is; of a block, blocks.

        `absorbed` and `generated` are means over the step. They are constant in it but for one
        node's, which ends by `late` watts above its mean and runs straight: cells follow the Sun
        within seconds, so after a step in which it rises they are warmer than the mean tells.
        `payload` is the chip's own heat and its slope as a law of its temperature, followed inside
        the step. Never unstable. Unguarded, the error at 10 s on the shipped satellites is below
        0.1 K.
        """
        steady = [a + g for a, g in zip(absorbed, generated, strict=True)]
        start = self.balanced(list(temperature), steady, turns=3, afresh=True)
        often = 1 / (GAMMA * dt)
        stored = [c * often for c in self.masses()]
        load, slope, bend = self.load(start, steady, payload)
        diagonal, entries = self.matrix(stored, slope, bend, paired=self.tight)
        solve = factorise(diagonal, entries)
        ending = list(steady)
        if late is not None:  # -e and its slope in time 2 γ e, then e and -2 γ e: no net heat
            # Of such a slope ROS2 hears all in a node that follows at once, half in a slow one.
            node, slow = late[0], stored[late[0]] / diagonal[late[0]]
            more = (1 - 2 * GAMMA) * (1 + SLOW * slow) * late[1]
            load[node], ending[node] = load[node] - more, ending[node] + more
        first = solve(load)  # γ dt k₁
        middle = [t + x / GAMMA for t, x in zip(start, first, strict=True)]
        middle = self.balanced(middle, ending, turns=1)
        load_2, _, _ = self.load(middle, ending, payload)
        second = solve([q - 2 * c * x for q, c, x in zip(load_2, stored, first, strict=True)])

        end = [
            t + (1.5 * a + 0.5 * b) / GAMMA for t, a, b in zip(start, first, second, strict=True)
        ]
        end = self.balanced(end, ending, turns=1)
        drift = [0.5 * (a + b) for a, b in zip(first, second, strict=True)]
        stages = Stages(
            start=tuple(start),
            middle=tuple(middle),
            drift=tuple(drift),
            chip_start=start[self.chip],
            chip_middle=middle[self.chip],
            chip_drift=drift[self.chip],
        )
        after = tuple(end)
        if self.guarded:
            rough = self._harsh(stages, after, payload)

            def rescue() -> tuple[tuple[Each, ...], Stages]:
                end, here, warm = harsh.calm(self, start, steady, payload, dt)
                drift = tuple(e - h for e, h in zip(end, here, strict=True))
                calm = Stages(here, here, drift, warm, warm, jnp.zeros_like(warm))
                chosen = jax.tree.map(
                    lambda c, r: jnp.where(rough, c, r), (end, calm), (after, stages)
                )
                return chosen

            after, stages = jax.lax.cond(jnp.any(rough), rescue, lambda: (after, stages))
        flows = self._flows(absorbed, generated, payload, stages)
        if isinstance(temperature, tuple):
            return after, flows, stages
        return _blocks((after, flows, stages), start[0])

    def steady(
        self,
        absorbed: Rows,
        generated: Rows,
        payload: Law,
    ) -> Rows:
        """Temperatures at which all heat leaves as it comes, within 1e-6 K; differentiable.

        Every node needs a way out to space, by whatever joints; without one the result is no
        number or out of all bounds.
        """
        heat = [a + g for a, g in zip(absorbed, generated, strict=True)]
        found = harsh.steady(self, heat, payload)
        return found if isinstance(absorbed, tuple) else jnp.stack(found)

    def _flows(
        self,
        absorbed: Rows,
        generated: Rows,
        payload: Law,
        stages: Stages,
    ) -> HeatFlows:
        start, middle, drift = list(stages.start), list(stages.middle), list(stages.drift)
        (flux, slope), (flux_2, _) = fluxes(start), fluxes(middle)
        black = [0.5 * (a + b) for a, b in zip(flux, flux_2, strict=True)]
        mean = [0.5 * (a + b) + d for a, b, d in zip(start, middle, drift, strict=True)]
        emitted = [jnp.zeros_like(black[0])] * len(black)
        for n, area in self.faces():
            emitted[n] = area * (black[n] + slope[n] * drift[n] - SPACE_FLUX)
        conducted = [
            g * (mean[i] - mean[j]) for g, (i, j) in zip(self.conductance, self.links, strict=True)
        ]
        exchanged = [
            e * (black[i] - black[j]) for e, (i, j) in zip(self.exchange, self.pairs, strict=True)
        ]
        if self.tight:
            bend = [a * b for a, b in zip(slope, drift, strict=True)]
            exchanged = [
                q + e * (bend[i] - bend[j])
                for q, e, (i, j) in zip(exchanged, self.exchange, self.pairs, strict=True)
            ]
        carried = [f * (mean[i] - mean[j]) for f, (i, j) in zip(self.flow, self.pipes, strict=True)]
        return HeatFlows(
            absorbed=absorbed,
            generated=generated,
            payload=stages.work(payload),
            conducted=tuple(conducted),
            exchanged=tuple(exchanged),
            carried=tuple(carried),
            emitted=tuple(emitted),
        )

    def _harsh(self, stages: Stages, after: tuple[Each, ...], payload: Law) -> Bool[Array, "*sat"]:
        """Where the two stages are not to be trusted: too far, too cold, payload out of bounds."""
        seen = [payload(t)[0] for t in (stages.chip_start, stages.chip_middle, after[self.chip])]
        top = jnp.maximum(jnp.maximum(seen[0], seen[1]), seen[2])
        bottom = jnp.minimum(jnp.minimum(seen[0], seen[1]), seen[2])
        used, slack = stages.work(payload), 1e-9 * top
        wild = (used > top + slack) | (used < bottom - slack) | (top - bottom > HARSH * top)
        for start, middle, end in zip(stages.start, stages.middle, after, strict=True):
            least = HARSH * start
            far = (jnp.abs(middle - start) > least) | (jnp.abs(end - start) > least)
            wild = wild | far | ~(end >= DEEP_SPACE_TEMPERATURE)  # also where it is no number
        return wild


class Heater(eqx.Module):
    """Heaters with thermostats: each warms one node, and holds its state between its two limits."""

    power: Float[Array, "heater *sat"]  # W
    on_below: Float[Array, "heater *sat"]  # K
    off_above: Float[Array, "heater *sat"]  # K
    nodes: tuple[int, ...] = eqx.field(static=True)

    def switched(self, on: Switches, temperature: Rows) -> tuple[Bool[Array, "*sat"], ...]:
        """Which heaters are on, given which were."""
        felt = [temperature[n] for n in self.nodes]
        return tuple(
            (t < low) | (was & (t <= high))
            for t, low, high, was in zip(felt, self.on_below, self.off_above, on, strict=True)
        )

    def heat(self, on: Switches) -> dict[int, Each]:
        """Watts into each heated node; several heaters of one node add up."""
        into: dict[int, Each] = {}
        for node, power, state in zip(self.nodes, self.power, on, strict=True):
            watts = jnp.where(state, power, 0.0)
            into[node] = into[node] + watts if node in into else watts
        return into


def _blocks(rows: tuple[Rows, HeatFlows, Stages], like: Each) -> tuple[Rows, HeatFlows, Stages]:
    """The same with its rows stacked to blocks; no rows become an empty block."""

    def joined(row: Any) -> Any:
        if not isinstance(row, tuple):
            return row
        return jnp.stack(row) if row else jnp.zeros((0, *like.shape))

    after, flows, stages = rows
    parts: list[Any] = [
        type(module)(**{f.name: joined(getattr(module, f.name)) for f in fields(module)})
        for module in (flows, stages)
    ]
    return joined(after), parts[0], parts[1]


def _weighted(law: Law, start: Each, middle: Each, drift: Each) -> Each:
    one, slope = law(start)
    two, _ = law(middle)
    return 0.5 * (one + two) + slope * drift

"""A satellite as a few lumps of heat, joined by conductances and facing space.

The step is ROS2, a two-stage Rosenbrock method (L-stable, second order, γ = 1 − 1/√2). It is linearly
implicit: one sparse symmetric matrix is factorised once a step, and since the network is fixed the
elimination is written out when the program is traced, in minimum-degree order.

Source: Verwer, Spee, Blom & Hundsdorfer, SIAM J. Sci. Comput. 20 (1999) 1456.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.constants import DEEP_SPACE_TEMPERATURE, STEFAN_BOLTZMANN

GAMMA = 1 - 0.5**0.5
SPACE = DEEP_SPACE_TEMPERATURE**4
HARSH = 0.2  # a first stage that moves a node by more than this share of its temperature

Nodes = list[Each]
Law = Callable[[Each], tuple[Each, Each]]  # temperature → a quantity and its slope


class HeatFlows(eqx.Module):
    """What each node exchanged over one step, as means in watts, by the integrator's own weights."""

    absorbed: Float[Array, "node *sat"]  # from Sun and Earth
    generated: Float[Array, "node *sat"]  # electricity and losses that became heat here
    payload: Float[Array, "*sat"]  # generated in the chip, following its temperature in the step
    conducted: Float[Array, "link *sat"]  # from the first node of each link to the second
    emitted: Float[Array, "node *sat"]  # to space, less what space returns


class Stages(eqx.Module):
    """The weights by which a step used any function g of temperature: ½g₁ + ½g₂ + ∇g · drift."""

    start: Float[Array, "node *sat"]
    middle: Float[Array, "node *sat"]
    drift: Float[Array, "node *sat"]
    on: Float[Array, "*sat"]  # 1, or 0 where a harsh step had to leave the payload off

    def mean(self, law: Law, node: int) -> Each:
        """Mean over the step of a law of one node's temperature, as the step used it."""
        one, slope = law(self.start[node])
        two, _ = law(self.middle[node])
        return 0.5 * (one + two) + slope * self.drift[node]


class Network(eqx.Module):
    """Lumped nodes, linear conductances between them, grey emission from them to space.

    `links` names the two nodes of each conductance. `guarded` compiles the fallback for steps that are
    harsh for a node (a tiny mass, a huge area, an hour); `build` sets it from the numbers.
    """

    heat_capacity: Float[Array, "node *sat"]  # J/K
    conductance: Float[Array, "link *sat"]  # W/K
    emitting_area: Float[Array, "node *sat"]  # m², each face times its emissivity
    links: tuple[tuple[int, int], ...] = eqx.field(static=True)
    chip: int = eqx.field(static=True)
    guarded: bool = eqx.field(static=True, default=False)

    def after(
        self,
        temperature: Float[Array, "node *sat"],
        absorbed: Float[Array, "node *sat"],
        generated: Float[Array, "node *sat"],
        payload: Law,
        dt: Scalar,
    ) -> tuple[Float[Array, "node *sat"], HeatFlows, Stages]:
        """Temperatures one step later, and the mean flows that led there; they balance to rounding.

        `absorbed` and `generated` are constant over the step; `payload` is the chip's own heat and its
        slope as a law of its temperature, followed inside the step. Never unstable. Unguarded, the
        error at 10 s on the shipped satellites is below 0.1 K.
        """
        start = list(temperature)
        steady = list(absorbed + generated)
        load, slopes = self._load(start, steady, payload)
        solve = self._factorise(slopes, GAMMA * dt)
        first = solve(load)
        middle = [t + dt * k for t, k in zip(start, first, strict=True)]
        load_2, _ = self._load(middle, steady, payload)
        mass = list(self.heat_capacity)
        second = solve([f - 2 * c * k for f, c, k in zip(load_2, mass, first, strict=True)])

        end = [t + dt * (1.5 * a + 0.5 * b) for t, a, b in zip(start, first, second, strict=True)]
        stages = Stages(
            start=temperature,
            middle=jnp.stack(middle),
            drift=jnp.stack(
                [0.5 * GAMMA * dt * (a + b) for a, b in zip(first, second, strict=True)]
            ),
            on=jnp.ones_like(start[0]),
        )
        after = jnp.stack(end)
        if self.guarded:
            moves = [jnp.abs(dt * k) > HARSH * t for k, t in zip(first, start, strict=True)]
            calm = self._calm(start, steady, payload, dt)
            harsh = jnp.stack(moves).any(axis=0)
            after, stages = jax.tree.map(lambda c, r: jnp.where(harsh, c, r), calm, (after, stages))
        return after, self._flows(absorbed, generated, payload, stages), stages

    def _flows(
        self,
        absorbed: Float[Array, "node *sat"],
        generated: Float[Array, "node *sat"],
        payload: Law,
        stages: Stages,
    ) -> HeatFlows:
        emitted = [
            stages.mean(lambda t, area=area: _emission(area, t), n)
            for n, area in enumerate(self.emitting_area)
        ]
        mean = [stages.mean(lambda t: (t, jnp.ones_like(t)), n) for n in range(len(emitted))]
        conducted = [
            g * (mean[i] - mean[j]) for g, (i, j) in zip(self.conductance, self.links, strict=True)
        ]
        return HeatFlows(
            absorbed=absorbed,
            generated=generated,
            payload=stages.on * stages.mean(payload, self.chip),
            conducted=jnp.stack(conducted) if conducted else jnp.zeros_like(self.conductance),
            emitted=jnp.stack(emitted),
        )

    def _load(self, temperature: Nodes, steady: Nodes, payload: Law) -> tuple[Nodes, Nodes]:
        """Net heat into each node, and how fast it falls as that node alone warms."""
        load, slopes = [], []
        for area, t, q in zip(self.emitting_area, temperature, steady, strict=True):
            power, slope = _emission(area, t)
            load.append(q - power)
            slopes.append(slope)
        heat, slope = payload(temperature[self.chip])
        load[self.chip] = load[self.chip] + heat
        slopes[self.chip] = slopes[self.chip] - slope
        for g, (i, j) in zip(self.conductance, self.links, strict=True):
            flow = g * (temperature[i] - temperature[j])
            load[i], load[j] = load[i] - flow, load[j] + flow
        return load, slopes

    def _factorise(self, slopes: Nodes, weight: Scalar) -> Callable[[Nodes], Nodes]:
        """LDLᵀ of C + weight · (slopes + conduction), written out; returns the solver."""
        size = len(slopes)
        diagonal = [c + weight * s for c, s in zip(self.heat_capacity, slopes, strict=True)]
        coupling: dict[tuple[int, int], Each] = {}
        for g, (i, j) in zip(self.conductance, self.links, strict=True):
            wg = weight * g
            diagonal[i], diagonal[j] = diagonal[i] + wg, diagonal[j] + wg
            key = (min(i, j), max(i, j))
            coupling[key] = coupling[key] - wg if key in coupling else -wg

        # Divisions, not products with an inverse: XLA materialises a quotient that is used twice but
        # computes a product again for every use, which made this solve thirty times slower.
        left, order = set(range(size)), []
        factors: dict[int, dict[int, Each]] = {}
        while left:
            near = {n: [m for m in left if _key(n, m) in coupling] for n in left}
            pivot = min(left, key=lambda n: (len(near[n]), n))
            left.remove(pivot)
            order.append(pivot)
            factors[pivot] = {m: coupling[_key(pivot, m)] / diagonal[pivot] for m in near[pivot]}
            for a, m in enumerate(near[pivot]):
                edge = coupling[_key(pivot, m)]
                diagonal[m] = diagonal[m] - factors[pivot][m] * edge
                for n in near[pivot][a + 1 :]:
                    fill = factors[pivot][n] * edge
                    key = _key(m, n)
                    coupling[key] = coupling[key] - fill if key in coupling else -fill

        def solve(right: Nodes) -> Nodes:
            x = list(right)
            for p in order:
                for m, factor in factors[p].items():
                    x[m] = x[m] - factor * x[p]
            for p in reversed(order):
                known = [coupling[_key(p, m)] * x[m] for m in factors[p]]
                x[p] = (x[p] - sum(known[1:], known[0]) if known else x[p]) / diagonal[p]
            return x

        return solve

    def _calm(
        self, start: Nodes, steady: Nodes, payload: Law, dt: Scalar
    ) -> tuple[Float[Array, "node *sat"], Stages]:
        """The calm step: linearised backward Euler, first order, never below deep space.

        T⁴ is convex, so its tangent emits no more than the true law: the result lies above the exact
        backward Euler solution, which the comparison principle keeps above 2.7 K. Where the tangent
        of the payload would run it below zero power, the payload is off for this step.
        """

        def advance(law: Law, on: Each) -> tuple[Float[Array, "node *sat"], Stages]:
            load, slopes = self._load(start, steady, law)
            change = jnp.stack([dt * k for k in self._factorise(slopes, dt)(load)])
            here = jnp.stack(start)
            return here + change, Stages(start=here, middle=here, drift=change, on=on)

        one, zero = jnp.ones_like(start[0]), jnp.zeros_like(start[0])
        running = advance(payload, one)
        resting = advance(lambda t: (jnp.zeros_like(t), jnp.zeros_like(t)), zero)
        fails = running[1].mean(payload, self.chip) < 0
        return jax.tree.map(lambda off, on: jnp.where(fails, off, on), resting, running)


def fastest_rate(network: Network, temperature: float) -> Float[Array, "node *sat"]:
    """Upper bound of each node's own relaxation rate (1/s) at a temperature: tells a harsh step."""
    slope = 4 * STEFAN_BOLTZMANN * temperature**3 * network.emitting_area
    for g, (i, j) in zip(network.conductance, network.links, strict=True):
        slope = slope.at[i].add(g).at[j].add(g)
    return slope / network.heat_capacity


def _emission(area: Each, temperature: Each) -> tuple[Each, Each]:
    """Net emission to space of a grey area (W), and its slope (W/K)."""
    cube = STEFAN_BOLTZMANN * area * temperature * temperature * temperature
    return cube * temperature - STEFAN_BOLTZMANN * SPACE * area, 4 * cube


def _key(i: int, j: int) -> tuple[int, int]:
    return (min(i, j), max(i, j))

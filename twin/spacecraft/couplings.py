"""Lumps of heat and what joins them: the net heat into each, and how it follows temperature.

Three kinds of joint: conductances (linear), exchanges of radiation between two nodes (grey and
diffuse, area times script-F), and flows of a fluid, which carry heat one way. Every node may face
space.

Source: Gilmore (ed.), Spacecraft Thermal Control Handbook I (2nd ed. 2002), chapter 15.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each
from twin.constants import DEEP_SPACE_TEMPERATURE, STEFAN_BOLTZMANN
from twin.spacecraft.elimination import Entries, Nodes

SPACE = DEEP_SPACE_TEMPERATURE**4
SPACE_FLUX = STEFAN_BOLTZMANN * SPACE  # W/m²

Law = Callable[[Each], tuple[Each, Each]]  # temperature → a quantity and its slope


class Couplings(eqx.Module):
    """The numbers of a heat network.

    `links`, `pairs` and `pipes` name the two nodes of each conductance, exchange and flow; a pipe
    leads from its first node to its second, where the fluid arrives with the temperature of the
    first. A circuit must be closed: what flows into a node flows out (see `open_circuits`).
    `arithmetic` nodes have no mass: they are always in balance with their neighbours, which must
    have mass. `enclosed` nodes see no space: their emitting area is not read. `tight` says that
    exchanges are fast enough for the step to enter its matrix; slow ones need not.
    """

    heat_capacity: Float[Array, "node *sat"]  # J/K, not read for arithmetic nodes
    conductance: Float[Array, "link *sat"]  # W/K
    exchange: Float[Array, "pair *sat"]  # m², area times script-F
    flow: Float[Array, "pipe *sat"]  # W/K, mass flow times specific heat
    emitting_area: Float[Array, "node *sat"]  # m², each face times its emissivity
    links: tuple[tuple[int, int], ...] = eqx.field(static=True)
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)
    pipes: tuple[tuple[int, int], ...] = eqx.field(static=True)
    chip: int = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True, default=())
    arithmetic: tuple[int, ...] = eqx.field(static=True, default=())
    enclosed: tuple[int, ...] = eqx.field(static=True, default=())
    guarded: bool = eqx.field(static=True, default=False)
    tight: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        massless = set(self.arithmetic)
        if self.chip in massless:
            raise ValueError(f"{self.called(self.chip)} follows a payload, so it must have mass")
        for i, j in self.joints():
            if i == j:
                raise ValueError(f"{self.called(i)} is joined to itself")
            if {i, j} <= massless:
                raise ValueError(
                    f"{self.called(i)} and {self.called(j)} are neighbours and both without mass: "
                    "give one of them a heat capacity"
                )

    def called(self, node: int) -> str:
        """The name of a node, or its number."""
        return self.names[node] if node < len(self.names) else f"node {node}"

    def joints(self) -> tuple[tuple[int, int], ...]:
        """All joints of whatever kind."""
        return (*self.links, *self.pairs, *self.pipes)

    def masses(self) -> Nodes:
        """Heat capacities, zero where a node is arithmetic."""
        return [
            jnp.zeros_like(c) if n in self.arithmetic else c
            for n, c in enumerate(self.heat_capacity)
        ]

    def load(self, temperature: Nodes, steady: Nodes, payload: Law) -> tuple[Nodes, Nodes, Each]:
        """Net heat into each node (W), its slope of radiance 4σT³, and the slope of the payload."""
        flux, slope = fluxes(temperature)
        load = list(steady)
        for n, area in self.faces():
            load[n] = load[n] - area * (flux[n] - SPACE_FLUX)
        heat, bend = payload(temperature[self.chip])
        load[self.chip] = load[self.chip] + heat
        for g, (i, j) in zip(self.conductance, self.links, strict=True):
            through = g * (temperature[i] - temperature[j])
            load[i], load[j] = load[i] - through, load[j] + through
        for e, (i, j) in zip(self.exchange, self.pairs, strict=True):
            through = e * (flux[i] - flux[j])
            load[i], load[j] = load[i] - through, load[j] + through
        for f, (up, down) in zip(self.flow, self.pipes, strict=True):
            load[down] = load[down] + f * (temperature[up] - temperature[down])
        return load, slope, bend

    def matrix(
        self, stored: Nodes, slope: Nodes, bend: Each, paired: bool = True
    ) -> tuple[Nodes, Entries]:
        """`stored` less the Jacobian of `load`: its diagonal, and its entries off it.

        Unless `paired`, exchanges are left out: that keeps the matrix symmetric and sparse, which
        halves the work, and the method keeps its order with any matrix.
        """
        diagonal, entries = list(stored), Entries()
        for n, area in self.faces():
            diagonal[n] = diagonal[n] + area * slope[n]
        diagonal[self.chip] = diagonal[self.chip] - bend
        for g, (i, j) in zip(self.conductance, self.links, strict=True):
            diagonal[i], diagonal[j] = diagonal[i] + g, diagonal[j] + g
            if (i, j) in entries:
                entries[i, j] = entries[j, i] = entries[i, j] - g
            else:
                entries[i, j] = entries[j, i] = -g
        for e, (i, j) in zip(self.exchange, self.pairs, strict=True) if paired else ():
            there, here = e * slope[j], e * slope[i]
            diagonal[i], diagonal[j] = diagonal[i] + here, diagonal[j] + there
            entries[i, j] = _minus(entries.get((i, j)), there)
            entries[j, i] = _minus(entries.get((j, i)), here)
        for f, (up, down) in zip(self.flow, self.pipes, strict=True):
            diagonal[down] = diagonal[down] + f
            entries[down, up] = _minus(entries.get((down, up)), f)
        return diagonal, entries

    def faces(self) -> list[tuple[int, Each]]:
        """The nodes that see space, and their emitting areas."""
        return [(n, a) for n, a in enumerate(self.emitting_area) if n not in self.enclosed]

    def balanced(
        self, temperature: Nodes, steady: Nodes, turns: int, afresh: bool = False
    ) -> Nodes:
        """The same temperatures with those of arithmetic nodes in balance with their neighbours.

        Newton's method on a T⁴ + b T = c, which is convex: after one turn every value is above the
        solution and falls towards it. `afresh` starts from no more than (c/a)^¼, also above it, as
        is needed where sunlight comes or goes.
        """
        if not self.arithmetic:
            return temperature
        settled = list(temperature)
        for node in self.arithmetic:
            fourth, line, heat = self._quartic(node, temperature, steady[node])
            t = jax.lax.stop_gradient(temperature[node])
            for turn in range(turns):
                power = fourth * (t * t * t)
                t = (3 * power * t + heat) / (4 * power + line)
                if afresh and turn == 0:
                    most = jnp.sqrt(jnp.sqrt(jnp.maximum(heat, 1e-30) / (fourth + 1e-30)))
                    t = jnp.minimum(t, most)
            settled[node] = t
        return settled

    def _quartic(self, node: int, temperature: Nodes, steady: Each) -> tuple[Each, Each, Each]:
        fourth, line, heat = jnp.zeros_like(steady), jnp.zeros_like(steady), steady
        if node not in self.enclosed:
            area = self.emitting_area[node]
            fourth, heat = STEFAN_BOLTZMANN * area, heat + SPACE_FLUX * area
        for g, link in zip(self.conductance, self.links, strict=True):
            if node in link:
                line, heat = line + g, heat + g * temperature[_other(link, node)]
        for e, pair in zip(self.exchange, self.pairs, strict=True):
            if node in pair:
                t = temperature[_other(pair, node)]
                fourth = fourth + STEFAN_BOLTZMANN * e
                heat = heat + e * (STEFAN_BOLTZMANN * t * t * (t * t))
        for f, (up, down) in zip(self.flow, self.pipes, strict=True):
            if node == down:
                line, heat = line + f, heat + f * temperature[up]
        return fourth, line, heat


def fluxes(temperature: Nodes) -> tuple[Nodes, Nodes]:
    """Black flux σT⁴ (W/m²) of each node, and its slope."""
    cube = [STEFAN_BOLTZMANN * t * t * t for t in temperature]
    return [c * t for c, t in zip(cube, temperature, strict=True)], [4 * c for c in cube]


def open_circuits(network: Couplings) -> Float[Array, "node *sat"]:
    """What flows into each node by pipes, less what flows out (W/K): none, or heat is made."""
    gap = jnp.zeros_like(network.heat_capacity)
    for f, (up, down) in zip(network.flow, network.pipes, strict=True):
        gap = gap.at[down].add(f).at[up].add(-f)
    return gap


def exchange_rate(network: Couplings, temperature: float) -> Float[Array, "pair *sat"]:
    """Upper bound of the rate (1/s) at which each exchange moves its lighter node with mass."""
    steep = 4 * STEFAN_BOLTZMANN * temperature**3
    rates = []
    for e, pair in zip(network.exchange, network.pairs, strict=True):
        masses = [network.heat_capacity[n] for n in pair if n not in network.arithmetic]
        lightest = masses[0] if len(masses) == 1 else jnp.minimum(*masses)
        rates.append(steep * e / lightest)
    return jnp.stack(rates) if rates else network.exchange


def fastest_rate(network: Couplings, temperature: float) -> Float[Array, "node *sat"]:
    """Upper bound of each node's own relaxation rate (1/s) at a temperature: tells a harsh step.

    Arithmetic nodes have none: they are always relaxed.
    """
    steep = 4 * STEFAN_BOLTZMANN * temperature**3
    slope = jnp.zeros_like(network.heat_capacity)
    for n, area in network.faces():
        slope = slope.at[n].add(steep * area)
    for g, (i, j) in zip(network.conductance, network.links, strict=True):
        slope = slope.at[i].add(g).at[j].add(g)
    for e, (i, j) in zip(network.exchange, network.pairs, strict=True):
        slope = slope.at[i].add(steep * e).at[j].add(steep * e)
    for f, (_, down) in zip(network.flow, network.pipes, strict=True):
        slope = slope.at[down].add(f)
    massless = jnp.array([n in network.arithmetic for n in range(len(slope))])
    massless = massless.reshape(-1, *[1] * (slope.ndim - 1))
    return jnp.where(massless, 0.0, slope / jnp.where(massless, 1.0, network.heat_capacity))


def _other(joint: tuple[int, int], node: int) -> int:
    return joint[1] if joint[0] == node else joint[0]


def _minus(there: Each | None, amount: Each) -> Each:
    return -amount if there is None else there - amount

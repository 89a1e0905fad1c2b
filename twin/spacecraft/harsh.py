"""Balances found by Newton's method: the calm step of a harsh moment, and the steady state.

Emission is convex in temperature, so from above its tangents lead down to the solution and never
past it. Exchange between two nodes is not: there an iteration moves no temperature by more than a
factor of two. The payload, which falls as the chip warms, is met exactly each time: all else is
linear in an iteration, so it is one equation for one temperature.

Source: Ortega & Rheinboldt, Iterative Solution of Nonlinear Equations (1970), chapter 13.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.constants import STEFAN_BOLTZMANN
from twin.spacecraft.couplings import SPACE, Couplings, Law
from twin.spacecraft.elimination import Nodes, factorise

NEWTON = 12  # iterations of a harsh step: few would do from near by
PAIRED = 30  # where nodes radiate to each other
STEADY = 60  # iterations towards a steady state, from far away


def calm(
    network: Couplings, start: Nodes, steady: Nodes, payload: Law, dt: Scalar
) -> tuple[tuple[Each, ...], tuple[Each, ...], Each]:
    """Backward Euler, first order, never below deep space, never overshooting.

    Returns the end, the point whose tangents led there, and the chip's temperature at the end.
    """
    stored = [c / dt for c in network.masses()]
    guess = _all_leaving(network, steady, payload)
    first = [jnp.maximum(t, guess) for t in start]
    turns = PAIRED if network.pairs else NEWTON
    return _newton(network, stored, start, first, steady, payload, turns, bool(network.pairs))


def steady(network: Couplings, heat: Nodes, payload: Law) -> tuple[Each, ...]:
    """The steady state, from a start with all heat leaving by all faces."""
    none = jnp.zeros_like(heat[0])
    guess = _all_leaving(network, heat, payload)
    begin = [guess + none] * len(heat)
    stored = [none] * len(heat)
    return _newton(network, stored, begin, begin, heat, payload, STEADY, True)[0]


def _newton(
    network: Couplings,
    stored: Nodes,
    start: Nodes,
    first: Nodes,
    steady: Nodes,
    payload: Law,
    turns: int,
    bounded: bool,
) -> tuple[tuple[Each, ...], tuple[Each, ...], Each]:
    """The last iterate, the point whose tangents led there, and the chip's temperature there.

    Only the last iteration is differentiated: at the solution that is the implicit derivative.
    """
    chip = network.chip
    none = jnp.zeros_like(steady[0])

    def silent(_: Each) -> tuple[Each, Each]:
        return none, none

    def improve(point: Nodes) -> tuple[Nodes, Each]:
        load, slope, bend = network.load(point, steady, silent)
        gone = [c * (p - s) for c, p, s in zip(stored, point, start, strict=True)]
        solve = factorise(*network.matrix(stored, slope, bend))
        change = solve([q - g for q, g in zip(load, gone, strict=True)])
        unheated = [p + d for p, d in zip(point, change, strict=True)]
        a_watt = solve([none + 1 if n == chip else none for n in range(len(start))])
        warm = _meet(payload, unheated[chip], a_watt[chip])
        heat, _ = payload(warm)
        return [u + w * heat for u, w in zip(unheated, a_watt, strict=True)], warm

    def turn(_: Any, now: Float[Array, "node *sat"]) -> Float[Array, "node *sat"]:
        end, _ = improve(list(now))
        if bounded:
            end = [jnp.clip(e, 0.5 * p, 2 * p) for e, p in zip(end, now, strict=True)]
        return jnp.stack(end)

    here = jax.lax.fori_loop(0, turns - 1, turn, jnp.stack(first))
    here = jax.lax.stop_gradient(here)
    end, warm = improve(list(here))
    return tuple(end), tuple(here), warm


def _all_leaving(network: Couplings, steady: Nodes, payload: Law) -> Each:
    """The temperature at which all heat would leave by all faces: tangents from below overshoot."""
    none = jnp.zeros_like(steady[0])
    most = sum((jnp.maximum(q, 0.0) for q in steady), none) + payload(none)[0]
    area = jnp.maximum(sum((a for _, a in network.faces()), none), 1e-9)
    return jnp.sqrt(jnp.sqrt(most / (STEFAN_BOLTZMANN * area) + SPACE))


def _meet(law: Law, cold: Each, a_watt: Each) -> Each:
    """The temperature x = cold + a_watt · law(x) for a law that falls as x rises, by bisection."""

    def halve(_: Any, bracket: tuple) -> tuple:
        low, high = bracket
        middle = 0.5 * (low + high)
        above = middle > cold + a_watt * law(middle)[0]
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = jax.lax.fori_loop(0, 50, halve, (cold, cold + a_watt * law(cold)[0]))
    x = jax.lax.stop_gradient(0.5 * (low + high))
    value, slope = law(x)
    return x - (x - cold - a_watt * value) / (
        1 - a_watt * slope
    )  # Newton's, which has the gradient

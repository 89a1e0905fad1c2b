"""Heat networks of any kind: SciPy's Radau, tiny masses for none, and laws for random designs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heat_networks import (
    BLANKET,
    CHIP,
    DARK,
    GREY,
    LINKS,
    LIT,
    MASS,
    PAIRS,
    PAYLOAD,
    PUMPED,
    constant,
    placed,
    random_design,
    satellite,
    simple,
)
from jax import lax
from oracles import thermal_radau

from twin import books
from twin.constants import DEEP_SPACE_TEMPERATURE, STEFAN_BOLTZMANN
from twin.spacecraft.thermal import Heater, Network, open_circuits

TEN = jnp.asarray(10.0)
MASSIVE = [n for n in range(12) if n != BLANKET]


# -- twelve nodes against Radau


def sunshine(steps=420, dusk=120, dawn=330):
    """Watts into each node, means over steps: held for a minute, with an edge inside a step."""
    lit = np.ones(steps)
    lit[dusk:dawn] = 0.0
    lit[dusk], lit[dawn] = 0.35, 0.8
    phase = np.repeat(np.sin(np.arange(steps // 6) / 9.0), 6)
    return DARK + lit[:, None] * LIT * (1 + 0.1 * phase[:, None])


@jax.jit
def rollout(network, heats, begin, dt):
    def advance(temperature, heat):
        after, flows, _ = network.after(
            temperature, heat, jnp.zeros_like(heat), constant(PAYLOAD), dt
        )
        gap = books.heat_residual(network, flows, temperature, after, dt)
        return after, (after, gap, books.truncation(network, flows, temperature, after))

    return lax.scan(advance, begin, heats)[1]  # temperatures, heat residual, truncation


def balance(network, heat):
    return np.asarray(network.steady(jnp.asarray(heat), jnp.zeros(12), constant(PAYLOAD)))


def test_twelve_nodes_match_radau():
    """Within 0.1 K at 10 s through dusk and dawn, the blanket without mass included."""
    pipes, heats = PUMPED, sunshine()
    network = satellite(pipes)
    begin = balance(network, heats[0])  # so that nothing is switched on at the start
    rate, settled = thermal_radau.network_rate(
        MASS, placed(LINKS), placed(PAIRS), placed(pipes), GREY, (BLANKET,)
    )
    paid = heats + PAYLOAD * (np.arange(12) == CHIP)
    exact = thermal_radau.march(rate, paid, begin, 10.0)
    seen, gap, _ = rollout(network, jnp.asarray(heats), jnp.asarray(begin), TEN)
    error = np.abs(np.asarray(seen) - exact)[:, MASSIVE].max()
    blanket = np.array([settled(t, q)[BLANKET] for t, q in zip(exact, paid, strict=True)])
    thin = np.abs(np.asarray(seen)[:, BLANKET] - blanket).max()
    swing = np.ptp(exact, axis=0).max()
    print(f"{error:.4f} K, blanket {thin:.4f} K, swing {swing:.0f} K, {np.ptp(blanket):.0f} K")
    assert error < 0.1
    assert thin < 0.1
    assert swing > 50 and np.ptp(blanket) > 50
    assert gap.max() < 1e-9


def test_doubled_emissivity_is_seen():
    heats, begin = jnp.asarray(sunshine()), jnp.full(12, 290.0)
    right = rollout(satellite(), heats, begin, TEN)[0]
    for node in np.flatnonzero(GREY):
        grey = jnp.asarray(GREY).at[node].mul(2)
        wrong = rollout(satellite(emitting_area=grey), heats, begin, TEN)[0]
        assert np.abs(wrong - right).max() > 0.1, node


@jax.jit
def held(network, begin, dt, steps):
    heat = jnp.asarray(DARK + LIT)

    def advance(_, t):
        return network.after(t, heat, jnp.zeros(12), constant(PAYLOAD), dt)[0]

    return lax.fori_loop(0, steps, advance, begin)


def test_halving_the_step_quarters_the_error():
    network, begin = satellite(PUMPED), jnp.full(12, 270.0).at[BLANKET].set(300.0)
    ends = {
        n: np.asarray(held(network, begin, jnp.asarray(1200 / n), jnp.asarray(n)))
        for n in (60, 120, 240, 3840)
    }
    error = {n: np.abs(ends[n] - ends[3840]).max() for n in (60, 120, 240)}
    print({1200 / n: f"{e:.1e} K" for n, e in error.items()})
    assert 3.5 < error[60] / error[120] < 4.5
    assert 3.6 < error[120] / error[240] < 4.4


def test_more_nodes_come_closer():
    """A bar of fixed mass and conductance cut in 2, 4 and 8 lumps: first order in the lumps."""

    def tip(lumps):
        mass, joined = np.full(lumps, 8000.0 / lumps), np.full(lumps - 1, 5.0 * lumps)
        area = np.zeros(lumps)
        area[-1] = 1.0
        ends = tuple((n, n + 1) for n in range(lumps - 1))
        bar = simple(mass, joined, area, ends)
        steady = bar.steady(jnp.zeros(lumps), jnp.full(lumps, 600.0 / lumps), constant(0.0))
        # half a lump more, from the middle of the first to the insulated end: q x² / 2 k
        return float(steady[0]) + 600.0 / lumps**2 / 8 / 5.0

    def closed():
        cold = (600.0 / STEFAN_BOLTZMANN + DEEP_SPACE_TEMPERATURE**4) ** 0.25
        return cold + 600.0 / 2 / 5.0

    error = [abs(tip(n) - closed()) for n in (2, 4, 8)]
    print([f"{e:.2f} K" for e in error])
    assert all(a / b > 1.7 for a, b in zip(error, error[1:], strict=False))


# -- nodes without mass


def test_no_mass_is_the_limit_of_a_tiny_one():
    """Radau with a hundredth of a joule a kelvin, through dusk."""
    light = np.where(np.arange(12) == BLANKET, 0.01, MASS)
    rate, _ = thermal_radau.network_rate(light, placed(LINKS), placed(PAIRS), [], GREY)
    heats = sunshine(60, 30, 50)
    begin = balance(satellite(), heats[0])
    some = thermal_radau.march(rate, heats + PAYLOAD * (np.arange(12) == CHIP), begin, 10.0)
    none = np.asarray(rollout(satellite(), jnp.asarray(heats), jnp.asarray(begin), TEN)[0])
    assert np.abs(none - some).max() < 0.1
    assert np.ptp(some[:, BLANKET]) > 50


def test_books_close_at_once_from_any_blanket():
    """However wrong its stored temperature is: it is found from its neighbours."""
    heat = jnp.asarray(DARK + LIT)[:, None]
    network = jax.tree.map(lambda x: x[:, None], satellite())
    begin = jnp.full((12, 60), 290.0).at[BLANKET].set(jnp.geomspace(3.0, 3000.0, 60))
    heats = jnp.broadcast_to(heat, (12, 60))
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(x), 60)), network)
    after, gap, _ = rollout(wide, heats[None], begin, TEN)
    assert gap.max() < 1e-9
    assert np.ptp(np.asarray(after)[0], axis=1).max() < 1e-3


def test_neighbours_without_mass_are_refused():
    with pytest.raises(ValueError, match="bus and blanket are neighbours and both without mass"):
        satellite(arithmetic=(2, BLANKET))
    with pytest.raises(ValueError, match="chip follows a payload"):
        satellite(arithmetic=(CHIP,))


# -- laws for random designs


@jax.jit
def lowest_and_gap(network, power, start, dt, steps):
    def advance(_, carry):
        low, high, temperature, gap = carry
        after, flows, _ = network.after(temperature, power, 0 * power, constant(0.0), dt)
        now = books.heat_residual(network, flows, temperature, after, dt)
        low, high = jnp.minimum(low, after.min(axis=0)), jnp.maximum(high, after.max(axis=0))
        return low, high, after, jnp.maximum(gap, now)

    none = jnp.zeros_like(power[0])
    return lax.fori_loop(0, steps, advance, (none + 1e9, none, start, none))


@pytest.mark.parametrize("seed", range(2))
def test_books_close_for_random_designs(seed):
    network, power, start, dt = random_design(seed, 200)
    low, _, _, gap = lowest_and_gap(network, power, start, dt, jnp.asarray(60))
    assert gap.max() < 1e-9
    assert np.isfinite(low).all()
    cold = lowest_and_gap(network, 0 * power, start, dt, jnp.asarray(60))
    massive = [n for n in range(len(start)) if n not in network.arithmetic]
    assert (np.asarray(cold[1]) <= np.asarray(start)[massive].max(axis=0) * (1 + 1e-12)).all()


def test_torture():
    """Masses of a gram, areas of a thousand square metres, steps of an hour."""
    network, power, start, dt = random_design(5, 200, harsh=True, nodes=8)
    low, _, end, gap = lowest_and_gap(network, power, start, dt, jnp.asarray(30))
    assert np.isfinite(end).all()
    assert (np.asarray(low) >= DEEP_SPACE_TEMPERATURE * (1 - 1e-9)).all()
    assert gap.max() < 1e-6, "rounding of conductances a million times too large for their heat"


def test_more_radiator_is_never_hotter():
    network, power, start, dt = random_design(1, 200)
    larger = replace(network, emitting_area=network.emitting_area * 1.1)
    _, _, some, _ = lowest_and_gap(network, power, start, dt, jnp.asarray(100))
    _, _, more, _ = lowest_and_gap(larger, power, start, dt, jnp.asarray(100))
    assert (np.asarray(more) <= np.asarray(some) + 1e-9).all()
    some, more = (np.asarray(n.steady(power, 0 * power, constant(0.0))) for n in (network, larger))
    assert (more < some + 1e-9).all() and (more < some - 0.01).any()


@pytest.mark.parametrize("flow", ["absorbed", "conducted", "exchanged", "carried", "emitted"])
def test_a_dropped_flow_opens_the_books(flow):
    """Each single flow of the pumped satellite, one at a time."""
    network, heat = satellite(PUMPED), jnp.asarray(DARK + LIT)
    begin = jnp.asarray(270.0 + 3 * np.arange(12))
    after, flows, _ = network.after(begin, heat, jnp.zeros(12), constant(PAYLOAD), TEN)
    assert books.heat_residual(network, flows, begin, after, TEN) < 1e-9
    for k, amount in enumerate(getattr(flows, flow)):
        if abs(float(amount)) > 0.01:
            hurt = replace(flows, **{flow: getattr(flows, flow).at[k].set(0.0)})
            assert books.heat_residual(network, hurt, begin, after, TEN) > 1e-3, k


def test_a_circuit_that_is_not_closed_opens_the_books():
    leaky = [*PUMPED[:2], (*PUMPED[2][:2], 80.0)]
    begin = jnp.asarray(270.0 + 3 * np.arange(12))
    for pipes, closed in ((PUMPED, True), (leaky, False)):
        network = satellite(pipes)
        after, flows, _ = network.after(begin, begin, 0 * begin, constant(0.0), TEN)
        gap = books.heat_residual(network, flows, begin, after, TEN)
        assert (gap < 1e-9) == closed
        assert (np.abs(open_circuits(network)).max() < 1e-9) == closed


@jax.jit
def warmest(network: Network, begin):
    heat = jnp.asarray(DARK + LIT)

    def advance(t, _):
        return network.after(t, heat, 0 * heat, constant(PAYLOAD), TEN)[0], None

    end = lax.scan(advance, begin, length=30)[0]
    return end.max() + end[BLANKET]


@pytest.mark.slow
def test_gradients_are_finite_and_right():
    """Of the end of five minutes with respect to every number."""
    network, begin = satellite(PUMPED), jnp.full(12, 300.0)
    slope = jax.jit(jax.grad(warmest))(network, begin)
    for name in ("heat_capacity", "conductance", "exchange", "flow", "emitting_area"):
        assert np.isfinite(getattr(slope, name)).all(), name
    for name, k in (("emitting_area", BLANKET), ("conductance", 0), ("exchange", 1)):
        number = getattr(network, name)
        high, low = (
            float(warmest(replace(network, **{name: number.at[k].mul(1 + s * 1e-4)}), begin))
            for s in (1, -1)
        )
        expected = (high - low) / (2e-4 * float(number[k]))
        assert float(getattr(slope, name)[k]) == pytest.approx(expected, rel=1e-3), name


def test_gradients_of_harsh_steps_are_right():
    """A gram that radiates to a plate, for an hour."""

    @jax.jit
    def end(scale):
        body = simple(
            [1e-3, 100.0],
            jnp.zeros(0),
            jnp.array([0.1, 1.0]) * scale,
            (),
            exchange=jnp.array([0.5]),
            pairs=((0, 1),),
            guarded=True,
        )
        heat = jnp.array([50.0, 5.0])
        return body.after(
            jnp.array([400.0, 300.0]), heat, 0 * heat, constant(3.0), jnp.asarray(3600.0)
        )[0]

    slope = np.asarray(jax.jacrev(end)(1.0))
    expected = np.asarray(end(1 + 1e-5) - end(1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    assert np.abs(expected).min() > 1.0


# -- heaters


def test_thermostat_has_hysteresis():
    heater = Heater(
        power=jnp.array([[20.0], [5.0]]),
        on_below=jnp.array([[275.0], [275.0]]),
        off_above=jnp.array([[280.0], [280.0]]),
        nodes=(1, 1),
    )
    on, seen = jnp.array([[False], [True]]), []
    for t in (278.0, 274.0, 278.0, 281.0, 278.0):
        on = heater.switched(on, jnp.array([[0.0], [t]]))
        seen.append(np.asarray(on)[:, 0].tolist())
    assert seen == [[False, True], [True, True], [True, True], [False, False], [False, False]]
    assert heater.heat(jnp.array([[True], [True]]))[1] == 25.0
    assert heater.heat(jnp.array([[False], [True]]))[1] == 5.0

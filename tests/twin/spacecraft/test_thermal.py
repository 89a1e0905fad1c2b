"""The heat network: SciPy's Radau, quadrature over an orbit, and laws for any numbers whatever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heat_networks import simple
from jax import lax
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from twin.constants import DEEP_SPACE_TEMPERATURE, STEFAN_BOLTZMANN
from twin.spacecraft.thermal import fastest_rate

PERIOD, NIGHT = 5740.0, 2150.0  # s, a low orbit


def off(temperature):
    return jnp.zeros_like(temperature), jnp.zeros_like(temperature)


# -- a network against Radau

MASS = np.array([9000.0, 54e3, 4020.0, 300.0, 1800.0, 4320.0])
GREY = np.array([3.44, 0.1152, 0.0, 0.0, 0.0, 0.704])
LINKS = ((0, 1), (1, 2), (1, 4), (1, 5), (3, 4), (4, 5))
JOINED = np.array([0.3, 2.0, 1.0, 8.0, 15.0, 20.0])
SIX = simple(MASS, JOINED, GREY, LINKS, 3)
WAVE = 2 * np.pi / PERIOD
STEADY = np.array([1800.0, 200.0, 5.0, 0.0, 0.0, 120.0])
SWING = np.array([1700.0, 0.0, 10.0, 0.0, 0.0, 60.0])


def payload(temperature):
    """180 W that fall by 1 W a kelvin: smooth, and followed inside the step."""
    return 180.0 - (temperature - 300.0), -jnp.ones_like(temperature)


@jax.jit
def smooth_march(dt, steps):
    def advance(k, temperature):
        t = k.astype(jnp.float64) * dt
        wave = (jnp.cos(WAVE * t) - jnp.cos(WAVE * (t + dt))) / (WAVE * dt)  # mean of the sine
        heat = jnp.asarray(STEADY) + jnp.asarray(SWING) * wave
        return SIX.after(temperature, heat, jnp.zeros(6), payload, dt)[0]

    return lax.fori_loop(0, steps, advance, jnp.full(6, 290.0))


def test_halving_the_step_quarters_the_error():
    def rate(t, y):
        heat = STEADY + SWING * np.sin(WAVE * t) - STEFAN_BOLTZMANN * GREY * (y**4 - 2.7**4)
        heat[3] += 180.0 - (y[3] - 300.0)
        for g, (i, j) in zip(JOINED, LINKS, strict=True):
            heat[i] -= g * (y[i] - y[j])
            heat[j] += g * (y[i] - y[j])
        return heat / MASS

    exact = solve_ivp(rate, (0, 2400), np.full(6, 290.0), "Radau", rtol=1e-11, atol=1e-9).y[:, -1]
    error = {}
    for steps in (60, 120, 240, 480):
        end = smooth_march(jnp.asarray(2400.0 / steps), jnp.asarray(steps))
        error[steps] = np.abs(np.asarray(end) - exact).max()
    print({2400 / n: f"{e:.1e} K" for n, e in error.items()})
    assert error[240] < 0.003, "10 s, smooth forcing"
    assert 3.6 < error[60] / error[120] < 4.4
    assert 3.8 < error[120] / error[240] < 4.2
    assert 3.9 < error[240] / error[480] < 4.1


# -- one node over an orbit: sphere and tumbling plate


def sunlit(time):
    """A cylindrical shadow: night is the end of each orbit."""
    return (np.mod(time, PERIOD) < PERIOD - NIGHT) * 1.0


def march(mass, grey, absorbed, temperature, dt=10.0):
    """Temperatures of one node at the ends of steps of constant (mean) absorbed heat."""
    node = simple([mass], jnp.zeros(0), [grey], ())

    def advance(t, heat):
        t = node.after(t, heat[None], jnp.zeros(1), off, jnp.asarray(dt))[0]
        return t, t[0]

    return np.asarray(lax.scan(advance, jnp.array([temperature]), jnp.asarray(absorbed))[1])


def step_means(flux, orbits, dt=10.0, fine=100):
    time = (np.arange(round(orbits * PERIOD / dt) * fine) + 0.5) * dt / fine
    return flux(time).reshape(-1, fine).mean(axis=1)


def test_orbit_average_of_a_sphere():
    """Heavy, so that its temperature is the fourth root of what it absorbs on average."""
    area, absorptance, emittance, earth = 4 * np.pi * 0.25, 0.3, 0.8, 60.0

    def flux(time):
        return absorptance * 1361.0 * area / 4 * sunlit(time) + emittance * earth * area

    time = (np.arange(200_000) + 0.5) / 200_000 * PERIOD
    mean = flux(time).mean()  # the quadrature
    expected = (mean / (STEFAN_BOLTZMANN * emittance * area) + 2.7**4) ** 0.25
    seen = march(4e5, emittance * area, step_means(flux, 30), expected - 1.0)
    assert seen[-574:].mean() == pytest.approx(expected, abs=0.2)
    assert np.ptp(seen[-574:]) < 5.0, "the closed form holds for small swings"


def test_orbit_average_of_a_tumbling_plate():
    """Light (it swings by 75 K) and turning every 611 s, against an integration of its equation."""
    area, absorptance, emittance, mass = 1.0, 0.6, 0.85, 6000.0
    grey = 2 * area * emittance

    def flux(time):
        turned = np.abs(np.cos(2 * np.pi * time / 611.0))
        return absorptance * 1361.0 * area * turned * sunlit(time) + 2 * area * emittance * 70.0

    dt = 0.05
    heat = flux((np.arange(round(3 * PERIOD / dt)) + 0.5) * dt)
    exact, temperature = [], 280.0
    for q in heat:  # the midpoint rule
        half = temperature + 0.5 * dt * (q - STEFAN_BOLTZMANN * grey * temperature**4) / mass
        temperature += dt * (q - STEFAN_BOLTZMANN * grey * half**4) / mass
        exact.append(temperature)
    exact = np.array(exact)[round(2 * PERIOD / dt) :]
    seen = march(mass, grey, step_means(flux, 3), 280.0)[-574:]
    assert np.ptp(exact) > 70.0
    assert seen.mean() == pytest.approx(exact.mean(), abs=0.2)


# -- laws for any numbers

LANES, STEPS = 1_000, 800


def any_network():
    """Three nodes of any mass and area; two may have none of the second: the chip and its plate."""
    rng = np.random.default_rng(11)

    def spread(low, high, nodes):
        return jnp.asarray(10 ** rng.uniform(np.log10(low), np.log10(high), (nodes, LANES)))

    area = spread(1e-4, 1e3, 3) * (rng.random((3, LANES)) > [[0.5], [0.5], [0.0]]).astype(float)
    mass, joined = spread(1e-3, 1e7, 3), spread(1e-2, 1e3, 2)
    body = simple(mass, joined, area, ((0, 1), (1, 2)), guarded=True)
    power = spread(1e-3, 1e5, 3) * (rng.random((3, LANES)) > 0.3).astype(float)
    start = spread(2.7, 900, 3)
    dt = jnp.asarray(10 ** rng.uniform(-1, np.log10(3600), LANES))
    return body, power, start, dt


class BRAKE:
    """A cubic between full work at 353.15 K and none at 368.15 K."""

    @staticmethod
    def throttle(temperature):
        x = jnp.clip((temperature - 353.15) / 15.0, 0.0, 1.0)
        return 1 - x * x * (3 - 2 * x), -6 * x * (1 - x) / 15.0


def one_step(body, temperature, power, dt, draw):
    """A step of one satellite, how far its heat is from closing, and how far its brake left 0…1."""

    def law(chip):
        share, slope = BRAKE.throttle(chip)
        return draw * share, draw * slope

    after, flows, stages = body.after(temperature, power, jnp.zeros(3), law, dt)
    gained = body.heat_capacity * (after - temperature) / dt
    into = flows.absorbed.sum() + flows.payload
    gap = jnp.abs(into - flows.emitted.sum() - gained.sum())
    size = jnp.abs(into) + jnp.abs(flows.emitted).sum() + jnp.abs(gained).sum()
    size = jnp.maximum(size, 1.0)
    cool = stages.work(BRAKE.throttle)
    return after, gap / size, jnp.maximum(-cool, cool - 1)


fleet_step = jax.vmap(one_step, in_axes=-1, out_axes=-1)


@jax.jit
def lowest_and_last(body, power, start, dt, draw, steps):
    """Lowest temperature on the way, last ones, worst heat residual and excess of the brake."""

    def advance(_, carry):
        low, temperature, gap, beyond = carry
        after, gap_now, beyond_now = fleet_step(body, temperature, power, dt, draw)
        low = jnp.minimum(low, after.min(axis=0))
        return low, after, jnp.maximum(gap, gap_now), jnp.maximum(beyond, beyond_now)

    none = jnp.zeros_like(dt)
    return lax.fori_loop(0, steps, advance, (none + 1e9, start, none, none))


def test_never_below_deep_space_and_goes_to_equilibrium():
    body, power, start, dt = any_network()
    low, end, worst, _ = lowest_and_last(body, power, start, dt, 0 * dt, jnp.asarray(STEPS))

    assert np.isfinite(end).all()
    assert (low >= DEEP_SPACE_TEMPERATURE * (1 - 1e-9)).all(), f"{float(low.min())} K"
    assert worst.max() < 1e-6, "heat closes for any numbers"
    balance, scale = np.asarray(equilibrium_gap(body, power, end))
    settled = np.asarray(slowest_time(body, end)) * 30 < STEPS * np.asarray(dt)
    print(f"{settled.mean():.0%} have had thirty time constants")
    assert settled.sum() > 100
    assert (np.abs(balance) < 1e-6 * scale)[:, settled].all()


def test_throttled_chip_stays_above_deep_space_and_finds_its_balance():
    """The brake is steep, and an hour is long: it may swing once, never run away."""
    body, power, start, dt = any_network()
    rng = np.random.default_rng(3)
    draw = jnp.asarray(10 ** rng.uniform(0, 5, LANES))
    low, end, worst, beyond = lowest_and_last(body, 0 * power, start, dt, draw, jnp.asarray(STEPS))

    assert np.isfinite(end).all()
    assert (low >= DEEP_SPACE_TEMPERATURE * (1 - 1e-9)).all()
    assert worst.max() < 1e-6
    assert beyond.max() < 1e-9, "the mean share of full work lies in 0…1"
    # the balance of a series network: what the chip draws leaves through all areas
    settled = np.asarray(slowest_time(body, end)) * 30 < STEPS * np.asarray(dt)
    expected = np.array([throttled_balance(body, draw, k) for k in np.flatnonzero(settled)[:400]])
    found = np.asarray(end)[0, np.flatnonzero(settled)[:400]]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_one_node_ends_at_the_closed_form():
    rng = np.random.default_rng(5)
    mass, area, power = (
        10 ** rng.uniform(np.log10(lo), np.log10(hi), 2000)
        for lo, hi in ((1e-3, 1e7), (1e-4, 1e3), (1e-3, 1e5))
    )
    node = simple(mass[None], jnp.zeros((0, 2000)), area[None], (), guarded=True)
    closed = (power / (STEFAN_BOLTZMANN * area) + DEEP_SPACE_TEMPERATURE**4) ** 0.25
    heat = jnp.asarray(power)[None]

    @jax.jit
    def settle(t):
        after = lambda _, t: node.after(t, heat, 0 * heat, off, jnp.asarray(3600.0))[0]  # noqa: E731
        return lax.fori_loop(0, 2000, after, t)

    end = np.asarray(settle(jnp.full((1, 2000), 293.0)))[0]
    time = mass / (4 * STEFAN_BOLTZMANN * area * closed**3)
    done = 40 * np.maximum(time, mass * 293.0 / power) < 2000 * 3600
    assert done.mean() > 0.6
    np.testing.assert_allclose(end[done], closed[done], rtol=1e-6)


def test_hottest_node_never_warms_without_heat():
    body, power, start, dt = any_network()
    end = lowest_and_last(body, 0 * power, start, dt, 0 * dt, jnp.asarray(1))[1]
    assert (np.asarray(end).max(axis=0) <= np.asarray(start).max(axis=0) * (1 + 1e-9)).all()


def test_fastest_rate_bounds_the_relaxation():
    """Against the eigenvalues of the linearised network: every one lies below twice the bound."""
    rates = np.asarray(fastest_rate(SIX, 400.0))
    matrix = np.diag(4 * STEFAN_BOLTZMANN * 400.0**3 * GREY)
    for g, (i, j) in zip(JOINED, LINKS, strict=True):
        matrix[[i, j], [i, j]] += g
        matrix[i, j] -= g
        matrix[j, i] -= g
    np.testing.assert_allclose(rates, np.diag(matrix) / MASS, rtol=1e-12)
    assert np.linalg.eigvals(matrix / MASS[:, None]).real.max() < 2 * rates.max()


def equilibrium_gap(body, power, temperature):
    """Net heat into each node, and what flows through it."""
    emitted = STEFAN_BOLTZMANN * body.emitting_area * (temperature**4 - DEEP_SPACE_TEMPERATURE**4)
    net, size = power - emitted, power + jnp.abs(emitted)
    for g, (i, j) in zip(body.conductance, body.links, strict=True):
        flow = g * (temperature[i] - temperature[j])
        net = net.at[i].add(-flow).at[j].add(flow)
        rounding = 1e-8 * g * temperature[i]
        size = size.at[i].add(jnp.abs(flow) + rounding).at[j].add(jnp.abs(flow) + rounding)
    return jnp.stack([net, size + 1e-9])


def slowest_time(body, temperature):
    """Upper bound of the slowest time constant: all mass behind the weakest way out, in series."""
    out = (4 * STEFAN_BOLTZMANN * body.emitting_area * temperature**3).max(axis=0)
    resist = 1 / out + (1 / body.conductance).sum(axis=0)
    return body.heat_capacity.sum(axis=0) * resist


def throttled_balance(body, draw, k):
    """Chip temperature at which what it draws equals what leaves, by root finding."""
    area = np.asarray(body.emitting_area)[:, k]
    g = np.asarray(body.conductance)[:, k]
    full = float(draw[k])

    def leaving(t, a):
        return STEFAN_BOLTZMANN * a * (t**4 - DEEP_SPACE_TEMPERATURE**4)

    def beyond(i, t):
        """Heat that node i passes on and emits when it has temperature t."""
        if i == 2:
            return leaving(t, area[2])
        nxt = brentq(lambda x: g[i] * (t - x) - beyond(i + 1, x), 2.7, t, xtol=1e-10)
        return leaving(t, area[i]) + g[i] * (t - nxt)

    def surplus(t):
        x = np.clip((t - 353.15) / 15.0, 0, 1)
        return full * (1 - x * x * (3 - 2 * x)) - beyond(0, t)

    return brentq(surplus, 2.70001, 368.15, xtol=1e-8)

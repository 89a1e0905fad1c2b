"""BUPT-1, a flown computer: a fit to its published numbers, run through our kernels. No prediction.

Three numbers of a telemetry leave much open: which load pattern and which heat capacity. The tests
say what the fit fixes and what it does not; the oracle says what is assumed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import bupt1_fit as bupt

from twin.constants import CELSIUS
from twin.spacecraft.array import steady
from twin.spacecraft.battery import RESISTANCE_TIME, Battery
from twin.spacecraft.bus import Demand, plan, settle
from twin.spacecraft.thermal import Network

LIT_POWER, LIT, DARK = 28.9, 3556.0, 2084.0  # W while lit, s, s: one orbit of 5,640 s
USED, USED_SPREAD = 28.1, 5.1  # Wh an orbit, over 196 orbits
MEAN_POWER = 17.9  # W
WH = 3600.0
SECOND = jnp.asarray(1.0)


@pytest.fixture(scope="module")
def fits():
    """Lumps of the published ranges: rows R, C, sink, burst."""
    return np.array(bupt.samples(count=400)).T


@jax.jit
def march(resistance, capacity, sink, power):
    """Chip (K) at the end of each second: one lump over a sink that never warms."""
    many = jnp.ones_like(resistance)
    network = Network(
        heat_capacity=jnp.stack([capacity, 1e15 * many]),
        conductance=(1 / resistance)[None],
        exchange=jnp.zeros((0, many.size)),
        flow=jnp.zeros((0, many.size)),
        emitting_area=jnp.zeros((2, many.size)),
        links=((0, 1),),
        pairs=(),
        pipes=(),
        chip=0,
        names=("chip", "structure"),
    )
    none = jnp.zeros((2, many.size))

    def second(temperature, watts):
        after, _, _ = network.after(
            temperature, none, none, lambda t: (watts, jnp.zeros_like(t)), SECOND
        )
        return jnp.stack(list(after)), after[0]

    start = jnp.stack([(bupt.START + CELSIUS) * many, sink + CELSIUS])
    return jax.lax.scan(second, start, power)[1] - CELSIUS


def bursts(fits):
    middles = np.arange(bupt.LENGTH)[:, None] + 0.5
    return bupt.power(middles, fits[3])


def test_every_lump_of_the_published_ranges_goes_from_13_to_57(fits):
    power = bursts(fits)
    found = np.asarray(march(*fits[:3], power))
    # A burst is whole seconds here: up to a second of 24 W is 0.2 K.
    np.testing.assert_allclose(found.max(axis=0), bupt.HIGHEST, atol=0.3)
    assert np.abs(found[0] - bupt.START).max() < 0.3, "it begins at 13 °C"
    whole = power[: int(bupt.LENGTH)].mean(axis=0)
    assert whole.max() < bupt.MEAN + 0.5, (
        "and draws no more than was measured, but for a part burst"
    )
    assert power.max() == bupt.PEAK
    print("R {:.1f} ± {:.1f} K/W, C {:.0f} ± {:.0f} J/K, burst {:.0f} ± {:.0f} s".format(
        *(f(fits[k]) for k in (0, 1, 3) for f in (np.mean, np.std))
    ))  # fmt: skip


def test_a_tenth_less_resistance_would_be_seen(fits):
    found = np.asarray(march(0.9 * fits[0], fits[1] / 0.9, fits[2], bursts(fits)))
    assert (found.max(axis=0) < bupt.HIGHEST - bupt.SPREAD[1]).all()


def test_a_steady_load_asks_for_more_resistance_than_is_published():
    """At the mean of 9.4 W, three hours in: 57 °C needs 5.4 to 6.4 K/W, and any heat capacity."""
    least, most = bupt.steady_resistance()
    assert bupt.RESISTANCE[1] < least < most
    sinks = np.array([bupt.SINK[1], bupt.SINK[0], bupt.SINK[1], bupt.SINK[0]])
    resistance = np.array([least, most, least, most])
    capacity = np.array([bupt.CAPACITY[0]] * 2 + [bupt.CAPACITY[1]] * 2)
    power = np.full((int(bupt.LENGTH), 4), bupt.MEAN)
    end = np.asarray(march(resistance, capacity, sinks, power))[-1]
    np.testing.assert_allclose(end, bupt.HIGHEST, atol=0.01)


def test_the_network_is_the_closed_form():
    """One lump, one load, one sink: an exponential. To 1e-4 K at a step of a second."""
    r, c, sink = np.array([4.15]), np.array([125.0]), np.array([1.5])
    found = np.asarray(march(r, c, sink, np.full((2000, 1), bupt.MEAN)))[:, 0]
    seconds = np.arange(1, 2001)
    end = 1.5 + 4.15 * bupt.MEAN
    exact = end + (bupt.START - end) * np.exp(-seconds / (4.15 * 125.0))
    np.testing.assert_allclose(found, exact, atol=1e-4)


@jax.jit
def orbit(capacity, load):
    """One orbit of ten-second steps, sunlight first: stored at its end, flows of each step."""
    many = jnp.ones_like(capacity)
    fill = [many * x for x in (0.998, 30.0, 30.0, 273.15, 283.15, 318.15, 328.15)]
    battery = Battery(capacity, 0 * many, RESISTANCE_TIME / capacity, *fill)
    nothing, cell = Demand(0 * many, 0 * many, 0 * many), 293.15 * many
    level, dt = jnp.zeros(many.shape, jnp.int32), jnp.asarray(4.0)

    def step(energy, available):
        light = steady(available * many)
        promise = plan(battery, nothing, level, energy, cell, light, load, load, dt)
        share = promise.payload_share * load
        flows = settle(battery, promise, energy, cell, light, share, load - share)
        return battery.after(energy, cell, flows.charge, flows.discharge, dt), flows

    lit = jnp.where(jnp.arange(1410.0) * 4.0 < LIT, LIT_POWER, 0.0)
    return jax.lax.scan(step, 0.7 * capacity, lit)


def test_what_it_used_is_what_its_array_gave():
    """28.9 W lit for 3,556 s against 28.1 ± 5.1 Wh used. The battery's size is not published."""
    capacity = jnp.asarray(WH * np.array([60.0, 100.0, 200.0]))
    end, flows = orbit(capacity, MEAN_POWER + 0 * capacity)
    given = 4.0 * np.asarray(flows.extracted).sum(axis=0) / WH
    used = 4.0 * np.asarray(flows.payload).sum(axis=0) / WH
    lost = 4.0 * np.asarray(flows.loss).sum(axis=0) / WH
    stored = (np.asarray(end) - 0.7 * np.asarray(capacity)) / WH
    np.testing.assert_allclose(given, 28.5, atol=0.05)
    np.testing.assert_allclose(used, USED, atol=0.1)
    np.testing.assert_allclose(given, used + lost + stored, atol=1e-9)
    assert np.abs(stored).max() < 0.1 * USED_SPREAD, "the orbit closes far within the spread"
    assert float(np.asarray(flows.unserved_payload).sum()) == 0.0


def test_the_harvest_that_was_published_would_not_close():
    """22.6 Wh harvested against 28.1 used: more than a battery of 60 Wh a day."""
    assert (USED - 22.6) * 86_400 / (LIT + DARK) > 60.0

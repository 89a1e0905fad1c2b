"""Identities: closed forms that our kernels must return. They test arithmetic, not the world.

Each number here follows from Stefan and Boltzmann, or from one line of bookkeeping; a published
figure that rests on the same line is reproduced as an identity and proves nothing else. From the
project's facts: the radiator's load per square metre, Starcloud's 770 - 137 = 633 W/m², and the
array against its load, 1 / (1 - f).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.constants import CELSIUS, STEFAN_BOLTZMANN
from twin.spacecraft.array import steady
from twin.spacecraft.battery import RESISTANCE_TIME, Battery
from twin.spacecraft.bus import Demand, plan, settle
from twin.spacecraft.thermal import Network

NIGHT = 0.367  # share of an orbit, of the twelve that fly
PERIOD = 5676.0  # s


def plates(emitting_area):
    """One lump each, with a radiator of so much area times emittance."""
    none = jnp.zeros((0, len(emitting_area)))
    return Network(
        heat_capacity=jnp.ones((1, len(emitting_area))),
        conductance=none,
        exchange=none,
        flow=none,
        emitting_area=jnp.asarray(emitting_area, float)[None],
        links=(),
        pairs=(),
        pipes=(),
        chip=0,
    )


def settled(emitting_area, heat, absorbed=0.0):
    """Temperature (K) at which plates get rid of a payload's heat and what they absorb."""
    load = jnp.zeros(len(emitting_area)) + heat
    warm = (jnp.zeros(len(emitting_area)) + absorbed)[None]
    found = plates(emitting_area).steady(warm, 0 * warm, lambda t: (load, 0 * t))
    return np.asarray(found[0])


def gross(emittance, temperature):
    """W/m² of panel that leave by two faces, as the network gives them in balance."""
    guess = 2 * emittance * STEFAN_BOLTZMANN * (np.asarray(temperature) + CELSIUS) ** 4
    back = settled(np.full(guess.size, 2 * emittance), jnp.asarray(guess)) - CELSIUS
    # Space returns 3 µW/m²: what is asked for is a hair more than T⁴ alone.
    np.testing.assert_allclose(back, temperature, atol=1e-4)
    return guess


@pytest.mark.parametrize(("area", "kelvin"), [(2419.0, 300.0), (1306.0, 350.0), (151.0, 600.0)])
def test_a_megawatt_by_one_side(area, kelvin):
    """ε 0.9. The areas are rounded to a square metre: 0.3 % of the smallest, 0.1 % of a kelvin."""
    (found,) = settled([0.9 * area], 1e6)
    assert found == pytest.approx(kelvin, rel=1e-3)
    (other,) = settled([0.9 * area * 1.02], 1e6)
    assert abs(other / kelvin - 1) > 1e-3, "an area off by 2 % would be seen"


def test_starcloud():
    """770 W/m² leave two faces at 20 °C with ε 0.92, 137 are absorbed: 633 are left for computers.

    Two faces at ε 0.92 and 20 °C give 770.5.
    """
    (leaving,) = gross(0.92, [20.0])
    assert leaving == pytest.approx(770.0, abs=1.0)
    (found,) = settled([2 * 0.92], 633.0, absorbed=137.0) - CELSIUS
    assert found == pytest.approx(20.0, abs=0.1)


TABLE = (  # °C, W/m² at ε 0.85 and 0.92, m²/kW two-sided less 137 W/m², one-sided less 60: facts
    (0, 537, 581, 2.50, 4.80), (20, 712, 771, 1.74, 3.38), (40, 927, 1003, 1.27, 2.48),
    (60, 1187, 1285, 0.95, 1.87), (80, 1499, 1623, 0.73, 1.45), (100, 1869, 2023, 0.58, 1.14),
)  # fmt: skip


def test_the_radiator_table():
    """Load per square metre of panel with two faces, and square metres a kilowatt."""
    warm, old, new, two, one = np.array(TABLE, float).T
    np.testing.assert_allclose(gross(0.85, warm), old, atol=0.6)
    np.testing.assert_allclose(gross(0.92, warm), new, atol=0.6)
    np.testing.assert_allclose(settled(1.70 * two, 1000.0, 137.0 * two) - CELSIUS, warm, atol=0.6)
    np.testing.assert_allclose(settled(0.85 * one, 1000.0, 60.0 * one) - CELSIUS, warm, atol=0.6)


@jax.jit
def orbits(ratio, resistance, coulombic):
    """Stored energy after five orbits over that at their start, by array's power over load."""
    load, many = 100.0, jnp.ones_like(ratio)
    capacity, dt = 3.6e6 * many, jnp.asarray(PERIOD / 1000)
    window = [many * x for x in (100.0, 100.0, 500.0, 500.0)]
    most = 1e6 * many
    battery = Battery(
        capacity, 0 * many, resistance / capacity, coulombic * many, most, most, *window
    )
    none = Demand(0 * many, 0 * many, 0 * many)
    level, cell, draw = jnp.zeros(many.shape, jnp.int32), 298.15 * many, load * many

    def step(energy, lit):
        light = steady(lit * ratio * load)
        promise = plan(battery, none, level, energy, cell, light, draw, draw, dt)
        fed = promise.payload_share * draw
        flows = settle(battery, promise, energy, cell, light, fed, draw - fed)
        return battery.after(energy, cell, flows.charge, flows.discharge, dt), flows.payload

    phase = (jnp.arange(5000.0) + 0.5) / 1000 % 1.0
    energy, served = jax.lax.scan(step, 0.5 * capacity, (phase > NIGHT).astype(float))
    return (energy - 0.5 * capacity) / (load * 5 * PERIOD), served.min()


def break_even(resistance, coulombic):
    """Array's power in the Sun over a constant load at which the battery ends as it began."""
    ratios = jnp.asarray(np.linspace(1.4, 2.0, 61))
    gained, served = orbits(ratios, jnp.asarray(resistance), jnp.asarray(coulombic))
    assert float(served) == pytest.approx(100.0), "the load is served throughout"
    return float(np.interp(0.0, np.asarray(gained), np.asarray(ratios)))


def test_an_array_must_give_more_than_its_load():
    """1 / (1 - f) = 1.58 at f = 0.367 if nothing is lost; 1.61 where a battery returns 0.95."""
    plain = break_even(0.0, 1.0)
    assert plain == pytest.approx(1 / (1 - NIGHT), abs=1e-3)
    assert round(plain, 2) == 1.58
    lossy = break_even(0.0, 0.95)
    assert lossy == pytest.approx(1 + NIGHT / (1 - NIGHT) / 0.95, abs=2e-3)
    assert round(lossy, 2) == 1.61
    assert plain < break_even(RESISTANCE_TIME, 0.998) < lossy, "a large battery loses less"

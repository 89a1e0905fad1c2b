"""Small fleets, named for what they are, and the one compiled rollout that many tests share."""

from datetime import UTC, datetime

import jax
import jax.numpy as jnp
import pytest
from calling import command, tiny, tiny_run  # noqa: F401  # fixtures

SHELL = """
[run]
start = {start}
duration_h = 24
samples = 0
[environment]
shadow = "sphere"
[class.small]                  # every number is a default of the scenario
[class.large]                  # a training satellite of some tens of kilowatts
array_m2 = 110
battery_wh = 30_000
survival_w = 1000
comms_w = 100
isl_w = 400
battery_heater_w = 300
payload = {{ kind = "training" }}
[class.large.body]
bus_heat_capacity_j_k = 900e3
avionics_heat_capacity_j_k = 60e3
chip_heat_capacity_j_k = 20e3
cold_plate_heat_capacity_j_k = 50e3
loop_heat_capacity_j_k = 50e3
terminals_heat_capacity_j_k = 40e3
array_bus_w_k = 3
bus_avionics_w_k = 100
bus_battery_w_k = 60
bus_cold_plate_w_k = 10
bus_terminals_w_k = 6
bus_blanket_w_k = 2.5
avionics_radiator_w_k = 250
chip_cold_plate_w_k = 800
cold_plate_loop_w_k = 3000
loop_radiator_w_k = 3000
bus_radiator_w_k = 80
radiator_m2 = 60
terminals_area_m2 = 0.8
box_face_m2 = 6
[[shell]]
class = "small"
satellites = {small}
planes = {planes}
altitude_km = 550
inclination_deg = 53
raan_deg = 20
[[shell]]
class = "large"
satellites = {large}
planes = {planes}
altitude_km = 650
inclination_deg = 97.99
raan_deg = 70
"""
RECORDS, STEPS = 6, 6


@pytest.fixture(scope="session")
def equinox_noon():
    """The March equinox of 2025, noon in Greenwich: the Sun stands in the Earth's equator."""
    return datetime(2025, 3, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def shell_scenario(equinox_noon):
    return _scenario(equinox_noon, small=12, large=12, planes=3)


@pytest.fixture(scope="session")
def small_shell(shell_scenario):
    """12 small satellites at 53° and 12 large ones at 98°, of which four see no night."""
    from twin.build import build
    from twin.fleet import fleet

    return build(shell_scenario, fleet(shell_scenario))


@pytest.fixture(scope="session")
def one_satellite(equinox_noon):
    """One small satellite, every number a default."""
    from twin.build import build
    from twin.fleet import fleet

    scenario = _scenario(equinox_noon, small=1, large=0, planes=1)
    return build(scenario, fleet(scenario))


@pytest.fixture(scope="session")
def engine(small_shell):
    """A run of six records of six steps, in chunks of three."""
    from twin.simulate import Clock, Engine

    return Engine(*small_shell, Clock(dt=10.0, steps=STEPS, records=RECORDS, chunk=3))


@pytest.fixture(scope="session")
def live(engine, small_shell):
    """Six records of six steps of any fleet like the small shell: compiled once for all tests."""
    engine.advance(engine.start(small_shell[1]), 0, RECORDS)
    program = engine._programs[RECORDS]

    def run(constellation, state, first=0, dt=10.0):
        fleet = engine.put(constellation, engine._in[0])
        start = engine.put(state, engine._in[1])
        return program(fleet, start, jnp.asarray(first), jnp.asarray(dt))

    return run


@pytest.fixture(scope="session")
def orbit(live):
    """As `live`, for `records` (a multiple of six) in a row: final state and telemetry."""

    def run(constellation, state, records, dt=10.0):
        pieces = []
        for first in range(0, records, RECORDS):
            state, telemetry = live(constellation, state, first, dt)
            pieces.append(telemetry)
        return state, jax.tree.map(lambda *x: jnp.concatenate(x), *pieces)

    return run


def _scenario(start, small, large, planes):
    from twin.load import parse

    stamp = start.strftime("%Y-%m-%dT%H:%M:%SZ")
    return parse(SHELL.format(start=stamp, small=small, large=large, planes=planes))

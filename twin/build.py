"""Fleet → Constellation and first State: what the satellites are made of, in SI from here on.

A build may hold many variants of one scenario, side by side on the satellite axis: that is how the
error bars are run, as one batch.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twin import tally
from twin.constants import CELSIUS, EARTH_FLATTENING, HOUR, WH
from twin.constellation import (
    CHIP,
    LINKS,
    NODES,
    Constellation,
    Satellite,
    Skin,
    State,
    Surroundings,
)
from twin.fleet import Fleet, device_numbers
from twin.profiles import Profile
from twin.scenario import InferencePayload, Scenario, TrainingPayload
from twin.spacecraft.payload import Payload
from twin.spacecraft.power import Battery, SolarArray
from twin.spacecraft.thermal import Network, fastest_rate

REFERENCE = 28.0 + CELSIUS  # K, at which cell efficiencies are quoted
HARSH_RATE = 4.0  # relaxations a step: beyond it the guarded thermal step is compiled
FACES = {
    "cold": (0, 0, -1),
    "sunward": (0, 0, 1),
    "zenith": (1, 0, 0),
    "nadir": (-1, 0, 0),
    "wake": (0, -1, 0),
}  # up, along, and across towards the Sun

Value = Callable[[str], np.ndarray]
"""A number of the scenario by its dotted name: one value, or one per variant."""


def build(
    scenario: Scenario,
    fleet: Fleet,
    value: Value | None = None,
    lanes: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Constellation, State]:
    """The arrays of a run.

    `lanes` names for each place on the satellite axis its satellite and its variant; `value` looks
    numbers up. Without them: every satellite once, as the scenario says.
    """
    value = value or nominal(scenario)
    satellite, variant = lanes or (np.arange(len(fleet)), np.zeros(len(fleet), np.int64))
    per_class = [
        _parameters(scenario, name, fleet.profiles.get(name), value) for name in fleet.classes
    ]
    pick = fleet.class_index[satellite]

    def lane(key: str) -> jax.Array:
        rows = [np.atleast_1d(np.asarray(p[key], dtype=np.float64)) for p in per_class]
        table = np.stack([np.broadcast_to(row, (variant.max() + 1,)) for row in rows])
        return jnp.asarray(table[pick, variant])

    body = Network(
        heat_capacity=jnp.stack([lane(f"heat_capacity.{node}") for node in NODES]),
        conductance=jnp.stack([lane(f"conductance.{link}") for link in LINKS]),
        emitting_area=jnp.stack([lane(f"emitting_area.{node}") for node in NODES]),
        links=tuple(LINKS.values()),
        chip=CHIP,
    )
    rates = fastest_rate(body, 400.0)
    stiff = float(jnp.max(rates)) * scenario.run.step_s > HARSH_RATE
    satellites = Satellite(
        orbit=jax.tree.map(lambda x: x[..., satellite], fleet.orbit),
        surroundings=_fill(Surroundings, lane),
        skin=_fill(
            Skin, lane, radiator_normal=jnp.stack([lane(f"radiator_normal.{i}") for i in range(3)])
        ),
        panels=_fill(SolarArray, lane),
        battery=_fill(Battery, lane),
        body=replace(body, guarded=stiff),
        payload=_fill(Payload, lane),
        housekeeping_power=lane("housekeeping_power"),
    )
    energy = satellites.battery.capacity * lane("battery_start")
    temperature = jnp.broadcast_to(lane("temperature_start"), (len(NODES), satellite.size))
    none = jnp.zeros_like(energy)
    state = State(
        battery_energy=energy,
        temperature=temperature,
        battery_loss=none,
        shunted=none,
        alive=jnp.ones(energy.shape, bool),
        ledger=tally.opened(energy, temperature),
    )
    return Constellation(satellites, fleet.sun), state


def nominal(scenario: Scenario) -> Value:
    """The scenario's own numbers; profile factors are one."""

    def value(name: str) -> np.ndarray:
        if name.startswith("profile."):
            return np.ones(())
        here: Any = scenario
        for part in name.split("."):
            here = here[part] if isinstance(here, dict) else getattr(here, _field(part))
        return np.asarray(here.value)

    return value


def _field(part: str) -> str:
    return "class_" if part == "class" else part


def _parameters(
    scenario: Scenario, name: str, profile: Profile | None, value: Value
) -> dict[str, np.ndarray | float]:
    """All parameters of one class in SI, each one value or one per variant."""
    design = scenario.class_[name]
    base, payload = f"class.{name}", design.payload

    def of(key: str) -> np.ndarray:
        return value(f"{base}.{key}")

    def body(key: str) -> np.ndarray:
        return value(f"{base}.body.{key}")

    area, radiator, sides = of("array_m2"), body("radiator_m2"), design.body.radiator_sides
    aged = (1 - of("array_ageing_per_year")) ** of("array_age_years")
    capacity = of("battery_wh") * WH
    most = of("battery_c_rate_per_h") * capacity / HOUR
    up, along, across = FACES[design.body.radiator_faces]
    front, back = body("array_front_emittance"), body("array_back_emittance")
    devices = payload.devices
    return _device(payload, profile, name, value) | {
        "solar_constant": value("environment.solar_constant_w_m2"),
        "albedo": value("environment.albedo"),
        "infrared": value("environment.earth_infrared_w_m2"),
        "flattening": EARTH_FLATTENING if scenario.environment.shadow == "ellipsoid" else 0.0,
        "array_area": area,
        "two_axis": design.array_axes - 1.0,
        "front_absorptance": body("array_front_absorptance"),
        "front_emittance": front,
        "back_absorptance": body("array_back_absorptance"),
        "back_emittance": back,
        "radiator_area": radiator,
        "radiator_sides": float(sides),
        "radiator_normal.0": float(up),
        "radiator_normal.1": float(along),
        "radiator_normal.2": float(across),
        "radiator_absorptance": body("radiator_absorptance"),
        "radiator_emittance": body("radiator_emittance"),
        "box_face": body("box_face_m2"),
        "box_absorptance": body("box_absorptance"),
        "box_emittance": body("box_emittance"),
        "area": area,
        "efficiency": of("array_efficiency") * of("array_losses") * aged,
        "temperature_coefficient": of("array_temperature_coefficient_per_k"),
        "reference_temperature": REFERENCE,
        "capacity": capacity,
        "floor": of("battery_floor") * capacity,
        "charge_efficiency": of("battery_charge_efficiency"),
        "discharge_efficiency": of("battery_discharge_efficiency"),
        "charge_limit": most,
        "discharge_limit": most,
        "heat_capacity.array": body("array_heat_capacity_j_k_m2") * area,
        "heat_capacity.bus": body("bus_heat_capacity_j_k"),
        "heat_capacity.battery": body("battery_heat_capacity_j_k_wh") * of("battery_wh"),
        "heat_capacity.chip": body("chip_heat_capacity_j_k") * devices,
        "heat_capacity.cold_plate": body("cold_plate_heat_capacity_j_k"),
        "heat_capacity.radiator": body("radiator_heat_capacity_j_k_m2") * radiator,
        "conductance.array_bus": body("array_bus_w_k"),
        "conductance.bus_battery": body("bus_battery_w_k"),
        "conductance.bus_cold_plate": body("bus_cold_plate_w_k"),
        "conductance.bus_radiator": body("bus_radiator_w_k"),
        "conductance.chip_cold_plate": body("chip_cold_plate_w_k") * devices,
        "conductance.cold_plate_radiator": body("cold_plate_radiator_w_k"),
        "emitting_area.array": area * (front + back),
        "emitting_area.bus": 6 * body("box_face_m2") * body("box_emittance"),
        "emitting_area.battery": 0.0,
        "emitting_area.chip": 0.0,
        "emitting_area.cold_plate": 0.0,
        "emitting_area.radiator": sides * radiator * body("radiator_emittance"),
        "devices": float(devices),
        "reserve": 1 - of("battery_depth"),
        "reserve_band": of("battery_ration_band"),
        "housekeeping_power": of("housekeeping_w"),
        "battery_start": of("battery_start"),
        "temperature_start": of("temperature_start_k"),
    }


def _device(
    payload: InferencePayload | TrainingPayload, profile: Profile | None, name: str, value: Value
) -> dict[str, np.ndarray | float]:
    """Draw, rate and temperature limits of one device."""
    if profile is None or not isinstance(payload, InferencePayload):
        full = value(f"class.{name}.payload.compute_w")
        return {
            "idle_power": full * value(f"class.{name}.payload.idle_share"),
            "full_power": full,
            "tokens_rate": 0.0,
            "throttle_start": value(f"class.{name}.payload.throttle_start_k"),
            "throttle_full": value(f"class.{name}.payload.throttle_full_k"),
        }
    device = device_numbers(payload, profile, name)
    full = device.active_power * value(f"profile.{name}.active_power")
    return {
        "idle_power": np.minimum(device.idle_power * value(f"profile.{name}.idle_power"), full),
        "full_power": full,
        "tokens_rate": device.tokens_per_s * value(f"profile.{name}.throughput"),
        "throttle_start": device.throttle_start or 358.15,
        "throttle_full": device.throttle_full or 368.15,
    }


def _fill(cls, lane: Callable[[str], jax.Array], **given: jax.Array):
    """A module whose fields are the lane's parameters of the same names."""
    names = [f for f in cls.__dataclass_fields__ if f not in given]
    return cls(**{name: lane(name) for name in names}, **given)

"""Scenario → Constellation and first State: the one place where units are converted.

A build may hold many variants of one scenario, side by side on the satellite axis: that is how the
error bars are run, as one batch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from twin import tally
from twin.catalog import ElementSet, mean_altitude, read_elements
from twin.clock import Epoch
from twin.constants import CELSIUS, DAY, DEG, EARTH_FLATTENING, EARTH_RADIUS, HOUR, KM, WH
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
from twin.environment.sun import SunEphemeris, mean_sun_right_ascension, sun_ephemeris
from twin.orbits.elements import AbstractOrbit
from twin.orbits.secular import SecularOrbit, secular_from_elements, sun_synchronous, walker
from twin.orbits.sgp4 import sgp4_orbit
from twin.problems import InputError, Problem
from twin.profiles import DeviceNumbers, Profile, load_profile
from twin.scenario import CatalogShell, InferencePayload, Scenario, SunSynchronousShell
from twin.spacecraft.payload import Payload
from twin.spacecraft.power import Battery, SolarArray
from twin.spacecraft.thermal import Network, fastest_rate

ELEMENTS = Path(str(files("assets"))) / "elements"
REFERENCE = 28.0 + CELSIUS  # K, at which cell efficiencies are quoted
STALE = 14 * DAY  # beyond this age an element set is worth a warning
HARSH_RATE = 0.5  # of a step: faster nodes get the guarded thermal step
FACES = {
    "cold": (0, 0, -1),
    "sunward": (0, 0, 1),
    "zenith": (1, 0, 0),
    "nadir": (-1, 0, 0),
    "wake": (0, -1, 0),
}  # up, along, and across towards the Sun

Value = Callable[[str], np.ndarray]
"""A number of the scenario by its dotted name: one value, or one per variant."""


@dataclass(frozen=True)
class Fleet:
    """Who flies: what does not change from variant to variant."""

    orbit: AbstractOrbit
    sun: SunEphemeris
    start: Epoch
    names: tuple[str, ...]
    norad: np.ndarray  # 0 for planned satellites
    altitude: np.ndarray  # m, mean (Kozai), above the equatorial radius
    shell: np.ndarray  # index of the scenario's shell
    class_index: np.ndarray
    classes: tuple[str, ...]
    profiles: dict[str, Profile]  # by class; a training class has none
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def fleet(scenario: Scenario, folders: Sequence[Path] = ()) -> Fleet:
    """Place every satellite of a scenario; files it names are looked for in `folders` too."""
    start = Epoch.from_datetime(scenario.run.start_utc)
    duration = scenario.run.duration_h * HOUR
    try:
        sun = sun_ephemeris(start, duration)
    except ValueError as error:
        raise InputError([Problem("run.start", str(error), hint="choose another start")]) from None
    classes = tuple(scenario.class_)
    orbits, names, norad, altitude, shells, members, warnings = [], [], [], [], [], [], []
    for index, shell in enumerate(scenario.shell):
        where = f"shell[{index}]"
        if isinstance(shell, CatalogShell):
            sets = _selected(shell, where, folders)
            warnings += _stale(sets, start, duration)
            make = sgp4_orbit if scenario.propagator == "sgp4" else secular_from_elements
            try:
                orbit = make(sets, start)
            except ValueError as error:
                raise InputError([Problem(f"{where}.elements", str(error))]) from None
            called, numbers = [s.name for s in sets], [s.norad for s in sets]
            altitude += [mean_altitude(s) for s in sets]
        elif shell.satellites == 0:
            continue
        else:
            orbit = _shell(shell, where, start)
            called = [f"S{index + 1}-{k + 1:04d}" for k in range(shell.satellites)]
            numbers = [0] * shell.satellites
            altitude += [shell.altitude_km * KM] * shell.satellites
        orbits.append(orbit)
        names += called
        norad += numbers
        shells += [index] * len(called)
        members += [classes.index(shell.class_ or classes[0])] * len(called)
    return Fleet(
        orbit=_side_by_side(orbits),
        sun=sun,
        start=start,
        names=tuple(names),
        norad=np.array(norad, np.int32),
        altitude=np.array(altitude),
        shell=np.array(shells, np.int32),
        class_index=np.array(members, np.int32),
        classes=classes,
        profiles=_profiles(scenario, folders),
        warnings=tuple(warnings),
    )


def build(
    scenario: Scenario,
    fleet: Fleet,
    value: Value | None = None,
    lanes: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Constellation, State]:
    """The arrays of a run. `lanes` names for each place on the satellite axis its satellite and its
    variant; `value` looks numbers up. Without them: every satellite once, as the scenario says.
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
    stiff = float(jnp.max(rates)) * scenario.run.step_s > HARSH_RATE * 8
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
        ledger=tally.opened(energy, temperature[CHIP]),
    )
    return Constellation(satellites, fleet.sun), state


def nominal(scenario: Scenario) -> Value:
    """The scenario's own numbers; profile factors are one."""

    def value(name: str) -> np.ndarray:
        if name.startswith("profile."):
            return np.ones(())
        here = scenario
        for part in name.split("."):
            here = here[part] if isinstance(here, dict) else getattr(here, _field(here, part))
        return np.asarray(here.value)

    return value


def _field(section: object, part: str) -> str:
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
    payload: InferencePayload | object, profile: Profile | None, name: str, value: Value
) -> dict[str, np.ndarray | float]:
    """Draw, rate and temperature limits of one device."""
    if profile is None:
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


def device_numbers(payload: InferencePayload, profile: Profile, name: str) -> DeviceNumbers:
    """The profile at the scenario's batch and cap."""
    try:
        return profile.device_numbers(payload.batch, payload.power_cap_w)
    except InputError as error:
        where = f"class.{name}.payload"
        raise InputError(
            [replace(p, where=f"{where}: {p.where}") for p in error.problems]
        ) from None


def _profiles(scenario: Scenario, folders: Sequence[Path]) -> dict[str, Profile]:
    found = {}
    for name, design in scenario.class_.items():
        if isinstance(design.payload, InferencePayload):
            found[name] = load_profile(_local(design.payload.profile, folders))
            device_numbers(design.payload, found[name], name)
    return found


def _local(name: str, folders: Sequence[Path]) -> str:
    """A file that a scenario names: beside the scenario (or kept with its run), or as it stands."""
    beside = (Path(folder) / tail for folder in folders for tail in (name, Path(name).name))
    return str(next((path for path in beside if path.is_file()), name))


def elements_path(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of element sets that a bare name or path means."""
    shipped = ELEMENTS / f"{name}.csv"
    return shipped if shipped.is_file() else Path(_local(name, folders))


def _selected(shell: CatalogShell, where: str, folders: Sequence[Path]) -> list[ElementSet]:
    sets = read_elements(elements_path(shell.elements, folders))
    if shell.norad is None:
        return sets
    missing = sorted(set(shell.norad) - {s.norad for s in sets})
    if missing:
        known = ", ".join(str(s.norad) for s in sets[:20])
        what = f"{shell.elements} has no satellite {', '.join(map(str, missing))}"
        raise InputError([Problem(f"{where}.norad", what, known)])
    return [s for s in sets if s.norad in shell.norad]


def _stale(sets: list[ElementSet], start: Epoch, duration: float) -> list[str]:
    ages = [
        max(abs(start.seconds_since(s.epoch)), abs(start.plus(duration).seconds_since(s.epoch)))
        for s in sets
    ]
    worst = int(np.argmax(ages))
    old = sum(age > STALE for age in ages)
    if not old:
        return []
    return [
        f"{old} of {len(sets)} element sets are more than 14 days from the run (worst: {sets[worst].name},"
        f" {ages[worst] / DAY:.0f} days): positions drift by 1 to 3 km a day"
    ]


def _shell(shell, where: str, start: Epoch) -> SecularOrbit:
    count = shell.satellites
    planes = shell.planes or min(
        (d for d in range(1, count + 1) if count % d == 0), key=lambda d: abs(d - math.sqrt(count))
    )
    if count % planes:
        fits = [d for d in range(1, count + 1) if count % d == 0]
        near = min(fits, key=lambda d: abs(d - planes))
        what = f"{count} satellites do not fill {planes} planes evenly"
        raise InputError([Problem(f"{where}.planes", what, hint=f"{near} planes would")])
    common = {"semi_major_axis": EARTH_RADIUS + shell.altitude_km * KM, "phasing": shell.phasing}
    if isinstance(shell, SunSynchronousShell):
        spread = shell.ltan_spread_h / 24 * 2 * math.pi
        gaps = max(planes - 1, 1)
        return sun_synchronous(
            count,
            planes,
            ltan=shell.ltan_h * HOUR,
            sun_right_ascension=mean_sun_right_ascension(start),
            spread=spread * planes / gaps,
            **common,
        )
    return walker(
        count, planes, inclination=shell.inclination_deg * DEG, raan=shell.raan_deg * DEG, **common
    )


def _side_by_side(orbits: list[AbstractOrbit]) -> AbstractOrbit:
    if len(orbits) == 1:
        return orbits[0]
    if isinstance(orbits[0], SecularOrbit):
        static = {
            "iterations": max(o.iterations for o in orbits),
            "small": all(o.small for o in orbits),
        }
    else:
        static = {
            "iterations": max(o.iterations for o in orbits),
            "eccentricity_limit": max(o.eccentricity_limit for o in orbits),
        }
    alike = [replace(o, **static) for o in orbits]
    return jax.tree.map(lambda *x: jnp.concatenate(x, axis=-1), *alike)


def _fill(cls, lane: Callable[[str], jax.Array], **given: jax.Array):
    """A module whose fields are the lane's parameters of the same names."""
    names = [f for f in cls.__dataclass_fields__ if f not in given]
    return cls(**{name: lane(name) for name in names}, **given)

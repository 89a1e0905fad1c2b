"""Fleet → Constellation and first State: what the satellites are made of, in SI from here on.

A build may hold many variants of one scenario, side by side on the satellite axis: that is how the
error bars are run, as one batch.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twin import tally
from twin.anatomy import Anatomy, anatomy
from twin.arrays import Each, Scalar
from twin.constants import CELSIUS, DAY, EARTH_FLATTENING, EARTH_ROTATION, HOUR, WH
from twin.constellation import CHIP, Constellation, Satellite, Skin, State, Surroundings
from twin.crafts import Gallery, gallery
from twin.environment.radiation import upset_stream, upsets, waiting
from twin.environment.sun import sun_positions
from twin.fleet import Fleet, device_numbers
from twin.frames import earth_rotation
from twin.parts import materials
from twin.profiles import Profile
from twin.scenario import InferencePayload, Scenario, TrainingPayload
from twin.spacecraft.array import SolarArray, aged
from twin.spacecraft.attitude import Attitude, inertial_axes
from twin.spacecraft.battery import Battery
from twin.spacecraft.bus import Loads
from twin.spacecraft.payload import RESUME_MARGIN, SHUTDOWN_MARGIN, Governor, Payload
from twin.spacecraft.thermal import Heater, Network, exchange_rate, fastest_rate

REFERENCE = 28.0 + CELSIUS  # K, at which cell efficiencies are quoted
TIGHT_RATE = 0.1  # of an exchange, a step: beyond it the exchange enters the step's matrix
HARSH_RATE = 4.0  # relaxations a step: beyond it the guarded thermal step is compiled
THROTTLE_START, THROTTLE_FULL = 358.15, 368.15  # K, where a profile gives none. Assumed
WAKE, RESTART = 5.0, 98.0  # s; of a training payload: as the profiles' own defaults

Value = Callable[[str], np.ndarray]
"""A number of the scenario by its dotted name: one value, or one per variant."""

Lane = Callable[[str], Each]
"""A parameter by name, along the satellite axis."""


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
    shown = gallery(scenario, fleet)
    designs = {name: scenario.class_[name] for name in fleet.classes}
    body = anatomy(designs, shown, lambda name: lambda key: value(f"class.{name}.{key}"))
    per_class = [
        _parameters(scenario, name, fleet.profiles.get(name), value) | body.parameters(name)
        for name in fleet.classes
    ]
    pick = fleet.class_index[satellite]

    def lane(key: str) -> jax.Array:
        rows = [np.atleast_1d(np.asarray(p[key], dtype=np.float64)) for p in per_class]
        table = np.stack([np.broadcast_to(row, (variant.max() + 1,)) for row in rows])
        return jnp.asarray(table[pick, variant])

    satellites = Satellite(
        number=jnp.asarray(satellite, jnp.int32),
        orbit=jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[..., satellite]), fleet.orbit),
        surroundings=_fill(Surroundings, lane),
        attitude=_attitude(scenario, fleet, shown, satellite),
        skin=_skin(body, shown, satellite, lane),
        panels=_fill(SolarArray, lane),
        battery=_fill(Battery, lane, held=None),
        loads=Loads(
            **{name: lane(f"{name}_power") for name in ("survival", "comms", "isl")},
            shed_below=_rows(lane, [f"shed_below.{k}" for k in (1, 2, 3)]),
            restored_above=_rows(lane, [f"restored_above.{k}" for k in (1, 2, 3)]),
        ),
        body=_network(body, lane, scenario.run.step_s),
        heaters=Heater(
            power=_rows(lane, [f"heater_power.{k}" for k in range(len(body.heaters))]),
            on_below=_rows(lane, [f"heater_on.{k}" for k in range(len(body.heaters))]),
            off_above=_rows(lane, [f"heater_off.{k}" for k in range(len(body.heaters))]),
            nodes=body.heaters,
        ),
        payload=_fill(Payload, lane),
        governor=_fill(Governor, lane),
        upsets=upsets(lane("upset_rate"), lane("anomaly_share")),
        one=jnp.ones(satellite.size),
    )
    constellation = Constellation(
        satellites=satellites,
        sun=fleet.sun,
        views=shown.views,
        still=jnp.asarray(inertial_axes(sun_positions(fleet.start, np.zeros(1))[0])),
        rotation=jnp.asarray([float(earth_rotation(fleet.start, np.zeros(1))[0]), EARTH_ROTATION]),
        stream=upset_stream(jax.random.PRNGKey(scenario.run.seed)),
    )
    first = _first_state(constellation, lane("battery_start"), lane("temperature_start"))
    return constellation, first


@jax.jit
def _first_state(constellation: Constellation, charge: Each, kelvin: Each) -> State:
    """All satellites as they begin: nothing shed, nothing down, the first upset still to come.

    Compiled: one small program instead of forty, each of which takes a hundredth of a second.
    """
    satellites = constellation.satellites
    energy = satellites.battery.capacity * charge
    nodes = len(satellites.body.names)
    temperature = jnp.broadcast_to(kelvin, (nodes, energy.size))
    none, count = jnp.zeros_like(energy), jnp.zeros(energy.shape, jnp.int32)
    no = jnp.zeros(energy.shape, bool)
    return State(
        battery_energy=energy,
        temperature=temperature,
        battery_loss=none,
        shunted=none,
        alive=jnp.ones(energy.shape, bool),
        shed=count,
        starved=no,
        heating=jnp.zeros(satellites.heaters.power.shape, bool),
        tripped=no,
        down=none,
        hazard_left=waiting(constellation.stream, satellites.number, count),
        upsets=count,
        ledger=tally.opened(energy, temperature),
    )


def _network(body: Anatomy, lane: Lane, step: float) -> Network:
    """The thermal network, with the guard compiled in where a node is fast for the step."""
    nodes = range(len(body.nodes))
    network = Network(
        heat_capacity=_rows(lane, [f"heat_capacity.{k}" for k in nodes]),
        conductance=_rows(lane, [f"conductance.{k}" for k in range(len(body.links))]),
        exchange=_rows(lane, [f"exchange.{k}" for k in range(len(body.pairs))]),
        flow=_rows(lane, [f"flow.{k}" for k in range(len(body.pipes))]),
        emitting_area=_rows(lane, [f"emitting_area.{k}" for k in nodes]),
        names=body.nodes,
        links=body.links,
        pairs=body.pairs,
        pipes=body.pipes,
        chip=CHIP,
        arithmetic=body.arithmetic,
        enclosed=body.enclosed,
    )
    own, mutual = _quickest(network)
    stiff = float(own) * step > HARSH_RATE
    tight = stiff or float(mutual) * step > TIGHT_RATE
    return replace(network, guarded=stiff, tight=tight)


@jax.jit
def _quickest(network: Network) -> tuple[Scalar, Scalar]:
    """The largest rates (1/s) of a node and of an exchange, at 400 K. Compiled: a whole network."""
    own, mutual = fastest_rate(network, 400.0), exchange_rate(network, 400.0)
    return jnp.max(own), jnp.max(mutual, initial=0.0)


def _skin(body: Anatomy, shown: Gallery, satellite: np.ndarray, lane: Lane) -> Skin:
    surfaces = range(len(body.surfaces))
    return Skin(
        area=_rows(lane, [f"surface_area.{k}" for k in surfaces]),
        absorptance=_rows(lane, [f"surface_absorptance.{k}" for k in surfaces]),
        emittance=_rows(lane, [f"surface_emittance.{k}" for k in surfaces]),
        shape=jnp.asarray(shown.shape[satellite], jnp.int32),
        nodes=body.surface_nodes,
        front=0,
        back=1,
    )


def _attitude(scenario: Scenario, fleet: Fleet, shown: Gallery, satellite: np.ndarray) -> Attitude:
    """Which attitude each class takes in the light, in the dark and in safe mode."""
    designs = [scenario.class_[name] for name in fleet.classes]
    member = fleet.class_index[satellite]

    def chosen(names: list[str]) -> jax.Array:
        return jnp.asarray(np.array([shown.kinds.index(n) for n in names])[member], jnp.int32)

    return Attitude(
        lit=chosen([d.attitude for d in designs]),
        dark=chosen([d.attitude_dark or d.attitude for d in designs]),
        safe=chosen([d.attitude_safe or d.attitude for d in designs]),
        kinds=shown.kinds,
    )


def _rows(lane: Lane, keys: list[str]) -> jax.Array:
    """Several parameters, one a row; without any, no rows for as many satellites."""
    return jnp.asarray(np.stack([lane(key) for key in keys]) if keys else lane("area")[None][:0])


def nominal(scenario: Scenario) -> Value:
    """The scenario's own numbers; profile factors are one."""

    def value(name: str) -> np.ndarray:
        if name.startswith("profile."):
            return np.ones(())
        here: Any = scenario
        for part in name.split("."):
            here = _inside(here, part)
        return np.asarray(here.value)

    return value


def _inside(here: Any, part: str) -> Any:
    if isinstance(here, dict):
        return here[part] if part in here else materials()[part]  # a class may use built-in ones
    if isinstance(here, tuple):
        return here[int(part)]
    return getattr(here, "class_" if part == "class" else part)


def _parameters(
    scenario: Scenario, name: str, profile: Profile | None, value: Value
) -> dict[str, np.ndarray | float]:
    """All parameters of one class in SI, each one value or one per variant."""
    base, payload = f"class.{name}", scenario.class_[name].payload

    def of(key: str) -> np.ndarray:
        return value(f"{base}.{key}")

    area, capacity = of("array_m2"), of("battery_wh") * WH
    whole = of("array_packing") * of("array_wiring") * of("array_tracker")
    age = of("array_age_years"), of("array_ageing_per_year")
    most = of("battery_c_rate_per_h") * capacity / HOUR
    reserve = 1 - of("battery_depth")
    again = reserve + 0.5 * of("battery_ration_band")
    isl, safe, more = of("shed_isl_below"), of("safe_below"), of("shed_hysteresis")
    return _device(payload, profile, name, value) | {
        "solar_constant": value("environment.solar_constant_w_m2"),
        "albedo": value("environment.albedo"),
        "infrared": value("environment.earth_infrared_w_m2"),
        "flattening": EARTH_FLATTENING if scenario.environment.shadow == "ellipsoid" else 0.0,
        "area": area,
        "efficiency": aged(of("array_efficiency") * whole, *age),
        "back_efficiency": aged(of("array_back_efficiency") * whole, *age),
        "temperature_coefficient": of("array_temperature_coefficient_per_k"),
        "reference_temperature": REFERENCE,
        "capacity": capacity,
        "floor": of("battery_floor") * capacity,
        "resistance": of("battery_resistance_share") * HOUR / capacity,
        "coulombic_efficiency": of("battery_coulombic_efficiency"),
        "charge_limit": most,
        "discharge_limit": most,
        "charge_cold": of("battery_charge_cold_k"),
        "charge_warm": of("battery_charge_warm_k"),
        "charge_hot": of("battery_charge_hot_k"),
        "charge_stop": of("battery_charge_stop_k"),
        "survival_power": of("survival_w"),
        "comms_power": of("comms_w"),
        "isl_power": of("isl_w"),
        "shed_below.1": reserve,
        "shed_below.2": np.minimum(isl, reserve),
        "shed_below.3": np.minimum(safe, reserve),
        "restored_above.1": again,
        "restored_above.2": np.minimum(isl + more, again),
        "restored_above.3": np.minimum(safe + more, again),
        "devices": float(payload.devices),
        "reserve": reserve,
        "reserve_band": of("battery_ration_band"),
        "upset_rate": of("resets_per_day") / DAY,
        "anomaly_share": of("anomaly_share"),
        "battery_start": of("battery_start"),
        "temperature_start": of("temperature_start_k"),
    }


def _device(
    payload: InferencePayload | TrainingPayload, profile: Profile | None, name: str, value: Value
) -> dict[str, np.ndarray | float]:
    """Draw, rate, states and temperature limits of one device."""
    if profile is None or not isinstance(payload, InferencePayload):

        def own(key: str) -> np.ndarray:
            return value(f"class.{name}.payload.{key}")

        full = own("compute_w")
        idle = full * own("idle_share")
        return {
            "idle_power": idle,
            "full_power": full,
            "tokens_rate": 0.0,
            "throttle_start": own("throttle_start_k"),
            "throttle_full": own("throttle_full_k"),
            "curvature": own("power_curvature"),
            "shutdown": own("shutdown_k"),
            "resume": own("resume_k"),
            "sleep_power": idle * own("sleep_share"),
            "wake": WAKE,
            "restart": RESTART,
        }
    device = device_numbers(payload, profile, name)

    def factor(what: str) -> np.ndarray:
        return value(f"profile.{name}.{what}")

    full = device.active_power * factor("active_power")
    start = device.throttle_start or THROTTLE_START
    stop = device.throttle_full or THROTTLE_FULL
    bend = device.curvature if payload.power_curvature is None else payload.power_curvature.value
    return {
        "idle_power": np.minimum(device.idle_power * factor("idle_power"), full),
        "full_power": full,
        "tokens_rate": device.tokens_per_s * factor("throughput"),
        "throttle_start": start,
        "throttle_full": stop,
        "curvature": np.clip(bend * factor("curvature"), 0.0, 0.95),
        "shutdown": stop + SHUTDOWN_MARGIN,
        "resume": start - RESUME_MARGIN,
        "sleep_power": device.sleep_power * factor("sleep_power"),
        "wake": device.wake,
        "restart": device.restart * factor("restart"),
    }


def _fill(cls, lane: Callable[[str], jax.Array], **given: jax.Array | None):
    """A module whose fields are the lane's parameters of the same names."""
    leaves = [f.name for f in fields(cls) if not f.metadata.get("static")]
    names = [name for name in leaves if name not in given]
    return cls(**{name: lane(name) for name in names}, **given)

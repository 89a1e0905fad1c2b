"""One class of satellites, as a user writes it: power, battery, body, payload, parts.

Neither JAX nor anything that computes is imported here.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from twin.heaters import Heater, heater_problems
from twin.numbers import (
    NotNegative,
    Positive,
    Section,
    Share,
    assumed,
    chosen,
    known,
    number,
)
from twin.parts import Link, Material, Node, Part, structure_problems, with_kinds
from twin.problems import Problem

Attitude = Literal["nadir", "edge", "sun", "inertial"]
Kelvin = number(100, 450)


class InferencePayload(Section):
    """Computers that answer questions, described by a payload profile."""

    kind: Literal["inference"] = "inference"
    profile: str = Field(
        default="agx-orin-industrial/qwen3-8b-int4",
        description="a profile in assets/profiles, or a path to one",
    )
    devices: int = Field(default=1, ge=1, le=100_000, description="equal devices a satellite")
    batch: float | None = Field(
        default=None, gt=0, description="sequences at once; default: the profile's best"
    )
    power_cap_w: float | None = Field(
        default=None, gt=0, description="cap of one device; default: none"
    )
    power_curvature: number(0, 0.9) | None = Field(
        default=None, description="of work against power under a cap; default: the profile's"
    )


class TrainingPayload(Section):
    """Computers that train: they draw power and make heat; their tokens are not counted yet."""

    kind: Literal["training"] = "training"
    devices: int = Field(default=1, ge=1, le=100_000, description="equal devices a satellite")
    compute_w: Positive = assumed(20_000.0, 10_000.0, 40_000.0, "draw of one device at full work")
    idle_share: Share = assumed(0.15, 0.10, 0.25, "draw at rest, as a share of compute_w")
    sleep_share: Share = assumed(0.3, 0.1, 0.5, "draw asleep, as a share of the draw at rest")
    power_curvature: number(0, 0.9) = assumed(
        0.5, 0.0, 0.9, "of work against power; 0: work falls in proportion to power"
    )
    throttle_start_k: number(250, 450) = assumed(353.15, 343.15, 358.15, "chip begins to slow down")
    throttle_full_k: number(250, 450) = assumed(368.15, 363.15, 373.15, "chip stands still")
    shutdown_k: number(250, 450) = assumed(378.15, 373.15, 383.15, "chip switches itself off")
    resume_k: number(250, 450) = assumed(343.15, 333.15, 353.15, "chip may start again")


class Body(Section):
    """The standard network of twelve lumps of heat: their masses, joints and optics."""

    cell_heat_capacity_j_k_m2: Positive = assumed(
        900.0, 600.0, 1400.0, "cells and cover glass, 1 kg/m²"
    )
    array_back_heat_capacity_j_k_m2: Positive = assumed(
        3600.0, 2000.0, 5600.0, "the panel behind the cells, 4 kg/m²"
    )
    bus_heat_capacity_j_k: Positive = assumed(54e3, 36e3, 72e3, "60 kg of structure at 900 J/kg/K")
    avionics_heat_capacity_j_k: Positive = assumed(6e3, 4e3, 9e3, "boards and boxes, 7 kg")
    battery_heat_capacity_j_k_wh: Positive = assumed(6.7, 5.5, 9.0, "1,000 J/kg/K at 150 Wh/kg")
    chip_heat_capacity_j_k: Positive = assumed(
        100.0, 80.0, 170.0, "one device", "BUPT-1 in-orbit telemetry, fitted"
    )
    cold_plate_heat_capacity_j_k: Positive = assumed(1800.0, 900.0, 3600.0, "2 kg of aluminium")
    loop_heat_capacity_j_k: Positive = assumed(
        600.0, 300.0, 1200.0, "heat pipes, or loop and fluid"
    )
    radiator_heat_capacity_j_k_m2: Positive = assumed(
        5400.0, 3000.0, 9000.0, "per m² of one side, shared by its two faces; 6 kg/m²"
    )
    terminals_heat_capacity_j_k: Positive = assumed(6e3, 3e3, 12e3, "laser terminals, 7 kg")
    array_through_w_k_m2: NotNegative = assumed(
        50.0, 25.0, 100.0, "from the cells through the panel to its back"
    )
    array_bus_w_k: NotNegative = assumed(0.3, 0.1, 0.6, "hinges and harness")
    bus_battery_w_k: NotNegative = assumed(2.0, 1.0, 4.0, "battery mounting")
    bus_cold_plate_w_k: NotNegative = assumed(1.0, 0.3, 2.0, "cold plate mounting")
    bus_avionics_w_k: NotNegative = assumed(4.0, 2.0, 8.0, "avionics mounting")
    bus_radiator_w_k: NotNegative = assumed(2.0, 1.0, 4.0, "radiator mounting")
    bus_terminals_w_k: NotNegative = assumed(1.0, 0.5, 2.0, "terminal mounting, meant to insulate")
    bus_blanket_w_k: NotNegative = assumed(
        0.2, 0.1, 0.5, "through the insulation to its outer layer, all faces"
    )
    avionics_radiator_w_k: NotNegative = assumed(
        8.0, 5.0, 12.0, "heat pipes from the avionics", "an evaporator gives 5-10 W/K"
    )
    chip_cold_plate_w_k: NotNegative = assumed(5.0, 2.0, 10.0, "one device to the cold plate")
    cold_plate_loop_w_k: NotNegative = assumed(
        40.0, 20.0, 80.0, "cold plate into heat pipes or loop", "evaporators of 5-10 W/K each"
    )
    loop_radiator_w_k: NotNegative = assumed(
        40.0, 20.0, 80.0, "heat pipes or loop into the radiator", "as cold_plate_loop_w_k"
    )
    loop_flow_w_k: NotNegative = chosen(
        0.0, "mass flow x specific heat of a pumped loop; 0: heat pipes"
    )
    radiator_through_w_k_m2: NotNegative = assumed(
        400.0, 200.0, 800.0, "between the two faces, per m² of one side"
    )
    radiator_m2: Positive = assumed(0.8, 0.6, 1.0, "one side")
    radiator_sides: Literal[1, 2] = Field(
        default=1, description="2: the opposite face radiates too"
    )
    radiator_faces: Literal["cold", "zenith", "nadir", "wake", "sunward"] = Field(
        default="cold",
        description="where its normal points: across the orbit away from the Sun (cold) or towards"
        " it (sunward), up, down, or backwards",
    )
    radiator_absorptance: Share = assumed(
        0.20, 0.16, 0.25, "white paint, BOL to EOL", "Gilmore 2002"
    )
    radiator_emittance: Share = assumed(0.88, 0.85, 0.92, "white paint", "Gilmore 2002")
    array_front_absorptance: Share = assumed(
        0.92, 0.88, 0.93, "cells; what becomes electricity is subtracted", "triple-junction sheets"
    )
    array_front_emittance: Share = assumed(0.85, 0.80, 0.88, "cover glass")
    array_back_absorptance: Share = assumed(0.30, 0.20, 0.50, "painted back")
    array_back_emittance: Share = assumed(0.87, 0.85, 0.90, "painted back")
    box_face_m2: Positive = assumed(0.64, 0.4, 1.0, "one of six faces under blankets")
    blanket_absorptance: Share = assumed(
        0.35, 0.25, 0.50, "outer layer of the insulation, aluminised kapton", "Gilmore 2002"
    )
    blanket_emittance: Share = assumed(
        0.75, 0.60, 0.85, "outer layer of the insulation, aluminised kapton", "Gilmore 2002"
    )
    terminals_area_m2: Positive = assumed(
        0.25, 0.15, 0.4, "all that they show to the sky: 90 W leave 0.25 m² at about 40 °C"
    )
    terminals_absorptance: Share = assumed(0.3, 0.2, 0.4, "painted")
    terminals_emittance: Share = assumed(0.8, 0.7, 0.9, "painted")


class Design(Section):
    """One class of satellites."""

    # wings
    array_m2: Positive = assumed(2.0, 1.6, 2.4, "wings, one side")
    array_efficiency: Share = assumed(
        0.30, 0.285, 0.307, "cells, new, 28 °C", "triple-junction sheets"
    )
    array_packing: Share = assumed(0.90, 0.85, 0.92, "share of the wings that is cells")
    array_wiring: Share = assumed(0.97, 0.95, 0.985, "efficiency of strings and harness")
    array_tracker: Share = assumed(0.95, 0.92, 0.97, "efficiency of the peak-power tracker")
    array_age_years: number(0, 30) = chosen(1.0, "age of the cells")
    array_ageing_per_year: number(0, 0.2) = assumed(
        0.01, 0.005, 0.0275, "loss of power a year", "Space Mission Analysis and Design"
    )
    array_temperature_coefficient_per_k: number(-0.01, 0) = assumed(
        -0.0023, -0.0028, -0.0020, "of power, relative", "triple-junction data sheets"
    )
    array_axes: Literal[1, 2] = Field(
        default=1, description="axes about which the wings follow the Sun"
    )
    array_back_efficiency: number(0, 0.5) = chosen(
        0.0, "of cells on the back, in light from the Earth; 0: none there"
    )
    # battery
    battery_wh: Positive = assumed(600.0, 500.0, 700.0, "capacity at the chosen age")
    battery_resistance_share: number(0, 0.5) = assumed(
        0.07, 0.04, 0.10, "voltage lost at 1 C over nominal voltage, at 25 °C",
        "LG M50 in PyBaMM 26.10: 0.072; with it a day and night return 0.95",
    )  # fmt: skip
    battery_coulombic_efficiency: number(0.5, 1) = assumed(
        0.998, 0.995, 0.999, "charge that comes back of charge put in"
    )
    battery_depth: number(0, 1, above=True) = assumed(
        0.30, 0.20, 0.40, "depth of discharge at which the payload sleeps", "ECSS practice"
    )
    battery_ration_band: number(0.001, 0.5) = assumed(
        0.05, 0.02, 0.10, "share of charge above that depth over which work is cut"
    )
    battery_floor: number(0, 0.9) = assumed(
        0.20, 0.10, 0.25, "share of charge below which nothing is drawn"
    )
    battery_c_rate_per_h: Positive = assumed(
        1.0, 0.5, 2.0, "largest charge or discharge power over capacity"
    )
    battery_start: Share = chosen(1.0, "state of charge at the start")
    battery_charge_cold_k: Kelvin = known(
        273.15, "no charging below", "lithium-ion cells: 0 to 45 °C"
    )
    battery_charge_warm_k: Kelvin = chosen(283.15, "full charging from here")
    battery_charge_hot_k: Kelvin = known(
        318.15, "full charging up to here", "lithium-ion cells: 0 to 45 °C"
    )
    battery_charge_stop_k: Kelvin = chosen(328.15, "no charging above")
    battery_heater_w: NotNegative = assumed(10.0, 5.0, 20.0, "its heater; 0: none")
    battery_heater_on_k: Kelvin = chosen(278.15, "the heater goes on below")
    battery_heater_off_k: Kelvin = chosen(283.15, "the heater goes off above")
    # consumers, in the order of their priority; the payload is the last
    survival_w: NotNegative = assumed(80.0, 60.0, 100.0, "avionics, always on, heaters not counted")
    comms_w: NotNegative = assumed(3.0, 1.0, 6.0, "radio, mean: 60 W for 5 % of the time")
    isl_w: NotNegative = assumed(
        90.0, 50.0, 150.0, "laser terminals, mean", "one terminal, TESAT and Mynaric class"
    )
    shed_isl_below: Share = assumed(
        0.50, 0.45, 0.55, "share of charge below which the laser terminals are off"
    )
    safe_below: Share = assumed(
        0.35, 0.30, 0.40, "share of charge below which only survival_w is served: safe mode"
    )
    shed_hysteresis: number(0.001, 0.5) = assumed(
        0.10, 0.05, 0.15, "share of charge above those two at which they are served again"
    )
    # attitude, age and upsets
    attitude: Attitude = Field(
        default="nadir",
        description="nadir: the body faces the Earth, the wings the Sun; edge: as nadir, but the"
        " wings are locked, edge-on to the flight; sun: the body turns its wings to the Sun;"
        " inertial: fixed among the stars, wings to where the Sun stood at the start",
    )
    attitude_dark: Attitude | None = Field(
        default=None, description="in eclipse; default: as attitude"
    )
    attitude_safe: Attitude | None = Field(
        default=None, description="in safe mode; default: as attitude"
    )
    coating_age: Share = chosen(
        0.5, "of all surfaces: 0 new, 1 end of life; the optics in body are those at 0.5"
    )
    resets_per_day: NotNegative = assumed(
        1 / 30, 1 / 300, 1 / 5, "upsets of one computer that need a reboot",
        "proton tests of Jetson modules; no rate in orbit is published",
    )  # fmt: skip
    anomaly_share: Share = assumed(
        0.8, 0.7, 0.9, "share of the upsets that fall in the South Atlantic anomaly"
    )
    temperature_start_k: Kelvin = chosen(290.0, "all nodes at the start")
    # what it is built of
    body: Body = Field(default_factory=Body)
    payload: Annotated[InferencePayload | TrainingPayload, Field(discriminator="kind")] = Field(
        default_factory=InferencePayload
    )
    mesh: str | None = Field(
        default=None, description="a GLB or OBJ file beside the scenario, for parts of kind mesh"
    )
    part: dict[str, Part] = Field(
        default_factory=dict, description="default: the standard craft, from the areas above"
    )
    material: dict[str, Material] = Field(default_factory=dict)
    node: dict[str, Node] = Field(default_factory=dict)
    link: tuple[Link, ...] = ()
    heater: tuple[Heater, ...] = ()  # beside the battery's

    @model_validator(mode="before")
    @classmethod
    def _default_kinds(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return with_kinds(with_kind(given, "payload", "inference"), bool(given.get("mesh")))

    @model_validator(mode="after")
    def _agree(self) -> "Design":
        found = [*self._orders(), *structure_problems(self), *heater_problems(self)]
        if found:
            raise ValueError("\n".join(map(str, found)))
        return self

    def _orders(self) -> Iterator[Problem]:
        yield from _rising(
            "shares of charge",
            {
                "battery_floor": self.battery_floor.value,
                "safe_below": self.safe_below.value,
                "shed_isl_below": self.shed_isl_below.value,
                "1 - battery_depth": 1 - self.battery_depth.value,
            },
        )
        back = self.shed_isl_below.value + self.shed_hysteresis.value
        if back >= 1:
            yield Problem(
                "shed_hysteresis",
                f"shed_isl_below + shed_hysteresis = {back:g}: a full battery would not bring the"
                " laser terminals back",
                "a sum below 1",
            )
        yield from _rising(
            "temperatures", _values(self, "battery_heater_on_k battery_heater_off_k")
        )
        keys = "battery_charge_cold_k battery_charge_warm_k battery_charge_hot_k"
        yield from _rising("temperatures", _values(self, f"{keys} battery_charge_stop_k"))
        p = self.payload
        if isinstance(p, TrainingPayload):
            keys = "throttle_start_k throttle_full_k shutdown_k"
            yield from _rising("temperatures", _values(p, keys), "payload.")
            yield from _rising("temperatures", _values(p, "resume_k shutdown_k"), "payload.")


def _values(section: Section, names: str) -> dict[str, float]:
    return {name: getattr(section, name).value for name in names.split()}


def _rising(what: str, values: dict[str, float], prefix: str = "") -> Iterator[Problem]:
    """One problem if the values do not rise from each to the next."""
    names = list(values)
    for low, high in pairwise(names):
        if values[low] >= values[high]:
            wrong = f"{values[low]:g} is not below {high} = {values[high]:g}"
            yield Problem(f"{prefix}{low}", wrong, f"{what} with {' < '.join(names)}")
            return


def with_kind(given: Any, key: str, kind: str) -> Any:
    """Fill in the default of a discriminated union whose `kind` was left out."""
    if isinstance(given, dict) and isinstance(given.get(key), dict) and "kind" not in given[key]:
        return given | {key: {"kind": kind} | given[key]}
    return given

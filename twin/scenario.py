"""What a user may write: one TOML file, validated whole, units in the names.

Most numbers carry range, origin and source (see `twin.numbers`); reports draw their error bars from
the ranges. This module imports neither JAX nor anything that computes.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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
from twin.problems import nearest


class Run(Section):
    """When, how long, how finely."""

    start: datetime = Field(description="UTC, such as 2025-10-04T00:00:00Z")
    duration_h: float = Field(default=24.0, gt=0, le=24 * 366, description="length of the run")
    step_s: float = Field(
        default=10.0, gt=0, le=3600, description="the step of life: battery, heat, work"
    )
    record_s: float = Field(
        default=60.0, gt=0, le=86_400, description="what is written; a multiple of step_s"
    )
    seed: int = Field(default=7, ge=0, description="root of all random draws")
    samples: int = Field(
        default=128, ge=0, le=4096, description="samples for error bars; 0: none, else 64 or more"
    )

    @model_validator(mode="after")
    def _whole(self) -> "Run":
        for name, long, short in (
            ("record_s must be a whole multiple of step_s", self.record_s, self.step_s),
            (
                "duration_h must hold a whole number of records",
                self.duration_h * 3600,
                self.record_s,
            ),
        ):
            ratio = long / short
            if ratio < 1 - 1e-9 or abs(ratio - round(ratio)) > 1e-9 * max(ratio, 1):
                raise ValueError(f"{name}: {long:g} s / {short:g} s = {ratio:g}")
        if 0 < self.samples < 64:
            raise ValueError(f"samples = {self.samples}; allowed: 0, or 64 or more")
        return self

    @property
    def start_utc(self) -> datetime:
        """The start with its time zone; a bare time is UTC."""
        return (
            self.start.replace(tzinfo=UTC)
            if self.start.tzinfo is None
            else self.start.astimezone(UTC)
        )


class Environment(Section):
    """What Sun and Earth send."""

    solar_constant_w_m2: number(1300, 1420) = known(
        1361.0, "sunlight at one astronomical unit", "Kopp & Lean 2011"
    )
    albedo: Share = assumed(
        0.30, 0.18, 0.45, "Bond albedo along the orbit", "NASA TM-2001-211221; CERES EBAF mean 0.29"
    )
    earth_infrared_w_m2: number(100, 350) = assumed(
        237.0, 215.0, 250.0, "infrared leaving the Earth", "NASA TM-2001-211221; CERES EBAF 240"
    )
    shadow: Literal["ellipsoid", "sphere"] = Field(
        default="ellipsoid", description="shape of the Earth that casts the shadow"
    )


class Orbit(Section):
    """How orbits move."""

    propagator: Literal["sgp4", "secular"] | None = Field(
        default=None, description="default: sgp4 if every shell is a catalogue, else secular"
    )


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


class TrainingPayload(Section):
    """Computers that train: they draw power and make heat; their tokens are not counted yet."""

    kind: Literal["training"] = "training"
    devices: int = Field(default=1, ge=1, le=100_000, description="equal devices a satellite")
    compute_w: Positive = assumed(20_000.0, 10_000.0, 40_000.0, "draw of one device at full work")
    idle_share: Share = assumed(0.15, 0.10, 0.25, "draw at rest, as a share of compute_w")
    throttle_start_k: number(250, 450) = assumed(353.15, 343.15, 358.15, "chip begins to slow down")
    throttle_full_k: number(250, 450) = assumed(368.15, 363.15, 373.15, "chip stands still")


class Body(Section):
    """Six lumps of heat, how they are joined, and their optics."""

    array_heat_capacity_j_k_m2: Positive = assumed(4500.0, 2500.0, 7000.0, "wings, 5 kg/m²")
    bus_heat_capacity_j_k: Positive = assumed(54e3, 36e3, 72e3, "60 kg of structure at 900 J/kg/K")
    battery_heat_capacity_j_k_wh: Positive = assumed(6.7, 5.5, 9.0, "1,000 J/kg/K at 150 Wh/kg")
    chip_heat_capacity_j_k: Positive = assumed(
        100.0, 80.0, 170.0, "one device", "BUPT-1 in-orbit telemetry, fitted"
    )
    cold_plate_heat_capacity_j_k: Positive = assumed(1800.0, 900.0, 3600.0, "2 kg of aluminium")
    radiator_heat_capacity_j_k_m2: Positive = assumed(5400.0, 3000.0, 9000.0, "6 kg/m²")
    array_bus_w_k: NotNegative = assumed(0.3, 0.1, 0.6, "hinges and harness")
    bus_battery_w_k: NotNegative = assumed(2.0, 1.0, 4.0, "battery mounting")
    bus_cold_plate_w_k: NotNegative = assumed(1.0, 0.3, 2.0, "cold plate mounting")
    bus_radiator_w_k: NotNegative = assumed(8.0, 5.0, 12.0, "bus electronics to the radiator")
    chip_cold_plate_w_k: NotNegative = assumed(5.0, 2.0, 10.0, "one device to the cold plate")
    cold_plate_radiator_w_k: NotNegative = assumed(20.0, 10.0, 40.0, "heat pipes")
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
    box_absorptance: Share = assumed(0.015, 0.005, 0.03, "effective, through the blanket")
    box_emittance: Share = assumed(
        0.03, 0.01, 0.05, "effective, through the blanket", "Gilmore 2002"
    )


class Design(Section):
    """One class of satellites."""

    array_m2: Positive = assumed(2.0, 1.6, 2.4, "wings, one side")
    array_efficiency: Share = assumed(
        0.30, 0.285, 0.307, "cells, new, 28 °C", "triple-junction sheets"
    )
    array_losses: Share = assumed(0.83, 0.77, 0.87, "packing 0.90, wiring 0.97, tracker 0.95")
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
    battery_wh: Positive = assumed(600.0, 500.0, 700.0, "capacity at the chosen age")
    battery_charge_efficiency: number(0.5, 1) = assumed(0.975, 0.96, 0.985, "energy, one way")
    battery_discharge_efficiency: number(0.5, 1) = assumed(0.975, 0.96, 0.985, "energy, one way")
    battery_depth: number(0, 1, above=True) = assumed(
        0.30, 0.20, 0.40, "depth of discharge at which the payload is off", "ECSS practice"
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
    housekeeping_w: NotNegative = assumed(173.0, 120.0, 260.0, "all but the payload, mean")
    temperature_start_k: number(100, 450) = chosen(290.0, "all nodes at the start")
    body: Body = Field(default_factory=Body)
    payload: Annotated[InferencePayload | TrainingPayload, Field(discriminator="kind")] = Field(
        default_factory=InferencePayload
    )

    @model_validator(mode="before")
    @classmethod
    def _default_kind(cls, given: Any) -> Any:
        return _with_kind(given, "payload", "inference")

    @model_validator(mode="after")
    def _orders(self) -> "Design":
        if self.battery_floor.value >= 1 - self.battery_depth.value:
            raise ValueError(
                f"battery_floor {self.battery_floor.value:g} must lie below 1 - battery_depth ="
                f" {1 - self.battery_depth.value:g}, where the payload is off"
            )
        p = self.payload
        if isinstance(p, TrainingPayload) and p.throttle_full_k.value <= p.throttle_start_k.value:
            raise ValueError("payload.throttle_full_k must be above payload.throttle_start_k")
        return self


OfClass = Annotated[
    str | None, Field(alias="class", description="a class of this file; default: the first")
]


class CatalogShell(Section):
    """Satellites of a published element file."""

    kind: Literal["catalog"] = "catalog"
    class_: OfClass = None
    elements: str = Field(description="a name in assets/elements, or a path (OMM CSV or JSON, TLE)")
    norad: tuple[int, ...] | None = Field(
        default=None, description="only these catalogue numbers; default: all"
    )


class WalkerShell(Section):
    """A Walker delta shell, named i: t/p/f."""

    kind: Literal["walker"] = "walker"
    class_: OfClass = None
    satellites: int = Field(default=24, ge=0, le=1_000_000, description="in the whole shell")
    planes: int | None = Field(
        default=None, ge=1, description="default: about the root of the satellites"
    )
    phasing: int = Field(default=1, ge=0, description="Walker's f")
    altitude_km: float = Field(
        default=550.0, ge=150, le=2000, description="mean, above 6378.137 km"
    )
    inclination_deg: float = Field(default=53.0, ge=0, le=180)
    raan_deg: float = Field(default=0.0, ge=-360, le=360, description="node of the first plane")


class SunSynchronousShell(Section):
    """Sun-synchronous planes: the inclination follows from the altitude."""

    kind: Literal["sso"] = "sso"
    class_: OfClass = None
    satellites: int = Field(default=24, ge=0, le=1_000_000, description="in the whole shell")
    planes: int = Field(default=1, ge=1)
    phasing: int = Field(default=1, ge=0, description="Walker's f")
    altitude_km: float = Field(
        default=650.0, ge=150, le=2000, description="mean, above 6378.137 km"
    )
    ltan_h: float = Field(
        default=18.0, ge=0, le=24, description="mean local time of the ascending node"
    )
    ltan_spread_h: float = Field(
        default=0.0, ge=0, le=24, description="from the first plane to the last"
    )


Shell = Annotated[CatalogShell | WalkerShell | SunSynchronousShell, Field(discriminator="kind")]


class Station(Section):
    """A place on the ground that satellites talk to."""

    name: str
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=360)
    altitude_m: float = Field(default=0.0, ge=-500, le=9000)
    mask_deg: float = Field(default=5.0, ge=0, lt=90, description="lowest useful elevation")


class Scenario(Section):
    """A whole scenario file."""

    title: str = Field(default="A constellation", max_length=120)
    run: Run
    environment: Environment = Field(default_factory=Environment)
    orbit: Orbit = Field(default_factory=Orbit)
    class_: dict[str, Design] = Field(
        default_factory=lambda: {"inference": Design()}, alias="class", min_length=1
    )
    shell: tuple[Shell, ...] = Field(min_length=1)
    station: tuple[Station, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_kind(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("shell"), list):
            shells = [_with_kind({"s": s}, "s", "walker")["s"] for s in given["shell"]]
            return given | {"shell": shells}
        return given

    @model_validator(mode="after")
    def _agree(self) -> "Scenario":
        for i, shell in enumerate(self.shell):
            if shell.class_ is not None and shell.class_ not in self.class_:
                hint = nearest(shell.class_, self.class_)
                known = ", ".join(self.class_)
                raise ValueError(f"shell[{i}].class: {shell.class_!r} is none of: {known}. {hint}")
        used = {shell.class_ or next(iter(self.class_)) for shell in self.shell}
        if idle := [name for name in self.class_ if name not in used]:
            hint = nearest(idle[0], sorted(used)) or f'a shell may say: class = "{idle[0]}"'
            raise ValueError(f"class.{idle[0]}: no shell uses it; {hint}")
        analytic = [i for i, s in enumerate(self.shell) if not isinstance(s, CatalogShell)]
        if self.orbit.propagator == "sgp4" and analytic:
            raise ValueError(
                f"orbit.propagator: sgp4 needs element sets, but shell[{analytic[0]}] has none;"
                " use secular, or leave the key out"
            )
        if not any(getattr(shell, "satellites", 1) for shell in self.shell):
            raise ValueError("shell: no satellites at all; give one shell satellites = 1 or more")
        return self

    @property
    def propagator(self) -> str:
        """The propagator that is used."""
        catalog = all(isinstance(shell, CatalogShell) for shell in self.shell)
        return self.orbit.propagator or ("sgp4" if catalog else "secular")


def _with_kind(given: Any, key: str, kind: str) -> Any:
    """Fill in the default of a discriminated union whose `kind` was left out."""
    if isinstance(given, dict) and isinstance(given.get(key), dict) and "kind" not in given[key]:
        return given | {key: {"kind": kind} | given[key]}
    return given

"""What a user may write: one TOML file, validated whole, units in the names.

Most numbers carry range, origin and source (see `twin.numbers`); reports draw their error bars from
the ranges. This module imports neither JAX nor anything that computes.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from twin.design import Design, with_kind
from twin.design import InferencePayload as InferencePayload
from twin.design import TrainingPayload as TrainingPayload
from twin.numbers import Section, Share, assumed, known, number
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
            shells = [with_kind({"s": s}, "s", "walker")["s"] for s in given["shell"]]
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
        light: dict[str, tuple[str, bool]] = {}
        for name, design in self.class_.items():
            for node, what in design.node.items():
                massless = what.heat_capacity_j_k.value == 0
                first, same = light.setdefault(node, (name, massless))
                if same != massless:
                    raise ValueError(
                        f"class.{name}.node.{node}: in class {first} a node of this name"
                        f" {'has no' if same else 'has a'} heat capacity, here it"
                        f" {'has' if same else 'has none'}; give one of them another name"
                    )
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

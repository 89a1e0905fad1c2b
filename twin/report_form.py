"""The form of a report: stable keys, each with its unit and meaning. No JAX here."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin.problems import InputError, Problem

Band = tuple[float, float]


class Part(BaseModel):
    """A piece of the report; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Books(Part):
    """Largest imbalance over all satellites and steps, relative to what flowed."""

    energy_residual: float = Field(
        description="array, battery, bus and loads; must stay below 1e-6"
    )
    heat_residual: float = Field(description="every node; must stay below 1e-6")
    tokens_residual: float = Field(description="offered, done, lost; must stay below 1e-6")
    heat_truncation: float = Field(description="radiation as booked against finely integrated")


class Limits(Part):
    """Shares of satellite-time by what binds the work."""

    nothing: float
    energy: float
    heat: float
    work: float
    fault: float


class Group(Part):
    """One class of satellites."""

    satellites: int
    payload: str = Field(description="device, model and precision, or training")
    payload_origin: str = Field(description="measured, published, derived or assumed")
    tokens: float = Field(description="output tokens over the run")
    lost_to_energy: float = Field(description="share of the tokens on offer")
    lost_to_heat: float = Field(description="share of the tokens on offer")
    lost_to_fault: float = Field(description="share of the tokens on offer: reboots and loading")
    safe_fraction: float = Field(description="share of the time in safe mode")
    battery_min_fraction: float
    payload_temperature_max_k: float
    throttle_start_k: float = Field(description="where chips begin to slow down")
    battery_temperature_max_k: float
    battery_temperature_min_k: float
    compute_w: float = Field(description="full payload draw of one satellite")
    array_m2: float
    array_needed_m2: float | None = Field(
        description="smallest array that loses under 0.1 % of work to energy, with the battery it"
        " needs; null: none up to 3.5 times as large"
    )
    battery_needed_wh: float = Field(description="for the longest eclipse at full work")
    battery_wh: float
    radiator_m2: float = Field(description="one side times sides")
    radiator_needed_m2: float | None = Field(
        description="smallest radiator that keeps the chip below its throttle and the battery below"
        " 45 °C; null: none up to 3.5 times as large. Parts without a radiator: as is, or null"
    )
    drawn: bool = Field(description="built from parts")
    radiator_m2_per_kw: float = Field(description="per kilowatt of payload")


class Contact(Part):
    """Satellites over the scenario's stations, fourteen windows of two days."""

    stations: list[str]
    mask_deg: Band = Field(description="lowest useful elevation, least and greatest")
    share_in_view: float = Field(description="of the time, mean of the windows")
    share_in_view_band: Band = Field(description="least and greatest window")
    chance_within_90_s: float = Field(
        description="that a random moment meets a contact within 90 s"
    )
    chance_within_90_s_band: Band
    chance_with_world_stations: float = Field(
        description="the same for the twelve stations of a world-wide network, first two days"
    )


class Conflict(Part):
    """One attitude of one class: what Sun, radiator, wings and terminals ask of it."""

    group: str = Field(description="the class")
    attitude: str
    taken: list[str] = Field(description="in sunlight, in eclipse, in safe mode")
    beta_deg: Band = Field(description="the Sun's height over the orbit's plane, least and most")
    radiator_sunlit: float = Field(
        description="share of daylight in which the radiator shows the Sun a tenth of its area or"
        " more; mean of the satellites"
    )
    radiator_sunlit_worst: float
    radiator_solar_w_m2: float = Field(
        description="sunlight absorbed by daylight, per m² of radiator; mean of the satellites"
    )
    radiator_solar_w_m2_worst: float
    radiator_emits_w_m2: float = Field(description="what it emits at 300 K, for comparison")
    wings_cosine: float = Field(
        description="mean cosine of incidence on the wings by daylight, shadows applied; 1: they"
        " face the Sun"
    )
    wings_cosine_worst: float
    links_along_orbit: bool = Field(description="terminals can look along the orbit")


class Verdict(Part):
    """One of the three sentences, answered."""

    claim: str
    answer: str = Field(description="fails, holds, or illustrates where assumed inputs decide")
    text: str


class Report(Part):
    """What a run says."""

    version: int = 1
    title: str
    scenario: str
    start: str = Field(description="ISO 8601 UTC")
    duration_s: float
    satellites: int
    steps: int
    records: int
    step_s: float
    record_s: float
    wall_s: float = Field(description="simulation and writing, without compilation")
    compile_s: float
    device: str
    commit: str | None
    versions: dict[str, str]
    seed: int
    propagator: str
    books: Books
    unserved_wh: float = Field(description="energy that loads asked for and did not get")
    unserved_by_wh: dict[str, float] = Field(
        description="the same by consumer: survival, comms, isl, payload"
    )
    shed_hours: dict[str, float] = Field(
        description="satellite-hours in which the payload slept, the laser links were off too, and"
        " of safe mode; each holds the next"
    )
    shed_satellites: dict[str, int] = Field(description="how many satellites that happened to")
    safe_mode_entries: int | None = Field(
        description="times that a satellite went into safe mode; null: shed was not recorded"
    )
    safe_mode_at_end: int | None = Field(
        description="satellites still in safe mode at the end; all others left it"
    )
    resets: float = Field(description="upsets by radiation that made a payload reboot")
    downtime_fraction: float = Field(
        description="share of satellite-time in which the payload booted or loaded its model"
    )
    heater_wh: float = Field(description="energy that heaters used; part of the bus's")
    battery_min_fraction: float = Field(description="least state of charge of any satellite")
    payload_temperature_max_k: float = Field(description="hottest chip of any satellite")
    eclipse_fraction: float = Field(description="share of satellite-time in shadow")
    eclipse_fraction_range: Band = Field(description="least and most shadowed satellite")
    eclipse_longest_s: Band = Field(description="longest eclipse, over satellites: least and most")
    mean_altitude_km: Band = Field(description="semi-major axis minus 6378.137 km, least and most")
    tokens: float
    tokens_per_s_mean: float
    tokens_per_day: float
    joules_per_token: float | None = Field(description="payload energy of the classes that serve")
    joules_per_token_whole: float | None = Field(description="with the bus of those satellites")
    panel_energy_wh: float
    curtailed_energy_wh: float = Field(description="array energy that nobody needed")
    limits: Limits
    groups: dict[str, Group]
    contact: Contact | None
    conflicts: list[Conflict] = Field(description="geometry alone, by class and attitude")
    bands: dict[str, Band] = Field(description="5 and 95 % over the ranges of the inputs")
    samples: int
    represented_by: int = Field(description="satellites that stand for the fleet in the bands")
    assumed: dict[str, dict[str, float]] = Field(
        description="headline → input → share of the variance; inputs with a range"
    )
    assumed_share: dict[str, float] = Field(
        description="headline → share of the named variance that assumed inputs carry"
    )
    verdicts: list[Verdict]
    warnings: list[str]
    sentence: str = Field(description="the run in one sentence")


def parse(content: Any, where: str) -> Report:
    """A report read from a file; one that another version wrote is said to be so, in one line."""
    try:
        return Report.model_validate(content)
    except ValidationError as error:
        first = ".".join(map(str, error.errors()[0]["loc"]))
        what = f"the report has another form than this version's ({first})"
        hint = "run the scenario again, or show it with the version that wrote it"
        raise InputError([Problem(where, what, hint=hint)]) from None


def schema() -> dict[str, Any]:
    """The JSON Schema of a report, as shipped in assets/schemas/report-1.json."""
    return Report.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}

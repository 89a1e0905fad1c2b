"""Payload profiles: what one device does with one model, read from a file that was measured.

A profile joins `serving`, which measures, and the twin, which spends. Its form is
``assets/schemas/profile-1.json``. Host code: no JAX; names end in their units as in the file.
"""

import hashlib
import re
from bisect import bisect_left
from importlib.resources import files
from math import isfinite, log
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from twin.problems import InputError, Problem, nearest

Origin = Literal["measured", "published", "derived", "assumed"]
ORIGINS: tuple[str, ...] = get_args(Origin)  # strongest first
PointValue = Literal["output_tokens_per_s", "itl_s", "ttft_s", "power_w"]
Range = tuple[float, float]
Word = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Number = float | int


class ProfileError(InputError):
    """A profile that cannot be used: all `problems` at once, one line each."""

    def __init__(self, *problems: Problem):
        super().__init__(problems)


class Part(BaseModel):
    """A frozen piece of a profile; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def encloses_one(factors: Range) -> Range:
    """Factors around the nominal value hold 1."""
    if not 0 < factors[0] <= 1 <= factors[1]:
        raise ValueError("must enclose 1")
    return factors


Factors = Annotated[Range, AfterValidator(encloses_one)]


class Quantity(Part):
    """A number with its parent: a source, or a range if it is only assumed."""

    value: float
    origin: Origin
    source: str | None = None
    range: Range | None = None
    note: str | None = None

    @model_validator(mode="after")
    def has_a_parent(self) -> "Quantity":
        """An assumed number states its range, every other number its source."""
        if self.origin == "assumed" and self.range is None:
            raise ValueError("an assumed value needs a range")
        if self.origin != "assumed" and self.source is None:
            raise ValueError(f"a {self.origin} value needs a source")
        if self.range is not None and not self.range[0] <= self.value <= self.range[1]:
            raise ValueError(f"value {self.value:g} lies outside its range {list(self.range)}")
        return self


class Engine(Part):
    """Who served; the version 'not stated' is legal."""

    name: Word
    version: Word


class Workload(Part):
    """Tokens of a prompt and of an answer in the measurement."""

    input_len: Annotated[int, Field(ge=1)]
    output_len: Annotated[int, Field(ge=1)] | None
    note: str | None = None


class Point(Part):
    """One operating point: requests in flight, and what came of it."""

    batch: Positive
    output_tokens_per_s: Positive
    itl_s: Positive
    ttft_s: Positive | None
    power_w: Positive | None
    origin: Origin
    source: str
    origins: dict[PointValue, Origin] = {}  # where a value's origin differs from the point's


class Power(Part):
    """Board or module power: p0 + a bytes/s + b FLOP/s, never above the cap."""

    idle_w: Quantity
    p0_w: Quantity
    a_j_per_byte: Quantity
    b_j_per_flop: Quantity
    cap_w: Quantity
    note: str | None = None


class StepModel(Part):
    """The decode step as t0 + max(bytes / bandwidth, work / compute)."""

    t0_s: Quantity
    weight_bytes_read_per_step: Quantity
    kv_bytes_per_token: Quantity
    flop_per_token: Quantity
    bandwidth_bytes_per_s: Quantity
    compute_flop_per_s: Quantity
    mean_context: Quantity
    peak_bandwidth_bytes_per_s: Quantity
    peak_flop_per_s: Quantity

    def bytes(self, batch: Number) -> float:
        """Bytes read in one step of `batch` sequences at the mean context."""
        kv = self.mean_context.value * self.kv_bytes_per_token.value
        return self.weight_bytes_read_per_step.value + batch * kv

    def step_s(self, batch: Number) -> float:
        """Seconds of one decode step; the sharp knee makes it optimistic near the knee."""
        memory = self.bytes(batch) / self.bandwidth_bytes_per_s.value
        compute = batch * self.flop_per_token.value / self.compute_flop_per_s.value
        return self.t0_s.value + max(memory, compute)


class Limits(Part):
    """Largest batch that the engine holds, and the tokens its KV cache holds."""

    max_batch: Quantity
    kv_tokens: Quantity


class Throttle(Part):
    """Chip temperature where work begins to fall, and where none is left."""

    start_k: Quantity
    full_k: Quantity


class Uncertainty(Part):
    """Factors on the nominal value, 5 % and 95 %, for error bars."""

    throughput: Factors
    active_power: Factors
    idle_power: Factors
    note: Word


class Source(Part):
    """Where numbers come from."""

    id: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    title: Word
    date: str | None = None
    licence: str | None = None
    note: str | None = None


class OperatingPoint(NamedTuple):
    """One device at one batch; None where the profile does not say."""

    batch: float
    tokens_per_s: float
    power_w: float | None
    itl_s: float
    ttft_s: float | None


class DeviceNumbers(NamedTuple):
    """What the simulator needs of one device, SI, with the factors of its error bars."""

    tokens_per_s: float
    active_power: float
    idle_power: float
    throttle_start: float | None
    throttle_full: float | None
    throughput_factors: Range
    active_power_factors: Range
    idle_power_factors: Range
    origin: str  # of the throughput
    power_origin: str


class Profile(Part):
    """A validated payload profile; see the schema for the meaning of each key."""

    format: Literal["payload-profile"]
    version: Literal[1]
    device: Word
    model: Word
    precision: Word
    dtype: Word
    engine: Engine
    origin: Origin
    workload: Workload
    statistics: Annotated[dict[PointValue, str], Field(min_length=4)]  # in words, each of them
    points: Annotated[tuple[Point, ...], Field(min_length=1)]
    power_model: Annotated[Power, Field(alias="power")]
    step_model: StepModel
    limits: Limits
    weights_gb: Quantity
    throttle: Throttle | None = None
    uncertainty: Uncertainty
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def hangs_together(self) -> "Profile":
        """Batches rise, cited sources exist, throttle and origins are consistent."""
        batches = [point.batch for point in self.points]
        if any(b <= a for a, b in zip(batches, batches[1:], strict=False)):
            raise ValueError("points must be sorted by rising batch, each batch once")
        known = {source.id for source in self.sources}
        for cited in re.findall(r'"source":"([^"]*)"', self.model_dump_json()):
            if cited not in known:
                raise ValueError(f"source {cited!r} is not listed {nearest(cited, known)}".strip())
        if self.throttle and self.throttle.start_k.value >= self.throttle.full_k.value:
            raise ValueError("throttle.start_k must lie below throttle.full_k")
        p0, cap = self.power_model.p0_w.value, self.power_model.cap_w.value
        if any(p0 >= min(cap, point.power_w or cap) for point in self.points):
            raise ValueError("power.p0_w must lie below power.cap_w and every point's power_w")
        if self.origin != self.weakest("output_tokens_per_s"):
            raise ValueError("origin must be that of the weakest point's output_tokens_per_s")
        return self

    def weakest(self, value: PointValue) -> str:
        """The least trustworthy origin among the points of one value."""
        return max((p.origins.get(value, p.origin) for p in self.points), key=ORIGINS.index)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical content, for a run's provenance."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    def power(self, bytes_per_s: Number, flop_per_s: Number) -> float:
        """Watts of one device that moves and computes at these rates."""
        p = self.power_model
        dynamic = p.a_j_per_byte.value * bytes_per_s + p.b_j_per_flop.value * flop_per_s
        return min(p.cap_w.value, p.p0_w.value + dynamic)

    def operating_point(self, batch: Number | None = None) -> OperatingPoint:
        """The device at `batch` requests in flight.

        Default: the batch of the largest throughput among points within ``limits.max_batch``.
        Between points, throughput and ITL are straight in log-log, power and TTFT straight in log
        batch: all monotone. Outside the points it refuses; nothing is extrapolated.
        """
        points = self.points
        if batch is None:
            held = [p for p in points if p.batch <= self.limits.max_batch.value] or [points[0]]
            batch = max(held, key=lambda p: p.output_tokens_per_s).batch
        low, high = points[0].batch, points[-1].batch
        if not low <= batch <= high:  # NaN lands here too
            raise ProfileError(Problem("batch", f"got {batch:g}", f"{low:g} to {high:g}"))
        k = bisect_left([p.batch for p in points], batch)
        right = points[k]
        left = right if right.batch == batch else points[k - 1]
        x = log(batch / left.batch) / log(right.batch / left.batch) if left is not right else 0.0

        def straight(a: float | None, b: float | None) -> float | None:
            return None if a is None or b is None else a + (b - a) * x

        rate = (
            left.output_tokens_per_s * (right.output_tokens_per_s / left.output_tokens_per_s) ** x
        )
        itl = left.itl_s * (right.itl_s / left.itl_s) ** x
        power, ttft = straight(left.power_w, right.power_w), straight(left.ttft_s, right.ttft_s)
        return OperatingPoint(float(batch), rate, power, itl, ttft)

    def active_power(self, batch: Number | None = None) -> float:
        """Watts at `batch`: the point's own, else the power form at the step model's rates."""
        point = self.operating_point(batch)
        if point.power_w is not None:
            return point.power_w
        moved = self.step_model.bytes(point.batch) / point.batch * point.tokens_per_s
        return self.power(moved, self.step_model.flop_per_token.value * point.tokens_per_s)

    def performance_at_cap(self, cap_w: Number, batch: Number | None = None) -> float:
        """Share of the throughput that remains if one device may draw `cap_w` watts.

        Power above p0 is taken as proportional to the rate, as in the power form at fixed energy
        per byte and per FLOP. No source at hand varies a cap, so this is assumed until measured;
        lower clocks also lower the voltage, so a real device should keep more.
        """
        if not (isfinite(cap_w) and cap_w > 0):
            raise ProfileError(Problem("cap_w", f"got {cap_w:g}", "a positive number of watts"))
        p0 = self.power_model.p0_w.value
        return min(1.0, max(0.0, (cap_w - p0) / (self.active_power(batch) - p0)))

    def device_numbers(
        self, batch: Number | None = None, cap_w: Number | None = None
    ) -> DeviceNumbers:
        """The simulator's numbers for one device at `batch` (default: best), under `cap_w`."""
        active = self.active_power(batch)
        share = 1.0 if cap_w is None else self.performance_at_cap(cap_w, batch)
        active = active if cap_w is None else min(active, float(cap_w))
        throttle, factors = self.throttle, self.uncertainty
        return DeviceNumbers(
            tokens_per_s=share * self.operating_point(batch).tokens_per_s,
            active_power=active,
            idle_power=min(active, self.power_model.idle_w.value),
            throttle_start=throttle.start_k.value if throttle else None,
            throttle_full=throttle.full_k.value if throttle else None,
            throughput_factors=factors.throughput,
            active_power_factors=factors.active_power,
            idle_power_factors=factors.idle_power,
            origin=self.origin,
            power_origin=self.weakest("power_w"),
        )


def list_profiles() -> list[str]:
    """Names of the shipped profiles, each ``device/model``."""
    shelf = files("assets") / "profiles"
    devices = [entry for entry in shelf.iterdir() if entry.is_dir()]
    found = [f"{device.name}/{file.name}" for device in devices for file in device.iterdir()]
    return sorted(name.removesuffix(".json") for name in found if name.endswith(".json"))


def load_profile(name_or_path: str | Path) -> Profile:
    """A profile by shipped name (``device/model``) or by the path of a ``.json`` file.

    Raises `ProfileError` with every problem found, one line each.
    """
    where = str(name_or_path)
    if isinstance(name_or_path, Path) or where.endswith(".json"):
        source = Path(name_or_path)
    else:
        names = list_profiles()
        if where not in names:
            hint = nearest(where, names)
            raise ProfileError(Problem(where, "no such profile", ", ".join(names), hint))
        device, model = where.split("/")
        source = files("assets") / "profiles" / device / f"{model}.json"
    try:
        return Profile.model_validate_json(source.read_bytes(), strict=True)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ProfileError(Problem(where, problem, "a JSON file or a shipped name")) from None
    except ValidationError as error:
        raise ProfileError(*(explained(where, item) for item in error.errors())) from None


def explained(where: str, item: Any) -> Problem:
    """One of pydantic's errors as one line, with the nearest valid word."""
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in item["loc"]).lstrip(".")
    problem = item["msg"].removeprefix("Value error, ").replace("\n", " ")
    valid: list[str] = []
    if item["type"] == "extra_forbidden":
        problem, valid, word = "unknown key", keys_at(item["loc"][:-1]), str(item["loc"][-1])
    else:
        word = str(item["input"])
        if item["type"] == "literal_error":
            valid = re.findall(r"'(.*?)'", item["ctx"]["expected"])
        if item["type"] != "missing" and not isinstance(item["input"], (dict, list)):
            problem += f", got {item['input']!r}"
    place = f"{where}: {place}" if place else where
    return Problem(place, problem, ", ".join(valid), nearest(word, valid))


def keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the part of a profile at `loc` may have."""
    schema = Profile.model_json_schema(by_alias=True)
    here: Any = schema
    for step in loc:
        here = here["items"] if isinstance(step, int) else here["properties"][step]
        for choice in here.get("anyOf", [here]):
            here = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]] if "$ref" in choice else here
    return list(here.get("properties", {}))

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
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from twin.problems import InputError, Problem, nearest
from twin.profile_parts import (
    CURVATURE,
    ORIGINS,
    Engine,
    Limits,
    Number,
    Origin,
    Part,
    PerformanceCurve,
    Point,
    PointValue,
    Power,
    Quantity,
    Range,
    Source,
    States,
    StepModel,
    Throttle,
    Uncertainty,
    Word,
    Workload,
    curvature_below,
    factors_of,
    work_at,
)


class ProfileError(InputError):
    """A profile that cannot be used: all `problems` at once, one line each."""

    def __init__(self, *problems: Problem):
        super().__init__(problems)


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
    curvature: float  # of power against work, below this operating point
    curvature_factors: Range  # may begin at 0
    curvature_origin: str
    curvature_error: float | None  # rms of the fit, in shares of the swing; None: nothing fitted
    sleep_power: float
    sleep_power_factors: Range
    wake: float
    wake_factors: Range
    restart: float  # boot, and load of the model
    restart_factors: Range
    states_origin: str  # the weakest of sleep, wake and restart


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
    performance_curve: PerformanceCurve | None = None
    states: States = States()
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

    def curvature(self) -> tuple[Quantity, float | None]:
        """Curvature of power against work, fitted or assumed, and the fit's rms if there is one."""
        return (CURVATURE, None) if self.performance_curve is None else self.performance_curve.fit()

    def performance_at_cap(
        self, cap_w: Number, batch: Number | None = None, curvature: float | None = None
    ) -> float:
        """Share of the throughput that remains if one device may draw `cap_w` watts.

        The curve of power against work is inverted, between idle and the power at `batch`.
        """
        if not (isfinite(cap_w) and cap_w > 0):
            raise ProfileError(Problem("cap_w", f"got {cap_w:g}", "a positive number of watts"))
        active, idle = self.active_power(batch), self.power_model.idle_w.value
        if cap_w >= active:
            return 1.0
        if cap_w <= idle:
            return 0.0
        bend = self.curvature()[0].value if curvature is None else curvature
        return work_at(bend, (cap_w - idle) / (active - idle))

    def device_numbers(
        self, batch: Number | None = None, cap_w: Number | None = None
    ) -> DeviceNumbers:
        """The simulator's numbers for one device at `batch` (default: best), under `cap_w`.

        A capped device has less of the curve left, so it bends less; the factors on its curvature
        say so, its throughput is that of the nominal curve.
        """
        free = self.active_power(batch)
        cap = free if cap_w is None else cap_w
        active, idle = min(free, float(cap)), min(free, float(cap), self.power_model.idle_w.value)
        bend, error = self.curvature()

        def below(value: float) -> float:
            return curvature_below(value, self.performance_at_cap(cap, batch, value))

        low, high = bend.range or (bend.value, bend.value)
        left = bend.model_copy(
            update={"value": below(bend.value), "range": (below(low), below(high))}
        )
        sleep, wake = self.states.sleep(idle), self.states.wake()
        restart = self.states.restart(self.weights_gb.value)
        throttle, factors = self.throttle, self.uncertainty
        return DeviceNumbers(
            tokens_per_s=self.performance_at_cap(cap, batch)
            * self.operating_point(batch).tokens_per_s,
            active_power=active,
            idle_power=idle,
            throttle_start=throttle.start_k.value if throttle else None,
            throttle_full=throttle.full_k.value if throttle else None,
            throughput_factors=factors.throughput,
            active_power_factors=factors.active_power,
            idle_power_factors=factors.idle_power,
            origin=self.origin,
            power_origin=self.weakest("power_w"),
            curvature=left.value,
            curvature_factors=factors_of(left),
            curvature_origin=bend.origin,
            curvature_error=error,
            sleep_power=min(idle, sleep.value),
            sleep_power_factors=factors_of(sleep),
            wake=wake.value,
            wake_factors=factors_of(wake),
            restart=restart.value,
            restart_factors=factors_of(restart),
            states_origin=max((q.origin for q in (sleep, wake, restart)), key=ORIGINS.index),
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

"""The parts of a payload profile: one model for each object of ``assets/schemas/profile-1.json``.

Names end in their units as in the file. What a profile leaves out of `PerformanceCurve` and
`States` has a default here, always assumed and always with a range.
"""

from math import asinh, sinh, sqrt
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Origin = Literal["measured", "published", "derived", "assumed"]
ORIGINS: tuple[str, ...] = get_args(Origin)  # strongest first
PointValue = Literal["output_tokens_per_s", "itl_s", "ttft_s", "power_w"]
Range = tuple[float, float]
Word = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Number = float | int


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
    """The decode step as t0 + n sequences' own time + max(bytes / bandwidth, work / compute)."""

    t0_s: Quantity
    weight_bytes_read_per_step: Quantity
    kv_bytes_per_token: Quantity
    flop_per_token: Quantity
    bandwidth_bytes_per_s: Quantity
    compute_flop_per_s: Quantity
    mean_context: Quantity
    peak_bandwidth_bytes_per_s: Quantity
    peak_flop_per_s: Quantity
    sequence_s: Quantity | None = None  # the host's, for each sequence of a step

    def bytes(self, batch: Number) -> float:
        """Bytes read in one step of `batch` sequences at the mean context."""
        kv = self.mean_context.value * self.kv_bytes_per_token.value
        return self.weight_bytes_read_per_step.value + batch * kv

    def step_s(self, batch: Number) -> float:
        """Seconds of one decode step; the sharp knee makes it optimistic near the knee."""
        memory = self.bytes(batch) / self.bandwidth_bytes_per_s.value
        compute = batch * self.flop_per_token.value / self.compute_flop_per_s.value
        each = batch * self.sequence_s.value if self.sequence_s else 0.0
        return self.t0_s.value + each + max(memory, compute)


class Limits(Part):
    """Largest batch that the engine holds, and the tokens its KV cache holds."""

    max_batch: Quantity
    kv_tokens: Quantity


class Throttle(Part):
    """Chip temperature where work begins to fall, and where none is left."""

    start_k: Quantity
    full_k: Quantity


STEEPEST = 0.95  # largest curvature: the idle end of the curve keeps a slope
LOADING = 2e9  # bytes/s, from an NVMe store to memory. Assumed


class CurvePoint(Part):
    """Power at a share of the full work, both between idle (0) and the operating point (1)."""

    work: Annotated[float, Field(gt=0, le=1)]
    power: Annotated[float, Field(ge=0, le=1)]


class PerformanceCurve(Part):
    """Power against work under lower clocks or a power cap, measured or published."""

    points: Annotated[tuple[CurvePoint, ...], Field(min_length=2)]
    origin: Origin
    source: str
    note: str | None = None

    @model_validator(mode="after")
    def tells_something(self) -> "PerformanceCurve":
        """Work rises, and two points lie below full work, where curves differ."""
        works = [point.work for point in self.points]
        if any(b <= a for a, b in zip(works, works[1:], strict=False)):
            raise ValueError("points must be sorted by rising work, each work once")
        if sum(work < 1 for work in works) < 2:
            raise ValueError("needs two points with work below 1")
        return self

    def fit(self) -> tuple[Quantity, float]:
        """Curvature by least squares of power with its 5-95 % range, and the rms that remains."""
        bends = [p.work - p.work**3 for p in self.points]
        below = [p.work - p.power for p in self.points]
        weight = sum(b * b for b in bends)
        overlap = sum(b * y for b, y in zip(bends, below, strict=True))
        best = min(STEEPEST, max(0.0, overlap / weight))
        square = sum((y - best * b) ** 2 for b, y in zip(bends, below, strict=True))
        inner = sum(p.work < 1 for p in self.points)
        spread = 1.645 * sqrt(square / (inner - 1) / weight)
        band = (max(0.0, best - spread), min(STEEPEST, best + spread))
        fitted = Quantity(value=best, origin=self.origin, source=self.source, range=band)
        return fitted, sqrt(square / inner)


def curve(curvature: float, work: float) -> float:
    """Power share at a work share: a proportional part, and one that falls with the cube."""
    return work * (1 - curvature + curvature * work * work)


def work_at(curvature: float, power: float) -> float:
    """The work share whose power share is `power`: Cardano's root of `curve`."""
    if curvature < 1e-9:
        return power
    p = (1 - curvature) / (3 * curvature)
    return 2 * sqrt(p) * sinh(asinh(power / (2 * curvature * p * sqrt(p))) / 3)


def curvature_below(curvature: float, work: float) -> float:
    """Curvature of what remains of the curve when `work` becomes the new full rate."""
    bent = curvature * work * work
    return bent / (1 - curvature + bent)


class States(Part):
    """How a device rests and starts again; what is None takes its assumed default."""

    sleep_w: Quantity | None = None
    wake_s: Quantity | None = None
    reboot_s: Quantity | None = None
    load_s: Quantity | None = None

    @model_validator(mode="after")
    def takes_time_and_power(self) -> "States":
        """No value and no range below zero."""
        for name, what in self:
            if what is not None and min((what.value, *(what.range or ()))) < 0:
                raise ValueError(f"{name} must not be negative")
        return self

    def sleep(self, idle_w: float) -> Quantity:
        """Draw asleep, the model in memory: by default 0.3 of idle, 0.1 to 0.5."""
        return self.sleep_w or assumed(0.3 * idle_w, 0.1 * idle_w, 0.5 * idle_w)

    def wake(self) -> Quantity:
        """Seconds from asleep to working: by default 5, 1 to 30."""
        return self.wake_s or assumed(5, 1, 30)

    def restart(self, weights_gb: float) -> Quantity:
        """Seconds from off to working: by default a boot of 90, 60 to 300, and the weights' read.

        The read is at 2 GB/s, 1 to 4. Source: none; the design's ranges for outages.
        """
        boot = self.reboot_s or assumed(90, 60, 300)
        read = 1e9 * weights_gb / LOADING
        load = self.load_s or assumed(read, 0.5 * read, 2 * read)
        (a, b), (c, d) = (q.range or (q.value, q.value) for q in (boot, load))
        worst = max((boot, load), key=lambda q: ORIGINS.index(q.origin))
        total = {"value": boot.value + load.value, "range": (a + c, b + d)}
        return worst.model_copy(update=total)


def assumed(value: float, low: float, high: float, note: str | None = None) -> Quantity:
    """A default of this twin."""
    return Quantity(value=float(value), origin="assumed", range=(low, high), note=note)


def factors_of(what: Quantity) -> Range:
    """The range as factors on the value, for error bars; (1, 1) where there is none."""
    if what.range is None or what.value == 0:
        return (1.0, 1.0)
    return (what.range[0] / what.value, what.range[1] / what.value)


CURVATURE = assumed(
    0.5,
    0.0,
    0.9,
    "until measured. RTX 3090 boards show both sides: training keeps 95 % at 280 of 350 W (Puget "
    "Systems), which asks for the cube or more; gpu-burn loses 27 % from 300 to 250 W (Nodehome), "
    "which asks for none; an Orin Nano makes 36-47 % more in its 25 W mode than in 15 W (Smolhub)",
)


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

"""From measured points to the numbers of a device, and from those to predictions with their bands.

Twelve numbers of a device are fitted at once (see `steplaw`), by least squares on logarithms of
throughput, median gap between tokens, watts and, with less weight, of the time to the first token.
Which step serves whom depends a little on the device's speed: rows and numbers are found in turn.
The bands hold two things: what the points leave open of the numbers (residuals drawn anew, the
linear answer of the fit to each draw), and what the law itself misses, measured where it can be by
predicting each workload from the others.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from serving import lines
from serving.measured import Measured, Point
from serving.models import Model, of
from serving.problem import UsageProblem
from serving.schedule import Engine, Load, Schedule, schedule
from serving.steplaw import TIMES, Device, Figures, Subject, pace, predict

POWERS = ("p0", "per_byte", "per_flop", "lag")
WEIGHTS = {"throughput": 1.0, "itl": 1.0, "power": 1.0, "ttft": 0.3}
SOFT = 0.03  # residuals beyond count less than by their square
PULL = 0.01  # towards the guess: where points say nothing, a number stays within a few times of it
# Bytes a second hardly differ between loads, so points leave open what of the power they cause.
# Held near what Hopper boards draw at rest with weights in memory, 112 to 117 W (public nvidia-smi
# readouts), over the 425 W of the H100's lightest load: assumed of other devices.
RESTS = 0.27
LAG = 0.5  # s: NVML's power is a mean over the last second (its manual, Ampere and newer)
PULLS = {"p0": 0.05, "lag": 0.1}
FRONTS = np.geomspace(0.03, 0.4, 10)  # of the way to the engine
ROUNDS = 3  # of rows and numbers in turn; on the H100 a fourth and a fifth change nothing
# What a law misses at least, where repeats do not say more: those of the published campaigns differ
# by 1 to 3 %; first tokens depend on how requests fall together.
LEAST = {"throughput": 0.03, "itl": 0.03, "ttft": 0.2, "power": 0.04}
RIDGES = (8.0, 50.0, 220.0)  # FLOP a byte: where a processor, an edge module, a GPU turns
DRAWS, SEED, BAND = 200, 0, (5.0, 95.0)
FAR = 0.4  # of a logarithm: beyond, the fit's answer to a draw is no longer linear
VERSION = 2  # of the file; 1 had no entry, front and lag


@dataclass(frozen=True)
class Fit:
    """Numbers of a device with what is known of their errors, and where they were measured."""

    device: str
    model: str
    precision: str
    engine: Engine
    server: str
    source: str
    numbers: Device
    draws: np.ndarray  # (draw, number): logarithms, as far as the points leave them open
    misses: dict[str, float]  # by quantity: standard deviation of the law's own error, logarithm
    errors: dict[str, tuple[float, float]]  # by quantity, on the points fitted: mean, worst
    held_out: dict[str, tuple[float, float]]  # the same on points that the fit did not see
    covered: float | None  # share of those inside the bands
    measured: dict[str, tuple[float, float]]  # lengths, concurrency, scarcity of the cache
    points: int
    shape: dict[str, Any] | None = None  # of the model, where it is none of the shipped

    @property
    def architecture(self) -> Model:
        """The numbers of the model that was measured."""
        return of(self.model, self.shape)

    def as_json(self) -> dict[str, Any]:
        """What a file holds; `from_json` reads it again."""
        said = {k: v for k, v in asdict(self).items() if k != "shape" or v}
        return {"format": "serving-fit", "version": VERSION} | said | {
            "numbers": {k: v for k, v in asdict(self.numbers).items() if np.isfinite(v)},
            "draws": self.draws.round(5).tolist(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Fit":
        """A fit that was written by `as_json`."""
        if said.get("format") != "serving-fit" or said.get("version") != VERSION:
            raise UsageProblem("FIT", f"format {said.get('format')!r}, version"
                               f" {said.get('version')!r}", f"serving-fit, version {VERSION}",
                               "fit the points again")  # fmt: skip
        known = {f.name: said[f.name] for f in fields(cls) if f.name != "shape" or f.name in said}
        return cls(**known | {
            "engine": Engine(**said["engine"]), "numbers": Device(**said["numbers"]),
            "draws": np.array(said["draws"]),
        })  # fmt: skip


@dataclass(frozen=True)
class Band:
    """A predicted value and its 90 % band."""

    value: float
    low: float
    high: float


def fit(seen: Measured, apart: Measured | None = None, cap: float = float("inf")) -> Fit:
    """Fit a device to points; `apart` are those held out, `cap` its power limit (W).

    Raises:
        UsageProblem: fewer points than there are numbers to find.
    """
    enough = sum(v is not None for p in seen.points for v in p.seen.values())
    if len(seen.points) < 3 or enough < 9:
        raise UsageProblem(seen.name, f"{len(seen.points)} points", "at least 3 to fit")
    numbers, draws, _ = _solve(seen, cap, _guess(seen))
    misses = {name: max(least, seen.noise) for name, least in LEAST.items()}
    workloads = sorted({(p.load.input_len, p.load.output_len) for p in seen.points})
    for one in workloads if len(workloads) > 1 else ():
        rest = [p for p in seen.points if (p.load.input_len, p.load.output_len) != one]
        if len(rest) < 3:
            continue
        other = _solve(seen.only(rest), cap, numbers, settled=True)[0]
        own = [p for p in seen.points if p not in rest]
        for name, e in _logs(seen.only(own), other).items():
            misses[name] = max(misses[name], float(np.sqrt(np.mean(np.square(e)))))
    loads = [p.load for p in seen.points]
    found = Fit(
        device=seen.device, model=seen.model, precision=seen.precision, engine=seen.engine,
        server=seen.server, source=seen.source, numbers=numbers, draws=draws, misses=misses,
        errors=_errors(seen, numbers), held_out={}, covered=None,
        measured={
            "input_len": _range(x.input_len for x in loads),
            "output_len": _range(x.output_len for x in loads),
            "concurrency": _range(x.concurrency for x in loads),
            "kv_tokens_wanted_over_held": (0.0, max(_scarcity(x, seen.engine) for x in loads)),
        },
        points=len(loads),
        shape=seen.shape,
    )  # fmt: skip
    if apart is None or not apart.points:
        return found
    inside = []
    for point in apart.points:
        bands = bands_of(found, point.load, seen.subject, apart.engine)
        inside += [
            bands[name].low <= value <= bands[name].high
            for name, value in point.seen.items()
            if value is not None and name in bands
        ]
    return replace(
        found, held_out=_errors(apart, numbers), covered=float(np.mean(inside)) if inside else None
    )


def bands_of(
    fit: Fit, load: Load, subject: Subject, engine: Engine, wider: float = 0.0
) -> dict[str, Band]:
    """Throughput, gap, first token and watts of a load; `wider` adds to the law's error (log)."""
    plan = schedule(load, engine, pace(subject, fit.numbers))
    best = predict(plan, subject, fit.numbers)
    rng = np.random.default_rng(SEED)
    drawn = [
        predict(plan, subject, _moved(fit.numbers, d)) for d in fit.draws[:: max(1, DRAWS // 50)]
    ]
    found = {}
    for name, miss in fit.misses.items():
        if not np.isfinite(best.get(name)):
            continue
        # The law's error comes as independent draws on each of the numbers' draws.
        sigma = float(np.hypot(miss, wider))
        spread = np.log([x.get(name) / best.get(name) for x in drawn])
        noise = rng.normal(0.0, sigma, (200, len(drawn)))
        low, high = (float(x) for x in np.exp(np.percentile(spread + noise, BAND)))
        high = best.get(name) * high
        if name == "power":
            high = max(min(high, fit.numbers.cap), best.get(name))  # the device sees to that
        found[name] = Band(best.get(name), best.get(name) * low, high)
    return found


def straight_line(seen: Measured, load: Load) -> float:
    """Throughput by what needs no model: a straight line through logarithms (see `lines`)."""
    return lines.straight_line(seen.points, load)


def _solve(
    seen: Measured, cap: float, start: Device, settled: bool = False
) -> tuple[Device, np.ndarray, np.ndarray]:
    powered = any(p.seen["power"] for p in seen.points)
    names = TIMES + (POWERS if powered else ())
    names = tuple(name for name in names if name != "front")
    subject = seen.subject
    base = replace(start, layers=subject.layers, cap=cap if powered else float("inf"))
    if not powered:
        base = replace(base, **dict.fromkeys(POWERS[:-1], float("nan")), lag=0.0)
    front, logs = base.front, np.log([max(getattr(base, name), 1e-15) for name in names])
    pull = np.array([PULLS.get(name, PULL) for name in names])

    def device(x: np.ndarray) -> Device:
        named = dict(zip(names, np.exp(x).tolist(), strict=True))
        return replace(base, front=front, **named)

    def plans(x: np.ndarray, points: tuple[Point, ...] = seen.points) -> list[Schedule]:
        return [schedule(p.load, seen.engine, pace(subject, device(x))) for p in points]

    def residuals(
        x: np.ndarray, rows: list[Schedule], points: tuple[Point, ...] = seen.points
    ) -> np.ndarray:
        tried, out = device(x), []
        for point, plan in zip(points, rows, strict=True):
            said = predict(plan, subject, tried)
            out += [
                w * np.log(said.get(name) / value)
                for name, w in WEIGHTS.items()
                if (value := point.seen[name]) is not None
            ]
        return np.array(out)

    # A number that the points do not move stays where it was: a weak pull back keeps it finite.
    def pulled(x: np.ndarray, rows: list[Schedule]) -> np.ndarray:
        return np.concatenate([residuals(x, rows), pull * (x - logs)])

    def search(begin: np.ndarray, rows: list[Schedule], most: int) -> Any:
        return least_squares(pulled, begin, loss="soft_l1", f_scale=SOFT, max_nfev=most,
                             diff_step=1e-3, args=(rows,))  # fmt: skip

    # The front only says which step a request meets, so no slope finds it: a few are tried, of one
    # way from client to engine, on the loads that the cache holds (others take long to replay).
    roomy = tuple(p for p in seen.points if _scarcity(p.load, seen.engine) < 1) or seen.points

    def with_front(x: np.ndarray) -> np.ndarray:
        nonlocal front
        at, tries = names.index("enter"), []
        way = front + np.exp(x[at])
        for share in FRONTS:
            front, moved = float(share * way), x.copy()
            moved[at] = np.log((1 - share) * way)
            left = residuals(moved, plans(moved, roomy), roomy)
            tries.append((2 * SOFT**2 * np.sum(np.hypot(1, left / SOFT) - 1), front, moved))
        # First tokens leap as a request falls into one step or the next: neighbours are asked too.
        costs = np.convolve([tries[0][0], *(t[0] for t in tries), tries[-1][0]], (1, 2, 1), "valid")
        _, front, best = tries[int(np.argmin(costs))]
        return best

    begins = [logs]
    if not settled:  # there are valleys beside the deepest: the best of three searches
        begins = [
            np.where(np.array(names) == "rate", np.log(ridge * base.bandwidth), logs)
            for ridge in RIDGES
        ]
    rows = plans(logs)
    found = min((search(begin, rows, 12) for begin in begins), key=lambda one: one.cost)
    kept = [(found.cost, front, found, rows)]
    for _ in range(ROUNDS - 1):
        x = found.x if settled else with_front(found.x)
        rows = plans(x)
        found = search(x, rows, 25)
        kept.append((found.cost, front, found, rows))
    _, front, found, rows = min(kept, key=lambda one: one[0])
    left = residuals(found.x, rows)
    slopes = np.linalg.pinv(found.jac)
    rng = np.random.default_rng(SEED)
    again = rng.choice(left, (DRAWS, left.size)) * np.sqrt(
        left.size / max(left.size - len(names), 1)
    )
    moves = np.zeros((DRAWS, len(TIMES + POWERS)))
    moves[:, [(TIMES + POWERS).index(name) for name in names]] = again @ slopes[:, : left.size].T
    # Numbers that the points cannot tell apart move far, together: shortened as a whole, a draw
    # stays among what the points allow.
    moves *= np.minimum(1, FAR / np.abs(moves).max(1, keepdims=True).clip(FAR))
    return device(found.x), moves, left


def _guess(seen: Measured) -> Device:
    """Where the search begins: the quickest gap as weights read, the first token as work done."""
    gap = min(p.seen["itl"] or np.inf for p in seen.points)
    alone = min(seen.points, key=lambda p: (p.load.concurrency, -p.load.input_len))
    first = alone.seen["ttft"] or gap
    work = seen.subject.flop * max(alone.load.input_len, 1)
    watts = min((p.seen["power"] for p in seen.points if p.seen["power"]), default=100.0)
    bandwidth = 1.3 * seen.subject.weights / gap
    rate = max(work / first, 20 * bandwidth)
    return Device(
        t0=0.2 * gap, each=1e-3 * gap, bandwidth=bandwidth, rate=rate, overlap=1.0,
        enter=0.3 * first, p0=RESTS * watts, per_byte=0.5 * watts / bandwidth,
        per_flop=watts / rate, layers=seen.subject.layers,
        join=0.1 * gap, front=0.1 * gap, lag=LAG,
    )  # fmt: skip


def _moved(device: Device, move: np.ndarray) -> Device:
    named = dict(zip(TIMES + POWERS, np.exp(move).tolist(), strict=True))
    return replace(device, **{k: getattr(device, k) * m for k, m in named.items()})


def _logs(seen: Measured, numbers: Device) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for point in seen.points:
        plan = schedule(point.load, seen.engine, pace(seen.subject, numbers))
        said: Figures = predict(plan, seen.subject, numbers)
        for name, value in point.seen.items():
            if value is not None and np.isfinite(said.get(name)):
                found.setdefault(name, []).append(float(np.log(said.get(name) / value)))
    return found


def _errors(seen: Measured, numbers: Device) -> dict[str, tuple[float, float]]:
    return {
        name: (float(np.mean(np.abs(np.expm1(e)))), float(np.max(np.abs(np.expm1(e)))))
        for name, e in _logs(seen, numbers).items()
    }


def _range(values: Any) -> tuple[float, float]:
    known = [float(v) for v in values]
    return min(known), max(known)


def _scarcity(load: Load, engine: Engine) -> float:
    return load.concurrency * (load.input_len + load.output_len) / engine.kv_tokens

"""Another device from a measured one: its data sheet's rooflines, and what such a step costs.

The bandwidth that serving reaches is a share of the data sheet's. The share of a device that nobody
measured is taken as the median of those published (one request at a time), and how wrong that is
each of them says, predicted from all others: a Thor within a quarter, an H20 twice too fast. An
H200, predicted from an H100 before it was measured: gaps within 5 %, throughput within 14 %. Rates
of arithmetic follow the data sheet by the share of the device that was measured; what the host
costs stays. Watts do not carry over.

Source: Williams, Waterman & Patterson, CACM 52 (2009) 65, for rooflines; rows and data sheets as
named in ``assets/measurements/single-stream.toml`` and ``assets/devices.toml``.
"""

import csv
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from serving.fit import Fit
from serving.models import find
from serving.problem import UsageProblem, nearest
from serving.steplaw import Subject


@dataclass(frozen=True)
class Sheet:
    """What its maker says of a device: peaks in B/s and FLOP/s (dense, 16 bit), memory in bytes."""

    title: str
    bandwidth: float
    flop: float
    memory: float
    source: str
    nvml: str = ""  # the name by which a campaign on it knows it


@dataclass(frozen=True)
class Stream:
    """One request at a time on one device: a published speed in tokens a second."""

    device: str
    model: str
    precision: str
    context: float  # tokens, in the mean
    speed: float


@cache
def sheets() -> dict[str, Sheet]:
    """The data sheets, by device."""
    said = tomllib.loads(files("assets").joinpath("devices.toml").read_text(encoding="utf-8"))
    return {name: Sheet(**sheet) for name, sheet in said.items()}


@cache
def streams() -> tuple[Stream, ...]:
    """The published speeds."""
    path = files("assets").joinpath("measurements", "single-stream.csv")
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return tuple(
        Stream(r["device"], r["model"], r["precision"], float(r["context"]),
               float(r["tokens_per_s"])) for r in rows
    )  # fmt: skip


def share(device: str, t0: float) -> float:
    """Share of the data sheet's bandwidth that a device's published speeds reach.

    `t0` is the host's time of a step of 36 layers (s). Geometric mean over the models, at most 1:
    an engine with less to do on its host seems to read faster than its memory can.
    """
    peak = sheets()[device].bandwidth
    reached = [
        np.log(_bytes(s) / peak / max(1 / s.speed - _host(s, t0), 0.1 / s.speed))
        for s in streams() if s.device == device
    ]  # fmt: skip
    return min(float(np.exp(np.mean(reached))), 1.0)


def elsewhere(device: str, t0: float) -> float:
    """The share to expect of a device: the median of all others that were published."""
    others = sorted({s.device for s in streams()} - {device})
    return float(np.median([share(other, t0) for other in others]))


def left_out(t0: float) -> dict[str, list[float]]:
    """By device: its speeds as predicted from all others, over the published ones."""
    found: dict[str, list[float]] = {}
    for s in streams():
        reached = elsewhere(s.device, t0) * sheets()[s.device].bandwidth
        step = _host(s, t0) + _bytes(s) / reached
        found.setdefault(s.device, []).append(1 / step / s.speed)
    return found


def cost(t0: float) -> float:
    """Standard deviation (logarithm) of a speed on a device that nobody measured."""
    each = [np.mean(np.square(np.log(ratios))) for ratios in left_out(t0).values()]
    return float(np.sqrt(np.mean(each)))


def onto(fit: Fit, device: str) -> tuple[Fit, float]:
    """The fit moved to another device, and the standard deviation (logarithm) that this adds.

    Raises:
        UsageProblem: no data sheet of either.
    """
    known = sheets()
    mine = next((name for name, s in known.items() if s.nvml == fit.device), fit.device)
    for what, name in (("--onto", device), ("--device", mine)):
        if name not in known:
            raise UsageProblem(what, f"no data sheet of {name!r}", ", ".join(known),
                               nearest(name, tuple(known)))  # fmt: skip
    own, other, n = known[mine], known[device], fit.numbers
    numbers = replace(
        n,
        bandwidth=elsewhere(device, n.t0 * 36 / n.layers) * other.bandwidth,
        rate=n.rate / own.flop * other.flop,
        p0=float("nan"), per_byte=float("nan"), per_flop=float("nan"), cap=float("inf"),
    )  # fmt: skip
    used = fit.engine.kv_tokens * _kv(fit) + fit.architecture.weight_bytes(fit.precision)
    kept = min(used / own.memory, 1.0) * other.memory - fit.architecture.weight_bytes(fit.precision)
    engine = replace(fit.engine, kv_tokens=max(int(kept / _kv(fit)), fit.engine.block_size))
    misses = {k: v for k, v in fit.misses.items() if k != "power"}
    moved = replace(fit, device=device, numbers=numbers, engine=engine, misses=misses)
    return moved, cost(n.t0 * 36 / n.layers)


def _kv(fit: Fit) -> float:
    return Subject.of(fit.architecture, fit.precision).kv


def _bytes(stream: Stream) -> float:
    subject = Subject.of(find(stream.model), stream.precision)
    return subject.weights + subject.kv * stream.context


def _host(stream: Stream, t0: float) -> float:
    return t0 * find(stream.model).layers / 36

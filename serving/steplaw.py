"""How long a step of an inference engine takes and what it draws: nine numbers of a device.

A step takes t0 and a little for each sequence (kernels' starts, sampling, the host), and beside
that the larger of two times, smoothly: bytes over bandwidth and work over rate. Power is P0 + a
bytes/s + b FLOP/s; where that exceeds the cap the device lowers its clock, so that compute takes as
long as brings the mean back to the cap.

Source: Williams, Waterman & Patterson, CACM 52 (2009) 65, for the roofline; vLLM's documentation
for continuous batching. That idle plus a share of the span is no model of power is what the
published points say: 429 W at one request, 690 W at 256 (H100).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import root_scalar

from serving.models import Model, bytes_of
from serving.schedule import Schedule


@dataclass(frozen=True)
class Subject:
    """What of a model's shape a step needs; bytes and FLOP."""

    layers: int
    weights: float  # bytes read by any step, without experts
    expert: float  # bytes of one expert in all layers
    experts: int
    chosen: int
    flop: float  # of one token, without attention and head
    head: float  # FLOP of one row of logits
    attention: float  # FLOP of one token and one token before it
    kv: float  # bytes of one token

    @classmethod
    def of(cls, model: Model, precision: str, kv_precision: str = "bf16") -> "Subject":
        """Of a model whose weights, but for the head in low precision, are all in `precision`."""
        size, head = bytes_of(precision), max(bytes_of(precision), 2.0)
        width = bytes_of(precision) if precision.startswith(("fp32", "float32")) else None
        table = model.vocab_size * model.hidden_size
        dense = model.non_embedding_parameters(0 if model.experts else None)
        each = 3.0 * model.hidden_size * model.moe_intermediate_size * model.layers
        used = model.non_embedding_parameters(model.experts_per_token if model.experts else None)
        return cls(
            layers=model.layers,
            weights=dense * size * _scales(precision) + table * head,
            expert=each * size * _scales(precision),
            experts=model.experts,
            chosen=model.experts_per_token,
            flop=2.0 * used,
            head=2.0 * table,
            attention=4.0 * model.layers * model.heads * model.head_dim,
            kv=2.0 * model.layers * model.kv_heads * model.head_dim
            * (width or bytes_of(kv_precision)),
        )  # fmt: skip

    def touched(self, tokens: np.ndarray) -> np.ndarray:
        """Experts that so many tokens meet, were the router even: E (1 - (1 - k/E)^n)."""
        if not self.experts:
            return np.zeros_like(tokens)
        return self.experts * (1 - (1 - self.chosen / self.experts) ** tokens)


def _scales(precision: str) -> float:
    """int4 carries a 16-bit scale and a 4-bit zero for each group of 128 (AWQ)."""
    return (4 + 16 / 128 + 4 / 128) / 4 if precision.startswith("int4") else 1.0


@dataclass(frozen=True)
class Device:
    """The numbers that are fitted; SI."""

    t0: float  # s a step, for `layers` layers
    each: float  # s a sequence in a step
    bandwidth: float  # B/s
    rate: float  # FLOP/s
    overlap: float  # of reading and computing: 0 adds their times, large ones leave the larger
    enter: float  # s a request, from its sending to its first step, where nothing else runs
    p0: float = float("nan")  # W
    per_byte: float = float("nan")  # J
    per_flop: float = float("nan")  # J
    cap: float = float("inf")  # W
    layers: int = 36


TIMES = ("t0", "each", "bandwidth", "rate", "overlap", "enter")


@dataclass(frozen=True)
class Figures:
    """What a benchmark would say of a load."""

    throughput: float  # output tokens a second, whole run
    itl: float  # s, median
    ttft: float  # s, 95th percentile
    power: float  # W, mean
    preempted: int
    clock: float  # share of its rate that the power cap leaves the device

    def get(self, name: str) -> float:
        """One of them."""
        return float(getattr(self, name))


def work(plan: Schedule, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and FLOP of one step of each row."""
    tokens = plan.decoding + plan.prompt
    size = subject.weights + subject.touched(tokens) * subject.expert
    size = size + (plan.context + plan.behind / 128) * subject.kv  # a tile of prompt reads once
    rows = plan.decoding + np.minimum(plan.prompt, plan.begun)
    flop = tokens * subject.flop + rows * subject.head
    return size, flop + (plan.context + plan.behind) * subject.attention


def predict(plan: Schedule, subject: Subject, device: Device) -> Figures:
    """The figures of a load on a device."""
    size, flop = work(plan, subject)
    idle = plan.decoding + plan.prompt == 0
    count = plan.steps * ~idle
    lone = np.flatnonzero((plan.begun > 0) & (plan.decoding == 0))

    def times(device: Device) -> np.ndarray:
        memory, compute = size / device.bandwidth, flop / device.rate
        n = 1.0 + min(device.overlap, 19.0)
        large = np.maximum(memory, compute)
        roof = large * (1 + (np.minimum(memory, compute) / large) ** n) ** (1 / n)
        step = device.t0 * subject.layers / device.layers + roof
        step = step + device.each * (plan.decoding + plan.begun)
        step[lone] += device.enter
        return np.where(idle, 0.0, step)

    step, clock = times(device), 1.0
    drawn = float("nan")
    if np.isfinite(device.p0):

        def power(step: np.ndarray) -> float:
            dynamic = (device.per_byte * size + device.per_flop * flop) * count
            return float(device.p0 + dynamic.sum() / (step * count).sum())

        drawn = power(step)
        if drawn > device.cap:

            def over(clock: float) -> float:
                return power(times(replace(device, rate=device.rate * clock))) - device.cap

            found = root_scalar(over, bracket=(0.02, 1.0), xtol=1e-9) if over(0.02) < 0 else None
            clock = float(found.root) if found else 0.02
            step = times(replace(device, rate=device.rate * clock))
            drawn = power(step)
    end = np.cumsum(step * plan.steps)
    begin = end - step * plan.steps
    first = end[plan.spoke] - begin[plan.arrived]
    made = (plan.decoding * count).sum() + len(plan.spoke)
    return Figures(
        throughput=float(made / end[-1]),
        itl=_median(step, plan.decoding * count),
        ttft=float(np.percentile(first, 95)),
        power=drawn,
        preempted=plan.preempted,
        clock=clock,
    )


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    if not total[-1]:
        return float("nan")
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])

"""How long a step of an inference engine takes and what it draws: twelve numbers of a device.

A step takes t0, a little for each sequence and more for each prompt that enters (kernels' starts,
sampling, the host). Kernels run one after the other, so beside that comes a time for all products
with weights and a time for attention, each the larger of two, smoothly: bytes over bandwidth and
work over rate. Power is P0 + a bytes/s + b FLOP/s; where a step would exceed the cap the device
lowers its clock for it, which lengthens its computing and, as voltage falls with the clock, saves
joules of it. A request passes the server's front, one after the other, before the engine sees it.
The meter lags: a short run's mean power holds some of the rest before it.

Nine of these numbers and the form are older than any look at the rows held out (1024/128). What
came later were the prompt's entry, the front, the cap step by step, the meter's lag and attention's
time apart. They were chosen with the errors on those rows in view, though no number was fitted to
them, and each lowers the error on the rows fitted too: blind in the strict sense they are not.

Source: Williams, Waterman & Patterson, CACM 52 (2009) 65, for the roofline; vLLM's documentation
for continuous batching. That idle plus a share of the span is no model of power is what the
published points say: 429 W at one request, 690 W at 256 (H100).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serving.models import Model, bytes_of
from serving.schedule import Pace, Schedule

# Of the energy of a FLOP, the share that stays however low the clock: the rest falls by its square,
# as voltage does. Assumed; shares of 0.1 to 0.3 fit the H100's rows alike, 1.0 fits them worse.
STAYS = 0.1
# s a token at the front: five bytes at 2.5 MB/s, about what Hugging Face's tokenizers do on one
# core. Assumed; a fit to prompts of one length cannot tell it from the rest. 1e-6 to 4e-6.
PARSING = 2e-6
SECANTS = 3  # against halving: 5e-5 of every figure, 7e-3 where the cap is hardly in reach
SLOWEST = 0.15  # share of the clock that a cap can leave: an H100's 300 of 1,980 MHz, about


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
    rate: float  # FLOP/s at full clock
    overlap: float  # of reading and computing: 0 adds their times, large ones leave the larger
    enter: float  # s from a request's sending until the engine has it, beside all others
    p0: float = float("nan")  # W
    per_byte: float = float("nan")  # J
    per_flop: float = float("nan")  # J at full clock
    cap: float = float("inf")  # W
    layers: int = 36
    join: float = 0.0  # s of a step for each prompt that enters with it
    front: float = 0.0  # s a request, one after the other, before `enter`
    lag: float = 0.0  # s of a run until the meter shows its power


TIMES = ("t0", "each", "bandwidth", "rate", "overlap", "enter", "join", "front")


@dataclass(frozen=True)
class Figures:
    """What a benchmark would say of a load."""

    throughput: float  # output tokens a second, whole run
    itl: float  # s, median
    ttft: float  # s, 95th percentile
    power: float  # W, mean
    preempted: int
    clock: float  # share of it that the power cap leaves the device, mean over the time

    def get(self, name: str) -> float:
        """One of them."""
        return float(getattr(self, name))


def work(plan: Schedule, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and FLOP of one step of each row: (kind, row), first of weights, then of attention."""
    tokens = plan.decoding + plan.prompt
    rows = plan.decoding + np.minimum(plan.prompt, plan.begun)
    size = (
        subject.weights + subject.touched(tokens) * subject.expert,
        (plan.context + plan.behind / 128) * subject.kv,  # a tile of prompt reads once
    )
    flop = (
        tokens * subject.flop + rows * subject.head,
        (plan.context + plan.behind) * subject.attention,
    )
    return np.stack(size), np.stack(flop)


def pace(subject: Subject, device: Device) -> Pace:
    """The device's clock for `schedule`: to three digits, so that near devices share the rows."""

    def short(value: float) -> float:
        return float(f"{value:.3g}")

    return Pace(
        step=short(device.t0 * subject.layers / device.layers),
        sequence=short(device.each),
        joining=short(device.join),
        context=short(subject.kv / device.bandwidth),
        token=short(subject.flop / device.rate),
        pair=short(subject.attention / device.rate),
        base=short(subject.weights / device.bandwidth),
        front=short(device.front),
        parsing=PARSING,
        latency=short(device.enter),
    )


def predict(plan: Schedule, subject: Subject, device: Device) -> Figures:
    """The figures of a load on a device."""
    size, flop = work(plan, subject)
    idle = plan.decoding + plan.prompt == 0
    memory, compute = size / device.bandwidth, flop / device.rate
    hosted = device.t0 * subject.layers / device.layers + device.each * plan.decoding
    hosted = hosted + (device.each + device.join) * plan.begun
    power = 1.0 + min(device.overlap, 19.0)
    moving, joules = device.per_byte * size.sum(0), device.per_flop * flop.sum(0)

    def seconds(clock: np.ndarray, at: np.ndarray) -> np.ndarray:
        read, slower = memory[:, at], compute[:, at] / clock
        large = np.maximum(np.maximum(read, slower), 1e-12)
        less = np.minimum(read, slower) / large
        return hosted[at] + (large * (1 + less**power) ** (1 / power)).sum(0)

    def watts(clock: np.ndarray, at: np.ndarray) -> np.ndarray:
        computing = joules[at] * (STAYS + (1 - STAYS) * clock**2)
        return device.p0 + (moving[at] + computing) / seconds(clock, at)

    busy = np.flatnonzero(~idle)
    clock = np.ones(len(idle))
    if np.isfinite(device.p0) and np.isfinite(device.cap):
        hot = busy[watts(clock[busy], busy) > device.cap]
        if len(hot):
            clock[hot] = _clock(lambda at_clock: watts(at_clock, hot), device.cap, len(hot))
    step = plan.pause * (device.enter + device.front + PARSING * plan.asked)
    step[busy] = seconds(clock[busy], busy)
    took = step * plan.steps
    end = np.cumsum(took)
    first = end[plan.spoke] - (end - took)[plan.arrived]
    count = plan.steps * ~idle
    made = (plan.decoding * count).sum() + len(plan.spoke)
    drawn = float("nan")
    if np.isfinite(device.p0):
        rest = device.p0 * took[idle].sum()
        drawn = float((watts(clock[busy], busy) * took[busy]).sum() + rest) / float(end[-1])
        if device.lag > 0:  # a meter of first order, as from nothing
            lags = device.lag / float(end[-1])
            drawn *= 1 - lags * (1 - np.exp(-1 / lags))
    return Figures(
        throughput=float(made / end[-1]),
        itl=_median(step, plan.decoding * count),
        ttft=float(np.percentile(first, 95)),
        power=float(drawn),
        preempted=plan.preempted,
        clock=float((clock * took).sum() / end[-1]),
    )


def _clock(watts: Callable[[np.ndarray], np.ndarray], cap: float, count: int) -> np.ndarray:
    """The clocks that bring so many steps to the cap: secants of logarithms, nearly straight."""
    old = np.zeros(count)
    over = np.log(watts(np.exp(old)) / cap)
    new = np.clip(-0.5 * over, np.log(SLOWEST), 0.0)
    for _ in range(SECANTS):
        left = np.log(watts(np.exp(new)) / cap)
        moved = np.where(np.abs(new - old) > 1e-9, new - old, np.inf)
        fall = np.maximum((left - over) / moved, 0.02)  # where the clock saves little, far down
        old, over, new = new, left, np.clip(new - left / fall, np.log(SLOWEST), 0.0)
    return np.exp(new)


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    if not total[-1]:
        return float("nan")
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])

"""One satellite's engine, request by request and step by step, as a scheduler of vLLM V1 runs it.

Each engine step gives tokens to the running requests first, oldest first, within the token budget;
a request that crosses into a new KV block needs a free one, and where none is free the newest
running request is preempted: its blocks are freed, it goes to the front of the queue, and later all
its tokens, prompt and answer, are computed again. In a step without preemption, waiting requests
are then admitted first come, first served, while there is a place in the batch, budget left, and
free blocks for all tokens the request has so far; its prompt may be prefilled in chunks.

Because of first come, first served, the newest running request is always older than all that wait.
So requests stay sorted: one row of slots holds the running ones, then the preempted ones, and what
was never admitted is a pointer into the arrivals. The slots make the step a few cumulative sums.

Steps in which nothing can happen but one more token each are taken in one jump, with the exact
time and count of steps: the cost goes with the number of events, not of tokens. Queues of theory
come out by configuration: a fixed time a step, a batch limit of c, and answer lengths that are
fixed or exponential give M/D/c and M/M/c.

Left out of vLLM: prefix caching (a preempted request finds no old blocks; the count of blocks
and so of preemptions does not depend on it, the time of a recompute does), priorities, speculative
decoding, the one-step lag of asynchronous scheduling, and a model's longest context.

How it will be fed: arrivals and lengths are plain arrays, from a trace, from `arrival_times`, or
from the requests that the demand side sends to one satellite; the law is its payload profile's. It
answers what the fluid model (`serving`) cannot: percentiles, and preemptions.

Source: vLLM 0.32, vllm/v1/core/sched/scheduler.py and kv_cache_manager.py (read, not copied); Kwon
et al., SOSP 2023 (paged KV, preemption by recompute); Agrawal et al., OSDI 2024 (chunked prefill).
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from twin.arrays import Scalar
from twin.operations.engine import EngineLaw, Work

LARGEST = 2**31 - 1  # tokens are counted in 32 bit


class Served(eqx.Module):
    """What became of the requests; with a leading axis where several runs were simulated at once.

    Times are on the arrivals' clock. All requests end: the run goes on until the last has its last
    token.
    """

    arrival: Float[Array, "*run request"]
    start: Float[Array, "*run request"]  # first given tokens
    first_token: Float[Array, "*run request"]
    finish: Float[Array, "*run request"]
    preemptions: Int[Array, "*run request"]
    steps: Int[Array, "*run"]
    busy: Float[Array, "*run"]  # s in which the engine worked
    end: Float[Array, "*run"]  # last token of all
    tokens: Float[Array, "*run"]  # computed: prompts, answers and all that was computed again
    bytes: Float[Array, "*run"]
    flop: Float[Array, "*run"]
    batch_time: Float[Array, "*run"]  # running requests, integrated over time
    block_time: Float[Array, "*run"]  # KV blocks held, integrated over time

    @property
    def wait(self) -> Float[Array, "*run request"]:
        """From arrival to the first work on it."""
        return self.start - self.arrival

    @property
    def ttft(self) -> Float[Array, "*run request"]:
        """Time to first token."""
        return self.first_token - self.arrival


class Slots(eqx.Module):
    """Admitted requests that are not done, oldest first: the running ones, then the preempted."""

    request: Int[Array, " slot"]
    prompt: Int[Array, " slot"]
    target: Int[Array, " slot"]  # tokens of the whole answer
    made: Int[Array, " slot"]  # tokens of the answer so far
    computed: Int[Array, " slot"]  # tokens with keys and values in the cache
    preemptions: Int[Array, " slot"]
    start: Float[Array, " slot"]
    first_token: Float[Array, " slot"]


class Desk(eqx.Module):
    """The scheduler between two steps."""

    time: Scalar
    next: Int[Array, ""]  # first request never admitted
    running: Int[Array, ""]
    preempted: Int[Array, ""]
    slots: Slots
    done: Float[Array, "4 request"]  # start, first token, finish, preemptions
    steps: Int[Array, ""]
    sums: Float[Array, "6"]  # busy, tokens, bytes, flop, batch_time, block_time


class Limits(eqx.Module):
    """What bounds a step."""

    blocks: Int[Array, ""]  # of the KV cache that requests can hold
    block: Int[Array, ""]  # tokens in one
    budget: Int[Array, ""]  # new tokens in a step


def simulate_requests(
    arrivals: Any,
    input_tokens: Any,
    output_tokens: Any,
    engine: EngineLaw,
    *,
    max_batch: int,
    kv_tokens: int,
    block: int = 16,
    budget: int = 8192,
) -> Served:
    """Serve every request, compiled for the number of requests and `max_batch`.

    `arrivals` are sorted seconds; lengths are whole tokens, one each at least. With two axes,
    ``(run, request)``, the runs are independent and go through the compiled loop side by side.
    `kv_tokens` is what the server reports (blocks x block size); one block of it holds nothing, as
    in vLLM. Raises ValueError for what no server could serve.
    """
    times, prompts, answers = _checked(arrivals, input_tokens, output_tokens)
    blocks = kv_tokens // block - 1
    longest = int((prompts.astype(np.int64) + answers).max())
    if min(max_batch, block, budget) < 1:
        raise ValueError("max_batch, block and budget: allowed: 1 or more")
    if budget < max_batch:
        raise ValueError(f"budget {budget}: allowed: at least max_batch, which is {max_batch}")
    if kv_tokens > LARGEST or -(-(longest - 1) // block) > blocks:
        raise ValueError(
            f"kv_tokens {kv_tokens}: the longest request holds {longest - 1} tokens; allowed: at "
            f"least {(-(-(longest - 1) // block) + 1) * block}, for its blocks and the empty one, "
            f"and at most {LARGEST}"
        )
    limits = Limits(*(jnp.asarray(x, jnp.int32) for x in (blocks, block, min(budget, LARGEST))))
    several = times.ndim == 2
    if not several:
        times, prompts, answers = times[None], prompts[None], answers[None]
    served = _serve(times, prompts, answers, engine, limits, max_batch)
    return served if several else jax.tree.map(lambda x: x[0], served)


def arrival_times(
    rate: float, count: int, burstiness: float = 1.0, *, key: PRNGKeyArray
) -> Float[Array, " request"]:
    """Arrivals at a mean rate: Poisson at a burstiness of 1, burstier below, more even above.

    Gaps are gamma distributed with shape `burstiness`, as in ``vllm bench serve``.
    """
    if burstiness == 1.0:
        gaps = jax.random.exponential(key, (count,), float)
    else:
        gaps = jax.random.gamma(key, float(burstiness), (count,), float) / burstiness
    return lax.cummax(jnp.cumsum(gaps)) / rate  # a parallel sum may round below its neighbour


def _checked(
    arrivals: Any, input_tokens: Any, output_tokens: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times = np.asarray(arrivals, float)
    prompts, answers = np.asarray(input_tokens), np.asarray(output_tokens)
    if not times.shape == prompts.shape == answers.shape or times.ndim not in (1, 2):
        shapes = ", ".join(str(x.shape) for x in (times, prompts, answers))
        raise ValueError(f"arrivals and lengths: got shapes {shapes}; allowed: one shape")
    if times.size == 0 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError("arrivals: allowed: one or more finite seconds, sorted")
    for name, lengths in (("input_tokens", prompts), ("output_tokens", answers)):
        if lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > LARGEST:
            raise ValueError(f"{name}: allowed: whole numbers from 1 to {LARGEST}")
    return times, prompts.astype(np.int32), answers.astype(np.int32)


@partial(jax.jit, static_argnames="max_batch")
def _serve(
    arrivals: Float[Array, "run request"],
    prompts: Int[Array, "run request"],
    answers: Int[Array, "run request"],
    engine: EngineLaw,
    limits: Limits,
    max_batch: int,
) -> Served:
    """All runs side by side in one compiled loop; a run that has ended stands still.

    One loop around a mapped step, not a mapped loop: that would copy every result in each step.
    """
    runs, count = arrivals.shape

    def opened(first: Scalar) -> Desk:
        none = jnp.zeros(max_batch, jnp.int32)
        never = jnp.full(max_batch, jnp.nan, float)
        zero = jnp.zeros((), jnp.int32)
        slots = Slots(none, none, none, none, none, none, never, never)
        sums = jnp.zeros(6, float)
        done = jnp.full((4, count), jnp.nan, float)
        return Desk(first, zero, zero, zero, slots, done, jnp.zeros((), jnp.int64), sums)

    def open_still(desks: Desk) -> Array:
        return jnp.any((desks.next < count) | (desks.running + desks.preempted > 0))

    step = jax.vmap(_advance, in_axes=(0, 0, 0, 0, None, None))
    desks = lax.while_loop(
        open_still,
        lambda desks: step(desks, arrivals, prompts, answers, engine, limits),
        jax.vmap(opened)(arrivals[:, 0]),
    )
    start, first_token, finish, preemptions = (desks.done[:, k] for k in range(4))
    busy, tokens, moved, flop, batch_time, block_time = (desks.sums[:, k] for k in range(6))
    return Served(
        arrivals, start, first_token, finish, preemptions.astype(jnp.int32), desks.steps, busy,
        desks.time, tokens, moved, flop, batch_time, block_time,
    )  # fmt: skip


def _advance(
    desk: Desk,
    arrivals: Float[Array, " request"],
    prompts: Int[Array, " request"],
    answers: Int[Array, " request"],
    engine: EngineLaw,
    limits: Limits,
) -> Desk:
    """One step of the engine, or as many as nothing but tokens happens in."""
    count = arrivals.shape[0]
    desk = _idle(desk, arrivals)
    slots, came = _with_arrivals(desk, arrivals, prompts, answers)
    place = jnp.arange(slots.request.shape[0], dtype=jnp.int32)

    # Tokens and blocks, in the slots' order: running, preempted, new.
    wanted = slots.prompt + slots.made - slots.computed
    wanted = jnp.where(came, wanted, 0)
    before = jnp.cumsum(wanted, dtype=jnp.int32) - wanted
    given = jnp.clip(limits.budget - before, 0, wanted)
    held = _blocks(slots.computed + given, limits)
    filled = jnp.cumsum(held, dtype=jnp.int32)
    kept = jnp.sum((place < desk.running) & (filled <= limits.blocks), dtype=jnp.int32)
    thrown = desk.running - kept
    fits = filled - held + _blocks(slots.computed + wanted, limits) <= limits.blocks
    refused = (place >= desk.running) & ~(came & (given > 0) & fits)
    entered = jnp.min(jnp.where(refused, place, place.shape[0])) - desk.running
    entered = jnp.where(thrown > 0, 0, entered)
    running = kept + entered
    preempted = jnp.maximum(desk.preempted - entered, 0) + thrown
    following = desk.next + jnp.maximum(entered - desk.preempted, 0)
    on = place < running
    given = jnp.where(on, given, 0)
    out = (place >= running) & (place < running + preempted)  # in the queue's front

    # How long it takes, and for how many steps it goes on like this.
    context = jnp.where(given > 0, slots.computed + given, 0)
    work = Work(
        _real(jnp.sum(given > 0)),
        _real(jnp.sum(given)),
        jnp.sum(_real(context)),
        jnp.sum(_real(given) * (_real(slots.computed) + (_real(given) + 1) / 2)),
    )
    decoding = (wanted == 1) & (slots.made > 0)
    quiet = (thrown == 0) & (entered == 0) & jnp.all(decoding | ~on) & (running > 0)
    queue_open = (preempted == 0) & (running < place.shape[0]) & (following < count)
    gap = jnp.where(queue_open, arrivals[jnp.minimum(following, count - 1)] - desk.time, jnp.inf)
    gap = jnp.where(gap > 0, gap, jnp.inf)  # who has come and was refused waits for an end
    having = jnp.where(on, _blocks(slots.computed, limits), 0)
    free = limits.blocks - jnp.sum(having, dtype=jnp.int32)
    room = jnp.where(on, having * limits.block - slots.computed, LARGEST)
    most = jnp.minimum(
        jnp.min(jnp.where(on, slots.target - slots.made, LARGEST)),
        jnp.min(room) + limits.block * (free // jnp.maximum(running, 1)),
    )
    steps, lasts = _jump(work, engine, gap, jnp.where(quiet, most, 1))
    steps = jnp.where(running > 0, steps, 0)
    lasts = jnp.where(running > 0, lasts, 0.0)

    # What came of it.
    time = desk.time + lasts
    given = given * steps
    computed = slots.computed + given
    token = on & (given > 0) & (slots.computed + wanted <= computed)
    made = slots.made + jnp.where(token, steps, 0)
    opening = time - lasts
    start = jnp.where((given > 0) & jnp.isnan(slots.start), opening, slots.start)
    first_token = jnp.where(token & (slots.made == 0), time, slots.first_token)
    ended = token & (made >= slots.target)
    again = out & (place < desk.running)
    preemptions = slots.preemptions + again.astype(jnp.int32)
    results = jnp.stack([start, first_token, jnp.broadcast_to(time, start.shape)])
    results = jnp.concatenate([results, _real(preemptions)[None]])
    where = jnp.where(ended, slots.request, count)
    done = desk.done.at[:, where].set(results, mode="drop")
    after = Slots(
        slots.request, slots.prompt, slots.target, made, jnp.where(on, computed, 0), preemptions,
        start, first_token,
    )  # fmt: skip
    flows = _flows(work, engine, steps)
    held = _real(jnp.sum(jnp.where(on, _blocks(computed, limits), 0)))
    sums = jnp.stack([lasts, *flows, lasts * _real(running), lasts * held])
    return Desk(
        time, following, running - jnp.sum(ended, dtype=jnp.int32), preempted,
        _closed_up(after, ended), done, desk.steps + steps.astype(jnp.int64), desk.sums + sums,
    )  # fmt: skip


def _idle(desk: Desk, arrivals: Float[Array, " request"]) -> Desk:
    """An empty engine sleeps until the next request."""
    count = arrivals.shape[0]
    empty = (desk.running + desk.preempted == 0) & (desk.next < count)
    coming = arrivals[jnp.minimum(desk.next, count - 1)]
    time = jnp.where(empty, jnp.maximum(desk.time, coming), desk.time)
    return eqx.tree_at(lambda d: d.time, desk, time)


def _with_arrivals(
    desk: Desk,
    arrivals: Float[Array, " request"],
    prompts: Int[Array, " request"],
    answers: Int[Array, " request"],
) -> tuple[Slots, Array]:
    """The slots with the next requests in the empty ones, and which hold a request that is here."""
    old, count = desk.slots, arrivals.shape[0]
    place = jnp.arange(old.request.shape[0], dtype=jnp.int32)
    admitted = desk.running + desk.preempted
    empty = place >= admitted
    fresh = desk.next + place - admitted
    here = jnp.clip(fresh, 0, count - 1)

    def fill(new: Array, held: Array) -> Array:
        return jnp.where(empty, new, held)

    zero, never = jnp.zeros_like(place), jnp.full(place.shape, jnp.nan, float)
    slots = Slots(
        fill(fresh, old.request), fill(prompts[here], old.prompt), fill(answers[here], old.target),
        fill(zero, old.made), fill(zero, old.computed), fill(zero, old.preemptions),
        fill(never, old.start), fill(never, old.first_token),
    )  # fmt: skip
    return slots, ~empty | ((fresh < count) & (arrivals[here] <= desk.time))


def _closed_up(slots: Slots, ended: Array) -> Slots:
    """The slots without those that ended, in the same order."""
    size = ended.shape[0]
    if size == 1:
        return slots
    rank = jnp.cumsum(~ended)
    if size <= 16:  # many runs of few slots: choices are faster than look-ups
        place = jnp.arange(size)
        origin = jnp.sum(rank[None, :] <= place[:, None], axis=1)
        picked = [origin == k for k in range(size)]
        return jax.tree.map(lambda x: jnp.select(picked, list(x), x), slots)
    order = jnp.searchsorted(rank, jnp.arange(1, size + 1))
    return jax.tree.map(lambda x: x[order], slots)


def _jump(work: Work, engine: EngineLaw, gap: Scalar, most: Array) -> tuple[Array, Scalar]:
    """How many steps are taken at once, and how long they last together.

    At most `most`, and until `gap` has passed, in which somebody comes. From one step to the next
    each sequence's context grows by one, so memory and compute time grow in a straight line; the
    jump ends where the slower of the two changes.
    """
    grow = work.sequences
    memory, compute = engine.memory_time(work), engine.compute_time(work)
    memory_slope = engine.kv_bytes * grow / engine.bandwidth
    compute_slope = engine.pair_flop * grow / engine.compute
    first = jnp.where(memory == compute, memory_slope >= compute_slope, memory > compute)
    slope = jnp.where(first, memory_slope, compute_slope)
    overtaking = jnp.where(first, compute_slope - memory_slope, memory_slope - compute_slope)
    lead = jnp.abs(memory - compute)
    same = jnp.where(overtaking > 0, jnp.ceil(lead / jnp.maximum(overtaking, 1e-300)), jnp.inf)
    step = engine.fixed_time(work) + jnp.maximum(memory, compute)
    half = step - slope / 2
    until = 2 * gap / (half + jnp.sqrt(half * half + 2 * slope * gap))
    until = jnp.where(jnp.isfinite(gap), jnp.ceil(until * (1 - 1e-12)), jnp.inf)
    limit = jnp.minimum(jnp.minimum(same, until), _real(most))
    steps = jnp.maximum(limit, 1.0)
    return steps.astype(jnp.int32), steps * step + slope * steps * (steps - 1) / 2


def _flows(work: Work, engine: EngineLaw, steps: Array) -> tuple[Scalar, Scalar, Scalar]:
    """New tokens, bytes and FLOP of some steps in a row, whose contexts grow by one."""
    n = _real(steps)
    growth = work.sequences * n * (n - 1) / 2
    moved = n * engine.bytes(work) + engine.kv_bytes * growth
    return n * work.tokens, moved, n * engine.flop(work) + engine.pair_flop * growth


def _blocks(tokens: Array, limits: Limits) -> Array:
    return (tokens + limits.block - 1) // limits.block


def _real(x: Array) -> Array:
    return x.astype(float)

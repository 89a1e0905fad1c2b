"""A satellite's inference server as a fluid: what it serves in a step of the fleet.

Requests are amounts, not individuals. In a step of seconds or minutes an engine takes thousands of
steps of its own, so the batch is solved for rather than followed: those who came, less those who
waited out or left, are the batch at the step's end (implicit Euler), and the rate at which requests
leave is that batch over the time a request stays. No step is too long to be stable. Above the
largest batch (slots, or KV cache) the rest waits; above the queue's limit it is turned away.

Assumed: requests in the system are well mixed (a mean length, no memory of who came first); the
time a request has left is that of an exponential stay; busy slots are independent of each other,
so an engine is empty with probability (1 - n/m)^m at a mean of n of m slots. A random queue below
saturation is not in it: `wait` is the backlog's. Recomputes under KV pressure are not either: there
the engine is slower (see tests/twin/operations/test_agreement.py for how much). For percentiles
and preemptions of one satellite use `events`, with which the mean throughput agrees.

How it will be fed: `Demand` from the demand side (rate and mean lengths after routing), `share`
from the payload (`Duty.up` times ration and throttle), `Server` from the payload profile; `bytes`
and `flop` over the step are what the profile's power form P0 + a bytes/s + b FLOP/s wants. One
`Server` is one replica of the model: with several a satellite divides its demand among them.

Source: for batching and prefill in chunks, vLLM 0.32 as in `events`; Little's law; for the mean age
of a length in progress, renewal theory (Cox, Renewal Theory, 1962, 5.3).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from twin.arrays import Each, Scalar
from twin.operations.engine import EngineLaw, Work

NEWTON = 6  # bracketed steps from the last batch: right to 1e-8 after any jump (tested)
FEW = 1e-9  # requests: below, a mean length is that of the demand


class Server(eqx.Module):
    """One replica of a model, and how its scheduler bounds it."""

    engine: EngineLaw
    max_batch: Float[Array, "*sat"]  # requests in flight
    kv_tokens: Float[Array, "*sat"]  # as the server reports; one block of it stays empty
    block: Float[Array, "*sat"]  # tokens in a KV block
    budget: Float[Array, "*sat"]  # new tokens in an engine step
    queue_limit: Float[Array, "*sat"]  # waiting requests; above, requests are turned away
    variation: Float[Array, "*sat"]  # squared coefficient of variation of the answers' lengths


class Demand(eqx.Module):
    """What is asked of one replica during a step."""

    rate: Float[Array, "*sat"]  # requests a second
    input_tokens: Float[Array, "*sat"]  # mean, of a prompt
    output_tokens: Float[Array, "*sat"]  # mean, of an answer; 1 at least


class Load(eqx.Module):
    """What is in the system: requests, and the tokens they stand for."""

    waiting: Float[Array, "*sat"]
    running: Float[Array, "*sat"]
    waiting_input: Float[Array, "*sat"]  # prompt tokens to be computed
    running_input: Float[Array, "*sat"]  # prompt tokens in the KV cache
    output: Float[Array, "*sat"]  # answer tokens still to be made, waiting and running

    @classmethod
    def empty(cls, like: Each) -> "Load":
        """Nobody here."""
        none = jnp.zeros_like(like)
        return cls(none, none, none, none, none)


class Flows(eqx.Module):
    """What happened in a step: requests, tokens, bytes and FLOP as amounts, the rest as means."""

    arrived: Float[Array, "*sat"]
    dropped: Float[Array, "*sat"]
    admitted: Float[Array, "*sat"]
    preempted: Float[Array, "*sat"]  # back to the queue because the cache or the batch shrank
    done: Float[Array, "*sat"]
    input_arrived: Float[Array, "*sat"]
    input_dropped: Float[Array, "*sat"]
    input_again: Float[Array, "*sat"]  # of the preempted
    prefilled: Float[Array, "*sat"]
    output_arrived: Float[Array, "*sat"]
    output_dropped: Float[Array, "*sat"]
    made: Float[Array, "*sat"]
    bytes: Float[Array, "*sat"]
    flop: Float[Array, "*sat"]
    busy: Float[Array, "*sat"]  # share of the step in which the engine works
    batch: Float[Array, "*sat"]  # requests in an engine step
    step_time: Float[Array, "*sat"]  # s, mean engine step
    kv_use: Float[Array, "*sat"]  # share of the cache
    wait: Float[Array, "*sat"]  # s that the backlog at the end takes
    ttft: Float[Array, "*sat"]  # s, with the prefill


class Pace(eqx.Module):
    """A server at a mean number of running requests."""

    leaving: Float[Array, "*sat"]  # requests a second
    bytes: Float[Array, "*sat"]  # a second
    flop: Float[Array, "*sat"]  # a second
    busy: Float[Array, "*sat"]
    batch: Float[Array, "*sat"]
    step_time: Float[Array, "*sat"]
    prefill_time: Float[Array, "*sat"]  # s, of one prompt beside the others


def largest_batch(server: Server, prompt: Each, answer: Each) -> Each:
    """Requests that can run at once: slots, or the cache's blocks over those a request holds.

    A request holds its prompt and, on average over its life, half its answer (more if lengths
    vary), and half a block that is not full.
    """
    blocks = server.kv_tokens / server.block - 1
    each = (prompt + age(server, answer)) / server.block + 0.5
    return jnp.maximum(jnp.minimum(server.max_batch, blocks / each), 1.0)


def age(server: Server, answer: Each) -> Each:
    """Mean tokens that a running request has made, seen at a random moment."""
    return 0.5 * answer * (1 + server.variation)


def pace(
    server: Server, running: Each, limit: Each, prompt: Each, answer: Each, share: Each
) -> Pace:
    """How fast requests leave, and what that moves, with `running` of at most `limit`.

    A request takes part in as many steps as its prompt has chunks and its answer has tokens, less
    one: the last chunk gives the first token. A share of the steps carries prompts, one or more;
    the rest only decodes. `share` is the part of the time in which the engine is let work.
    """
    engine = server.engine
    full = jnp.clip(running / limit, 0.0, 1 - 1e-12)
    busy = -jnp.expm1(limit * jnp.log1p(-full))
    some = running > 1e-12
    batch = jnp.where(some, running / jnp.where(some, busy, 1.0), 1.0)
    chunks = jnp.maximum(prompt / server.budget, 1.0)
    steps = chunks + answer - 1
    prompts = batch * chunks / steps  # chunks in a step
    often, many = jnp.minimum(prompts, 1.0), jnp.maximum(prompts, 1.0)
    context = prompt + age(server, answer)
    others = jnp.maximum(batch - many, 0.0)
    chunk = many * prompt / chunks
    read = many * 0.5 * prompt * (1 + 1 / chunks)
    quiet = Work(batch, batch, batch * context, batch * context)
    loaded = Work(
        others + many, others + chunk, others * context + read,
        others * context + chunk * 0.5 * prompt,
    )  # fmt: skip
    slow = engine.step_time(loaded)
    step_time = (1 - often) * engine.step_time(quiet) + often * slow
    tokens = (1 - often) * batch + often * (others + chunk)
    budgeted = jnp.minimum(1.0, server.budget / tokens)
    rate = share * busy / step_time  # engine steps a second
    moved = (1 - often) * engine.bytes(quiet) + often * engine.bytes(loaded)
    flop = (1 - often) * engine.flop(quiet) + often * engine.flop(loaded)
    return Pace(
        leaving=share * running / (step_time * steps) * budgeted,
        bytes=rate * moved,
        flop=rate * flop * budgeted,
        busy=share * busy,
        batch=batch,
        step_time=step_time,
        prefill_time=chunks * slow,
    )


class Leaving(eqx.Module):
    """`pace`'s rate of leaving and its slope, with all that the batch does not change done once.

    The search asks for them seven times a step, which is most of the fluid's time: written out, an
    asking takes half of what `pace` with a derivative of the program does (tested to be the same).
    """

    limit: Float[Array, "*sat"]
    chunks: Float[Array, "*sat"]  # of a request, in a step
    piece: Float[Array, "*sat"]  # tokens of a chunk
    scale: Float[Array, "*sat"]  # share of the time over steps of a request
    budget: Float[Array, "*sat"]
    overhead: Float[Array, "*sat"]  # s, as all below; of a step
    sequence: Float[Array, "*sat"]  # of a sequence
    weights: Float[Array, "*sat"]
    reading: tuple[Array, Array]  # memory, of a decode and of a chunk
    computing: tuple[Array, Array]  # arithmetic, of both

    @classmethod
    def of(cls, server: Server, setting: tuple[Each, Each, Each, Each]) -> "Leaving":
        """Of a server, and of limit, prompt, answer and share as in `pace`."""
        limit, prompt, answer, share = setting
        engine = server.engine
        chunks = jnp.maximum(prompt / server.budget, 1.0)
        steps = chunks + answer - 1
        context, piece = prompt + age(server, answer), prompt / chunks
        token, pair = engine.token_flop / engine.compute, engine.pair_flop / engine.compute
        byte = engine.kv_bytes / engine.bandwidth
        return cls(
            limit, chunks / steps, piece, share / steps, server.budget,
            engine.overhead, engine.sequence_overhead, engine.weight_bytes / engine.bandwidth,
            (byte * context, byte * 0.5 * prompt * (1 + 1 / chunks)),
            (token + pair * context, piece * (token + pair * 0.5 * prompt)),
        )  # fmt: skip

    def at(self, n: Each) -> tuple[Each, Each]:
        """Requests a second that leave, with `n` running; and its slope over `n`."""
        full = jnp.clip(n / self.limit, 0.0, 1 - 1e-12)
        busy = -jnp.expm1(self.limit * jnp.log1p(-full))
        some = n > 1e-12
        each = 1 / jnp.where(some, busy, 1.0)
        batch = jnp.where(some, n * each, 1.0)
        inside = full < 1 - 1e-12
        fading = jnp.where(inside, batch * (1 - busy) / (1 - full), 0.0)
        batch_slope = jnp.where(some, (1 - fading) * each, 0.0)

        prompts = batch * self.chunks  # slopes from here on are over the batch
        lone = prompts < 1
        often, often_slope = jnp.minimum(prompts, 1.0), jnp.where(lone, self.chunks, 0.0)
        many, many_slope = jnp.maximum(prompts, 1.0), jnp.where(lone, 0.0, self.chunks)
        beside = batch > many
        others, others_slope = (
            jnp.maximum(batch - many, 0.0),
            jnp.where(beside, 1 - many_slope, 0.0),
        )

        (read, read_chunk), (compute, compute_chunk) = self.reading, self.computing
        memory, work = self.weights + read * batch, compute * batch
        quiet = self.overhead + self.sequence * batch + jnp.maximum(memory, work)
        quiet_slope = self.sequence + jnp.where(memory > work, read, compute)
        memory = self.weights + read * others + read_chunk * many
        work = compute * others + compute_chunk * many
        loaded = self.overhead + self.sequence * (others + many) + jnp.maximum(memory, work)
        loaded_slope = self.sequence * (others_slope + many_slope) + jnp.where(
            memory > work,
            read * others_slope + read_chunk * many_slope,
            compute * others_slope + compute_chunk * many_slope,
        )
        more = loaded - quiet
        time = quiet + often * more
        time_slope = quiet_slope + often * (loaded_slope - quiet_slope) + often_slope * more
        extra = others + self.piece * many - batch
        tokens = batch + often * extra
        tokens_slope = 1 + often_slope * extra + often * (
            others_slope + self.piece * many_slope - 1
        )  # fmt: skip
        over = tokens > self.budget
        held = jnp.where(over, self.budget / tokens, 1.0)
        rate = self.scale / time * held
        lost = time_slope / time + jnp.where(over, tokens_slope / tokens, 0.0)
        return n * rate, rate * (1 - n * lost * batch_slope)


def serve(
    server: Server, load: Load, demand: Demand, share: Each, dt: Scalar
) -> tuple[Load, Flows]:
    """The server's step: who comes is admitted, waits or is turned away, and who is done leaves.

    Demand and `share` (0…1) hold for the whole step. All amounts must be finite and not negative,
    answers one token at least; elsewhere the result means nothing. Gradients are finite.

    Source: the module's.
    """
    arrived = demand.rate * dt
    input_arrived, output_arrived = arrived * demand.input_tokens, arrived * demand.output_tokens
    at_door = load.waiting + arrived
    present = load.running + at_door
    prompt = _mean(load.waiting_input + input_arrived, at_door, demand.input_tokens)
    answer = _mean(load.output + output_arrived, present, demand.output_tokens)
    answer = jnp.maximum(answer, 1.0)
    held_prompt = _mean(load.running_input, load.running, demand.input_tokens)
    seen = _mean(load.waiting_input + load.running_input + input_arrived, present, prompt)

    limit = largest_batch(server, seen, answer)

    setting = (limit, seen, answer, share)
    free = _batch(server, setting, load.running, present, dt)
    running = jnp.minimum(free, limit)
    at = pace(server, running, *setting)
    done = dt * at.leaving
    crowded = free > limit
    taken = jnp.where(crowded, limit - load.running + done, at_door)
    admitted, preempted = jnp.maximum(taken, 0.0), jnp.maximum(-taken, 0.0)
    queue = at_door + preempted - admitted
    dropped = jnp.maximum(queue - server.queue_limit, 0.0)
    prefilled = admitted * prompt
    input_again = preempted * (held_prompt + age(server, answer))
    in_line = load.waiting_input + (input_arrived + input_again) - prefilled
    input_dropped = dropped * _mean(in_line, queue, prompt)
    made, output_dropped = done * answer, dropped * answer
    held_input = load.running_input + prefilled - preempted * held_prompt
    after = Load(
        waiting=queue - dropped,
        running=load.running + admitted - preempted - done,
        waiting_input=in_line - input_dropped,
        running_input=held_input - done * _mean(held_input, load.running + taken, seen),
        output=load.output + output_arrived - (made + output_dropped),
    )
    fastest = pace(server, limit, *setting)
    idle = fastest.leaving <= 0
    wait = after.waiting / jnp.where(idle, 1.0, fastest.leaving)
    wait = jnp.where(idle & (after.waiting > 0), jnp.inf, wait)
    blocks = running * ((seen + age(server, answer)) / server.block + 0.5)
    flows = Flows(
        arrived, dropped, admitted, preempted, done, input_arrived, input_dropped, input_again,
        prefilled, output_arrived, output_dropped, made, dt * at.bytes, dt * at.flop, at.busy,
        at.batch, at.step_time, blocks / (server.kv_tokens / server.block - 1), wait,
        wait + at.prefill_time,
    )  # fmt: skip
    return after, flows


def _mean(amount: Each, count: Each, otherwise: Each) -> Each:
    """Tokens a request; where hardly any is there, those of the demand."""
    some = count > FEW
    return jnp.where(some, jnp.maximum(amount, 0.0) / jnp.where(some, count, 1.0), otherwise)


def _batch(
    server: Server, setting: tuple[Each, Each, Each, Each], start: Each, present: Each, dt: Scalar
) -> Each:
    """The batch at the step's end if none is too large: those present, less those who left by it.

    What is missing rises with the batch and is never positive at 0. Newton's steps, halving where
    they leave the bracket. The last one is taken outside the loop, so that gradients come from the
    implicit function theorem and not through the search.
    """

    def excess(n: Each, given: Any) -> Each:
        server, setting, present = given
        return n + dt * pace(server, n, *setting).leaving - present

    given = (server, setting, present)
    fixed = lax.stop_gradient(given)
    law = Leaving.of(*fixed[:2])

    def closer(_: Any, bracket: tuple[Each, Each, Each]) -> tuple[Each, Each, Each]:
        low, high, n = bracket
        leaving, rise = law.at(n)
        value, rise = n + dt * leaving - fixed[2], 1 + dt * rise
        low, high = jnp.where(value <= 0, n, low), jnp.where(value > 0, n, high)
        tried = n - value / rise
        inside = (tried >= low) & (tried <= high)
        return low, high, jnp.where(inside, tried, 0.5 * (low + high))

    start = lax.stop_gradient(jnp.minimum(start, present))
    bracket = (jnp.zeros_like(present), fixed[2], start)
    found = lax.fori_loop(0, NEWTON, closer, bracket)[2]
    rise = 1 + dt * law.at(found)[1]
    return jnp.clip(found - excess(found, given) / rise, 0.0, present)

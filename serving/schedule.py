"""Which step of the engine serves what, for a benchmark in a closed loop.

vLLM's scheduler is followed step by step: running requests first, each with a token, then prompts
in order of arrival, as far as the step's tokens, the batch and the KV blocks reach; a prompt may be
cut into chunks, and where blocks run out the youngest is preempted and computes its context again.

A new request is sent for each that ends, and passes the server's front one after the other, which
takes a moment: so those that were sent together reach the engine over several steps, and stay
spread for the whole run. Only for that a rough clock is needed (`Pace`). What a step takes in
earnest is laid over the rows afterwards, so that a fit finds the rows once and not at each try.

Source: vLLM 0.32, vllm/v1/core/sched/scheduler.py; tests/oracles/scheduler_loop.py follows the same
and is the judge of this module.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FINE = 32  # steps of equal batch in one row, at most: the context grows by no more within it


@dataclass(frozen=True)
class Engine:
    """Limits of the scheduler."""

    kv_tokens: int
    block_size: int = 16
    max_num_batched_tokens: int = 8192
    max_num_seqs: int = 1024


@dataclass(frozen=True)
class Load:
    """A point of a benchmark in a closed loop."""

    input_len: int
    output_len: int
    concurrency: int
    num_prompts: int
    known: int = 0  # so many of the first prompts are in the prefix cache from an earlier run


@dataclass(frozen=True)
class Pace:
    """A rough clock: seconds of a step by what is in it, and of a request's way to the engine."""

    step: float = 0.01
    sequence: float = 0.0  # of each in the step
    joining: float = 0.0  # of each prompt that enters
    context: float = 0.0  # of each token read from the cache
    token: float = 0.0  # of each token computed
    pair: float = 0.0  # of each token and one before it
    base: float = 0.0  # of reading the weights
    front: float = 0.0  # of each request, one after the other
    parsing: float = 0.0  # more of that for each token of its prompt
    latency: float = 0.0  # and of each beside the others

    def door(self, load: Load) -> float:
        """What holds up the request behind."""
        return self.front + self.parsing * load.input_len

    def seconds(
        self, decoding: int, context: float, prompt: int, behind: float, begun: int
    ) -> float:
        """What a row of `Schedule` says of a step, as a time."""
        attention = max((context + behind / 128) * self.context, (context + behind) * self.pair)
        weights = max(self.base, (decoding + prompt) * self.token)
        hosted = self.step + self.sequence * (decoding + begun) + self.joining * begun
        return hosted + weights + attention


@dataclass(frozen=True)
class Schedule:
    """Rows of equal steps, in order; and of each request the rows it came in and spoke first."""

    steps: np.ndarray  # how many equal steps a row stands for
    decoding: np.ndarray  # requests that decode a token, in each step
    context: np.ndarray  # tokens that those have before them, together; mean of the row
    prompt: np.ndarray  # tokens of prompts, in each step
    behind: np.ndarray  # sum over the tokens of prompts of the tokens before each
    begun: np.ndarray  # prompts that enter
    pause: np.ndarray  # of a row in which the engine waits: in ways from client to engine
    arrived: np.ndarray  # of each request: the row at whose start it was sent
    spoke: np.ndarray  # and the row at whose end it had its first token
    asked: int  # tokens of each prompt
    preempted: int


@lru_cache(maxsize=512)
def schedule(load: Load, engine: Engine, pace: Pace = Pace()) -> Schedule:  # noqa: B008 (frozen)
    """The steps of a load. Raises ValueError for a request that can never fit the cache."""
    size, last, most = engine.block_size, load.output_len, load.num_prompts
    total = engine.kv_tokens // size - 1  # vLLM keeps one block empty
    if -(-(load.input_len + last - 1) // size) > total:
        whole = load.input_len + last
        raise ValueError(f"a request of {whole} tokens does not fit {engine.kv_tokens} KV tokens")
    rows: list[tuple[int, int, float, int, float, int, float]] = []
    # Lists and not arrays: single numbers are read and written, a million of them.
    arrived, spoke, held, out = [0] * most, [0] * most, [0] * most, [0] * most
    goal = [load.input_len] * most  # tokens to compute before the next decode
    waiting: deque[int] = deque()
    coming: deque[tuple[float, int]] = deque()  # when each reaches the engine
    running: list[int] = []  # in order of admission
    filling: set[int] = set()  # those of them whose prompt is not done
    now = door = 0.0
    sent = ended = preempted = used = 0
    each = pace.door(load)
    way = each + pace.latency

    def send(count: int) -> None:
        nonlocal door, sent
        for r in range(sent, min(sent + count, most)):
            door = max(door, now) + each
            arrived[r] = len(rows)
            coming.append((door + pace.latency, r))
        sent = min(sent + count, most)

    def evict() -> int:
        nonlocal used, preempted
        victim = running.pop()
        filling.discard(victim)
        used -= -(-held[victim] // size)
        goal[victim], held[victim] = load.input_len + out[victim], 0
        waiting.appendleft(victim)
        preempted += 1
        return victim

    send(load.concurrency)
    while ended < most:
        while coming and coming[0][0] <= now:
            waiting.append(coming.popleft()[1])
        if not waiting and not running:
            rows.append((1, 0, 0.0, 0, 0.0, 0, (coming[0][0] - now) / way if way else 0.0))
            now = coming[0][0]
            continue
        blocked = bool(waiting) and (
            used + -(-goal[waiting[0]] // size) > total or len(running) >= engine.max_num_seqs
        )
        if (blocked or not waiting) and not filling:
            # Nobody comes or goes for a while: many steps in one row.
            jump = min(last - max(out[r] for r in running), FINE) - 1  # the last one ends requests
            count, context = len(running), sum(held[r] for r in running)
            lasts = pace.seconds(count, context, 0, 0.0, 0)
            if coming and not blocked:
                jump = min(jump, int((coming[0][0] - now) / lasts) + 1)
            jump = min(jump, (total - used) * size // count)
            grown = sum(-(-(held[r] + jump) // size) - -(-held[r] // size) for r in running)
            if jump > 1 and used + grown <= total:
                rows.append((jump, count, context + count * (jump - 1) / 2, 0, 0.0, 0, 0.0))
                used, now = used + grown, now + jump * lasts
                for r in running:
                    held[r] += jump
                    out[r] += jump
                continue
        budget, prompt, behind, begun, decoding, context = (
            engine.max_num_batched_tokens, 0, 0.0, 0, 0, 0,
        )  # fmt: skip
        given: list[tuple[int, int]] = []
        before, lost, k = preempted, False, 0
        while k < len(running) and budget > 0 and not lost:
            r = running[k]
            had = held[r]
            if had >= goal[r]:  # a decode puts the token before it into the cache
                more, need = 1, not had % size
            else:
                more = min(goal[r] - had, budget)
                need = -(-(had + more) // size) - -(-had // size)
            while used + need > total and not lost:
                lost = evict() == r
            if lost:
                break
            used, budget, k = used + need, budget - more, k + 1
            given.append((r, more))
            if r in filling:
                prompt, behind = prompt + more, behind + more * (had + (more - 1) / 2)
            else:
                decoding, context = decoding + 1, context + had
        while waiting and preempted == before and budget > 0 and len(running) < engine.max_num_seqs:
            r = waiting[0]
            if used + -(-goal[r] // size) > total:  # the whole prompt must fit
                break
            found = (load.input_len - 1) // size * size if r < load.known and not out[r] else 0
            more = min(goal[r] - found, budget)
            waiting.popleft()
            running.append(r)
            filling.add(r)
            given.append((r, more))
            used, budget = used + -(-(found + more) // size), budget - more
            begun += out[r] == 0
            prompt, behind = prompt + more, behind + more * (found + (more - 1) / 2)
            held[r] = found
        rows.append((1, decoding, float(context), prompt, behind, begun, 0.0))
        now += pace.seconds(decoding, context, prompt, behind, begun)
        gone: set[int] = set()
        for r, more in given:
            held[r] += more
            if r in filling:
                if held[r] < goal[r]:
                    continue
                filling.discard(r)
                if out[r] == 0:
                    spoke[r] = len(rows) - 1
            out[r] += 1
            if out[r] >= last:
                gone.add(r)
                used -= -(-held[r] // size)
        if gone:
            running = [r for r in running if r not in gone]
            ended += len(gone)
            send(len(gone))
    table = np.array(rows, float).T
    return Schedule(
        *table,
        arrived=np.array(arrived),
        spoke=np.array(spoke),
        asked=load.input_len,
        preempted=preempted,
    )

"""Which step of the engine serves what, for a benchmark in a closed loop: no clock is needed.

vLLM's scheduler is followed step by step: running requests first, each with a token, then prompts
in order of arrival, as far as the step's tokens, the batch and the KV blocks reach; a prompt may be
cut into chunks, and where blocks run out the youngest is preempted and computes its context again.
With all requests known, and a new one for each that ends, the composition of the steps does not
depend on how long they take. So it is found once, and any law of a step's time can be laid over it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
class Schedule:
    """Rows of equal steps, in order; and of each request the rows it came in and spoke first."""

    steps: np.ndarray  # how many equal steps a row stands for
    decoding: np.ndarray  # requests that decode a token, in each step
    context: np.ndarray  # tokens that those have before them, together; mean of the row
    prompt: np.ndarray  # tokens of prompts, in each step
    behind: np.ndarray  # sum over the tokens of prompts of the tokens before each
    begun: np.ndarray  # prompts that enter
    arrived: np.ndarray  # of each request: the row at whose start it was sent
    spoke: np.ndarray  # and the row at whose end it had its first token
    preempted: int


@lru_cache(maxsize=512)
def schedule(load: Load, engine: Engine) -> Schedule:
    """The steps of a load. Raises ValueError for a request that can never fit the cache."""
    size, whole = engine.block_size, load.input_len + load.output_len
    total = engine.kv_tokens // size
    if -(-(whole - 1) // size) > total:
        raise ValueError(f"a request of {whole} tokens does not fit {engine.kv_tokens} KV tokens")
    rows: list[tuple[int, int, float, int, float, int]] = []
    arrived = np.zeros(load.num_prompts, int)
    spoke = np.zeros(load.num_prompts, int)
    count = min(load.concurrency, load.num_prompts)
    waiting, coming = list(range(count)), []  # `coming` joins after the next step
    sent, ended, preempted = count, 0, 0
    running: list[int] = []  # in order of admission
    held = np.zeros(load.num_prompts, int)  # tokens computed
    goal = np.full(load.num_prompts, load.input_len)  # to compute before the next decode
    out = np.zeros(load.num_prompts, int)

    def blocks(tokens: Any) -> int:
        return int(-(-tokens // size))

    used = 0
    while ended < load.num_prompts:
        budget, prompt, behind, begun = engine.max_num_batched_tokens, 0, 0.0, 0
        # A decode puts the token before it into the cache.
        ready = [r for r in running if held[r] >= goal[r]]
        if not waiting and not coming and len(ready) == len(running):
            jump = min(int((load.output_len - out[ready]).min()), FINE)
            need = sum(blocks(held[r] + jump) - blocks(held[r]) for r in ready)
            if jump > 1 and used + need <= total:
                jump -= 1  # the last one by itself: it may end requests
                used += sum(blocks(held[r] + jump) - blocks(held[r]) for r in ready)
                mean = held[ready].sum() + len(ready) * (jump - 1) / 2
                rows.append((jump, len(ready), mean, 0, 0.0, 0))
                held[ready] += jump
                out[ready] += jump
                continue
        decoding: list[int] = []
        evicted = False
        k = 0
        while k < len(running) and budget > 0:
            r = running[k]
            more = 1 if held[r] >= goal[r] else min(int(goal[r] - held[r]), budget)
            need = blocks(held[r] + more) - blocks(held[r])
            while used + need > total and len(running) > k + 1:
                victim = running.pop()
                used -= blocks(held[victim])
                goal[victim], held[victim] = load.input_len + out[victim], 0
                waiting.insert(0, victim)
                preempted, evicted = preempted + 1, True
            if used + need > total:
                running.pop()
                used -= blocks(held[r])
                goal[r], held[r] = load.input_len + out[r], 0
                waiting.insert(0, r)
                preempted, evicted = preempted + 1, True
                break
            used += need
            budget -= more
            if held[r] >= goal[r]:
                decoding.append(r)
            else:
                prompt, behind = prompt + more, behind + more * (held[r] + (more - 1) / 2)
                held[r] += more
            k += 1
        while waiting and not evicted and budget > 0 and len(running) < engine.max_num_seqs:
            r = waiting[0]
            found = (load.input_len - 1) // size * size if r < load.known and not out[r] else 0
            more = min(int(goal[r]) - found, budget)
            if used + blocks(found + more) > total:
                break
            waiting.pop(0)
            running.append(r)
            used += blocks(found + more)
            budget -= more
            begun += out[r] == 0
            prompt, behind = prompt + more, behind + more * (found + (more - 1) / 2)
            held[r] = found + more
        rows.append((1, len(decoding), float(held[decoding].sum()), prompt, behind, begun))
        fed = set(decoding)
        done = []
        for r in running:
            if r in fed:
                held[r] += 1
            elif held[r] < goal[r]:
                continue
            if out[r] == 0:
                spoke[r] = len(rows) - 1
            out[r] += 1
            if out[r] >= load.output_len:
                done.append(r)
        waiting += coming
        coming = []
        for r in done:
            running.remove(r)
            used -= blocks(held[r])
            ended += 1
            if sent < load.num_prompts:
                arrived[sent] = len(rows)
                coming.append(sent)
                sent += 1
        if not running and not waiting:  # nobody to wait for: the next comes at once
            waiting, coming = coming, []
    table = np.array(rows, float).T
    return Schedule(*table, arrived=arrived, spoke=spoke, preempted=preempted)

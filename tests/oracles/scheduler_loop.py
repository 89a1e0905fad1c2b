"""A plain Python scheduler, one request and one step at a time: a second judge and a slower peer.

Written from vLLM 0.32's scheduler (vllm/v1/core/sched/scheduler.py, kv_cache_manager.py) with lists
and loops as there, and without anything of the twin: no slots, no sums, no jumps. Used by the tests
and by the bench; run alone, it prints the preemptions of the burst that was seen on a real server.
"""

from collections import deque
from dataclasses import dataclass


@dataclass
class Request:
    number: int
    arrival: float
    prompt: int
    target: int
    made: int = 0
    computed: int = 0
    held: int = 0
    preemptions: int = 0
    start: float | None = None
    first_token: float | None = None
    finish: float | None = None

    @property
    def tokens(self):
        return self.prompt + self.made


@dataclass
class Outcome:
    requests: list
    steps: int
    end: float
    computed: int


def serve(arrivals, prompts, answers, step_time, *, max_batch, kv_tokens, block, budget):
    """`step_time(sequences, tokens, context, pairs)` gives the seconds of a step."""
    requests = [
        Request(k, float(a), int(p), int(n))
        for k, (a, p, n) in enumerate(zip(arrivals, prompts, answers, strict=True))
    ]
    coming, waiting, running = deque(requests), deque(), []
    free = kv_tokens // block - 1  # the first block stays empty
    now, steps, total = requests[0].arrival, 0, 0
    while coming or waiting or running:
        while coming and coming[0].arrival <= now:
            waiting.append(coming.popleft())
        if not waiting and not running:
            now = coming[0].arrival
            continue
        left, given, thrown = budget, {}, False
        index = 0
        while index < len(running) and left > 0:
            request = running[index]
            new = min(request.tokens - request.computed, left)
            need = -(-(request.computed + new) // block) - request.held
            lost = False
            while need > free:
                victim = running.pop()
                free += victim.held
                victim.held = victim.computed = 0
                victim.preemptions += 1
                waiting.appendleft(victim)
                thrown = True
                if victim is request:
                    lost = True
                    break
            if lost:
                break
            free -= need
            request.held += need
            given[request.number] = new
            left -= new
            index += 1
        while not thrown and waiting and left > 0 and len(running) < max_batch:
            request = waiting[0]
            if -(-request.tokens // block) > free:
                break
            waiting.popleft()
            new = min(request.tokens, left)
            request.held = -(-new // block)
            free -= request.held
            given[request.number] = new
            left -= new
            running.append(request)
            if request.start is None:
                request.start = now
        work = [(given[r.number], r.computed) for r in running if r.number in given]
        tokens = sum(t for t, _ in work)
        context = sum(t + c for t, c in work)
        pairs = sum(t * (c + (t + 1) / 2) for t, c in work)
        now += step_time(len(work), tokens, context, pairs)
        steps, total = steps + 1, total + tokens
        for request in list(running):
            if request.number not in given:
                continue
            request.computed += given[request.number]
            if request.computed == request.tokens:
                request.made += 1
                if request.made == 1:
                    request.first_token = now
                if request.made == request.target:
                    request.finish = now
                    free += request.held
                    running.remove(request)
    return Outcome(requests, steps, now, total)


def main():
    burst = [0.0] * 24, [100] * 24, [300] * 24
    law = {"max_batch": 256, "kv_tokens": 24 * 128, "block": 128, "budget": 2048}
    outcome = serve(*burst, lambda *_: 0.01, **law)
    print(f"preemptions: {sum(r.preemptions for r in outcome.requests)} (26 on a vLLM 0.32 server)")


if __name__ == "__main__":
    main()

"""The event model beside a plain Python scheduler, and the fluid server of a fleet.

Both schedulers give the same times to every request (tests/twin/operations/test_events.py): a small
engine at 0.9 of its capacity, 32 slots, one run and 64 side by side. The fluid row has no peer: it
is 2,800 servers for a day at 10 s, one solve of the batch a step.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from oracles import scheduler_loop

from twin.operations.engine import EngineLaw
from twin.operations.events import simulate_requests
from twin.operations.serving import Demand, Load, Server, serve

NUMBERS = {
    "weight_bytes": 15.1e9, "kv_bytes": 147456.0, "bandwidth": 2.9e12, "token_flop": 15.1e9,
    "pair_flop": 589824.0, "compute": 5e14,
}  # fmt: skip
OVERHEAD = 0.0022
LIMITS = {"max_batch": 32, "kv_tokens": 60_000, "block": 16, "budget": 2048}
REQUESTS, RATE, RUNS, ROUNDS = 2000, 9.0, 64, 3
SATELLITES, STEPS, DT = 2800, 8640, 10.0


def plain_step(sequences, tokens, context, pairs):
    memory = (NUMBERS["weight_bytes"] + NUMBERS["kv_bytes"] * context) / NUMBERS["bandwidth"]
    flop = NUMBERS["token_flop"] * tokens + NUMBERS["pair_flop"] * pairs
    return OVERHEAD + max(memory, flop / NUMBERS["compute"])


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def events() -> dict[str, object]:
    law = EngineLaw.of(OVERHEAD, **NUMBERS)
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(1 / RATE, (RUNS, REQUESTS)), axis=1)
    prompts, answers = rng.integers(50, 1000, (2, RUNS, REQUESTS))

    def one():
        jax.block_until_ready(simulate_requests(arrivals[0], prompts[0], answers[0], law, **LIMITS))

    def many():
        jax.block_until_ready(simulate_requests(arrivals, prompts, answers, law, **LIMITS))

    def peer():
        scheduler_loop.serve(arrivals[0], prompts[0], answers[0], plain_step, **LIMITS)

    compiling = timed(one) + timed(many)
    single, several, peers = [], [], []
    for _ in range(ROUNDS):
        single.append(timed(one))
        peers.append(timed(peer))
        several.append(timed(many))
    alone, together, plain = (statistics.median(x) for x in (single, several, peers))
    return {
        "name": "serving events",
        "requests": REQUESTS,
        "seconds": round(alone, 4),
        "requests_per_second": round(REQUESTS / alone),
        "runs": RUNS,
        "requests_per_second_side_by_side": round(RUNS * REQUESTS / together),
        "peer": "plain Python scheduler of the same steps",
        "peer_seconds": round(plain, 4),
        "ratio": round(plain / alone, 1),
        "ratio_side_by_side": round(plain * RUNS / together, 1),
        "compile_seconds": round(compiling, 2),
    }


def fluid() -> dict[str, object]:
    rng = np.random.default_rng(0)
    like = jnp.zeros(SATELLITES)
    law = jax.tree.map(lambda x: jnp.full(SATELLITES, x), EngineLaw.of(OVERHEAD, **NUMBERS))
    server = Server(law, *(like + x for x in (256.0, 377024.0, 16.0, 8192.0, 1e4, 0.3)))
    rates = jnp.asarray(rng.uniform(0, 12, SATELLITES))

    @jax.jit
    def day(load, rates):
        def step(load, k):
            swing = 1 + jnp.sin(2 * jnp.pi * k / STEPS)
            demand = Demand(rates * swing, like + 500.0, like + 400.0)
            load, flows = serve(server, load, demand, like + 0.9, jnp.asarray(DT))
            return load, (flows.made.sum(), flows.bytes.sum(), flows.flop.sum(), flows.wait.max())

        return jax.lax.scan(step, load, jnp.arange(float(STEPS)))

    compiling = timed(lambda: day.lower(Load.empty(like), rates).compile())
    jax.block_until_ready(day(Load.empty(like), rates))
    run = [timed(lambda: jax.block_until_ready(day(Load.empty(like), rates))) for _ in range(2)]
    seconds = min(run)
    return {
        "name": "serving fluid",
        "satellites": SATELLITES,
        "steps": STEPS,
        "seconds": round(seconds, 3),
        "satellite_steps_per_second": round(SATELLITES * STEPS / seconds),
        "compile_seconds": round(compiling, 2),
    }


def main() -> None:
    """Print two rows."""
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(events()), flush=True)
    print(json.dumps(fluid()), flush=True)


if __name__ == "__main__":
    main()

"""A day of twelve satellites forwards, and backwards the slopes of its tokens by all numbers.

There is no peer: the measure is the forward pass of the same run in the same process.
"""

import json
import resource
import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp

from twin import devices
from twin.build import build
from twin.fleet import fleet
from twin.gradients import clock_of, flown
from twin.load import load

ROUNDS = 5


def main() -> None:
    """Print one row."""
    devices.prepare()
    scenario = load("scs01").scenario
    ships = fleet(scenario)
    tree = build(scenario, ships)
    clock = clock_of(scenario, len(ships))
    moving, still = eqx.partition(
        tree, lambda x: eqx.is_inexact_array(x) and x.ndim > 0 and x.shape[-1] == len(ships)
    )

    def tokens(moving, still):
        return flown(*eqx.combine(moving, still), clock).ledger.tokens.sum()

    begin = time.perf_counter()
    with devices.compact():
        forwards = jax.jit(tokens).lower(moving, still).compile(devices.options(12))
        between = time.perf_counter()
        backwards = jax.jit(jax.grad(tokens)).lower(moving, still)
        backwards = backwards.compile(devices.options(12))
    end = time.perf_counter()
    there, back = [], []
    for _ in range(ROUNDS):
        for program, spent in ((forwards, there), (backwards, back)):
            start = time.perf_counter()
            slopes = jax.block_until_ready(program(moving, still))
            spent.append(time.perf_counter() - start)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(slopes))
    row = {
        "name": "gradient",
        "satellites": len(ships),
        "steps": clock.records * clock.steps,
        "numbers": sum(x.size for x in jax.tree.leaves(moving)),
        "forward_seconds": round(statistics.median(there), 3),
        "reverse_seconds": round(statistics.median(back), 3),
        "ratio": round(statistics.median(b / a for a, b in zip(there, back, strict=True)), 1),
        "compile_seconds": [round(between - begin, 1), round(end - between, 1)],
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()

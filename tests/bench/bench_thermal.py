"""Heat of 2,800 satellites of twelve nodes for a day, beside SciPy on one of them.

Ours books every flow and audits it. The peers only integrate one orbit of one satellite, with
rtol 1e-6, the blanket's quartic solved in their right-hand side; their time is scaled to the day.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.integrate import solve_ivp

from twin import books, devices
from twin.arrays import in_rows

HERE = Path(__file__).parents[1]
sys.path[:0] = [str(HERE), str(HERE / "twin" / "spacecraft")]
from heat_networks import (  # noqa: E402
    BLANKET,
    CHIP,
    DARK,
    GREY,
    LINKS,
    LIT,
    MASS,
    PAIRS,
    PAYLOAD,
    constant,
    placed,
    satellite,
)
from oracles.thermal_radau import network_rate  # noqa: E402

FLEET, LANES, STEPS = 2800, devices.LANES_A_TURN, 8640
ORBIT, NIGHT, ROUNDS = 5740.0, 2150.0, 5


def main() -> None:
    """Print one row."""
    devices.prepare()
    program, state = compiled()
    ours, peers = [], {"LSODA": [], "Radau": [], "BDF": []}
    for _ in range(ROUNDS):
        begin = time.process_time()
        _, gap = jax.block_until_ready(program(*state))
        ours.append((time.process_time() - begin) * FLEET / LANES)
        for method, seconds in peers.items():
            seconds.append(scipy_orbit(method) * 86_400 / ORBIT * FLEET)
    seconds = statistics.median(ours)
    row = {
        "name": "thermal",
        "satellites": FLEET,
        "nodes": 12,
        "steps": STEPS,
        "core_seconds": round(seconds, 2),
        "ns_a_satellite_step_and_core": round(seconds / FLEET / STEPS * 1e9, 1),
        "largest_residual": float(gap.max()),
        "peers": "SciPy rtol 1e-6, one orbit of one satellite, scaled",
        "peer_seconds": {m: round(statistics.median(s), 1) for m, s in peers.items()},
        "ratio": round(min(statistics.median(s) for s in peers.values()) / seconds, 1),
    }
    print(json.dumps(row))


def compiled():
    """The rollout of one block of satellites, and its arguments."""
    enclosed = tuple(int(n) for n in np.flatnonzero(GREY == 0))
    network = jax.tree.map(
        lambda x: jnp.broadcast_to(x[:, None], (len(x), LANES)), satellite(enclosed=enclosed)
    )
    lit = jnp.asarray(np.arange(STEPS) * 10.0 % ORBIT < ORBIT - NIGHT, float)
    dt = jnp.asarray(10.0)

    @devices.as_one
    def step(network, temperature, gap, light):
        heat = tuple(dark + light * lit + 0 * gap for dark, lit in zip(DARK, LIT, strict=True))
        none = (jnp.zeros_like(gap),) * 12
        after, flows, _ = network.after(temperature, heat, none, constant(PAYLOAD), dt)
        now = books.heat_residual(network, flows, temperature, after, dt)
        return after, jnp.maximum(gap, now)

    @devices.as_one
    def rollout(network, temperature):
        def advance(carry, light):
            return step(network, *carry, light), None

        return lax.scan(advance, (temperature, jnp.zeros(LANES)), lit)[0]

    state = in_rows(network), (jnp.full(LANES, 290.0),) * 12
    with devices.compact():
        lowered = jax.jit(rollout).lower(*state)
    return lowered.compile(compiler_options=devices.options(LANES)), state


def scipy_orbit(method: str) -> float:
    """Seconds that SciPy needs for one satellite's heat over one orbit, day then night."""
    rate, _ = network_rate(MASS, placed(LINKS), placed(PAIRS), [], GREY, (BLANKET,))
    paid = DARK + PAYLOAD * (np.arange(12) == CHIP)
    begin, temperature = time.process_time(), np.full(12, 290.0)
    for heat, span in ((paid + LIT, ORBIT - NIGHT), (paid, NIGHT)):
        part = solve_ivp(
            lambda _, y, heat=heat: rate(y, heat),
            (0.0, span),
            temperature,
            method=method,
            rtol=1e-6,
            atol=1e-6,
        )
        temperature = part.y[:, -1]
    return time.process_time() - begin


if __name__ == "__main__":
    main()

"""SGP4: 2,800 satellites for a day of one-minute steps, beside one thread of the `sgp4` package.

Run from the repository's root: `PYTHONPATH=. python tests/bench/bench_sgp4.py [--rounds N]`. Ours
and theirs take turns; the best of each counts. Prints one line of JSON.
"""

import argparse
import functools
import json
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SATELLITES, STEPS, STEP_S = 2800, 1440, 60.0
CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_cpu_multi_thread_eigen": False}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=8)
    arguments.add_argument("--devices", type=int, default=2, help="virtual CPU devices")
    arguments.add_argument("--chunk", type=int, default=1, help="time steps computed together")
    given = arguments.parse_args()

    import jax

    jax.config.update("jax_enable_x64", True)
    on_cpu = jax.config.jax_platforms in (None, "", "cpu")
    if on_cpu:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", given.devices)
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType, NamedSharding, PartitionSpec
    from oracles.sgp4_reference import reference, synthetic_catalogue
    from sgp4.api import SatrecArray

    from twin.orbits.sgp4 import sgp4_orbit

    elements = synthetic_catalogue(SATELLITES)
    orbit = sgp4_orbit(elements, elements[0].epoch)
    times = jnp.arange(STEPS) * STEP_S
    mesh = jax.make_mesh((len(jax.devices()),), ("sat",), axis_types=(AxisType.Auto,))

    def components(orbit, t):
        # Six arrays: on a CPU, XLA computes each row of a written stack in a slow branching loop.
        position, velocity = orbit.state(t)
        return *position, *velocity

    over_fleet = jax.vmap(components, in_axes=(-1, None), out_axes=-1)
    over_chunk = jax.vmap(over_fleet, in_axes=(None, 0))

    def fleet_day(orbit, times):
        rows = jax.lax.map(lambda t: over_chunk(orbit, t), times.reshape(-1, given.chunk))
        return [row.reshape(STEPS, -1) for row in rows]

    along = jax.tree.map(lambda leaf: PartitionSpec(*(None,) * (leaf.ndim - 1), "sat"), orbit)
    out = PartitionSpec(None, "sat")
    sharded = jax.shard_map(
        fleet_day, mesh=mesh, in_specs=(along, PartitionSpec()), out_specs=[out] * 6
    )
    compiled = jax.jit(sharded, compiler_options=CPU_OPTIONS if on_cpu else None)
    orbit = jax.tree.map(
        lambda leaf, spec: jax.device_put(leaf, NamedSharding(mesh, spec)), orbit, along
    )
    times = jax.device_put(times, NamedSharding(mesh, PartitionSpec()))
    compiled = functools.partial(compiled, orbit, times)
    jax.block_until_ready(compiled())

    peer = SatrecArray([reference(one) for one in elements])
    epoch = elements[0].epoch
    whole = np.full(STEPS, epoch.whole)
    fraction = epoch.fraction + np.arange(STEPS) * STEP_S / 86_400

    seconds, peer_seconds, ours, theirs = [], [], None, None
    for _ in range(given.rounds):
        before = time.perf_counter()
        ours = jax.block_until_ready(compiled())
        seconds.append(time.perf_counter() - before)
        before = time.perf_counter()
        theirs = peer.sgp4(whole, fraction)
        peer_seconds.append(time.perf_counter() - before)

    assert ours is not None and theirs is not None
    assert not theirs[0].any()
    expected = [array[..., axis] * 1e3 for array in theirs[1:] for axis in range(3)]
    errors = [np.abs(np.asarray(a).T - b).max() for a, b in zip(ours, expected, strict=True)]
    worst = float(max(errors[:3])), float(max(errors[3:]))
    row = {
        "name": "sgp4",
        "device": f"{jax.devices()[0].device_kind} x {len(jax.devices())}, {platform.machine()}",
        "satellites": SATELLITES,
        "steps": STEPS,
        "seconds": min(seconds),
        "rate": SATELLITES * STEPS / min(seconds),
        "peer": "sgp4 SatrecArray, one thread",
        "peer_seconds": min(peer_seconds),
        "ratio": min(peer_seconds) / min(seconds),
        "max_position_error_m": worst[0],
        "max_velocity_error_m_s": worst[1],
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()

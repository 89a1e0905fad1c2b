"""Whole runs: fleets of 12, 280 and 2,800 satellites for a day, and 280 for a week.

Every variable is recorded to disk; steps of 10 s, records of 60 s. Each case runs in a process of
its own, so that the peak memory is the case's, and without the compilation cache, so that compiling
is paid in full. `seconds` is the median of three runs after compiling, from the first step until
the last record and its checkpoint are handed to the file system; the report is not part of it.

Prints one line of JSON a case: `python tests/bench/bench_fleet.py [--only star2035-280]`.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {  # name: scenario, share of its satellites, days
    "scs01": ("scs01", 1, 1),
    "star2035-280": ("star2035", 10, 1),
    "star2035-280-week": ("star2035", 10, 7),
    "star2035": ("star2035", 1, 1),
}
ROUNDS = 3


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", choices=CASES, help="this case alone")
    arguments.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.case:
        print(json.dumps(measure(given.case)))
        return
    for name in [given.only] if given.only else CASES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        subprocess.run(
            [sys.executable, __file__, "--case", name],
            env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
            check=True,
        )


def measure(name: str) -> dict[str, object]:
    """One case, in this process."""
    from twin import devices
    from twin.build import build
    from twin.constellation import table
    from twin.fleet import fleet
    from twin.flight import _allocate as allocate
    from twin.load import load
    from twin.results import Run
    from twin.simulate import Clock, Engine, simulate

    scenario, share, days = CASES[name]
    overrides = [f"run.duration_h={24 * days}", "run.step_s=10", "run.record_s=60"]
    for index, shell in enumerate(load(scenario).scenario.shell):
        if share > 1:
            overrides += [f"shell.{index}.{key}={value}" for key, value in _scaled(shell, share)]
    loaded = load(scenario, overrides)
    devices.prepare()
    ships = fleet(loaded.scenario)
    constellation, state = build(loaded.scenario, ships)
    run = loaded.scenario.run
    clock = Clock.of(run.step_s, run.record_s, run.duration_h * 3600, len(ships))
    engine = Engine(constellation, state, clock)
    engine.compile(state, min(clock.chunk, clock.records))
    if rest := clock.records % clock.chunk:
        engine.compile(state, rest)

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    seconds, size = [], 0
    try:
        for turn in range(ROUNDS):
            target = Run(folder / str(turn))
            target.create(loaded.text, {}, {"variables": list(table())})
            allocate(loaded, ships, engine, target)
            begin = time.perf_counter()
            simulate(engine, state, target.writer())
            seconds.append(time.perf_counter() - begin)
            files = (path for path in target.folder.rglob("*") if path.is_file())
            size = sum(path.stat().st_size for path in files)
            shutil.rmtree(target.folder)
            print(f"  round {turn + 1}: {seconds[-1]:.2f} s", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)

    median, steps = statistics.median(seconds), clock.records * clock.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on a Mac, else kilobytes
    return {
        "name": name,
        "device": devices.describe(engine.mesh),
        "satellites": len(ships),
        "steps": steps,
        "seconds": round(median, 3),
        "satellite_steps_per_second": round(len(ships) * steps / median),
        "peak_memory_gb": round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 3),
        "compile_seconds": round(engine.compile_s, 2),
        "store_mb": round(size / 1e6, 1),
    }


def _scaled(shell, share: int):
    """A shell with a fraction of its satellites, in as many planes as go into them."""
    satellites = shell.satellites // share
    planes = max(d for d in range(1, shell.planes + 1) if satellites % d == 0)
    return ("satellites", satellites), ("planes", planes)


if __name__ == "__main__":
    main()

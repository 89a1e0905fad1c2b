"""Ever larger fleets for an hour, on whatever device JAX finds: how wide it must be to be busy.

There is no peer: the measure is the fleet of 2,800 on the same device. A study of many designs is
such a fleet, each design a block of its satellites.
"""

import argparse
import json
import statistics
import time

import jax

from twin import devices
from twin.build import build
from twin.fleet import fleet
from twin.load import parse
from twin.simulate import Clock, Engine, simulate

TEXT = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = {}\nplanes = {}\n"
PLANES = 40
HOUR, ROUNDS = 3600.0, 3


def main() -> None:
    """Print a row for each width."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--satellites", type=int, nargs="+", default=[2800, 28_000])
    devices.prepare()
    for satellites in arguments.parse_args().satellites:
        print(json.dumps(flown(satellites)), flush=True)


def flown(satellites: int) -> dict[str, object]:
    """The row of one width."""
    scenario = parse(TEXT.format(satellites, PLANES))
    ships = fleet(scenario)
    constellation, state = build(scenario, ships)
    engine = Engine(constellation, state, Clock.of(10.0, 60.0, HOUR, len(ships)))
    engine.compile(state, engine.clock.chunk)
    simulate(engine, state)
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        simulate(engine, state)
        seconds.append(time.perf_counter() - begin)
    middle = statistics.median(seconds)
    return {
        "name": "width",
        "device": devices.describe(engine.mesh),
        "satellites": satellites,
        "steps": 360,
        "seconds": round(middle, 4),
        "satellite_steps_per_second": round(satellites * 360 / middle),
        "compile_seconds": round(engine.compile_s, 2),
        "jax": jax.__version__,
    }


if __name__ == "__main__":
    main()

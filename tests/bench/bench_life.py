"""Sky and life of 2,800 default satellites for a day, beside SciPy and Basilisk.

The peers do less. SciPy: LSODA (rtol 1e-6) on twelve nodes of one satellite, with day and night
switched by hand: no orbit, shadow, surfaces, battery or books; one orbit, scaled to the fleet's
day. Basilisk (`pip install -e .[peers]`, else left out): its orbit, shadow, panel, battery and one
thermal node in C++, of 280 satellites for an hour of the same steps, scaled to the fleet's day.
That flatters it: its time grows faster than the fleet.
"""

import json
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from bench_thermal import ORBIT, scipy_orbit

from twin import devices
from twin.build import build
from twin.fleet import fleet
from twin.load import parse
from twin.simulate import Clock, Engine, simulate

TEXT = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = 2800\nplanes = 40\n"
DAY, STEP, ROUNDS = 86_400.0, 10.0, 3


def main() -> None:
    """Print one row."""
    devices.prepare()
    scenario = parse(TEXT)
    ships = fleet(scenario)
    constellation, state = build(scenario, ships)
    engine = Engine(constellation, state, Clock.of(STEP, 60.0, DAY, len(ships)))
    engine.compile(state, engine.clock.chunk)
    ours, peers = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        simulate(engine, state)
        ours.append(time.perf_counter() - begin)
        peers.append(scipy_orbit("LSODA") * DAY / ORBIT * len(ships))
    cpp = basilisk()
    seconds, peer = statistics.median(ours), statistics.median(peers)
    row = {
        "name": "life",
        "device": devices.describe(engine.mesh),
        "satellites": len(ships),
        "steps": 8640,
        "seconds": round(seconds, 3),
        "satellite_steps_per_second": round(len(ships) * 8640 / seconds),
        "peer": "scipy LSODA rtol 1e-6, heat only, scaled from one orbit of one satellite",
        "peer_seconds": round(peer, 1),
        "ratio": round(peer / seconds, 1),
        "basilisk_seconds": cpp and round(cpp, 1),
        "basilisk_ratio": cpp and round(cpp / seconds, 1),
        "compile_seconds": round(engine.compile_s, 2),
    }
    print(json.dumps(row))


def basilisk() -> float | None:
    """Seconds of Basilisk's modules for the fleet's day, scaled; None where it is not installed."""
    if find_spec("Basilisk") is None:
        return None
    sys.path.append(str(Path(__file__).parents[1] / "oracles"))
    from power_basilisk import clock

    satellites, hour = 280, 3600.0
    return clock(satellites, STEP, hour)[0] * (2800 / satellites) * (DAY / hour)


if __name__ == "__main__":
    main()

"""Sky and life of 2,800 default satellites for a day, beside SciPy on the heat of one of them.

The peer does less: LSODA (rtol 1e-6) on twelve nodes of one satellite, with day and night switched
by hand: no orbit, shadow, surfaces, battery or books. One orbit, scaled to the fleet's day.
"""

import json
import statistics
import time

from bench_thermal import ORBIT, scipy_orbit

from twin import devices
from twin.build import build
from twin.fleet import fleet
from twin.load import parse
from twin.simulate import Clock, Engine, simulate

TEXT = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = 2800\nplanes = 40\n"
DAY, ROUNDS = 86_400.0, 3


def main() -> None:
    """Print one row."""
    devices.prepare()
    scenario = parse(TEXT)
    ships = fleet(scenario)
    constellation, state = build(scenario, ships)
    engine = Engine(constellation, state, Clock.of(10.0, 60.0, DAY, len(ships)))
    engine.compile(state, engine.clock.chunk)
    ours, peers = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        simulate(engine, state)
        ours.append(time.perf_counter() - begin)
        peers.append(scipy_orbit("LSODA") * DAY / ORBIT * len(ships))
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
        "compile_seconds": round(engine.compile_s, 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()

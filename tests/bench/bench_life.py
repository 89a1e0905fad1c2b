"""Sky and life of 2,800 default satellites for a day, beside SciPy on the heat of one of them.

The peer does less: LSODA (rtol 1e-6) on the same six nodes, its sky made before and not counted,
no orbit, shadow, battery or books, one orbit of one satellite, scaled to the fleet's day.
"""

import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from twin import devices
from twin.build import build
from twin.fleet import fleet
from twin.load import parse
from twin.simulate import Clock, Engine, simulate

sys.path.insert(0, str(Path(__file__).parents[1]))
from oracles.orbit_energy import heats, walker_place  # noqa: E402
from oracles.thermal_radau import right_hand_side  # noqa: E402

TEXT = "[run]\nstart = 2025-03-20T12:00:00Z\n[[shell]]\nsatellites = 2800\nplanes = 40\n"
ORBIT, DAY, ROUNDS = 5740.0, 86_400.0, 3


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
        peers.append(scipy_orbit(scenario) * DAY / ORBIT * len(ships))
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


def scipy_orbit(scenario) -> float:
    """Seconds that SciPy needs for one satellite's heat over one orbit."""
    design, shell = scenario.class_["inference"], scenario.shell[0]
    start = datetime(2025, 3, 20, 12, tzinfo=UTC)
    grid = np.arange(0.0, ORBIT + 2.0, 1.0)
    found = heats(design, scenario.environment, start, walker_place(shell, 2), grid)
    parts = ("irradiance", "array", "box", "radiator")
    sky = CubicSpline(grid, np.stack([found[part] for part in parts], axis=1))
    rate = right_hand_side(design, 50.0, 300.0)
    begin = time.perf_counter()
    solve_ivp(
        lambda t, y: rate(y, *sky(t)),
        (0.0, ORBIT),
        np.full(6, 290.0),
        method="LSODA",
        rtol=1e-6,
        atol=1e-6,
        max_step=60.0,
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()

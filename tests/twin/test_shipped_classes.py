"""The shipped designs, not toys: their temperatures over an orbit with eclipse, against Radau."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.orbit_energy import heats, walker_place
from oracles.thermal_radau import right_hand_side, solve
from scipy.interpolate import CubicSpline

from twin.build import build
from twin.fleet import fleet
from twin.load import load

CLASSES = {"large": "scs01", "small": "scs01", "inference": "star2035", "training": "star2035"}
EACH = 6
RECORDS = 96  # of a minute: one orbit


@pytest.fixture(scope="module")
def shipped(shell_scenario):
    """Four shells of six, one of each shipped class, where every orbit has its night."""
    designs = {name: load(file).scenario.class_[name] for name, file in CLASSES.items()}
    shells = tuple(
        shell_scenario.shell[0].model_copy(
            update={"class_": name, "satellites": EACH, "planes": 3, "raan_deg": 20.0 + 5 * k}
        )
        for k, name in enumerate(CLASSES)
    )
    return shell_scenario.model_copy(update={"class_": designs, "shell": shells})


def test_shipped_classes_match_radau_over_an_orbit_with_eclipse(shipped, equinox_noon, orbit):
    """Within 0.1 K at 10 s: sky, electricity and heat of the oracle are its own."""
    constellation, state = build(shipped, fleet(shipped))
    sat = constellation.satellites
    battery = replace(
        sat.battery,
        floor=0.01 * sat.battery.capacity,
        charge_limit=0.25 * sat.battery.capacity / 3600,
        discharge_limit=sat.battery.capacity / 3600,
    )  # neither empty nor full within the orbit, so that nothing switches
    payload = replace(sat.payload, reserve=0.05 + 0 * sat.payload.reserve)
    gentle = replace(constellation, satellites=replace(sat, battery=battery, payload=payload))
    _, seen = orbit(gentle, replace(state, battery_energy=0.6 * battery.capacity), RECORDS)
    times = np.arange(RECORDS + 1) * 60.0
    charge = np.asarray(seen.battery_energy) / np.asarray(battery.capacity)
    assert charge.min() > 0.11 and charge.max() < 0.99
    assert (np.asarray(seen.throttle) == 1).all()
    for index, (shell, name) in enumerate(zip(shipped.shell, CLASSES, strict=True)):
        k = index * EACH + 2
        lit = np.asarray(seen.sunlit)[:, k]
        assert lit.min() == 0 and lit.max() == 1
        design = shipped.class_[name]
        grid = np.arange(0, times[-1] + 1.0, 0.5)
        found = heats(design, shipped.environment, equinox_noon, walker_place(shell, 2), grid)
        parts = ("irradiance", "array", "box", "radiator")
        sky = CubicSpline(grid, np.stack([found[part] for part in parts], axis=1))
        full = float(payload.devices[k] * payload.full_power[k])
        law = right_hand_side(design, full, float(battery.charge_limit[k]))
        begin = np.asarray(state.temperature)[:, k]
        exact = solve(law, sky, begin, times)[:, 1:]
        error = np.abs(np.asarray(seen.temperature)[:, :, k].T - exact).max()
        print(
            f"{name}: {error:.3f} K while temperatures swing by {np.ptp(exact, axis=1).max():.0f} K"
        )
        assert error < 0.1

"""Expected SGP4 states from the `sgp4` package (2.27, C++), and fleets to try them on.

Nothing is stored: the package is installed with the project and answers at once. Its test set
(SGP4-VER.TLE) and the expected output of the authors' own C++ (tcppver.out) come in its wheel.
"""

import importlib.resources

import numpy as np
from sgp4.api import SGP4_ERRORS, WGS72, Satrec

from twin.catalog import ElementSet, read_elements
from twin.clock import Epoch

SYNTHETIC_EPOCH = Epoch.parse("2035-03-20T12:00:00Z")


def reference(one: ElementSet) -> Satrec:
    """The package's satellite for an element set."""
    satellite = Satrec()
    satellite.sgp4init(
        WGS72,
        "i",
        one.norad % 100_000,
        (one.epoch.whole - 2_433_281.5) + one.epoch.fraction,
        one.bstar,
        0.0,
        0.0,
        one.eccentricity,
        np.radians(one.argp_deg),
        np.radians(one.inclination_deg),
        np.radians(one.mean_anomaly_deg),
        one.mean_motion_rev_day * 2 * np.pi / 1440,
        np.radians(one.raan_deg),
    )
    return satellite


def reference_states(elements, seconds):
    """Positions (m) and velocities (m/s), `time 3 sat`, at seconds since each one's own epoch."""
    states = np.full((2, len(seconds), 3, len(elements)), np.nan)
    for k, one in enumerate(elements):
        satellite = reference(one)
        for j, second in enumerate(seconds):
            error, position, velocity = satellite.sgp4_tsince(second / 60)
            assert error in (0, *SGP4_ERRORS)
            if not error:
                states[0, j, :, k] = np.array(position) * 1e3
                states[1, j, :, k] = np.array(velocity) * 1e3
    return states


def synthetic_catalogue(satellites=2800, seed=7):
    """A planned fleet as if tracked: four shells of 500 to 550 km, e 1e-4 to 1.6e-3, with drag."""
    rng = np.random.default_rng(seed)
    inclinations = rng.choice([43.0, 53.0, 70.0, 97.45], satellites)
    altitude = rng.uniform(500e3, 550e3, satellites)
    motion = np.sqrt(3.986008e14 / (6378135 + altitude) ** 3) * 86400 / (2 * np.pi)
    return [
        ElementSet(
            name=f"S{k}",
            norad=100_000 + k,
            cospar="",
            epoch=SYNTHETIC_EPOCH,
            mean_motion_rev_day=round(float(motion[k]), 8),
            eccentricity=round(float(rng.uniform(1e-4, 1.6e-3)), 7),
            inclination_deg=float(inclinations[k]),
            raan_deg=round(float(rng.uniform(0, 360)), 4),
            argp_deg=round(float(rng.uniform(0, 360)), 4),
            mean_anomaly_deg=round(float(rng.uniform(0, 360)), 4),
            bstar=float(10 ** rng.uniform(-5, -4.1)),
        )
        for k in range(satellites)
    ]


def verification_sets():
    """The published test set: (element set, start, stop, step in minutes) of each case."""
    text = (importlib.resources.files("sgp4") / "SGP4-VER.TLE").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("1 ", "2 "))]
    cases = []
    for line_1, line_2 in zip(lines[::2], lines[1::2], strict=True):
        (one,) = read_elements(_signed(line_1) + "\n" + _signed(line_2))
        cases.append((one, *(float(x) for x in line_2[69:].split())))
    return cases


def _signed(line):
    """69 columns with their checksum: the published lines carry spans after it, some lack it."""
    from twin.tle import checksum

    line = line[:68].ljust(68)
    return line + str(checksum(line))

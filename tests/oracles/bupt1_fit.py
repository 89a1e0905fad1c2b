"""BUPT-1's computer in orbit, as one lump of heat: what its published numbers allow. A fit.

Published (MobiCom '24, arXiv 2401.03435, and what was fitted to its telemetry): three hours of
inference warm an Atlas 200 DK from 13 to 57 °C at 9.4 W on average, with peaks of 24 W and other
runs at 6.5 W; one lump fits with 3.7 to 4.6 K/W and 80 to 170 J/K (370 to 650 s) over a sink of -3
to 6 °C, within 1.0 to 1.9 K. No rows of the telemetry are used or shipped.

The lump settles within an hour, so that 57 °C after three says nothing of its heat capacity, and at
a steady 9.4 W it would ask for 5.4 to 6.4 K/W. Within the published ranges 57 °C is therefore the
height of a load that swings. Its pattern is not published: bursts of 24 W over 6.5 W, as many as
give the mean, are assumed here, and the length of a burst is the one number that is fitted.

NumPy 2, SciPy 1; 2026-11-23. Run `python bupt1_fit.py` for the numbers.
"""

import numpy as np
from scipy.optimize import brentq

START, HIGHEST, SPREAD = 13.0, 57.0, (1.0, 1.9)  # °C, °C, K
MEAN, LOW, PEAK = 9.4, 6.5, 24.0  # W
RESISTANCE, CAPACITY, TIME = (3.7, 4.6), (80.0, 170.0), (370.0, 650.0)  # K/W, J/K, s
SINK = (-3.0, 6.0)  # °C
LENGTH = 3 * 3600.0  # s
SHARE = (MEAN - LOW) / (PEAK - LOW)  # of the time in bursts


def steady_resistance():
    """K/W that a steady load of the mean would need: least and most over the published sinks."""
    return (HIGHEST - SINK[1]) / MEAN, (HIGHEST - SINK[0]) / MEAN


def power(seconds, burst):
    """W at each moment: bursts come last in each cycle."""
    cycle = burst / SHARE
    return np.where(np.mod(seconds, cycle) >= cycle - burst, PEAK, LOW)


def highest(resistance, capacity, sink, burst):
    """°C at the end of a burst, once every cycle is like the one before: closed form."""
    time = resistance * capacity
    reached = (1 - np.exp(-burst / time)) / (1 - np.exp(-burst / SHARE / time))
    return sink + resistance * (LOW + (PEAK - LOW) * reached)


def burst_length(resistance, capacity, sink):
    """s of a burst with which the lump reaches 57 °C; None where none does."""

    def over(burst):
        return highest(resistance, capacity, sink, burst) - HIGHEST

    if over(1.0) > 0 or over(0.5 * LENGTH * SHARE) < 0:
        return None
    return brentq(over, 1.0, 0.5 * LENGTH * SHARE)


def samples(count=4000, seed=7):
    """Lumps drawn evenly from the published ranges, those that fit: rows of R, C, sink, burst."""
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < count:
        r, c, sink = (rng.uniform(*span) for span in (RESISTANCE, CAPACITY, SINK))
        if TIME[0] <= r * c <= TIME[1]:
            rows.append((r, c, sink, burst_length(r, c, sink)))
    return rows


if __name__ == "__main__":
    print("steady load of the mean: {:.2f} to {:.2f} K/W".format(*steady_resistance()))
    drawn = samples()
    fits = np.array([row for row in drawn if row[3] is not None])
    print(f"{len(fits) / len(drawn):.3f} of the published ranges reach {HIGHEST} °C by some burst")
    for name, column in zip(("R K/W", "C J/K", "sink °C", "burst s"), fits.T, strict=True):
        print(f"{name:8} {column.mean():7.1f} ± {column.std():.1f}")

"""What a report reads from the recorded variables, because totals and extremes do not hold it."""

from dataclasses import dataclass

import numpy as np

from twin.results import Run

SAFE = 3  # the level of load shedding that is safe mode
BLOCK = 64  # records of temperatures read at once


@dataclass(frozen=True)
class Recorded:
    """What the records show, by satellite; None where the variable was not written."""

    safe_entries: np.ndarray | None = None  # times that safe mode was entered
    safe_at_end: np.ndarray | None = None
    coldest: np.ndarray | None = None  # (sat, node), K
    hottest: np.ndarray | None = None  # (sat, node), K


def recorded(run: Run, temperatures: bool = False) -> Recorded:
    """Read a finished run; temperatures of all nodes only when asked for, since they are many.

    The records hold ends of their steps: what begins and ends within one record is not seen.
    """
    entries = last = low = high = None
    with run.dataset() as data:
        if "shed" in data:
            safe = data["shed"].to_numpy() >= SAFE
            entries = safe[0] + (safe[1:] & ~safe[:-1]).sum(axis=0)
            last = safe[-1]
        if temperatures and "temperature" in data:
            stored = data["temperature"]
            for first in range(0, stored.sizes["time"], BLOCK):
                part = stored.isel(time=slice(first, first + BLOCK)).to_numpy()
                coldest, hottest = part.min(axis=0), part.max(axis=0)
                low = coldest if low is None else np.fmin(low, coldest)
                high = hottest if high is None else np.fmax(high, hottest)
    return Recorded(entries, last, low, high)

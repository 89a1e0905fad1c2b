"""When in the year a fleet has its hardest days: the longest nights, and the most Sun.

Orbits are carried over the year by the drift that J2 gives them: a Sun-synchronous shell keeps its
local time, a Walker shell's nodes drift, published element sets drift without drag. Nights are
counted against a cylinder of shadow behind a round Earth: within half a minute in low orbit, which
is enough to choose a day by; the day itself is run with everything.

Source: Wertz & Larson, Space Mission Analysis and Design (1999), 5.1, for the length of a night.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from jaxtyping import Float

from twin.constants import AU, DAY, DEG, EARTH_RADIUS
from twin.environment.sun import sun_positions
from twin.fleet import Fleet, fleet
from twin.orbits.secular import SecularOrbit
from twin.scenario import Orbit, Scenario, WalkerShell

EVERY = 10  # days between the dates that are looked at
NEAR = 0.01  # a night that is shorter by less than this share is as good
BRIGHT = 0.005  # and a day that is darker by less than this one


@dataclass(frozen=True)
class Year:
    """Nights and sunlight of every satellite on dates over a year."""

    dates: tuple[datetime, ...]
    night: Float[np.ndarray, "date sat"]  # s in each orbit
    sun: Float[np.ndarray, "date sat"]  # mean sunlight over an orbit, of the solar constant
    cosine: Float[np.ndarray, "date sat"]  # of beta


def year(scenario: Scenario, ships: Fleet) -> Year:
    """Look at a year from the scenario's start."""
    start = scenario.run.start_utc
    days = np.arange(0, 365, EVERY)
    orbit = drifting(scenario, ships).orbit
    if not isinstance(orbit, SecularOrbit):
        raise TypeError("seasons are read off secular orbits")
    seconds = days * DAY
    sun = sun_positions(ships.start, seconds)
    distance = np.linalg.norm(sun, axis=1)
    node = np.asarray(orbit.raan) + np.asarray(orbit.raan_rate) * seconds[:, None]
    tilt, level = np.asarray(orbit.sin_inclination), np.asarray(orbit.cos_inclination)
    unit = sun / distance[:, None]
    sine = tilt * np.sin(node) * unit[:, :1] - tilt * np.cos(node) * unit[:, 1:2]
    sine = sine + level * unit[:, 2:]
    cosine = np.sqrt(np.maximum(1 - sine * sine, 0.0))
    size = np.asarray(orbit.semi_major_axis)
    tangent = np.sqrt(size**2 - EARTH_RADIUS**2) / size
    half = np.arccos(np.clip(tangent / np.maximum(cosine, 1e-9), -1.0, 1.0))
    share = np.where(cosine > tangent, half / np.pi, 0.0)
    period = 2 * np.pi / np.asarray(orbit.latitude_argument_rate)
    dates = tuple(start + timedelta(days=int(d)) for d in days)
    return Year(dates, share * period, (1 - share) * (AU / distance[:, None]) ** 2, cosine)


def drifting(scenario: Scenario, ships: Fleet) -> Fleet:
    """The same fleet on orbits that drift, whatever propagator the scenario asks for."""
    if scenario.propagator == "secular":
        return ships
    plain = scenario.model_copy(update={"orbit": Orbit(propagator="secular")})
    return fleet(plain, ships.folders)


def at(scenario: Scenario, ships: Fleet, date: datetime) -> tuple[Scenario, Fleet]:
    """The scenario and its fleet on another date, on orbits that drift."""
    start = scenario.run.start_utc
    rates = np.asarray(drifting(scenario, ships).orbit.raan_rate)  # type: ignore[attr-defined]
    passed = (date - start).total_seconds()
    shells = []
    for index, shell in enumerate(scenario.shell):
        if isinstance(shell, WalkerShell) and shell.satellites:
            turned = rates[ships.shell == index][0] * passed / DEG
            node = (shell.raan_deg + turned) % 360.0
            shell = shell.model_copy(update={"raan_deg": node})
        shells.append(shell)
    run = scenario.run.model_copy(update={"start": date.astimezone(UTC)})
    moved = scenario.model_copy(
        update={"run": run, "shell": tuple(shells), "orbit": Orbit(propagator="secular")}
    )
    return moved, fleet(moved, ships.folders)


def hardest(found: Year, ships: Fleet) -> list[int]:
    """The fewest dates on which every shell has about its longest night, and its most Sun."""
    wanted = []
    for shell in np.unique(ships.shell):
        mine = ships.shell == shell
        night, sun = found.night[:, mine].max(axis=1), found.sun[:, mine].max(axis=1)
        wanted.append(night >= (1 - NEAR) * night.max())
        wanted.append(sun >= (1 - BRIGHT) * sun.max())
    left = np.array(wanted)
    chosen: list[int] = []
    while left.shape[0]:
        best = int(left.sum(axis=0).argmax())
        chosen.append(best)
        left = left[~left[:, best]]
    return sorted(chosen)


def extremes(found: Year, ships: Fleet, date: int) -> np.ndarray:
    """For each shell the satellite with the longest night on a date, and the one with most Sun."""
    chosen: list[int] = []
    for shell in np.unique(ships.shell):
        mine = np.flatnonzero(ships.shell == shell)
        for values in (found.night, found.sun):
            chosen.append(int(mine[values[date, mine].argmax()]))
    return np.array(chosen)


def named(dates: Sequence[datetime]) -> list[str]:
    """Dates as people write them."""
    return [f"{d.day} {d:%B %Y}" for d in dates]

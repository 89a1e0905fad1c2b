"""A fleet on other dates of a year, and how long its nights are there.

Orbits are carried over the year by the drift that J2 gives them: a Sun-synchronous shell keeps its
local time, a Walker shell's nodes drift, published element sets drift without drag. Nights are
counted against a cylinder of shadow behind a round Earth: within half a minute in low orbit, which
is enough for a first guess; the days themselves are run with everything (`hard_days`).

Source: Wertz & Larson, Space Mission Analysis and Design (1999), 5.1, for the length of a night.
"""

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


@dataclass(frozen=True)
class Year:
    """Nights and sunlight of every satellite on dates over a year."""

    dates: tuple[datetime, ...]
    night: Float[np.ndarray, "date sat"]  # s in each orbit
    sun: Float[np.ndarray, "date sat"]  # mean sunlight over an orbit, of the solar constant
    cosine: Float[np.ndarray, "date sat"]  # of beta


def dates(scenario: Scenario) -> tuple[datetime, ...]:
    """The dates of a year that are looked at, from the scenario's start."""
    return tuple(scenario.run.start_utc + timedelta(days=d) for d in range(0, 365, EVERY))


def year(scenario: Scenario, ships: Fleet) -> Year:
    """Look at a year from the scenario's start."""
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
    return Year(
        dates(scenario), share * period, (1 - share) * (AU / distance[:, None]) ** 2, cosine
    )


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

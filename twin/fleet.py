"""Who flies and where: shells and catalogues become orbits, names and payload profiles.

People's units of orbits and times end here; those of the satellites themselves end in `build`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from twin.catalog import ElementSet, mean_altitude, read_elements
from twin.clock import Epoch
from twin.constants import DAY, DEG, EARTH_RADIUS, HOUR, KM
from twin.environment.sun import SunEphemeris, mean_sun_right_ascension, sun_ephemeris
from twin.orbits.elements import AbstractOrbit
from twin.orbits.secular import SecularOrbit, secular_from_elements, sun_synchronous, walker
from twin.orbits.sgp4 import Sgp4Orbit, sgp4_orbit
from twin.problems import InputError, Problem
from twin.profiles import DeviceNumbers, Profile, load_profile
from twin.scenario import (
    CatalogShell,
    InferencePayload,
    Scenario,
    SunSynchronousShell,
    WalkerShell,
)

ELEMENTS = Path(str(files("assets"))) / "elements"
STALE = 14 * DAY  # beyond this age an element set is worth a warning


@dataclass(frozen=True)
class Fleet:
    """Who flies: what does not change from variant to variant."""

    orbit: AbstractOrbit
    sun: SunEphemeris
    start: Epoch
    names: tuple[str, ...]
    norad: np.ndarray  # 0 for planned satellites
    altitude: np.ndarray  # m, mean (Kozai), above the equatorial radius
    shell: np.ndarray  # index of the scenario's shell
    class_index: np.ndarray
    classes: tuple[str, ...]
    profiles: dict[str, Profile]  # by class; a training class has none
    folders: tuple[Path, ...]  # where files that the scenario names are looked for
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def fleet(scenario: Scenario, folders: Sequence[Path] = ()) -> Fleet:
    """Place every satellite of a scenario; files it names are looked for in `folders` too."""
    start = Epoch.from_datetime(scenario.run.start_utc)
    duration = scenario.run.duration_h * HOUR
    try:
        sun = sun_ephemeris(start, duration)
    except ValueError as error:
        raise InputError([Problem("run.start", str(error), hint="choose another start")]) from None
    classes = tuple(scenario.class_)
    orbits, names, norad, altitude, shells, members = [], [], [], [], [], []
    published: list[ElementSet] = []
    for index, shell in enumerate(scenario.shell):
        where = f"shell[{index}]"
        if isinstance(shell, CatalogShell):
            sets = _selected(shell, where, folders)
            published += sets
            make = sgp4_orbit if scenario.propagator == "sgp4" else secular_from_elements
            try:
                orbit = make(sets, start)
            except ValueError as error:
                raise InputError([Problem(f"{where}.elements", str(error))]) from None
            called, numbers = [s.name for s in sets], [s.norad for s in sets]
            altitude += [mean_altitude(s) for s in sets]
        elif shell.satellites == 0:
            continue
        else:
            orbit = _shell(shell, where, start)
            called = [f"S{index + 1}-{k + 1:04d}" for k in range(shell.satellites)]
            numbers = [0] * shell.satellites
            altitude += [shell.altitude_km * KM] * shell.satellites
        orbits.append(orbit)
        names += called
        norad += numbers
        shells += [index] * len(called)
        members += [classes.index(shell.class_ or classes[0])] * len(called)
    return Fleet(
        orbit=_side_by_side(orbits),
        sun=sun,
        start=start,
        names=tuple(names),
        norad=np.array(norad, np.int32),
        altitude=np.array(altitude),
        shell=np.array(shells, np.int32),
        class_index=np.array(members, np.int32),
        classes=classes,
        profiles=_profiles(scenario, folders),
        folders=tuple(Path(folder) for folder in folders),
        warnings=tuple(_stale(published, start, duration)),
    )


def device_numbers(payload: InferencePayload, profile: Profile, name: str) -> DeviceNumbers:
    """The profile at the scenario's batch and cap."""
    try:
        return profile.device_numbers(payload.batch, payload.power_cap_w)
    except InputError as error:
        where = f"class.{name}.payload"
        raise InputError(
            [replace(p, where=f"{where}: {p.where}") for p in error.problems]
        ) from None


def _profiles(scenario: Scenario, folders: Sequence[Path]) -> dict[str, Profile]:
    found = {}
    for name, design in scenario.class_.items():
        if isinstance(design.payload, InferencePayload):
            found[name] = load_profile(_local(design.payload.profile, folders))
            device_numbers(design.payload, found[name], name)
    return found


def _local(name: str, folders: Sequence[Path]) -> str:
    """A file that a scenario names: beside the scenario (or kept with its run), or as it stands."""
    beside = (Path(folder) / tail for folder in folders for tail in (name, Path(name).name))
    return str(next((path for path in beside if path.is_file()), name))


def elements_path(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of element sets that a bare name or path means."""
    shipped = ELEMENTS / f"{name}.csv"
    return shipped if shipped.is_file() else Path(_local(name, folders))


def _selected(shell: CatalogShell, where: str, folders: Sequence[Path]) -> list[ElementSet]:
    sets = read_elements(elements_path(shell.elements, folders))
    if shell.norad is None:
        return sets
    missing = sorted(set(shell.norad) - {s.norad for s in sets})
    if missing:
        known = ", ".join(str(s.norad) for s in sets[:20])
        what = f"{shell.elements} has no satellite {', '.join(map(str, missing))}"
        raise InputError([Problem(f"{where}.norad", what, known)])
    return [s for s in sets if s.norad in shell.norad]


def _stale(sets: list[ElementSet], start: Epoch, duration: float) -> list[str]:
    if not sets:
        return []
    ages = [
        max(abs(start.seconds_since(s.epoch)), abs(start.plus(duration).seconds_since(s.epoch)))
        for s in sets
    ]
    worst = int(np.argmax(ages))
    old = sum(age > STALE for age in ages)
    if not old:
        return []
    return [
        f"{old} of {len(sets)} element sets are more than 14 days from the run"
        f" (worst: {sets[worst].name}, {ages[worst] / DAY:.0f} days):"
        " positions drift by 1 to 3 km a day"
    ]


def _shell(shell: WalkerShell | SunSynchronousShell, where: str, start: Epoch) -> SecularOrbit:
    count = shell.satellites
    planes = shell.planes or min(
        (d for d in range(1, count + 1) if count % d == 0), key=lambda d: abs(d - math.sqrt(count))
    )
    if count % planes:
        fits = [d for d in range(1, count + 1) if count % d == 0]
        near = min(fits, key=lambda d: abs(d - planes))
        what = f"{count} satellites do not fill {planes} planes evenly"
        raise InputError([Problem(f"{where}.planes", what, hint=f"{near} planes would")])
    common = {"semi_major_axis": EARTH_RADIUS + shell.altitude_km * KM, "phasing": shell.phasing}
    if isinstance(shell, SunSynchronousShell):
        spread = shell.ltan_spread_h / 24 * 2 * math.pi
        gaps = max(planes - 1, 1)
        return sun_synchronous(
            count,
            planes,
            ltan=shell.ltan_h * HOUR,
            sun_right_ascension=mean_sun_right_ascension(start),
            spread=spread * planes / gaps,
            **common,
        )
    return walker(
        count, planes, inclination=shell.inclination_deg * DEG, raan=shell.raan_deg * DEG, **common
    )


def _side_by_side(orbits: Sequence[SecularOrbit | Sgp4Orbit]) -> AbstractOrbit:
    """The orbits of all shells, which one propagator moves, on one satellite axis."""
    if len(orbits) == 1:
        return orbits[0]
    iterations = max(o.iterations for o in orbits)
    secular = [o for o in orbits if isinstance(o, SecularOrbit)]
    tracked = [o for o in orbits if isinstance(o, Sgp4Orbit)]
    if secular:
        small = all(o.small for o in secular)
        alike = [replace(o, iterations=iterations, small=small) for o in secular]
    else:
        limit = max(o.eccentricity_limit for o in tracked)
        alike = [replace(o, iterations=iterations, eccentricity_limit=limit) for o in tracked]
    return jax.tree.map(lambda *x: jnp.concatenate(x, axis=-1), *alike)

"""Questions about published orbits: what `twin ephemeris` and `twin passes` answer. Host code."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twin import devices
from twin.catalog import ElementSet, read_elements
from twin.clock import Epoch
from twin.constants import DAY
from twin.ephemeris import FRAMES, OLD_ELEMENTS_DAYS, PROPAGATORS, ephemeris_csv, times_between
from twin.ephemeris import ephemeris as states_of
from twin.fleet import elements_path
from twin.network.ground import Station
from twin.orbits.sgp4 import sgp4_orbit
from twin.passes import Pass, satellite_track
from twin.passes import passes as passes_of
from twin.problems import InputError, Problem, nearest

FORMATS = ("csv", "json")
LATER = {"numerical": "is not there yet", "oem": "is not written yet"}
STATES = 2_000_000  # satellites times moments at once: 1 GB of numbers and text
SAMPLE = 30.0  # s between the moments at which passes are looked for
NAMED = 3  # satellites that a warning names; the rest are counted

Shape = dict[str, Any]


def ephemeris(
    elements: Path | str,
    start: str,
    stop: str,
    step_s: float = 60.0,
    frame: str = "teme",
    propagator: str = "sgp4",
    format: str = "csv",
) -> tuple[str, list[str]]:
    """States of a file of element sets as text (CSV or JSON), and warnings.

    Times are ISO 8601 UTC; `start` and `stop` are included where the step meets them. Raises
    InputError with every problem of the question at once.
    """
    problems = [
        *_choice("--frame", frame, FRAMES),
        *_choice("--propagator", propagator, tuple(PROPAGATORS)),
        *_choice("--format", format, FORMATS),
    ]
    if not (math.isfinite(step_s) and step_s > 0):
        problems.append(Problem("--step-s", f"got {step_s:g}", "above 0 s"))
    first, last = _window(start, stop, problems, empty=True)
    sets = read_elements(elements_path(str(elements)))
    moments = math.floor(last.seconds_since(first) / step_s * (1 + 1e-12) + 1e-9) + 1
    states = moments * len(sets)
    if states > STATES:
        what = f"{states:,} states ({len(sets):,} satellites at {moments:,} times)"
        raise InputError([Problem("--step-s", what, f"up to {STATES:,}", "take a longer step")])
    devices.prepare()
    times = times_between(first, last, step_s)
    try:
        answer = states_of(sets, times, frame=frame, propagator=propagator)
    except ValueError as error:
        raise InputError([Problem(str(elements), str(error))]) from None
    answer.pop("warnings")
    lost = [(s["name"], s["norad"], s["error"]) for s in answer["satellites"] if s["error"]]
    warnings = [*_old(sets, first, last), *(f"{n} ({k}): {why}" for n, k, why in lost)]
    text = ephemeris_csv(answer) if format == "csv" else _json(answer)
    return text, warnings


def passes(
    elements: Path | str, stations: Sequence[str], mask_deg: float, start: str, stop: str
) -> tuple[list[Shape], list[str]]:
    """Passes of every satellite of a file over every station, in order of time, and warnings.

    Stations are written ``LAT,LON[,ALT_M]``: degrees north and east, metres above WGS 84. Rise and
    set are None where a pass reaches over the window's edge; then there is a ``note``. Satellites
    that decay before the window ends are named among the warnings; until then they have passes.
    """
    problems = []
    if not 0 <= mask_deg < 90:
        problems.append(Problem("--mask-deg", f"got {mask_deg:g}", "0 to below 90"))
    places = [found for text in stations if (found := _station(text, problems))]
    first, last = _window(start, stop, problems)
    sets = read_elements(elements_path(str(elements)))
    span = last.seconds_since(first)
    samples = len(sets) * math.ceil(span / SAMPLE)
    if samples > 10 * STATES:
        days = 10 * STATES * SAMPLE / len(sets) / DAY
        what = f"{span / DAY:,.0f} days of {len(sets):,} satellites is too much at once"
        raise InputError([Problem("--stop", what, f"up to {days:,.0f} days")])
    devices.prepare()
    try:
        orbits = sgp4_orbit(sets, first)
    except ValueError as error:
        raise InputError([Problem(str(elements), str(error))]) from None
    warnings, found = _old(sets, first, last), []
    for index, one in enumerate(sets):
        track = satellite_track(orbits, index)
        lasts = _lasts(track, span)
        if lasts < span:
            when = f"at {first.plus(lasts)}" if lasts else "before the window"
            warnings.append(f"{one.name} ({one.norad}) has decayed {when}: no passes from then on")
        if lasts > 0:
            until = first.plus(lasts)
            found += [
                _shape(one, p) for p in passes_of(track, places, mask_deg, first, until, SAMPLE)
            ]
    return sorted(found, key=_when), warnings


def _choice(option: str, word: str, allowed: tuple[str, ...]) -> list[Problem]:
    if word in allowed:
        return []
    what = f"{word!r} {LATER.get(word, 'is not known')}"
    return [Problem(option, what, ", ".join(allowed), nearest(word, allowed))]


def _window(
    start: str, stop: str, problems: list[Problem], empty: bool = False
) -> tuple[Epoch, Epoch]:
    """Both times, or all problems found so far."""
    moments = []
    for option, text in (("--start", start), ("--stop", stop)):
        try:
            moments.append(Epoch.parse(text))
        except ValueError as error:
            problems.append(Problem(option, str(error)))
    if len(moments) == 2 and (moments[1] < moments[0] or (moments[1] == moments[0] and not empty)):
        problems.append(Problem("--stop", f"got {moments[1]}", f"after --start {moments[0]}"))
    if problems:
        raise InputError(problems)
    return moments[0], moments[1]


def _station(text: str, problems: list[Problem]) -> Station | None:
    """``30.67,104.07`` or ``30.67,104.07,500``."""
    parts = [part.strip() for part in text.split(",")]
    number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
    if len(parts) not in (2, 3) or not all(map(number.fullmatch, parts)):
        example = "LAT,LON[,ALT_M] in degrees and metres, such as 30.67,104.07,500"
        problems.append(Problem("--station", f"got {text!r}", example))
        return None
    values = [float(part) for part in parts]
    bounds = (("latitude", -90, 90), ("longitude", -180, 360), ("altitude", -500, 9000))
    wrong = [
        Problem(f"--station {text}", f"{name} is {value:g}", f"{low} to {high}")
        for (name, low, high), value in zip(bounds, values, strict=False)
        if not low <= value <= high
    ]
    problems += wrong
    return None if wrong else Station(",".join(parts), *values)


def _lasts(track: Any, span: float) -> float:
    """Seconds until a satellite has no position any more: the whole span, if it never decays."""
    times = np.linspace(0.0, span, max(3, math.ceil(span / SAMPLE) + 1))
    known = np.isfinite(track(times)).all(axis=1)
    return span if known.all() else float(times[max(int(np.argmin(known)) - 1, 0)])


def _old(sets: Sequence[ElementSet], first: Epoch, last: Epoch) -> list[str]:
    """One line about element sets that are too old, or too new, for the times asked for."""
    ages = {
        one: max(abs(t.seconds_since(one.epoch)) for t in (first, last)) / DAY
        for one in sets
    }  # fmt: skip
    old = sorted((one for one in ages if ages[one] > OLD_ELEMENTS_DAYS), key=lambda one: -ages[one])
    if not old:
        return []
    named = ", ".join(f"{one.name} ({one.norad}) {ages[one]:.0f} days" for one in old[:NAMED])
    more = f" and {len(old) - NAMED} more" if len(old) > NAMED else ""
    return [
        f"element sets more than {OLD_ELEMENTS_DAYS:.0f} days from the times asked for:"
        f" {named}{more}; positions drift by 1 to 3 km a day, get newer ones"
    ]


def _shape(one: ElementSet, found: Pass) -> Shape:
    def written(moment: Epoch | None) -> str | None:
        return moment.text(1) if moment else None

    shape: Shape = {
        "satellite": one.name,
        "norad": one.norad,
        "station": found.station,
        "rise": written(found.rise),
        "culmination": written(found.culmination),
        "set": written(found.set),
        "max_elevation_deg": round(found.max_elevation_deg, 3),
    }
    return shape | {"note": found.note} if found.note else shape


def _when(found: Shape) -> str:
    return found["rise"] or found["culmination"] or found["set"] or ""


def _json(answer: Shape) -> str:
    """One object, a satellite a line."""
    head = {key: value for key, value in answer.items() if key != "satellites"}
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in answer["satellites"])
    return json.dumps(head)[:-1] + f', "satellites": [\n{lines}\n]}}\n'

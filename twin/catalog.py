"""Element sets in: OMM in CSV and JSON, TLE in two or three lines. Every bad line is named.

Host code without JAX. Values keep the units of the files; orbits convert them.
"""

import calendar
import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.clock import Epoch
from twin.constants import DAY, EARTH_GM, EARTH_RADIUS
from twin.problems import InputError, Problem
from twin.tle import ON_LINE_1, is_tle, omm_from_tle

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(T.*)", re.ASCII)
_FIRST_EPOCH, _LAST_EPOCH = Epoch.parse("1957-01-01"), Epoch.parse("2157-01-01")
_ALPHA5 = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I, no O: they look like digits


class CatalogError(InputError):
    """Everything wrong with a file of element sets, at once."""


@dataclass(frozen=True)
class ElementSet:
    """Mean elements of one satellite at one epoch (UTC), TEME of date, for SGP4."""

    name: str
    norad: int
    cospar: str
    epoch: Epoch
    mean_motion_rev_day: float  # Kozai's
    eccentricity: float
    inclination_deg: float
    raan_deg: float
    argp_deg: float
    mean_anomaly_deg: float
    bstar: float  # 1 / Earth radii
    mean_motion_dot: float = 0.0  # half of it, rev/day², as in the files; SGP4 does not use it
    mean_motion_ddot: float = 0.0  # a sixth of it, rev/day³
    classification: str = "U"
    element_set: int = 999
    revolution: int = 0


# OMM keyword → field, smallest and largest allowed value
_NUMBERS = {
    "MEAN_MOTION": ("mean_motion_rev_day", 1e-9, 18.0),
    "ECCENTRICITY": ("eccentricity", 0.0, math.nextafter(1.0, 0.0)),
    "INCLINATION": ("inclination_deg", 0.0, 180.0),
    "RA_OF_ASC_NODE": ("raan_deg", -360.0, 360.0),
    "ARG_OF_PERICENTER": ("argp_deg", -360.0, 360.0),
    "MEAN_ANOMALY": ("mean_anomaly_deg", -360.0, 360.0),
    "BSTAR": ("bstar", -10.0, 10.0),
    "MEAN_MOTION_DOT": ("mean_motion_dot", -10.0, 10.0),
    "MEAN_MOTION_DDOT": ("mean_motion_ddot", -10.0, 10.0),
}
_ALLOWED = {
    "MEAN_MOTION": "above 0, at most 18 rev/day",
    "ECCENTRICITY": "0 to below 1",
    "INCLINATION": "0 to 180 degrees",
}
_COUNTS = {"ELEMENT_SET_NO": "element_set", "REV_AT_EPOCH": "revolution"}
_OPTIONAL = {"MEAN_MOTION_DOT", "MEAN_MOTION_DDOT"}
_REQUIRED = ["OBJECT_NAME", "NORAD_CAT_ID", "EPOCH"] + [k for k in _NUMBERS if k not in _OPTIONAL]
_FIXED = {
    "MEAN_ELEMENT_THEORY": ("SGP4", "SGP/SGP4"),
    "REF_FRAME": ("TEME",),
    "TIME_SYSTEM": ("UTC",),
    "CENTER_NAME": ("EARTH",),
}
_COLUMNS = [
    "OBJECT_NAME", "OBJECT_ID", "EPOCH", "MEAN_MOTION",
    "ECCENTRICITY", "INCLINATION", "RA_OF_ASC_NODE", "ARG_OF_PERICENTER",
    "MEAN_ANOMALY", "EPHEMERIS_TYPE", "CLASSIFICATION_TYPE", "NORAD_CAT_ID",
    "ELEMENT_SET_NO", "REV_AT_EPOCH", "BSTAR", "MEAN_MOTION_DOT",
    "MEAN_MOTION_DDOT",
]  # fmt: skip


def read_elements(source: Path | str) -> list[ElementSet]:
    """All element sets of a file, or of a text (a `str` with a line break in it).

    Raises CatalogError with every problem found; then nothing is returned, so nothing is lost
    silently.
    """
    place, text = _load(source)
    problems: list[Problem] = []
    found = _parse(place, text, problems)
    seen: dict[tuple[int, Epoch], str] = {}
    for where, one in found:
        key = (one.norad, one.epoch)
        if key in seen:
            problems.append(
                Problem(
                    where,
                    f"{one.name} ({one.norad}) repeats the set of {seen[key]}",
                    "each satellite once per epoch",
                    "remove one of the two",
                )
            )
        seen.setdefault(key, where)
    if not found and not problems:
        problems.append(Problem(place, "no element sets", "at least one", "is the file empty?"))
    if problems:
        raise CatalogError(problems)
    return [one for _, one in found]


def write_omm_csv(elements: Iterable[ElementSet]) -> str:
    """Element sets as OMM CSV; the epoch is rounded to the microsecond."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in elements:
        row: dict[str, Any] = {key: getattr(one, field[0]) for key, field in _NUMBERS.items()}
        row |= {key: getattr(one, field) for key, field in _COUNTS.items()}
        row |= {
            "OBJECT_NAME": one.name,
            "OBJECT_ID": one.cospar,
            "EPOCH": one.epoch.text(6).removesuffix("Z"),
            "EPHEMERIS_TYPE": 0,
            "CLASSIFICATION_TYPE": one.classification,
            "NORAD_CAT_ID": one.norad,
        }
        writer.writerow([row[column] for column in _COLUMNS])
    return out.getvalue()


def mean_altitude(elements: ElementSet) -> float:
    """Semi-major axis (m) from the Kozai mean motion, minus the equatorial radius.

    Source: Kepler's third law with the GM and radius of WGS 84.
    """
    n = elements.mean_motion_rev_day * 2.0 * math.pi / DAY
    return (EARTH_GM / n**2) ** (1 / 3) - EARTH_RADIUS


def _load(source: Path | str) -> tuple[str, str]:
    """Where the text comes from, in words, and the text."""
    if isinstance(source, str) and ("\n" in source or not source.strip()):
        return "line", source
    path = Path(source)
    try:
        return path.name, path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(path.name, f"byte {error.start} is not text", "UTF-8 text")
    except OSError as error:
        problem = Problem(str(path), error.strerror or "cannot be read", "a readable file")
    except ValueError as error:  # a null byte in the name
        problem = Problem(repr(str(path)), str(error), "a path")
    raise CatalogError([problem])


def _parse(place: str, text: str, problems: list[Problem]) -> list[tuple[str, ElementSet]]:
    text = text.removeprefix("\ufeff")
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("<"):
        refused = "XML"
    elif re.match(r"(CCSDS_OMM_VERS|COMMENT|CREATION_DATE)\b", first):
        refused = "KVN"
    else:
        refused = ""
    if refused:
        hint = "download the same sets as OMM CSV (FORMAT=csv) or JSON (FORMAT=json)"
        problems.append(
            Problem(place, f"OMM in {refused} is not read", "OMM CSV, OMM JSON, TLE", hint)
        )
        return []
    if first.startswith(("[", "{")):
        return _parse_json(place, text, problems)
    if "," in first and not is_tle(lines):
        return _parse_csv(place, text, problems)
    return _parse_tle(place, lines, problems)


def _line_name(place: str, number: int) -> str:
    """`file.csv:7`, or `line 7` of a text."""
    return f"line {number}" if place == "line" else f"{place}:{number}"


def _parse_csv(place: str, text: str, problems: list[Problem]) -> list[tuple[str, ElementSet]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    found: list[tuple[str, ElementSet]] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            where = _line_name(place, reader.line_num)
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip().upper() for cell in cells]
                missing = [key for key in _REQUIRED if key not in header]
                twice = sorted({key for key in header if header.count(key) > 1})
                problems += [
                    Problem(where, f"column {key} is missing", ",".join(_REQUIRED))
                    for key in missing
                ]
                problems += [Problem(where, f"column {key} appears twice") for key in twice]
                if missing or twice:
                    return []
            elif len(cells) != len(header):
                problems.append(
                    Problem(where, f"{len(cells)} values", f"{len(header)}, as in the first line")
                )
            else:
                one = _from_omm(where, dict(zip(header, cells, strict=True)), problems)
                if one is not None:
                    found.append((where, one))
    except csv.Error as error:
        problems.append(Problem(_line_name(place, reader.line_num), str(error), "CSV"))
    return found


def _parse_json(place: str, text: str, problems: list[Problem]) -> list[tuple[str, ElementSet]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(Problem(_line_name(place, error.lineno), error.msg, "JSON"))
        return []
    except (RecursionError, ValueError):
        problems.append(Problem(place, "not an OMM in JSON", "a list of objects"))
        return []
    found: list[tuple[str, ElementSet]] = []
    for number, item in enumerate(data if isinstance(data, list) else [data], start=1):
        where = f"object {number}" if place == "line" else f"{place}: object {number}"
        if not isinstance(item, dict):
            problems.append(Problem(where, f"a {type(item).__name__}", "an object with OMM keys"))
            continue
        upper = {str(key).upper(): value for key, value in item.items()}
        before = len(problems)
        problems += [Problem(where, f"{k} is missing") for k in _REQUIRED if upper.get(k) is None]
        if len(problems) == before:
            one = _from_omm(where, upper, problems)
            if one is not None:
                found.append((where, one))
    return found


def _parse_tle(
    place: str, lines: list[str], problems: list[Problem]
) -> list[tuple[str, ElementSet]]:
    """Lines 1 and 2 in pairs, each pair perhaps after a name; blank and `#` lines are skipped."""
    found: list[tuple[str, ElementSet]] = []
    name: tuple[str, str] | None = None  # where, text
    pending: tuple[str, str] | None = None  # where line 1 is, its text

    def alone(one: tuple[str, str] | None, what: str) -> None:
        if one is not None:
            problems.append(Problem(one[0], f"{what}: {one[1][:24]!r}", "line 1, then line 2"))

    for number, raw in enumerate(lines, start=1):
        line, where = raw.rstrip(), _line_name(place, number)
        if not line or line.startswith("#"):
            continue
        if line.startswith("2 ") and pending is not None:
            values, wrong = omm_from_tle(pending[1], line)
            places = {1: pending[0], 2: where}
            problems += [Problem(places[at], problem, allowed) for at, problem, allowed in wrong]
            if not wrong:
                values["OBJECT_NAME"] = name[1].removeprefix("0 ") if name else values["OBJECT_ID"]
                before = len(problems)
                one = _from_omm(where, values, problems)
                for k in range(before, len(problems)):
                    if problems[k].problem.split()[0] in ON_LINE_1:
                        problems[k] = replace(problems[k], where=places[1])
                if one is not None:
                    found.append((places[1], one))
            name = pending = None
            continue
        alone(pending, "a line 1 without its line 2")
        pending = None
        if line.startswith("1 "):
            pending = (where, line)
        elif line.startswith("2 "):
            alone((where, line), "a line 2 without its line 1")
            name = None
        else:
            alone(name, "a name without an element set")
            name = (where, line)
    alone(pending, "a line 1 without its line 2")
    alone(name, "neither CSV, JSON nor TLE" if not found else "a name without an element set")
    return found


def _from_omm(where: str, values: Mapping[str, Any], problems: list[Problem]) -> ElementSet | None:
    """One element set from OMM keywords; None after adding what is wrong to `problems`."""
    before = len(problems)
    fields: dict[str, Any] = {}
    for key, allowed in _FIXED.items():
        value = values.get(key)
        if value not in (None, "") and str(value).strip().upper() not in allowed:
            problems.append(Problem(where, f"{key} is {value!r}", " or ".join(allowed)))
    for key, (field, low, high) in _NUMBERS.items():
        value = values.get(key)
        if key in _OPTIONAL and value in (None, ""):
            continue
        number = _number(value)
        allowed = _ALLOWED.get(key, f"{low:g} to {high:g}")
        if number is None:
            problems.append(Problem(where, f"{key} is {value!r}, not a finite number", allowed))
        elif not low <= number <= high:
            problems.append(Problem(where, f"{key} is {value}", allowed))
        else:
            fields[field] = number
    for key, field in _COUNTS.items():
        value = values.get(key)
        if value in (None, ""):
            continue
        number = _number(value)
        if number is None or number != int(number) or not 0 <= number < 1e9:
            problems.append(Problem(where, f"{key} is {value!r}", "a whole number"))
        else:
            fields[field] = int(number)
    try:
        fields["norad"] = _catalogue_number(str(values["NORAD_CAT_ID"]))
    except ValueError as error:
        problems.append(Problem(where, f"NORAD_CAT_ID is {values['NORAD_CAT_ID']!r}", str(error)))
    try:
        fields["epoch"] = _epoch(str(values["EPOCH"]).strip())
    except ValueError as error:
        problems.append(
            Problem(
                where, f"EPOCH is {values['EPOCH']!r}: {error}", "UTC, such as 2025-10-03T13:22:35"
            )
        )
    if len(problems) > before:
        return None
    fields["cospar"] = str(values.get("OBJECT_ID") or "").strip()
    fields["classification"] = str(values.get("CLASSIFICATION_TYPE") or "U").strip() or "U"
    fields["name"] = str(values["OBJECT_NAME"]).strip() or f"NORAD {fields['norad']}"
    return ElementSet(**fields)


def _catalogue_number(text: str) -> int:
    """A catalogue number, up to nine digits or alpha-5 (`E8493` is 148493)."""
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if len(text) == 5 and text[0] in _ALPHA5 and re.fullmatch(r"\d{4}", text[1:], re.ASCII):
        return (10 + _ALPHA5.index(text[0])) * 10_000 + int(text[1:])
    raise ValueError("digits, or alpha-5 (a letter other than I and O, then four digits)")


def _epoch(text: str) -> Epoch:
    """ISO 8601 in UTC, with a calendar date or, as OMM allows, a day of the year."""
    match = _DAY_OF_YEAR.fullmatch(text)
    if match:
        year, day = int(match[1]), int(match[2])
        if not 1 <= day <= 365 + calendar.isleap(year):
            raise ValueError(f"{year} has no day {day}")
        epoch = Epoch.parse(f"{match[1]}-01-01{match[3]}").plus((day - 1) * 86_400.0)
    else:
        epoch = Epoch.parse(text)
    if not _FIRST_EPOCH <= epoch < _LAST_EPOCH:
        raise ValueError("outside 1957 to 2156")
    return epoch


def _number(value: Any) -> float | None:
    """A finite number from a JSON number or a text; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None

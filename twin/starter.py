"""A commented scenario to start from, for one's own fleet: what `twin new` writes. No JAX here."""

import json
import math
from importlib.resources import files
from pathlib import Path
from string import Template

from twin.catalog import ElementSet, read_elements
from twin.clock import Epoch
from twin.constants import HOUR
from twin.problems import InputError, Problem

PLANNED = """\
# A planned shell, at even distances (Walker's delta pattern). Other kinds:
#   kind = "sso"        sun-synchronous: satellites, planes, altitude_km, ltan_h
#   kind = "catalog"    published element sets: elements = "fleet.csv" (OMM CSV or JSON, or TLE)

[[shell]]
kind = "walker"
satellites = 24    # the one dial: planes follow, if not given
altitude_km = 550
inclination_deg = 53"""

CATALOG = """\
# $count read from a file. The run starts after the newest epoch, $newest, because
# positions drift from the truth by 1 to 3 km a day. A second [[shell]] adds planned satellites of
# kind = "walker" (satellites, altitude_km, inclination_deg) or "sso" (altitude_km, ltan_h).

[[shell]]
kind = "catalog"
elements = $path
# norad = [$norad]    # only these; default: all"""


def write(file: Path | str, elements: Path | str | None = None) -> str:
    """Write a scenario that is valid as it stands, and return its title.

    With `elements` (a path, or the bare name of shipped ones) the fleet is that of the file, and
    the run starts at the first full hour after its newest epoch. A file that exists is left alone.
    """
    file = Path(file)
    if file.suffix != ".toml":
        hint = f"twin new {file.with_suffix('.toml')}" if file.name else ""
        raise InputError([Problem(str(file), "does not end in .toml", "NAME.toml", hint)])
    title, start = "My constellation", Epoch.parse("2035-03-20T12:00:00Z")
    shell = PLANNED
    if elements is not None:
        name, sets = _read(elements, file)
        newest = max(one.epoch for one in sets)
        day = Epoch.of(newest.whole)
        start = day.plus(HOUR * (math.floor(newest.seconds_since(day) / HOUR) + 1))
        title = f"{file.stem}: {_count(sets)}"
        shell = Template(CATALOG).substitute(
            count=_count(sets), newest=newest, path=name, norad=sets[0].norad
        )
    template = (files("assets") / "templates" / "scenario.toml").read_text(encoding="utf-8")
    quoted = json.dumps(title, ensure_ascii=False)[1:-1]
    text = Template(template).substitute(title=quoted, start=start, shell=shell, file=file.name)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError([Problem(str(file), "already exists", "a new file")]) from None
    except OSError as error:
        raise InputError([Problem(str(file), f"cannot be written: {error.strerror}")]) from None
    return title


def _read(elements: Path | str, file: Path) -> tuple[str, list[ElementSet]]:
    """How the scenario file names the element sets (in TOML), and the sets."""
    shipped = Path(str(files("assets"))) / "elements" / f"{elements}.csv"
    if shipped.is_file():
        return json.dumps(str(elements)), read_elements(shipped)
    sets = read_elements(Path(elements))
    path, folder = Path(elements).resolve(), file.parent.resolve()
    inside = path.is_relative_to(folder)
    name = path.relative_to(folder).as_posix() if inside else str(path)
    return json.dumps(name, ensure_ascii=False), sets


def _count(sets: list[ElementSet]) -> str:
    return f"{len(sets):,} element set{'s' if len(sets) > 1 else ''}"

"""Scenario files in: find, parse, override, validate; every problem at once, one line each."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from twin.numbers import Number
from twin.problems import InputError, Problem, nearest
from twin.scenario import Scenario

SCENARIOS = Path(str(files("assets"))) / "scenarios"
_TAGS = {
    "inference", "training", "catalog", "walker", "sso",
    "box", "plate", "cylinder", "mesh", "conduction", "radiation", "flow",
}  # fmt: skip
_RENAMED = {  # in 0.2
    "array_losses": "array_packing x array_wiring x array_tracker",
    "battery_charge_efficiency": "battery_resistance_share and battery_coulombic_efficiency",
    "battery_discharge_efficiency": "battery_resistance_share and battery_coulombic_efficiency",
    "housekeeping_w": "survival_w + comms_w + isl_w",
    "array_heat_capacity_j_k_m2": "cell_heat_capacity_j_k_m2 + array_back_heat_capacity_j_k_m2",
    "cold_plate_radiator_w_k": "cold_plate_loop_w_k and loop_radiator_w_k, in a row",
    "box_absorptance": "blanket_absorptance, of the insulation's outer layer",
    "box_emittance": "blanket_emittance, of the insulation's outer layer; and bus_blanket_w_k",
}
_NUMBER = "a number, or { value, range, origin, source }"
_FORMS = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list; of tables, each begins with double brackets, as [[shell]]",
    "too_short": "at least one item",
}


@dataclass(frozen=True)
class Loaded:
    """A scenario, the text it came from and the overrides that were applied."""

    scenario: Scenario
    name: str
    path: Path
    text: str
    overrides: tuple[str, ...] = ()


def shipped() -> dict[str, Path]:
    """The scenarios that come with the twin, by bare name."""
    return {path.stem: path for path in sorted(SCENARIOS.glob("*.toml"))}


def load(name: str, overrides: Iterable[str] = ()) -> Loaded:
    """Read a scenario by bare name or path, with ``dotted.key=value`` overrides applied."""
    path = shipped().get(name, Path(name))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(shipped())
        hint = nearest(name, shipped()) or "twin list shows what there is"
        raise InputError(
            [Problem(name, "no such scenario", f"a path, or one of: {known}", hint)]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(name, f"cannot be read: {error}")]) from None
    overrides = tuple(overrides)
    scenario = parse(text, str(path), overrides)
    _meshes_are_there(scenario, path)
    return Loaded(scenario, path.stem, path, text, overrides)


def _meshes_are_there(scenario: Scenario, path: Path) -> None:
    missing = [
        Problem(
            f"{path}: class.{name}.mesh",
            f"no such file: {design.mesh!r}",
            hint="a path from the scenario's folder",
        )
        for name, design in scenario.class_.items()
        if design.mesh is not None and not (path.parent / design.mesh).is_file()
    ]
    if missing:
        raise InputError(missing)


def parse(text: str, place: str = "scenario", overrides: Iterable[str] = ()) -> Scenario:
    """Validate the text of a scenario file."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            [Problem(place, f"not valid TOML: {error}", hint="a value may lack its quotes")]
        ) from None
    for override in overrides:
        _override(given, override)
    try:
        return Scenario.model_validate(given)
    except ValidationError as error:
        raise InputError(_problems(error, given, place)) from None


def _override(given: dict[str, Any], text: str) -> None:
    """Apply one ``--set class.inference.battery_wh=800``; list items are ``shell.0.satellites``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(
            [Problem(f"--set {text}", "no key and value", "class.inference.battery_wh=800")]
        )
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    *path, last = key.strip().split(".")
    here: Any = given
    for part in path:
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                allowed = f"0 to {len(here) - 1}"
                raise InputError([Problem(f"--set {text}", f"no item {part!r}", allowed)])
            here = here[int(part)]
        elif isinstance(here, dict):
            here = here.setdefault(part, {})
        else:
            raise InputError([Problem(f"--set {text}", f"{part!r} lies below a plain value")])
    if isinstance(here, dict):
        here[last] = parsed
    elif isinstance(here, list) and last.isdigit() and int(last) < len(here):
        here[int(last)] = parsed
    else:
        raise InputError([Problem(f"--set {text}", f"{last!r} cannot be set here")])


def _problems(error: ValidationError, given: Any, place: str) -> list[Problem]:
    found = []
    items = error.errors()
    spoilt = {item["loc"][0] for item in items if len(item["loc"]) > 1}
    for item in items:
        if item["type"] == "too_short" and item["loc"][0] in spoilt:
            continue  # only because bad items, reported by themselves, were left out
        loc = _written(given, item["loc"])
        where = f"{place}: {dotted(loc)}" if loc else place
        kind, message = item["type"], item["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            keys = _keys_at(item["loc"][:-1])
            hint = nearest(str(loc[-1]), keys) or "twin check --explain lists every key"
            if loc[-1] in _RENAMED:
                hint = f"it is now {_RENAMED[loc[-1]]}"
            found.append(Problem(where, "unknown key", hint=hint))
        elif kind == "missing":
            top = "twin new writes a scenario to start from"
            hint = top if len(loc) == 1 else "twin check --explain lists every key"
            found.append(Problem(where, "is required", hint=hint))
        elif kind == "value_error":
            found += [_split(where, bool(loc), line) for line in message.splitlines()]
        elif kind == "union_tag_invalid":
            context = item.get("ctx", {})
            tag, tags = context["tag"], context["expected_tags"].replace("'", "")
            hint = nearest(tag, tags.split(", "))
            found.append(Problem(f"{where}.kind", f"got {tag!r}", tags, hint))
        elif kind == "literal_error":
            expected = item.get("ctx", {}).get("expected", "")
            words = re.findall(r"'(\w+)'", expected)
            got, allowed = item["input"], ", ".join(words) or expected
            hint = nearest(got, words) if isinstance(got, str) else ""
            found.append(Problem(where, f"got {got!r}", allowed, hint))
        elif kind in _FORMS:
            form = _NUMBER if item.get("ctx", {}).get("class_name") == "Number" else _FORMS[kind]
            got = item["input"]
            shown = "" if isinstance(got, dict | list) else f"got {got!r}, "
            found.append(Problem(where, f"{shown}needs {form}"))
        else:
            got = item.get("input")
            shown = "" if isinstance(got, dict | list) else f", got {got!r}"
            found.append(Problem(where, message[:1].lower() + message[1:] + shown))
    return found


def _split(where: str, inside: bool, message: str) -> Problem:
    """A validator's own words; they may begin with a key below its section."""
    if inside and (below := re.match(r"([a-z_]\w*(?:\.\w+|\[\d+\])*): ", message)):
        where, message = f"{where}.{below[1]}", message[below.end() :]
    problem, _, allowed = message.partition("; allowed: ")
    return Problem(where, problem, allowed)


def dotted(loc: Iterable[int | str]) -> str:
    """``shell[0].altitude_km`` from pydantic's location."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _written(given: Any, loc: tuple[int | str, ...]) -> list[int | str]:
    """A location as the user wrote it: without what pydantic adds for unions and bare numbers."""
    here: Any = given
    kept: list[int | str] = []
    for part in loc:
        items: Any = dict(enumerate(here)) if isinstance(here, list) else here
        if isinstance(items, dict) and part in items:
            below = items[part]
        elif part in _TAGS or (part == "value" and isinstance(here, int | float)):
            continue
        else:
            below = None
        kept.append(part)
        here = below
    return kept


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the section at a pydantic location."""
    models: list[type[BaseModel]] = [Scenario]
    named = False  # the next word is a name that the user chose
    for part in loc:
        if named or isinstance(part, int):
            named = False
            continue
        fields = [f for m in models for name, f in m.model_fields.items() if key(name, f) == part]
        inner = [m for field in fields for m in sections(field.annotation, numbers=True)]
        tagged = [m for m in models if "kind" in m.model_fields and tag(m) == part]
        named = any(get_origin(field.annotation) is dict for field in fields)
        models = inner or tagged or models
    return [key(name, field) for model in models for name, field in model.model_fields.items()]


def tag(model: type[BaseModel]) -> str:
    """The kind that marks a member of a union, if it has one."""
    return model.model_fields["kind"].default if "kind" in model.model_fields else ""


def key(name: str, field: FieldInfo) -> str:
    """The key as the file spells it."""
    return field.alias or name


def sections(annotation: Any, numbers: bool = False) -> Iterator[type[BaseModel]]:
    """The section models inside an annotation, however nested; a `Number` is one only if asked."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if numbers or annotation is not Number:
            yield annotation
        return
    if get_origin(annotation) in (Union, tuple, dict) or get_args(annotation):
        for inner in get_args(annotation):
            yield from sections(inner, numbers)


@dataclass(frozen=True)
class Key:
    """One key of the scenario file, for `twin check --explain` and `twin schema scenario`."""

    name: str
    unit: str
    default: str
    allowed: str
    about: str
    origin: str


_UNITS = {
    "_w_m2": "W/m²", "_w_k_m2": "W/K/m²", "_j_k_m2": "J/K/m²", "_j_k_wh": "J/K/Wh",
    "_j_k": "J/K", "_w_k": "W/K", "_per_year": "1/year", "_per_day": "1/day", "_per_k": "1/K",
    "_per_h": "1/h", "_years": "year", "_deg": "deg", "_km": "km", "_m2": "m²", "_wh": "Wh",
    "_s": "s", "_h": "h", "_w": "W", "_k": "K", "_m": "m",
}  # fmt: skip


def unit(name: str) -> str:
    """The unit that a key's name ends in."""
    return next((unit for suffix, unit in _UNITS.items() if f"_{name}".endswith(suffix)), "")


def explain(model: type[BaseModel] = Scenario, prefix: str = "") -> Iterator[Key]:
    """Every key of the scenario file, in the file's order."""
    for name, field in model.model_fields.items():
        inner = list(sections(field.annotation))
        label = f"{prefix}{key(name, field)}"
        if inner:
            middle = {dict: ".NAME", tuple: "[]"}.get(get_origin(field.annotation), "")
            for section in inner:
                mark = f"({tag(section)})" if len(inner) > 1 else ""
                yield from explain(section, f"{label}{middle}{mark}.")
            continue
        default = (
            field.get_default(call_default_factory=True) if not field.is_required() else "required"
        )
        origin = ""
        if isinstance(default, Number):
            origin = ", ".join(x for x in (default.origin, default.source) if x)
            span = f" [{default.range[0]:g} … {default.range[1]:g}]" if default.range else ""
            default = f"{default.value:g}{span}"
        yield Key(label, unit(name), str(default), _allowed(field), field.description or "", origin)


def _allowed(field: FieldInfo) -> str:
    parts = []
    for rule in field.metadata:
        check = getattr(rule, "func", None)
        if check is not None and check.__doc__ and check.__name__ == "check":
            parts.append(check.__doc__)
        for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            if getattr(rule, attribute, None) is not None:
                parts.append(f"{sign} {getattr(rule, attribute):g}")
    words = re.findall(r"Literal\[(.*?)\]", str(field.annotation))
    return ", ".join(parts + words)

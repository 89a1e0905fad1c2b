"""Every key and variable that a user may meet, as rows to read and as a schema to validate with."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from twin.problems import InputError, Problem, nearest

Rows = list[dict[str, str]]
Answer = tuple[Rows, dict[str, Any]]


def schema_of(what: str) -> Answer:
    """The rows and the schema of `scenario`, `run`, `profile` or `report`.

    Only `run` imports JAX, because the variable table is made from the arrays' own declaration.
    """
    known: dict[str, Callable[[], Answer]] = {
        "scenario": _scenario, "run": _run, "profile": _profile, "report": _report,
    }  # fmt: skip
    if what not in known:
        allowed = ", ".join(known)
        raise InputError([Problem(what, "there is no such schema", allowed, nearest(what, known))])
    return known[what]()


def _scenario() -> Answer:
    from twin.load import explain
    from twin.scenario import Scenario

    return [asdict(key) for key in explain()], Scenario.model_json_schema()


def _profile() -> Answer:
    text = (files("assets") / "schemas" / "profile-1.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    return _rows(schema), schema


def _report() -> Answer:
    from twin.report_form import schema

    formal = schema()
    return _rows(formal), formal


# What every run holds besides its variables: dims, dtype, units, meaning.
_FIXED = {
    "time": (("time",), "float64", "s", "since the start, at the end of the record"),
    "sun_position": (("time", "xyz"), "float64", "m", "Sun, geometric, Earth-centred, TEME"),
    "earth_rotation": (("time",), "float64", "rad", "angle from TEME x to ITRF x"),
    "name": (("sat",), "string", "", "of the satellite"),
    "norad": (("sat",), "int32", "", "catalogue number; 0: planned"),
    "class": (("sat",), "string", "", "class of the scenario"),
    "battery_capacity": (("sat",), "float32", "J", "Battery capacity"),
    "node_name": (("node",), "string", "", "lump of heat that a temperature belongs to"),
}


def _run() -> Answer:
    from twin.constellation import STANDARD, Limit, table

    notes = {
        "position": "TEME",
        "velocity": "TEME",
        "temperature": ", ".join(STANDARD) + ", and nodes of the scenario's own",
        "shed": "0 nothing, 1 payload asleep, 2 laser terminals off too, 3 safe mode",
        "mode": "place in the run's attribute attitudes",
        "limit": ", ".join(f"{int(x)} {x.name.lower()}" for x in Limit),
        "alive": "0 once it has decayed",
    }
    variables: dict[str, Any] = {}
    for name, row in table().items():
        note = notes.get(name)
        variables[name] = {
            "dims": list(row["dims"]),
            "dtype": row["dtype"],
            "units": row["units"],
            "value": "mean of the record" if row["mean"] else "end of the record",
            "meaning": row["long_name"] + (f" ({note})" if note else ""),
        }
    for name, (dims, dtype, units, meaning) in _FIXED.items():
        value = "end of the record" if "time" in dims else "fixed"
        variables[name] = {
            "dims": list(dims), "dtype": dtype, "units": units, "value": value, "meaning": meaning,
        }  # fmt: skip
    rows = [
        {"variable": name} | row | {"dims": ", ".join(row["dims"])}
        for name, row in variables.items()
    ]
    return rows, {
        "title": "Variables of a run",
        "store": "run.zarr",
        "flag_meanings": {"limit": {x.name.lower(): int(x) for x in Limit}},
        "variables": variables,
    }


def _rows(schema: dict[str, Any]) -> Rows:
    """Every key of a JSON Schema with its type and meaning, nested keys by dots.

    A section that occurs in several places is listed once, at the end, under its own name.
    """
    uses = Counter(re.findall(r'"#/(?:\$defs|definitions)/(\w+)"', json.dumps(schema)))
    shared = [name for name, count in uses.items() if count > 1 and _keys(schema, name)]
    rows: Rows = []

    def walk(node: dict[str, Any], prefix: str) -> None:
        for name, raw in node.get("properties", {}).items():
            meaning = raw.get("description") or _resolved(schema, raw).get("description", "")
            needed = "yes" if name in node.get("required", ()) else "no"
            kind = _type(schema, raw, shared)
            rows.append({"key": prefix + name, "type": kind, "needed": needed, "meaning": meaning})
            for section, link in _sections(schema, raw, shared):
                walk(section, prefix + name + link)

    walk(schema, "")
    for name in shared:
        walk(schema["$defs"][name], f"{name}.")
    return rows


def _keys(schema: dict[str, Any], name: str) -> bool:
    return "properties" in schema["$defs"][name]


def _sections(
    schema: dict[str, Any], node: dict[str, Any], shared: list[str], link: str = "."
) -> Iterator[tuple[dict[str, Any], str]]:
    """The sections below a key that are listed in place, each with what joins their names."""
    if _name(node) in shared:
        return
    node = _resolved(schema, node)
    if "properties" in node:
        yield node, link
    for key, sign in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(node.get(key), dict):
            yield from _sections(schema, node[key], shared, f"{sign}{link}")
    for choice in node.get("anyOf", ()):
        yield from _sections(schema, choice, shared, link)


def _name(node: dict[str, Any]) -> str:
    return node.get("$ref", "").rsplit("/", 1)[-1]


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][_name(node)] if "$ref" in node else node


def _type(schema: dict[str, Any], node: dict[str, Any], shared: list[str]) -> str:
    if _name(node) in shared:
        return _name(node)
    node = _resolved(schema, node)
    kind = node.get("type", "any")
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    if "const" in node:
        return str(node["const"])
    if "anyOf" in node:
        return " | ".join(_type(schema, choice, shared) for choice in node["anyOf"])
    if isinstance(kind, list):
        return " | ".join(kind)
    if "prefixItems" in node:
        return f"[{', '.join(_type(schema, one, shared) for one in node['prefixItems'])}]"
    if kind == "array" and isinstance(node.get("items"), dict):
        return f"list of {_type(schema, node['items'], shared)}"
    if kind == "object" and isinstance(node.get("additionalProperties"), dict):
        return f"NAME = {_type(schema, node['additionalProperties'], shared)}"
    return "section" if kind == "object" else kind

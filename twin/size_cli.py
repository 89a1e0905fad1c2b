"""``twin size``: what each class must be built of so that its budgets close, and what more buys."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from twin.constants import CELSIUS

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
TITLES = {"array": "array", "battery": "battery", "radiator": "radiator, one side"}
LABELS = {"array": "array_m2", "battery": "battery_wh", "radiator": "radiator_m2"}
STATES = {
    "closes": "closes", "least": "battery_least", "chip": "chip_hottest_k",
    "cell": "battery_hottest_k", "coldest": "battery_coldest_k", "heater": "heaters_w",
    "nodes": "nodes_k",
}  # fmt: skip
UNITS = {"array": "m²", "battery": "Wh", "radiator": "m²"}
STEPS = {  # by how much a person would change a number, and how it is said
    "array_m2": (0.1, "m² of array"),
    "battery_wh": (100.0, "Wh of battery"),
    "radiator_m2": (0.1, "m² of radiator"),
    "radiator_emittance": (0.01, "of radiator emittance"),
    "ltan_h": (0.1, "h of local time"),
    "altitude_km": (10.0, "km of altitude"),
}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("size")(size)


def size(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A bare name (see twin list) or a path.")
    ],
    class_: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Only this class.")
    ] = None,
    season: Annotated[
        str, typer.Option(help="worst: the hardest days of a year; asis: the scenario's own.")
    ] = "worst",
    eol: Annotated[
        bool, typer.Option("--eol", help="At the end of life: old cells and old coatings.")
    ] = False,
    life: Annotated[
        float | None,
        typer.Option("--life", metavar="YEARS", help="The same, after so many years (--eol: 5)."),
    ] = None,
    slopes: Annotated[
        bool, typer.Option(help="Also tell what a little more of each would do.")
    ] = True,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As for twin run."),
    ] = None,
    json_: Json = False,
) -> None:
    """Array, battery and radiator that close the budgets, and what a little more would do."""
    from twin.load import load

    loaded = load(scenario, setting or [])
    from rich.console import Console

    from twin import devices

    devices.prepare()
    from twin import sizing
    from twin.fleet import fleet

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    ships = fleet(loaded.scenario, (loaded.path.parent,))
    with telling(loaded.scenario.title, errors) as say:
        answer = sizing.size(
            loaded.scenario, ships, only=class_, season=season,
            life=sizing.LIFE if eol and life is None else life, slopes=slopes, say=say,
        )  # fmt: skip
    if json_:
        typer.echo(json.dumps(as_json(answer, loaded.scenario), ensure_ascii=False, indent=1))
        return
    for line in page(answer, loaded.scenario):
        typer.echo(line)


@contextmanager
def telling(title: str, errors: Any) -> Iterator[Callable[[str], None]]:
    """Say what is being done and for how long, on standard error; in a log file, a line each."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def say(what: str) -> None:
            bar.update(task, description=f"{title}: {what}")
            if not errors.is_terminal:
                errors.print(what)

        yield say


def as_json(answer: Any, scenario: Any) -> dict[str, Any]:
    """All of it, in plain types: SI, dates as ISO 8601, sizes with their unit in the name."""
    found = asdict(answer)
    for one in found["classes"]:
        one["battery_coldest_new_k"] = one.pop("new")
        one["throttle_k"] = one.pop("throttle")
        for key in ("now", "then"):
            one[key] = one[key] and {STATES[what]: x for what, x in one[key].items()}
        for key in ("present", "needed"):
            one[key] = {LABELS[part]: size for part, size in one[key].items()}
        one["decided"] = {
            budget: {"date": date.isoformat(), "shell": shell}
            for budget, (date, shell) in one["decided"].items()
        }
    found |= {"dates": [date.isoformat() for date in answer.dates], "effects": None}
    found["effects_date"] = answer.effects_date.isoformat()
    effects = answer.effects
    if effects is not None:
        apart = effects.apart()
        found["effects"] = [
            {
                "number": name, "value": float(effects.at[p]), "class": label, "headline": headline,
                "slope": float(effects.slopes.by[h, p, g]),
                "secant": float(effects.secants[h, p, g]),
                "differ": bool(apart[h, p, g]),
            }
            for h, headline in enumerate(_headlines())
            for p, name in enumerate(effects.slopes.names)
            for g, label in _felt(name, scenario)
        ]  # fmt: skip
        labels = list(scenario.class_)
        found["events"] = dict(zip(labels, effects.slopes.events, strict=False))
        found["notes"] = list(effects.notes)
    return _finite(found)


def _finite(here: Any) -> Any:
    """JSON knows no NaN: null."""
    if isinstance(here, dict):
        return {key: _finite(item) for key, item in here.items()}
    if isinstance(here, list | tuple):
        return [_finite(item) for item in here]
    return None if isinstance(here, float) and not math.isfinite(here) else here


def _headlines() -> tuple[str, ...]:
    from twin.gradients import HEADLINES

    return HEADLINES


def page(answer: Any, scenario: Any) -> list[str]:
    """The answer in lines."""
    dates = ", ".join(map(_date, answer.dates))
    lines = [f"{scenario.title}", f"  days that were tried: {dates}", ""]
    for one in answer.classes:
        said = "closes as it is" if one.now.closes else "does not close as it is"
        lines.append(f"class {one.name}: {said}")
        for part, have in one.present.items():
            need, title = one.needed[part], f"  {TITLES[part]:20} {_size(have):>9} {UNITS[part]:2}"
            if need is None:
                lines.append(f"{title}  no size that was tried closes all budgets")
                continue
            lines.append(
                f"{title}  needed {_size(need):>9} {UNITS[part]:2}"
                f"  margin {100 * (have / need - 1):+.0f} %"
            )
        lines += [f"  as it is: {words}" for words in _state(one, one.now, one.decided)]
        if one.then is not None:
            lines += [f"  as needed: {words}" for words in _state(one, one.then, {})]
        lines += _cold(one, scenario)
        lines += [f"  {note}" for note in one.notes]
    if answer.effects is not None:
        lines += ["", f"a little more, on {_date(answer.effects_date)}"]
        lines += _effects(answer.effects, scenario)
    return lines


def _size(size: float) -> str:
    return f"{size:,.0f}" if size >= 1000 else f"{size:.4g}"


def _date(date: Any) -> str:
    return f"{date.day} {date:%B %Y}"


def _state(one: Any, state: Any, decided: dict[str, Any]) -> list[str]:
    """What a class does with some sizes; where it is decided, on which day and by which shell."""

    def where(budget: str) -> str:
        if budget not in decided:
            return ""
        date, shell = decided[budget]
        return f" ({_date(date)}, shell {shell})"

    return [
        f"least charge {100 * state.least:.1f} %{where('energy')}, chip {_celsius(state.chip)} of"
        f" {one.throttle - CELSIUS:.0f}, battery {state.coldest - CELSIUS:.1f} to"
        f" {_celsius(state.cell)} of 0 to 45{where('heat')}"
    ]


def _cold(one: Any, scenario: Any) -> list[str]:
    """What grows too cold, what the heaters draw, and nodes of the class's own."""
    lines = []
    date, shell = one.decided["cold"]
    for words, state in (("as it is", one.now), ("as needed", one.then)):
        if state is None:
            continue
        if state.coldest < CELSIUS:
            lines.append(
                f"  cold, {words}: the battery falls to {_celsius(state.coldest)}"
                f" ({_date(date)}, shell {shell}); below 0 °C it is not charged: a larger"
                " battery_heater_w, or less radiator"
            )
        if state.heater > 0:
            lines.append(
                f"  cold, {words}: heaters draw {state.heater:.3g} W in the mean,"
                f" {24 * state.heater:.3g} Wh a day"
            )
        for node, (low, high) in state.nodes.items():
            what, here = scenario.class_[one.name].node[node], f"{words}: node {node}"
            least, most = what.limit_low_k, what.limit_high_k
            if least is not None and low < least.value:
                ends = _celsius(low), _celsius(least.value)
                lines.append(f"  cold, {here} cools to {ends[0]}, below its {ends[1]}")
            if most is not None and high > most.value:
                ends = _celsius(high), _celsius(most.value)
                lines.append(f"  hot, {here} reaches {ends[0]}, above its {ends[1]}")
    if one.new < CELSIUS <= one.now.coldest:
        lines.append(
            f"  cold, with new coatings: the battery falls to {_celsius(one.new)}; below 0 °C it is"
            " not charged"
        )
    return lines


def _celsius(kelvin: float) -> str:
    return f"{kelvin - CELSIUS:.1f} °C"


def _effects(effects: Any, scenario: Any) -> list[str]:
    """One line a number: what a step of it does to its class; the secant where that differs."""
    slopes, apart, lines = effects.slopes, effects.apart(), []
    wide = max(len(_step(name)[1]) for name in slopes.names)
    first = max(len(label) for label in scenario.class_)
    for p, name in enumerate(slopes.names):
        step, noun = _step(name)
        for g, label in _felt(name, scenario):
            if g >= slopes.values.shape[1]:
                continue
            base = float(slopes.values[2, g])
            words = []
            for h, (head, factor, unit) in enumerate(HEADS):
                if h == 2 and not base > 0:
                    continue
                scale = step * (factor / base if h == 2 else factor)
                said = f"{head} {_signed(scale * slopes.by[h, p, g])}"
                if apart[h, p, g]:
                    said += f" [{_signed(scale * effects.secants[h, p, g])}]"
                words.append(f"{said} {unit}")
            lines.append(f"  {label:{first}} {step:+5g} {noun:{wide}}  {', '.join(words)}")
    if apart.any():
        lines.append(
            "  [in brackets: the same by runs with 2 % more and 2 % less, where that differs by"
            " more than a tenth: what is switched, and when, moves; slopes do not see that]"
        )
    for (_, label), events in zip(enumerate(scenario.class_), slopes.events, strict=False):
        happened = [f"{words} {events[key]:.3g}" for key, words in _EVENTS.items() if key in events]
        if happened:
            lines.append(f"  {label}: switched in these runs: {', '.join(happened)}")
    return lines + [f"  {note}" for note in effects.notes]


HEADS = ("least charge", 100.0, "points"), ("hottest chip", 1.0, "K"), ("tokens", 100.0, "%")
_EVENTS = {
    "shed_h": "hours with the payload asleep:",
    "heater_wh": "Wh of heaters:",
    "resets": "upsets:",
    "restart_h": "hours of starting again:",
}


def _signed(value: float) -> str:
    """Two decimals and a sign; nothing is nothing."""
    said = f"{value:+.2f}"
    return "0" if float(said) == 0 else said


def _step(name: str) -> tuple[float, str]:
    """By how much a person would change a number, and how it is said."""
    *_, owner, key = name.split(".")
    if key in STEPS:
        return STEPS[key]
    old = " at the end of life" if key.endswith("_eol") else ""
    return 0.01, f"of emittance of {owner}{old}"


def _felt(name: str, scenario: Any) -> list[tuple[int, str]]:
    """Which class a number belongs to: its place and name."""
    classes = list(scenario.class_)
    kind, which, *_ = name.split(".")
    own = which if kind == "class" else scenario.shell[int(which)].class_ or classes[0]
    return [(classes.index(own), own)]

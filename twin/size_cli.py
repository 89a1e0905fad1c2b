"""``twin size``: what each class must be built of so that its budgets close, and what more buys."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
TITLES = {"array": "array", "battery": "battery", "radiator": "radiator, one side"}
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
    with errors.status("sizing") as status:

        def say(what: str) -> None:
            status.update(f"{loaded.scenario.title}: {what}")
            if not errors.is_terminal:
                errors.print(what)

        answer = sizing.size(
            loaded.scenario, ships, only=class_, season=season,
            life=sizing.LIFE if eol and life is None else life, slopes=slopes, say=say,
        )  # fmt: skip
    if json_:
        typer.echo(json.dumps(as_json(answer), ensure_ascii=False, indent=1))
        return
    for line in page(answer, loaded.scenario):
        typer.echo(line)


def as_json(answer: Any) -> dict[str, Any]:
    """All of it, in plain types."""
    found = asdict(answer) | {"slopes": None}
    if answer.slopes is not None:
        found["slopes"] = [
            {"number": name, "class": group, "headline": headline, "slope": value}
            for headline, rows in zip(_headlines(), answer.slopes.by.tolist(), strict=True)
            for name, row in zip(answer.slopes.names, rows, strict=True)
            for group, value in enumerate(row)
        ]
        found["events"] = list(answer.slopes.events)
    return found


def _headlines() -> tuple[str, ...]:
    from twin.gradients import HEADLINES

    return HEADLINES


def page(answer: Any, scenario: Any) -> list[str]:
    """The answer in lines."""
    lines = [f"{scenario.title}", f"  days that were tried: {', '.join(answer.dates)}", ""]
    for one in answer.classes:
        said = "closes as it is" if one.closes_now else "does not close as it is"
        lines.append(f"class {one.name}: {said}")
        for part, title in TITLES.items():
            have, need = one.present[part], one.needed[part]
            if need is None:
                lines.append(f"  {title:20} {have:10,.4g} {UNITS[part]:3} no size that was tried")
                continue
            lines.append(
                f"  {title:20} {have:10,.4g} {UNITS[part]:3} needed {need:10,.4g}"
                f"  margin {100 * (have / need - 1):+.0f} %"
            )
        energy, heat = one.decided["energy"], one.decided["heat"]
        lines.append(
            f"  as it is: least charge {100 * one.least:.1f} % ({energy[0]}, shell {energy[1]}),"
            f" chip {one.chip - 273.15:.1f} °C of {one.throttle - 273.15:.0f},"
            f" battery {one.cell - 273.15:.1f} °C of 45 ({heat[0]}, shell {heat[1]})"
        )
        lines += [f"  {note}" for note in one.notes]
    if answer.slopes is not None:
        lines += ["", f"a little more, on {answer.slope_date}"]
        lines += _slopes(answer, scenario)
    return lines


def _slopes(answer: Any, scenario: Any) -> list[str]:
    """One line a number: what a step of it does to its class."""
    slopes, lines = answer.slopes, []
    classes = list(scenario.class_)
    for p, name in enumerate(slopes.names):
        step, noun = STEPS[name.rsplit(".", 1)[-1]]
        for g in _felt(name, classes, scenario):
            if g >= slopes.values.shape[1]:
                continue
            charge, chip, tokens = (float(slopes.by[h, p, g]) * step for h in range(3))
            base = float(slopes.values[2, g])
            work = f", tokens {100 * tokens / base:+.2f} %" if base > 0 else ""
            lines.append(
                f"  {classes[g]:12} {step:+g} {noun:24} least charge {100 * charge:+.2f} points,"
                f" hottest chip {chip:+.2f} K{work}"
            )
    for g, events in enumerate(slopes.events):
        happened = [f"{label} {events[key]:.3g}" for key, label in _EVENTS.items() if key in events]
        if happened:
            lines.append(
                f"  {classes[g]}: things were switched ({', '.join(happened)}), which slopes do not"
                " see; take them as trends"
            )
    return lines


_EVENTS = {
    "shed_h": "hours with the payload asleep:",
    "heater_wh": "Wh of heaters:",
    "resets": "upsets:",
    "restart_h": "hours of starting again:",
}


def _felt(name: str, classes: list[str], scenario: Any) -> list[int]:
    """Which classes a number belongs to."""
    kind, which, *_ = name.split(".")
    if kind == "class":
        return [classes.index(which)]
    return [classes.index(scenario.shell[int(which)].class_ or classes[0])]

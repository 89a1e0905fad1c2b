"""The one command, `twin`. Commands of `viz` and `serving` join by entry point.

Every command takes ``--json`` (one object on standard output, all else on standard error) and
exits with 0, 1 (the run failed), 2 (bad input, a line each) or 130 (Ctrl-C), without traceback.
"""

import json
import os
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from twin.problems import InputError, Problem

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A digital twin of orbital AI-compute constellations: orbits, power, heat and tokens.",
)
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by twin run.")]
ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A bare name (see twin list) or a path.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override, such as class.small.battery_wh=800."
    ),
]
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def out(text: str) -> None:
    """Print to standard output as it stands."""
    print(text)


def as_json(content: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(content, ensure_ascii=False, indent=1))


@app.callback(invoke_without_command=True)
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of all commands."""
    if show_version:
        out(f"constellation-twin {version('constellation-twin')}")
        raise typer.Exit


@app.command()
def run(
    scenario: ScenarioArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="RUN", help="Default: runs/<name>-<UTC>."),
    ] = None,
    setting: Setting = None,
    duration_h: Annotated[
        float | None, typer.Option(metavar="H", help="Length of the run.")
    ] = None,
    step_s: Annotated[float | None, typer.Option(metavar="S", help="Step of life.")] = None,
    record_s: Annotated[float | None, typer.Option(metavar="S", help="What is written.")] = None,
    record: Annotated[
        str | None, typer.Option(metavar="VAR,VAR", help="Only these variables (default: all).")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Root of all random draws.")] = None,
    json_: Json = False,
) -> None:
    """Simulate a scenario, write the run and print its report."""
    from twin.load import load

    overrides = list(setting or [])
    named = {"duration_h": duration_h, "step_s": step_s, "record_s": record_s, "seed": seed}
    overrides += [f"run.{key}={value}" for key, value in named.items() if value is not None]
    loaded = load(scenario, overrides)
    from twin.flight import fly
    from twin.progress import progress

    wanted = record.split(",") if record else None
    with progress(loaded.scenario.title, errors) as watch:
        where, report = fly(loaded, output, watch, wanted)
    finished(where.folder, report, json_)


@app.command()
def resume(run: RunArgument, json_: Json = False) -> None:
    """Go on from the last whole chunk of a run that was stopped."""
    from twin.flight import resume as go_on
    from twin.progress import progress

    with progress(str(run), errors) as watch:
        where, report = go_on(run, watch)
    finished(where.folder, report, json_)


@app.command()
def show(run: RunArgument, json_: Json = False) -> None:
    """Print the report of a run again."""
    finished(run, _report(run), json_)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN")],
    second: Annotated[Path, typer.Argument(metavar="RUN")],
    json_: Json = False,
) -> None:
    """Two runs side by side."""
    from rich.table import Table

    from twin.words import compared

    one, two = _report(first), _report(second)
    rows = compared(one, two)
    if json_:
        keys = ("quantity", "first", "second", "change")
        as_json({
            "first": str(first), "second": str(second),
            "rows": [dict(zip(keys, row, strict=True)) for row in rows],
            "reports": [one.model_dump(mode="json"), two.model_dump(mode="json")],
        })  # fmt: skip
        return
    table = Table(box=None, padding=(0, 2))
    for heading in ("", str(first), str(second), "change"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


@app.command()
def export(
    run: RunArgument,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Long table.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE")] = None,
    json_: Json = False,
) -> None:
    """Write a run's variables as a table: one row per record and satellite."""
    from twin.export import write_csv, write_parquet

    if (csv is None) == (parquet is None):
        raise InputError(
            [Problem("twin export", "needs one target", "--csv FILE or --parquet FILE")]
        )
    rows = write_csv(run, csv) if csv else write_parquet(run, parquet)  # type: ignore[arg-type]
    target = str(csv or parquet)
    as_json({"file": target, "rows": rows}) if json_ else out(f"{rows:,} rows in {target}")


@app.command("list")
def list_(json_: Json = False) -> None:
    """Scenarios and payload profiles at hand."""
    from twin.load import load, shipped
    from twin.profiles import list_profiles

    scenarios = {name: load(name).scenario.title for name in shipped()}
    if json_:
        as_json({"scenarios": scenarios, "profiles": list_profiles()})
        return
    out("scenarios")
    for name, title in scenarios.items():
        out(f"  {name:14} {title}")
    out("payload profiles")
    for name in list_profiles():
        out(f"  {name}")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The scenario to write (.toml).")],
    elements: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Element sets of your own fleet.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a commented scenario to start from."""
    from twin.starter import write

    title = write(file, elements)
    as_json({"file": str(file), "title": title}) if json_ else out(
        f"{file} written. Next: twin check {file}, then twin run {file}"
    )


@app.command()
def check(
    scenario: ScenarioArgument,
    setting: Setting = None,
    explain: Annotated[bool, typer.Option("--explain", help="Every key with its meaning.")] = False,
    json_: Json = False,
) -> None:
    """Validate a scenario without running it: its keys, and what its parts and meshes show."""
    from twin.checking import checked
    from twin.load import explain as keys
    from twin.load import load

    loaded = load(scenario, setting or [])
    if explain:
        rows = [k.__dict__ for k in keys()]
        as_json({"keys": rows}) if json_ else _keys(rows)
        return
    about, said = checked(loaded, errors)
    as_json(about) if json_ else out(said)


@app.command()
def schema(
    what: Annotated[str, typer.Argument(metavar="[scenario|run|profile|report]")] = "run",
    json_: Json = False,
) -> None:
    """Every key and variable: unit, default, meaning; with --json as JSON Schema."""
    from twin.tables import schema_of

    rows, formal = schema_of(what)
    as_json(formal) if json_ else _keys(rows)


@app.command()
def ephemeris(
    elements: Annotated[Path, typer.Argument(metavar="ELEMENTS", help="OMM CSV or JSON, or TLE.")],
    start: Annotated[str, typer.Option(metavar="T", help="ISO 8601 UTC.")],
    stop: Annotated[str, typer.Option(metavar="T", help="ISO 8601 UTC.")],
    step_s: Annotated[float, typer.Option(metavar="S", help="Between states.")] = 60.0,
    frame: Annotated[str, typer.Option(help="teme, gcrs or itrf.")] = "teme",
    propagator: Annotated[str, typer.Option(help="sgp4 or secular.")] = "sgp4",
    format_: Annotated[str, typer.Option("--format", help="json or csv.")] = "csv",
    json_: Json = False,
) -> None:
    """States of published element sets, in metres and metres per second."""
    from twin.queries import ephemeris as query

    format_ = "json" if json_ else format_
    text, warnings = query(elements, start, stop, step_s, frame, propagator, format_)
    for warning in warnings:
        errors.print(f"warning: {warning}")
    sys.stdout.write(text)


@app.command()
def passes(
    elements: Annotated[Path, typer.Argument(metavar="ELEMENTS", help="OMM CSV or JSON, or TLE.")],
    station: Annotated[
        list[str], typer.Option(metavar="LAT,LON[,ALT_M]", help="Geodetic; may be repeated.")
    ],
    start: Annotated[str, typer.Option(metavar="T", help="ISO 8601 UTC.")],
    stop: Annotated[str, typer.Option(metavar="T", help="ISO 8601 UTC.")],
    mask_deg: Annotated[float, typer.Option(metavar="D", help="Lowest elevation.")] = 5.0,
    json_: Json = False,
) -> None:
    """Rise, culmination and set of satellites over stations."""
    from twin.queries import passes as query

    found, warnings = query(elements, station, mask_deg, start, stop)
    for warning in warnings:
        errors.print(f"warning: {warning}")
    if json_:
        as_json({"passes": found})
        return
    out(f"{'satellite':14} {'station':22} {'rise':24} {'culmination':24} {'set':24}  max elevation")
    for p in found:
        when = " ".join(f"{p[k] or '-':24}" for k in ("rise", "culmination", "set"))
        out(f"{p['satellite']:14} {p['station']:22} {when} {p['max_elevation_deg']:6.2f}°")
    out(f"{len(found):,} pass{'' if len(found) == 1 else 'es'}")


@app.command()
def doctor(json_: Json = False) -> None:
    """What this machine has, and what to do about what is missing."""
    from twin.doctor import examine

    findings = examine()
    if json_:
        as_json({"findings": findings, "version": version("constellation-twin")})
        return
    for item in findings:
        out(f"  {'ok ' if item['ok'] else '-- '} {item['what']:10} {item['found']}")
        if item["hint"]:
            out(f"      {'':10} {item['hint']}")


def finished(folder: Path, report: Any, json_: bool) -> None:
    """Print a report."""
    from twin.words import page

    if json_:
        as_json({"run": str(folder)} | report.model_dump(mode="json"))
    else:
        out(page(report))
        out(f"\n  run: {folder}")


def _report(folder: Path) -> Any:
    from twin.report_form import parse
    from twin.results import Run

    return parse(Run(folder).report(), str(folder))


def _keys(rows: list[dict[str, str]]) -> None:
    from rich.table import Table

    wide = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in rows[0]:
        whole = heading in ("name", "key", "variable")
        table.add_column(heading, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*row.values())
    with wide.capture() as shown:
        wide.print(table)
    for line in shown.get().splitlines():  # a table fills its last column with blanks
        out(line.rstrip())


def plugins() -> None:
    """Let `viz` and `serving` add their commands; doctor names one that cannot be loaded."""
    for point in entry_points(group="twin.commands"):
        try:
            register = point.load()
        except ImportError:
            continue
        register(app)


def main() -> None:
    """The console script: errors become lines and exit codes."""
    debug = "--debug" in sys.argv
    json_ = "--json" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    plugins()
    command = typer.main.get_command(app)
    try:  # not command.main(), which returns exit codes instead of leaving with them
        with command.make_context("twin", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        _fail([Problem("interrupted", _saved(stop) or "nothing was begun")], json_, 130)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        found, code = _explained(error)
        _fail(found, json_, code)


def _saved(error: BaseException) -> str:
    """What a run that was cut short has on disk, as the flight noted it."""
    return "; ".join(getattr(error, "__notes__", ()))


def _explained(error: Exception) -> tuple[list[Any], int]:
    problems = getattr(error, "problems", None)
    if problems is not None:
        return list(problems), 2
    if hasattr(error, "format_message"):  # a wrong command line
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is out already
            sys.exit(2)
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else "twin --help"
        return [Problem("twin", error.format_message().rstrip("."), hint=f"see {hint}")], 2  # type: ignore[attr-defined]
    hint = str(getattr(error, "hint", ""))
    kind = type(error).__name__
    if kind in ("SimulationError", "DrawingProblem", "ServingProblem"):
        return [Problem("twin", str(getattr(error, "problem", error)), hint=hint)], 1
    if isinstance(error, OSError):
        place = str(error.filename or "twin")
        return [Problem(place, error.strerror or str(error), hint=_saved(error))], 1
    hint = "; ".join(filter(None, (_saved(error), "--debug shows where")))
    return [Problem("twin", f"{kind}: {error}", hint=hint)], 1


def _fail(problems: list[Any], json_: bool, code: int) -> None:
    if json_:
        fields = ("where", "problem", "allowed", "hint")
        as_json({"errors": [{f: str(getattr(p, f, "")) for f in fields} for p in problems]})
    else:
        for problem in problems:
            errors.print(f"error: {problem}", markup=False)
    sys.exit(code)

"""``twin calibrate``: numbers of a device from measured points, and predictions from those."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from serving.problem import UsageProblem

UNITS = {
    "throughput": (1.0, "output tokens/s"),
    "itl": (1e3, "ms between tokens, median"),
    "ttft": (1e3, "ms to the first token, 95th percentile"),
    "power": (1.0, "W, mean"),
}
FIT, PREDICT = "To fit", "To predict"
OF_A_PROFILE = ("lengths", "idle_w", "busy_w")
COLUMNS = ("model", "precision", "input_len", "output_len", "concurrency", "num_prompts",
           "kv_tokens", "cached_prompts")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("calibrate")(calibrate)


def option(panel: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    """An option, shown under a heading."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, **more)


def calibrate(
    context: typer.Context,
    measured: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="A campaign's folder, its summary.json, or a .toml of published points.",
        ),
    ] = None,
    output: Annotated[
        Path | None, option(FIT, "-o", "--output", metavar="JSON", help="Write the fit here.")
    ] = None,
    profile: Annotated[
        Path | None,
        option(FIT, "--profile", metavar="JSON", help="Write a payload profile, for twin run."),
    ] = None,
    lengths: Annotated[
        str | None,
        option(FIT, metavar="IN/OUT", help="Of the profile. Default: the longest sweep's."),
    ] = None,
    idle_w: Annotated[
        float | None,
        option(FIT, min=0.0, metavar="W", help="At rest, if you know: for the profile."),
    ] = None,
    busy_w: Annotated[
        float | None,
        option(FIT, min=0.0, metavar="W", help="At full load, where power was not measured."),
    ] = None,
    heldout: Annotated[
        Path | None,
        option(FIT, metavar="TOML", help="Points no fit may see. Default: the shipped list."),
    ] = None,
    cap_w: Annotated[
        float, option(FIT, metavar="W", help="The device's power limit, if it has one.")
    ] = float("inf"),
    predict: Annotated[
        bool, option(PREDICT, "--predict", help="Predict a load from a fit, with 90 % bands.")
    ] = False,
    device: Annotated[
        str, option(PREDICT, metavar="NAME", help="A shipped fit, or a file of -o.")
    ] = "h100-sxm",
    onto: Annotated[
        str | None,
        option(PREDICT, metavar="NAME", help="A device nobody measured, by its data sheet."),
    ] = None,
    model: Annotated[
        str | None, option(PREDICT, metavar="NAME", help="Default: the one measured.")
    ] = None,
    precision: Annotated[
        str | None, option(PREDICT, help="bf16, fp8, int4 ... of the weights.")
    ] = None,
    input_len: Annotated[int, option(PREDICT, min=1, metavar="N", help="Tokens asked.")] = 128,
    output_len: Annotated[int, option(PREDICT, min=1, metavar="N", help="Tokens said.")] = 1024,
    concurrency: Annotated[int, option(PREDICT, min=1, metavar="N", help="At a time.")] = 64,
    num_prompts: Annotated[
        int | None,
        option(PREDICT, min=1, metavar="N", help="Requests. Default: 5 rounds, at least 50."),
    ] = None,
    kv_tokens: Annotated[
        int | None,
        option(PREDICT, min=1, metavar="N", help="Cache. Default: what memory leaves."),
    ] = None,
    cached_prompts: Annotated[
        int, option(PREDICT, min=0, metavar="N", help="Prompts the prefix cache knows already.")
    ] = 0,
    points: Annotated[
        Path | None,
        option(PREDICT, metavar="CSV", help="Many loads: input_len, output_len, concurrency ..."),
    ] = None,
    extrapolate: Annotated[
        bool, option(PREDICT, "--extrapolate", help="Also where nothing was measured.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Fit a device to measured points, or predict a load from such a fit."""
    if predict or points:
        if measured:
            raise UsageProblem("FILE", f"{measured} beside --predict", "one of the two",
                               f"--device {measured} predicts from a fit")  # fmt: skip
        _refuse(context, "given with --predict or --points", "for a fit", panel=FIT)
        if points:
            _refuse(context, "given with --points", "a column of the table", among=COLUMNS)
        from serving.forecast import Asked, forecast, load_fit, read_points
        from serving.schedule import Load
        from serving.transfer import onto as moved_onto

        fit, moved = load_fit(device), None
        if onto:
            origin = fit.device
            fit, cost = moved_onto(fit, onto)
            moved = (origin, cost)
        rounds = num_prompts or max(50, 5 * concurrency)
        one = Asked(model or fit.model, precision or fit.precision,
                    Load(input_len, output_len, concurrency, rounds, cached_prompts),
                    kv_tokens)  # fmt: skip
        asked = list(read_points(points, fit)) if points else [one]
        found = [forecast(fit, each, extrapolate, moved) for each in asked]
        _tell_forecasts(fit, found, json_, table=points is not None)
        return
    _refuse(context, "given without --predict or --points", "for a prediction", panel=PREDICT)
    if not measured:
        raise UsageProblem("FILE", "missing", "measured points to fit, or --predict")
    if not profile:
        _refuse(context, "given without --profile", "beside --profile JSON", among=OF_A_PROFILE)
    for name, path in (("--output", output), ("--profile", profile)):
        if path and not path.parent.is_dir():
            raise UsageProblem(name, f"{path.parent} is no folder", "a file in one that exists")
    _fit(measured, output, heldout, cap_w, json_, profile, lengths, (idle_w, busy_w))


def _refuse(
    context: typer.Context,
    problem: str,
    allowed: str,
    panel: str | None = None,
    among: Sequence[str] = (),
) -> None:
    """Nothing is dropped in silence: an option that this call would not read is an error."""
    for each in context.command.params:
        name = each.name or ""
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and (name in among or panel and getattr(each, "rich_help_panel", "") == panel):
            raise UsageProblem(max(each.opts, key=len), problem, allowed)


def _fit(
    measured: str,
    output: Path | None,
    heldout: Path | None,
    cap_w: float,
    json_: bool,
    profile: Path | None,
    lengths: str | None,
    watts: tuple[float | None, float | None],
) -> None:
    from serving import fit as fits
    from serving.measured import read, split

    if heldout is not None and not heldout.is_file():
        raise UsageProblem("--heldout", f"{heldout} does not exist", "a TOML file")
    pair = _pair(lengths)
    whole = read(measured)
    if profile:
        from serving.profile import check
        from serving.profile import profile as made

        check(whole, *watts, pair)
    seen, apart = split(whole, heldout)
    from rich.console import Console

    with Console(stderr=True).status(f"fitting {len(whole.points)} points, half a minute or so"):
        found = fits.fit(seen, apart, cap_w)
        if apart.points:  # judged on what it did not see; then every point counts
            judged = {"held_out": found.held_out, "covered": found.covered}
            found = replace(fits.fit(whole, None, cap_w), **judged)
    if apart.points:
        line = [abs(fits.straight_line(seen, p.load) / p.seen["throughput"] - 1)
                for p in apart.points if p.seen["throughput"]]  # fmt: skip
    else:
        line = []
    if output:
        output.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    if profile:
        written = made(found, whole, *watts, pair)
        profile.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if json_:
        said = found.as_json() | {"straight_line_errors": line}
        typer.echo(json.dumps({k: v for k, v in said.items() if k != "draws"}))
        return
    typer.echo(f"{found.model} in {found.precision} on {found.device}, {found.server};"
               f" {found.points} points, {found.source}")  # fmt: skip
    n = found.numbers
    typer.echo(f"  a step: {n.t0 * 1e3:.3g} ms + {n.each * 1e6:.3g} us a sequence, bytes at"
               f" {n.bandwidth / 1e9:,.4g} GB/s, work at {n.rate / 1e9:,.4g} GFLOP/s")  # fmt: skip
    if n.p0 == n.p0:
        typer.echo(f"  power: {n.p0:.0f} W + {n.per_byte * 1e12:.0f} pJ/byte +"
                   f" {n.per_flop * 1e12:.2f} pJ/FLOP, at most {n.cap:g} W")  # fmt: skip
    else:
        typer.echo("  power: not measured")
    _errors("on the points fitted", found.errors)
    if found.held_out:
        _errors("held out, before they were fitted", found.held_out)
        typer.echo(f"    {found.covered:.0%} of those lie in their 90 % bands; a line through the"
                   f" logarithms misses their throughput by {sum(line) / len(line):.0%} in the"
                   f" mean, {max(line):.0%} at worst")  # fmt: skip
    for path in filter(None, (output, profile)):
        typer.echo(f"\n  {path}")


def _pair(lengths: str | None) -> tuple[int, int] | None:
    if lengths is None:
        return None
    one, _, two = lengths.partition("/")
    if not (one.isdigit() and two.isdigit()):
        raise UsageProblem("--lengths", repr(lengths), "two whole numbers, such as 128/1024")
    return int(one), int(two)


def _errors(title: str, errors: dict[str, tuple[float, float]]) -> None:
    said = ", ".join(f"{k} {mean:.1%} (worst {worst:.1%})" for k, (mean, worst) in errors.items())
    typer.echo(f"  errors {title}: {said}")


def _tell_forecasts(fit: Any, found: list[Any], json_: bool, table: bool) -> None:
    rows = []
    for each in found:
        load = each.asked.load
        row: dict[str, Any] = {
            "device": fit.device, "model": each.asked.model, "precision": each.asked.precision,
            "input_len": load.input_len, "output_len": load.output_len,
            "concurrency": load.concurrency, "num_prompts": load.num_prompts,
            "cached_prompts": load.known, "kv_tokens": each.kv_tokens,
            "extrapolated": list(each.outside),
        }  # fmt: skip
        rows.append(row | {name: asdict(band) for name, band in each.bands.items()})
    if json_:
        typer.echo(json.dumps({"band": 0.9, "predictions": rows}))
        return
    if table:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        keys = [k for k in rows[0] if not isinstance(rows[0][k], dict)]
        names = [k for k in rows[0] if isinstance(rows[0][k], dict)]
        writer.writerow(keys + [f"{n}{end}" for n in names for end in ("", "_low", "_high")])
        for row in rows:
            flat = ["; ".join(v) if isinstance(v := row[k], list) else v for k in keys]
            writer.writerow(flat + [f"{row[n][e]:.6g}" for n in names
                                    for e in ("value", "low", "high")])  # fmt: skip
        typer.echo(out.getvalue().rstrip())
        return
    row = rows[0]
    typer.echo(f"{row['model']} in {row['precision']} on {row['device']}:"
               f" {row['input_len']}/{row['output_len']} tokens, {row['concurrency']} at a time,"
               f" {row['kv_tokens']:,} KV tokens")  # fmt: skip
    for name, (unit, words) in UNITS.items():
        if name in row:
            low, high = row[name]["low"] * unit, row[name]["high"] * unit
            typer.echo(f"  {row[name]['value'] * unit:10.4g}  {words}  (90 %: {low:.4g} to"
                       f" {high:.4g})")  # fmt: skip
        else:
            typer.echo(f"  not measured  {words}")
    for what in row["extrapolated"]:
        typer.echo(f"  extrapolated: {what}")

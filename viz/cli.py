"""What the viewer adds to ``twin``: ``shot``. PyVista is loaded only when a picture is made."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from viz.problem import DrawingProblem, UsageProblem

__all__ = ["DrawingProblem", "UsageProblem", "register"]


def register(app: typer.Typer) -> None:
    """Add the viewer's commands to ``app``."""
    app.command("shot")(shot)


def shot(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run store: what twin run wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PNG", help="The picture.")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="ISO 8601 UTC, or +H hours after the start; the nearest record is shown. "
            "Default: the record that says most, with the fleet best split between sunlight and "
            "shadow and the values most different; for limit, with its usual shares.",
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="What the colours mean, such as battery_energy (default), temperature, "
            "temperature.NODE, throttle, payload_power, tokens_rate, limit or shed.",
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels of the picture.")
    ] = "1920x1080",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Draw one moment of a run: the Earth, day and night, and the fleet coloured by a variable."""
    from viz.scene import Run

    pixels = parse_size(size)
    if output.suffix.lower() != ".png":
        raise UsageProblem("-o", f"{output} does not end in .png", "a PNG file", "use NAME.png")
    opened = Run(run)
    # Everything that can be wrong with the question is found before the machine is asked to draw.
    opened.quantity(color)
    if at is not None:
        opened.index_at(at, color)

    from viz.export import still

    try:
        made = still(opened, output, at, color, pixels)
    except DrawingProblem as error:
        fail_to_draw(error, as_json)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(asdict(made)))
    else:
        typer.echo(f"{made.picture}: {made.variable} at {made.time}")


def parse_size(text: str) -> tuple[int, int]:
    """``1920x1080`` as two numbers."""
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text.strip().lower())
    if match is None:
        raise UsageProblem("--size", f"{text!r} is not a size", "WIDTHxHEIGHT, such as 1920x1080")
    from viz.export import checked_size

    return checked_size((int(match[1]), int(match[2])))


def fail_to_draw(error: DrawingProblem, as_json: bool) -> None:
    """One line: why, and what to install."""
    if as_json:
        said = {"where": "drawing", "problem": error.problem, "allowed": "", "hint": error.hint}
        typer.echo(json.dumps({"errors": [said]}))
    else:
        typer.echo(f"drawing: {error}", err=True)

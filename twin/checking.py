"""What `twin check` looks at beyond the keys: every class drawn, and traced as for a run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from twin.drawings import craft_of
from twin.load import Loaded
from twin.problems import InputError

PATIENCE = 2.0  # s, after which somebody who waits is told for what


def checked(loaded: Loaded, console: Console) -> tuple[dict[str, Any], str]:
    """What is said of a scenario that can be run, for a program and for a person.

    Warnings go to `console`. Raises InputError for what a run would refuse.
    """
    warnings = check_drawings(loaded, console)
    for warning in warnings:
        console.print(f"warning: {warning}", markup=False)
    s = loaded.scenario
    about = {"scenario": loaded.name, "title": s.title, "valid": True, "warnings": warnings}
    return about, (
        f"{loaded.path} is valid: {s.title}; {len(s.shell)} shell{'' if len(s.shell) == 1 else 's'}"
        f", class {', '.join(s.class_)}, {s.run.duration_h:g} h from"
        f" {s.run.start_utc:%Y-%m-%dT%H:%M:%SZ}"
    )


def check_drawings(loaded: Loaded, console: Console) -> list[str]:
    """Draw all classes, look at those that are built from parts, and return warnings.

    Raises InputError for what a run would refuse: a mesh with holes, parts that lie in each other.
    """
    scenario, folders = loaded.scenario, (loaded.path.parent,)
    problems = []
    for name, design in scenario.class_.items():
        try:
            craft_of(design, f"class.{name}", folders)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    if not any(design.part for design in scenario.class_.values()):
        return []  # the standard craft has no parts to lie in each other; JAX is not needed
    with _told(console, f"{loaded.name}: tracing what its parts see"):
        from twin.crafts import overlapping
        from twin.fleet import fleet

        return overlapping(scenario, fleet(scenario, folders))


@contextmanager
def _told(console: Console, words: str) -> Iterator[None]:
    """A line with a spinner on a terminal, once it takes long."""
    status = console.status(words)
    timer = threading.Timer(PATIENCE, status.start)
    if console.is_terminal:  # a log file wants none
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()

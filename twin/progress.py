"""The bar of `twin run`: records with their rate and the time left, then the report's stages."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)  # fmt: skip

from twin.flight import Watch


@contextmanager
def progress(title: str, console: Console) -> Iterator[Watch]:
    """A bar with rate and time left, on standard error; stages of the report follow it."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    silent = not console.is_terminal  # a log file wants no bar
    with Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task(f"{title}: compiling", total=None, rate="")

        def chunk(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f} records/s" if speed else ""
            bar.update(task, description=title, completed=done, total=total, rate=rate)

        def stage(index: int, name: str) -> None:
            bar.update(task, description=f"report: {name}", completed=index, total=4, rate="")

        yield Watch(chunk, stage)

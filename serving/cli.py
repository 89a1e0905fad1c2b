"""What serving adds to ``twin``: ``bench`` and ``fake``. Heavy modules are loaded when needed."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from serving import calibrate_cli
from serving.problem import ServingProblem, UsageProblem

__all__ = ["ServingProblem", "UsageProblem", "register"]

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
SERVER = "The server that twin bench starts"
LOAD = "The load"


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("bench")(bench)
    app.command("fake")(fake)
    calibrate_cli.register(app)


def option(panel: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    """An option, shown under a heading."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, **more)


def bench(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A name such as qwen3-0.6b or Qwen/Qwen3-8B, or a folder with config.json."
            " With --url: the one that it serves.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The campaign's folder; one that exists is gone on with. Default:"
            " runs/bench-<model>-<UTC>.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="Go on with what a campaign still lacks."),
    ] = None,
    concurrency: Annotated[
        str | None, option(LOAD, metavar="N,N", help="So many requests at a time.")
    ] = None,
    rate: Annotated[
        str | None, option(LOAD, metavar="R,R", help="So many arrivals per second, open loop.")
    ] = None,
    burstiness: Annotated[
        str,
        option(LOAD, metavar="B,B", help="Of arrivals: 1 Poisson, else gamma; below 1 bursts."),
    ] = "1",
    lengths: Annotated[
        str, option(LOAD, metavar="IN/OUT,IN/OUT", help="Tokens of a prompt and of an answer.")
    ] = "128/64",
    prompts: Annotated[
        int | None,
        option(
            LOAD,
            metavar="N",
            help="Requests a point. Default: four rounds, or a minute of arrivals.",
        ),
    ] = None,
    repeats: Annotated[int, option(LOAD, metavar="N", help="Runs of each point.")] = 3,
    warmup: Annotated[bool, option(LOAD, help="A few requests first, not counted.")] = True,
    seed: Annotated[int, option(LOAD, metavar="N", help="Root of all random prompts.")] = 0,
    client: Annotated[
        str, option(LOAD, help="vllm (vllm bench serve), twin (our own), or auto.")
    ] = "auto",
    point_timeout_s: Annotated[
        float, option(LOAD, metavar="S", help="Longest time of one run.")
    ] = 3600.0,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Measure a running server, such as http://host:8000."),
    ] = None,
    api_key: Annotated[
        str, typer.Option(metavar="KEY", envvar="TWIN_API_KEY", help="For --url.")
    ] = "",
    weights: Annotated[
        str, option(SERVER, help="real, or random: the exact shapes without the files.")
    ] = "real",
    tokenizer: Annotated[
        str, option(SERVER, metavar="DIR", help="A tokenizer's folder. Default: the model's.")
    ] = "",
    dtype: Annotated[str, option(SERVER, help="bfloat16, float16 or float32.")] = "bfloat16",
    max_model_len: Annotated[
        int | None, option(SERVER, metavar="N", help="Context. Default: the longest request.")
    ] = None,
    kv_gib: Annotated[
        int | None,
        option(
            SERVER, metavar="GIB", help="KV cache on a processor. Default: what the load needs."
        ),
    ] = None,
    kv_blocks: Annotated[
        int | None, option(SERVER, metavar="N", help="Exactly so many KV blocks.")
    ] = None,
    max_num_seqs: Annotated[
        int | None, option(SERVER, metavar="N", help="Largest batch. Default: vLLM's.")
    ] = None,
    eager: Annotated[
        bool | None,
        option(
            SERVER,
            "--eager/--compile",
            help="Without or with torch.compile. Default: eager on a processor.",
        ),
    ] = None,
    port: Annotated[int | None, option(SERVER, metavar="N", help="Default: a free one.")] = None,
    vllm_cmd: Annotated[
        str | None,
        option(
            SERVER,
            metavar="FILE",
            help="The vllm program. Default: TWIN_VLLM_CMD, then what make vllm made.",
        ),
    ] = None,
    vllm_arg: Annotated[
        list[str] | None,
        option(SERVER, metavar="--FLAG=VALUE", help="Passed to vllm serve; may be repeated."),
    ] = None,
    ready_timeout_s: Annotated[
        float, option(SERVER, metavar="S", help="Longest wait for the server.")
    ] = 900.0,
    json_: Json = False,
) -> None:
    """Measure what an inference server can do: throughput, latency, power, point by point."""  # noqa: D400
    from serving import campaign, load, run

    request = run.Request(
        model=model, url=(url or "").rstrip("/").removesuffix("/v1"), key=api_key, client=client,
        point_timeout_s=point_timeout_s, port=port, vllm_cmd=vllm_cmd,
        ready_timeout_s=ready_timeout_s,
    )  # fmt: skip
    if resume is not None:
        if output is not None:
            raise UsageProblem("--resume", "stands beside -o", "one of the two")
        plan = campaign.stored(resume)
        folder = resume
        request.recall(plan)
    else:
        if model is None and not request.url:
            raise UsageProblem("MODEL", "is missing", hint="such as: twin bench qwen3-0.6b"
                               " --weights random; see twin bench --help")  # fmt: skip
        model = model or load.only(request.url, api_key)
        rates = numbers("--rate", rate, float) if rate else ()
        if concurrency is None and not rates:
            concurrency = "1,2,4,8,16"
        plan = campaign.Plan(
            model=model, lengths=pairs(lengths), rates=rates,
            concurrencies=numbers("--concurrency", concurrency, int) if concurrency else (),
            burstinesses=numbers("--burstiness", burstiness, float), prompts=prompts,
            repeats=repeats, warmup=warmup, seed=seed, weights=weights,
            serving={
                "url": request.url, "tokenizer": tokenizer, "dtype": dtype,
                "max_model_len": max_model_len, "kv_gib": kv_gib, "kv_blocks": kv_blocks,
                "max_num_seqs": max_num_seqs, "eager": eager, "extra": list(vllm_arg or ()),
            },
        )  # fmt: skip
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        word = Path(model).name.lower() or "model"
        folder = output or Path("runs") / f"bench-{word}-{stamp}"
    with stops_are_interrupts(), progress(plan.model) as watch:
        try:
            summary = run.run(plan, folder, request, watch)
        except KeyboardInterrupt as stop:
            if (folder / "campaign.json").exists():
                stop.add_note(f"what was measured is in {folder}; go on with: twin bench --resume"
                              f" {folder}")  # fmt: skip
            raise
    finish(folder, summary, json_)


def finish(folder: Path, summary: dict[str, Any], json_: bool) -> None:
    """The table and what to know about it; exit code 1 where a point failed."""
    if json_:
        typer.echo(json.dumps({"folder": str(folder)} | summary, ensure_ascii=False))
    else:
        show(folder, summary)
    if summary["failed"] or summary["missing"]:
        if not json_:
            typer.echo(f"error: {summary['missing']} runs are missing or did not stand up to the"
                       f" checks; again with: twin bench --resume {folder}", err=True)  # fmt: skip
        raise typer.Exit(1)


def show(folder: Path, summary: dict[str, Any]) -> None:
    """A short table for a terminal."""
    from rich.console import Console
    from rich.table import Table

    from serving.report import measured, number

    said = summary["provenance"]
    typer.echo(f"{said['model']} on {said['device']}, {said['engine']} {said['engine_version']},"
               f" weights: {said['weights']}, load by {said['client']}")  # fmt: skip
    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = measured(summary["rows"])
    for key, heading, unit in columns:
        left = key in ("workload", "load")
        table.add_column(f"{heading}\n{unit}", justify="left" if left else "right", no_wrap=True)
    for row in summary["rows"]:
        table.add_row(*(number(row, key) for key, _, _ in columns))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 180
    console.print(table)
    for line in summary["failed"]:
        typer.echo(f"  failed: {line}", err=True)
    for line in summary["warnings"]:
        typer.echo(f"  note: {line}")
    typer.echo(f"\n  {folder / 'report.html'}\n  {folder / 'summary.csv'}")


def fake(
    port: Annotated[int, typer.Option(metavar="N", help="0: a free one, which is said.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    model: Annotated[str, typer.Option(help="The name of its model.")] = "fake",
    ttft_ms: Annotated[float, typer.Option(metavar="MS", help="To the first token.")] = 50.0,
    itl_ms: Annotated[float, typer.Option(metavar="MS", help="Between tokens.")] = 10.0,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Largest batch.")] = 256,
    kv_tokens: Annotated[int, typer.Option(metavar="N", help="Room in the cache.")] = 1_000_000,
    max_model_len: Annotated[int, typer.Option(metavar="N", help="Context.")] = 40_960,
    api_key: Annotated[str, typer.Option(metavar="KEY", help="Demanded, if given.")] = "",
    error_every: Annotated[int, typer.Option(metavar="N", help="Each n-th request: 500.")] = 0,
    cut_every: Annotated[int, typer.Option(metavar="N", help="Each n-th stream: cut.")] = 0,
    short_by: Annotated[int, typer.Option(metavar="N", help="Tokens left out.")] = 0,
    die_after: Annotated[int, typer.Option(metavar="N", help="Gone in the n-th request.")] = 0,
    metric_names: Annotated[str, typer.Option(help="current, old or unknown.")] = "current",
    json_: Json = False,
) -> None:
    """An OpenAI-compatible server with chosen delays and failures, for tests and laptops."""
    from serving import fake as faker
    from serving.server import assert_free, free_port

    behaviour = faker.Behaviour(
        model, ttft_ms / 1000.0, itl_ms / 1000.0, concurrency, kv_tokens, max_model_len, api_key,
        error_every, cut_every, short_by, die_after, metric_names,
    )  # fmt: skip
    chosen = port or free_port()
    assert_free(chosen)
    url = f"http://{host}:{chosen}"
    say = {"url": url, "model": model}
    typer.echo(json.dumps(say) if json_ else f"{model} is served at {url}; Ctrl-C ends it")
    faker.serve(behaviour, host, chosen)


def numbers(where: str, text: str, kind: type) -> tuple[Any, ...]:
    """``1,2,4`` as numbers, each once, in the order given."""
    found = []
    for word in text.split(","):
        try:
            found.append(kind(word))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise UsageProblem(where, f"{word.strip()!r} in {text!r}", f"{what}, such as 1,2,4"
                               if kind is int else f"{what}, such as 0.5,1") from None  # fmt: skip
    return tuple(dict.fromkeys(found))


def pairs(text: str) -> tuple[tuple[int, int], ...]:
    """``128/64,1024/128`` as input and output lengths."""
    found = []
    for word in text.split(","):
        parts = word.strip().split("/")
        if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
            raise UsageProblem("--lengths", f"{word.strip()!r}", "IN/OUT tokens, such as 128/64")
        found.append((int(parts[0]), int(parts[1])))
    return tuple(dict.fromkeys(found))


@contextmanager
def stops_are_interrupts() -> Iterator[None]:
    """SIGTERM and a closed terminal end as Ctrl-C does: with the server stopped."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def progress(title: str) -> Iterator[Any]:
    """A bar over the points, on standard error; in a log file a line each."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    from serving.campaign import Watch

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
               MofNCompleteColumn(), Elapsed())  # fmt: skip
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as bar:
        task, name = bar.add_task(title, total=None), [""]

        def say(what: str) -> None:
            if live:
                bar.update(task, description=what)
            else:
                console.print(what, markup=False)

        def point(done: int, total: int, what: str) -> None:
            name[0] = what
            bar.update(task, description=what, completed=done, total=total)
            if not live:
                console.print(f"{done}/{total} {what}", markup=False)

        def requests(done: int, total: int) -> None:
            bar.update(task, description=f"{name[0]} ({done} of {total})")

        yield Watch(say, point, requests)

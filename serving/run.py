"""One campaign from beginning to end: server, points, summary, report."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import campaign, load, meter, report, server, subject, summary
from serving.problem import ServingProblem, UsageProblem


@dataclass
class Request:
    """What a user may change between two visits to a campaign: nothing here moves a figure."""

    model: str | None = None
    url: str = ""
    key: str = ""
    client: str = "auto"
    point_timeout_s: float = 3600.0
    port: int | None = None
    vllm_cmd: str | None = None
    ready_timeout_s: float = server.READY_S

    def __post_init__(self):
        if self.client not in ("auto", "vllm", "twin"):
            raise UsageProblem("--client", repr(self.client), "auto, vllm, twin")
        for name in ("point_timeout_s", "ready_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageProblem(f"--{name.replace('_', '-')}", f"is {getattr(self, name):g}",
                                   "seconds above 0")  # fmt: skip

    def recall(self, plan: campaign.Plan) -> None:
        """Take model and address from a campaign on disk, and refuse others."""
        for name, stored in (("model", plan.model), ("url", plan.serving.get("url", ""))):
            given = getattr(self, name)
            if given and given != stored:
                raise UsageProblem("--resume", f"this campaign's {name} is {stored or 'none'},"
                                   f" not {given}")  # fmt: skip
            setattr(self, name, stored)


def run(
    plan: campaign.Plan, folder: Path, request: Request, watch: campaign.Watch
) -> dict[str, Any]:
    """Measure what is missing, then write summary and report; the summary."""
    campaign_exists = (folder / "campaign.json").exists()
    if campaign_exists:
        campaign.open_folder(folder, plan)
        if not campaign.missing(folder, plan) and (folder / "summary.json").exists():
            return _again(folder, plan)
    opened = _running if request.url else _started
    with opened(plan, folder, request, watch) as (live, what, vllm):
        meter.parse(
            meter.read(live.target.url, live.target.key)
        )  # names we do not know end it here
        counter, energy = meter.energy_counter() if _here(live) else (None, _ELSEWHERE)
        bench = campaign.Bench(live, folder, vllm, counter, request.point_timeout_s, watch)
        said = summary.provenance(live, what, bench.client, energy, bench.idle_power(),
                                  subject.gpu_memories()[0] if _here(live) else [])  # fmt: skip
        try:
            failed = bench.run(plan)
        except (ServingProblem, KeyboardInterrupt) as error:
            _write(folder, plan, said, what, [_line(error)])
            if isinstance(error, ServingProblem):
                error.hint += f"; what was measured stays: twin bench --resume {folder}"
            raise
    return _write(folder, plan, said, what, failed)


_ELSEWHERE = "not measured (the server is on another machine)"


def _line(error: BaseException) -> str:
    return error.problem if isinstance(error, ServingProblem) else "interrupted"


def _write(folder: Path, plan: campaign.Plan, said: dict[str, Any], what: Any, failed: list[str]):
    content = summary.write(folder, plan, said, what, failed)
    report.write(folder, content)
    return content


def _again(folder: Path, plan: campaign.Plan) -> dict[str, Any]:
    """A campaign that lacks nothing: its table is made anew from the raw files, nothing is run."""
    import json

    before = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    table = summary.rows(campaign.records(folder, plan))
    content = before | {"rows": table, "failed": [], "missing": 0}
    report.write(folder, content)
    return content


def _here(live: server.Server) -> bool:
    """Whether the server runs on this machine, so that our counters are its counters."""
    return (
        live.process is not None or "//127." in live.target.url or "//localhost" in live.target.url
    )


@contextlib.contextmanager
def _running(
    plan: campaign.Plan, folder: Path, request: Request, watch: campaign.Watch
) -> Iterator[tuple[server.Server, None, list[str]]]:
    """Somebody else's server, asked by the name it gives its model."""
    tokenizer = plan.serving.get("tokenizer", "")
    target = load.Target(request.url, plan.model, request.key, tokenizer)
    vllm: list[str] = []
    if request.client == "vllm" or (request.client == "auto" and tokenizer):
        with contextlib.suppress(UsageProblem) if request.client == "auto" else _as_it_is():
            vllm = [str(server.command(request.vllm_cmd))]
        if not tokenizer:
            raise UsageProblem("--client", "vllm bench serve needs a --tokenizer", "--tokenizer"
                               " DIR, or --client twin")  # fmt: skip
    with server.attached(target) as live:
        longest = max(plan.lengths, key=sum)
        if live.max_model_len and sum(longest) > live.max_model_len:
            raise UsageProblem(
                "--lengths", f"{longest[0]}/{longest[1]} is {sum(longest):,} tokens in all",
                f"input + output of at most {live.max_model_len:,} tokens, the server's context",
            )  # fmt: skip
        campaign.open_folder(folder, plan)
        yield live, None, vllm


@contextlib.contextmanager
def _started(
    plan: campaign.Plan, folder: Path, request: Request, watch: campaign.Watch
) -> Iterator[tuple[server.Server, subject.Subject, list[str]]]:
    """Our own server of the model, with all that can be known to fail refused beforehand."""
    s = plan.serving
    for name in ("kv_gib", "kv_blocks", "max_num_seqs", "max_model_len"):
        if s[name] is not None and s[name] < 1:
            raise UsageProblem(f"--{name.replace('_', '-')}", f"is {s[name]}", "1 or more")
    if request.port is not None:
        server.assert_free(request.port)
    model, tokens = subject.find(plan.model, plan.weights, s["tokenizer"], s["dtype"])
    context = subject.check_lengths(model, list(plan.lengths), s["max_model_len"])
    program = server.command(request.vllm_cmd)
    names, memories = subject.gpu_memories()
    watch.say(f"asking {program} for its version")
    version = server.version(program)
    cpu = not names or version.endswith("+cpu")
    space = None
    if cpu:
        most = max((*plan.concurrencies, s["max_num_seqs"] or 32 if plan.rates else 1))
        space = subject.check_cpu(model, context, most, s["kv_gib"])
    else:
        subject.check_gpu(model, context, memories, tuple(s["extra"]))
    campaign.open_folder(folder, plan)
    model = subject.files(model, tokens, folder)
    settings = server.Settings(
        model=model.path, max_model_len=context, weights=plan.weights,
        tokenizer=model.tokenizer, dtype=s["dtype"], kv_gib=space, kv_blocks=s["kv_blocks"],
        max_num_seqs=s["max_num_seqs"], eager=s["eager"] if s["eager"] is not None else cpu,
        cpu=cpu, port=request.port, extra=tuple(s["extra"]),
    )  # fmt: skip
    vllm = [str(program)]
    with server.running(
        vllm, settings, folder / "server.log", say=watch.say, ready_s=request.ready_timeout_s,
        version=version, vocabulary=model.vocabulary,
    ) as live:  # fmt: skip
        yield live, model, [] if request.client == "twin" else vllm


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    yield

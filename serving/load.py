"""One load point: offered, answered, and believed only after it has been checked.

The load is driven by ``vllm bench serve`` where vLLM is at hand, else by the small client in
``client.py``; both write the same keys, vLLM's own. Either can report success when the server
died, so ``faults`` looks at every length, and at the server's own token counters.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from serving import client, meter
from serving.problem import ServingProblem, UsageProblem

PERCENTILES = (50, 90, 95, 99)
SETTLE_S = 5.0  # counters are written by the engine's loop a little after the last token


@dataclass(frozen=True)
class Point:
    """What is asked of the server: so many prompts of one shape, so many at a time or a second."""

    input_len: int
    output_len: int
    prompts: int
    concurrency: int | None = None  # at most so many under way: closed loop
    rate: float | None = None  # arrivals a second, whatever is under way: open loop
    burstiness: float = 1.0  # 1 is Poisson; below, gamma with more bursts; above, with fewer
    seed: int = 0

    def __post_init__(self):
        for name in ("input_len", "output_len", "prompts"):
            if getattr(self, name) < 1:
                raise UsageProblem(name, f"is {getattr(self, name)}", "1 or more")
        if (self.concurrency is None) == (self.rate is None):
            raise UsageProblem("point", "needs either a concurrency or a rate")
        if self.concurrency is not None and self.concurrency < 1:
            raise UsageProblem("--concurrency", f"is {self.concurrency}", "1 or more")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UsageProblem("--rate", f"is {self.rate:g}", "a finite number above 0 (per s)")
        if not 0 < self.burstiness < float("inf"):
            raise UsageProblem("--burstiness", f"is {self.burstiness:g}", "above 0; 1 is Poisson")

    @property
    def name(self) -> str:
        """A word for files: in128_out64_c8 or in128_out64_r0.5 (b0.5 where not Poisson)."""
        load = f"c{self.concurrency}" if self.concurrency else f"r{self.rate:g}"
        burst = "" if self.burstiness == 1 or self.concurrency else f"_b{self.burstiness:g}"
        return f"in{self.input_len}_out{self.output_len}_{load}{burst}"


@dataclass(frozen=True)
class Target:
    """A server, as a client sees it."""

    url: str
    model: str  # the name by which it is asked
    key: str = ""
    tokenizer: str = ""  # a folder or hub name, for vLLM's client
    vocabulary: int = 1000  # ids below this are valid, for our client


Progress = Callable[[int, int], None]


def drive_vllm(
    vllm: Sequence[str],
    point: Point,
    target: Target,
    result: Path,
    timeout_s: float,
    begun: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Run ``vllm bench serve`` for one point; its JSON. ``begun`` is told the process id."""
    command = [
        *vllm, "bench", "serve", "--backend", "vllm", "--base-url", target.url,
        "--model", target.model, "--tokenizer", target.tokenizer, "--dataset-name", "random",
        "--random-input-len", str(point.input_len), "--random-output-len", str(point.output_len),
        "--num-prompts", str(point.prompts), "--seed", str(point.seed), "--ignore-eos",
        "--temperature", "0", "--disable-tqdm", "--ready-check-timeout-sec", "0",
        "--percentile-metrics", "ttft,tpot,itl,e2el",
        "--metric-percentiles", ",".join(map(str, PERCENTILES)),
        "--save-result", "--save-detailed",
        "--result-dir", str(result.parent), "--result-filename", result.name,
    ]  # fmt: skip
    if point.rate is None:
        command += ["--max-concurrency", str(point.concurrency)]
    else:
        command += ["--request-rate", f"{point.rate!r}", "--burstiness", f"{point.burstiness!r}"]
    result.unlink(missing_ok=True)
    environment = os.environ | {"VLLM_NO_USAGE_STATS": "1"}
    if target.key:
        environment["OPENAI_API_KEY"] = target.key  # not on the command line, where all can read it
    if Path(target.tokenizer).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    log = result.with_suffix(".client.log")
    with log.open("wb") as said:
        child = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=environment, process_group=0,
        )  # fmt: skip
        try:
            begun(child.pid)
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ServingProblem(
                f"{point.name}: no result within {timeout_s:.0f} s", "fewer prompts, or a longer"
                " --point-timeout-s", kind="client too slow", log=tail(log),
            ) from None  # fmt: skip
        finally:
            if child.poll() is None:
                _kill(child)
    if code or not result.exists():
        raise ServingProblem(
            f"{point.name}: vllm bench serve ended with {code} and"
            f" {'a' if result.exists() else 'no'} result", f"see {log}", kind="client failed",
            log=tail(log),
        )  # fmt: skip
    return json.loads(result.read_text(encoding="utf-8"))


def drive_own(
    point: Point, target: Target, result: Path, timeout_s: float, progress: Progress | None = None
) -> dict[str, Any]:
    """The same by our own client: same keys, no vLLM, no tokenizer."""
    said = client.run(point, target, timeout_s, progress)
    result.write_text(json.dumps(said), encoding="utf-8")
    return said


def faults(result: dict[str, Any], point: Point) -> list[str]:
    """Everything in a result that shows it is not the load that was asked. Empty: none."""
    found = []
    completed, failed = result.get("completed"), result.get("failed")
    if completed != point.prompts or failed:
        found.append(f"{completed} of {point.prompts} requests completed, {failed} failed")
        errors = [text.strip().splitlines()[-1] for text in result.get("errors", []) if text]
        if errors:
            found.append(f"first error: {errors[0][:160]}")
    lengths = {"input_lens": point.input_len, "output_lens": point.output_len}
    for key, wanted in lengths.items():
        given = result.get(key)
        if given is None or len(given) != point.prompts:
            found.append(f"{key} are missing")
        elif wrong := [n for n in given if n != wanted]:
            found.append(
                f"{len(wrong)} of {point.prompts} {key} are not {wanted}"
                f" (from {min(wrong)} to {max(wrong)})"
            )
    for key, wanted in (("total_input_tokens", point.input_len * point.prompts),
                        ("total_output_tokens", point.output_len * point.prompts)):  # fmt: skip
        if result.get(key) != wanted:
            found.append(f"{key} is {result.get(key)}, not {wanted}")
    if not (isinstance(result.get("duration"), float | int) and result["duration"] > 0):
        found.append(f"duration is {result.get('duration')}")
    return found


def counters_agree(
    before: dict[str, float], result: dict[str, Any], read: Callable[[], dict[str, float]]
) -> tuple[list[str], dict[str, int], dict[str, float]]:
    """The server's token counters against the client's, to the token; and the last that was read.

    The engine writes them a little after the last token has left, so they are read again until
    they agree or a few seconds have gone.
    """
    wanted = {"prompt_tokens": result.get("total_input_tokens"),
              "generation_tokens": result.get("total_output_tokens")}  # fmt: skip
    deadline = time.monotonic() + SETTLE_S
    while True:
        now = read()
        moved = {name: round(now[name] - before[name]) for name in meter.COUNTERS}
        wrong = [name for name, value in wanted.items() if moved[name] != value]
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    said = [
        f"the server counted {moved[name]} {name.replace('_', ' ')}, the client {wanted[name]}"
        + ("; does somebody else use this server?" if moved[name] > (wanted[name] or 0) else "")
        for name in wrong
    ]
    return said, moved, now


def late_ms(
    before: dict[str, float], after: dict[str, float], result: dict[str, Any]
) -> float | None:
    """How much later the client saw first tokens, in the mean, than the server sent them.

    On few cores a client can starve beside a busy server. Then its latencies are its own.
    """
    if "ttft_count" not in after or after["ttft_count"] <= before.get("ttft_count", 0.0):
        return None
    count = after["ttft_count"] - before.get("ttft_count", 0.0)
    served = 1000.0 * (after["ttft_sum"] - before.get("ttft_sum", 0.0)) / count
    return result["mean_ttft_ms"] - served


def span(result: dict[str, Any]) -> tuple[float, float] | None:
    """First request sent and last token received, on the clock of ``time.perf_counter``."""
    starts, ttfts, itls = (result.get(key) or [] for key in ("start_times", "ttfts", "itls"))
    if not starts or len(starts) != len(ttfts):
        return None
    ends = [s + t + sum(i) for s, t, i in zip(starts, ttfts, itls, strict=False)]
    return min(starts), max(ends)


def only(url: str, key: str) -> str:
    """The name of the one model at a server; where there are several, one must be named."""
    models = served(Target(url, "", key))
    if len(models) != 1:
        raise UsageProblem("MODEL", f"is missing, and the server at {url} serves"
                           f" {len(models) or 'none'}", ", ".join(models))  # fmt: skip
    return next(iter(models))


def check(target: Target) -> dict[str, Any]:
    """The entry of our model at a server; refuses a wrong key, another model, or nobody there."""
    models = served(target)
    if target.model not in models:
        raise UsageProblem(
            "--url", f"the server at {target.url} serves {', '.join(models) or 'nothing'},"
            f" not {target.model}", hint="name that model, or another address",
        )  # fmt: skip
    return models[target.model]


def served(target: Target) -> dict[str, dict[str, Any]]:
    """The models at a server, by name; refuses a wrong key, or nobody there."""
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    try:
        answer = httpx.get(f"{target.url}/v1/models", headers=headers, timeout=10)
    except httpx.InvalidURL as error:
        raise UsageProblem("--url", f"{target.url!r}: {error}", "http://HOST:PORT") from None
    except httpx.UnsupportedProtocol:
        raise UsageProblem("--url", f"{target.url!r} has no http://", "http://HOST:PORT") from None
    except httpx.HTTPError as error:
        raise ServingProblem(
            f"no server answers at {target.url} ({error or type(error).__name__})",
            "start one, or leave out --url and twin bench starts it", kind="no server",
        ) from None  # fmt: skip
    if answer.status_code in (401, 403):
        raise UsageProblem(
            "--api-key", f"{target.url} refuses {'this key' if target.key else 'to talk without'}"
            f" ({answer.status_code})", hint="--api-key KEY, or TWIN_API_KEY in the environment",
        )  # fmt: skip
    try:
        return {str(one["id"]): one for one in answer.raise_for_status().json()["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise ServingProblem(
            f"{target.url} does not answer as an OpenAI-compatible server"
            f" (/v1/models: {answer.status_code})", "is it vLLM's address, without /v1?",
            kind="no server",
        ) from None  # fmt: skip


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a client at once, and what it started, and clear up after them."""
    members = meter.group(child.pid) | {child.pid}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(10)
    for path in meter.markers(members):
        path.unlink(missing_ok=True)

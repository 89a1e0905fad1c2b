"""A small load client, for servers without vLLM beside them. Same keys as ``vllm bench serve``.

It sends prompts of random token ids, so it needs no tokenizer, and takes the lengths from the
usage that the server states at the end of a stream. A stream without that end is a failure.
"""

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from serving.problem import ServingProblem

if TYPE_CHECKING:
    from serving.load import Point, Target

FIRST_ID = 100  # below lie special tokens in some vocabularies
PERCENTILES = (50, 90, 95, 99)


@dataclass
class Answer:
    """One request, as seen from here. Times in seconds."""

    start: float = 0.0
    ttft: float = 0.0
    itl: list[float] = field(default_factory=list)
    latency: float = 0.0
    input_len: int = 0
    output_len: int = 0
    error: str = ""


def run(
    point: "Point",
    target: "Target",
    timeout_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Offer one point and wait for all answers; vLLM's keys, details included."""
    try:
        answers, took = asyncio.run(_all(point, target, timeout_s, progress))
    except TimeoutError:
        raise ServingProblem(
            f"{point.name}: not all requests were answered within {timeout_s:.0f} s",
            "fewer prompts, or a longer --point-timeout-s", kind="client too slow",
        ) from None  # fmt: skip
    return summary(answers, took, point, target)


async def _all(
    point: "Point",
    target: "Target",
    timeout_s: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Answer], float]:
    draw = random.Random(point.seed)
    limit = asyncio.Semaphore(point.concurrency or point.prompts)
    ids = range(min(FIRST_ID, target.vocabulary // 2), target.vocabulary)
    prompts = [draw.choices(ids, k=point.input_len) for _ in range(point.prompts)]
    arrivals = list(arrival_times(point, draw))
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    done = 0
    pool = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(headers=headers, timeout=timeout_s, limits=pool) as http:
        begun = time.perf_counter()

        async def one(prompt: list[int], arrival: float) -> Answer:
            nonlocal done
            await asyncio.sleep(max(begun + arrival - time.perf_counter(), 0.0))
            async with limit:
                answer = await _ask(http, point, target, prompt)
            done += 1
            if progress:
                progress(done, point.prompts)
            return answer

        tasks = [one(p, a) for p, a in zip(prompts, arrivals, strict=True)]
        async with asyncio.timeout(timeout_s):
            answers = await asyncio.gather(*tasks)
        return list(answers), time.perf_counter() - begun


def arrival_times(point: "Point", draw: random.Random) -> list[float]:
    """When requests come, in seconds: at once in a closed loop, else gamma with the given shape.

    As in vLLM's client, the whole is stretched so that the mean rate is exactly the one asked.
    """
    if point.rate is None:
        return [0.0] * point.prompts
    scale = 1.0 / (point.rate * point.burstiness)
    gaps = [draw.gammavariate(point.burstiness, scale) for _ in range(point.prompts)]
    stretch = point.prompts / point.rate / sum(gaps)
    times, now = [], 0.0
    for gap in gaps:
        now += gap * stretch
        times.append(now)
    return times


async def _ask(
    http: httpx.AsyncClient, point: "Point", target: "Target", prompt: list[int]
) -> Answer:
    body = {
        "model": target.model, "prompt": prompt, "max_tokens": point.output_len, "stream": True,
        "temperature": 0, "ignore_eos": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    answer = Answer(start=time.perf_counter(), input_len=len(prompt))
    last, usage, whole = answer.start, None, False
    try:
        async with http.stream("POST", f"{target.url}/v1/completions", json=body) as said:
            if said.status_code != 200:
                text = (await said.aread()).decode(errors="replace")
                answer.error = f"{said.status_code} {text[:200]}"
                return answer
            async for line in said.aiter_lines():
                if not line.startswith("data:"):
                    continue
                if (data := line.removeprefix("data:").strip()) == "[DONE]":
                    whole = True
                    break
                chunk = json.loads(data)
                if "error" in chunk:
                    answer.error = str(chunk["error"])[:200]
                    return answer
                usage = chunk.get("usage") or usage
                if chunk.get("choices"):
                    now = time.perf_counter()
                    if answer.ttft:
                        answer.itl.append(now - last)
                    else:
                        answer.ttft = now - answer.start
                    last = now
    except (httpx.HTTPError, ValueError) as error:
        answer.error = f"{type(error).__name__}: {error}"
    answer.latency = last - answer.start
    if usage:
        answer.input_len = usage.get("prompt_tokens", 0)
        answer.output_len = usage.get("completion_tokens", 0)
    if not answer.error and not (whole and usage and answer.ttft):
        answer.error = "the stream ended before its end"
    return answer


def summary(answers: list[Answer], took: float, point: "Point", target: "Target") -> dict[str, Any]:
    """The keys of vLLM's result for these answers."""
    good = [answer for answer in answers if not answer.error]
    tokens_in, tokens_out = (sum(getattr(a, n) for a in good) for n in ("input_len", "output_len"))
    said: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y%m%d-%H%M%S"), "backend": "twin",
        "model_id": target.model, "tokenizer_id": None, "num_prompts": point.prompts,
        "request_rate": point.rate if point.rate is not None else "inf",
        "burstiness": point.burstiness, "max_concurrency": point.concurrency, "duration": took,
        "completed": len(good), "failed": len(answers) - len(good),
        "total_input_tokens": tokens_in, "total_output_tokens": tokens_out,
        "request_throughput": len(good) / took, "output_throughput": tokens_out / took,
        "total_token_throughput": (tokens_in + tokens_out) / took,
    }  # fmt: skip
    several = [a for a in good if a.output_len > 1]
    measures = {
        "ttft": [a.ttft for a in good],
        "tpot": [(a.latency - a.ttft) / (a.output_len - 1) for a in several],
        "itl": [gap for a in good for gap in a.itl],
        "e2el": [a.latency for a in good],
    }
    for name, values in measures.items():
        said |= statistics_ms(name, values)
    return said | {
        "input_lens": [a.input_len for a in answers],
        "output_lens": [a.output_len for a in answers],
        "ttfts": [a.ttft for a in answers], "itls": [a.itl for a in answers],
        "latencies": [a.latency for a in answers], "start_times": [a.start for a in answers],
        "errors": [a.error for a in answers],
    }  # fmt: skip


def statistics_ms(name: str, values: list[float]) -> dict[str, float]:
    """Mean, median, spread and percentiles in milliseconds, under vLLM's keys."""
    ms = sorted(1000.0 * value for value in values) or [0.0]
    said = {f"mean_{name}_ms": statistics.fmean(ms), f"median_{name}_ms": statistics.median(ms),
            f"std_{name}_ms": statistics.pstdev(ms)}  # fmt: skip
    for percent in PERCENTILES:
        place = percent / 100 * (len(ms) - 1)  # as numpy.percentile: straight lines between
        low, high = ms[math.floor(place)], ms[math.ceil(place)]
        said[f"p{percent}_{name}_ms"] = low + (high - low) * (place - math.floor(place))
    return said

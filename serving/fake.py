"""``twin fake``: an OpenAI-compatible server with chosen delays and chosen failures.

It speaks as vLLM does, metrics included, and computes nothing: a token comes when the clock
says so. What a client measures of it is therefore known beforehand, which is the use of it.
A prompt of words counts one token a word; a prompt of token ids, one token an id.
"""

import asyncio
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from serving.problem import UsageProblem

VERSION = "0.32.0+fake"
# What older and, perhaps, newer servers call the same things: for tests of the reader's aliases.
OLD_NAMES = {"kv_cache_usage_perc": "gpu_cache_usage_perc"}


@dataclass(frozen=True)
class Behaviour:
    """What the fake does. Times in seconds; a failure of 0 never happens."""

    model: str = "fake"
    ttft_s: float = 0.05
    itl_s: float = 0.01
    concurrency: int = 256
    kv_tokens: int = 1_000_000
    max_model_len: int = 40_960
    api_key: str = ""
    error_every: int = 0  # each n-th request is answered by 500
    cut_every: int = 0  # the stream of each n-th request ends half-way, without its end
    short_by: int = 0  # every answer is this many tokens shorter than asked
    die_after: int = 0  # the server is gone half-way through the n-th request
    metric_names: str = "current"  # or "old", or "unknown"

    def __post_init__(self):
        for given in fields(self):
            value = getattr(self, given.name)
            if isinstance(value, int | float) and not 0 <= value < float("inf"):
                raise UsageProblem(given.name, f"is {value}", "0 or more")
        if self.concurrency < 1:
            raise UsageProblem("concurrency", "is 0", "1 or more")
        if self.metric_names not in ("current", "old", "unknown"):
            raise UsageProblem("metric_names", repr(self.metric_names), "current, old, unknown")
        if self.kv_tokens < self.max_model_len:
            raise UsageProblem(
                "kv_tokens", f"{self.kv_tokens} tokens cannot hold one request of"
                f" {self.max_model_len}", f"{self.max_model_len} or more",
                "lower max_model_len",
            )  # fmt: skip


@dataclass
class State:
    """What runs, waits and is held, and what has been counted since the start."""

    running: int = 0
    held: int = 0  # tokens in the cache
    waiting: deque[tuple[asyncio.Event, int]] = field(default_factory=deque)
    requests: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0


class Fake:
    """The server's logic: admission in order of arrival, tokens by the clock."""

    def __init__(self, behaviour: Behaviour, die: Callable[[], None] | None = None):
        self.behaviour, self.state = behaviour, State()
        self.die = die or (lambda: os._exit(1))
        self.app = Starlette(
            routes=[
                Route("/health", lambda _: Response()),
                Route("/ping", lambda _: Response()),
                Route("/version", lambda _: JSONResponse({"version": VERSION})),
                Route("/metrics", lambda _: PlainTextResponse(self.metrics())),
                Route("/v1/models", self.models),
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/chat/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        """The one model, as vLLM lists it."""
        if refusal := self._locked(request):
            return refusal
        b = self.behaviour
        one = {"id": b.model, "object": "model", "max_model_len": b.max_model_len}
        return JSONResponse({"object": "list", "data": [one]})

    async def completions(self, request: Request) -> Response:
        """Both completion forms, streamed or whole."""
        if refusal := self._locked(request):
            return refusal
        chat = request.url.path.endswith("chat/completions")
        try:
            body = await request.json()
            wanted = self._checked(body, chat)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return refuse(400, "BadRequestError", str(error))
        except LookupError as error:
            return refuse(404, "NotFoundError", str(error))
        self.state.requests += 1
        number, b = self.state.requests, self.behaviour
        if b.error_every and number % b.error_every == 0:
            return refuse(500, "InternalServerError", "chosen failure")
        chunks = self._generate(number, *wanted)
        if not body.get("stream"):
            try:
                tokens = sum([1 async for _ in chunks])
            except ConnectionError as error:
                return refuse(500, "InternalServerError", str(error))
            return JSONResponse(self._said(chat, "tok " * tokens, "length", (wanted[0], tokens)))
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = self._events(chunks, chat, wanted[0], usage)
        return StreamingResponse(events, media_type="text/event-stream")

    def _locked(self, request: Request) -> Response | None:
        key = self.behaviour.api_key
        if key and request.headers.get("authorization") != f"Bearer {key}":
            return refuse(401, "Unauthorized", "Unauthorized")
        return None

    def _checked(self, body: dict[str, Any], chat: bool) -> tuple[int, int]:
        """Tokens in and out, or the error that vLLM would give."""
        if body.get("model") != self.behaviour.model:
            raise LookupError(f"The model `{body.get('model')}` does not exist.")
        if chat:
            said = body["messages"]
            prompt = sum(len(str(message["content"]).split()) for message in said)
            asked = body.get("max_completion_tokens") or body.get("max_tokens") or 16
        else:
            given = body["prompt"]
            if not isinstance(given, str) and not all(isinstance(i, int) for i in given):
                raise ValueError("prompt: a text or a list of token ids")
            prompt = len(given.split()) if isinstance(given, str) else len(given)
            asked = body.get("max_tokens") or 16
        if not isinstance(asked, int) or asked < 1 or prompt < 1:
            raise ValueError("max_tokens and the prompt must be at least 1 token")
        if prompt + asked > self.behaviour.max_model_len:
            raise ValueError(
                f"This model's maximum context length is {self.behaviour.max_model_len} tokens."
                f" However, you requested {asked} output tokens and your prompt contains"
                f" {prompt} input tokens, for a total of {prompt + asked} tokens."
            )
        return prompt, asked

    async def _generate(self, number: int, prompt: int, asked: int) -> AsyncIterator[int]:
        """One number a token, each at its time: delays do not add up over a stream."""
        b, s = self.behaviour, self.state
        tokens = max(asked - b.short_by, 1)
        half = max(tokens // 2, 1)
        held = await self._admit(prompt + 1)
        try:
            s.prompt_tokens += prompt
            due = time.perf_counter() + b.ttft_s
            for token in range(tokens):
                if token and s.held >= b.kv_tokens:  # as vLLM does: give all back, queue, recompute
                    s.preemptions += 1
                    self._release(held)
                    held = 0
                    held = await self._admit(prompt + token + 1, first=True)
                    due = time.perf_counter() + b.ttft_s
                elif token:
                    held += 1
                    s.held += 1
                await asyncio.sleep(max(due - time.perf_counter(), 0.0))
                due += b.itl_s
                s.generation_tokens += 1
                yield token
                if token + 1 == half:
                    if b.die_after and number >= b.die_after:
                        self.die()
                    if b.cut_every and number % b.cut_every == 0:
                        raise ConnectionError("chosen failure: the stream is cut")
        finally:
            if held:
                self._release(held)

    async def _admit(self, need: int, first: bool = False) -> int:
        """Wait in line for a place in the batch and in the cache; the tokens now held."""
        turn = asyncio.Event()
        line = self.state.waiting
        (line.appendleft if first else line.append)((turn, need))
        self._let_in()
        try:
            await turn.wait()
        except asyncio.CancelledError:  # the client went away
            if turn.is_set():
                self._release(need)
            else:
                self.state.waiting.remove((turn, need))
            raise
        return need

    def _let_in(self) -> None:
        s = self.state
        while s.waiting and s.running < self.behaviour.concurrency:
            turn, need = s.waiting[0]
            if s.held + need > self.behaviour.kv_tokens:
                return
            s.waiting.popleft()
            s.running += 1
            s.held += need
            turn.set()

    def _release(self, held: int) -> None:
        self.state.running -= 1
        self.state.held -= held
        self._let_in()

    async def _events(
        self, chunks: AsyncIterator[int], chat: bool, prompt: int, usage: bool
    ) -> AsyncIterator[str]:
        """Server-sent events, one a token, the usage at the end where it is asked for."""
        count = 0
        async for _ in chunks:
            count += 1
            yield f"data: {json.dumps(self._said(chat, 'tok ', None, None, streamed=True))}\n\n"
        if usage:
            last = self._said(chat, "", "length", (prompt, count), streamed=True) | {"choices": []}
            yield f"data: {json.dumps(last)}\n\n"
        yield "data: [DONE]\n\n"

    def _said(
        self,
        chat: bool,
        text: str,
        why: str | None,
        usage: tuple[int, int] | None,
        streamed: bool = False,
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": why}
        if chat:
            choice["delta" if streamed else "message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        kind = "chat.completion" if chat else "text_completion"
        said = {"id": f"fake-{self.state.requests}", "model": self.behaviour.model,
                "object": kind + (".chunk" if chat and streamed else ""),
                "created": int(time.time()), "choices": [choice]}  # fmt: skip
        if usage:
            said["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1],
                             "total_tokens": sum(usage)}  # fmt: skip
        return said

    def metrics(self) -> str:
        """The page that Prometheus reads, under vLLM's names."""
        s, b = self.state, self.behaviour
        values = {
            "num_requests_running": s.running,
            "num_requests_waiting": len(s.waiting),
            "kv_cache_usage_perc": s.held / b.kv_tokens,
            "num_preemptions_total": s.preemptions,
            "prompt_tokens_total": s.prompt_tokens,
            "generation_tokens_total": s.generation_tokens,
        }
        label = f'{{engine="0",model_name="{b.model}"}}'
        lines = []
        for name, value in values.items():
            name = OLD_NAMES.get(name, name) if b.metric_names == "old" else name
            name = f"renamed_{name}" if b.metric_names == "unknown" else name
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE vllm:{name} {kind}", f"vllm:{name}{label} {float(value)}"]
        return "\n".join(lines) + "\n"


def serve(behaviour: Behaviour, host: str, port: int) -> None:
    """Serve until a signal comes; blocks."""
    uvicorn.Server(_config(Fake(behaviour), host, port)).run()


@contextmanager
def running(behaviour: Behaviour) -> Iterator[tuple[str, State]]:
    """The fake in a thread of this process: its address, and its state to look at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        fake = Fake(behaviour, die=lambda: _vanish(server))
        server = uvicorn.Server(_config(fake, "127.0.0.1", port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}", fake.state
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def _config(fake: Fake, host: str, port: int) -> uvicorn.Config:
    # Chosen failures are no news: uvicorn would print a traceback for each.
    return uvicorn.Config(fake.app, host=host, port=port, log_level="critical", lifespan="off")


def _vanish(server: uvicorn.Server) -> None:
    """What clients see when a process is killed: closed connections, and nobody at the port."""
    loop = asyncio.get_running_loop()

    def hang_up(turns: int) -> None:
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        if turns:
            loop.call_soon(hang_up, turns - 1)
            return
        for listener in server.servers:
            listener.close()
        server.should_exit = server.force_exit = True

    # Nobody is let in from here on. Who just was is known some turns later, if his listener is
    # still open; else asyncio would forget him, and he would wait until his own patience ends.
    for listener in server.servers:
        for door in listener.sockets:
            loop.remove_reader(door.fileno())
    hang_up(10)


def refuse(status: int, kind: str, message: str) -> JSONResponse:
    """An error in OpenAI's form."""
    said = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": said}, status_code=status)

"""A vLLM server's life: started in a group of its own, awaited, watched, and wholly removed."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from serving import failures, meter
from serving.load import Target
from serving.problem import ServingProblem, UsageProblem

READY_S = 900.0  # loading from a slow disk and compiling take minutes; a dead process ends the wait
STOP_S = 20.0  # vLLM was seen to take 0.5 to 2.2 s
DEFAULT = Path(".venv-vllm/bin/vllm")


@dataclass(frozen=True)
class Settings:
    """How vLLM is to serve one model."""

    model: str  # a folder or a hub name
    max_model_len: int
    weights: str = "real"  # or "random"
    tokenizer: str = ""
    dtype: str = "bfloat16"
    kv_gib: int | None = None  # on a processor: the space of the KV cache
    kv_blocks: int | None = None
    max_num_seqs: int | None = None
    eager: bool = False
    cpu: bool = False
    port: int | None = None
    extra: tuple[str, ...] = ()

    def arguments(self, name: str, port: int) -> list[str]:
        """The arguments of ``vllm serve``. Prompts are random, so nothing is gained by prefixes."""
        said = [
            "serve", self.model, "--served-model-name", name, "--host", "127.0.0.1",
            "--port", str(port), "--dtype", self.dtype, "--max-model-len", str(self.max_model_len),
            "--no-enable-prefix-caching",
        ]  # fmt: skip
        optional = {
            "--load-format": "dummy" if self.weights == "random" else None,
            "--tokenizer": self.tokenizer or None,
            "--num-gpu-blocks-override": self.kv_blocks,
            "--max-num-seqs": self.max_num_seqs,
        }
        for flag, value in optional.items():
            said += [flag, str(value)] if value is not None else []
        return [*said, *(["--enforce-eager"] if self.eager else []), *self.extra]

    def environment(self, vllm: Path) -> dict[str, str]:
        """What the process gets beside our own environment."""
        said = {"VLLM_NO_USAGE_STATS": "1"}
        if self.weights == "random" or Path(self.model).is_dir():
            said["HF_HUB_OFFLINE"] = "1"
        if self.cpu:
            said["VLLM_CPU_KVCACHE_SPACE"] = str(self.kv_gib or 1)
            if faster := _preloads(vllm):
                said["LD_PRELOAD"] = ":".join(faster)
        return said


@dataclass
class Server:
    """A server that is ready: one that we started, or one that somebody else runs."""

    target: Target
    max_model_len: int
    version: str
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None
    start_s: float = 0.0  # how long it took to be ready
    seen: set[int] = field(default_factory=set)  # process ids of its group, the dead included

    def members(self) -> set[int]:
        """The processes of a server that we started; they are remembered for the clearing up."""
        alive = meter.group(self.process.pid) if self.process else set()
        self.seen |= alive
        return alive

    def assert_alive(self, when: str) -> None:
        """Raise what has happened where the server no longer answers, process and port both."""
        code = self.process.poll() if self.process else None
        if code is None:
            with contextlib.suppress(httpx.HTTPError):
                # A dying engine lets /health answer for about a second: ask for the model as well.
                healthy = httpx.get(f"{self.target.url}/health", timeout=10).status_code == 200
                headers = {"Authorization": f"Bearer {self.target.key}"} if self.target.key else {}
                listed = httpx.get(f"{self.target.url}/v1/models", headers=headers, timeout=10)
                if healthy and self.target.model in listed.text:
                    return
        if self.process and self.log:
            code = self._ended()
            raise failures.explain(_text(self.log), code, when, str(self.log))
        raise ServingProblem(f"{when}: the server at {self.target.url} does not answer any more",
                             "see its own log", kind="gone")  # fmt: skip

    def _ended(self) -> int | None:
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(5)
        return None


def command(given: str | None) -> Path:
    """The ``vllm`` program: as given, or of the environment, or what ``make vllm`` made."""
    wanted = given or os.environ.get("TWIN_VLLM_CMD")
    path = Path(wanted) if wanted else DEFAULT
    if path.is_file() and os.access(path, os.X_OK):
        return path.absolute()
    raise UsageProblem(
        "--vllm-cmd" if given else "TWIN_VLLM_CMD" if wanted else "vllm",
        f"{path} is not a program", hint="make vllm installs vLLM, --vllm-cmd names another, --url"
        " uses a running server, twin fake needs none",
    )  # fmt: skip


def version(vllm: Path) -> str:
    """What ``vllm --version`` says."""
    try:
        said = subprocess.run(
            [str(vllm), "--version"], capture_output=True, text=True, timeout=180,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ServingProblem(f"{vllm} --version takes over three minutes", kind="hangs") from None
    words = said.stdout.split()
    if said.returncode or not words:
        raise failures.explain(said.stderr, said.returncode, f"{vllm} --version", "above")
    return words[-1]


@contextlib.contextmanager
def running(
    vllm: Sequence[str],
    settings: Settings,
    log: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
    ready_s: float = READY_S,
    version: str = "",
    vocabulary: int = 1000,
) -> Iterator[Server]:
    """A server that is ready, and that is gone afterwards, however the block is left."""
    port = settings.port or free_port()
    if settings.port is not None:
        assert_free(settings.port)
    # A name of its own: should another server answer at this port, it would not know the name.
    name = f"twin-{uuid.uuid4().hex[:12]}"
    arguments = (*vllm, *settings.arguments(name, port))
    environment = settings.environment(Path(vllm[0]))
    target = Target(f"http://127.0.0.1:{port}", name, tokenizer=settings.tokenizer,
                    vocabulary=vocabulary)  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        begun = time.monotonic()
        # A group of its own, so that Ctrl-C does not reach it before us; but no session of its own:
        # Linux shares out the processor by sessions, and on two cores a client in another one was
        # kept waiting 100 to 260 ms for tokens that had long been sent.
        process = subprocess.Popen(
            arguments, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=os.environ | environment, process_group=0,
        )  # fmt: skip
    shared: set[Path] = set()
    seen: set[int] = {process.pid}
    try:
        _await(process, target, log, say, ready_s, shared, seen)
        yield Server(
            target, settings.max_model_len, version, arguments, environment, log, process,
            time.monotonic() - begun, seen,
        )  # fmt: skip
    finally:
        stop(process, shared, seen)


@contextlib.contextmanager
def attached(target: Target) -> Iterator[Server]:
    """A server that somebody else runs; it is left as it is."""
    from serving.load import check

    entry = check(target)
    said = "not stated"
    with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
        said = str(httpx.get(f"{target.url}/version", timeout=10).json()["version"])
    yield Server(target, int(entry.get("max_model_len") or 0), said)


def _await(
    process: "subprocess.Popen[bytes]",
    target: Target,
    log: Path,
    say: Callable[[str], None],
    ready_s: float,
    shared: set[Path],
    seen: set[int],
) -> None:
    """Wait until our own model is listed; the process's end, or silence for too long, raises.

    ``shared`` gathers the files in shared memory and ``seen`` the processes, which nobody could
    name after a sudden death.
    """
    begun, spoken = time.monotonic(), ""
    with httpx.Client(timeout=5) as client:
        while True:
            if (code := process.poll()) is not None:
                raise failures.explain(_text(log), code, "while starting", str(log))
            seen |= meter.group(process.pid)
            shared |= _shared_memory(process.pid)
            waited = time.monotonic() - begun
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"{target.url}/health").status_code == 200:
                    if target.model in client.get(f"{target.url}/v1/models").text:
                        return
                    raise ServingProblem(
                        f"another server answers at {target.url}", "leave out --port, and a free"
                        " one is taken", kind="port in use", log=_end(log),
                    )  # fmt: skip
            if waited > ready_s:
                raise ServingProblem(
                    f"the server is not ready after {ready_s:.0f} s, and still alive",
                    f"a longer --ready-timeout-s; log: {log}", kind="silent start", log=_end(log),
                )  # fmt: skip
            if (stage := _stage(log)) != spoken:
                spoken = stage
                say(f"vLLM starts ({waited:.0f} s): {stage}")
            time.sleep(0.5)


def stop(
    process: "subprocess.Popen[bytes]", known: Iterable[Path] = (), seen: Iterable[int] = ()
) -> None:
    """End a server, all its processes and its shared memory. SIGTERM first, then the group.

    ``known`` are its files in shared memory, ``seen`` its processes, so far as they were noted.
    """
    shared = _shared_memory(process.pid).union(known)
    members = meter.group(process.pid).union(seen, {process.pid})
    try:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        _until_empty(process.pid)
    finally:  # a second Ctrl-C comes here too: then at once
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        _until_empty(process.pid)
        for path in shared | meter.markers(members):
            path.unlink(missing_ok=True)


def _until_empty(leader: int, at_most: float = 3.0) -> None:
    deadline = time.monotonic() + at_most
    while meter.group(leader) and time.monotonic() < deadline:
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def assert_free(port: int) -> None:
    """Refuse a port that cannot be had, before minutes are spent on loading."""
    if not 0 < port < 65536:
        raise UsageProblem("--port", f"is {port}", "1 to 65535")
    try:
        # As the server itself listens: on all addresses, a port that was just closed included.
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        raise UsageProblem(
            "--port", f"{port} cannot be had ({error.strerror})",
            hint="leave it out, and a free one is taken",
        ) from None  # fmt: skip


def _shared_memory(leader: int) -> set[Path]:
    """Files under /dev/shm that the processes of this group have open or mapped."""
    found = set()
    for pid in meter.group(leader):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                name = line.split(maxsplit=5)[-1]
                if name.startswith(f"{meter.SHARED}/") and not name.endswith("(deleted)"):
                    found.add(Path(name))
    return found


def _preloads(vllm: Path) -> list[str]:
    """An allocator and an OpenMP that vLLM recommends on processors, where they are installed."""
    found = []
    for pattern in ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"):
        folders = [Path(folder) for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib")]
        places = [p for f in folders for g in (pattern, f"*/{pattern}") for p in f.glob(g)]
        if places:
            found.append(str(places[0]))
            break
    openmp = vllm.parent.parent / "lib" / "libiomp5.so"
    return [*found, *([str(openmp)] if openmp.exists() else [])]


def _stage(log: Path) -> str:
    """The newest line of the log that says something."""
    for line in reversed(_text(log).splitlines()[-40:]):
        # "(EngineCore pid=7) INFO 11-22 10:00:00 [module.py:12] words"
        if match := re.search(r"(?:INFO|WARNING) [\d-]+ [\d:]+ \[.*?\] (?!Route)(.{6,})", line):
            return match[1][:90]
    return "loading"


def _text(log: Path) -> str:
    try:
        return log.read_text(errors="replace")
    except OSError:
        return ""


def _end(log: Path) -> str:
    return "\n".join(_text(log).splitlines()[-20:])

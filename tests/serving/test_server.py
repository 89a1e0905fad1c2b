"""The life of a server, played by small scripts that start, hang, die and leave children."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving import failures, fake, meter, server
from serving.fake import Behaviour
from serving.load import Target
from serving.problem import ServingProblem, UsageProblem

# Stands in for `vllm serve`: the fake under the served name, with a child and shared memory of
# its own, as vLLM has. Modes: ok, mute (never ready), stubborn (deaf to SIGTERM).
PLAYED = """#!{python}
import mmap, os, signal, subprocess, sys, threading, time
mode = os.environ.get("PLAY", "ok")
if mode.startswith("say "):
    print(mode[4:], flush=True)
    sys.exit(1)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
path = f"/dev/shm/twin-test-{{os.getpid()}}"
with open(path, "wb+") as file:
    file.truncate(4096)
    held = mmap.mmap(file.fileno(), 4096)
print("INFO 11-22 10:00:00 [loader.py:1] Loading weights", flush=True)
if mode == "mute":
    time.sleep(60)
from serving.fake import Behaviour, serve
for pid in (os.getpid(), child.pid):  # as Intel's OpenMP does: written, and closed
    open(f"/dev/shm/__KMP_REGISTERED_LIB_{{pid}}_0", "w").close()
if mode == "stubborn":
    signal.signal = lambda *_: None
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
arguments = dict(zip(sys.argv[1:], sys.argv[2:]))
name = "another" if mode == "another" else arguments["--served-model-name"]
serve(Behaviour(name, 0.0, 0.0), "127.0.0.1", int(arguments["--port"]))
"""
SETTINGS = server.Settings(model="m", max_model_len=64, weights="random", kv_gib=1)


@pytest.fixture
def played(tmp_path, monkeypatch):
    """The path of the program; PLAY sets its mode."""
    path = tmp_path / "vllm"
    path.write_text(PLAYED.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PYTHONPATH", str(Path(server.__file__).parents[1]))
    return str(path)


def left(pid):
    """What a server has left behind: processes and shared memory."""
    names = (f"twin-test-{pid}", f"__KMP_REGISTERED_LIB_{pid}_*")
    return meter.group(pid), [path for name in names for path in Path("/dev/shm").glob(name)]


def test_a_server_lives_and_leaves_nothing(played, tmp_path):
    said = []
    with server.running([played], SETTINGS, tmp_path / "log", say=said.append) as live:
        live.assert_alive("now")
        pid = live.process.pid
        assert len(live.members()) == 2
        assert os.getpgid(pid) == pid != os.getpgid(0)
        assert live.target.model.startswith("twin-")
        assert left(pid)[1]
    assert left(pid) == (set(), [])
    assert any("loading" in line or "Loading weights" in line for line in said)


def test_a_server_deaf_to_sigterm_is_killed_with_its_children(played, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", "stubborn")
    monkeypatch.setattr(server, "STOP_S", 0.5)
    with server.running([played], SETTINGS, tmp_path / "log") as live:
        pid = live.process.pid
    assert left(pid) == (set(), [])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_and_interrupts_leave_nothing_either(played, tmp_path, error):
    with (
        pytest.raises(error),
        server.running([played], SETTINGS, tmp_path / "log") as live,
    ):
        pid = live.process.pid
        raise error
    assert left(pid) == (set(), [])


def test_a_death_is_noticed_and_the_children_go_too(played, tmp_path):
    with server.running([played], SETTINGS, tmp_path / "log") as live:
        pid = live.process.pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ServingProblem, match=r"at point 3: the server was killed") as told:
            live.assert_alive("at point 3")
        assert told.value.kind == "killed"
        assert "Loading weights" in told.value.log
    assert left(pid) == (set(), [])


def test_markers_of_dead_processes_go_and_those_of_others_stay(played, tmp_path):
    """A worker dies first, then the server by itself, so that nobody is left to be asked."""
    stranger = subprocess.Popen([sys.executable, "-c", "pass"])
    stranger.wait()
    theirs = Path(f"/dev/shm/__KMP_REGISTERED_LIB_{stranger.pid}_0")
    theirs.touch()
    try:
        with server.running([played], SETTINGS, tmp_path / "log") as live:
            pid = live.process.pid
            members = live.members()
            ours = [Path(f"/dev/shm/__KMP_REGISTERED_LIB_{one}_0") for one in members]
            assert len(ours) == 2 and all(path.exists() for path in ours)
            for one in (*(members - {pid}), pid):
                os.kill(one, signal.SIGKILL)
            live.process.wait(10)
            assert all(path.exists() for path in ours)
        assert left(pid) == (set(), [])
        assert not any(path.exists() for path in ours)
        assert theirs.exists()
    finally:
        theirs.unlink()


def test_silence_is_not_awaited_for_ever(played, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", "mute")
    begun = time.monotonic()
    with (
        pytest.raises(ServingProblem, match="not ready after 1 s, and still alive") as told,
        server.running([played], SETTINGS, tmp_path / "log", ready_s=1.0),
    ):
        pass
    assert told.value.kind == "silent start"
    assert time.monotonic() - begun < 10


def test_another_server_at_the_port_is_not_taken_for_ours(played, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", "another")
    with (
        pytest.raises(ServingProblem, match="another server answers") as told,
        server.running([played], SETTINGS, tmp_path / "log"),
    ):
        pass
    assert told.value.kind == "port in use"


# The words of vLLM 0.32, seen in its logs or read in its source.
SEEN = {
    "port in use": "OSError: [Errno 98] Address already in use",
    "KV space too large": "ValueError: Available memory on node 0 (20.1/23.5 GiB) on kv cache"
    " allocation is less than requested memory for kv (99.0 GiB). Decrease"
    " --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory",
    "KV space too small": "ValueError: To serve at least one request with the model's max seq len"
    " (2048), (0.2 GiB KV cache is needed, which is larger than the available KV cache memory",
    "no memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "length above the model's": "User-specified max_model_len (9000) is greater than the derived"
    " max_model_len (max_position_embeddings=4096",
    "weights missing": "OSError: We couldn't connect to the hub to load the files",
    "argument unknown": "vllm: error: unrecognized arguments: --nonsense",
    "metadata missing": "importlib.metadata.PackageNotFoundError: No package metadata for vllm",
    "torchvision broken": "RuntimeError: operator torchvision::nms does not exist",
    "engine died": "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    "worker failed silently": "Exception: WorkerProc initialization failed due to an exception",
}


@pytest.mark.parametrize("kind", SEEN)
def test_every_known_failure_is_named(kind):
    log = f"INFO 11-22 10:00:00 [a.py:1] fine\n(EngineCore pid=7) {SEEN[kind]}\nRuntimeError: end"
    told = failures.explain(log, 1, "while starting", "server.log")
    assert told.kind == kind
    assert "server.log" in told.hint and SEEN[kind][:40] in told.log


def test_the_cause_is_told_not_its_echo(played, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAY", f"say {SEEN['KV space too large']}\nEngineDeadError")
    with (
        pytest.raises(ServingProblem, match="larger than the free memory") as told,
        server.running([played], SETTINGS, tmp_path / "log"),
    ):
        pass
    assert told.value.kind == "KV space too large"
    assert failures.explain("nothing known", 3, "x", "log").kind == "ended"


def test_ports_and_programs_are_checked_first(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageProblem, match="cannot be had"):
            server.assert_free(port)
    server.assert_free(server.free_port())
    monkeypatch.delenv("TWIN_VLLM_CMD", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem, match="make vllm"):
        server.command(None)
    monkeypatch.setenv("TWIN_VLLM_CMD", "/nowhere/vllm")
    with pytest.raises(UsageProblem, match="TWIN_VLLM_CMD"):
        server.command(None)
    assert server.command(sys.executable) == Path(sys.executable)


def test_arguments_say_what_is_wanted():
    settings = server.Settings("m", 96, "random", kv_blocks=24, eager=True, cpu=True, kv_gib=2)
    said = " ".join(settings.arguments("name", 81))
    for words in ("--load-format dummy", "--num-gpu-blocks-override 24", "--enforce-eager",
                  "--max-model-len 96", "--port 81", "--no-enable-prefix-caching"):  # fmt: skip
        assert words in said
    assert settings.environment(Path("/x/bin/vllm"))["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "--load-format" not in server.Settings("m", 96).arguments("n", 1)


def test_a_running_server_is_used_and_left_alone():
    with fake.running(Behaviour("theirs", max_model_len=123, kv_tokens=200)) as (url, _):
        with server.attached(Target(url, "theirs")) as live:
            assert live.max_model_len == 123
            assert live.version == fake.VERSION
            live.assert_alive("now")
            assert live.members() == set()
        live.assert_alive("afterwards")
    with pytest.raises(ServingProblem, match="does not answer any more"):
        live.assert_alive("in the end")


def test_sigterm_to_the_command_ends_its_server(played, tmp_path):
    """A whole process: ``twin bench`` is ended from outside while its server starts."""
    code = (
        "import sys; from pathlib import Path; from serving import server; from serving.cli import"
        " stops_are_interrupts\n"
        "with stops_are_interrupts(), server.running([sys.argv[1]], server.Settings('m', 64),"
        " Path(sys.argv[2])) as live:\n"
        "    print(live.process.pid, flush=True); import time; time.sleep(60)"
    )
    ours = subprocess.Popen(
        [sys.executable, "-c", code, played, str(tmp_path / "log")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    pid = int(ours.stdout.readline())
    assert len(meter.group(pid)) == 2
    ours.terminate()
    ours.wait(20)
    ours.stdout.close()
    assert left(pid) == (set(), [])

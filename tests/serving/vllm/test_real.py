"""A real vLLM: what it counts, how it dies, and that nothing of it is left."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving import load, meter, server
from serving.load import Point
from serving.problem import ServingProblem

pytestmark = pytest.mark.gpu


def ours_in_shared_memory():
    folder = Path("/dev/shm")
    return set(folder.iterdir()) if folder.is_dir() else set()


def test_a_sweep_from_the_command_line(command, vllm, tiny, tmp_path):
    before = ours_in_shared_memory()
    code, out, err = command(
        "bench", tiny, "--weights", "random", "--lengths", "64/128", "--concurrency", "1,8",
        "--rate", "8", "--prompts", "24", "--repeats", "1", "-o", tmp_path / "c", "--json",
    )  # fmt: skip
    assert code == 0, err
    said = json.loads(out)
    assert said["failed"] == [] and said["missing"] == 0
    assert said["provenance"]["weights"] == "random"
    assert said["provenance"]["client"] == "vllm bench serve"
    assert said["provenance"]["kv_tokens"] > 1000
    one, eight, rate = said["rows"]
    assert eight["output_throughput_tok_s"] > 1.5 * one["output_throughput_tok_s"]
    assert one["running_max"] <= 1 and eight["running_max"] <= 8
    assert rate["request_throughput_per_s"] < 8.5
    record = json.loads((tmp_path / "c/points/in64_out128_c8_run1.seen.json").read_text())
    # To the token: the engine's own counters and the client's.
    assert record["server_counted"] == {
        "preemptions": 0, "prompt_tokens": 24 * 64, "generation_tokens": 24 * 128,
    }  # fmt: skip
    assert record["client_late_ms"] < 50
    assert ours_in_shared_memory() <= before
    assert not [line for line in _processes() if str(tmp_path) in line]


def test_a_small_cache_preempts_and_a_kill_in_mid_run_is_no_success(settings, vllm, tmp_path):
    """One start for both: 24 blocks hold 3,072 tokens of the 24 x 400 that are asked."""
    before = ours_in_shared_memory()
    small = replace(settings, kv_blocks=24)
    with server.running([vllm], small, tmp_path / "log") as live:
        url = live.target.url
        assert meter.cache_info(meter.read(url))["num_gpu_blocks"] == 24
        start = meter.parse(meter.read(url))
        point = Point(100, 300, 24, concurrency=24)
        result = load.drive_vllm([vllm], point, live.target, tmp_path / "small.json", 300)
        assert load.faults(result, point) == []
        said, moved, _ = load.counters_agree(start, result, lambda: meter.parse(meter.read(url)))
        assert said == []
        assert moved["preemptions"] > 0

        endless = Point(100, 900, 8, concurrency=4)
        worker = max(live.members() - {live.process.pid})
        timer = threading.Timer(1.0, lambda: _when_running(url, worker))
        timer.start()
        try:
            result = load.drive_vllm([vllm], endless, live.target, tmp_path / "cut.json", 300)
            faults = load.faults(result, endless)
        except ServingProblem as error:
            faults = [error.problem]
        timer.join()
        assert faults, "a cut run passed for a success"
        with pytest.raises(ServingProblem) as told:
            for _ in range(40):
                live.assert_alive("after the kill")
                time.sleep(0.5)
        assert told.value.kind == "engine died", told.value
    assert meter.group(live.process.pid) == set()
    assert ours_in_shared_memory() <= before


def test_a_taken_port_is_named(settings, vllm, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "assert_free", lambda port: None)  # as if taken just afterwards
    with socket.create_server(("127.0.0.1", 0)) as taken:
        mine = replace(settings, port=taken.getsockname()[1])
        with (
            pytest.raises(ServingProblem) as told,
            server.running([vllm], mine, tmp_path / "log"),
        ):
            pass
    assert told.value.kind == "port in use", told.value


def test_a_cache_larger_than_memory_is_named(settings, vllm, tmp_path):
    if not settings.cpu:
        pytest.skip("on a GPU the cache takes what is left")
    before = ours_in_shared_memory()
    with (
        pytest.raises(ServingProblem) as told,
        server.running([vllm], replace(settings, kv_gib=100_000), tmp_path / "log") as live,
    ):
        os.kill(live.process.pid, signal.SIGTERM)
    assert told.value.kind == "KV space too large", told.value
    assert "99999" in str(told.value) or "100000" in str(told.value)
    assert ours_in_shared_memory() <= before


def _when_running(url, worker):
    """Kill the worker once the load is under way."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if meter.parse(meter.read(url))["running"] >= 3:
            time.sleep(0.5)
            os.kill(worker, signal.SIGKILL)
            return
        time.sleep(0.1)


def _processes():
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "vllm" in line]

"""Metrics under old and new names, energy over a window, foreign processes."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from serving import fake, meter
from serving.fake import Behaviour
from serving.problem import ServingProblem

# Lines as vLLM 0.32 wrote them (two engines), with what has to be passed over.
PAGE = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \\"b\\" {c}"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:num_preemptions_total{engine="0",model_name="m"} 26.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.7e+09
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.536e+06
vllm:generation_tokens_total{engine="0",model_name="m"} 768.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.01",model_name="m"} 9.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.5
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 10.0
vllm:cache_config_info{block_size="128",engine="0",num_gpu_blocks="16384"} 1.0
"""


def test_the_page_is_read_engines_added_up():
    values = meter.parse(PAGE)
    assert values["running"] == 7
    assert values["kv_use"] == 0.5
    assert values["preemptions"] == 26
    assert values["prompt_tokens"] == 1_536_000
    assert values["ttft_sum"] / values["ttft_count"] == pytest.approx(0.05)
    assert meter.cache_info(PAGE) == {"block_size": 128, "num_gpu_blocks": 16384}


def test_old_names_are_known_and_unknown_ones_are_named():
    for names in ("current", "old"):
        with fake.running(Behaviour(metric_names=names)) as (url, _):
            assert meter.parse(meter.read(url))["kv_use"] == 0.0
    with (
        fake.running(Behaviour(metric_names="unknown")) as (url, _),
        pytest.raises(ServingProblem, match=r"no vllm:num_requests_running; it has vllm:renamed_"),
    ):
        meter.parse(meter.read(url))


def test_energy_of_a_window_is_the_counter_between_two_moments():
    # 100 W for 10 s, then 300 W: the window from 5 to 15 holds 500 + 1500 J.
    samples = [(0.0, 1000.0), (4.0, 1400.0), (10.0, 2000.0), (20.0, 5000.0)]
    assert meter.window(samples, 5.0, 15.0) == pytest.approx(2000.0)
    assert meter.window(samples, -1.0, 15.0) is None  # before the first sample nothing is known
    assert meter.window(samples, 5.0, 21.0) is None
    assert meter.window(samples[:1], 0.0, 0.0) is None


def test_the_sampler_sees_load_and_joules():
    watts = 250.0
    counter = SimpleNamespace(name="made up", joules=lambda: watts * time.perf_counter())
    behaviour = Behaviour(ttft_s=0.6, itl_s=0.0, concurrency=2)
    import threading

    from serving import client
    from serving.load import Point, Target

    with (
        fake.running(behaviour) as (url, _),
        meter.Sampler(url, counter=counter, every=0.1) as sampler,
    ):
        begin = time.perf_counter()
        work = threading.Thread(
            target=client.run, args=(Point(5, 1, 4, concurrency=4), Target(url, "fake"), 20.0)
        )
        work.start()
        time.sleep(0.5)
        end = time.perf_counter()
        work.join()
        time.sleep(0.2)
    said = sampler.summary(begin, end)
    assert (said["running_max"], said["waiting_max"]) == (2, 2)
    assert said["power_w"] == pytest.approx(watts, rel=0.01)
    assert said["energy_j"] == pytest.approx(watts * (end - begin), rel=0.01)


def test_a_foreign_process_that_computes_is_named():
    nice = "import os; os.nice(3)\nwhile True: pass"  # Linux counts such time apart
    busy = subprocess.Popen([sys.executable, "-c", nice])
    try:
        with fake.running(Behaviour()) as (url, _):
            with meter.Sampler(url, every=0.2) as foreign:
                time.sleep(1.0)
            with meter.Sampler(url, every=0.2, own=lambda: {busy.pid}) as own:
                time.sleep(1.0)
    finally:
        busy.kill()
        busy.wait()
    seen, spared = (one.summary(0.0, time.perf_counter()) for one in (foreign, own))
    assert seen["competing_cores"] - spared["competing_cores"] > 0.2
    assert any(word.startswith("python") for word in seen["competitors"])


def test_energy_is_not_measured_rather_than_guessed(monkeypatch):
    for name in ("pynvml", "zeus", "zeus.monitor"):
        monkeypatch.setitem(sys.modules, name, None)
    counter, said = meter.energy_counter()
    assert counter is None
    assert said == "not measured (nvml: not installed; zeus: not installed)"


def test_millijoules_of_all_visible_gpus_are_added(monkeypatch):
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetTotalEnergyConsumption=lambda i: 1000 * 10**i,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert meter.Nvml().joules() == 111.0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert meter.Nvml().joules() == 101.0


@pytest.mark.parametrize(
    ("measured", "name", "joules"),
    [
        ({"gpu_energy": {0: 2.0, 1: 3.0}, "cpu_energy": {0: 9.0}}, "GPUs", 5.0),
        ({"soc_energy": SimpleNamespace(total_energy_mj=4000.0)}, "whole board", 4.0),
        ({"cpu_energy": {0: 9.0}, "dram_energy": {0: 1.0}}, "processor packages and memory", 10.0),
    ],
)
def test_zeus_windows_end_to_end(monkeypatch, measured, name, joules):
    whole = {"gpu_energy": {}, "cpu_energy": None, "dram_energy": None, "soc_energy": None}
    monitor = SimpleNamespace(
        begin_window=lambda _: None, end_window=lambda _: SimpleNamespace(**(whole | measured))
    )
    monkeypatch.setitem(sys.modules, "zeus", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "zeus.monitor", SimpleNamespace(ZeusMonitor=lambda: monitor))
    counter = meter.Zeus()
    assert counter.name == f"zeus: {name}"
    assert [counter.joules(), counter.joules()] == [joules, 2 * joules]

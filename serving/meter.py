"""What is measured beside the load: the server's own numbers, the machine's business, energy.

All of it is sampled in a thread, with ``time.perf_counter`` as the clock. That clock is one for
all processes of the machine, so what a load client notes in it can be laid over the samples.
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from serving.problem import ServingProblem

# Our name, and what vLLM has called it (0.32 first, then older ones).
ALIASES: dict[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_use": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    "prompt_tokens": ("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
    "generation_tokens": ("vllm:generation_tokens_total", "vllm:generation_tokens"),
}
# Not every server has these: they only check the client's own clock.
OPTIONAL = {
    "ttft_sum": ("vllm:time_to_first_token_seconds_sum",),
    "ttft_count": ("vllm:time_to_first_token_seconds_count",),
}
COUNTERS = ("preemptions", "prompt_tokens", "generation_tokens")
LINE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
SHARED = Path("/dev/shm")
COMPETES_CORES = 0.1  # a foreign process that uses more than this is named


def parse(page: str) -> dict[str, float]:
    """Our numbers out of a Prometheus page, engines added up (cache use: averaged).

    Raises:
        ServingProblem: one of them is under no name that is known.
    """
    found: dict[str, list[float]] = {}
    for line in page.splitlines():
        if not line.startswith("#") and (match := LINE.match(line)):
            found.setdefault(match["name"], []).append(float(match["value"]))
    values = {}
    for ours, names in ALIASES.items():
        name = next((name for name in names if name in found), None)
        if name is None:
            others = sorted(n for n in found if n.startswith("vllm:") and ours.split("_")[0] in n)
            raise ServingProblem(
                f"the server's /metrics has no {' or '.join(names)}",
                (f"it has {', '.join(others[:4])}; " if others else "")
                + "this vLLM names its metrics otherwise: vLLM 0.32 is known to work",
                kind="metric names",
            )
        total = sum(found[name])
        values[ours] = total / len(found[name]) if ours == "kv_use" else total
    for ours, names in OPTIONAL.items():
        if name := next((name for name in names if name in found), None):
            values[ours] = sum(found[name])
    return values


def cache_info(page: str) -> dict[str, int]:
    """Block size and number of blocks of the KV cache, where the server tells."""
    for line in page.splitlines():
        if line.startswith("vllm:cache_config_info") and (match := LINE.match(line)):
            labels = dict(LABEL.findall(match["labels"] or ""))
            said = {key: labels.get(key, "") for key in ("block_size", "num_gpu_blocks")}
            return {key: int(text) for key, text in said.items() if text.isdigit()}
    return {}


def read(url: str, key: str = "") -> str:
    """The metrics page of a server."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url}/metrics", headers=headers, timeout=10)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ServingProblem(f"{url}/metrics does not answer: {error or type(error).__name__}",
                             kind="no metrics") from None  # fmt: skip
    return answer.text


class EnergyCounter(Protocol):
    """Joules used since some moment, as hardware counts them."""

    name: str

    def joules(self) -> float:
        """The counter now."""
        ...


class Nvml:
    """The total-energy counters of all visible NVIDIA GPUs (Volta and newer)."""

    name = "NVML total energy counter"

    def __init__(self):
        import pynvml

        self._nvml = pynvml
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        indices = [int(i) for i in chosen if i.strip().isdigit()] or range(count)
        self._devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in indices if i < count]
        self.joules()  # raises here where the GPU has no such counter

    def joules(self) -> float:
        """Joules since the driver was loaded."""
        count = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return sum(count(device) for device in self._devices) / 1000.0  # the counter is in mJ


class Zeus:
    """What the zeus library can measure here (AMD, Jetson, Apple, RAPL), in windows end to end."""

    def __init__(self):
        from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found]

        self._monitor, self._sum = ZeusMonitor(), 0.0
        self._monitor.begin_window("meter")
        time.sleep(0.1)
        kind, _ = self._close()
        if not kind:
            raise RuntimeError("finds no energy counter")
        self.name = f"zeus: {kind}"

    def _close(self) -> tuple[str, float]:
        """What the finished window covers, and its joules: one device kind, nothing twice."""
        said = self._monitor.end_window("meter")
        self._monitor.begin_window("meter")
        if said.gpu_energy:
            return "GPUs", float(sum(said.gpu_energy.values()))
        soc = said.soc_energy
        if (total := getattr(soc, "total_energy_mj", None)) is not None:
            return "whole board", total / 1000.0
        parts = [getattr(soc, f"{part}_mj", None) for part in ("cpu_total", "gpu", "dram", "ane")]
        if known := [part for part in parts if part is not None]:
            return "chip (processor, GPU, memory, neural engine)", sum(known) / 1000.0
        if said.cpu_energy:
            dram = sum((said.dram_energy or {}).values())
            return "processor packages and memory", float(sum(said.cpu_energy.values())) + dram
        return "", 0.0

    def joules(self) -> float:
        """Joules since this object was made."""
        self._sum += self._close()[1]
        return self._sum


def energy_counter() -> tuple[EnergyCounter | None, str]:
    """The counter of this machine, or why there is none. Nothing is ever estimated."""
    reasons = []
    for make in (Nvml, Zeus):
        try:
            counter = make()
        except ImportError:
            reasons.append(f"{make.__name__.lower()}: not installed")
        except Exception as error:  # each driver has errors of its own kind
            reasons.append(f"{make.__name__.lower()}: {error or type(error).__name__}")
        else:
            return counter, counter.name
    return None, "not measured (" + "; ".join(reasons) + ")"


@dataclass
class Sampler:
    """Samples one server, and the machine, until it is left."""

    url: str
    key: str = ""
    own: Callable[[], Iterable[int]] = lambda: ()  # process ids that are part of the benchmark
    counter: EnergyCounter | None = None
    every: float = 0.2  # a point of load may last less than a second
    series: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    energy: list[tuple[float, float]] = field(default_factory=list)
    missed: int = 0

    def __enter__(self) -> "Sampler":
        self._stop = threading.Event()
        self._load = [_load_average()]
        self._before, self._busy, self._ours = _cpu_seconds(), _busy_seconds(), {}
        self._begun = time.perf_counter()
        self._count()  # before anything is asked, so that no window begins earlier
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)
        self._load.append(_load_average())
        self._took = time.perf_counter() - self._begun
        self._after, self._busy = _cpu_seconds(), _busy_seconds() - self._busy

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with httpx.Client(headers=headers, timeout=5) as client:
            while True:
                self._note_own()
                self._count()
                try:
                    page = client.get(f"{self.url}/metrics").raise_for_status().text
                    self.series.append((time.perf_counter(), parse(page)))
                except (httpx.HTTPError, ServingProblem):
                    self.missed += 1  # counted; whether the server lives is asked elsewhere
                if self._stop.wait(self.every):
                    break
        self._count()

    def _count(self) -> None:
        if self.counter is not None:
            self.energy.append((time.perf_counter(), self.counter.joules()))

    def _note_own(self) -> None:
        """CPU time of our own processes as of now; the client's ends before we do."""
        for pid in {os.getpid(), *self.own()}:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                self._ours[pid] = times.user + times.system

    def summary(self, begin: float, end: float) -> dict[str, Any]:
        """What the window from ``begin`` to ``end`` (perf_counter) held."""
        inside = [values for at, values in self.series if begin <= at <= end]
        said: dict[str, Any] = {"samples": len(inside), "samples_missed": self.missed}
        for name in ("running", "waiting", "kv_use"):
            values = [one[name] for one in inside]
            said[f"{name}_mean"] = sum(values) / len(values) if values else None
            said[f"{name}_max"] = max(values) if values else None
        said["load_average_before"], said["load_average_after"] = self._load
        said.update(self._competitors())
        joules = window(self.energy, begin, end)
        said["energy_j"] = joules
        said["power_w"] = joules / (end - begin) if joules is not None and end > begin else None
        return said

    def _competitors(self) -> dict[str, Any]:
        """Cores that all others used, those that came and went included; names of the loudest."""
        ours = sum(s - self._before.get(pid, ("", 0.0))[1] for pid, s in self._ours.items())
        loud = []
        for pid, (name, seconds) in self._after.items():
            cores = (seconds - self._before.get(pid, (name, 0.0))[1]) / self._took
            if pid not in self._ours and cores > COMPETES_CORES:
                loud.append((cores, name))
        return {
            "competing_cores": round(max(self._busy - ours, 0.0) / self._took, 3),
            "competitors": [f"{name} {cores:.2f}" for cores, name in sorted(loud)[:-6:-1]],
        }


def window(samples: list[tuple[float, float]], begin: float, end: float) -> float | None:
    """Difference of a counter between two moments, straight lines between samples."""
    if len(samples) < 2 or begin < samples[0][0] or end > samples[-1][0] or end <= begin:
        return None

    def at(moment: float) -> float:
        for (t0, j0), (t1, j1) in zip(samples, samples[1:], strict=False):
            if t0 <= moment <= t1:
                return j0 + (j1 - j0) * (moment - t0) / (t1 - t0) if t1 > t0 else j1
        return samples[-1][1]

    return at(end) - at(begin)


def group(*leaders: int) -> set[int]:
    """All processes in the process groups of these leaders that are alive."""
    found = set()
    for pid in psutil.pids():
        # A process may end between the two questions. One that has ended and was not yet asked
        # for its exit code, by whoever should, uses nothing.
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(pid) in leaders and psutil.Process(pid).status() != "zombie":
                found.add(pid)
    return found


def markers(pids: Iterable[int]) -> set[Path]:
    """What Intel's OpenMP left in shared memory of those of these processes that were killed.

    A marker is closed as soon as it is written, so only the process id in its name tells whose it
    is. One whose process lives stays: the id may have been given to somebody else meanwhile.
    """
    dead = [pid for pid in pids if not _lives(pid)]
    return {path for pid in dead for path in SHARED.glob(f"__KMP_REGISTERED_LIB_{pid}_*")}


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:  # a system without one
        return None


def _busy_seconds() -> float:
    """CPU time that the machine has spent on anything."""
    times = psutil.cpu_times()
    # Linux counts what runs at lower priority apart.
    return times.user + times.system + getattr(times, "nice", 0.0)


def _cpu_seconds() -> dict[int, tuple[str, float]]:
    """Name and CPU time used so far, of every process that may be looked at."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.pid] = (process.info["name"] or "?", times.user + times.system)
    return found

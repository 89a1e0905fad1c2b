"""Which devices a run uses and how programs are compiled for them."""

import contextlib
import os
from pathlib import Path
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from twin.arrays import use_64_bit

CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_cpu_multi_thread_eigen": False}
LANES_A_DEVICE = 64  # below this a second device costs more than it gives


def prepare() -> None:
    """Make JAX ready: 64 bit, one virtual CPU device a core, a compilation cache that persists.

    Where JAX already runs, as in a notebook, the devices stay as they are.
    """
    use_64_bit()
    with contextlib.suppress(RuntimeError):  # raised where JAX already runs
        jax.config.update("jax_num_cpu_devices", cores())
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where compiled programs are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "constellation-twin" / "xla"


def mesh(lanes: int) -> Mesh:
    """The devices that share `lanes` satellites between them."""
    devices = jax.devices()
    count = max(1, min(len(devices), lanes // LANES_A_DEVICE))
    return jax.make_mesh((count,), ("sat",), (AxisType.Auto,), devices=devices[:count])


def options() -> dict[str, Any]:
    """Compiler options, which only the CPU backend understands."""
    return dict(CPU_OPTIONS) if jax.default_backend() == "cpu" else {}


def describe(used: Mesh) -> str:
    """The devices in words."""
    first = used.devices.flat[0]
    kind = f"{_processor()}" if first.platform == "cpu" else first.device_kind
    unit = "core" if first.platform == "cpu" else "device"
    count = used.devices.size
    return f"{kind}, {count} {unit}{'s' if count > 1 else ''} ({first.platform})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return "CPU"

"""Which devices a run uses and how programs are compiled for them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import AxisType, Mesh, PartitionSpec

from twin.arrays import use_64_bit

P = ParamSpec("P")
T = TypeVar("T")
# A record is one function of some thousand loops. Some passes of LLVM take minutes over a reverse
# pass of it, and unrolled loops no longer fit the instruction cache.
CPU_OPTIONS = {
    "xla_backend_optimization_level": 2,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_multi_thread_eigen": False,
}
# Nor do loops of few turns that are written out: a step of the twelve would take 1.4 times as long.
# There is no compiler option against it; XLA reads the variable when a first program is compiled.
ROLLED = "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling=true"
_compact: ContextVar[bool] = ContextVar("compact", default=False)
LANES_A_DEVICE = 64  # below this a second device costs more than it gives
LANES_A_TURN = 32  # on a CPU: what a step touches of so many satellites stays near a core
VECTOR = 8  # numbers of 64 bit that a core takes at once; a rest goes one by one


def prepare() -> None:
    """Make JAX ready: 64 bit, one virtual CPU device a core, a compilation cache that persists.

    Where JAX already runs, as in a notebook, the devices stay as they are.
    """
    use_64_bit()
    with contextlib.suppress(RuntimeError):  # raised where JAX already runs
        jax.config.update("jax_num_cpu_devices", cores())
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_backend_extra_options" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {ROLLED}".strip()
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


def turns(lanes: int, used: Mesh) -> int:
    """In how many blocks, one after the other, each device takes its share of the satellites."""
    if used.devices.flat[0].platform != "cpu":
        return 1
    return max(1, round(lanes / used.devices.size / LANES_A_TURN))


def padded(lanes: int, used: Mesh) -> int:
    """How many satellites to lay out, so that all blocks are equal; on a CPU in whole vectors."""
    blocks = used.devices.size * turns(lanes, used)
    block = -(-lanes // blocks)
    if blocks > 1 and used.devices.flat[0].platform == "cpu":
        block += -block % VECTOR
    return blocks * block


def in_turns(run: Callable[..., Any], specs: tuple[Any, ...], count: int) -> Callable[..., Any]:
    """A function of trees with satellites on the last axis, over `count` blocks of them in turn.

    `specs` tell which leaves of the arguments have that axis; all that is returned has it. The
    satellites must divide into the blocks.
    """
    if count == 1:
        return run

    def blocked(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        along = jax.tree.leaves(specs, is_leaf=lambda x: isinstance(x, PartitionSpec))
        ours = [bool(where) and where[-1] == "sat" for where in along]

        def block(parts: list[jax.Array]) -> Any:
            queue = iter(parts)
            whole = [next(queue) if o else x for o, x in zip(ours, leaves, strict=True)]
            return run(*jax.tree.unflatten(structure, whole))

        def cut(x: jax.Array) -> jax.Array:
            parts = x.reshape(*x.shape[:-1], count, x.shape[-1] // count)
            return jnp.moveaxis(parts, -2, 0)

        def joined(x: jax.Array) -> jax.Array:
            return jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], count * x.shape[-1])

        parts = [cut(x) for o, x in zip(ours, leaves, strict=True) if o]
        return jax.tree.map(joined, jax.lax.map(block, parts))

    return blocked


def options(lanes: int) -> dict[str, Any]:
    """Compiler options, which only the CPU backend understands, for programs of so many lanes."""
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_cpu_prefer_vector_width": 256 if lanes % VECTOR else 512, **CPU_OPTIONS}


@contextlib.contextmanager
def compact() -> Iterator[None]:
    """Programs traced in this context keep each function `as_one` together, on a CPU.

    They are compiled with `options`: without them a reverse pass takes LLVM minutes. It does not
    compile by tables that satellites share: their slopes are scattered.
    """
    token = _compact.set(jax.default_backend() == "cpu")
    try:
        yield
    finally:
        _compact.reset(token)


def anew(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, computed again on a way back: to remember what is in it takes twice the time."""
    return jax.checkpoint(function, prevent_cse=False)  # nothing here stands beside its repetition


def as_one(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, compiled in a `compact` program as one function of the CPU, loops and all.

    Else it would become hundreds of kernels, each of which costs a microsecond to start.
    """
    compiled = jax.jit(function)

    @wraps(function)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _compact.get():
            return compiled(*args, **kwargs)
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            return compiled(*args, **kwargs)

    return whole


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

"""What this machine has, and what to do about what is missing: `twin doctor`."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any, NamedTuple

PROBE = 90.0  # s for a picture: the first one without a graphics card takes up to 7


class Finding(NamedTuple):
    """One thing that was looked for: whether it is there, what it is, what to do if it is not."""

    ok: bool
    found: str
    hint: str = ""


def examine() -> list[dict[str, Any]]:
    """Every finding as ``what``, ``ok``, ``found`` and ``hint``."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python, "jax": _jax, "cache": _cache, "ephemeris": _ephemeris,
        "time": _time_tables, "drawing": _drawing, "parquet": _parquet, "commands": _commands,
        "vllm": _vllm,
    }  # fmt: skip
    found = []
    for what, check in checks.items():
        try:
            finding = check()
        except Exception as error:  # a doctor tells what is broken, whatever it is
            finding = Finding(False, f"{type(error).__name__}: {error}")
        found.append({"what": what, **finding._asdict()})
    return found


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    hint = "" if ok else "Python 3.11 or newer is needed"
    return Finding(ok, f"{platform.python_version()} on {platform.machine()}", hint)


def _jax() -> Finding:
    import jax
    import jax.numpy as jnp

    from twin import devices

    devices.prepare()
    wide = jnp.ones(1, jnp.float64).dtype == jnp.float64
    every = jax.devices()
    found = (
        f"{version('jax')}, {devices.describe(devices.mesh(devices.LANES_A_DEVICE * len(every)))}"
    )
    if not wide:
        return Finding(False, found, "64 bit could not be switched on; is JAX_ENABLE_X64=0 set?")
    # A GPU without its plugin is the commonest reason for a slow run.
    lonely = every[0].platform == "cpu" and shutil.which("nvidia-smi")
    return Finding(True, found, 'for the GPU here: pip install "jax[cuda13]"' if lonely else "")


def _cache() -> Finding:
    from twin.devices import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        writable = False
    else:
        writable = os.access(folder, os.W_OK)
    hint = "" if writable else "programs are compiled anew each time; set XDG_CACHE_HOME"
    return Finding(writable, f"{folder}{'' if writable else ' cannot be written'}", hint)


def _ephemeris() -> Finding:
    from twin.clock import EPHEMERIS_START, EPHEMERIS_STOP, ephemeris

    ephemeris()
    return Finding(True, f"DE421, {EPHEMERIS_START.text()[:10]} to {EPHEMERIS_STOP.text()[:10]}")


def _time_tables() -> Finding:
    from twin.clock import Epoch, timescale

    days = timescale().delta_t_table[0]  # terrestrial time, one row a day
    end = Epoch.of(float(days[-1]))
    left = end.seconds_since(Epoch.now()) / 86_400
    found = f"UT1 to {end.text()[:10]} (skyfield-data {version('skyfield-data')})"
    if left > 0:
        return Finding(True, found)
    return Finding(False, found, "pip install --upgrade skyfield-data (later UT1 is extrapolated)")


def _drawing() -> Finding:
    command = [sys.executable, "-c", "import json, viz.probe as p; print(json.dumps(p.probe()))"]
    child = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=PROBE, check=False
    )
    try:
        said = json.loads(child.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return Finding(False, last, "runs and reports work without pictures")
    if said["works"]:
        return Finding(True, said["renderer"] or "works")
    return Finding(False, said["problem"], said["hint"])


def _parquet() -> Finding:
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        hint = 'pip install "constellation-twin[formats]" (twin export --csv works without it)'
        return Finding(False, "pyarrow is not installed", hint)
    return Finding(True, f"pyarrow {version('pyarrow')}")


def _commands() -> Finding:
    """Commands that join `twin` from other packages."""
    names, broken = [], []
    for point in entry_points(group="twin.commands"):
        try:
            point.load()
            names.append(point.name)
        except Exception as error:  # whatever hinders it: the command is missing
            broken.append(f"{point.name} cannot be loaded ({error})")
    hint = "pip install --force-reinstall constellation-twin" if broken else ""
    return Finding(not broken, ", ".join([*broken, *names]) or "none", hint)


def _vllm() -> Finding:
    command = shutil.which("vllm")
    if command is None:
        return Finding(
            False, "no vllm command", "only twin bench needs it: make vllm (in .venv-vllm)"
        )
    try:
        return Finding(True, f"{version('vllm')} at {command}")
    except PackageNotFoundError:  # in an environment of its own, as it should be
        return Finding(True, command)

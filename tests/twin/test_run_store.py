"""Runs on disk: cut short anywhere, they go on and end with the very same numbers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

SATELLITES, CHUNK = 3, 4  # records a chunk: 6 chunks
TINY = f"""
title = "Tiny"
[run]
start = 2025-10-04T00:00:00Z
duration_h = 2
step_s = 60
record_s = 300
samples = 0
[class.small]
[[shell]]
satellites = {SATELLITES}
planes = 1
"""
# The command, with small chunks and a disk slow enough to be interrupted in the middle.
SLOW = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
import twin.simulate
twin.simulate.CHUNK_BYTES = {CHUNK * SATELLITES} * twin.simulate.RECORD_BYTES
append = twin.simulate.Writer.append
def slowly(self, *arguments):
    time.sleep(PAUSE / 2)
    append(self, *arguments)
    time.sleep(PAUSE / 2)
twin.simulate.Writer.append = slowly
from twin.cli import main
main()
"""
START_UP = 240.0  # s that a busy machine may need to begin


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "tiny.toml"
    path.write_text(TINY)
    return path


def twin(*arguments, pause=0.0):
    """The command in a process of its own."""
    code = SLOW.replace("PAUSE", str(pause))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(child):
    out, err = child.communicate(timeout=START_UP)
    return child.returncode, out, err


def wait_for(path, child):
    end = time.monotonic() + START_UP
    while not path.exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def variables(folder):
    with xr.open_zarr(Path(folder) / "run.zarr", consolidated=False, decode_times=False) as data:
        return {name: data[name].to_numpy() for name in data.variables}


def assert_identical(folder, other):
    one, two = variables(folder), variables(other)
    assert one.keys() == two.keys() and len(one) > 15
    for name in one:
        assert one[name].dtype == two[name].dtype
        assert one[name].tobytes() == two[name].tobytes() or list(one[name]) == list(two[name])


@pytest.fixture(scope="module")
def whole(scenario, tmp_path_factory):
    """The same run, never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, _, err = finish(twin("run", scenario, "-o", folder))
    assert code == 0, err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.13, 0.31, 0.52])
def test_killed_at_any_moment_a_run_goes_on_to_the_same_bits(scenario, whole, tmp_path, after):
    """`after` the store exists: before the first checkpoint, between two, within a write."""
    child = twin("run", scenario, "-o", tmp_path / "run", pause=0.1)
    wait_for(tmp_path / "run" / "run.zarr" / "alive", child)
    time.sleep(after)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (tmp_path / "run" / "report.json").exists()
    code, _, err = finish(twin("resume", tmp_path / "run"))
    assert code == 0, err
    assert_identical(tmp_path / "run", whole)


@pytest.mark.slow
def test_ctrl_c_says_what_is_saved_and_resume_finishes(scenario, whole, tmp_path):
    run = tmp_path / "run"
    child = twin("run", scenario, "-o", run, pause=0.3)
    wait_for(run / "checkpoint.npz", child)
    os.kill(child.pid, signal.SIGINT)
    code, out, err = finish(child)
    assert code == 130 and not out and "Traceback" not in err
    assert f"records are saved in {run}; go on with: twin resume {run}" in err
    with np.load(run / "checkpoint.npz") as saved:
        records = int(saved["records"])
    assert f"{records} records" in err and 0 < records < 24 and records % CHUNK == 0
    code, _, err = finish(twin("resume", run))
    assert code == 0, err
    assert_identical(run, whole)


@pytest.mark.slow
def test_a_torn_last_chunk_is_written_anew(scenario, tmp_path, monkeypatch):
    """A kill within a write leaves half a file behind, also where a chunk is not full."""
    import twin.simulate
    from twin import flight
    from twin.load import load
    from twin.results import Writer

    size = 7 * SATELLITES * twin.simulate.RECORD_BYTES
    monkeypatch.setattr(twin.simulate, "CHUNK_BYTES", size)
    loaded = load(str(scenario), ["run.duration_h=1.9166666666666667"])  # 23 records: 7, 7, 7, 2
    good, _ = flight.fly(loaded, tmp_path / "good")
    append = Writer.append
    torn_files = []

    def torn(self, first, *rest):
        checkpoint = self.folder / "checkpoint.npz"
        before = checkpoint.read_bytes() if first else b""
        append(self, first, *rest)
        if first == 21:
            checkpoint.write_bytes(before)
            store = self.folder / "run.zarr"
            for path in store.rglob("*"):
                if path.is_file() and path.relative_to(store).parts[1:3] == ("c", "3"):
                    path.write_bytes(path.read_bytes()[:20])
                    torn_files.append(path)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "append", torn)
    with pytest.raises(OSError, match="No space") as caught:
        flight.fly(loaded, tmp_path / "run")
    assert len(torn_files) >= 12  # one of each variable, but for those that are all zero
    assert "21 records are saved" in caught.value.__notes__[0]
    monkeypatch.setattr(Writer, "append", append)
    flight.resume(tmp_path / "run")
    assert_identical(tmp_path / "run", good.folder)

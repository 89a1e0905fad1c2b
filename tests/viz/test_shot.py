"""``twin shot`` from the outside, the probe, and what importing costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import viz.export
from viz.cli import UsageProblem, register
from viz.probe import PACKAGES, probe
from viz.problem import DrawingProblem

BROKEN = {
    "__EGL_VENDOR_LIBRARY_DIRS": "/nowhere",
    "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow",
}


@pytest.fixture
def twin():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    runner = CliRunner()
    return lambda *words: runner.invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("extra", "where"),
    [
        (["--color", "warmth"], "--color"),
        (["--at", "+99"], "--at"),
        (["--at", "yesterday"], "--at"),
        (["--size", "big"], "--size"),
        (["--size", "10x10"], "--size"),
        (["--size", "99999x10"], "--size"),
    ],
)
def test_bad_questions_are_refused_with_what_is_allowed(twin, twelve, tmp_path, extra, where):
    result = twin("shot", twelve, "-o", tmp_path / "a.png", *extra)
    assert isinstance(result.exception, UsageProblem)
    (problem,) = result.exception.problems
    assert problem.where == where and problem.allowed
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_and_no_png_is_refused(twin, twelve, tmp_path):
    assert isinstance(twin("shot", tmp_path, "-o", "a.png").exception, UsageProblem)
    assert isinstance(twin("shot", twelve, "-o", "a.gif").exception, UsageProblem)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_machine_that_cannot_draw_is_told_what_to_install(
    twin, twelve, tmp_path, monkeypatch, as_json
):
    def refuse():
        raise DrawingProblem("this machine cannot draw", f"install {PACKAGES}")

    monkeypatch.setattr(viz.export, "require_drawing", refuse)
    extra = ["--json"] if as_json else []
    result = twin("shot", twelve, "-o", tmp_path / "a.png", *extra)
    assert result.exit_code == 1
    if as_json:
        assert PACKAGES in json.loads(result.stdout)["errors"][0]["hint"]
    else:
        assert PACKAGES in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_without_opengl_the_probe_reports_and_the_caller_lives():
    report = probe(env={**os.environ, **BROKEN})
    assert report["works"] is False
    assert PACKAGES in report["problem"] and PACKAGES in report["hint"]


def test_a_probe_that_hangs_is_ended():
    report = probe(timeout=0.01)
    assert report["works"] is False and "longer" in report["problem"]


def test_importing_the_package_and_its_commands_loads_no_drawing_library():
    heavy = "{'numpy', 'pyvista', 'vtkmodules', 'xarray'}"
    code = f"import sys, viz, viz.cli; print(*{heavy} & set(sys.modules))"
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert said.stdout.strip() == ""


@pytest.mark.image
def test_the_command_draws_and_says_what(twin, twelve, tmp_path):
    if not probe()["works"]:
        pytest.skip("this machine cannot draw")
    picture = tmp_path / "deep" / "a.png"
    result = twin("shot", twelve, "-o", picture, "--size", "640x480", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["picture"] == str(picture) and picture.stat().st_size > 10_000
    assert said["variable"] == "battery_energy" and said["time"].endswith("Z")

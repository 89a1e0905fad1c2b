"""Can this machine draw? Asked in a child process, because without OpenGL VTK ends the process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from viz.problem import DrawingProblem

PACKAGES = "libegl1 libgl1-mesa-dri"
HINT = f"on Debian or Ubuntu: apt-get install --no-install-recommends {PACKAGES}"
TIMEOUT = 60.0  # s; a first frame without a graphics card takes up to 7 s


def probe(timeout: float = TIMEOUT, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Draw a small picture in a child process and say how that went; never raises, never crashes.

    Returns ``works`` (bool), ``renderer`` (the name OpenGL gives), ``problem`` (a sentence) and
    ``hint`` (what to install); what does not apply is empty. ``env`` replaces the child's
    environment.
    """
    command = [sys.executable, "-m", "viz.probe"]
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=with_path(os.environ if env is None else env),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _failure(f"drawing a test picture took longer than {timeout:.0f} s")
    except OSError as error:
        return _failure(f"the test picture could not be started ({error.strerror})")
    try:
        said = json.loads(child.stdout.strip().splitlines()[-1])
        if said["works"] or said["problem"]:
            return said
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        pass
    if child.returncode < 0:
        end = f"the test process was ended by signal {-child.returncode}"
    else:
        end = f"the test process ended with code {child.returncode}"
    return _failure(f"no usable OpenGL library was found ({end})")


@cache
def require_drawing() -> None:
    """Do nothing where pictures can be drawn; otherwise raise with what to install."""
    report = probe()
    if not report["works"]:
        raise DrawingProblem(report["problem"], report["hint"])


def with_path(env: Mapping[str, str]) -> dict[str, str]:
    """The child finds the same packages as its parent."""
    return {**env, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _failure(problem: str) -> dict[str, Any]:
    return {
        "works": False,
        "renderer": "",
        "problem": f"this machine cannot draw: {problem}; it may lack {PACKAGES}",
        "hint": HINT,
    }


def _draw() -> dict[str, Any]:
    """In the child: a white ball on black must be neither all black nor all white."""
    try:
        import pyvista as pv
    except ImportError as error:
        return {**_failure(""), "problem": f"PyVista cannot be loaded ({error})"}
    plotter: Any = pv.Plotter(off_screen=True, window_size=[64, 64], lighting="none")
    plotter.set_background("black")
    plotter.add_mesh(pv.Sphere(), color="white", lighting=False)
    picture = plotter.screenshot(return_img=True)
    said = str(plotter.render_window.ReportCapabilities())
    plotter.close()
    lines = [line for line in said.splitlines() if "renderer string" in line]
    if not 10 < float(picture.mean()) < 245:  # type: ignore[union-attr]
        return _failure("the test picture came out blank")
    renderer = lines[0].split(":", 1)[1].strip() if lines else ""
    return {"works": True, "renderer": renderer, "problem": "", "hint": ""}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_draw()) + "\n")
    sys.stdout.flush()

"""Pictures off screen: a still from a run store."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from viz import theme
from viz.camera import VIEW_ANGLE, Camera, choose, text_scale
from viz.globe import UNIT, Globe
from viz.hud import Hud
from viz.layers import STAR_DISTANCE, Satellites, Stars, Trails
from viz.probe import require_drawing
from viz.problem import UsageProblem
from viz.scene import Frame, Run

SMALLEST, LARGEST = 480, 7680
DOUBLE_UP_TO = 4096  # wider pictures are drawn at their own size


@dataclass(frozen=True)
class Still:
    """What was drawn."""

    picture: str
    time: str
    variable: str
    size: tuple[int, int]


def still(
    run: str | Path | Run,
    path: str | Path,
    time: str | None = None,
    variable: str | None = None,
    size: tuple[int, int] = (1920, 1080),
    view: tuple[float, float] | None = None,
) -> Still:
    """Draw one moment of a run into a PNG.

    ``time`` is ISO 8601 UTC or ``+H`` hours; left out, the record that says most
    (``Run.telling_record``: the fleet best split between sunlight and shadow, and the shown
    variable most different from satellite to satellite). The nearest record is shown, nothing is
    interpolated. ``variable`` is one of ``Run.allowed``. ``view`` is the point below the camera,
    degrees; left out, ``camera.choose`` finds one. The picture is drawn at twice its size and
    reduced, which smooths every edge.
    """
    checked_size(size)
    run = run if isinstance(run, Run) else Run(run)
    quantity, node = run.quantity(variable)
    legend = run.legend(variable)
    index = run.index_at(time, variable)
    frame = run.frame(index, variable, legend)
    factor = 2 if max(size) <= DOUBLE_UP_TO else 1
    drawn = (size[0] * factor, size[1] * factor)
    camera = choose(frame, drawn, view)
    require_drawing()
    image = compose(run, frame, camera, size)
    path = Path(path)
    save(image, path)
    shown = quantity.variable + ("" if node is None else f".{run.nodes[node]}")
    return Still(str(path), f"{frame.time:%Y-%m-%dT%H:%M:%SZ}", shown, size)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size, if a picture of that size can be drawn and read."""
    if not all(SMALLEST <= side <= LARGEST for side in size):
        allowed = f"{SMALLEST} to {LARGEST} pixels a side, such as 1920x1080"
        raise UsageProblem("--size", f"{size[0]}x{size[1]} cannot be drawn", allowed)
    return size


def compose(run: Run, frame: Frame, camera: Camera, size: tuple[int, int]) -> Any:
    """The frame with its words, as a Pillow image of ``size``."""
    from PIL import Image

    image = Image.fromarray(render(frame, camera))
    Hud(run, frame, camera).draw(image)
    return image.resize(size, Image.Resampling.LANCZOS) if image.size != size else image


def render(frame: Frame, camera: Camera, smooth: bool = True) -> np.ndarray:
    """The frame without words: (height, width, 3) bytes. The machine must be able to draw."""
    import pyvista as pv
    import vtkmodules.vtkCommonCore as vtk

    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)  # "bad X server connection"
    plotter: Any = pv.Plotter(off_screen=True, window_size=list(camera.size), lighting="none")
    try:
        plotter.disable_anti_aliasing()
        plotter.render_window.SetMultiSamples(0)
        plotter.set_background(theme.BACKGROUND)
        scale = text_scale(camera.size)
        layers = (Stars(scale), Globe(smooth), Trails(scale), Satellites(scale))
        for layer in layers:
            layer.build(plotter, frame, camera)
        aim(plotter, camera)
        plotter.render()
        picture = plotter.screenshot(return_img=True)
    finally:
        plotter.close()
    return np.asarray(picture)[..., :3].copy()


def aim(plotter: Any, camera: Camera) -> None:
    """Point VTK's camera; after the first mesh, or the clipping range comes out wrong."""
    view = plotter.camera
    view.SetPosition(*(camera.position / UNIT))
    view.SetFocalPoint(0.0, 0.0, 0.0)
    view.SetViewUp(*camera.up)
    view.SetViewAngle(VIEW_ANGLE)
    view.SetWindowCenter(-camera.shift, 0.0)
    distance = float(np.linalg.norm(camera.position)) / UNIT
    view.SetClippingRange(0.25 * distance, distance + 1.1 * STAR_DISTANCE)


def save(image: Any, path: Path) -> None:
    """Write whole or not at all: a name beside it first, then one move."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".png", dir=path.parent)
        os.close(handle)
        try:
            image.save(name, format="PNG", optimize=True)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageProblem("-o", f"{path} cannot be written ({error.strerror})") from error

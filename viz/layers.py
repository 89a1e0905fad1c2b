"""What lies round the Earth: each layer makes its actors once and then updates them in place.

A layer is a dataclass with ``build(plotter, frame, camera)`` and ``update(frame, camera)``. One
buffer holds all satellites: thousands of actors would be thousands of times slower. Drawing unit:
1,000 km (``globe.UNIT``), float32.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from viz import theme
from viz.camera import Camera, fibonacci
from viz.globe import UNIT
from viz.scene import Frame

STAR_DISTANCE = 150.0  # drawing units
FAR_SIZE = 0.72  # size of a dot beyond the Earth's middle
HEART = 0.56  # of a ring's size


def marker_size(satellites: int) -> float:
    """Diameter of a satellite's mark in pixels at 1080 lines: smaller where many share the sky."""
    if satellites <= 100:
        return theme.MARKER["small"]
    return theme.MARKER["large"] * float(np.clip((2800 / satellites) ** 0.25, 0.6, 1.5))


def _points(plotter: Any, count: int, size: float) -> tuple[Any, Any]:
    """A cloud of round dots with one colour each, and its actor."""
    import pyvista as pv

    cloud = pv.PolyData(np.zeros((count, 3), dtype=np.float32))
    cloud["rgb"] = np.zeros((count, 3), dtype=np.uint8)
    actor = plotter.add_mesh(
        cloud,
        scalars="rgb",
        rgb=True,
        style="points",
        point_size=size,
        render_points_as_spheres=True,
        lighting=False,
    )
    return cloud, actor


def _write(cloud: Any, points: np.ndarray, colours: np.ndarray) -> None:
    """New places and colours in the buffers that the actor already draws."""
    cloud.points[:] = points
    cloud["rgb"][:] = colours
    cloud.GetPoints().Modified()
    cloud.Modified()


@dataclass
class Satellites:
    """A dot per satellite, coloured by the legend; in the Earth's shadow the dot is a ring.

    Each dot is three discs, each a little nearer to the eye: a dark rim, the colour, and the dark
    heart that makes the ring. Satellites beyond the Earth's middle are drawn smaller. A cloud has
    one size, so there are six clouds; what a cloud must not show waits in the Earth's centre.
    """

    scale: float = 1.0  # pixels of the drawing per pixel at 1080 lines
    clouds: dict[tuple[str, bool], Any] = field(default_factory=dict)

    def build(self, plotter: Any, frame: Frame, camera: Camera) -> None:
        """Make the clouds, once."""
        count = len(frame.position)
        size = marker_size(count) * self.scale
        for far in (True, False):
            near = size * (FAR_SIZE if far else 1.0)
            rim = near + 2.4 * self.scale
            for part, pixels in (("rim", rim), ("colour", near), ("heart", HEART * near)):
                self.clouds[part, far] = _points(plotter, count, pixels)[0]
        self.update(frame, camera)

    def update(self, frame: Frame, camera: Camera) -> None:
        """Move, colour and hollow the dots."""
        place = np.where(frame.alive[:, None], frame.position, 0.0)
        # Along its own line of sight a disc stays on its pixel. A round dot bulges towards the eye
        # by its radius, so the discs of one satellite stand well clear of each other.
        step = 0.006 * (camera.position - place)
        beyond = place @ camera.position < 0
        dark = np.array(theme.rgb(theme.OUTLINE), dtype=np.uint8)
        for far in (True, False):
            shown = frame.alive & (beyond == far)
            ring = shown & frame.shadowed
            for part, where, depth in (
                ("rim", shown, -1),
                ("colour", shown, 0),
                ("heart", ring, 1),
            ):
                colour = frame.colours if part == "colour" else dark
                points = np.where(where[:, None], place + depth * step, 0.0)
                _write(self.clouds[part, far], points / UNIT, colour)


@dataclass
class Trails:
    """The last minutes of each satellite's way, fading and narrowing backwards; small fleets only.

    Each is a ribbon that faces the eye. (Wide translucent lines show a knot at every joint.)
    """

    scale: float = 1.0
    width: float = 3.0  # pixels at 1080 lines, at the satellite
    mesh: Any = None

    def build(self, plotter: Any, frame: Frame, camera: Camera) -> None:
        """Make one buffer for all ribbons."""
        import pyvista as pv

        satellites, points, _ = frame.trails.shape
        if points < 2:
            return
        number = np.arange(satellites * points * 2).reshape(satellites, points, 2)
        corners = (number[:, :-1, 0], number[:, :-1, 1], number[:, 1:, 1], number[:, 1:, 0])
        quads = np.stack([np.full_like(corners[0], 4), *corners], axis=-1)
        self.mesh = pv.PolyData(np.zeros((number.size, 3), dtype=np.float32), quads.ravel())
        colour = np.zeros((satellites, points, 2, 4), dtype=np.uint8)
        colour[..., :3] = theme.rgb(theme.TRAIL)
        colour[..., 3] = (190 * np.linspace(0, 1, points) ** 1.6)[:, None]
        self.mesh["rgba"] = colour.reshape(-1, 4)
        plotter.add_mesh(self.mesh, scalars="rgba", rgb=True, lighting=False)
        self.update(frame, camera)

    def update(self, frame: Frame, camera: Camera) -> None:
        """Lay the ribbons anew; early in a run, where trails are still short, leave them."""
        satellites, points, _ = frame.trails.shape
        if self.mesh is None or satellites * points * 2 != self.mesh.n_points:
            return
        trails = np.nan_to_num(frame.trails)
        sight = camera.position - trails
        side = np.cross(np.gradient(trails, axis=1), sight)
        side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
        taper = np.linspace(0.35, 1, points)[:, None]
        pixel = np.linalg.norm(sight, axis=-1, keepdims=True) * camera.pixel_angle
        side *= 0.5 * self.width * self.scale * taper * pixel
        ribbon = np.stack([trails - side, trails + side], axis=2)
        self.mesh.points[:] = ribbon.reshape(-1, 3) / UNIT
        self.mesh.GetPoints().Modified()
        self.mesh.Modified()


@dataclass
class Stars:
    """A faint even scatter: decoration that tells sky from nothing, not a star catalogue."""

    scale: float = 1.0
    count: int = 900

    def build(self, plotter: Any, frame: Frame, camera: Camera) -> None:
        """Scatter them once; always the same sky."""
        rng = np.random.default_rng(7)
        towards = fibonacci(self.count) + rng.normal(0, 0.08, (self.count, 3))
        towards /= np.linalg.norm(towards, axis=1)[:, None]
        brightness = 38 + 130 * rng.random(self.count) ** 4
        tint = np.array([0.86, 0.93, 1.0])
        cloud, _ = _points(plotter, self.count, 1.9 * self.scale)
        _write(cloud, towards * STAR_DISTANCE, (brightness[:, None] * tint).astype(np.uint8))

    def update(self, frame: Frame, camera: Camera) -> None:
        """Nothing moves: the sky is inertial."""

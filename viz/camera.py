"""Where to look from: pure geometry in TEME, so that it can be tested without drawing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from viz.scene import EARTH_POLAR_RADIUS, EARTH_RADIUS, Frame, itrf_from_teme, surface_position

VIEW_ANGLE = 28.0  # degrees from bottom to top: little distortion, still some depth
FILL = 0.93  # share of the free space that the fleet's shell takes
BEST_SUN_ANGLE = 78.0  # degrees between camera and Sun: a little more day than night
LIMB_MARGIN = 1.002  # what the limb's edge hides counts as hidden


@dataclass(frozen=True)
class Camera:
    """A camera that looks at the Earth's centre; metres, TEME.

    ``shift`` moves the picture sideways by that share of half the width, to leave room for words.
    """

    position: Float[np.ndarray, "3"]
    size: tuple[int, int]
    shift: float
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Unit vectors to the right, up and forward, as rows."""
        forward = -self.position / np.linalg.norm(self.position)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    @property
    def pixel_angle(self) -> float:
        """Angle across one pixel near the middle, rad."""
        return 2 * np.tan(np.radians(VIEW_ANGLE) / 2) / self.size[1]

    def pixels(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
        """Where points appear, in pixels from the top left; NaN stays NaN."""
        width, height = self.size
        right, up, depth = ((points - self.position) @ self.axes.T).T
        half = 1 / self.pixel_angle
        x = width / 2 * (1 + self.shift) + half * right / depth
        return np.stack([x, height / 2 - half * up / depth], axis=1)

    def hidden(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, "point"]:
        """Whether the Earth's ellipsoid stands before each point."""
        stretch = np.array([1.0, 1.0, EARTH_RADIUS / EARTH_POLAR_RADIUS])
        eye = self.position * stretch
        way = points * stretch - eye
        nearest = np.clip(-(way @ eye) / np.einsum("ij,ij->i", way, way), 0, 1)
        miss = np.linalg.norm(eye + nearest[:, None] * way, axis=1)
        at_target = nearest > 1 - 1e-6  # the point itself is the nearest: in front of the limb
        return ~at_target & (miss < EARTH_RADIUS * LIMB_MARGIN)

    @property
    def earth_disc(self) -> tuple[float, float, float]:
        """Centre and radius, pixels, of the Earth's outline (as a sphere)."""
        width, height = self.size
        distance = np.linalg.norm(self.position)
        radius = np.tan(np.arcsin(EARTH_RADIUS / distance)) / self.pixel_angle
        return width / 2 * (1 + self.shift), height / 2, float(radius)


def column_width(size: tuple[int, int]) -> float:
    """Pixels at the left that belong to words."""
    return 560 * text_scale(size)


def text_scale(size: tuple[int, int]) -> float:
    """Words are laid out for 1080 lines; in narrow pictures they leave most of the width."""
    return min(size[0] / 1440, size[1] / 1080)


def fibonacci(count: int) -> Float[np.ndarray, "count 3"]:
    """Directions spread evenly over the sphere."""
    k = np.arange(count) + 0.5
    height = 1 - 2 * k / count
    turn = np.pi * (1 + 5**0.5) * k
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)


def choose(frame: Frame, size: tuple[int, int], view: tuple[float, float] | None = None) -> Camera:
    """The camera that shows most satellites and the line between day and night.

    ``view`` fixes the point below the camera (geodetic latitude and longitude, degrees). Without
    it 1,200 directions are scored by four terms: the share of satellites in view (weight 3.5, up
    to 8 for a fleet in one place; those near the middle of the picture count most), the angle to
    the Sun (weight 1.2: near 78° day and night share the disc), the share of stations in view
    (0.3) and a low latitude (0.5, down to none for a fleet in one place).
    """
    width, height = size
    column = column_width(size)
    living = frame.position[frame.alive]
    shell = max(EARTH_RADIUS, float(np.linalg.norm(living, axis=1).max(initial=EARTH_RADIUS)))
    radius = FILL * min(height, width - column) / 2
    half = height / 2 / np.tan(np.radians(VIEW_ANGLE) / 2)
    distance = shell / np.sin(np.arctan(radius / half))
    shift = column / width
    if view is not None:
        below = surface_position(*np.radians(np.asarray(view, dtype=float)))
        direction = itrf_from_teme(frame.earth_rotation).T @ (below / np.linalg.norm(below))
        return Camera(direction * distance, size, shift)

    directions = fibonacci(1200)
    directions = directions[np.abs(directions[:, 2]) < 0.94]  # north needs to be up
    sun_angle = np.degrees(np.arccos(np.clip(directions @ frame.sun, -1, 1)))
    score = 1.2 * np.exp(-(((sun_angle - BEST_SUN_ANGLE) / 32) ** 2))
    sample = units(living[:: max(1, len(living) // 300)])
    together = np.linalg.norm(sample.mean(axis=0)) if len(sample) else 0.0
    latitude = np.degrees(np.arcsin(directions[:, 2]))
    score += 0.5 * (1 - together) * np.exp(-((latitude / 40) ** 2))
    for weight, places in ((3.5 + 4.5 * together, sample), (0.3, units(frame.stations))):
        if len(places):
            score += weight * np.clip(directions @ places.T + 0.1, 0, 1).mean(axis=1)
    return Camera(directions[np.argmax(score)] * distance, size, shift)


def units(points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """Directions of points."""
    return points / np.linalg.norm(points, axis=1, keepdims=True)

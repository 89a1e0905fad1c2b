"""What Sun and Earth send to a satellite's surfaces: plain NumPy, textbook formulas.

Written from the formulas, without a line of the twin: a circular orbit drifting under J2 (Vallado,
Fundamentals of Astrodynamics, 2013, 9.6.2), the Sun of Meeus (Astronomical Algorithms, 1998,
chapter 25: the geometric Sun within 0.01°), the conical shadow of a spherical Earth (Montenbruck &
Gill, Satellite Orbits, 2000, 3.4.2), and for faces that nothing shades cosines and view factors by
summing the visible cone of the Earth direction by direction. What shaded faces see is handed in.
The assumptions are the twin's: albedo of the sub-satellite point, even infrared. NumPy 2;
2026-11-23.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

GM, J2, EARTH, SUN, AU = 3.986004418e14, 1.08262668e-3, 6378137.0, 6.957e8, 1.495978707e11


@dataclass(frozen=True)
class Place:
    """A circular orbit at the start of the run; angles in radians."""

    radius: float
    inclination: float
    raan: float
    argument: float


def walker_place(shell, number):
    """Satellite `number` of a Walker delta shell of a scenario."""
    per_plane = shell.satellites // shell.planes
    plane, slot = divmod(number, per_plane)
    return Place(
        EARTH + 1e3 * shell.altitude_km,
        math.radians(shell.inclination_deg),
        math.radians(shell.raan_deg) + 2 * math.pi * plane / shell.planes,
        2 * math.pi * (slot / per_plane + shell.phasing * plane / shell.satellites),
    )


def period(place):
    """From node to node."""
    return 2 * math.pi / _rates(place)[1]


@dataclass(frozen=True)
class Sky:
    """Directions in the body's axes (time, 3), and what the sky sends (time,)."""

    sun: np.ndarray
    earth: np.ndarray
    lit: np.ndarray  # share of the Sun's disc
    flux: np.ndarray  # W/m² of sunlight, as if it were in view
    reflected: np.ndarray  # W/m² leaving the ground below


def sky(kind: str, environment, start: datetime, place: Place, times) -> Sky:
    """The sky of an attitude: its axes as vectors among the stars, from the words that name it."""
    r, across = _orbit(place, times)
    up = r / np.linalg.norm(r, axis=1, keepdims=True)
    sun_position = _sun(start, times)
    distance = np.linalg.norm(sun_position, axis=1)
    sun = sun_position / distance[:, None]
    side = np.sign(_dot(sun, across))[:, None] * across  # the Sun's side of the orbit
    mirror = np.sign(_dot(sun, across))[:, None]
    if kind in ("nadir", "edge"):
        x, z = up, side
        y = mirror * np.cross(z, x)
    elif kind == "sun":
        x = sun
        z = side - _dot(side, sun)[:, None] * sun
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        y = mirror * np.cross(z, x)
    else:  # inertial: the Sun of the start at x, the pole near z
        x = _sun(start, np.zeros(1))
        x = np.broadcast_to(x / np.linalg.norm(x), sun.shape)
        z = np.array([0.0, 0.0, 1.0]) - x[:, 2:] * x
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        y = np.cross(z, x)
    flux = environment.solar_constant_w_m2.value * (AU / distance) ** 2
    return Sky(
        sun=np.stack([_dot(sun, a) for a in (x, y, z)], axis=1),
        earth=np.stack([_dot(-up, a) for a in (x, y, z)], axis=1),
        lit=_visible_sun(r, sun_position),
        flux=flux,
        reflected=environment.albedo.value * flux * np.maximum(_dot(up, sun), 0),
    )


Sees = Callable[[Sky], tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]
"""Cosines towards the Sun and view factors to the Earth over time, by surface."""


def unshaded(faces: dict[str, list], radius: float) -> Sees:
    """What faces see that nothing stands before: a list of share and normal for each surface.

    A normal is a vector, or for a wing that follows the Sun "one" or "two" axes and "-" before it
    for its back.
    """
    seen = _view_table(radius)

    def look(sky: Sky):
        flat = sky.sun * [1.0, 1.0, 0.0]
        wings = {"one": flat / np.linalg.norm(flat, axis=1, keepdims=True), "two": sky.sun}

        def normal(word):
            if isinstance(word, str):
                return -wings[word[1:]] if word.startswith("-") else wings[word]
            return np.broadcast_to(np.asarray(word, float), sky.sun.shape)

        def mean(of):
            return {
                name: sum(share * of(normal(word)) for share, word in own)
                for name, own in faces.items()
            }

        return mean(lambda n: np.maximum(_dot(n, sky.sun), 0)), mean(
            lambda n: seen(_dot(n, sky.earth))
        )

    return look


def heats(design, environment, sky: Sky, sees: Sees, area: dict[str, float]) -> dict:
    """Sunlight on the cells and albedo behind them (W/m²), and W by surface, over time."""
    body = design.body
    cosine, earth = sees(sky)
    found = {
        "irradiance": sky.flux * sky.lit * cosine["array"],
        "behind": sky.reflected * earth["array_back"],
    }
    for name, size in area.items():
        label = {"array": "array_front", "radiator_back": "radiator"}.get(name, name)
        absorptance = getattr(body, f"{label}_absorptance").value
        emittance = getattr(body, f"{label}_emittance").value
        light = sky.flux * sky.lit * cosine[name] + sky.reflected * earth[name]
        infrared = environment.earth_infrared_w_m2.value * earth[name]
        found[name] = size * (absorptance * light + emittance * infrared)
    return found


def _rates(place):
    """Of the node and of the argument of latitude (rad/s), first order in J2."""
    n = math.sqrt(GM / place.radius**3)
    k = 1.5 * J2 * (EARTH / place.radius) ** 2 * n
    c2 = math.cos(place.inclination) ** 2
    return -k * math.cos(place.inclination), n + k * (4 * c2 - 1)


def _orbit(place, times):
    """Positions, and normals to position and velocity (the drifting node tilts them by 0.05°)."""
    ahead = _position(place, times + 0.5) - _position(place, times - 0.5)
    r = _position(place, times)
    across = np.cross(r, ahead)
    return r, across / np.linalg.norm(across, axis=1, keepdims=True)


def _position(place, times):
    node_rate, rate = _rates(place)
    node, u = place.raan + node_rate * times, place.argument + rate * times
    ascending = np.stack([np.cos(node), np.sin(node), 0 * node], axis=1)
    c, s = np.cos(place.inclination), np.sin(place.inclination)
    ahead = np.stack([-np.sin(node) * c, np.cos(node) * c, 0 * node + s], axis=1)
    return place.radius * (np.cos(u)[:, None] * ascending + np.sin(u)[:, None] * ahead)


def _sun(start, times):
    """Geometric Sun, Earth-centred (m), mean equator of date."""
    epoch = datetime(2000, 1, 1, 12, tzinfo=start.tzinfo)
    t = ((start - epoch).total_seconds() + 69.2 + times) / 86400 / 36525
    m = np.radians(357.52911 + 35999.05029 * t)
    centre = (1.914602 - 0.004817 * t) * np.sin(m) + 0.019993 * np.sin(2 * m)
    longitude = np.radians(280.46646 + 36000.76983 * t + centre + 0.000289 * np.sin(3 * m))
    e = 0.016708634 - 0.000042037 * t
    distance = AU * 1.000001018 * (1 - e**2) / (1 + e * np.cos(m + np.radians(centre)))
    tilt = np.radians(23.439291 - 0.0130042 * t)
    direction = np.stack(
        [np.cos(longitude), np.cos(tilt) * np.sin(longitude), np.sin(tilt) * np.sin(longitude)],
        axis=1,
    )
    return distance[:, None] * direction


def _visible_sun(r, sun_position):
    """Share of the Sun's disc that the Earth's disc leaves, both drawn on the sky."""
    to_sun = sun_position - r
    a = np.arcsin(SUN / np.linalg.norm(to_sun, axis=1))
    b = np.arcsin(EARTH / np.linalg.norm(r, axis=1))
    cosine = -_dot(r, to_sun) / np.linalg.norm(r, axis=1) / np.linalg.norm(to_sun, axis=1)
    c = np.arccos(np.clip(cosine, -1, 1))
    share = np.where(c >= a + b, 1.0, 0.0)
    part = (c < a + b) & (c > b - a)
    a, b, c = a[part], b[part], c[part]
    x = (c**2 + a**2 - b**2) / (2 * c)
    y = np.sqrt(np.maximum(a**2 - x**2, 0))
    hidden = a**2 * np.arccos(x / a) + b**2 * np.arccos((c - x) / b) - c * y
    share[part] = 1 - hidden / (math.pi * a**2)
    return share


def _view_table(radius):
    """View factor of a plate against the cosine of its tilt from nadir, by summing directions."""
    edge = math.asin(EARTH / radius)
    theta = (np.arange(240) + 0.5) / 240 * edge
    phi = (np.arange(360) + 0.5) / 360 * math.pi
    tilt = np.linspace(0, math.pi, 361)
    weight = np.sin(theta) * (edge / 240) * (2 * math.pi / 360)
    seen = [
        (weight @ np.maximum(np.outer(np.sin(theta) * np.sin(t), np.cos(phi)) + z, 0)).sum()
        for t in tilt
        for z in [(np.cos(theta) * np.cos(t))[:, None]]
    ]
    factor = np.array(seen) / math.pi
    return lambda cosine: np.interp(np.arccos(np.clip(cosine, -1, 1)), tilt, factor)


def _dot(a, b):
    return np.sum(a * b, axis=1)

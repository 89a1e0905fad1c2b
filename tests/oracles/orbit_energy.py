"""What Sun and Earth send to a satellite's wings, box and radiator: plain NumPy, textbook formulas.

Written from the formulas, without a line of the twin: a circular orbit drifting under J2 (Vallado,
Fundamentals of Astrodynamics, 2013, 9.6.2), the Sun of Meeus (Astronomical Algorithms, 1998,
chapter 25: the geometric Sun within 0.01°), the conical shadow of a spherical Earth (Montenbruck &
Gill, Satellite Orbits, 2000, 3.4.2), and view factors by summing the visible cone of the Earth
direction by direction. The assumptions are the twin's: albedo of the sub-satellite point, even
infrared, faces that do not shade each other. NumPy 2; 2026-11-22.
"""

import math
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


def heats(design, environment, start: datetime, place: Place, times):
    """Shares, W/m² and W at each of `times`: sunlit, irradiance, array, box, radiator."""
    r, across = _orbit(place, times)
    up = r / np.linalg.norm(r, axis=1, keepdims=True)
    along = np.cross(across, up)
    sun_position = _sun(start, times)
    distance = np.linalg.norm(sun_position, axis=1)
    sun = sun_position / distance[:, None]
    lit = _visible_sun(r, sun_position)
    flux = environment.solar_constant_w_m2.value * (AU / distance) ** 2
    reflected = environment.albedo.value * flux * np.maximum(_dot(up, sun), 0)
    infrared = environment.earth_infrared_w_m2.value
    seen = _view_table(place.radius)

    def absorbed(normal, absorptance, emittance):
        direct = absorptance.value * flux * lit * np.maximum(_dot(normal, sun), 0)
        earth = absorptance.value * reflected + emittance.value * infrared
        return direct + earth * seen(-_dot(normal, up))

    body = design.body
    wings = sun - (_dot(sun, across)[:, None] * across if design.array_axes == 1 else 0)
    wings = wings / np.linalg.norm(wings, axis=1, keepdims=True)
    side = np.sign(_dot(sun, across))[:, None] * across
    faces = {"cold": -side, "sunward": side, "zenith": up, "nadir": -up, "wake": -along}
    radiator = faces[body.radiator_faces]
    radiators = [radiator, -radiator][: body.radiator_sides]
    paint = body.radiator_absorptance, body.radiator_emittance
    blanket = body.box_absorptance, body.box_emittance
    return {
        "sunlit": lit,
        "irradiance": flux * lit * _dot(wings, sun),
        "array": design.array_m2.value
        * (
            absorbed(wings, body.array_front_absorptance, body.array_front_emittance)
            + absorbed(-wings, body.array_back_absorptance, body.array_back_emittance)
        ),
        "box": body.box_face_m2.value
        * sum(absorbed(s * n, *blanket) for n in (up, along, across) for s in (1, -1)),
        "radiator": body.radiator_m2.value * sum(absorbed(n, *paint) for n in radiators),
    }


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

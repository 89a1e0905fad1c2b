"""The Sun's visible share and the shadow's contacts by counting straight rays past an ellipsoid.

Made for this project with NumPy 2.4 alone, 2026-11-22: it shares no formula with the twin. A ray
from the satellite hits the ellipsoid x'Mx = 1 ahead of it where a quadratic has a positive root.
"""

import numpy as np
from scipy.optimize import brentq

EQUATORIAL, POLAR, SUN = 6_378_137.0, 6_356_752.314245, 6.957e8  # m. WGS 84; IAU 2015 B3


def visible_share(position, sun_position, polar=POLAR, rings=60, spokes=720):
    """Share of rays, spread evenly in solid angle over the Sun's disc, that miss the Earth."""
    depth = (np.arange(rings) + 0.5) / rings
    turn = (np.arange(spokes) + 0.5) / spokes
    depth, turn = (grid.ravel() for grid in np.meshgrid(depth, turn))
    return 1.0 - _hits(position, sun_position, depth, turn, polar).mean()


def contact_times(position_at, sun_at, before, after, polar=POLAR, dark=False, spokes=1440):
    """The moment in [before, after] when the disc's edge is first (`dark`: last) covered."""
    turn = np.arange(spokes) / spokes

    def margin(time):
        roots = _margins(position_at(time), sun_at(time), np.ones(spokes), turn, polar)
        return roots.max() if not dark else roots.min()

    return brentq(margin, before, after, xtol=1e-5)


def _margins(position, sun_position, depth, turn, polar):
    """Positive where a ray hits: the discriminant of the quadratic, scaled."""
    to_sun = sun_position - position
    distance = np.linalg.norm(to_sun)
    axis = to_sun / distance
    side = np.cross(axis, [0.36, 0.48, 0.8])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    cosine = 1 - depth * (1 - np.sqrt(1 - (SUN / distance) ** 2))
    sine = np.sqrt(1 - cosine**2)
    angle = 2 * np.pi * turn
    rays = np.outer(cosine, axis) + sine[:, None] * (
        np.outer(np.cos(angle), side) + np.outer(np.sin(angle), other)
    )
    m = 1 / np.array([EQUATORIAL, EQUATORIAL, polar]) ** 2
    a, b, c = (rays**2) @ m, rays @ (m * position), (position**2) @ m - 1
    return np.where(b < 0, b**2 - a * c, -(a * c)) / (a * c)


def _hits(position, sun_position, depth, turn, polar):
    return _margins(position, sun_position, depth, turn, polar) > 0

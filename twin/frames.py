"""Rotations between the frames, each named so that neighbours match.

    position_itrf = itrf_from_teme(start, seconds) @ position_teme

TEME of date (true equator, mean equinox) is the frame of everything inside a run and of SGP4. GCRS
is the inertial frame of the stars. ITRF is fixed to the Earth. The matrices are Skyfield's own
(IAU 2000A nutation, IAU 2006 precession, GMST of 1982), made on the host with NumPy. Polar motion
is left out, as in Skyfield by default: up to 0.6 arcseconds, 18 m at the surface.

Rotations have shape `*time 3 3`, so they apply with `@` to a fleet's `time 3 sat`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.clock import Epoch, skyfield_times
from twin.constants import DEG, EARTH_FLATTENING, EARTH_RADIUS, EARTH_ROTATION
from twin.fastmath import sincos

Seconds = float | Float[np.ndarray, "*time"]
Rotations = Float[np.ndarray, "*time 3 3"]
Vectors = Float[np.ndarray, "*time 3"]

_TAU = 2 * np.pi
_NUTATION_SPACING = 3600.0  # s


def earth_rotation(start: Epoch, seconds: Seconds) -> Float[np.ndarray, "*time"]:
    """Greenwich mean sidereal angle of 1982 in radians: TEME turned by it is ITRF.

    Continuous in `seconds`: it is in [0, 2π) at `start` and then grows past 2π, so it may be
    interpolated. UT1 comes from the installed tables.

    Source: Vallado et al., AIAA 2006-6753, appendix C, as evaluated by Skyfield.
    """
    seconds = np.asarray(seconds, dtype=np.float64)
    wrapped = _sidereal_angle(start, seconds)
    expected = _sidereal_angle(start, np.zeros(())) + EARTH_ROTATION * seconds
    return np.asarray(wrapped + _TAU * np.round((expected - wrapped) / _TAU))


def itrf_from_teme(start: Epoch, seconds: Seconds) -> Rotations:
    """Into the Earth-fixed frame: a turn about the axis by minus the sidereal angle."""
    angle = earth_rotation(start, seconds)
    sine, cosine, zero = np.sin(angle), np.cos(angle), np.zeros_like(angle)
    rows = [[cosine, sine, zero], [-sine, cosine, zero], [zero, zero, zero + 1]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def teme_from_itrf(start: Epoch, seconds: Seconds) -> Rotations:
    """Out of the Earth-fixed frame."""
    return _transpose(itrf_from_teme(start, seconds))


def teme_from_gcrs(start: Epoch, seconds: Seconds) -> Rotations:
    """From the stars' frame to the true equator and mean equinox of date.

    The full nutation costs 0.2 ms a moment, so more than a few moments are interpolated from hourly
    ones: within 0.2 mm at 7,000 km.
    """
    from skyfield.sgp4lib import TEME

    seconds = np.asarray(seconds, dtype=np.float64)
    if seconds.size <= 32:
        return np.moveaxis(TEME.rotation_at(skyfield_times(start, seconds)), (0, 1), (-2, -1))
    first = seconds.min()
    count = int(np.ceil((seconds.max() - first) / _NUTATION_SPACING)) + 1
    if count >= seconds.size:
        return np.moveaxis(TEME.rotation_at(skyfield_times(start, seconds)), (0, 1), (-2, -1))
    nodes = _teme_from_gcrs_hourly(start, float(first), count + 1)
    place = (seconds - first) / _NUTATION_SPACING
    index = np.minimum(place.astype(np.int64), count - 1)
    weight = (place - index)[..., None, None]
    return nodes[index] * (1 - weight) + nodes[index + 1] * weight


def gcrs_from_teme(start: Epoch, seconds: Seconds) -> Rotations:
    """From the true equator and mean equinox of date to the stars' frame."""
    return _transpose(teme_from_gcrs(start, seconds))


def itrf_from_gcrs(start: Epoch, seconds: Seconds) -> Rotations:
    """From the stars to the ground."""
    return itrf_from_teme(start, seconds) @ teme_from_gcrs(start, seconds)


def gcrs_from_itrf(start: Epoch, seconds: Seconds) -> Rotations:
    """From the ground to the stars."""
    return _transpose(itrf_from_gcrs(start, seconds))


def itrf_state_from_teme(
    start: Epoch, seconds: Seconds, position: Vectors, velocity: Vectors
) -> tuple[Vectors, Vectors]:
    """Position and velocity as seen from the turning Earth: the velocity loses ω × r.

    ω is the mean rotation rate about the pole of date, as in Skyfield; the length of day changes it
    by 1e-8 of itself, 5e-6 m/s in low orbit.
    """
    rotation = itrf_from_teme(start, seconds)
    carried = EARTH_ROTATION * np.stack(
        [-position[..., 1], position[..., 0], np.zeros_like(position[..., 0])], axis=-1
    )
    return _apply(rotation, position), _apply(rotation, velocity - carried)


def gcrs_state_from_teme(
    start: Epoch, seconds: Seconds, position: Vectors, velocity: Vectors
) -> tuple[Vectors, Vectors]:
    """Position and velocity in GCRS; TEME's own drift (8e-12 rad/s, 6e-5 m/s) is left out."""
    rotation = gcrs_from_teme(start, seconds)
    return _apply(rotation, position), _apply(rotation, velocity)


def geodetic_position(
    latitude_deg: float, longitude_deg: float, altitude: float = 0.0
) -> Float[np.ndarray, "3"]:
    """A place on the WGS 84 ellipsoid, or `altitude` metres above it, in ITRF."""
    sine, cosine = np.sin(latitude_deg * DEG), np.cos(latitude_deg * DEG)
    squeeze = (1 - EARTH_FLATTENING) ** 2
    normal = EARTH_RADIUS / np.sqrt(cosine**2 + squeeze * sine**2)
    across = (normal + altitude) * cosine
    return np.array(
        [
            across * np.cos(longitude_deg * DEG),
            across * np.sin(longitude_deg * DEG),
            (squeeze * normal + altitude) * sine,
        ]
    )


def geodetic_up(latitude_deg: float, longitude_deg: float) -> Float[np.ndarray, "3"]:
    """The plumb direction: the ellipsoid's outward normal, in ITRF."""
    cosine = np.cos(latitude_deg * DEG)
    return np.array(
        [
            cosine * np.cos(longitude_deg * DEG),
            cosine * np.sin(longitude_deg * DEG),
            np.sin(latitude_deg * DEG),
        ]
    )


def rotate_z(vector: Float[Array, "3 *any"], angle: Float[Array, "*any"]) -> Float[Array, "3 *any"]:
    """Turn a vector about the z axis by `angle`, anticlockwise seen from +z; for kernels.

    `position_itrf = rotate_z(position_teme, -earth_rotation)`, to Skyfield's default (no polar
    motion). Valid for |angle| < 1e5 rad, 43 years of the Earth's rotation.
    """
    sine, cosine = sincos(angle)
    x, y, z = vector
    return jnp.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def _sidereal_angle(start: Epoch, seconds: np.ndarray) -> np.ndarray:
    from skyfield.sgp4lib import theta_GMST1982

    moments: Any = skyfield_times(start, seconds)
    return np.asarray(theta_GMST1982(moments.whole, moments.ut1_fraction)[0], dtype=np.float64)


@functools.lru_cache(maxsize=8)
def _teme_from_gcrs_hourly(start: Epoch, first: float, count: int) -> np.ndarray:
    from skyfield.sgp4lib import TEME

    moments = skyfield_times(start, first + _NUTATION_SPACING * np.arange(count))
    return np.moveaxis(TEME.rotation_at(moments), (0, 1), (-2, -1))


def _transpose(rotation: np.ndarray) -> np.ndarray:
    return np.swapaxes(rotation, -2, -1)


def _apply(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (rotation @ vectors[..., None])[..., 0]

"""Frames against Skyfield: positions, velocities, places on the ground."""

import jax.numpy as jnp
import numpy as np
import pytest
from skyfield.api import EarthSatellite, wgs84
from skyfield.framelib import itrs

from twin.clock import Epoch, skyfield_times, timescale
from twin.frames import (
    earth_rotation,
    gcrs_from_itrf,
    gcrs_from_teme,
    gcrs_state_from_teme,
    geodetic_position,
    geodetic_up,
    itrf_from_gcrs,
    itrf_from_teme,
    itrf_state_from_teme,
    rotate_z,
    teme_from_gcrs,
    teme_from_itrf,
)

A_MILLIMETRE = 1e-3
A_TENTH_OF_A_MILLIMETRE_PER_SECOND = 1e-4

LINES = (
    "1 25544U 98067A   25276.50000000  .00010000  00000-0  18000-3 0  9990",
    "2 25544  51.6400 100.0000 0005000  60.0000 300.0000 15.50000000    09",
)
START = Epoch.parse("2025-10-03T23:10:00Z")


@pytest.fixture(scope="module", params=[7, 1441])
def flight(request):
    """Skyfield's satellite over a day: few moments (exact nutation) and many (interpolated)."""
    seconds = np.linspace(0.0, 86_400.0, request.param)
    satellite = EarthSatellite(*LINES, ts=timescale())
    moments = skyfield_times(START, seconds)
    r, v, _ = satellite._position_and_velocity_TEME_km(moments)
    return seconds, satellite.at(moments), r.T * 1e3, v.T * 1e3


def test_gcrs_within_a_millimetre(flight):
    seconds, geocentric, r, v = flight
    position, velocity = gcrs_state_from_teme(START, seconds, r, v)
    assert np.abs(position - geocentric.position.m.T).max() < A_MILLIMETRE
    # Skyfield, too, leaves out TEME's own drift.
    expected = geocentric.velocity.km_per_s.T * 1e3
    assert np.abs(velocity - expected).max() < A_TENTH_OF_A_MILLIMETRE_PER_SECOND


def test_itrf_within_a_millimetre(flight):
    seconds, geocentric, r, v = flight
    position, velocity = itrf_state_from_teme(START, seconds, r, v)
    expected_r, expected_v = geocentric.frame_xyz_and_velocity(itrs)
    assert np.abs(position - expected_r.m.T).max() < A_MILLIMETRE
    expected_v = expected_v.km_per_s.T * 1e3
    assert np.abs(velocity - expected_v).max() < A_TENTH_OF_A_MILLIMETRE_PER_SECOND


def test_itrf_velocity_is_the_slope_of_its_position(flight):
    seconds, _, r, v = flight
    moment, position, velocity = seconds[3:4], r[3:4], v[3:4]
    h = 0.5
    ahead, behind = (
        itrf_from_teme(START, moment + s * h)[0] @ (position + s * h * velocity)[0] for s in (1, -1)
    )
    _, turned = itrf_state_from_teme(START, moment, position, velocity)
    assert np.abs((ahead - behind) / (2 * h) - turned[0]).max() < 1e-3, "1 mm/s: second order in h"


def test_inverses_and_chains_agree():
    seconds = np.array([0.0, 3_000.0])
    identity = np.eye(3)
    for there, back in (
        (itrf_from_teme, teme_from_itrf),
        (gcrs_from_teme, teme_from_gcrs),
        (itrf_from_gcrs, gcrs_from_itrf),
    ):
        product = there(START, seconds) @ back(START, seconds)
        assert np.abs(product - identity).max() < 1e-14


def test_a_fleet_turns_with_the_same_matrices():
    seconds = np.array([0.0, 60.0])
    fleet = np.random.default_rng(0).normal(size=(2, 3, 5))
    turned = itrf_from_teme(START, seconds) @ fleet
    assert np.allclose(turned[1, :, 4], itrf_from_teme(START, 60.0) @ fleet[1, :, 4], atol=1e-14)


def test_the_sidereal_angle_never_jumps():
    seconds = np.linspace(-86_400.0, 10 * 86_400.0, 997)
    angle = earth_rotation(START, seconds)
    assert 0 <= earth_rotation(START, 0.0) < 2 * np.pi
    rate = np.diff(angle) / np.diff(seconds)
    assert np.allclose(rate, 7.2921158e-5, rtol=1e-7)


def test_rotate_z_is_the_frame_rotation():
    vector = np.array([4e6, -5e6, 1e6])
    angle = jnp.asarray(-earth_rotation(START, 1_234.5))
    turned = rotate_z(jnp.asarray(vector), angle)
    assert np.abs(turned - itrf_from_teme(START, 1_234.5) @ vector).max() < 1e-8


@pytest.mark.parametrize("place", [(78.23, 15.39, 450.0), (-33.0, -70.5, 0.0), (0.0, 180.0, 20.0)])
def test_places_on_the_ground_within_a_millimetre(place):
    expected = wgs84.latlon(*place).itrs_xyz.m
    assert np.abs(geodetic_position(*place) - expected).max() < A_MILLIMETRE
    higher = geodetic_position(place[0], place[1], place[2] + 1000.0)
    assert np.allclose((higher - geodetic_position(*place)) / 1000.0, geodetic_up(*place[:2]))

"""Stations and elevations against Skyfield, and the algebraic contact against the angle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skyfield.api import Distance, wgs84
from skyfield.toposlib import ITRSPosition

from twin.clock import Epoch, skyfield_times
from twin.network.ground import Station, contact, contact_margin, elevation, place

STATIONS = [
    Station("Svalbard", 78.23, 15.39, 450.0),
    Station("Santiago", -33.15, -70.67, 730.0),
    Station("Null Island", 0.0, 0.0),
]
MASK = np.radians(5.0)


@pytest.fixture(scope="module")
def shell():
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(3, 20_000))
    return jnp.asarray(directions / np.linalg.norm(directions, axis=0) * 6.878e6)


def test_elevation_is_skyfields(shell):
    moment = skyfield_times(Epoch.parse("2026-08-22T01:02:03Z"), 0.0)
    stations = place(STATIONS, MASK)
    some = np.asarray(shell[:, :50])
    seen = jax.vmap(elevation, in_axes=(-1, None), out_axes=-1)(jnp.asarray(some), stations)
    assert seen.shape == (3, 50)
    for k, station in enumerate(STATIONS):
        spot = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.altitude_m)
        for j in range(0, 50, 10):
            satellite = ITRSPosition(Distance(m=some[:, j]))
            altitude = (satellite - spot).at(moment).altaz()[0].radians
            assert seen[k, j] == pytest.approx(altitude, abs=1e-9), "6 mm at 6,000 km"


def test_contact_is_elevation_above_the_mask(shell):
    stations = place(STATIONS, MASK)
    over = dict(in_axes=(-1, None), out_axes=-1)
    angle = jax.jit(jax.vmap(elevation, **over))(shell, stations)
    up = jax.jit(jax.vmap(contact, **over))(shell, stations)
    margin = jax.jit(jax.vmap(contact_margin, **over))(shell, stations)
    assert (up == (angle >= MASK)).all()
    assert (up == (margin >= 0)).all()
    assert 0.005 < up.mean() < 0.05, "a satellite at 500 km sees two hundredths of the Earth"


def test_a_lower_mask_never_loses_a_contact(shell):
    over = dict(in_axes=(-1, None), out_axes=-1)
    low, high = (jax.vmap(contact, **over)(shell, place(STATIONS, m)) for m in (0.05, 0.2))
    assert (low | ~high).all()


@pytest.mark.parametrize(
    "place_deg, complaint",
    [((91.0, 0.0), "latitude"), ((0.0, 400.0), "longitude"), ((0.0, 0.0, 6.4e6), "altitude")],
)
def test_impossible_places_are_refused(place_deg, complaint):
    with pytest.raises(ValueError, match=f"station X: {complaint}"):
        Station("X", *place_deg)


def test_no_station_is_refused():
    with pytest.raises(ValueError, match="at least one station"):
        place([], MASK)

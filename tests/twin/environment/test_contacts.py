"""From an element set to eclipse contacts, end to end, against Skyfield and against counted rays.

The frame mistake this guards against (a GCRS Sun with TEME satellites) is 0.37 degrees.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.eclipse_rays import contact_times
from oracles.eclipse_skyfield import contacts as skyfield_contacts
from sgp4.api import WGS72, Satrec
from skyfield.api import EarthSatellite

from twin.catalog import ElementSet
from twin.clock import Epoch, ephemeris, timescale
from twin.environment.contacts import contacts
from twin.environment.eclipse import shadow_coordinate
from twin.environment.sun import mean_sun_right_ascension, sun_ephemeris, sun_positions
from twin.orbits.sgp4 import sgp4_orbit
from twin.passes import satellite_track

FIFTY_MILLISECONDS = 0.05

# A deep eclipse on every orbit; a dawn-dusk orbit as its season begins, and as it ends.
CASES = {
    "every orbit": ("2025-10-03", 10.5),
    "begins": ("2027-05-08", 18.0),
    "ends": ("2027-08-02", 18.0),
}


@dataclasses.dataclass
class Case:
    start: Epoch
    duration: float
    track: object
    sun: object
    oracle: EarthSatellite


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A Sun-synchronous satellite at 650 km with the given local time of its ascending node."""
    day, ltan = CASES[request.param]
    start = Epoch.parse(f"{day}T12:00:00Z")
    duration = 86_400.0 if ltan < 18 else 2 * 86_400.0
    raan = np.degrees(mean_sun_right_ascension(start)) + 15.0 * (ltan - 12.0)
    elements = ElementSet(
        "test",
        90001,
        "2027-001A",
        start.plus(-3600.0),
        14.72,
        0.001,
        97.98,
        raan % 360,
        90.0,
        0.0,
        1e-4,
    )
    satrec = Satrec()
    satrec.sgp4init(
        WGS72,
        "i",
        90001,
        elements.epoch.whole - 2_433_281.5 + elements.epoch.fraction,
        elements.bstar,
        0.0,
        0.0,
        elements.eccentricity,
        *np.radians([elements.argp_deg, elements.inclination_deg, elements.mean_anomaly_deg]),
        elements.mean_motion_rev_day * 2 * np.pi / 1440,
        np.radians(elements.raan_deg),
    )
    sun = jax.jit(jax.vmap(sun_ephemeris(start, duration).position))

    def run_sun(times):
        padded = np.resize(times, 8192)  # one shape, one compilation
        return np.asarray(sun(jnp.asarray(padded)))[: len(times)]

    return Case(
        start,
        duration,
        satellite_track(sgp4_orbit([elements], start), 0),
        run_sun,
        EarthSatellite.from_satrec(satrec, timescale()),
    )


def flat(eclipses):
    """Contacts as the oracle lists them."""
    found = []
    for e in eclipses:
        found += [(1, e.penumbra_in), (-1, e.umbra_in), (-1, e.umbra_out), (1, e.penumbra_out)]
    return sorted((pair for pair in found if pair[1] is not None), key=lambda pair: pair[1])


def test_contacts_are_skyfields_within_fifty_milliseconds(case, request):
    eclipses = contacts(case.track, case.sun, 0.0, case.duration, flattening=0.0)
    expected = skyfield_contacts(
        case.oracle,
        ephemeris(),
        timescale(),
        (case.start.whole, case.start.fraction),
        case.duration,
    )

    found = flat(eclipses)
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    assert len(found) >= 20
    off = np.abs(np.subtract([t for _, t in found], [t for _, t in expected]))
    print(f"{request.node.name}: {len(found)} contacts, worst {off.max() * 1e3:.2f} ms")
    assert off.max() < FIFTY_MILLISECONDS
    if "every" not in request.node.name:
        grazes = [e for e in eclipses if e.umbra_in is None]
        assert grazes and len(grazes) < len(eclipses), "the season's edge: some without an umbra"


def test_ellipsoid_contacts_are_the_counted_rays_within_a_second(case, request):
    eclipses = contacts(case.track, case.sun, 0.0, case.duration)
    assert len(eclipses) >= 5

    def position_at(time):
        return case.track(np.array([time]))[0]

    def sun_at(time):
        return sun_positions(case.start, np.array([time]))[0]

    off = []
    for e in eclipses[:: max(1, len(eclipses) // 5)]:
        for kind, (first, last) in (
            (False, (e.penumbra_in, e.penumbra_out)),
            (True, (e.umbra_in, e.umbra_out)),
        ):
            if first is None or last is None:
                continue
            middle = (first + last) / 2
            reach = min(30.0, (last - first) / 2)
            counted_in = contact_times(position_at, sun_at, first - 30, first + reach, dark=kind)
            counted_out = contact_times(position_at, sun_at, last - reach, last + 30, dark=kind)
            assert counted_in < middle < counted_out
            off += [abs(counted_in - first), abs(counted_out - last)]
    print(f"{request.node.name}: {len(off)} contacts, worst {max(off) * 1e3:.2f} ms")
    assert max(off) < FIFTY_MILLISECONDS, "the issue asks for a second"


def test_the_fast_coordinate_is_one_at_the_contacts(case):
    x = jax.jit(jax.vmap(shadow_coordinate, in_axes=(0, 0, None)))
    found = flat(contacts(case.track, case.sun, 0.0, case.duration, flattening=0.0))
    times = np.array([time for _, time in found])
    kinds = np.array([kind for kind, _ in found])
    at_contact = np.asarray(x(jnp.asarray(case.track(times)), jnp.asarray(case.sun(times)), 0.0))
    assert np.abs(at_contact - kinds).max() < 1e-4, "the root's own 0.1 ms moves it by 3e-5"


def test_a_window_that_opens_and_closes_in_the_dark():
    def positions(times):
        angle = np.pi + 1.1e-3 * times
        return 6.9e6 * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)

    def sun(times):
        return np.broadcast_to([1.5e11, 0.0, 0.0], (len(times), 3))

    (opening,) = contacts(positions, sun, 0.0, 3_000.0)
    assert opening.penumbra_in is None and opening.umbra_in is None
    assert 1_000 < opening.umbra_out < opening.penumbra_out < 1_200
    (closing,) = contacts(positions, sun, -3_000.0, 0.0)
    assert closing.umbra_out is None and closing.penumbra_out is None
    assert closing.penumbra_in == pytest.approx(-opening.penumbra_out, abs=2e-4)
    assert contacts(positions, sun, 2_000.0, 3_000.0) == []
    with pytest.raises(ValueError, match="must end after"):
        contacts(positions, sun, 1.0, 1.0)


def test_an_eclipse_shorter_than_the_step_is_found():
    """The Sun just off the pole of a circular orbit: it dips behind the Earth once a turn."""
    radius, rate = 6_378_137.0 + 500e3, 1.107e-3
    beta = np.arcsin(6_378_137.0 / radius) - 1e-4  # the Sun's centre passes under the limb

    def positions(times):
        angle = rate * times
        return radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)

    def sun(times):
        direction = 1.5e11 * np.array([np.cos(beta), 0.0, np.sin(beta)])
        return np.broadcast_to(direction, (len(times), 3))

    fine = contacts(positions, sun, 0.0, 17_000.0, flattening=0.0, step=10.0)
    coarse = contacts(positions, sun, 0.0, 17_000.0, flattening=0.0, step=700.0)
    assert len(fine) == len(coarse) == 3
    assert all(e.penumbra_out - e.penumbra_in < 400 and e.umbra_in is None for e in fine)
    for one, other in zip(fine, coarse, strict=True):
        assert one.penumbra_in == pytest.approx(other.penumbra_in, abs=1e-3)
        assert one.penumbra_out == pytest.approx(other.penumbra_out, abs=1e-3)

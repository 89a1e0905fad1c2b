"""Passes against Skyfield, contact shares against the reference numbers of the project's issue."""

from importlib.resources import files

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.passes_skyfield import altitude_deg, events
from sgp4 import omm
from sgp4.api import Satrec, SatrecArray
from skyfield.api import EarthSatellite

from twin.clock import Epoch, skyfield_times, timescale
from twin.network.ground import Station
from twin.orbits.elements import AbstractOrbit
from twin.passes import contact_statistics, fleet_tracks, passes, satellite_track

CHENGDU = Station("Chengdu", 30.67, 104.07)
THREE = [
    Station("Miyun", 40.45, 116.86),
    Station("Kashgar", 39.50, 75.93),
    Station("Sanya", 18.31, 109.31),
]
SVALBARD = Station("Svalbard", 78.23, 15.39)
MASK = 5.0
START = Epoch.parse("2025-10-04T00:00:00Z")
TWO_DAYS = 2 * 86_400.0


@pytest.fixture(scope="module")
def twelve():
    """The sgp4 package's satellites of the shipped element sets."""
    text = (files("assets") / "elements" / "scs01_2025-10-03.csv").read_text()
    satellites = []
    for fields in omm.parse_csv(line for line in text.splitlines(keepends=True)):
        satellite = Satrec()
        omm.initialize(satellite, fields)
        satellites.append(satellite)
    assert len(satellites) == 12
    return satellites


def track_of(satellite):
    def track(times):
        _, r, _ = satellite.sgp4_array(
            np.full(len(times), START.whole), START.fraction + times / 86_400
        )
        return r * 1e3

    return track


@pytest.fixture(scope="module")
def fleet(twelve):
    array = SatrecArray(twelve)

    def track(times):
        _, r, _ = array.sgp4(np.full(len(times), START.whole), START.fraction + times / 86_400)
        return jnp.asarray(np.moveaxis(r, 0, 2) * 1e3)

    return track


def test_passes_are_those_of_skyfield(twelve):
    within_half_a_second, a_ten_thousandth_degree = 0.5, 1e-4
    first, last = skyfield_times(START, 0.0), skyfield_times(START, TWO_DAYS)
    compared = 0
    for satellite in twelve[:4]:
        oracle = EarthSatellite.from_satrec(satellite, timescale())
        ours = passes(track_of(satellite), [CHENGDU, SVALBARD], MASK, START, START.plus(TWO_DAYS))
        for station in (CHENGDU, SVALBARD):
            place = station.latitude_deg, station.longitude_deg
            kinds, times = events(oracle, *place, first, last, MASK)
            mine = [item for item in ours if item.station == station.name]
            for kind, field in enumerate(("rise", "culmination", "set")):
                found = [getattr(item, field) for item in mine]
                seconds = np.array([t.seconds_since(START) for t in found if t is not None])
                assert len(seconds) == (kinds == kind).sum(), "none missed, none invented"
                # find_events itself stops at half a second; it shows 0.18 s of that.
                assert np.abs(seconds - times[kinds == kind]).max() < within_half_a_second
                height = altitude_deg(oracle, *place, skyfield_times(START, seconds))
                if kind == 1:
                    tops = [item.max_elevation_deg for item in mine if item.culmination]
                    assert np.abs(height - tops).max() < a_ten_thousandth_degree
                else:
                    # At 0.03 degrees a second this is 3 ms.
                    assert np.abs(height - MASK).max() < a_ten_thousandth_degree
                compared += len(seconds)
    assert compared > 200


def test_a_pass_across_the_windows_edge_is_told_honestly(twelve):
    track = track_of(twelve[0])
    whole = next(
        p for p in passes(track, [SVALBARD], MASK, START, START.plus(86_400.0)) if not p.note
    )
    assert whole.rise and whole.culmination and whole.set
    before, after = whole.rise.plus(30.0), whole.culmination.plus(-20.0)

    def shifted(moment):
        offset = moment.seconds_since(START)
        return lambda times: track(times + offset)

    (late,) = passes(shifted(before), [SVALBARD], MASK, before, whole.set.plus(60.0))
    assert late.rise is None and late.note == "already up at the start"
    assert late.set is not None and abs(late.set.seconds_since(whole.set)) < 0.01
    assert late.max_elevation_deg == pytest.approx(whole.max_elevation_deg, abs=1e-4)

    (early,) = passes(shifted(before), [SVALBARD], MASK, before, after)
    assert (early.rise, early.culmination, early.set) == (None, None, None)
    assert "still up at the end" in early.note and "highest outside the window" in early.note
    assert early.max_elevation_deg < whole.max_elevation_deg


def test_a_graze_between_two_samples_is_found(twelve):
    track = track_of(twelve[0])
    tops = [p.max_elevation_deg for p in passes(track, [CHENGDU], 0.0, START, START.plus(TWO_DAYS))]
    lowest = min(tops)
    barely = passes(track, [CHENGDU], lowest - 1e-4, START, START.plus(TWO_DAYS), step=60.0)
    assert len(barely) == len(tops)
    missed = passes(track, [CHENGDU], lowest + 1e-4, START, START.plus(TWO_DAYS), step=60.0)
    assert len(missed) == len(tops) - 1


def test_a_satellite_that_never_sets():
    def hanging(times):
        from twin.frames import teme_from_itrf

        return teme_from_itrf(START, times) @ np.array([4.2e7, 0.0, 0.0])

    (always,) = passes(hanging, [Station("below", 0.0, 3.0)], 5.0, START, START.plus(7_200.0))
    assert always.rise is None and always.set is None and 80 < always.max_elevation_deg < 90
    assert passes(hanging, [Station("behind", 0.0, 180.0)], 5.0, START, START.plus(7_200.0)) == []


def test_bad_windows_and_masks_are_refused(twelve):
    with pytest.raises(ValueError, match="must end after it starts"):
        passes(track_of(twelve[0]), [CHENGDU], MASK, START, START)
    with pytest.raises(ValueError, match="elevation mask"):
        passes(track_of(twelve[0]), [CHENGDU], 90.0, START, START.plus(1.0))


@pytest.mark.parametrize(
    "stations, share, chance",
    [([CHENGDU], 0.106, 0.118), (THREE, 0.256, 0.277), ([SVALBARD], 0.391, 0.433)],
    ids=["Chengdu", "three", "Svalbard"],
)
def test_contact_shares_of_the_twelve(fleet, stations, share, chance):
    (window,) = contact_statistics([fleet], stations, MASK, START)
    print(f"share {window.share:.4f}, chance {window.chance:.4f}")
    assert window.share == pytest.approx(share, abs=0.005)
    assert window.chance == pytest.approx(chance, abs=0.005)


def test_fourteen_windows_span_what_the_issue_says(fleet):
    for stations, low, high in (([CHENGDU], 0.075, 0.123), (THREE, 0.181, 0.291)):
        windows = contact_statistics([fleet], stations, MASK, START, windows=14, step=30.0)
        shares = [window.share for window in windows]
        print(f"{min(shares):.4f} to {max(shares):.4f}")
        assert min(shares) == pytest.approx(low, abs=0.002)
        assert max(shares) == pytest.approx(high, abs=0.002)


def test_shares_are_the_lengths_of_the_passes(twelve, fleet):
    (window,) = contact_statistics([fleet], [CHENGDU], MASK, START)
    covered = np.zeros(int(TWO_DAYS))
    soon = covered.copy()
    beyond = START.plus(TWO_DAYS + 600.0)
    for satellite in twelve:
        for item in passes(track_of(satellite), [CHENGDU], MASK, START, beyond):
            rise = item.rise.seconds_since(START) if item.rise else 0.0
            fall = item.set.seconds_since(START) if item.set else TWO_DAYS + 600.0
            covered[max(0, round(rise)) : max(0, round(fall))] = 1
            soon[max(0, round(rise - 90)) : max(0, round(fall))] = 1
    assert window.share == pytest.approx(covered.mean(), abs=2e-4), "whole seconds are counted"
    assert window.chance == pytest.approx(soon.mean(), abs=2e-4)


def test_later_parts_of_a_fleet_are_asked_only_where_it_matters(fleet):
    asked = []

    def second(times):
        asked.append(times)
        return fleet(times)

    def watchful(times):
        from twin.frames import teme_from_itrf

        return jnp.asarray((teme_from_itrf(START, times) @ np.array([0.0, 0.0, 4e7]))[..., None])

    (window,) = contact_statistics([watchful, second], [SVALBARD], MASK, START, window=3_600.0)
    assert (window.share, window.chance) == (1.0, 1.0)
    assert not asked
    parts = contact_statistics([fleet, second], [SVALBARD], MASK, START, window=36_000.0)
    assert asked and parts == contact_statistics([fleet], [SVALBARD], MASK, START, window=36_000.0)


def test_a_lost_satellite_is_never_in_contact(fleet):
    def lost(times):
        return fleet(times) * jnp.nan

    (none,) = contact_statistics([lost], [SVALBARD], MASK, START, window=3_600.0)
    assert (none.share, none.chance) == (0.0, 0.0)
    (one,) = contact_statistics(
        [lambda t: jnp.concatenate([lost(t), fleet(t)], axis=2)], [SVALBARD], MASK, START
    )
    assert one == contact_statistics([fleet], [SVALBARD], MASK, START)[0]


class Circle(AbstractOrbit):
    """A circular orbit over the poles, for the adaptors."""

    phase: object

    def state(self, time):
        angle = self.phase + 1.1e-3 * time
        zero = jnp.zeros_like(angle)
        position = 6.9e6 * jnp.stack([jnp.cos(angle), zero, jnp.sin(angle)])
        return position, position


def test_orbits_become_tracks():
    orbits = Circle(jnp.linspace(0.0, 6.0, 7))
    times = np.linspace(0.0, 6_000.0, 300)
    (whole,) = fleet_tracks(orbits)
    first, rest = fleet_tracks(orbits, sample=3)
    assert whole(times).shape == (300, 3, 7)
    assert np.array_equal(np.asarray(whole(times))[:, :, [0, 2, 4, 6]], first(times))
    assert np.array_equal(np.asarray(whole(times))[:, :, [1, 3, 5]], rest(times))
    alone = satellite_track(orbits, 3)(times)
    assert np.abs(alone - np.asarray(whole(times))[:, :, 3]).max() < 1e-6


def test_a_contact_just_beyond_the_window_counts_for_who_waits(twelve, fleet):
    first = min(
        item.rise.seconds_since(START)
        for satellite in twelve
        for item in passes(track_of(satellite), [CHENGDU], MASK, START, START.plus(43_200.0))
    )
    (window,) = contact_statistics([fleet], [CHENGDU], MASK, START, window=first - 30.0)
    assert window.share == 0.0
    assert window.chance * (first - 30.0) == pytest.approx(60.0, abs=0.5)

"""Ephemerides: shape, frames against Skyfield, errors in words."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest

from twin.catalog import read_elements
from twin.clock import Epoch, timescale
from twin.ephemeris import ephemeris, ephemeris_csv, times_between

ELEMENTS = Path(__file__).parents[2] / "assets" / "elements"
TWELVE = read_elements(ELEMENTS / "scs01_2025-10-03.csv")
START = Epoch.parse("2025-10-04T00:00:00Z")
TIMES = times_between(START, START.plus(7200.0), 600.0)


def test_the_shape_that_others_rely_on():
    table = ephemeris(TWELVE, TIMES)
    assert set(table) == {"frame", "times", "satellites", "warnings"}
    assert table["frame"] == "teme" and table["warnings"] == []
    assert (table["times"][0], table["times"][-1]) == (
        "2025-10-04T00:00:00Z",
        "2025-10-04T02:00:00Z",
    )
    assert [one["norad"] for one in table["satellites"]] == list(range(63982, 63994))
    for one in table["satellites"]:
        assert set(one) == {"name", "norad", "position_m", "velocity_m_s", "error"}
        assert np.shape(one["position_m"]) == np.shape(one["velocity_m_s"]) == (13, 3)
        assert one["error"] is None
    json.dumps(table, allow_nan=False)


@pytest.mark.parametrize("frame", ["teme", "gcrs", "itrf"])
def test_frames_agree_with_skyfield(frame):
    """Skyfield runs its own SGP4 and its own rotations."""
    from sgp4.api import Satrec
    from skyfield.api import EarthSatellite
    from skyfield.framelib import itrs
    from skyfield.sgp4lib import TEME

    table = ephemeris(TWELVE[:3], TIMES, frame=frame)
    times = timescale().from_datetimes([t.datetime().astimezone(UTC) for t in TIMES])
    from oracles.sgp4_reference import reference

    for one, ours in zip(TWELVE, table["satellites"], strict=False):
        satellite = reference(one)
        assert isinstance(satellite, Satrec)
        place = EarthSatellite.from_satrec(satellite, timescale()).at(times)
        if frame == "gcrs":
            position, velocity = place.position.m, place.velocity.m_per_s
        else:
            position, velocity = place.frame_xyz_and_velocity(TEME if frame == "teme" else itrs)
            position, velocity = position.m, velocity.m_per_s
        a_centimetre, a_tenth_of_a_millimetre_a_second = 0.01, 1e-4
        np.testing.assert_allclose(np.transpose(ours["position_m"]), position, 0, a_centimetre)
        np.testing.assert_allclose(
            np.transpose(ours["velocity_m_s"]), velocity, 0, a_tenth_of_a_millimetre_a_second
        )


def test_a_decayed_satellite_is_named_and_its_numbers_left_out():
    falling = replace(TWELVE[0], mean_motion_rev_day=16.4, bstar=0.05)
    times = times_between(START, START.plus(4 * 86_400.0), 3600.0)
    table = ephemeris([TWELVE[1], falling], times)
    fine, lost = table["satellites"]
    assert fine["error"] is None and None not in fine["position_m"]
    assert "2025-10-0" in lost["error"] and lost["position_m"][-1] is None
    json.dumps(table, allow_nan=False)
    rows = list(csv.DictReader(io.StringIO(ephemeris_csv(table))))
    assert len(rows) == 2 * len(times)
    assert rows[-1]["x_m"] == "" and rows[-1]["error"] == lost["error"]
    assert float(rows[0]["x_m"]) == fine["position_m"][0][0]


def test_old_elements_are_warned_about():
    (text,) = ephemeris(TWELVE[:1], [START.plus(20 * 86_400.0)])["warnings"]
    assert "SCS-01 A (63982)" in text and "20 days" in text


def test_secular_is_another_model_of_the_same_orbit():
    near = ephemeris(TWELVE, TIMES, propagator="secular")
    exact = ephemeris(TWELVE, TIMES)
    for a, b in zip(near["satellites"], exact["satellites"], strict=True):
        apart = np.linalg.norm(np.subtract(a["position_m"], b["position_m"]), axis=1)
        assert 100.0 < apart.max() < 40e3


def test_what_is_not_there_yet_is_refused_by_name():
    with pytest.raises(ValueError, match="numerical propagator is not there yet: choose sgp4"):
        ephemeris(TWELVE, TIMES, propagator="numerical")
    with pytest.raises(ValueError, match="no frame 'j2000': choose teme, gcrs, itrf"):
        ephemeris(TWELVE, TIMES, frame="j2000")
    with pytest.raises(ValueError, match="at least one"):
        ephemeris([], TIMES)


def test_times_include_the_stop_where_the_step_meets_it():
    assert len(times_between(START, START.plus(86_400.0), 60.0)) == 1441
    assert len(times_between(START, START.plus(1.0), 0.1)) == 11
    assert len(times_between(START, START.plus(59.0), 60.0)) == 1
    for stop, step in ((10.0, 0.0), (10.0, float("nan")), (-1.0, 1.0)):
        with pytest.raises(ValueError):
            times_between(START, START.plus(stop), step)

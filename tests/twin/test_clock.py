"""Absolute time: text in and out, exact arithmetic, and Skyfield's reading of it."""

import warnings
from datetime import UTC, datetime

import numpy as np
import pytest
from sgp4.api import jday

from twin.clock import Epoch, skyfield_times, timescale

A_NANOSECOND = 1e-9
A_MICROSECOND = 1e-6


@pytest.mark.parametrize(
    "text, decimals, written",
    [
        ("2035-03-20T12:00:00Z", 0, "2035-03-20T12:00:00Z"),
        ("2025-10-03T13:22:35.160960", 6, "2025-10-03T13:22:35.160960Z"),
        ("2026-01-01T00:30:00+02:00", 0, "2025-12-31T22:30:00Z"),
        ("2025-12-31 23:59:59.9996", 3, "2026-01-01T00:00:00.000Z"),
        ("2024-02-29", 0, "2024-02-29T00:00:00Z"),
    ],
)
def test_text_comes_back_as_it_went_in(text, decimals, written):
    assert Epoch.parse(text).text(decimals) == written


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("yesterday", "is not a time"),
        ("2025-02-29T00:00:00Z", "is not a date"),
        ("2016-12-31T23:59:60Z", "leap seconds"),
        ("2025-01-01T24:00:00Z", "no such hour"),
    ],
)
def test_bad_text_is_refused_in_words(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Epoch.parse(text)


def test_the_parts_are_those_of_the_sgp4_package():
    epoch = Epoch.parse("2025-10-03T13:22:35.160960Z")
    whole, fraction = jday(2025, 10, 3, 13, 22, 35.160960)
    assert epoch.whole == whole
    assert abs(epoch.fraction - fraction) * 86_400 < A_NANOSECOND


def test_arithmetic_is_exact_to_a_microsecond_over_a_century():
    rng = np.random.default_rng(1)
    start = Epoch.parse("1960-01-01T07:11:13.000001Z")
    for seconds in rng.uniform(-3e9, 3e9, size=1000):
        assert abs(start.plus(seconds).seconds_since(start) - seconds) < A_MICROSECOND


def test_just_before_midnight_stays_a_valid_epoch():
    midnight = Epoch.of(2_460_000.5)
    before = Epoch.of(2_460_000.5, -1e-20)
    assert before == midnight
    assert midnight.plus(-1e-3) < midnight


def test_datetimes_go_both_ways():
    moment = datetime(2026, 8, 22, 1, 2, 3, 456_789, tzinfo=UTC)
    assert Epoch.from_datetime(moment).datetime() == moment
    assert Epoch.from_datetime(moment.replace(tzinfo=None)).datetime() == moment


def test_skyfield_reads_the_same_moment():
    start = Epoch.parse("2026-08-22T23:59:30.25Z")
    moments = skyfield_times(start, np.array([0.0, 29.75, 86_400.0]))
    expected = timescale().utc(2026, 8, [22, 23, 23], [23, 0, 23], [59, 0, 59], [30.25, 0.0, 30.25])
    assert np.abs((moments.tt - expected.tt) * 86_400).max() < 1e-4, "a Julian date in one double"
    assert [t.utc_iso(places=3) for t in (moments[0], moments[1])] == [
        "2026-08-22T23:59:30.250Z",
        "2026-08-23T00:00:00.000Z",
    ]


def test_a_leap_second_is_not_counted_as_in_sgp4():
    before = Epoch.parse("2016-12-31T12:00:00Z")
    assert skyfield_times(before, 86_400.0).utc_iso() == "2017-01-01T12:00:00Z"
    assert Epoch.parse("2017-01-01T12:00:00Z").seconds_since(before) == 86_400.0


@pytest.mark.parametrize("text", ["1890-01-01T00:00:00Z", "2053-10-09T00:00:00Z"])
def test_outside_the_ephemeris_is_said(text):
    with pytest.raises(ValueError, match="outside the planetary ephemeris DE421"):
        skyfield_times(Epoch.parse(text), 0.0)


def test_the_last_day_of_the_ephemeris_still_works():
    from twin.environment.sun import sun_positions

    start = Epoch.parse("2053-10-07T23:59:59Z")
    assert np.isfinite(sun_positions(start, np.array([0.0]))).all()


def test_expired_tables_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timescale.__wrapped__()

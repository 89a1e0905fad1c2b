"""`twin ephemeris` and `twin passes`: the shapes others rely on, and what is refused."""

import csv
import json

import numpy as np
import pytest
from calling import DAY, TWELVE, refused
from skyfield.api import EarthSatellite, wgs84

from twin.catalog import read_elements
from twin.clock import Epoch, timescale


def skyfield_satellite(one):
    from sgp4.api import WGS72, Satrec

    record = Satrec()
    rate = np.radians(one.mean_motion_rev_day * 360) / 1440
    days = one.epoch.whole + one.epoch.fraction - 2433281.5
    record.sgp4init(
        WGS72, "i", one.norad, days, one.bstar, 0.0, 0.0, one.eccentricity,
        *np.radians([one.argp_deg, one.inclination_deg, one.mean_anomaly_deg]), rate,
        np.radians(one.raan_deg),
    )  # fmt: skip
    return EarthSatellite.from_satrec(record, timescale())


def test_passes_are_those_of_skyfield(command):
    """Rise, culmination, set within 0.5 s and 0.05 s of rounding, elevation within 0.02 degrees."""
    station = "30.67,104.07,500"
    code, out, err = command("passes", TWELVE, "--station", station, *DAY, "--json")
    assert code == 0 and not err
    found = [p for p in json.loads(out)["passes"] if p["norad"] == 63983]
    from twin.fleet import elements_path

    one = next(s for s in read_elements(elements_path(TWELVE)) if s.norad == 63983)
    place = wgs84.latlon(30.67, 104.07, 500)
    ts = timescale()
    times, events = skyfield_satellite(one).find_events(
        place, ts.utc(2025, 10, 4), ts.utc(2025, 10, 5), altitude_degrees=5.0
    )
    assert len(found) == sum(events == 1) >= 3
    start = Epoch.parse("2025-10-04")
    for kind, name in enumerate(("rise", "culmination", "set")):
        expected = (times[events == kind].tt - ts.utc(2025, 10, 4).tt) * 86_400
        got = [Epoch.parse(p[name]).seconds_since(start) for p in found]
        np.testing.assert_allclose(got, expected, atol=0.55 if kind != 1 else 1.5)
    assert all(p["station"] == station and p["max_elevation_deg"] > 5 for p in found)
    order = [p["rise"] or p["culmination"] for p in json.loads(out)["passes"]]
    assert order == sorted(order)


def test_passes_at_the_edges_and_bad_questions(command):
    up = ["--start", "2025-10-04T02:36:00Z", "--stop", "2025-10-04T02:36:05Z"]
    code, out, _ = command("passes", TWELVE, "--station", "30.67,104.07", *up, "--json")
    (one,) = json.loads(out)["passes"]  # SCS-01 E stands 7 degrees high then
    assert (one["satellite"], one["rise"], one["set"]) == ("SCS-01 E", None, None)
    assert "already up" in one["note"] and "still up" in one["note"]

    def ask(station="30.67,104.07", mask=5, window=DAY):
        return command("passes", TWELVE, "--station", station, "--mask-deg", mask, *window)

    refused(ask("Chengdu"), "Chengdu", "LAT,LON[,ALT_M]")
    refused(ask("30.67"), "30.67", "LAT,LON[,ALT_M]")
    refused(ask("95,10"), "latitude", "-90 to 90")
    refused(ask("nan,10"), "nan")
    refused(ask(mask=90), "--mask-deg", "below 90")
    refused(ask(window=["--start", DAY[3], "--stop", DAY[1]]), "--stop", "after --start")
    refused(ask(window=["--start", "noon", "--stop", DAY[1]]), "noon", "2035-03-20T12:00:00Z")
    refused(ask(window=["--start", "2025-10-04", "--stop", "9999-01-01"]), "too much")
    refused(command("passes", "nothing.csv", "--station", "0,0", *DAY), "nothing.csv")


def test_an_ephemeris_has_the_documented_shape(command):
    code, out, err = command(
        "ephemeris", TWELVE, "--step-s", 43200, *DAY, "--json", "--frame", "itrf"
    )
    said = json.loads(out)
    assert code == 0 and not err and set(said) == {"frame", "times", "satellites"}
    assert said["frame"] == "itrf" and said["times"] == [
        f"2025-10-{day}Z" for day in ("04T00:00:00", "04T12:00:00", "05T00:00:00")
    ]
    assert len(said["satellites"]) == 12
    first = said["satellites"][0]
    assert set(first) == {"name", "norad", "position_m", "velocity_m_s", "error"}
    assert np.shape(first["position_m"]) == np.shape(first["velocity_m_s"]) == (3, 3)
    same = command(
        "ephemeris", TWELVE, "--step-s", 43200, *DAY, "--format", "json", "--frame", "itrf"
    )
    assert same[1] == out
    code, out, _ = command("ephemeris", TWELVE, "--step-s", 43200, *DAY, "--frame", "itrf")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 36 and float(rows[1]["y_m"]) == first["position_m"][1][1]


def test_old_elements_are_warned_of_on_standard_error(command):
    late = ["--start", "2025-12-01T00:00:00Z", "--stop", "2025-12-01T00:10:00Z"]
    code, out, err = command("ephemeris", TWELVE, *late, "--json")
    assert code == 0 and json.loads(out)
    assert "warning: element sets more than 14 days" in err.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--propagator", "numerical"], ["'numerical' is not there yet", "sgp4, secular"]),
        (["--format", "oem"], ["'oem' is not written yet", "csv, json"]),
        (["--frame", "tem"], ["'tem'", "did you mean 'teme'?"]),
        (["--step-s", "0"], ["--step-s", "above 0"]),
        (["--step-s", "-5"], ["--step-s", "above 0"]),
        (["--step-s", "nan"], ["--step-s", "above 0"]),
        (["--step-s", "0.001"], ["1,036,800,012 states", "longer step"]),
    ],
)
def test_questions_that_cannot_be_answered_are_refused_by_name(command, arguments, words):
    refused(command("ephemeris", TWELVE, *DAY, *arguments), *words)


def test_decayed_satellites_are_named(command, tmp_path):
    header, row, *_ = (_elements() / f"{TWELVE}.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True)) | {"BSTAR": "0.5"}
    (tmp_path / "low.csv").write_text(f"{header}\n{','.join(cells.values())}\n")
    window = ["--start", "2025-10-04T00:00:00Z", "--stop", "2025-10-08T00:00:00Z"]
    code, _, err = command("ephemeris", tmp_path / "low.csv", *window, "--step-s", 3600)
    assert code == 0 and "63982" in err
    code, out, err = command("passes", tmp_path / "low.csv", "--station", "0,0", *window)
    assert code == 0 and "decayed" in err


def _elements():
    from pathlib import Path

    return Path(__file__).parents[2] / "assets" / "elements"

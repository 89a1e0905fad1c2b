"""Files of element sets: what is read, and that every bad line is named."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.sgp4_reference import synthetic_catalogue
from sgp4.api import WGS72, Satrec
from sgp4.exporter import export_tle

from twin.catalog import CatalogError, mean_altitude, read_elements, write_omm_csv
from twin.clock import Epoch
from twin.tle import checksum

ELEMENTS = Path(__file__).parents[2] / "assets" / "elements"
TLE = (
    "1 58918U 24024B   26234.28624002  .00005465  00000+0  24873-3 0  9990\n"
    "2 58918  97.3016 298.6204 0014485 279.2268  80.7330 15.21018127141395\n"
)
LINE_1, LINE_2 = TLE.splitlines()


def problems(source):
    with pytest.raises(CatalogError) as caught:
        read_elements(source)
    return caught.value.problems


def signed(line):
    return line[:68] + str(checksum(line))


def test_the_twelve_are_read_and_written_back():
    path = ELEMENTS / "scs01_2025-10-03.csv"
    twelve = read_elements(path)
    assert [one.norad for one in twelve] == list(range(63982, 63994))
    first = twelve[0]
    assert (first.name, first.cospar, first.classification) == ("SCS-01 A", "2025-100A", "U")
    assert first.epoch == Epoch.parse("2025-10-03T13:22:35.160960Z")
    assert (first.mean_motion_rev_day, first.bstar) == (15.20846273, 0.0010417)
    assert read_elements(write_omm_csv(twelve)) == twelve


def test_mean_altitudes_of_the_fact_sheet():
    """domain.md 1.3: kilometres above the equatorial radius, from Kozai's mean motion."""
    published = dict(zip("ABCDEFGHJKLM", [503.3, 494.2, 503.3, 498.5, 501.5, 503.0, 496.2, 497.6,
                                          498.1, 502.5, 502.5, 498.1], strict=True))  # fmt: skip
    for one in read_elements(ELEMENTS / "scs01_2025-10-03.csv"):
        last_digit = 0.051
        assert mean_altitude(one) / 1e3 == pytest.approx(published[one.name[-1]], abs=last_digit)


def test_json_numbers_and_strings_give_the_same_sets_as_csv():
    path = ELEMENTS / "scs01_2026-08-22.csv"
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    as_strings = [dict(zip(header, row, strict=True)) for row in rows]
    as_numbers = [
        {
            k: float(v) if k in {"MEAN_MOTION", "ECCENTRICITY", "BSTAR"} else v
            for k, v in one.items()
        }
        for one in as_strings
    ]
    expected = read_elements(path)
    assert read_elements("\n" + json.dumps(as_strings)) == expected
    assert read_elements("\n" + json.dumps(as_numbers)) == expected
    assert read_elements("\n" + json.dumps(as_numbers[0])) == expected[:1]


@pytest.mark.parametrize("name", ["", "XINGSHIDAI 20\n", "0 XINGSHIDAI 20\n"])
def test_tle_with_and_without_a_name(name):
    (one,) = read_elements(name + TLE)
    assert one.name == ("XINGSHIDAI 20" if name else "2024-024B")
    peer = Satrec.twoline2rv(LINE_1, LINE_2, WGS72)
    assert one.norad == peer.satnum
    assert one.mean_motion_rev_day == pytest.approx(peer.no_kozai * 1440 / (2 * math.pi), 1e-15)
    assert (one.eccentricity, one.bstar) == (peer.ecco, peer.bstar)
    assert math.radians(one.raan_deg) == peer.nodeo
    assert one.epoch.whole == math.floor(peer.jdsatepoch - 0.5) + 0.5
    assert one.epoch.fraction == pytest.approx(peer.jdsatepochF, abs=1e-15)
    assert (one.element_set, one.revolution) == (999, 14139)


def test_alpha_5_numbers():
    lines = [signed(line[:2] + "E8493" + line[7:]) for line in TLE.splitlines()]
    assert read_elements("\n".join(lines))[0].norad == 148_493


def test_every_bad_line_is_named_at_once():
    text = (
        "GOOD\n" + TLE  # 1-3
        + LINE_1[:-1] + "5\n" + LINE_2 + "\n"  # 4: checksum
        + LINE_1[:60] + "\n" + LINE_2 + "\n"  # 6: short
        + LINE_1 + "\n" + signed(LINE_2.replace("58918", "58919")) + "\n"  # 9: other number
        + LINE_1 + "\n"  # 10: alone
        + "NAME\n"  # 11: alone
        + "OTHER\n" + LINE_2 + "\n"  # 13: alone
        + LINE_1 + "\n" + signed(LINE_2.replace(" 97.3016", "197.3016")) + "\n"  # 15: value
    )  # fmt: skip
    found = problems(text)
    assert [p.where for p in found] == [f"line {n}" for n in (4, 6, 9, 10, 11, 13, 15)]
    words = ["checksum '5'", "60 columns", "number 58919", "without its line 2",
             "a name without", "without its line 1", "INCLINATION is 197.3016"]  # fmt: skip
    for problem, word in zip(found, words, strict=True):
        assert word in problem.problem
    assert problems(text)[0].allowed == "0"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("MEAN_MOTION", "0", "MEAN_MOTION is 0"),
        ("MEAN_MOTION", "-1", "MEAN_MOTION is -1"),
        ("ECCENTRICITY", "1.0", "ECCENTRICITY is 1.0"),
        ("ECCENTRICITY", "nan", "not a finite number"),
        ("BSTAR", "inf", "not a finite number"),
        ("BSTAR", "", "not a finite number"),
        ("BSTAR", "1_0", "not a finite number"),
        ("BSTAR", "1e999", "not a finite number"),
        ("EPOCH", "yesterday", "EPOCH is 'yesterday'"),
        ("EPOCH", "2025-02-30T00:00:00", "EPOCH"),
        ("NORAD_CAT_ID", "I1234", "NORAD_CAT_ID is 'I1234'"),
        ("INCLINATION", "-4", "INCLINATION is -4"),
    ],
)
def test_bad_values_in_csv_and_json(key, value, words):
    header, row = (ELEMENTS / "scs01_2025-10-03.csv").read_text().splitlines()[:2]
    values = dict(zip(header.split(","), row.split(","), strict=True)) | {key: value}
    (problem,) = problems(header + "\n" + row + "\n" + ",".join(values.values()))
    assert problem.where == "line 3" and words in problem.problem and problem.allowed
    (problem,) = problems("\n" + json.dumps([values]))
    assert problem.where == "object 1" and words in problem.problem


def test_what_is_not_a_catalogue():
    assert problems("")[0].problem == "no element sets"
    assert "missing" in problems("OBJECT_NAME,EPOCH\nA,2025-01-01")[0].problem
    assert "OMM in KVN" in problems("CCSDS_OMM_VERS = 2.0\nCOMMENT x\n")[0].problem
    assert "OMM in XML" in problems("<?xml version='1.0'?>\n<ndm/>")[0].problem
    assert problems('[{"A": 1},\n oops]')[0].where == "line 2"
    assert "a int" in problems("\n[3]")[0].problem
    assert "No such file" in problems(Path("nowhere.csv"))[0].problem
    header, row = (ELEMENTS / "scs01_2025-10-03.csv").read_text().splitlines()[:2]
    assert "repeats the set of line 2" in problems(f"{header}\n{row}\n{row}\n")[0].problem
    assert "16 values" in problems(f"{header}\n{row[: row.rindex(',')]}\n")[0].problem


def test_bytes_that_are_not_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"OBJECT_NAME,\xff\xfe")
    assert "not text" in problems(tmp_path / "x.csv")[0].problem


@given(
    st.integers(0, 2799),
    st.floats(0, 0.9999999),
    st.floats(-0.9, 0.9).filter(lambda x: x == 0 or abs(x) > 1e-9),  # the writer overflows below
)
def test_sets_survive_the_packages_own_tle_writer(index, eccentricity, bstar):
    """Written by `sgp4.exporter`, read by us and by the package alike."""
    from oracles.sgp4_reference import reference

    one = replace(FLEET[index], eccentricity=eccentricity, bstar=bstar, norad=12_345)
    satellite = reference(one)
    satellite.classification = "U"
    lines = export_tle(satellite)
    (ours,) = read_elements("\n".join(lines))
    theirs = Satrec.twoline2rv(*lines, WGS72)
    assert (ours.eccentricity, ours.norad) == (theirs.ecco, theirs.satnum)
    assert ours.bstar == pytest.approx(theirs.bstar, rel=1e-15)
    assert math.radians(ours.argp_deg) == pytest.approx(theirs.argpo, rel=1e-15)


FLEET = synthetic_catalogue()


@given(st.text(max_size=300))
def test_no_text_crashes_the_reader(text):
    try:
        assert read_elements("\n" + text)
    except CatalogError as error:
        assert error.problems


@given(st.integers(0, 137), st.characters(codec="ascii"))
def test_a_changed_character_is_noticed_or_harmless(place, character):
    """The checksum misses letters, signs and dots; columns and ranges must catch what it misses."""
    text = TLE[:place] + character + TLE[place + 1 :]
    try:
        (one,) = read_elements(text)
    except CatalogError as error:
        assert error.problems
    else:
        assert all(math.isfinite(x) for x in (one.mean_motion_rev_day, one.bstar))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_no_json_crashes_the_reader(value):
    header, row = (ELEMENTS / "scs01_2025-10-03.csv").read_text().splitlines()[:2]
    values = dict(zip(header.split(","), row.split(","), strict=True))
    for key in ("MEAN_MOTION", "EPOCH", "NORAD_CAT_ID", "REV_AT_EPOCH", "OBJECT_NAME"):
        try:
            read_elements("\n" + json.dumps([values | {key: value}]))
        except CatalogError as error:
            assert error.problems

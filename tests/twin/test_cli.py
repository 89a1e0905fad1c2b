"""The command as a user meets it: what it prints, how it ends, and one clear line for each mistake."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from skyfield.api import EarthSatellite, wgs84

import twin.simulate
from twin import cli, results
from twin.catalog import read_elements
from twin.clock import Epoch, timescale

COMMANDS = ["run", "resume", "show", "compare", "export", "list", "new", "check", "schema", "ephemeris", "passes", "doctor", "shot"]
TINY = """
title = "Tiny [twin]"
[run]
start = 2025-10-04T00:00:00Z
duration_h = 1
step_s = 60
record_s = 300
samples = 0
[class.small]
[class.big]
payload = { kind = "training" }
[[shell]]
satellites = 2
planes = 1
[[shell]]
kind = "sso"
class = "big"
satellites = 1
"""
DAY = ["--start", "2025-10-04T00:00:00Z", "--stop", "2025-10-05T00:00:00Z"]
TWELVE = "scs01_2025-10-03"


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `twin` in this process: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["twin", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code or 0
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def run(scenario, tmp_path_factory):
    """One finished run, made through Python."""
    from twin.flight import run

    folder = tmp_path_factory.mktemp("runs") / "first"
    with run(str(scenario), folder) as data:
        assert json.loads(data.attrs["report"])["satellites"] == 3
    return folder


def refused(result, *words):
    """Exit code 2, nothing on standard output, one line that holds all the words."""
    code, out, err = result
    assert code == 2 and not out
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


# -- help and form


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command, name):
    code, out, err = command(name, "--help")
    assert code == 0 and not err
    assert f"Usage: twin {name}" in out and "--json" in out
    assert len(out.split("Usage:")[1].splitlines()[2].strip()) > 20  # a sentence about it


def test_without_a_word_it_shows_its_commands(command):
    code, out, err = command()
    assert code == 2 and "Commands" in out + err and "error" not in out + err


def test_a_wrong_command_line_is_one_line(command):
    refused(command("fly"), "fly", "--help")
    refused(command("run"), "SCENARIO", "twin run --help")
    refused(command("run", "scs01", "--duration-h", "long"), "--duration-h", "number", "twin run --help")


def test_check_answers_without_jax():
    code = "import sys; sys.argv = ['twin', *sys.argv[1:]]\nfrom twin.cli import main\n" + (
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'jax' not in sys.modules, 'jax was imported'\n"
    )
    for arguments in (
        ["check", "scs01"],
        ["check", "star2035", "--explain"],
        ["schema", "scenario"],
        ["schema", "profile", "--json"],
        ["schema", "report"],
        ["list"],
    ):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["check", "scs01"],
        ["check", "scs01", "--explain"],
        ["schema", "scenario"],
        ["schema", "run"],
        ["schema", "profile"],
        ["schema", "report"],
        ["passes", TWELVE, "--station", "30.67,104.07", *DAY],
        ["ephemeris", TWELVE, "--step-s", "43200", *DAY],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_json_is_one_object_and_nothing_else(command, arguments):
    code, out, _ = command(*arguments, "--json")
    assert code == 0
    assert isinstance(json.loads(out), dict)
    code, out, _ = command(*arguments)
    assert code == 0 and not out.startswith("{") and len(out.splitlines()) >= 1


def test_errors_are_json_too(command):
    code, out, err = command("check", "scs02", "--json")
    assert code == 2 and not err
    (one,) = json.loads(out)["errors"]
    assert one["where"] == "scs02" and "scs01" in one["allowed"] and "scs01" in one["hint"]


# -- runs


def test_run_writes_a_store_and_prints_its_report(command, scenario, tmp_path):
    code, out, err = command("run", scenario, "-o", tmp_path / "run", "--seed", 3)
    assert code == 0, err
    assert "Tiny [twin]" in out and str(tmp_path / "run") in out
    for claim in ("unlimited energy", "natural cooling", "answers in two minutes"):
        assert claim in out
    code, again, _ = command("show", tmp_path / "run")
    assert (code, again) == (0, out)
    refused(command("run", scenario, "-o", tmp_path / "run"), "exists", "-o", "twin resume")
    refused(command("resume", tmp_path / "run"), "finished", "twin show")


def test_run_as_json_with_a_choice_of_variables(command, scenario, tmp_path):
    wanted = "payload_power,position"
    code, out, _ = command(
        "run", scenario, "-o", tmp_path / "run", "--record", wanted, "--step-s", 30, "--json"
    )
    report = json.loads(out)
    assert code == 0 and report["step_s"] == 30 and report["run"] == str(tmp_path / "run")
    with results.Run(tmp_path / "run").dataset() as data:
        assert "payload_power" in data and "position" in data
        assert "temperature" not in data and "limit" not in data
    code, out, _ = command("export", tmp_path / "run", "--csv", tmp_path / "few.csv")
    assert code == 0
    header = (tmp_path / "few.csv").read_text().splitlines()[0]
    assert header == "time,time_s,name,norad,class,position_x,position_y,position_z,payload_power"


def test_show_and_compare(command, run, scenario, tmp_path):
    code, out, _ = command("show", run, "--json")
    assert code == 0 and json.loads(out)["title"] == "Tiny [twin]"
    command("run", scenario, "-o", tmp_path / "b", "--set", "class.small.battery_wh=300")
    code, out, _ = command("compare", run, tmp_path / "b")
    assert code == 0 and "least charge" in out
    code, out, _ = command("compare", run, tmp_path / "b", "--json")
    said = json.loads(out)
    rows = {row["quantity"]: row for row in said["rows"]}
    assert rows["satellites"]["first"] == rows["satellites"]["second"] == "3"
    low, high = (report["battery_min_fraction"] for report in said["reports"])
    assert high < low  # the smaller battery falls further
    refused(command("show", tmp_path), "not a run")


def test_csv_and_parquet_hold_the_numbers_of_the_store(command, run, tmp_path):
    import pyarrow.parquet as pq

    code, out, _ = command("export", run, "--csv", tmp_path / "t.csv")
    assert code == 0 and out.startswith("36 rows")
    code, out, _ = command("export", run, "--parquet", tmp_path / "t.parquet", "--json")
    assert code == 0 and json.loads(out)["rows"] == 36
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "t.parquet")
    with results.Run(run).dataset() as data:
        data = data.load()
    last = {k: v for k, v in rows[-1].items()}
    assert last["time"] == "2025-10-04T01:00:00Z" and float(last["time_s"]) == 3600
    assert (last["class"], last["limit"], last["alive"]) == ("big", "nothing", "1")
    for name, values in data.data_vars.items():
        if values.dims != ("time", "sat") or name == "limit":
            continue
        flat = values.to_numpy().ravel()
        np.testing.assert_array_equal(np.array([r[name] for r in rows], values.dtype), flat)
        np.testing.assert_array_equal(table[name].to_numpy(), flat)
    chip = data["temperature"].to_numpy()[:, :, list(data["node_name"].values).index("chip")]
    np.testing.assert_array_equal(table["temperature_chip"].to_numpy(), chip.ravel())
    y = data["position"].to_numpy()[..., 1]
    np.testing.assert_array_equal(np.array([r["position_y"] for r in rows], "f4"), y.ravel())
    assert list(rows[0]) == table.column_names
    assert table.schema.field("position_y").metadata[b"frame"] == b"TEME"
    assert table.schema.field("temperature_chip").metadata[b"units"] == b"K"
    assert b"assumed" in table.schema.metadata[b"assumed"]
    refused(command("export", run), "--csv")
    refused(command("export", run, "--csv", tmp_path / "no" / "t.csv"), "no folder")
    refused(command("export", run, "--csv", tmp_path), "is a folder")


def test_without_pyarrow_one_line_says_what_to_install(command, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = command("export", run, "--parquet", tmp_path / "t.parquet")
    refused(result, 'pip install "constellation-twin[formats]"')


# -- bad input


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("duration_h = 1", "duration_h = ", ["not valid TOML", "line"]),
        ("duration_h = 1", "duration = 1", ["run.duration", "unknown key", "duration_h"]),
        ("planes = 1", "altitude_km = 50", ["altitude_km", "150", "50"]),
        ("planes = 1", "altitude_km = inf", ["altitude_km", "finite"]),
        ("planes = 1", "altitude_km = nan", ["altitude_km", "finite"]),
        ("[class.small]", "[class.small]\nbattery_wh = -5", ["battery_wh", "-5", "above 0"]),
        ("[class.small]", "[class.small]\nbattery_wh = nan", ["battery_wh", "finite"]),
        ("2025-10-04T00:00:00Z", "1850-01-01T00:00:00Z", ["run.start", "DE421"]),
        ("[class.small]", '[class.small]\npayload = { profile = "orin" }', ["orin", "profile"]),
    ],
)
def test_bad_scenarios_are_told_in_one_line(command, tmp_path, old, new, words):
    assert old in TINY
    (tmp_path / "bad.toml").write_text(TINY.replace(old, new, 1))
    refused(command("run", tmp_path / "bad.toml", "-o", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_zero_satellites(command, tmp_path):
    text = TINY.replace("satellites = 2", "satellites = 0").replace("satellites = 1", "satellites = 0")
    (tmp_path / "none.toml").write_text(text)
    refused(command("check", tmp_path / "none.toml"), "no satellites", "satellites = 1")


def test_every_problem_is_told_at_once(command, tmp_path):
    text = TINY.replace("step_s = 60", "step_s = -1").replace("planes = 1", "plane = 1")
    (tmp_path / "two.toml").write_text(text)
    code, _, err = command("check", tmp_path / "two.toml")
    assert code == 2 and len(err.splitlines()) == 2 and "did you mean 'planes'?" in err


def test_an_element_file_with_a_bad_checksum_names_its_line(command, tmp_path):
    (tmp_path / "bad.tle").write_text(
        "1 58918U 24024B   26234.28624002  .00005465  00000+0  24873-3 0  9991\n"
        "2 58918  97.3016 298.6204 0014485 279.2268  80.7330 15.21018127141395\n"
    )
    shells = '[[shell]]\nkind = "catalog"\nelements = "bad.tle"\n'
    (tmp_path / "bad.toml").write_text(TINY[: TINY.index("[[shell]]")] + shells)
    for arguments in (
        ["run", tmp_path / "bad.toml", "-o", tmp_path / "run"],
        ["ephemeris", tmp_path / "bad.tle", *DAY],
        ["passes", tmp_path / "bad.tle", "--station", "0,0", *DAY],
        ["new", tmp_path / "mine.toml", "--elements", tmp_path / "bad.tle"],
    ):
        refused(command(*arguments), "bad.tle:1", "checksum")


def test_unknown_names_are_answered_with_the_nearest(command, scenario, tmp_path):
    refused(command("run", "scs1"), "scs01")
    record = command("run", scenario, "-o", tmp_path / "r", "--record", "panel_power,temprature")
    refused(record, "temprature", "did you mean 'temperature'?", "tokens_rate")
    refused(command("schema", "runs"), "did you mean 'run'?", "scenario")
    setting = command("check", scenario, "--set", "class.small.batery_wh=1")
    refused(setting, "class.small.batery_wh", "battery_wh")


def test_a_place_that_cannot_be_written_is_named(command, scenario, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(command("run", scenario, "-o", tmp_path / "file" / "run"), "file/run", "cannot be written")
    refused(command("new", tmp_path / "file" / "a.toml"), "cannot be written")


def test_a_full_disk_keeps_what_is_saved(command, scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(twin.simulate, "CHUNK_BYTES", 4 * 3 * twin.simulate.RECORD_BYTES)
    append = results.Writer.append

    def full(self, first, *rest):
        if first >= 4:
            raise OSError(28, "No space left on device")
        append(self, first, *rest)

    monkeypatch.setattr(results.Writer, "append", full)
    code, out, err = command("run", scenario, "-o", tmp_path / "run")
    assert code == 1 and not out and err.count("\n") == 1
    assert "No space left on device" in err and "4 records are saved" in err
    refused(command("show", tmp_path / "run"), "not finished", "twin resume")
    code, out, _ = command("export", tmp_path / "run", "--csv", tmp_path / "part.csv")
    assert code == 0 and out.startswith("12 rows")
    monkeypatch.setattr(results.Writer, "append", append)
    code, out, err = command("resume", tmp_path / "run")
    assert code == 0, err
    assert results.Run(tmp_path / "run").records_done() == 12


def test_ctrl_c_ends_with_130(command, scenario, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.Writer, "append", interrupted)
    code, out, err = command("run", scenario, "-o", tmp_path / "run")
    assert code == 130 and not out
    assert f"0 records are saved in {tmp_path / 'run'}" in err and "twin resume" in err


# -- new, list, schema, doctor


@pytest.mark.parametrize("elements", [None, TWELVE, "fleet.csv", "../elsewhere.csv"])
def test_a_new_scenario_is_valid_and_flies(command, tmp_path, elements):
    from importlib.resources import files

    folder = tmp_path / "mine"
    folder.mkdir()
    file, more = folder / "fleet.toml", []
    if elements:
        path = folder / elements if elements.endswith(".csv") else elements
        if elements.endswith(".csv"):
            path.write_text((files("assets") / "elements" / f"{TWELVE}.csv").read_text())
        more = ["--elements", path]
    code, out, err = command("new", file, *more)
    assert code == 0 and f"twin check {file}" in out, err
    text = file.read_text()
    assert "$" not in text
    if elements:
        assert "start = 2025-10-03T16:00:00Z" in text  # the newest epoch is 15:17:30
        name = elements if not elements.startswith("..") else str(tmp_path / "elsewhere.csv")
        assert f'elements = "{name}"' in text
    refused(command("new", file), "already exists")
    assert file.read_text() == text
    few = ["--set", "shell.0.norad=[63982]"] if elements else ["--set", "shell.0.satellites=2"]
    code, _, err = command("check", file, *few)
    assert code == 0, err
    if elements in (None, "fleet.csv"):
        quick = ["--set", "run.samples=0", "--step-s", 60, "--record-s", 300, "--duration-h", 1]
        code, out, err = command("run", file, "-o", folder / "run", *few, *quick)
        assert code == 0, err


def test_a_new_scenario_needs_a_toml_name(command, tmp_path):
    refused(command("new", tmp_path / "fleet"), ".toml")


def test_the_schema_of_a_run_is_the_variable_table(command):
    from twin.constellation import table

    code, out, _ = command("schema", "run", "--json")
    variables = json.loads(out)["variables"]
    for name, row in table().items():
        assert variables[name]["units"] == row["units"]
        assert variables[name]["dims"] == list(row["dims"])
    code, out, _ = command("schema", "run")
    for name in variables:
        assert f"\n{name} " in out
    assert command("schema")[1] == out


def test_a_run_holds_just_what_its_schema_says(run):
    from twin.tables import schema_of

    declared = schema_of("run")[1]["variables"]
    with results.Run(run).dataset() as data:
        assert set(data.variables) == set(declared)
        for name, row in declared.items():
            assert list(data[name].dims) == row["dims"], name
            assert data[name].attrs.get("units", "") == row["units"], name
            if row["dtype"] != "string":
                assert data[name].dtype == row["dtype"], name


def test_the_explained_keys_keep_their_brackets(command):
    _, out, _ = command("check", "scs01", "--explain")
    assert "[215 … 250]" in out and "shell[](catalog).elements" in out
    _, out, _ = command("schema", "report")
    assert "[number, number]" in out


def test_doctor_never_fails(command, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, out, _ = command("doctor", "--json")
    said = {item["what"]: item for item in json.loads(out)["findings"]}
    assert code == 0 and said["python"]["ok"] and said["jax"]["ok"] and said["ephemeris"]["ok"]
    assert not said["vllm"]["ok"] and said["vllm"]["hint"]
    assert said["drawing"]["found"]
    for item in said.values():
        assert item["found"] and (item["ok"] or item["hint"])


# -- ephemeris and passes


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
    from twin.build import elements_path

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
    code, out, err = command("ephemeris", TWELVE, "--step-s", 43200, *DAY, "--json", "--frame", "itrf")
    said = json.loads(out)
    assert code == 0 and not err and set(said) == {"frame", "times", "satellites"}
    assert said["frame"] == "itrf" and said["times"] == [
        f"2025-10-{day}Z" for day in ("04T00:00:00", "04T12:00:00", "05T00:00:00")
    ]
    assert len(said["satellites"]) == 12
    first = said["satellites"][0]
    assert set(first) == {"name", "norad", "position_m", "velocity_m_s", "error"}
    assert np.shape(first["position_m"]) == np.shape(first["velocity_m_s"]) == (3, 3)
    same = command("ephemeris", TWELVE, "--step-s", 43200, *DAY, "--format", "json", "--frame", "itrf")
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

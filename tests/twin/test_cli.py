"""The command as a user meets it: what it prints, how it ends."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from calling import DAY, TWELVE, refused

from twin import results

COMMANDS = [
    "run",
    "resume",
    "show",
    "compare",
    "export",
    "list",
    "new",
    "check",
    "schema",
    "ephemeris",
    "passes",
    "doctor",
    "shot",
]


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
    refused(
        command("run", "scs01", "--duration-h", "long"), "--duration-h", "number", "twin run --help"
    )


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


def test_who_is_stopped_leaves_at_once_while_a_program_compiles():
    """A thread that nothing can cut short stands for LLVM: a minute, which Python would wait."""
    code = (
        "import sys, threading, time\n"
        "from twin import __main__, cli\n"
        "def main():\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    print('the last word', file=sys.stderr)\n"
        "    sys.exit(130)\n"
        "__main__.main = main\n"
        "__main__.script()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=45)
    assert done.returncode == 130 and done.stderr == "the last word\n"


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


def test_run_writes_a_store_and_prints_its_report(command, tiny, tmp_path):
    code, out, err = command("run", tiny, "-o", tmp_path / "run", "--seed", 3)
    assert code == 0, err
    assert "Tiny [twin]" in out and str(tmp_path / "run") in out
    for claim in ("unlimited energy", "natural cooling", "answers in two minutes"):
        assert claim in out
    code, again, _ = command("show", tmp_path / "run")
    assert (code, again) == (0, out)
    refused(command("run", tiny, "-o", tmp_path / "run"), "exists", "-o", "twin resume")
    refused(command("resume", tmp_path / "run"), "finished", "twin show")


@pytest.mark.slow
def test_run_as_json_with_a_choice_of_variables(command, tiny, tmp_path):
    wanted = "payload_power,position"
    code, out, _ = command(
        "run", tiny, "-o", tmp_path / "run", "--record", wanted, "--step-s", 30, "--json"
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


def test_show_and_compare(command, tiny_run, tiny, tmp_path):
    code, out, _ = command("show", tiny_run, "--json")
    assert code == 0 and json.loads(out)["title"] == "Tiny [twin]"
    command("run", tiny, "-o", tmp_path / "b", "--set", "class.big.battery_wh=450")
    code, out, _ = command("compare", tiny_run, tmp_path / "b")
    assert code == 0 and "least charge" in out
    code, out, _ = command("compare", tiny_run, tmp_path / "b", "--json")
    said = json.loads(out)
    rows = {row["quantity"]: row for row in said["rows"]}
    assert rows["satellites"]["first"] == rows["satellites"]["second"] == "3"
    low, high = (report["battery_min_fraction"] for report in said["reports"])
    assert high < low  # the smaller battery falls further
    refused(command("show", tmp_path), "not a run")


def test_csv_and_parquet_hold_the_numbers_of_the_store(command, tiny_run, tmp_path):
    import pyarrow.parquet as pq

    code, out, _ = command("export", tiny_run, "--csv", tmp_path / "t.csv")
    assert code == 0 and out.startswith("36 rows")
    code, out, _ = command("export", tiny_run, "--parquet", tmp_path / "t.parquet", "--json")
    assert code == 0 and json.loads(out)["rows"] == 36
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "t.parquet")
    with results.Run(tiny_run).dataset() as data:
        data = data.load()
    last = {k: v for k, v in rows[-1].items()}
    assert last["time"] == "2025-10-04T01:00:00Z" and float(last["time_s"]) == 3600
    word = ["nothing", "energy", "heat", "work", "fault"][int(data["limit"].values[-1, -1])]
    assert (last["class"], last["limit"], last["alive"]) == ("big", word, "1")
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
    refused(command("export", tiny_run), "--csv")
    refused(command("export", tiny_run, "--csv", tmp_path / "no" / "t.csv"), "no folder")
    refused(command("export", tiny_run, "--csv", tmp_path), "is a folder")


def test_without_pyarrow_one_line_says_what_to_install(command, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = command("export", tiny_run, "--parquet", tmp_path / "t.parquet")
    refused(result, 'pip install "constellation-twin[formats]"')


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "elements",
    [
        None,
        TWELVE,
        pytest.param("fleet.csv", marks=SLOW),
        "../elsewhere.csv",
    ],
)
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
    if elements == "fleet.csv":
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


def test_a_run_holds_just_what_its_schema_says(tiny_run):
    from twin.tables import schema_of

    declared = schema_of("run")[1]["variables"]
    with results.Run(tiny_run).dataset() as data:
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

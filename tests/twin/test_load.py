"""Bad scenario files: each mistake gives exactly one line that says where, and what would do."""

import subprocess
import sys

import pytest

from twin.load import explain, load, parse, shipped, unit
from twin.problems import InputError

RUN = "[run]\nstart = 2025-10-04T00:00:00Z\n"
GOOD = f"{RUN}[[shell]]\nsatellites = 3\n"
CLASS = f"{GOOD}[class.inference]\n"
PAYLOAD = f"{CLASS}[class.inference.payload]\n"
STATION = f"{GOOD}[[station]]\nname = 'A'\nlongitude_deg = 0\n"


def problems(text: str, *overrides: str):
    with pytest.raises(InputError) as caught:
        parse(text, "mine.toml", overrides)
    assert all("\n" not in str(p) for p in caught.value.problems), "one line each"
    return caught.value.problems


def the_line(text: str, *overrides: str) -> str:
    found = problems(text, *overrides)
    assert len(found) == 1, [str(p) for p in found]
    return str(found[0])


def test_the_good_file_is_good():
    assert parse(GOOD).shell[0].satellites == 3
    assert parse(f"{RUN}[[shell]]\n").class_["inference"].payload.kind == "inference"


UNKNOWN = [
    (f"{GOOD}altitude = 500", "shell[0].altitude", "altitude_km"),
    (f"{RUN}[[shell]]\nkind = 'sso'\nltan = 6", "shell[0].ltan", "ltan_h"),
    (f"{CLASS}battery_w = 5", "class.inference.battery_w", "battery_wh"),
    (f"{CLASS}[class.inference.body]\nradiator = 1", "body.radiator", "radiator_m2"),
    (f"{PAYLOAD}device = 2", "class.inference.payload.device", "devices"),
    (f"{PAYLOAD}kind = 'training'\ncompute = 2", "payload.compute", "compute_w"),
    (f"{CLASS}battery_wh = {{ value = 5, rang = [4, 6] }}", "battery_wh.rang", "range"),
    (f"{GOOD}[clas.inference]", "clas", "class"),
    (f"{GOOD}[enviroment]\nalbedo = 0.3", "enviroment", "environment"),
    (f"{STATION}latitude_deg = 3\nmask = 5", "station[0].mask", "mask_deg"),
]


@pytest.mark.parametrize(("text", "where", "nearest"), UNKNOWN, ids=[u[1] for u in UNKNOWN])
def test_an_unknown_key_names_the_nearest_valid_one(text, where, nearest):
    line = the_line(text)
    place, _, rest = line.partition(": unknown key")
    assert place.startswith("mine.toml: ") and place.endswith(where)
    assert rest == f"; did you mean {nearest!r}?"


WRONG = [
    (f"{GOOD}altitude_km = 50", "mine.toml: shell[0].altitude_km: ", "150", "got 50"),
    (f"{GOOD}altitude_km = nan", "shell[0].altitude_km: ", "got nan"),
    (f"{GOOD}kind = 'wlker'", "shell[0].kind: ", "got 'wlker'", "did you mean 'walker'?"),
    (f"{GOOD}class = 'inferense'", "shell[0].class: ", "did you mean 'inference'?"),
    (f"{CLASS}[class.inferense]", "class.inferense: ", "no shell", "did you mean 'inference'?"),
    (f"{CLASS}[class.b]", "class.b: ", "no shell uses it", 'class = "b"'),
    (f"{RUN}[[shell]]\nsatellites = 0", "shell: ", "no satellites"),
    (f"{RUN}[[shell]]\nsatellites = -3", "shell[0].satellites: ", "got -3"),
    (f"{RUN}[[shell]]\nkind = 'catalog'", "shell[0].elements: ", "is required"),
    (f"{RUN}[shell]\nsatellites = 3", "shell: ", "[[shell]]"),
    (RUN, "shell: ", "is required"),
    ("[[shell]]", "run: ", "is required"),
    (f"{CLASS}battery_wh = -5", "class.inference.battery_wh: ", "got -5", "allowed: above 0"),
    (f"{CLASS}battery_wh = nan", "class.inference.battery_wh: ", "finite", "got nan"),
    (f"{CLASS}battery_wh = inf", "class.inference.battery_wh: ", "finite", "got inf"),
    (f"{CLASS}battery_wh = 'a lot'", "class.inference.battery_wh: ", "a number", "'a lot'"),
    (f"{CLASS}battery_wh = true", "class.inference.battery_wh: ", "a number", "True"),
    (f"{CLASS}battery_wh = {{ value = 5, range = [6, 7] }}", "battery_wh: ", "5", "[6.0, 7.0]"),
    (f"{CLASS}battery_wh = {{ value = 5, range = [7, 4] }}", "battery_wh: ", "outside its range"),
    (f"{CLASS}battery_wh = {{ value = 5, range = [-4, 7] }}", "battery_wh: ", "got -4"),
    (f"{CLASS}battery_wh = {{ value = 5, origin = 'guess' }}", "origin: ", "assumed", "'guess'"),
    (f"{CLASS}battery_floor = 0.8", "class.inference.battery_floor: ", "0.8", "battery_depth"),
    (
        f"{CLASS}attitude = 'nadr'",
        "class.inference.attitude: ",
        "inertial",
        "did you mean 'nadir'?",
    ),
    (f"{PAYLOAD}kind = 'train'", "class.inference.payload.kind: ", "did you mean 'training'?"),
    (
        f"{PAYLOAD}kind = 'training'\nthrottle_start_k = 380",
        "payload.throttle_start_k: ",
        "throttle_full_k",
    ),
    (f"{GOOD}[class]", "class: ", "at least one"),
    (f"{RUN}record_s = 25\n[[shell]]", "run: ", "record_s", "25 s / 10 s = 2.5"),
    (f"{RUN}record_s = 5\n[[shell]]", "run: ", "record_s", "5 s / 10 s = 0.5"),
    (f"{RUN}duration_h = 0.99\n[[shell]]", "run: ", "duration_h", "whole number of records"),
    (f"{RUN}duration_h = nan\n[[shell]]", "run.duration_h: ", "finite", "got nan"),
    (f"{RUN}samples = 3\n[[shell]]", "run: ", "samples = 3", "64 or more"),
    ("[run]\nstart = 'soon'\n[[shell]]", "run.start: ", "'soon'"),
    (f"{STATION}latitude_deg = 100", "station[0].latitude_deg: ", "got 100"),
    (f"{GOOD}[orbit]\npropagator = 'sgp4'", "orbit.propagator: ", "shell[0]", "secular"),
    (f"{GOOD}[orbit]\npropagator = 'sgp'", "orbit.propagator: ", "'sgp4'", "got 'sgp'"),
    (f"{GOOD}satellites = 4\n", "mine.toml: ", "not valid TOML", "overwrite", "line 5"),
    ("[run]\nstart = soon", "mine.toml: ", "not valid TOML", "line 2", "quotes"),
]


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [(t, w, s) for t, w, *s in WRONG],
    ids=[f"{w.strip(': ')}-{s[-1]}" for _, w, *s in WRONG],
)
def test_a_wrong_value_gives_one_line_that_says_where(text, where, says):
    line = the_line(text)
    assert line.startswith("mine.toml: ") and where in line
    assert all(word in line for word in says), line
    assert "pydantic" not in line and "dictionary" not in line and "tuple" not in line


def test_all_problems_come_at_once():
    text = f"{GOOD}altitude_km = 50\n[class.inference]\nbattery_wh = -5\narray = 3\n"
    places = [p.where for p in problems(text)]
    wrong = ["class.inference.array", "class.inference.battery_wh", "shell[0].altitude_km"]
    assert sorted(places) == [f"mine.toml: {w}" for w in wrong]


def test_overrides_are_applied_in_order_and_kept():
    wanted = [
        "class.inference.battery_wh=700",
        "class.inference.battery_wh=800",
        "shell.0.satellites=5",
        "run.start=2026-01-01T00:00:00Z",
        "title=Two words",
        "class.inference.payload.devices=2",
    ]
    scenario = parse(GOOD, "mine.toml", wanted)
    assert scenario.class_["inference"].battery_wh.value == 800
    assert scenario.class_["inference"].payload.devices == 2
    assert scenario.shell[0].satellites == 5
    assert scenario.run.start.year == 2026
    assert scenario.title == "Two words"
    loaded = load("scs01", ["class.large.battery_wh.value=650"])
    assert loaded.overrides == ("class.large.battery_wh.value=650",)
    assert loaded.scenario.class_["large"].battery_wh.value == 650
    assert loaded.scenario.class_["large"].battery_wh.range == (500, 700)  # the rest stays
    assert "650" not in loaded.text  # the text is the file's own


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("class.inference.battery_wh", ["no key and value"]),
        ("=3", ["no key and value"]),
        ("shell.1.satellites=5", ["no item '1'", "0 to 0"]),
        ("shell.x.satellites=5", ["no item 'x'"]),
        ("shell.-1.satellites=5", ["no item '-1'"]),
        ("shell.7={}", ["'7' cannot be set"]),
        ("shell.0.satellites.x=3", ["'x' cannot be set"]),
        ("shell.0.satellites.x.y=3", ["'x' lies below a plain value"]),
    ],
)
def test_an_override_that_cannot_be_applied_is_named(override, says):
    line = the_line(GOOD, override)
    assert line.startswith(f"--set {override}: ")
    assert all(word in line for word in says), line


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("class.inference.battery_wh=-800", ["class.inference.battery_wh", "got -800"]),
        ("class.inference.batery_wh=800", ["did you mean 'battery_wh'?"]),
        ("run.duration_h=six", ["run.duration_h", "'six'"]),
        ("run.record_s=25", ["record_s", "2.5"]),
        ("shell.0=5", ["shell[0]", "got 5"]),
    ],
)
def test_an_override_is_validated_like_the_file(override, says):
    line = the_line(GOOD, override)
    assert all(word in line for word in says), line


def test_an_override_of_a_class_that_nobody_flies_is_refused():
    with pytest.raises(InputError, match="class.lage: no shell uses it; did you mean 'large'?"):
        load("scs01", ["class.lage.battery_wh=800"])


def test_a_scenario_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(InputError) as caught:
        load("scs1")
    (problem,) = caught.value.problems
    assert problem.where == "scs1" and problem.hint == "did you mean 'scs01'?"
    assert all(name in problem.allowed for name in shipped())
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for unreadable in (tmp_path, binary):
        with pytest.raises(InputError, match="cannot be read"):
            load(str(unreadable))


def test_a_mesh_file_stands_beside_the_scenario(tmp_path):
    text = f"{CLASS}mesh = 'sat.glb'\n[class.inference.part.hull]\nnode = 'blanket'\n"
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"class.inference.mesh: no such file: 'sat.glb'"):
        load(str(tmp_path / "own.toml"))
    (tmp_path / "sat.glb").touch()
    part = load(str(tmp_path / "own.toml")).scenario.class_["inference"].part["hull"]
    assert (part.kind, part.solid, part.object) == ("mesh", True, None)


@pytest.mark.parametrize(
    ("old", "where", "new"),
    [
        ("array_losses = 0.8", "", "array_packing"),
        ("housekeeping_w = 173", "", "survival_w + comms_w + isl_w"),
        ("battery_charge_efficiency = 0.97", "", "battery_resistance_share"),
        ("cold_plate_radiator_w_k = 20", "body", "cold_plate_loop_w_k"),
        ("box_emittance = 0.03", "body", "blanket_emittance"),
    ],
)
def test_keys_of_old_say_what_they_are_now(old, where, new):
    line = the_line(f"{CLASS}[class.inference.{where}]\n{old}" if where else f"{CLASS}{old}")
    assert "unknown key; it is now " in line and new in line


def test_a_path_is_read_as_it_stands(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(GOOD, encoding="utf-8")
    loaded = load(str(path))
    assert (loaded.name, loaded.path, loaded.text) == ("own", path, GOOD)


def test_every_key_is_explained_with_its_unit():
    keys = {key.name: key for key in explain()}
    battery = keys["class.NAME.battery_wh"]
    assert (battery.unit, battery.origin) == ("Wh", "assumed")
    assert battery.default == "600 [500 … 700]" and battery.allowed == "above 0"
    assert keys["shell[](sso).ltan_h"].unit == "h"
    assert keys["station[].mask_deg"].allowed == "≥ 0, < 90"
    assert keys["class.NAME.body.cell_heat_capacity_j_k_m2"].unit == "J/K/m²"
    assert keys["class.NAME.body.radiator_through_w_k_m2"].unit == "W/K/m²"
    assert keys["class.NAME.part.NAME(plate).size_m"].unit == "m"
    assert keys["class.NAME.link[](flow).w_k"].unit == "W/K"
    assert keys["class.NAME.link[](radiation).exchange_m2"].unit == "m²"
    assert keys["class.NAME.resets_per_day"].unit == "1/day"
    assert unit("satellites") == ""


def test_reading_a_scenario_imports_nothing_heavy():
    """`twin check` answers at once: neither JAX nor NumPy is imported, nor by `twin`."""
    code = (
        "import sys; from twin.load import load, explain; load('star2035'); list(explain());"
        "print([m for m in ('jax', 'numpy', 'scipy', 'xarray', 'equinox') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr

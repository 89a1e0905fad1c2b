"""One clear line for each mistake, the exit code that it has, and nothing lost."""

import pytest
from calling import DAY, TINY, refused

import twin.simulate
from twin import results


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
        ("[class.small]", '[class.small]\nattitude = "sunn"', ["attitude", "inertial", "'sun'"]),
        (
            "[class.small]",
            "[class.small]\nnode = { eye = { heat_capacity_j_k = 5 } }",
            ["class.small.node.eye", "joined to nothing", 'between = ["eye", "bus"]'],
        ),
        (
            "[class.small]",
            '[class.small]\nmesh = "no.glb"\npart = { hull = { node = "blanket" } }',
            ["class.small.mesh", "no such file", "no.glb"],
        ),
    ],
)
def test_bad_scenarios_are_told_in_one_line(command, tmp_path, old, new, words):
    assert old in TINY
    (tmp_path / "bad.toml").write_text(TINY.replace(old, new, 1))
    refused(command("run", tmp_path / "bad.toml", "-o", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_zero_satellites(command, tmp_path):
    text = TINY.replace("satellites = 2", "satellites = 0").replace(
        "satellites = 1", "satellites = 0"
    )
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
    (tmp_path / "bad.toml").write_text(TINY[: TINY.index("[class.big]")] + shells)
    for arguments in (
        ["run", tmp_path / "bad.toml", "-o", tmp_path / "run"],
        ["ephemeris", tmp_path / "bad.tle", *DAY],
        ["passes", tmp_path / "bad.tle", "--station", "0,0", *DAY],
        ["new", tmp_path / "mine.toml", "--elements", tmp_path / "bad.tle"],
    ):
        refused(command(*arguments), "bad.tle:1", "checksum '1'")


def test_unknown_names_are_answered_with_the_nearest(command, tiny, tmp_path):
    refused(command("run", "scs1"), "scs01")
    record = command("run", tiny, "-o", tmp_path / "r", "--record", "panel_power,temprature")
    refused(record, "temprature", "did you mean 'temperature'?", "tokens_rate")
    refused(command("schema", "runs"), "did you mean 'run'?", "scenario")
    setting = command("check", tiny, "--set", "class.small.batery_wh=1")
    refused(setting, "class.small.batery_wh", "battery_wh")


def test_a_place_that_cannot_be_written_is_named(command, tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(command("run", tiny, "-o", tmp_path / "file" / "run"), "file/run", "cannot be written")
    refused(command("new", tmp_path / "file" / "a.toml"), "cannot be written")


def test_a_full_disk_keeps_what_is_saved(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(twin.simulate, "CHUNK_BYTES", 4 * 3 * twin.simulate.RECORD_BYTES)
    append = results.Writer.append

    def full(self, first, *rest):
        if first >= 4:
            raise OSError(28, "No space left on device")
        append(self, first, *rest)

    monkeypatch.setattr(results.Writer, "append", full)
    code, out, err = command("run", tiny, "-o", tmp_path / "run")
    assert code == 1 and not out and err.count("\n") == 1
    assert "No space left on device" in err and "4 records are saved" in err
    refused(command("show", tmp_path / "run"), "not finished", "twin resume")
    code, out, _ = command("export", tmp_path / "run", "--csv", tmp_path / "part.csv")
    assert code == 0 and out.startswith("12 rows")
    monkeypatch.setattr(results.Writer, "append", append)
    code, out, err = command("resume", tmp_path / "run")
    assert code == 0, err
    assert results.Run(tmp_path / "run").records_done() == 12


def test_ctrl_c_ends_with_130(command, tiny, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.Writer, "append", interrupted)
    code, out, err = command("run", tiny, "-o", tmp_path / "run")
    assert code == 130 and not out
    assert f"0 records are saved in {tmp_path / 'run'}" in err and "twin resume" in err

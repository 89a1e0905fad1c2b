"""A model of one's own, whose shape is not shipped: measured, fitted, predicted and flown."""

import json

import pytest

from serving import models, subject
from serving.measured import shelf

CAMPAIGN = "cpu-epyc-zen3/qwen3-0.6b-fp32.json"
LOAD = ("--input-len", "64", "--output-len", "64", "--concurrency", "4", "--extrapolate", "--json")


@pytest.fixture
def folder(tmp_path):
    """A folder as a hub would give it, with a shape that is shipped under another name."""
    own = tmp_path / "mine"
    own.mkdir()
    (own / "config.json").write_text(json.dumps(models.find("qwen3-0.6b").config()))
    return own


@pytest.fixture
def campaigns(tmp_path, folder):
    """The shipped campaign, as if it had been of that folder; with its shape, and without."""
    said = json.loads(shelf().joinpath(CAMPAIGN).read_text())
    said["provenance"]["model"] = "mine"
    (tmp_path / "silent.json").write_text(json.dumps(said))
    shape = subject.find(str(folder), "random", "", "float32")[0].shape
    said["provenance"]["shape"] = json.loads(json.dumps(shape))
    (tmp_path / "told.json").write_text(json.dumps(said))
    return tmp_path / "told.json", tmp_path / "silent.json"


def predicted(command, *where):
    code, out, err = command("calibrate", "--predict", *where, *LOAD)
    assert code == 0, err
    said = json.loads(out)["predictions"][0]
    return [said[name]["value"] for name in ("throughput", "itl", "ttft")]


def test_it_is_fitted_predicted_and_flown_by_the_shape_that_was_measured(
    command, campaigns, tmp_path
):
    found, fit, profile = [], tmp_path / "fit.json", tmp_path / "profile.json"
    none = tmp_path / "none.toml"
    none.write_text("heldout = []\n")
    for points in (campaigns[0], CAMPAIGN):
        code, _, err = command(
            "calibrate", points, "--heldout", none, "-o", fit,
            "--profile", profile, "--idle-w", 20, "--busy-w", 90,
        )  # fmt: skip
        assert code == 0, err
        flown = json.loads(profile.read_text())
        found.append((predicted(command, "--device", fit), flown.pop("model"), flown))
    (ours, name, mine), (theirs, other, shipped) = found
    assert (name, other) == ("mine", "qwen3-0.6b")
    assert {k for k in mine if mine[k] != shipped[k]} <= {"sources"}, "they name the file"
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_without_its_shape_it_is_refused(command, campaigns):
    code, _, err = command("calibrate", campaigns[1])
    assert code == 2 and "'mine' is not known here" in err


@pytest.mark.parametrize("broken", [{"layers": 0}, {"hidden_size": "wide"}, {"wheels": 4}])
def test_a_shape_that_is_none_is_refused_in_a_line(command, campaigns, tmp_path, broken):
    said = json.loads(campaigns[0].read_text())
    said["provenance"]["shape"] |= broken
    (tmp_path / "broken.json").write_text(json.dumps(said))
    code, out, err = command("calibrate", tmp_path / "broken.json")
    (line,) = err.splitlines()
    assert code == 2 and not out and line.startswith("error: shape of mine: " + next(iter(broken)))


def test_a_shipped_model_has_no_shape_of_its_own(folder):
    assert subject.find("qwen3-0.6b", "random", "", "float32")[0].shape is None
    shape = subject.find(str(folder), "random", "", "float32")[0].shape
    again = models.of("mine", shape)
    assert again.name == "mine" and again.parameters() == models.find("qwen3-0.6b").parameters()

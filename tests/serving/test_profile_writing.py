"""What ``twin calibrate --profile`` writes is a payload profile that the twin flies."""

import json
from importlib.resources import files

import jsonschema
import pytest

from serving.forecast import load_fit
from serving.measured import read
from serving.problem import UsageProblem
from serving.profile import check, profile
from twin.profiles import load_profile

SCHEMA = json.loads((files("assets") / "schemas" / "profile-1.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table():
    return read("h100-sxm-qwen3-8b-bf16")


@pytest.fixture(scope="module")
def written(table):
    return profile(load_fit("h100-sxm"), table, idle=115.0)


def flown(written, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(written))
    return load_profile(path)


def test_it_keeps_to_the_schema_and_the_twin_reads_it(written, tmp_path):
    jsonschema.validate(written, SCHEMA)
    found = flown(written, tmp_path)
    assert found.operating_point(64).tokens_per_s == pytest.approx(6596.976)  # the row's own
    assert found.active_power(64) == pytest.approx(614.42)
    assert found.device_numbers(128).idle_power == 115.0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written | {"surprise": 1}, SCHEMA)


def test_it_is_that_of_the_shipped_profile_within_its_own_bands(written, tmp_path):
    """Both from the same rows: made by another script, with a straight power model."""
    mine, shipped = flown(written, tmp_path), load_profile("h100-sxm/qwen3-8b-bf16")
    for batch in (1, 64, 256):
        one, two = mine.device_numbers(batch), shipped.device_numbers(batch)
        assert one.tokens_per_s == pytest.approx(two.tokens_per_s, rel=1e-6)
        assert one.active_power == pytest.approx(two.active_power, rel=1e-6)
    n = mine.step_model
    moved = [n.bytes(b) / n.step_s(b) for b in (1, 64)]
    power = [mine.power(m, b / n.step_s(b) * n.flop_per_token.value)
             for b, m in zip((1, 64), moved, strict=True)]  # fmt: skip
    assert power == pytest.approx([429.01, 614.42], rel=0.15), "the form gives the points' watts"


def test_power_that_nobody_measured_is_asked_for_and_marked(tmp_path):
    campaign = read("cpu-epyc-zen3/qwen3-0.6b-fp32.json")
    with pytest.raises(UsageProblem, match="power was not measured"):
        check(campaign, None, None, None)
    with pytest.raises(UsageProblem, match="power was not measured"):
        check(campaign, 15.0, 6.0, None)
    from serving import fit as fits

    found = profile(fits.fit(campaign), campaign, 6.0, 15.0)
    jsonschema.validate(found, SCHEMA)
    numbers = flown(found, tmp_path).device_numbers()
    assert numbers.power_origin == "assumed" and numbers.origin == "measured"
    assert numbers.active_power == pytest.approx(15.0) and numbers.idle_power == 6.0


def test_lengths_and_watts_that_do_not_fit_are_named(table):
    with pytest.raises(UsageProblem, match="128/1024"):
        check(table, None, None, (64, 64))
    with pytest.raises(UsageProblem, match="below 425"):
        check(table, 500.0, None, (128, 1024))
    with pytest.raises(UsageProblem, match="--busy-w"):
        check(table, 100.0, 700.0, None)
    assert [p.load.concurrency for p in check(table, None, None, (128, 1024))][0] == 1

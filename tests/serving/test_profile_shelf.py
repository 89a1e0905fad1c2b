"""The shipped profile of the processor is what ``twin calibrate --profile`` writes."""

import json
from importlib.resources import files

import pytest

SHIPPED = files("assets") / "profiles" / "cpu-epyc-zen3" / "qwen3-0.6b-fp32.json"
MORE = {"notes", "sources", "power", "uncertainty"}  # to which the shelf adds notes and ranges


def test_the_command_gives_the_shipped_profile_again(tmp_path, command):
    """Within 1 %: the shipped one is rounded, and a search does not end on the last digit."""
    path = tmp_path / "cpu.json"
    campaign, watts = "cpu-epyc-zen3/qwen3-0.6b-fp32.json", ("--idle-w", "3", "--busy-w", "9")
    code, _, err = command("calibrate", campaign, "--profile", str(path), *watts)
    assert code == 0, err
    ours, shipped = json.loads(path.read_text()), json.loads(SHIPPED.read_text("utf-8"))
    assert set(shipped) - set(ours) == {"notes"}
    same(ours, {k: v for k, v in shipped.items() if k not in MORE})
    for name, quantity in shipped["power"].items():
        assert quantity["value"] == pytest.approx(ours["power"][name]["value"], rel=0.01)
        assert quantity["origin"] == "assumed"
        if quantity["value"]:
            low, high = quantity["range"]
            assert low < 0.7 * quantity["value"] and high > 1.3 * quantity["value"]
    factors = shipped["uncertainty"]["throughput"]
    assert factors == pytest.approx(ours["uncertainty"]["throughput"], rel=0.01)
    assert shipped["sources"][: len(ours["sources"])] == ours["sources"]


def same(ours, shipped):
    if isinstance(shipped, dict):
        for key, value in shipped.items():
            same(ours[key], value)
    elif isinstance(shipped, list):
        for one, other in zip(ours, shipped, strict=True):
            same(one, other)
    elif isinstance(shipped, str):
        assert ours == shipped
    else:
        assert ours == pytest.approx(shipped, rel=0.01)

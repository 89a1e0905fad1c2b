"""A device that nobody measured, from its data sheet: what that costs is what it is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.fit import bands_of
from serving.fit import fit as fitted
from serving.forecast import Asked, forecast, load_fit
from serving.measured import read, shelf
from serving.problem import UsageProblem
from serving.schedule import Load
from serving.transfer import cost, left_out, onto, share, sheets, streams


@pytest.fixture(scope="module")
def h100():
    return load_fit("h100-sxm")


def test_each_device_from_all_others(h100):
    """Speeds of one request: half of the devices within 20 %, one twice too fast."""
    t0 = h100.numbers.t0
    found = left_out(t0)
    print({d: [f"{r - 1:+.0%}" for r in ratios] for d, ratios in found.items()})
    assert len(found) == 5 and sum(map(len, found.values())) == len(streams()) == 15
    worst = {d: max(abs(np.log(ratios))) for d, ratios in found.items()}
    assert np.median(list(worst.values())) == pytest.approx(0.22, abs=0.05)
    assert max(worst, key=worst.__getitem__) == "h20" and 0.6 < worst["h20"] < 0.9
    assert cost(t0) == pytest.approx(0.33, abs=0.03), "what the bands allow is what was seen"


def test_shares_are_shares(h100):
    for device in {s.device for s in streams()}:
        assert 0.2 < share(device, h100.numbers.t0) <= 1.0


@pytest.mark.parametrize(
    ("device", "batch", "published"),
    [  # TensorRT Edge-LLM's documentation, Qwen3-8B INT4 AWQ: decode, of the whole batch
        ("agx-orin", 1, 32.5), ("agx-orin", 8, 151.5),
        ("agx-thor", 1, 49.3), ("agx-thor", 8, 191.8),
    ],
)  # fmt: skip
def test_rows_that_nothing_here_was_made_of_lie_in_the_bands(h100, device, batch, published):
    """From an H100 in bf16: another device, another precision, another engine."""
    fit, more = onto(h100, device)
    load = Load(61, 300, batch, max(50, 5 * batch))
    found = forecast(fit, Asked("qwen3-8b", "int4", load), True, ("h100-sxm", more))
    gap = found.bands["itl"]
    decoding = batch / gap.value
    print(f"{device} x {batch}: {decoding:.1f} tokens/s, published {published}")
    assert gap.low <= batch / published <= gap.high
    assert "power" not in found.bands, "watts do not carry over"
    assert any("h100-sxm" in words for words in found.outside)


def test_it_moves_the_rooflines_and_nothing_else(h100):
    fit, _ = onto(h100, "agx-thor")
    sheet, own = sheets()["agx-thor"], sheets()["h100-sxm"]
    assert fit.numbers.t0 == h100.numbers.t0
    assert fit.numbers.rate / sheet.flop == pytest.approx(h100.numbers.rate / own.flop)
    assert fit.numbers.bandwidth < sheet.bandwidth
    assert fit.engine.kv_tokens > h100.engine.kv_tokens, "128 GB instead of 80"


def test_unknown_devices_are_named(h100):
    with pytest.raises(UsageProblem, match="no data sheet of 'orion'"):
        onto(h100, "orion")


def test_an_h200_was_foretold(h100):
    """Predictions by the H100's fit and the data sheets, committed before any H200 was measured.

    The gaps between tokens are within 5 %, throughput within 14 %, and all of them, with the wait
    for the first token (said 19 to 46 % too short), in their 90 % bands. Predicted again, they are
    what was committed, to 1 %.
    """
    said = json.loads((Path(__file__).parents[1] / "oracles/blind_h200.json").read_text())
    keys = ("model", "precision", "input_len", "output_len", "concurrency")
    known = {tuple(p[k] for k in keys): p for p in said["predictions"] if p["kv_tokens"] > 1e5}
    moved, more = onto(h100, "h200")
    points = read("h200/qwen3-8b-bf16.json").points
    assert len(points) == 8
    off = {"throughput": [], "itl": [], "ttft": []}
    for point in points:
        load = point.load
        told = known["qwen3-8b", "bf16", load.input_len, load.output_len, load.concurrency]
        again = forecast(moved, Asked("qwen3-8b", "bf16", load), True, ("h100-sxm", more))
        for name, each in off.items():
            band, seen = told[name], point.seen[name]
            assert band["low"] <= seen <= band["high"]
            assert again.bands[name].value == pytest.approx(band["value"], rel=0.01)
            each.append(band["value"] / seen - 1)
    print({name: [f"{x:+.1%}" for x in each] for name, each in off.items()})
    assert max(map(abs, off["itl"])) < 0.05
    assert max(map(abs, off["throughput"])) < 0.14
    assert min(off["ttft"]) > -0.47 and max(off["ttft"]) < -0.19


def test_the_shipped_fit_of_the_h200_is_the_fit_of_its_points():
    """Made by: twin calibrate h200/qwen3-8b-bf16 --cap-w 700 -o assets/fits/h200.json."""
    measured = read("h200/qwen3-8b-bf16")
    shipped, anew = load_fit("h200"), fitted(measured, None, 700.0)
    for point in measured.points:
        mine, ours = (bands_of(f, point.load, measured.subject, f.engine) for f in (shipped, anew))
        for name, band in ours.items():
            assert mine[name].value == pytest.approx(band.value, rel=0.01), name
        assert mine["throughput"].value == pytest.approx(point.seen["throughput"], rel=0.03)


def test_an_h100s_joules_tell_an_h200s_watts(h100):
    """The same chip with other memory: the coefficients of other people's campaign, within 8 %.

    At the speeds that the H200 was measured at. Of other makers' chips this says nothing.
    """
    measured = read("h200/qwen3-8b-bf16.json")
    own, theirs = fitted(measured, None, 700.0), h100.numbers
    joules = dict(p0=theirs.p0, per_byte=theirs.per_byte, per_flop=theirs.per_flop)
    mixed = replace(own, numbers=replace(own.numbers, **joules))
    off = [
        bands_of(mixed, p.load, measured.subject, measured.engine)["power"].value / p.seen["power"]
        for p in measured.points
    ]
    print([f"{x - 1:+.1%}" for x in off])
    assert max(abs(x - 1) for x in off) < 0.08
    assert own.numbers.p0 == pytest.approx(125.4, rel=0.05), "what was measured at rest"


def test_a_campaign_knows_its_data_sheet_by_the_drivers_name():
    measured = read("h200/qwen3-8b-bf16.json")
    found = fitted(measured, None, 700.0)
    assert found.device == "NVIDIA H200" and found.precision == "bf16"
    moved, _ = onto(found, "h100-sxm")
    assert moved.numbers.rate / found.numbers.rate == pytest.approx(1.0), "the same peak"
    assert moved.numbers.bandwidth < 3.35e12
    spelled = forecast(found, Asked("qwen3-8b", "bfloat16", measured.points[0].load))
    assert not spelled.outside, "bfloat16 is bf16"


def test_the_weights_precision_is_what_the_server_was_told(tmp_path):
    """Not the type of its arithmetic: quantized weights are read at their own width."""
    campaign = json.loads(Path(str(shelf()), "h200/qwen3-8b-bf16.json").read_text())
    assert read("h200/qwen3-8b-bf16.json").precision == "bf16"
    path, plain = tmp_path / "summary.json", campaign["provenance"]["command"]
    for more, said in (("--quantization=fp8", "fp8"), ("--quantization fp8", "fp8")):
        campaign["provenance"]["command"] = f"{plain} {more}"
        path.write_text(json.dumps(campaign))
        assert read(str(path)).precision == said
    campaign["provenance"]["command"] = f"{plain} --quantization awq"
    path.write_text(json.dumps(campaign))
    with pytest.raises(UsageProblem, match="awq"):
        read(str(path))

"""A device that nobody measured, from its data sheet: what that costs is what it is."""

import numpy as np
import pytest

from serving.forecast import Asked, forecast, load_fit
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

"""A result is believed only when every length and the server's own counters agree."""

import random
import statistics

import numpy as np
import pytest

from serving import client, fake, load
from serving.fake import Behaviour
from serving.load import Point, Target
from serving.problem import ServingProblem, UsageProblem

FAST = {"ttft_s": 0.005, "itl_s": 0.001}
POINT = Point(8, 6, 12, concurrency=4)


def test_a_sound_run_has_no_fault_and_counters_agree_to_the_token(offered):
    result, faults, moved, _ = offered(Behaviour(**FAST), POINT)
    assert faults == []
    assert moved["prompt_tokens"] == 96 == result["total_input_tokens"]
    assert moved["generation_tokens"] == 72 == result["total_output_tokens"]
    begin, end = load.span(result)
    assert 0 < end - begin <= result["duration"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"error_every": 5}, "10 of 12 requests completed, 2 failed"),
        ({"cut_every": 6}, "10 of 12 requests completed, 2 failed"),
        ({"short_by": 2}, "12 of 12 output_lens are not 6 (from 4 to 4)"),
        ({"die_after": 7}, "requests completed"),
    ],
)
def test_no_failure_passes_for_a_success(failure, words):
    with fake.running(Behaviour(**FAST, **failure)) as (url, _):
        result = client.run(POINT, Target(url, "fake"), 20.0)
    faults = load.faults(result, POINT)
    assert any(words in fault for fault in faults), faults


def test_what_vllm_calls_a_success_after_a_cut_is_caught():
    # As `vllm bench serve` was seen to report a server killed in mid-run: exit code 0, cut
    # streams counted as completed with an empty error.
    wanted = Point(64, 64, 4, concurrency=2)
    lied = {
        "completed": 4, "failed": 0, "duration": 3.0, "errors": ["", "", "", ""],
        "input_lens": [64] * 4, "output_lens": [64, 53, 63, 64],
        "total_input_tokens": 256, "total_output_tokens": 244,
    }  # fmt: skip
    faults = load.faults(lied, wanted)
    assert "2 of 4 output_lens are not 64 (from 53 to 63)" in faults
    honest = lied | {"output_lens": [64] * 4, "total_output_tokens": 256}
    assert load.faults(honest, wanted) == []
    assert load.faults({}, wanted)


def test_a_foreign_client_shows_in_the_counters(quick):
    said, moved, _ = load.counters_agree(
        {"prompt_tokens": 5, "generation_tokens": 5, "preemptions": 0},
        {"total_input_tokens": 10, "total_output_tokens": 10},
        lambda: {"prompt_tokens": 15, "generation_tokens": 16, "preemptions": 1},
    )
    assert len(said) == 1
    assert "the server counted 11 generation tokens, the client 10" in said[0]
    assert "somebody else" in said[0]
    assert moved["preemptions"] == 1


def test_counters_that_come_late_are_awaited():
    pages = iter([3, 7, 10])
    said, _, _ = load.counters_agree(
        {"prompt_tokens": 0, "generation_tokens": 0, "preemptions": 0},
        {"total_input_tokens": 10, "total_output_tokens": 10},
        lambda: (
            dict.fromkeys(("prompt_tokens", "generation_tokens"), next(pages)) | {"preemptions": 0}
        ),
    )
    assert said == []


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_arrivals_have_the_rate_and_the_spread_of_their_gamma(burstiness):
    point = Point(1, 1, 4000, rate=5.0, burstiness=burstiness)
    times = np.array(client.arrival_times(point, random.Random(3)))
    assert times[-1] == pytest.approx(4000 / 5.0)
    gaps = np.diff(times, prepend=0.0)
    # The coefficient of variation of a gamma is 1/sqrt(shape).
    assert gaps.std() / gaps.mean() == pytest.approx(burstiness**-0.5, rel=0.08)


def test_an_open_loop_does_not_wait_for_answers(offered):
    # 40 arrivals in a second, each answered after 0.5 s: some twenty are under way at once.
    behaviour = Behaviour(ttft_s=0.5, itl_s=0.0)
    result, faults, _, _ = offered(behaviour, Point(2, 2, 40, rate=40.0, seed=1))
    assert faults == []
    starts = sorted(result["start_times"])
    under_way = max(sum(s <= t < s + 0.5 for s in starts) for t in starts)
    assert 12 < under_way < 32
    assert 1.0 < result["duration"] < 2.2


def test_percentiles_are_those_of_numpy():
    values = [random.Random(1).random() for _ in range(37)]
    said = client.statistics_ms("itl", values)
    for percent in (50, 90, 95, 99):
        expected = 1000 * np.percentile(values, percent)
        assert said[f"p{percent}_itl_ms"] == pytest.approx(expected)
    assert said["median_itl_ms"] == pytest.approx(1000 * statistics.median(values))


def test_a_starved_client_is_told_from_a_slow_server():
    before = {"ttft_sum": 1.0, "ttft_count": 10.0}
    after = {"ttft_sum": 1.4, "ttft_count": 20.0}  # 40 ms each
    assert load.late_ms(before, after, {"mean_ttft_ms": 155.0}) == pytest.approx(115.0)
    assert load.late_ms({}, {}, {"mean_ttft_ms": 155.0}) is None


def test_servers_that_are_not_ours_are_refused():
    with fake.running(Behaviour(model="theirs", api_key="k")) as (url, _):
        with pytest.raises(UsageProblem, match="serves theirs, not mine"):
            load.check(Target(url, "mine", "k"))
        with pytest.raises(UsageProblem, match="refuses this key"):
            load.check(Target(url, "theirs", "wrong"))
        with pytest.raises(UsageProblem, match="refuses to talk without"):
            load.check(Target(url, "theirs"))
        assert load.check(Target(url, "theirs", "k"))["max_model_len"] == 40_960
    with pytest.raises(ServingProblem, match="no server answers"):
        load.check(Target(url, "theirs"))
    with pytest.raises(UsageProblem, match="http://"):
        load.check(Target("localhost:8000", "x"))


@pytest.mark.parametrize(
    "given",
    [{"concurrency": 0}, {"rate": 0.0}, {"rate": -2.0}, {"rate": float("inf")}, {},
     {"concurrency": 1, "rate": 1.0}, {"rate": 1.0, "burstiness": 0.0}],
)  # fmt: skip
def test_impossible_loads_are_refused(given):
    with pytest.raises(UsageProblem):
        Point(8, 8, 8, **given)

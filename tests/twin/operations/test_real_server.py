"""The event model against a real vLLM server: what was recorded there is replayed here.

See oracles/serving_cpu.py for the machine, the commands and the fit. The law of a step knows only
the closed loop; open loop and small caches are predicted. Arrivals are those that the client noted.
Repeats on that machine differ by 10 to 30 %, more than the law's own error.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from oracles import serving_cpu

SEEN = json.loads((Path(__file__).parents[2] / "oracles/serving_cpu.json").read_text())


@pytest.fixture(scope="module")
def law():
    return serving_cpu.fit(SEEN["steps"])


def slower(law, factor):
    return {term: factor * seconds for term, seconds in law.items()}


def p95s(law):
    """95th percentiles of the time to first token, predicted over seen, by rate."""
    ratios = {}
    for run in SEEN["open"]:
        served = serving_cpu.replay(run, law)
        ours = np.asarray(served.first_token) - np.array(run["starts"])
        theirs = np.array(run["ttfts"])
        ratios[run["rate_per_s"]] = float(np.percentile(ours, 95) / np.percentile(theirs, 95))
        print(f"{run['rate_per_s']}/s:", *(np.percentile(x, (50, 95)) for x in (ours, theirs)))
    return ratios


def step_errors(law):
    seen = np.array([row["seconds"] for row in SEEN["steps"]])
    return np.abs(np.log(serving_cpu.step_seconds(law, SEEN["steps"]) / seen))


def test_law_holds_where_it_was_fitted(law):
    """Median lengths of all kinds of step, 1 to 16 sequences and up to 1,921 tokens in each."""
    errors = step_errors(law)
    print(law, f"mean {errors.mean():.3f}, worst {errors.max():.3f}")
    assert len(errors) > 50 and errors.mean() < 0.1
    assert step_errors(slower(law, 1.15)).mean() > 0.1


def test_open_loop_waits_are_predicted_within_a_fifth(law):
    """Poisson, at 0.32, 0.64 and 0.85 of what the closed loop reached, 200 requests each."""
    assert all(len(run["ttfts"]) == 200 for run in SEEN["open"])
    ratios = p95s(law)
    assert list(ratios) == [2.25, 4.5, 6.0]
    for rate, ratio in ratios.items():
        assert 1 / 1.2 < ratio < 1.2, rate


@pytest.mark.parametrize("factor", [0.75, 1.33])
def test_another_law_would_be_found_out(law, factor):
    assert any(not 1 / 1.2 < ratio < 1.2 for ratio in p95s(slower(law, factor)).values())


def preempted(run, law, blocks=0):
    kv_tokens = serving_cpu.BLOCK * (run["blocks"] + blocks)
    return int(serving_cpu.replay(run, law, kv_tokens).preemptions.sum())


def test_preemptions_over_five_sizes_of_the_cache(law):
    """24 requests of 100/300 at once, by the tiny model: only the order of steps matters here."""
    assert len({run["blocks"] for run in SEEN["cache"]}) == 5
    for run in SEEN["cache"]:
        ours, theirs = preempted(run, law), run["counted"]["preemptions"]
        print(f"{run['blocks']} blocks: {ours}, seen {theirs}")
        assert theirs > 0
        assert 1 / 1.5 < ours / theirs < 1.5, run["blocks"]


def test_preemptions_of_another_cache_would_be_seen(law):
    largest = SEEN["cache"][-1]
    theirs = largest["counted"]["preemptions"]
    assert not 1 / 1.5 < preempted(largest, law, -30) / theirs < 1.5
    assert not 1 / 1.5 < preempted(largest, law, +30) / theirs < 1.5


def held_back(row):
    """What assets/measurements/heldout.toml keeps from the fit of Qwen3-0.6B."""
    return row["concurrency"] == 6 or row["input"] == 128


def large():
    """Output tokens a second of Qwen3-0.6B: medians over the runs, by concurrency and lengths."""
    groups = {}
    for run in SEEN["large"]:
        key = run["concurrency"], run["input"], run["output"]
        groups.setdefault(key, []).append(run["output_throughput"])
    return {key: float(np.median(speeds)) for key, speeds in groups.items()}


def test_what_was_held_back_of_a_larger_model_is_predicted():
    """Qwen3-0.6B: a concurrency within the sweep, and prompts four times as long."""
    said = (Path(__file__).parents[3] / "assets/measurements/heldout.toml").read_text()
    entries = [e for e in tomllib.loads(said)["heldout"] if "qwen3-0.6b" in e["file"]]
    assert [e.get("concurrency", e.get("workload")) for e in entries] == [[6], ["128/8"]]
    law = serving_cpu.fit([row for row in SEEN["large_steps"] if not held_back(row)])
    errors = {key: serving_cpu.closed_loop(law, *key) / seen - 1 for key, seen in large().items()}
    known = {key: seen for key, seen in large().items() if key[0] != 6 and key[1] == 32}
    line = np.polyfit(np.log([key[0] for key in known]), np.log(list(known.values())), 1)
    straight = np.exp(np.polyval(line, np.log(6))) / large()[6, 32, 16] - 1
    print({key: f"{100 * error:+.1f} %" for key, error in errors.items()})
    print(f"straight line in logarithms at 6: {100 * straight:+.1f} %")
    assert abs(errors[6, 32, 16]) < 0.1
    assert all(abs(error) < 0.2 for key, error in errors.items() if key[1] == 128)


def test_server_and_client_counted_the_same_tokens():
    runs = [run for kind in ("closed", "open", "large", "cache") for run in SEEN[kind]]
    for run in runs:
        assert run["counted"]["prompt_tokens"] == run["total_input_tokens"] > 0
        assert run["counted"]["generation_tokens"] == run["total_output_tokens"] > 0

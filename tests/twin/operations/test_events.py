"""The event model against a plain scheduler, a real server's burst, and its own books."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import scheduler_loop

from twin.operations.engine import EngineLaw
from twin.operations.events import arrival_times, simulate_requests

NUMBERS = {
    "sequence_overhead": 1e-5, "weight_bytes": 16e9, "kv_bytes": 147456.0, "bandwidth": 2.2e12,
    "token_flop": 16e9, "pair_flop": 4 * 36 * 32 * 128.0, "compute": 4e14,
}  # fmt: skip
LAW = EngineLaw.of(0.005, **NUMBERS)
SEEN = 26  # preemptions on a vLLM 0.32 server, CPU build: 24 blocks of 128, 24 requests of 100/300


def plain_step(sequences, tokens, context, pairs):
    memory = (16e9 + 147456.0 * context) / 2.2e12
    return 0.005 + 1e-5 * sequences + max(memory, (16e9 * tokens + 589824.0 * pairs) / 4e14)


def load(rate, count=200, seed=0):
    rng = np.random.default_rng(seed)
    arrivals = np.sort(rng.uniform(0, count / rate, count))
    return arrivals, rng.integers(1, 300, count), rng.integers(1, 400, count)


@pytest.mark.parametrize(
    ("rate", "kv_tokens", "block", "budget"),
    [
        (2.0, 1_000_000, 16, 8192),  # room for all
        (20.0, 1_000_000, 16, 64),  # prompts in small chunks, beside the decodes
        (30.0, 3000, 16, 256),  # preempted again and again
        (1e3, 1000, 16, 64),  # both, at once
        (15.0, 20_000, 128, 2048),
        (30.0, 2000, 1, 33),  # every token is a block
    ],
)
def test_every_request_fares_as_under_a_plain_scheduler(rate, kv_tokens, block, budget):
    requests = load(rate)
    limits = {"max_batch": 32, "kv_tokens": kv_tokens, "block": block, "budget": budget}

    ours = simulate_requests(*requests, LAW, **limits)
    plain = scheduler_loop.serve(*requests, plain_step, **limits)

    assert int(ours.steps) == plain.steps and float(ours.tokens) == plain.computed
    assert float(ours.end) == pytest.approx(plain.end, rel=1e-12)
    for name in ("start", "first_token", "finish", "preemptions"):
        theirs = [getattr(request, name) for request in plain.requests]
        np.testing.assert_allclose(getattr(ours, name), theirs, rtol=0, atol=1e-9, err_msg=name)


def test_comparison_sees_one_block():
    requests = load(30.0)
    limits = {"max_batch": 32, "block": 16, "budget": 256}
    ours = simulate_requests(*requests, LAW, kv_tokens=3000 + 16, **limits)
    plain = scheduler_loop.serve(*requests, plain_step, kv_tokens=3000, **limits)
    assert not np.allclose(ours.finish, [r.finish for r in plain.requests])


def burst(blocks):
    zero, prompt, answer = np.zeros(24), np.full(24, 100), np.full(24, 300)
    return simulate_requests(
        zero, prompt, answer, EngineLaw.of(0.01),
        max_batch=256, kv_tokens=blocks * 128, block=128, budget=2048,
    )  # fmt: skip


def test_preemptions_of_a_burst_are_those_of_a_real_server():
    served = burst(24)
    assert np.isfinite(served.finish).all()
    assert SEEN / 1.1 < int(served.preemptions.sum()) < SEEN * 1.1  # 24 against 26


def test_more_cache_means_fewer_preemptions_and_an_earlier_end():
    runs = [burst(blocks) for blocks in (24, 48, 72, 97)]
    preemptions = [int(run.preemptions.sum()) for run in runs]
    assert preemptions == sorted(preemptions, reverse=True) and preemptions[-1] == 0
    assert int(runs[-1].steps) == 301  # 24 prompts are 2,400 tokens: two chunks, then 299 tokens
    ends = [float(run.end) for run in runs]
    assert ends == sorted(ends, reverse=True)


def test_books_close():
    arrivals, prompts, answers = load(1e3)
    served = simulate_requests(
        arrivals, prompts, answers, LAW, max_batch=32, kv_tokens=1_000_000, budget=64
    )
    assert float(served.tokens) == (prompts + answers - 1).sum()
    assert float(served.busy) <= float(served.end - arrivals[0]) * (1 + 1e-12)
    # Little's law over the run: requests in the batch, integrated, are the times in service.
    in_service = (served.finish - served.start).sum()
    assert float(served.batch_time) == pytest.approx(float(in_service), rel=1e-9)
    flop = (
        16e9 * served.tokens
        + 589824.0 * ((prompts + answers - 1.0) * (prompts + answers) / 2).sum()
    )
    assert float(served.flop) == pytest.approx(float(flop), rel=1e-12)
    assert (served.ttft > 0).all() and (served.wait >= 0).all()


def test_runs_side_by_side_do_not_meet():
    one, two = load(30.0), load(1e3, seed=1)
    limits = {"max_batch": 32, "kv_tokens": 1000, "block": 16, "budget": 64}
    both = simulate_requests(
        *(np.stack(pair) for pair in zip(one, two, strict=True)), LAW, **limits
    )
    for run, requests in enumerate((one, two)):
        alone = simulate_requests(*requests, LAW, **limits)
        for together, single in zip(jax.tree.leaves(both), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(together[run], single)


@pytest.mark.parametrize(("burstiness", "variation"), [(1.0, 1.0), (0.25, 2.0), (4.0, 0.5)])
def test_arrivals_have_their_rate_and_burstiness(burstiness, variation):
    times = arrival_times(5.0, 100_000, burstiness, key=jax.random.key(3))
    gaps = jnp.diff(times)
    assert float(gaps.mean()) == pytest.approx(0.2, rel=0.03)
    assert float(gaps.std() / gaps.mean()) == pytest.approx(variation, rel=0.03)
    assert (gaps >= 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arrivals": np.array([1.0, 0.0])}, "sorted"),
        ({"arrivals": np.array([0.0, np.nan])}, "finite"),
        ({"arrivals": np.zeros(3)}, "one shape"),
        ({"output_tokens": np.array([1, 0])}, "output_tokens: allowed"),
        ({"input_tokens": np.array([1.5, 2.0])}, "input_tokens: allowed"),
        ({"kv_tokens": 160}, "at least 176"),
        ({"budget": 3}, "at least max_batch"),
        ({"max_batch": 0}, "1 or more"),
    ],
)
def test_what_no_server_could_serve_is_refused(change, said):
    given = {
        "arrivals": np.zeros(2), "input_tokens": np.array([100, 50]),
        "output_tokens": np.array([61, 1]), "engine": LAW, "max_batch": 4, "kv_tokens": 176,
        "block": 16, "budget": 64,
    }  # fmt: skip
    with pytest.raises(ValueError, match=said):
        simulate_requests(**(given | change))

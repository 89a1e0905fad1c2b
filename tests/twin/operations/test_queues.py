"""Queues of theory out of the event model: M/D/1, M/M/1 and M/M/4, by configuration alone.

A fixed time a step, a batch limit of `servers` and answers of 100,000 tokens on average: a request
is a customer, a slot a server, a token a hundred-thousandth of a service. Expected waits are in
oracles/queue_waits.json. The interval is that of 256 independent runs, narrowed by what is known
of their draws: mean and mean square of services and mean of gaps (control variates).
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from oracles.queue_waits import kiefer_wolfowitz, lindley, mean_wait
from scipy.stats import t

from twin.operations.engine import EngineLaw
from twin.operations.events import simulate_requests

ORACLE = json.loads((Path(__file__).parents[2] / "oracles/queue_waits.json").read_text())["rows"]
TOKENS, RUNS, CUSTOMERS = 100_000, 256, 4000
LONG = {0.9: 10}  # times as many customers in a run, where waits vary most
AGAIN = {("M/M/4", 0.3): 2}  # times as many runs, where waits are rarest


@cache
def queue(law, servers, load, count=CUSTOMERS, seed=20261127):
    """Arrivals, services and waits."""
    arrivals, tokens = customers(law, servers, load, count, seed)
    return arrivals, tokens / TOKENS, waits(arrivals, tokens, servers)


def customers(law, servers, load, count, seed):
    """Poisson arrivals and services of whole tokens; times in mean services."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / (servers * load), (RUNS, count)), axis=1)
    drawn = rng.exponential(TOKENS, (RUNS, count)) if law == "M" else np.full((RUNS, count), TOKENS)
    return arrivals, np.maximum(1, np.rint(drawn)).astype(np.int32)


def waits(arrivals, tokens, servers):
    served = simulate_requests(
        arrivals, np.ones_like(tokens), tokens, EngineLaw.of(1 / TOKENS),
        max_batch=servers, kv_tokens=2**31 - 1, block=4096,
    )  # fmt: skip
    return np.asarray(served.wait)


def controlled(means, controls):
    """Mean and half width of its 95 % interval, by regression on what has mean zero."""
    used = controls[:, np.ptp(controls, axis=0) > 1e-12]
    design = np.column_stack([np.ones(len(means)), used])
    fitted, *_ = np.linalg.lstsq(design, means, rcond=None)
    free = len(means) - design.shape[1]
    error = np.sqrt(np.sum((means - design @ fitted) ** 2) / free)
    spread = error * np.sqrt(np.linalg.inv(design.T @ design)[0, 0])
    return fitted[0], t.ppf(0.975, free) * spread


def case(row):
    patient = row["load"] in LONG or (row["queue"], row["load"]) in AGAIN
    marks = [pytest.mark.slow] if patient else []
    return pytest.param(row, id=f"{row['queue']}-{row['load']}", marks=marks)


CASES = [case(row) for row in ORACLE]


@pytest.mark.parametrize("row", CASES)
def test_mean_wait_is_that_of_theory(row):
    law, servers, load = row["law"], row["servers"], row["load"]
    count = CUSTOMERS * LONG.get(load, 1)
    means, controls = [], []
    for part in range(AGAIN.get((row["queue"], load), 1)):
        arrivals, services, mine = queue(law, servers, load, count, seed=20261127 + part)
        means.append(mine[:, count // 10 :].mean(axis=1))
        gaps = arrivals[:, -1] / count * servers * load
        square = (services**2).mean(axis=1) - (2.0 if law == "M" else 1.0)
        controls.append(np.stack([services.mean(axis=1) - 1, square, gaps - 1], axis=1))
    mean, half = controlled(np.concatenate(means), np.concatenate(controls))
    print(f"{row['queue']} at {load}: {mean / row['wait']:.4f} ± {half / row['wait']:.4f}")
    assert half < 0.03 * row["wait"], "the interval is too wide to say anything"
    assert mean == pytest.approx(row["wait"], rel=0.03)


@pytest.mark.parametrize(("law", "servers"), [("D", 1), ("M", 1), ("M", 4)])
def test_every_customer_waits_as_in_the_recursion(law, servers):
    arrivals, services, mine = (x[:32] for x in queue(law, servers, 0.7))
    if servers == 1:
        expected = lindley(arrivals, services)
    else:
        expected = kiefer_wolfowitz(arrivals, services, servers)
    # Work starts between steps: a customer to an idle server beside a busy one waits for the next,
    # and in one busy period such shifts add up.
    assert np.abs(mine - expected).max() < (1e-9 if servers == 1 else 2e-3)
    assert mine.mean() == pytest.approx(expected.mean(), rel=1e-3)


def test_a_second_judge_agrees_with_the_closed_forms():
    for row in ORACLE:
        assert row["wait"] == mean_wait(row["law"], row["servers"], row["load"])
        assert abs(row["ciw"] - row["wait"]) < 2 * row["ciw_half_width"], row


def test_comparison_would_see_another_discipline():
    """Services as variable as exponential ones wait twice as long as fixed ones."""
    mean = queue("M", 1, 0.7)[2].mean()
    assert mean > 1.9 * mean_wait("D", 1, 0.7)

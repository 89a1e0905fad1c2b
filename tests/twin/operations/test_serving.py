"""The fluid server: its books, its limits, and closed forms of its steady state."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.operations.engine import EngineLaw
from twin.operations.serving import (
    Demand,
    Leaving,
    Load,
    Server,
    _batch,
    largest_batch,
    pace,
    serve,
)

LAW = {
    "weight_bytes": 15.1e9, "kv_bytes": 147456.0, "bandwidth": 2.9e12, "token_flop": 15.1e9,
    "pair_flop": 589824.0, "compute": 5e14,
}  # fmt: skip
SATS, STEPS = 500, 200
ACCOUNTS = {
    "requests": (
        ("waiting", "running"), ("arrived",), ("done", "dropped"),
    ),
    "prompts": (
        ("waiting_input",), ("input_arrived", "input_again"), ("prefilled", "input_dropped"),
    ),
    "answers": (("output",), ("output_arrived",), ("made", "output_dropped")),
}  # fmt: skip


def real(value):
    return jnp.asarray(value, float)


def server(max_batch=256, kv_tokens=377024, queue_limit=1e12, variation=0.0, overhead=0.0022):
    engine = EngineLaw.of(overhead, **LAW)
    return Server(
        engine, *(real(x) for x in (max_batch, kv_tokens, 16, 8192, queue_limit, variation))
    )


def demand(rate, prompt, answer):
    return Demand(real(rate), real(prompt), real(answer))


@jax.jit
def live(server, demands, shares, dt, load):
    """Steps in a row; demand and share have time in front."""

    def step(load, now):
        load, flows = serve(server, load, *now, dt)
        return load, (load, flows)

    return jax.lax.scan(step, load, (demands, shares))[1]


def steady(server, demand, dt=10.0, steps=200):
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (steps,)), (demand, real(1.0)))
    loads, flows = live(server, *many, real(dt), Load.empty(real(0.0)))
    return jax.tree.map(lambda x: x[-1], (loads, flows))


@pytest.fixture(scope="module")
def wild():
    """Random servers under demand that comes, goes, changes length and stops, and power too."""
    rng = np.random.default_rng(5)
    engine = jax.tree.map(lambda x: jnp.full(SATS, x), EngineLaw.of(0.0022, **LAW))
    several = Server(
        engine,
        real(rng.integers(1, 512, SATS)),
        real(rng.integers(8000, 400_000, SATS)),
        jnp.full(SATS, 16.0),
        jnp.full(SATS, 8192.0),
        real(rng.choice([5.0, 50.0, 1e4], SATS)),
        real(rng.uniform(0, 1.5, SATS)),
    )
    shape = STEPS, SATS
    rates = rng.exponential(15.0, shape) * (rng.random(shape) < 0.7)
    rates[120:140] = 0.0
    demands = demand(rates, rng.uniform(1, 6000, shape), rng.uniform(1, 2000, shape))
    shares = real(np.where(rng.random(shape) < 0.1, 0.0, rng.random(shape)))
    start = Load.empty(jnp.zeros(SATS))
    loads, flows = live(several, demands, shares, real(30.0), start)
    return several, demands, shares, loads, flows


def residual(loads, flows, account):
    """Largest gap of an account over satellites and steps, against what passed through it."""
    held, came, left = account
    total = sum(getattr(loads, name) for name in held)
    inflow = sum(getattr(flows, name) for name in came)
    outflow = sum(getattr(flows, name) for name in left)
    change = jnp.diff(total, axis=0, prepend=jnp.zeros((1, SATS)))
    gap = jnp.abs(change - (inflow - outflow))
    return float((gap / (total + inflow + outflow + 1.0)).max())


@pytest.mark.parametrize("name", ACCOUNTS)
def test_books_close(wild, name):
    *_, loads, flows = wild
    assert residual(loads, flows, ACCOUNTS[name]) < 1e-12


@pytest.mark.parametrize(
    ("name", "flow"),
    [(n, f) for n, (_, came, left) in ACCOUNTS.items() for f in (*came, *left)],
)
def test_books_would_show_each_wrong_flow(wild, name, flow):
    *_, loads, flows = wild
    assert float(getattr(flows, flow).max()) > 0
    wrong = dataclasses.replace(flows, **{flow: getattr(flows, flow) * (1 + 1e-4)})
    assert residual(loads, wrong, ACCOUNTS[name]) > 1e-6


def test_nothing_is_negative_and_no_limit_is_passed(wild):
    several, _, shares, loads, flows = jax.tree.map(np.asarray, wild)
    for name, leaf in (*vars(loads).items(), *vars(flows).items()):
        assert float(leaf.min()) > -1e-4, name  # of tokens by the hundred thousand: rounding
    assert (loads.running <= several.max_batch * (1 + 1e-12)).all()
    assert (loads.waiting <= several.queue_limit * (1 + 1e-12)).all()
    assert (flows.done[shares == 0] == 0).all() and (flows.bytes[shares == 0] == 0).all()
    assert (flows.busy <= shares * (1 + 1e-12)).all()
    assert (flows.preempted > 0).any(), "longer requests push others out"
    assert np.isfinite(flows.wait[shares > 0]).all()


def test_gradients_are_finite(wild):
    several, demands, shares, loads, _ = wild
    last = jax.tree.map(lambda x: x[-1], (demands, shares))
    previous = jax.tree.map(lambda x: x[-2], loads)
    empty = Load.empty(jnp.zeros(SATS))

    def total(server, load, demand, share):
        leaves = jax.tree.leaves(serve(server, load, demand, share, real(30.0)))
        return sum(jnp.sum(jnp.where(share > 0, x, 0.0)) for x in leaves)

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))
    for load in (previous, empty):
        for rate in (last[0].rate, jnp.zeros(SATS)):
            asked = dataclasses.replace(last[0], rate=rate)
            leaves = jax.tree.leaves(slopes(several, load, asked, last[1]))
            assert all(bool(jnp.isfinite(x).all()) for x in leaves)


def test_batch_is_found_from_anywhere():
    """Against bisection, from an empty start, after jumps of demand, with and without power."""
    rng = np.random.default_rng(2)
    one = server()
    some = [rng.uniform(*bounds, 300) for bounds in ((1, 400), (1, 6000), (1, 2000), (0, 1))]
    setting = tuple(real(x) for x in some)
    present = real(rng.exponential(200.0, 300) * (rng.random(300) < 0.9))
    one = jax.tree.map(lambda x: jnp.full(300, x), one)
    dt = real(30.0)
    found = jax.jit(_batch)(one, setting, jnp.zeros(300), present, dt)

    leaving = jax.jit(lambda n: pace(one, n, *setting).leaving)
    low, high = jnp.zeros(300), present
    for _ in range(60):
        middle = (low + high) / 2
        above = middle + dt * leaving(middle) > present
        low, high = jnp.where(above, low, middle), jnp.where(above, middle, high)
    np.testing.assert_allclose(found, low, rtol=1e-6, atol=1e-6)


def test_gradient_is_that_of_the_solved_batch():
    """The slope of the requests done, by the implicit function theorem and by differences."""
    one, load = server(), Load(*(real(x) for x in (3.0, 20.0, 400.0, 3000.0, 9000.0)))

    @jax.jit
    def done(rate):
        return serve(one, load, demand(rate, 200.0, 300.0), real(0.8), real(10.0))[1].done

    slope = jax.jit(jax.grad(done))
    for rate in (2.0, 12.0):
        near = (float(done(rate * (1 + 1e-5))) - float(done(rate * (1 - 1e-5)))) / (2e-5 * rate)
        assert float(slope(rate)) == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize("dt", [1.0, 10.0, 300.0])
@pytest.mark.parametrize("rate", [0.01, 2.0, 10.0])
def test_steady_state_is_littles_law_at_any_step(rate, dt):
    one = server()
    load, flows = steady(one, demand(rate, 500, 200), dt, steps=2000)
    assert float(flows.done / dt) == pytest.approx(rate, rel=1e-9)
    assert float(load.waiting) == 0.0
    args = (real(500.0), real(200.0))
    at = jax.jit(pace)(one, load.running, largest_batch(one, *args), *args, real(1.0))
    assert float(at.leaving) == pytest.approx(rate, rel=1e-9)
    stay = 200 * float(flows.step_time)  # one chunk and 199 more steps
    assert float(load.running) == pytest.approx(rate * stay, rel=1e-9)


def test_one_slot_is_the_step_law_itself():
    """Always busy, one sequence: the mean step reads the weights and half an answer's cache."""
    load, flows = steady(server(max_batch=1), demand(10.0, 1, 1000), steps=50)
    step = 0.0022 + (15.1e9 + 147456 * (1 + 500)) / 2.9e12
    assert float(flows.step_time) == pytest.approx(step, rel=1e-3)
    assert float(flows.bytes) == pytest.approx(10 / step * (15.1e9 + 147456 * 501), rel=1e-3)
    assert float(flows.made) == pytest.approx(10 / step, rel=1e-3)
    assert float(flows.busy) == pytest.approx(1.0)
    assert float(load.running) == pytest.approx(1.0)


def test_what_cannot_be_served_waits_and_is_then_turned_away():
    one = server(queue_limit=1000.0)
    load, flows = steady(one, demand(100.0, 128, 1024), steps=50)
    assert float(load.waiting) == pytest.approx(1000.0)
    assert float(flows.dropped + flows.done) == pytest.approx(1000.0, rel=1e-9)
    assert float(flows.wait) == pytest.approx(1000.0 / (float(flows.done) / 10), rel=1e-6)
    assert float(flows.ttft) > float(flows.wait)


def test_a_small_cache_bounds_the_batch():
    load, flows = steady(server(kv_tokens=60_000), demand(100.0, 128, 1024), steps=50)
    assert float(load.running) == pytest.approx((60_000 / 16 - 1) / (640 / 16 + 0.5), rel=1e-9)
    assert float(flows.kv_use) == pytest.approx(1.0, rel=1e-6)


def test_the_search_sees_what_the_pace_says():
    """`Leaving` against `pace` and the program's own derivative, in all regimes."""
    rng = np.random.default_rng(3)
    count = 20_000
    prompt, answer = (np.exp(rng.uniform(np.log(low), np.log(high), count))
                      for low, high in ((1, 40_000), (1, 4000)))  # fmt: skip
    variation, slots = rng.uniform(0, 2, count), np.exp(rng.uniform(0, np.log(512), count))
    each = [jnp.full(count, x) for x in (16.0, 8192.0, 1e12)]
    engine = jax.tree.map(lambda x: jnp.full(count, x), EngineLaw.of(0.0022, **LAW))
    one = Server(engine, real(slots), jnp.full(count, 377024.0), *each, real(variation))
    limit = largest_batch(one, real(prompt), real(answer))
    setting = (limit, real(prompt), real(answer), real(rng.uniform(0, 1, count)))
    running = limit * real(np.exp(rng.uniform(np.log(1e-9), np.log(3), count)))

    def leaving(n):
        return pace(one, n, *setting).leaving

    value, slope = jax.jvp(leaving, (running,), (jnp.ones(count),))
    mine, rise = Leaving.of(one, setting).at(running)
    np.testing.assert_allclose(mine, value, rtol=1e-12)
    np.testing.assert_allclose(rise, slope, rtol=1e-8, atol=1e-9 * np.abs(slope).max())
    at = pace(one, running, *setting)
    chunks = jnp.maximum(setting[1] / one.budget, 1.0)
    prompts = at.batch * chunks / (chunks + setting[2] - 1)
    assert 0.05 < float((prompts > 1).mean()) < 0.95, "one prompt a step and many"
    assert 0.02 < float((running > limit).mean()) < 0.5

"""Runs: cut, resumed, permuted, differentiated, spoiled and decayed."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.constellation import (
    COLD_PLATE,
    RADIATOR,
    STANDARD,
    Limit,
    table,
)  # fmt: skip
from twin.results import Run
from twin.simulate import Clock, SimulationError, rollout, simulate

TEXT = np.dtypes.StringDType()


@pytest.fixture(scope="module")
def whole(live, small_shell):
    """Six records at once."""
    return live(*small_shell)


def assert_same_bits(one, other):
    for path, leaf in jax.tree_util.tree_leaves_with_path(one):
        same = np.asarray(leaf).tobytes() == np.asarray(_at(other, path)).tobytes()
        assert same, f"{jax.tree_util.keystr(path)} differs"


def _at(tree, path):
    for key in path:
        tree = getattr(tree, key.name)
    return tree


def test_cutting_into_chunks_changes_no_bit(whole, engine, small_shell):
    state, first = engine.advance(engine.start(small_shell[1]), 0, 3)
    state, second = engine.advance(state, 3, 3)
    assert_same_bits(state, whole[0])
    assert_same_bits(jax.tree.map(lambda *x: jnp.concatenate(x), first, second), whole[1])


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(whole, engine, small_shell, tmp_path):
    run = Run(tmp_path / "run")
    run.create("", {}, {})
    static = {
        "name": np.array([f"S{k:02d}" for k in range(24)], TEXT),
        "node_name": np.array(["n"] * len(STANDARD), TEXT),
    }
    run.allocate(6, 3, static, {}, {}, list(table()))

    stopped_early = replace(engine.clock, records=3)
    engine.clock, clock = stopped_early, engine.clock
    try:
        simulate(engine, small_shell[1], run.writer())
    finally:
        engine.clock = clock
    records, state = run.checkpoint(small_shell[1])
    assert records == 3

    done = []
    end = simulate(engine, state, run.writer(), first=records, on_chunk=lambda *x: done.append(x))
    assert done == [(6, 6)]
    assert_same_bits(end, whole[0])
    data = run.dataset()
    np.testing.assert_array_equal(
        data.temperature, np.asarray(whole[1].temperature, np.float32).transpose(0, 2, 1)
    )
    np.testing.assert_array_equal(data.battery_energy, np.asarray(whole[1].battery_energy, "f4"))
    assert run.checkpoint(small_shell[1])[0] == 6
    assert_same_bits(run.checkpoint(small_shell[1])[1], whole[0])


def test_permuting_satellites_permutes_results(whole, live, small_shell):
    constellation, state = small_shell
    order = np.random.default_rng(3).permutation(24)

    def permuted(tree):
        return jax.tree.map(lambda x: x[..., order], tree)

    shuffled = replace(constellation, satellites=permuted(constellation.satellites))
    end, seen = live(shuffled, permuted(state))
    for one, other in zip(
        jax.tree.leaves((end, seen)), jax.tree.leaves(permuted(whole)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_decayed_satellite_stops_and_the_others_do_not_notice(whole, live, engine, small_shell):
    constellation, state = small_shell
    axis = constellation.satellites.orbit.semi_major_axis
    fallen = eqx.tree_at(
        lambda c: c.satellites.orbit.semi_major_axis, constellation, axis.at[5].set(6.3e6)
    )
    end, seen = live(fallen, state)
    assert not end.alive[5] and np.delete(np.asarray(end.alive), 5).all()
    assert (np.asarray(seen.limit)[:, 5] == Limit.FAULT).all()
    assert float(end.ledger.time_limited[Limit.FAULT, 5]) == 360.0
    assert float(end.ledger.alive_time[5]) == 0.0
    for total in ("tokens", "tokens_offered", "panel_energy", "payload_energy", "sunlit_time"):
        assert float(getattr(end.ledger, total)[5]) == 0.0
    assert (np.asarray(end.temperature)[:, 5] == 290.0).all(), "its last state is kept"
    others = np.delete(np.arange(24), 5)
    keep = partial(jax.tree.map, lambda x: np.asarray(x)[..., others])
    assert_same_bits(keep((end, seen)[0]), keep(whole[0]))
    assert_same_bits(keep(seen), keep(whole[1]))
    engine_check(engine, end)


def engine_check(engine, state):
    from twin.simulate import check

    check(state, engine, 360.0)


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (lambda c: c.satellites.body.heat_capacity, "satellites.body.heat_capacity"),
        (lambda c: c.satellites.battery.resistance, "satellites.battery.resistance"),
        (lambda c: c.satellites.payload.full_power, "satellites.payload.full_power"),
        (lambda c: c.satellites.surroundings.albedo, "satellites.surroundings.albedo"),
    ],
)
def test_not_a_number_is_caught_and_named(engine, small_shell, monkeypatch, where, named):
    constellation, state = small_shell
    spoiled = eqx.tree_at(where, constellation, where(constellation).at[..., 7].set(jnp.nan))
    monkeypatch.setattr(engine, "constellation", engine.put(spoiled, engine._in[0]))
    with pytest.raises(
        SimulationError, match=r"not finite in 1 satellites \(first: \[7\]\)"
    ) as error:
        simulate(engine, state)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, battery_energy=s.battery_energy * 1.5), "battery energy left 0"),
        (
            lambda s: replace(s, temperature=s.temperature.at[RADIATOR, 3].set(1.0)),
            "radiator fell to 1.00",
        ),
        (
            lambda s: replace(s, battery_energy=s.battery_energy.at[2].set(jnp.nan)),
            r"battery energy is not finite in 1 satellites \(first: \[2\]\)",
        ),
        (
            lambda s: replace(s, temperature=s.temperature.at[COLD_PLATE, 3].set(jnp.inf)),
            "temperature of node cold_plate is not finite",
        ),
        (
            lambda s: eqx.tree_at(lambda s: s.ledger.tokens_residual, s, jnp.full(24, 2e-6)),
            "tokens book is open by 2.0e-06",
        ),
    ],
)
def test_a_spoiled_state_is_caught_and_named(engine, small_shell, change, message):
    with pytest.raises(SimulationError, match=message):
        engine_check(engine, change(small_shell[1]))


def test_open_books_end_the_run(engine, small_shell):
    state = small_shell[1]
    bad = eqx.tree_at(lambda s: s.ledger.heat_residual, state, jnp.full(24, 1e-5))
    with pytest.raises(SimulationError, match="heat book is open by 1.0e-05"):
        simulate(engine, bad)


@pytest.mark.slow
def test_gradients_of_a_rollout_are_finite_and_right(live, small_shell):
    """Final battery energy against array and radiator: reverse mode and a finite difference."""
    constellation, state = small_shell
    half = replace(state, battery_energy=0.8 * constellation.satellites.battery.capacity)
    names = ("panels.area", "skin.area", "body.emitting_area", "battery.coulombic_efficiency")

    def pick(c):
        return [getattr(getattr(c.satellites, a), b) for a, b in (n.split(".") for n in names)]

    def total(leaves):
        changed = eqx.tree_at(pick, constellation, leaves)
        start, dt = jnp.asarray(0), jnp.asarray(10.0)
        end, _ = rollout(changed, half, start, dt, records=6, steps=6)
        return end.battery_energy.sum(), end.battery_energy

    leaves = pick(constellation)
    (_, energy), slopes = jax.jit(jax.value_and_grad(total, has_aux=True))(leaves)
    same = live(constellation, half)[0].battery_energy
    np.testing.assert_allclose(energy, same, rtol=1e-12)
    for name, slope in zip(names, slopes, strict=True):
        assert np.isfinite(slope).all(), name
    assert (np.asarray(slopes[0]) > 0).sum() > 6, "a larger array charges more, by day"
    for k, name in enumerate(names):
        step = 1e-5
        up, down = (
            live(eqx.tree_at(lambda c, k=k: pick(c)[k], constellation, leaves[k] * (1 + s)), half)[
                0
            ]
            for s in (step, -step)
        )
        rise = np.asarray(up.battery_energy - down.battery_energy) / (2 * step)
        along = np.asarray(slopes[k] * leaves[k]).reshape(-1, 24).sum(axis=0)
        tolerance = 1e-9 * np.asarray(energy) / step
        assert (np.abs(along - rise) < 1e-4 * np.abs(rise) + tolerance).all(), name
        assert np.abs(rise).max() > 0.0, f"{name}: nothing to compare"


def test_clock_divides_runs_evenly():
    clock = Clock.of(10.0, 60.0, 86_400.0, 2800)
    assert (clock.steps, clock.records) == (6, 1440)
    assert clock.records % clock.chunk == 0
    assert Clock.of(10.0, 60.0, 86_400.0, 12).chunk == 1440
    assert Clock.of(10.0, 60.0, 86_400.0, 10_000_000).chunk == 1
    for records in (7, 97, 1441):
        chunk = Clock.of(60.0, 60.0, 60.0 * records, 2800).chunk
        assert 1 <= chunk <= records

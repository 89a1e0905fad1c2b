"""Rollout, which is pure, and simulate, which is an ordinary loop over chunks of records."""

import time as wall
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int

from twin import books, devices, tally
from twin.arrays import Each, Scalar, in_blocks, in_rows
from twin.constellation import Constellation, Ledger, Moment, Sky, State, Telemetry
from twin.environment.radiation import following, next_waits
from twin.forcing import forcing, moment, segments
from twin.results import Writer
from twin.step import step

CHUNK_BYTES = 48e6  # of telemetry: large enough for speed, small enough for memory
RECORD_BYTES = 122  # a satellite


Waits = tuple[tuple[Each, Each], Int[Array, "*sat"]]
"""What `next_waits` drew, and the counts of upsets for which it did."""
Carry = tuple[State, Moment, Waits]
"""What a record hands to the next."""


class SimulationError(RuntimeError):
    """A run that failed: what, where, when, and what to try."""


@dataclass(frozen=True)
class Clock:
    """The steps of a run: `records` of `steps` steps of `dt` seconds, `chunk` records at a time."""

    dt: float
    steps: int
    records: int
    chunk: int

    @classmethod
    def of(cls, step_s: float, record_s: float, duration: float, satellites: int) -> "Clock":
        """The clock of a scenario; chunks divide the run evenly if a near divisor exists."""
        records = round(duration / record_s)
        most = int(max(1, min(1440, CHUNK_BYTES / (RECORD_BYTES * max(satellites, 1)), records)))
        even = max(d for d in range(1, most + 1) if records % d == 0)
        return cls(step_s, round(record_s / step_s), records, even if 2 * even > most else most)


def rollout(
    constellation: Constellation,
    state: State,
    first: Int[Array, ""],
    dt: Scalar,
    *,
    records: int,
    steps: int,
    pieces: int = 1,
) -> tuple[State, Telemetry]:
    """Live `records` records of `steps` steps each, beginning with record number `first`.

    Pure: differentiate it, `vmap` it, checkpoint it. The sky of one record is computed at once,
    inside the scan, so that nothing of size fleet × chunk exists besides what is recorded. `pieces`
    are the segments of a record (see `forcing`).
    """
    carry, record = course(constellation, state, first, dt, steps, pieces)

    @devices.as_one
    def flight(carry: Carry, index: Int[Array, "record"]) -> tuple[Carry, Telemetry]:
        return jax.lax.scan(record, carry, index)

    (state, *_), telemetry = flight(carry, first + jnp.arange(records))
    return state, telemetry


def course(
    constellation: Constellation,
    state: State,
    first: Int[Array, ""],
    dt: Scalar,
    steps: int,
    pieces: int,
) -> tuple[Carry, Callable[[Carry, Int[Array, ""]], tuple[Carry, Telemetry]]]:
    """What a rollout scans over records: the carry at its beginning, and one record."""
    satellites = constellation.satellites
    fleet = eqx.tree_at(lambda c: c.satellites, constellation, in_rows(satellites))

    def draw(count: Int[Array, "*sat"]) -> tuple[Each, Each]:
        return next_waits(constellation.stream, satellites.number, count)

    @devices.as_one
    def record(carry: Carry, index: Int[Array, ""]) -> tuple[Carry, Telemetry]:
        state, before, (waits, drawn) = carry
        time = (index * steps + jnp.arange(steps + 1)).astype(dt.dtype) * dt
        sky = forcing(constellation, time, pieces, before)
        # Upsets are rare and draws are dear: a third of the run, were they made at each record.
        struck = jnp.any(state.upsets != drawn)
        waits = jax.lax.cond(struck, draw, lambda _: waits, state.upsets)
        drawn = state.upsets

        rows, sums = live(fleet, in_rows(state), sky.sky, waits, dt)
        after, sums = tally.if_alive(sky.up, state, in_blocks(rows, state), sums, steps)
        state = tally.closed(satellites, after, sums, dt)
        return (state, sky.last, (waits, drawn)), tally.telemetry(sums, state, sky.last, steps)

    begin = moment(constellation, (first * steps).astype(dt.dtype) * dt)
    return (state, begin, (draw(state.upsets), state.upsets)), record


@devices.as_one
def live(
    fleet: Constellation, state: State, skies: Sky, waits: tuple[Each, Each], dt: Scalar
) -> tuple[State, tally.Tally]:
    """The steps of a record, and their tally."""

    def one(carry: tuple[State, tally.Tally], sky: Sky):
        state, sums = carry
        state, lived = step(fleet, state, sky, following(waits, state.upsets), dt)
        return (state, sums.plus(lived, state, dt)), None

    return jax.lax.scan(devices.anew(one), (state, tally.empty(state)), skies)[0]


class Engine:
    """A compiled rollout for one size of fleet: the only place, with `study`, that jits."""

    def __init__(self, constellation: Constellation, state: State, clock: Clock):
        """Pad the fleet to the devices' count and put it there. Nothing is compiled yet."""
        self.lanes = state.alive.size
        self.mesh: Mesh = devices.mesh(self.lanes)
        self.turns = devices.turns(self.lanes, self.mesh)
        self.clock = clock
        self.compile_s = 0.0
        self._programs: dict[int, Any] = {}
        self._shape = _shape(constellation)
        whole = _whole(constellation)
        fleet = eqx.tree_at(lambda c: c.satellites, whole, _by_sat(constellation.satellites))
        self._in = (fleet, _by_sat(state), P(), P())
        self.constellation = self.put(constellation, fleet)

    def put(self, tree: Any, spec: Any) -> Any:
        """Laid over the devices; the last satellite flies again where the count does not divide."""
        extra = devices.padded(self.lanes, self.mesh) - self.lanes

        def place(leaf: Any, where: P) -> jax.Array:
            if extra and where and where[-1] == "sat" and leaf.shape[-1] == self.lanes:
                width = [(0, 0)] * (leaf.ndim - 1) + [(0, extra)]
                leaf = np.pad(np.asarray(leaf), width, mode="edge")
            return jax.device_put(leaf, NamedSharding(self.mesh, where))

        return jax.tree.map(place, tree, spec)

    def fits(self, constellation: Constellation, state: State) -> bool:
        """Whether another constellation can use the programs that this engine has compiled."""
        mine, other = self._shape, _shape(constellation)
        return mine == other and state.alive.size == self.lanes

    def holding(self, constellation: Constellation) -> "Engine":
        """The same programs, compiled once, with another constellation in them."""
        twin = copy(self)
        twin.constellation = self.put(constellation, self._in[0])
        return twin

    def start(self, state: State) -> State:
        """A state on the devices."""
        return self.put(state, self._in[1])

    def compile(self, state: State, records: int) -> None:
        """Compile the program of one chunk, so that progress can be timed without it."""
        if records in self._programs:
            return
        begin = wall.perf_counter()
        arguments = self._arguments(self.start(state), 0)
        clock = self.clock
        pieces = segments(clock.steps, clock.dt)
        run = partial(rollout, records=records, steps=clock.steps, pieces=pieces)
        mapped = jax.shard_map(
            devices.in_turns(run, self._in, self.turns),
            mesh=self.mesh,
            in_specs=self._in,
            out_specs=(self._in[1], _by_sat(_recorded(records, *arguments))),
            check_vma=False,
        )
        with devices.compact():
            options = devices.options(devices.padded(self.lanes, self.mesh))
            lowered = jax.jit(mapped, compiler_options=options).lower(*arguments)
        self._programs[records] = lowered.compile()
        self.compile_s += wall.perf_counter() - begin

    def advance(self, state: State, first: int, records: int) -> tuple[State, Telemetry]:
        """One chunk of `records` records, from record `first`."""
        self.compile(state, records)
        return self._programs[records](*self._arguments(state, first))

    def ledger(self, state: State) -> Ledger:
        """The ledger on the host, without the padding."""
        return jax.tree.map(lambda x: np.asarray(x)[..., : self.lanes], state.ledger)

    def _arguments(self, state: State, first: int) -> tuple[Constellation, State, Any, Any]:
        dt = jnp.asarray(self.clock.dt, jnp.float64)
        return self.constellation, state, jnp.asarray(first), dt


Progress = Callable[[int, int], None]


def simulate(
    engine: Engine,
    state: State,
    writer: Writer | None = None,
    first: int = 0,
    on_chunk: Progress | None = None,
) -> State:
    """Run from record `first` to the end; write, check and report between chunks.

    The chunk before is written by a thread while the next one computes. A chunk counts as done once
    its checkpoint is in place; on Ctrl-C the chunks in flight are finished first.
    """
    clock, state = engine.clock, engine.start(state)
    pending: list[Future] = []
    with ThreadPoolExecutor(1) as pool:
        while first < clock.records:
            count = min(clock.chunk, clock.records - first)
            state, telemetry = engine.advance(state, first, count)
            jax.block_until_ready(state.alive)
            check(state, engine, (first + count) * clock.steps * clock.dt)
            for done in _settle(pending, 1):
                done.result()
            if writer:
                pending.append(pool.submit(writer.append, first, telemetry, state, engine.lanes))
            first += count
            if on_chunk:
                on_chunk(first, clock.records)
        for done in _settle(pending, 0):
            done.result()
    return state


def _settle(pending: list[Future], keep: int) -> Iterator[Future]:
    while len(pending) > keep:
        yield pending.pop(0)


def check(state: State, engine: Engine, seconds: float) -> None:
    """The host's look at the state: books, limits, NaN. Raises SimulationError."""
    ledger = state.ledger
    temperature = np.asarray(state.temperature)[:, : engine.lanes]
    energy = np.asarray(state.battery_energy)[: engine.lanes]
    satellites = engine.constellation.satellites
    names = satellites.body.names
    capacity = np.asarray(satellites.battery.capacity)[: engine.lanes]
    if not np.isfinite(temperature).all() or not np.isfinite(energy).all():
        node = next(
            (n for n, row in zip(names, temperature, strict=True) if not np.isfinite(row).all()),
            None,
        )
        bad = np.flatnonzero(~(np.isfinite(temperature).all(axis=0) & np.isfinite(energy)))
        what = f"temperature of node {node}" if node else "battery energy"
        raise SimulationError(
            f"{what} is not finite in {bad.size} satellites (first: {bad[:3].tolist()}) by t ="
            f" {seconds:,.0f} s; {_cause(engine.constellation)}"
        )
    if temperature.min() < 2.7 - 1e-6:
        raise SimulationError(
            f"temperature of node {names[int(temperature.min(axis=1).argmin())]} fell to"
            f" {temperature.min():.2f} K, below deep space, by t = {seconds:,.0f} s;"
            " try a smaller step_s"
        )
    slack = 1e-9 * capacity + 1e-6  # J; rounding, also where there is no battery
    if (energy < -slack).any() or (energy > capacity + slack).any():
        raise SimulationError(
            f"battery energy left 0 … capacity by t = {seconds:,.0f} s;"
            " this is a defect of the twin"
        )
    for name in ("energy", "heat", "tokens"):
        worst = float(np.asarray(getattr(ledger, f"{name}_residual"))[: engine.lanes].max())
        if not worst <= books.TOLERANCE:
            raise SimulationError(
                f"the {name} book is open by {worst:.1e} of its throughput (allowed"
                f" {books.TOLERANCE:.0e}) by t = {seconds:,.0f} s; this is a defect of the twin"
            )


def _recorded(
    records: int, constellation: Constellation, state: State, first: Any, dt: Scalar
) -> Telemetry:
    """The shapes of what a rollout records, without tracing its steps, which takes seconds."""

    def one() -> Telemetry:
        last = moment(constellation, first * dt)
        return tally.telemetry(tally.empty(state), state, last, 1)

    def often(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((records, *x.shape), x.dtype)

    return jax.tree.map(often, jax.eval_shape(one))


def _shape(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [leaf.shape for leaf in leaves]


def _cause(constellation: Constellation) -> str:
    """What may be behind a number that is not finite: an input that is not, or an extreme one."""
    leaves = jax.tree_util.tree_leaves_with_path(constellation)
    bad = [path for path, leaf in leaves if not np.isfinite(np.asarray(leaf)).all()]
    names = ", ".join(jax.tree_util.keystr(p, simple=True, separator=".") for p in bad[:3])
    if names:
        return f"the input {names} is not finite"
    return "try a smaller step_s, and look for extreme values in the scenario"


def _by_sat(tree: Any) -> Any:
    return jax.tree.map(lambda x: P(*[None] * (x.ndim - 1), "sat"), tree)


def _whole(tree: Any) -> Any:
    return jax.tree.map(lambda _: P(), tree)

"""How headline numbers follow the scenario's: one reverse pass through the rollout.

The rollout is pure, so one pull-back gives the slope of a headline by every array of the
constellation and the first state. How those arrays follow a number of the scenario is the host's
part: `build` is differenced, once for all numbers, since it is a polynomial in nearly all of them.
For a shell's altitude or local time the fleet is placed anew.

Three copies of the fleet lie side by side, one for each headline, and satellites do not touch: one
pull-back serves all three. A few records at a time are computed again on the way back, so memory
holds one state for each such block, and the states of one block's steps.

What is right and what is not. Full batteries, the brakes of heat and charge, the edge of the
shadow, the moment at which the payload is put to sleep or woken and the step at which an extreme
falls are continuous: their slopes are right, one-sided at a kink. Other events are not: laser
terminals off, safe mode, a heater, a shutdown by heat, an upset, an attitude that changes in the
dark. The slope is then that of a run in which each of these stays at its step; `Slopes.events`
names them. What surfaces see of each other was traced for the areas as they are, and is held; what
they see of the Earth at another altitude is differenced by two more passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twin import devices
from twin.arrays import Scalar
from twin.build import Value, build, nominal
from twin.constants import DAY, HOUR
from twin.constellation import Constellation, State
from twin.crafts import horizons
from twin.fleet import Fleet, fleet
from twin.load import key
from twin.numbers import Number
from twin.problems import InputError, Problem, nearest
from twin.scenario import Scenario
from twin.simulate import Carry, Clock, course, segments

HEADLINES = ("battery_least", "chip_hottest", "tokens_per_day")
"""Least share of charge, hottest chip (K), tokens a day."""

RECORDS_A_BLOCK = 6  # are kept between; more save no time, and take memory

SHARE = 1e-5  # of a number, by which the build is differenced: good to nine digits
SHELL_KEYS = ("altitude_km", "ltan_h", "ltan_spread_h", "inclination_deg", "raan_deg")


@dataclass(frozen=True)
class Slopes:
    """Headlines of each group of satellites, and their slopes by the scenario's numbers."""

    names: tuple[str, ...]
    values: Float[np.ndarray, "headline group"]
    by: Float[np.ndarray, "headline name group"]  # per unit of each number
    events: tuple[dict[str, float], ...]  # of each group: hours, resets; only what happened

    def of(self, headline: str, name: str, group: int = 0) -> float:
        """One slope."""
        return float(self.by[HEADLINES.index(headline), self.names.index(name), group])


def gradients(
    scenario: Scenario,
    ships: Fleet,
    names: Sequence[str],
    *,
    satellites: Int[np.ndarray, "sat"] | None = None,
    weight: Float[np.ndarray, "sat"] | None = None,
    group: Int[np.ndarray, "sat"] | None = None,
    value: Value | None = None,
    clock: Clock | None = None,
) -> Slopes:
    """Slopes of all headlines by the numbers named, over the scenario's run.

    `names` are dotted, such as ``class.small.array_m2``, ``class.small.body.radiator_m2`` or
    ``shell.0.altitude_km``. `satellites` are those that fly (default: all), `weight` how many each
    stands for in the tokens, `group` puts each into a group with headlines of its own. Raises
    InputError for a name that is no number, or that the run does not depend on.
    """
    value = value or nominal(scenario)
    who = np.arange(len(ships)) if satellites is None else np.asarray(satellites)
    count = who.size
    clock = clock or clock_of(scenario, count)
    weight = np.ones(count) if weight is None else np.asarray(weight, float)
    group = np.zeros(count, np.int64) if group is None else np.asarray(group)
    lanes = np.tile(who, len(HEADLINES))
    base = build(scenario, ships, value, (lanes, np.zeros(lanes.size, np.int64)))
    moves = differences(scenario, ships, names, value, lanes, base)
    leaves = jax.tree.leaves(base)
    touched = tuple(any(k in move for move in moves) for k in range(len(leaves)))
    own = tuple(
        t and leaf.ndim > 0 and leaf.shape[-1] == lanes.size
        for t, leaf in zip(touched, leaves, strict=True)
    )
    groups = int(group.max()) + 1
    program = reverse(jax.tree.structure(base), clock, own, groups, lanes.size)
    tiled = (jnp.asarray(np.tile(group, len(HEADLINES))), jnp.asarray(weight))
    values, events, pulled = program(base, *tiled)
    by = np.zeros((len(HEADLINES), len(names), groups))
    block = np.arange(lanes.size) // count
    for p, move in enumerate(moves):
        shared = {k: d for k, d in move.items() if not own[k]}
        for k in set(move) - set(shared):
            each = np.asarray(pulled[k]) * move[k]
            each = each.reshape(-1, lanes.size).sum(axis=0)
            np.add.at(by[:, p], (block, np.tile(group, len(HEADLINES))), each)
        if shared:  # tables that satellites share: the headlines at two of them
            ends = [program(_moved(base, shared, s * SHARE), *tiled)[0] for s in (1.0, -1.0)]
            by[:, p] += np.asarray(ends[0] - ends[1]) / (2 * SHARE)
    return Slopes(tuple(names), np.asarray(values), by, _events(events, group, groups))


def clock_of(scenario: Scenario, satellites: int) -> Clock:
    """The scenario's own clock."""
    run = scenario.run
    return Clock.of(run.step_s, run.record_s, run.duration_h * HOUR, satellites)


@lru_cache(maxsize=8)
def reverse(structure: Any, clock: Clock, own: tuple[bool, ...], groups: int, lanes: int):
    """A compiled pull-back: headlines, events and the slopes by those leaves that `own` marks.

    It takes a constellation and state of that tree structure, each lane's group, and the weights.
    """
    days = clock.records * clock.steps * clock.dt / DAY

    def headlines(moving: list, still: list, group: Array, weight: Array) -> tuple[Scalar, Any]:
        leaves = [s if m is None else m for m, s in zip(moving, still, strict=True)]
        constellation, state = jax.tree.unflatten(structure, leaves)

        ledger, count = flown(constellation, state, clock).ledger, weight.size
        charge = (ledger.battery_least / constellation.satellites.battery.capacity)[:count]
        chip = ledger.chip_hottest[count : 2 * count]
        tokens = ledger.tokens[2 * count :] * weight / days
        member = group[:count]
        values = jnp.stack([
            jnp.stack([jnp.where(member == g, charge, jnp.inf).min() for g in range(groups)]),
            jnp.stack([jnp.where(member == g, chip, -jnp.inf).max() for g in range(groups)]),
            jnp.stack([jnp.where(member == g, tokens, 0.0).sum() for g in range(groups)]),
        ])  # fmt: skip
        happened = {
            "shed_h": ledger.time_shed[0] / HOUR,
            "heater_wh": ledger.heater_energy / HOUR,
            "resets": ledger.resets,
            "restart_h": ledger.time_down / HOUR,
        }
        return values.sum(), (values, {k: v[:count] for k, v in happened.items()})

    pull = jax.jit(jax.grad(headlines, has_aux=True), compiler_options=devices.options(lanes))

    def run(tree: tuple[Constellation, State], group: Array, weight: Array):
        leaves = jax.tree.leaves(tree)
        moving = [leaf if mine else None for leaf, mine in zip(leaves, own, strict=True)]
        still = [None if mine else leaf for leaf, mine in zip(leaves, own, strict=True)]
        with devices.compact():
            slopes, (values, happened) = pull(moving, still, group, weight)
        return values, happened, slopes

    return run


def flown(constellation: Constellation, state: State, clock: Clock) -> State:
    """The state after a whole run; on the way back some records at a time are computed again."""
    dt, pieces = jnp.asarray(clock.dt, jnp.float64), segments(clock.steps, clock.dt)
    begin, record = course(constellation, state, jnp.asarray(0), dt, clock.steps, pieces)

    def again(carry: Carry, index: Array) -> tuple[Carry, None]:
        return record(carry, index)[0], None

    @jax.checkpoint
    @devices.as_one
    def block(carry: Carry, index: Array) -> tuple[Carry, None]:
        return jax.lax.scan(again, carry, index)

    size = max(d for d in range(1, RECORDS_A_BLOCK + 1) if clock.records % d == 0)
    index = jnp.arange(clock.records).reshape(-1, size)
    return jax.lax.scan(block, begin, index)[0][0]


Move = dict[int, np.ndarray]
"""By the leaf's place in the tree: how it moves with a number, per unit of that number."""


def differences(
    scenario: Scenario,
    ships: Fleet,
    names: Sequence[str],
    value: Value,
    lanes: Int[np.ndarray, "sat"],
    base: tuple[Constellation, State],
) -> list[Move]:
    """How the arrays follow each number: central differences of the build."""
    asked: set[str] = set()

    def listening(name: str) -> np.ndarray:
        asked.add(name)
        return value(name)

    nothing = np.zeros(lanes.size, np.int64)
    build(scenario, ships, listening, (lanes, nothing))
    direct = [name for name in names if name in asked]
    found: dict[str, Move] = {}
    if direct:
        wide = [SHARE * max(abs(float(np.asarray(value(n)))), 1e-3) for n in direct]
        shift = {n: np.zeros(2 * len(direct)) for n in direct}
        for k, name in enumerate(direct):
            shift[name][2 * k], shift[name][2 * k + 1] = wide[k], -wide[k]

        def shifted(name: str) -> np.ndarray:
            plain = value(name)
            return plain + shift[name] if name in shift else plain

        variant = np.repeat(np.arange(2 * len(direct)), lanes.size)
        both = build(scenario, ships, shifted, (np.tile(lanes, 2 * len(direct)), variant))
        for k, name in enumerate(direct):
            found[name] = {}
            for place, leaf in _floats(both):
                if leaf.ndim == 0 or leaf.shape[-1] != variant.size:
                    continue
                plus, minus = (leaf[..., variant == v] for v in (2 * k, 2 * k + 1))
                if (plus != minus).any():
                    found[name][place] = (plus - minus) / (2 * wide[k])
    for name in names:
        if name not in found:
            found[name] = _placed_anew(scenario, ships, name, value, lanes, base)
        if not found[name]:
            raise InputError([Problem(name, "the run does not depend on it")])
    return [found[name] for name in names]


def _placed_anew(
    scenario: Scenario,
    ships: Fleet,
    name: str,
    value: Value,
    lanes: Int[np.ndarray, "sat"],
    base: tuple[Constellation, State],
) -> Move:
    """The same for a number that the look-up does not serve: the scenario itself is changed.

    Where the views of the Earth are traced for other altitudes on one side, only the other counts.
    """
    width = SHARE * max(abs(number_of(scenario, name)), 1.0)
    sides, zero = [], np.zeros(lanes.size, np.int64)
    for step in (width, -width):
        other = with_number(scenario, name, number_of(scenario, name) + step)
        anew = fleet(other, ships.folders) if name.startswith("shell.") else ships
        moved = build(other, anew, value, (lanes, zero))
        same = horizons(anew) == horizons(ships) and all(
            a.shape == b.shape
            for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(base), strict=True)
        )
        sides.append((moved, width) if same else (base, 0.0))
    (plus, up), (minus, down) = sides
    if up + down == 0.0:
        raise InputError([Problem(name, "has no slope here: on both sides the satellites' views"
                                  " of the Earth are traced anew")])  # fmt: skip
    pairs = zip(_floats(plus), _floats(minus), strict=True)
    return {k: (a - b) / (up + down) for (k, a), (_, b) in pairs if (a != b).any()}


def number_of(scenario: Scenario, name: str) -> float:
    """The value of a number by its dotted name. Raises InputError where there is none."""
    here: Any = scenario
    path = name.split(".")
    for part in path:
        below = _below(here)
        if part not in below:
            near = nearest(part, below) or f"one of: {', '.join(list(below)[:12])}"
            raise InputError([Problem(name, f"no number of the scenario: {part!r}", hint=near)])
        here = below[part]
    if isinstance(here, Number):
        return here.value
    if isinstance(here, bool) or not isinstance(here, int | float) or not _smooth(path):
        known = ", ".join(SHELL_KEYS)
        raise InputError(
            [Problem(name, "has no slope", f"a number of a class or the environment, or {known}")]
        )
    return float(here)


def with_number(scenario: Scenario, name: str, to: float) -> Scenario:
    """The scenario with one number changed, not validated again."""

    def changed(here: Any, path: list[str]) -> Any:
        if not path:
            return here.model_copy(update={"value": to}) if isinstance(here, Number) else to
        part, rest = path[0], path[1:]
        after = changed(_below(here)[part], rest)
        if isinstance(here, dict):
            return here | {part: after}
        if isinstance(here, tuple):
            return tuple(after if str(k) == part else x for k, x in enumerate(here))
        return here.model_copy(update={_fields(here)[part]: after})

    return changed(scenario, name.split("."))


def _below(here: Any) -> dict[str, Any]:
    if isinstance(here, dict):
        return here
    if isinstance(here, tuple):
        return {str(k): item for k, item in enumerate(here)}
    fields = getattr(type(here), "model_fields", None)
    return {} if fields is None else {k: getattr(here, f) for k, f in _fields(here).items()}


def _fields(section: Any) -> dict[str, str]:
    return {key(name, field): name for name, field in type(section).model_fields.items()}


def _smooth(path: list[str]) -> bool:
    return path[0] == "shell" and path[-1] in SHELL_KEYS


def _floats(tree: Any) -> list[tuple[int, np.ndarray]]:
    leaves = enumerate(jax.tree.leaves(tree))
    return [(k, np.asarray(x)) for k, x in leaves if eqx.is_inexact_array(x)]


def _moved(tree: Any, move: Move, by: float) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    moved = [x + by * move[k] if k in move else x for k, x in enumerate(leaves)]
    return jax.tree.unflatten(structure, moved)


def _events(
    happened: dict[str, Array], group: Int[np.ndarray, "sat"], groups: int
) -> tuple[dict[str, float], ...]:
    found = []
    for g in range(groups):
        sums = {name: float(np.asarray(x)[group == g].sum()) for name, x in happened.items()}
        found.append({name: total for name, total in sums.items() if total > 0})
    return tuple(found)

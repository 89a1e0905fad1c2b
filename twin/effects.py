"""What a little more of each number would do to a class: slopes, and secants beside them.

Slopes come from one reverse pass, in which most events stay at their step (see `gradients`).
Secants are runs with a number 2 % larger and 2 % smaller, in which events move as they will. Where
the two differ, the secant is what a change of that size really does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from twin.build import Value, build, nominal
from twin.constants import DAY
from twin.constellation import Constellation, State
from twin.design import Design
from twin.fleet import Fleet, fleet
from twin.gradients import HEADLINES, Slopes, clock_of, gradients, number_of, with_number
from twin.parts import has_radiator, materials
from twin.problems import InputError
from twin.scenario import CatalogShell, Scenario
from twin.simulate import Engine
from twin.trials import Programs

SECANT = 0.02  # of a number, to both sides
APART = 0.1  # of the larger: slopes and secants that differ by more are told
SEEN = np.array(
    [1e-4, 0.02, 1e-4]
)  # charge, K, share of tokens: what 2 % does less is not looked at
EngineOf = Callable[[Constellation, State], Engine]


@dataclass(frozen=True)
class Effects:
    """Slopes of each class's headlines by its own numbers, and the secants."""

    slopes: Slopes
    secants: Float[np.ndarray, "headline name group"]  # per unit of each number
    at: Float[np.ndarray, "name"]  # what the numbers are
    notes: tuple[str, ...]  # what was left out, and why

    def apart(self) -> Bool[np.ndarray, "headline name group"]:
        """Where slope and secant differ by more than a tenth, and it is seen at all."""
        larger = np.maximum(np.abs(self.slopes.by), np.abs(self.secants))
        unit = np.ones_like(self.slopes.values)
        unit[2] = np.maximum(self.slopes.values[2], 1e-9)
        seen = larger * SECANT * np.abs(self.at)[:, None] > (SEEN[:, None] * unit)[:, None, :]
        return seen & (np.abs(self.slopes.by - self.secants) > APART * larger)


def effects(
    scenario: Scenario,
    ships: Fleet,
    classes: Sequence[str],
    satellites: Int[np.ndarray, "sat"],
    engine: EngineOf | None = None,
    variants: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> Effects:
    """Of each class's own numbers, over one run in which a few satellites stand for all.

    `engine` finds a compiled program for a constellation of as many `variants` side by side, where
    the caller has one. Numbers that the run does not depend on are left out, and said.
    """
    say("slopes: one reverse pass, which takes a minute to compile")
    slopes, notes, how = pulled(scenario, ships, classes, satellites)
    say("secants: each number 2 % larger and smaller")
    beside, at = secants(scenario, ships, slopes.names, engine=engine, variants=variants, **how)
    return Effects(slopes, beside, at, tuple(notes))


def pulled(
    scenario: Scenario, ships: Fleet, classes: Sequence[str], satellites: Int[np.ndarray, "sat"]
) -> tuple[Slopes, list[str], dict[str, np.ndarray]]:
    """The slopes; notes on numbers that the run does not depend on; and who stood for whom.

    A first call compiles for a minute, a second one of as many satellites does not.
    """
    names, notes = numbers(scenario, classes, ships)
    member = ships.class_index[satellites]
    stands_for = np.array([(ships.shell == s).sum() for s in ships.shell[satellites]])
    shell, own = np.unique(ships.shell[satellites], return_counts=True)
    weight = stands_for / own[np.searchsorted(shell, ships.shell[satellites])]
    how = {"satellites": satellites, "group": member, "weight": weight}
    while True:
        try:
            return gradients(scenario, ships, names, **how), notes, how
        except InputError as error:
            wrong = {p.where: p.problem for p in error.problems if p.where in names}
            if not wrong:
                raise
            names = [name for name in names if name not in wrong]
            notes += [f"{name}: {why}; left out" for name, why in wrong.items()]


def numbers(
    scenario: Scenario, classes: Sequence[str], ships: Fleet
) -> tuple[list[str], list[str]]:
    """The dotted names by which a class's designer turns: sizes, emittance, orbit; and notes."""
    names, notes = [], []
    for name in classes:
        base, design = f"class.{name}", scenario.class_[name]
        names += [f"{base}.array_m2", f"{base}.battery_wh"]
        if not has_radiator(design):
            notes.append(f"{base}: no part is a radiator; its area and emittance are left out")
            continue
        emitting = emittances(design)
        names += [f"{base}.body.radiator_m2", *(f"{base}.{key}" for key in emitting)]
        surfaces = [key.split(".")[1] for key in emitting if key.startswith("material.")]
        notes += [
            f"{base}: the radiator's emittance is that of its material {surface}, and changes"
            " wherever that is used"
            for surface in dict.fromkeys(surfaces)
        ]
    for index, shell in enumerate(scenario.shell):
        own = shell.class_ or ships.classes[0]
        if isinstance(shell, CatalogShell) or not shell.satellites or own not in classes:
            continue
        keys = ("ltan_h", "altitude_km") if shell.kind == "sso" else ("altitude_km",)
        names += [f"shell.{index}.{key}" for key in keys]
    return names, notes


def emittances(design: Design) -> list[str]:
    """The numbers of a class that its radiator's emittance comes from: of materials, or in body."""
    if not design.part:
        return ["body.radiator_emittance"]
    found: dict[str, None] = {}
    age = design.coating_age.value
    for part in design.part.values():
        if part.node != "radiator":
            continue
        if part.material is None:
            found["body.radiator_emittance"] = None
            continue
        surface = (materials() | design.material)[part.material]
        base = f"material.{part.material}"
        if surface.emittance_eol is None or age < 1:
            found[f"{base}.emittance"] = None
        if surface.emittance_eol is not None and age > 0:
            found[f"{base}.emittance_eol"] = None
    return list(found)


def secants(
    scenario: Scenario,
    ships: Fleet,
    names: Sequence[str],
    *,
    satellites: Int[np.ndarray, "sat"],
    weight: Float[np.ndarray, "sat"],
    group: Int[np.ndarray, "sat"],
    engine: EngineOf | None = None,
    variants: int = 0,
) -> tuple[Float[np.ndarray, "headline name group"], Float[np.ndarray, "name"]]:
    """Differences of the headlines over ±2 % of each number, per unit; and the numbers.

    Numbers of classes and the environment run side by side, those of shells one after another.
    Arguments as for `gradients` and `effects`.
    """
    plain, groups = nominal(scenario), int(group.max()) + 1
    shells = [name for name in names if name.startswith("shell.")]
    direct = [name for name in names if name not in shells]
    at = np.array([number_of(scenario, n) if n in shells else float(plain(n)) for n in names])
    here = dict(zip(names, at.tolist(), strict=True))
    variants = max(variants, 2 * len(direct), 1)
    engine = engine or Programs(scenario).engine
    ends = {name: (x * (1 - SECANT), x * (1 + SECANT)) for name, x in here.items()}
    for name, (low, high) in ends.items():
        if "emittance" in name:
            ends[name] = low, min(high, 1.0)

    def run(
        of: Scenario, there: Fleet, value: Value
    ) -> Float[np.ndarray, "headline variant group"]:
        count = satellites.size
        lanes = np.tile(satellites, variants), np.repeat(np.arange(variants), count)
        constellation, state = build(of, there, value, lanes)
        clock = clock_of(of, lanes[0].size)
        holding = engine(constellation, state)
        piece = max(1, clock.records // 2)
        for first in range(0, clock.records, piece):
            state = holding.start(state)
            state, _ = holding.advance(state, first, min(piece, clock.records - first))
        ledger = holding.ledger(state)
        capacity = np.asarray(constellation.satellites.battery.capacity)[: lanes[0].size]
        days = clock.records * clock.steps * clock.dt / DAY
        charge, chip, tokens = (
            x.reshape(variants, count)
            for x in (ledger.battery_least / capacity, ledger.chip_hottest, ledger.tokens)
        )
        mine = [group == g for g in range(groups)]
        nothing = np.full(variants, np.nan)
        found = np.empty((len(HEADLINES), variants, groups))
        for g, who in enumerate(mine):
            found[0, :, g] = charge[:, who].min(axis=1) if who.any() else nothing
            found[1, :, g] = chip[:, who].max(axis=1) if who.any() else nothing
            found[2, :, g] = (tokens * weight / days)[:, who].sum(axis=1)
        return found

    by = np.zeros((len(HEADLINES), len(names), groups))
    if direct:
        shifted = {name: np.full(variants, here[name]) for name in direct}
        for k, name in enumerate(direct):
            shifted[name][2 * k : 2 * k + 2] = ends[name]
        rows = run(scenario, ships, lambda n: shifted[n] if n in shifted else plain(n))
        for k, name in enumerate(direct):
            low, high = ends[name]
            by[:, names.index(name)] = (rows[:, 2 * k + 1] - rows[:, 2 * k]) / (high - low)
    for name in shells:
        low, high = ends[name]
        moved = [with_number(scenario, name, x) for x in (low, high)]
        less, more = (run(s, fleet(s, ships.folders), nominal(s))[:, 0] for s in moved)
        by[:, names.index(name)] = (more - less) / (high - low)
    return by, at

"""Variants of a design on hard days, side by side by one compiled program, and what they miss by.

A day is run in two halves: the first settles, the second is judged. Upsets are the caller's matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from twin import tally
from twin.build import Value, build
from twin.constants import CELSIUS, HOUR
from twin.constellation import STANDARD, Constellation, Ledger, State, Telemetry
from twin.fleet import Fleet
from twin.remedies import BATTERY_LIMIT, LOSS, throttle_start
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Clock, Engine
from twin.uncertainty import summed

COLDEST = CELSIUS  # K, below which a lithium cell is not charged
SINKING = 0.002  # share of charge by which a day's second half may lie below its first
FULL = 0.995  # a battery that is so full again in the last quarter does not sink


@dataclass(frozen=True)
class Day:
    """One hard day: the fleet on it, and who stands for it."""

    scenario: Scenario
    ships: Fleet
    date: datetime
    satellites: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What variants did on the hard days; worst over days and satellites, by (class, variant)."""

    energy: np.ndarray  # by how much the energy budget misses, share; 0 or less: closes
    heat: np.ndarray  # K
    cold: np.ndarray  # K, of the battery
    least: np.ndarray  # share of charge
    chip: np.ndarray  # K
    cell: np.ndarray  # K, the battery's hottest
    coldest: np.ndarray  # K, and its coldest
    heater: np.ndarray  # W that all heaters of a satellite draw in the mean
    drift: np.ndarray  # K by which the chip still warmed
    low: dict[str, np.ndarray]  # by node that a class adds: K at the ends of records
    high: dict[str, np.ndarray]
    where: dict[str, np.ndarray]  # budget → day * satellites + place

    def closes(self, cold: bool = True) -> np.ndarray:
        """Which variants close all budgets."""
        return (self.energy <= 0) & (self.heat <= 0) & ((self.cold <= 0) | (not cold))


class Programs:
    """Compiled rollouts of one scenario: one for each shape of fleet."""

    def __init__(self, scenario: Scenario):
        """Nothing is compiled yet."""
        self._run = scenario.run
        self._engines: list[Engine] = []

    @property
    def half(self) -> int:
        """Records of half a run."""
        return max(1, round(self._run.duration_h * HOUR / self._run.record_s) // 2)

    def engine(self, constellation: Constellation, state: State) -> Engine:
        """One that holds this constellation: compiled already if its like was."""
        for engine in self._engines:
            if engine.fits(constellation, state):
                return engine.holding(constellation)
        run = self._run
        clock = Clock.of(run.step_s, run.record_s, run.duration_h * HOUR, state.alive.size)
        self._engines.append(Engine(constellation, state, clock))
        return self._engines[-1]

    def halves(
        self, constellation: Constellation, state: State
    ) -> tuple[Ledger, Ledger, Telemetry]:
        """The books of both halves of a run, each by itself, and the records of the second."""
        engine = self.engine(constellation, state)
        state, _ = engine.advance(engine.start(state), 0, self.half)
        before = engine.ledger(state)
        afresh = tally.opened(state.battery_energy, jnp.asarray(state.temperature))
        state = engine.start(eqx.tree_at(lambda s: s.ledger, state, afresh))
        state, records = engine.advance(state, self.half, self.half)
        return before, engine.ledger(state), records


class Trial:
    """Variants on all hard days."""

    def __init__(self, days: Sequence[Day], programs: Programs):
        """Nothing is run yet."""
        self.days, self.programs = tuple(days), programs

    def __call__(
        self,
        values: Callable[[Scenario], Value],
        variants: int,
        days: Sequence[Day] | None = None,
    ) -> Verdict:
        """Run them, on the trial's own days or on as many others of the same kind."""
        days = days or self.days
        rows = [self._one(day, values(day.scenario), variants) for day in days]
        merged = {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}
        ships, scenario = days[0].ships, days[0].scenario
        member = np.concatenate([d.ships.class_index[d.satellites] for d in days])
        columns: dict[str, list[np.ndarray]] = {}
        places: dict[str, list[np.ndarray]] = {}
        for k, name in enumerate(ships.classes):
            mine = np.flatnonzero(member == k)
            own = {what: values[mine] for what, values in merged.items()}
            for what, worst in _misses(scenario, ships, name, own).items():
                columns.setdefault(what, []).append(worst.max(axis=0))
                places.setdefault(what, []).append(mine[worst.argmax(axis=0)])
        table = {what: np.array(x) for what, x in columns.items()}
        where = {what: np.array(x) for what, x in places.items()} | {
            "energy": np.array(places["-least"])
        }
        for what in ("least", "coldest"):
            table[what] = -table.pop(f"-{what}")
        low = {what[5:]: -table.pop(what) for what in list(table) if what.startswith("-low.")}
        high = {what[5:]: table.pop(what) for what in list(table) if what.startswith("high.")}
        return Verdict(**table, low=low, high=high, where=where)

    def _one(self, day: Day, value: Value, variants: int) -> dict[str, np.ndarray]:
        """What each satellite (row) did as each variant (column)."""
        count = day.satellites.size
        lanes = np.tile(day.satellites, variants), np.repeat(np.arange(variants), count)
        constellation, state = build(day.scenario, day.ships, value, lanes)
        before, after, records = self.programs.halves(constellation, state)
        half, seconds = self.programs.half, self.programs.half * day.scenario.run.record_s
        capacity = np.asarray(constellation.satellites.battery.capacity)[: lanes[0].size]
        charge = np.asarray(records.battery_energy)[:, : lanes[0].size]
        offered = np.maximum(after.tokens_offered, 1e-9)
        unserved = summed(after, "unserved_energy")
        spent = after.payload_energy + after.housekeeping_energy + unserved
        rows = {
            "least": after.battery_least / capacity,
            "before": before.battery_least / capacity,
            "peak": charge[-max(1, half // 2) :].max(axis=0) / capacity,
            "lost": after.tokens_lost_to_energy / offered,
            "unserved": unserved / np.maximum(spent, 1e-9),
            "chip": after.chip_hottest,
            "drift": after.chip_hottest - before.chip_hottest,
            "cell": after.cell_hottest,
            "coldest": after.cell_coldest,
            "heater": after.heater_energy / seconds,
        }
        names = constellation.satellites.body.names
        if len(names) > len(STANDARD):
            kelvin = np.asarray(records.temperature)[..., : lanes[0].size]
            for k in range(len(STANDARD), len(names)):
                rows[f"low.{names[k]}"] = kelvin[:, k].min(axis=0)
                rows[f"high.{names[k]}"] = kelvin[:, k].max(axis=0)
        return {name: np.asarray(x).reshape(variants, count).T for name, x in rows.items()}


def _misses(
    scenario: Scenario, ships: Fleet, name: str, rows: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """By how much a class misses each budget, and what is shown: the largest is the worst."""
    design = scenario.class_[name]
    reserve = 1 - design.battery_depth.value
    serves = isinstance(design.payload, InferencePayload)
    band = 0.0 if serves else design.battery_ration_band.value
    least = rows["least"]
    sinks = np.where(rows["peak"] < FULL, rows["before"] - least - SINKING, -SINKING)
    found = {
        "energy": np.maximum.reduce([
            rows["lost"] - LOSS,
            rows["unserved"] - LOSS,
            reserve + band - least,
            sinks,
        ]),
        "heat": np.maximum(
            rows["chip"] - throttle_start(scenario, ships, name), rows["cell"] - BATTERY_LIMIT
        ),
        "cold": COLDEST - rows["coldest"],
        "-least": -least,
        "-coldest": -rows["coldest"],
    }  # fmt: skip
    found |= {what: rows[what] for what in ("chip", "cell", "drift", "heater")}
    found |= {f"-{what}": -x for what, x in rows.items() if what.startswith("low.")}
    return found | {what: x for what, x in rows.items() if what.startswith("high.")}

"""What a class must be built of so that its budgets close: array, battery and radiator.

A design *closes* if, at full work on the hardest days of the year and once it has settled, no more
than a thousandth of the work is lost to energy and no more of any load goes unserved, the charge
stays above the depth of discharge and does not sink from day to day, the chip stays below its
throttle, and the battery between 0 and 45 °C.

Each of the three is sought alone, with the other two ample, by rounds of variants side by side on
the satellite axis (an array with too little battery would be sized by its nights); then all three
together, a little larger if need be, until they close. Sizes are the smallest on a grid of 2 %
(radiators 4 %). Upsets are left out. The drawing stays: what surfaces hide from each other is that
of the scenario's own areas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from twin import seasons, tally
from twin.build import THROTTLE_START, Value, build, nominal
from twin.constants import CELSIUS, HOUR
from twin.fleet import Fleet, device_numbers
from twin.gradients import Slopes, gradients, number_of, with_number
from twin.problems import InputError, Problem, nearest
from twin.remedies import BATTERY_LIMIT, LOSS, SPARE, compute_power, housekeeping_power
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Clock, Engine
from twin.uncertainty import summed

PARTS = {"array": "array_m2", "battery": "battery_wh", "radiator": "body.radiator_m2"}
WIDE = np.geomspace(0.4, 3.2, 14)  # factors on a first guess
TOGETHER = np.linspace(1.0, 1.26, 14)  # for array and battery, where all three are as needed
SPARE_KELVIN = 0.25  # K, since wings are lifted after the radiator was tried
AROUND = np.geomspace(0.8, 1.25, 14)  # for the radiator: wings other than drawn hide other parts
COLDEST = CELSIUS  # K, below which a lithium cell is not charged
SINKING = 0.002  # share of charge by which a day's second half may lie below its first
WARMING = 0.5  # K, the same for heat: more, and half a day was too short
AMPLE = {"array": 1.6, "battery": 2.5, "radiator": 1.0}
LIFE = 5.0  # years
LONGEST = 30.0  # years: as `array_age_years`

Say = Callable[[str], None]


@dataclass(frozen=True)
class Day:
    """One hard day: the fleet on it, and who stands for it."""

    scenario: Scenario
    ships: Fleet
    date: datetime
    satellites: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What variants did on the hard days; worst over days and satellites, by class."""

    energy: np.ndarray  # (class, variant): by how much the energy budget misses; 0 or less: closes
    heat: np.ndarray  # K
    cold: np.ndarray  # K
    least: np.ndarray  # share of charge
    chip: np.ndarray  # K
    cell: np.ndarray  # (class, variant), K
    drift: np.ndarray  # K by which the chip still warmed
    where: dict[str, np.ndarray]  # budget → (class, variant): day * satellites + place

    def closes(self) -> np.ndarray:
        """Which variants close all budgets, by class."""
        return (self.energy <= 0) & (self.heat <= 0) & (self.cold <= 0)


@dataclass
class Sized:
    """One class: what it has, what it needs, and which day and shell decide."""

    name: str
    present: dict[str, float]
    needed: dict[str, float | None]
    decided: dict[str, tuple[str, int]] = field(default_factory=dict)  # budget → date, shell
    closes_now: bool = False
    closes: bool = False
    least: float = 0.0
    chip: float = 0.0
    throttle: float = 0.0
    cell: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sizing:
    """The answer of `twin size`."""

    classes: tuple[Sized, ...]
    dates: tuple[str, ...]
    satellites: int
    slopes: Slopes | None
    slope_date: str
    warnings: tuple[str, ...]


def aged(scenario: Scenario, life: float) -> Scenario:
    """The scenario at the end of a life of so many years: old cells, and all coatings old.

    The optics in `body` are those at middle age; `coating_age` makes them old (see `anatomy`).
    """
    for name in scenario.class_:
        scenario = with_number(scenario, f"class.{name}.array_age_years", life)
        scenario = with_number(scenario, f"class.{name}.coating_age", 1.0)
    return scenario


def size(
    scenario: Scenario,
    ships: Fleet,
    *,
    only: str | None = None,
    season: str = "worst",
    life: float | None = None,
    slopes: bool = True,
    say: Say = lambda what: None,
) -> Sizing:
    """Size every class, or only one. `life`: at the end of so many years; else as it is."""
    if only is not None and only not in ships.classes:
        known = ", ".join(ships.classes)
        raise InputError([Problem("--class", f"no class {only!r}", known, nearest(only, known))])
    if season not in ("worst", "asis"):
        raise InputError([Problem("--season", f"got {season!r}", "worst, asis")])
    if life is not None and not 0 < life <= LONGEST:  # NaN is neither
        raise InputError([Problem("--life", f"got {life:g}", f"years above 0, to {LONGEST:g}")])
    scenario = scenario if life is None else aged(scenario, life)
    for name in ships.classes:
        scenario = with_number(scenario, f"class.{name}.resets_per_day", 0.0)
    say("choosing the hardest days")
    days, nights = hard_days(scenario, ships, season)
    trial = Trial(days)
    guess = first_guess(scenario, ships, nights)
    found: dict[str, dict[str, float | None]] = {name: {} for name in ships.classes}
    factors = {part: WIDE for part in PARTS}
    grid = {part: {n: guess[n][part] * WIDE for n in ships.classes} for part in PARTS}
    for turn in range(2):
        say(f"trying arrays, batteries and radiators ({turn + 1} of 3)")
        verdict = trial(_apart(scenario, guess, grid), sum(f.size for f in factors.values()))
        for k, name in enumerate(ships.classes):
            for number, part in enumerate(PARTS):
                cut = slice(number * WIDE.size, (number + 1) * WIDE.size)
                miss = (verdict.heat if part == "radiator" else verdict.energy)[k, cut]
                low, high = _bracket(grid[part][name], miss)
                found[name][part] = high
                most = float(grid[part][name][-1])
                low, top = (most, most) if high is None else (low, high)
                grid[part][name] = np.geomspace(low, top, WIDE.size)
    say("trying all three together (3 of 3)")
    whole = {
        name: {p: guess[name][p] if x is None else x for p, x in parts.items()}
        for name, parts in found.items()
    }
    verdict = trial(_together(scenario, whole), len(PARTS) * WIDE.size)
    classes = [name for name in ships.classes if only in (None, name)]
    answers = [_answer(scenario, ships, days, found, verdict, name) for name in classes]
    table, count = None, days[0].satellites.size
    first = ships.classes.index(classes[0])
    day = days[int(verdict.where["energy"][first, -1]) // count]
    if slopes:
        say("slopes: one reverse pass")
        table = _slopes(day, classes)
    *dates, date = seasons.named([*(d.date for d in days), day.date])
    return Sizing(tuple(answers), tuple(dates), count, table, date, ships.warnings)


def hard_days(scenario: Scenario, ships: Fleet, season: str) -> tuple[list[Day], np.ndarray]:
    """The days to close on, and each satellite's longest night (s)."""
    try:
        found = seasons.year(scenario, ships)
        places = [0] if season == "asis" else seasons.hardest(found, ships)
        days = []
        for place in places:
            moved, there = scenario, ships
            if season == "worst":
                moved, there = seasons.at(scenario, ships, found.dates[place])
            who = seasons.extremes(found, ships, place)
            days.append(Day(moved, there, found.dates[place], who))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        hint = "an earlier start, or --season asis"
        raise InputError([Problem("run.start", str(error).splitlines()[0], hint=hint)]) from None
    return days, found.night[places].max(axis=0)


def first_guess(
    scenario: Scenario, ships: Fleet, nights: np.ndarray
) -> dict[str, dict[str, float]]:
    """Array and battery from the load and the longest night; the radiator as it is."""
    guess = {}
    for k, name in enumerate(ships.classes):
        design = scenario.class_[name]
        load = compute_power(scenario, ships, name) + housekeeping_power(design)
        night = float(nights[ships.class_index == k].max(initial=0.0))
        cells = design.array_efficiency.value * design.array_packing.value
        cells *= design.array_wiring.value * design.array_tracker.value
        share = night / 5700.0
        usable = max(design.battery_depth.value - design.battery_ration_band.value, 1e-3)
        guess[name] = {
            "array": load / (1 - share) / (cells * 1361.0 * 0.8),
            "battery": max(SPARE * load * night / HOUR / usable, 0.05 * load),
            "radiator": design.body.radiator_m2.value,
        }
    return guess


class Trial:
    """Variants on all hard days, by one compiled program."""

    def __init__(self, days: Sequence[Day]):
        """Nothing is compiled yet."""
        self.days = days
        self.engine: Engine | None = None

    def __call__(self, values: Callable[[Scenario], Value], variants: int) -> Verdict:
        """Run them. The first half of the run settles, the second is judged."""
        rows = [self._one(day, values(day.scenario), variants) for day in self.days]
        merged = {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}
        day = self.days[0]
        ships, scenario = day.ships, day.scenario
        member = np.concatenate([d.ships.class_index[d.satellites] for d in self.days])
        columns: dict[str, list[np.ndarray]] = {}
        places: dict[str, list[np.ndarray]] = {}
        for k, name in enumerate(ships.classes):
            mine = np.flatnonzero(member == k)
            design = scenario.class_[name]
            reserve = 1 - design.battery_depth.value
            least = merged["least"][mine]
            serves = isinstance(design.payload, InferencePayload)
            band = 0.0 if serves else design.battery_ration_band.value
            misses = {
                "energy": np.maximum.reduce([
                    merged["lost"][mine] - LOSS,
                    merged["unserved"][mine] - LOSS,
                    reserve + band - least,
                    merged["before"][mine] - least - SINKING,
                ]),
                "heat": np.maximum(
                    merged["chip"][mine] - throttle_start(scenario, ships, name),
                    merged["cell"][mine] - BATTERY_LIMIT,
                ),
                "cold": COLDEST - merged["coldest"][mine],
            }  # fmt: skip
            shown = {
                "least": -least, "chip": merged["chip"][mine], "cell": merged["cell"][mine],
                "drift": merged["drift"][mine],
            }  # fmt: skip
            for what, rows_of in (misses | shown).items():
                columns.setdefault(what, []).append(rows_of.max(axis=0))
                places.setdefault(what, []).append(mine[rows_of.argmax(axis=0)])
        table = {what: np.array(rows_of) for what, rows_of in columns.items()}
        table["least"] = -table["least"]
        places["energy"] = places["least"]
        return Verdict(**table, where={what: np.array(x) for what, x in places.items()})

    def _one(self, day: Day, value: Value, variants: int) -> dict[str, np.ndarray]:
        count = day.satellites.size
        lanes = np.tile(day.satellites, variants), np.repeat(np.arange(variants), count)
        constellation, state = build(day.scenario, day.ships, value, lanes)
        if self.engine is None or not self.engine.fits(constellation, state):
            run = day.scenario.run
            clock = Clock.of(run.step_s, run.record_s, run.duration_h * HOUR, lanes[0].size)
            engine = self.engine = Engine(constellation, state, clock)
        else:
            engine = self.engine.holding(constellation)
        half = max(1, engine.clock.records // 2)
        state, _ = engine.advance(engine.start(state), 0, half)
        before = engine.ledger(state)
        again = eqx.tree_at(
            lambda s: s.ledger,
            state,
            tally.opened(state.battery_energy, jnp.asarray(state.temperature)),
        )
        state, _ = engine.advance(engine.start(again), half, half)
        after = engine.ledger(state)
        capacity = np.asarray(constellation.satellites.battery.capacity)[: engine.lanes]
        offered = np.maximum(after.tokens_offered, 1e-9)
        spent = after.payload_energy + after.housekeeping_energy + summed(after, "unserved_energy")
        rows = {
            "least": after.battery_least / capacity,
            "before": before.battery_least / capacity,
            "lost": after.tokens_lost_to_energy / offered,
            "unserved": summed(after, "unserved_energy") / np.maximum(spent, 1e-9),
            "chip": after.chip_hottest,
            "drift": after.chip_hottest - before.chip_hottest,
            "cell": after.cell_hottest,
            "coldest": after.cell_coldest,
        }
        return {name: np.asarray(x).reshape(variants, count).T for name, x in rows.items()}


def throttle_start(scenario: Scenario, ships: Fleet, name: str) -> float:
    """Where a class's chip begins to slow down (K)."""
    payload = scenario.class_[name].payload
    if isinstance(payload, InferencePayload):
        return device_numbers(payload, ships.profiles[name], name).throttle_start or THROTTLE_START
    return payload.throttle_start_k.value


def _bracket(tried: np.ndarray, miss: np.ndarray) -> tuple[float, float | None]:
    """The last that misses and the first from which on all close."""
    above = np.flatnonzero(miss > 0)
    if not above.size:
        return float(tried[0]) / 2, float(tried[0])
    last = int(above[-1])
    if last == tried.size - 1:
        return float(tried[-1]), None
    return float(tried[last]), float(tried[last + 1])


def _lookup(scenario: Scenario, table: dict[str, np.ndarray]) -> Value:
    plain = nominal(scenario)
    return lambda name: table[name] if name in table else plain(name)


def _apart(
    scenario: Scenario, guess: dict[str, dict[str, float]], grid: dict[str, dict[str, np.ndarray]]
) -> Callable[[Scenario], Value]:
    """Arrays of all sizes with ample batteries, then batteries, then radiators."""
    table = {}
    for name, parts in guess.items():
        for number, (part, label) in enumerate(PARTS.items()):
            row = np.full(len(PARTS) * WIDE.size, AMPLE[part] * parts[part])
            row[number * WIDE.size : (number + 1) * WIDE.size] = grid[part][name]
            table[f"class.{name}.{label}"] = row
    return lambda dated: _lookup(dated, table)


def _together(
    scenario: Scenario, whole: dict[str, dict[str, float]]
) -> Callable[[Scenario], Value]:
    """All three at once: energy a little larger, radiators about as found, and last as it is."""
    table, one = {}, np.ones(WIDE.size)
    energy = np.concatenate([TOGETHER, one, one])
    heat = np.concatenate([one, AROUND, one])
    for name, parts in whole.items():
        for part, label in PARTS.items():
            row = parts[part] * (heat if part == "radiator" else energy)
            row[2 * WIDE.size :] = number_of(scenario, f"class.{name}.{label}")
            table[f"class.{name}.{label}"] = row
    return lambda dated: _lookup(dated, table)


def _answer(
    scenario: Scenario, ships: Fleet, days: list[Day], found: dict, verdict: Verdict, name: str
) -> Sized:
    """One class's line: needed sizes lifted until all three close together."""
    k, tried = ships.classes.index(name), WIDE.size
    now = 2 * tried
    present = {p: number_of(scenario, f"class.{name}.{label}") for p, label in PARTS.items()}
    _, energy = _bracket(TOGETHER, verdict.energy[k, :tried])
    _, heat = _bracket(AROUND, verdict.heat[k, tried:now] + SPARE_KELVIN)
    needed: dict[str, float | None] = {}
    for part, size in found[name].items():
        lift = heat if part == "radiator" else energy
        needed[part] = None if size is None or lift is None else size * lift
    sized = Sized(name, present, needed, throttle=throttle_start(scenario, ships, name))
    sized.closes_now = bool(verdict.closes()[k, now])
    sized.closes = all(x is not None for x in needed.values())
    sized.least, sized.chip = float(verdict.least[k, now]), float(verdict.chip[k, now])
    sized.cell = float(verdict.cell[k, now])
    count = days[0].satellites.size
    for budget in ("energy", "heat"):
        day, place = divmod(int(verdict.where[budget][k, now]), count)
        shell = int(ships.shell[days[day].satellites[place]])
        sized.decided[budget] = seasons.named([days[day].date])[0], shell
    if verdict.drift[k, now] > WARMING:
        sized.notes.append(
            f"the chip still warmed by {verdict.drift[k, now]:.1f} K in the second half of the run:"
            " a longer run.duration_h would tell more"
        )
    if verdict.cold[k, now] > 0:
        sized.notes.append("the battery falls below 0 °C: a heater, or less radiator")
    return sized


def _slopes(day: Day, classes: list[str]) -> Slopes:
    """Slopes by each class's own numbers, over the day that decides its energy."""
    labels = [*PARTS.values(), "body.radiator_emittance"]
    names = [f"class.{name}.{label}" for name in classes for label in labels]
    for index, shell in enumerate(day.scenario.shell):
        own = shell.class_ or day.ships.classes[0]
        if shell.kind == "sso" and shell.satellites and own in classes:
            names += [f"shell.{index}.ltan_h", f"shell.{index}.altitude_km"]
    member = day.ships.class_index[day.satellites]
    fleet_size = np.array([(day.ships.shell == s).sum() for s in day.ships.shell[day.satellites]])
    return gradients(
        day.scenario, day.ships, names,
        satellites=day.satellites, group=member, weight=0.5 * fleet_size,
    )  # fmt: skip

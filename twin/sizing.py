"""What a class must be built of so that its budgets close: array, battery and radiator.

A design *closes* if, at full work on the hardest days of the year and once it has settled, no more
than a thousandth of the work is lost to energy and no more of any load goes unserved, the charge
stays above the depth of discharge and does not sink from day to day, the chip stays below its
throttle, and the battery between 0 and 45 °C.

The three depend on one another (a battery that is too hot or too cold is not charged), so they are
sought in rounds of variants side by side on the satellite axis: arrays with radiators, the battery
ample; each of the three more finely, the other two ample; then all three together, a little larger
if need be, drawn anew at the sizes found, until they close. What is told was run just so. Sizes are
the smallest on a grid of 1 to 2 %, rounded up to three digits. Upsets are left out. A class that is
built from parts keeps its drawing: the areas grow in it, and what they hide is as drawn.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from twin import seasons
from twin.build import Value, nominal
from twin.constants import HOUR, STEFAN_BOLTZMANN
from twin.effects import Effects, effects, pulled
from twin.fleet import Fleet
from twin.gradients import number_of, with_number
from twin.hard_days import hard_days, stand_ins
from twin.parts import has_radiator
from twin.problems import InputError, Problem, nearest
from twin.remedies import SPARE, compute_power, housekeeping_power, throttle_start
from twin.scenario import Scenario
from twin.spacecraft.array import aged as worn
from twin.trials import Day, Programs, Trial, Verdict

PARTS = {"array": "array_m2", "battery": "battery_wh", "radiator": "body.radiator_m2"}
ARRAYS = np.geomspace(0.5, 4.0, 6)  # factors on a first guess
RADIATORS = np.geomspace(0.35, 5.0, 7)
WIDE = np.geomspace(0.4, 3.2, 14)  # of batteries
LANES = ARRAYS.size * RADIATORS.size  # variants of every round: one program
MORE = np.array([1, 1.02, 1.05, 1.1, 1.17, 1.26])  # of array and battery, all three as found
AROUND = np.array([0.9, 0.95, 1, 1.04, 1.1, 1.18, 1.3])  # of radiators: wings hide more, or less
FINE = np.array([1, 1.01, 1.02, 1.03, 1.05, 1.08]), np.array([1, 0.98, 1.01, 1.02, 1.04, 1.07])
AMPLE = {"array": 1.3, "battery": 2.5}  # of what is found, or guessed
WARM = 310.0  # K, of a radiator in the first guess
WARMING = 0.5  # K by which a half day's chip may still warm: more, and it was too short
SPARE_KELVIN = 0.5  # K, of what is built from parts: drawn smaller, they see other things
NEAR_SHARE, NEAR_KELVIN = 0.01, 5.0  # misses that weigh the same, where nothing closes
LIFE = 5.0  # years
LONGEST = 30.0  # years: as `array_age_years`
ROUNDS = 5

Say = Callable[[str], None]
Sizes = dict[str, dict[str, float]]
"""By class, the size of each of its parts."""


@dataclass(frozen=True)
class Shown:
    """What a class does on the hard days with some sizes."""

    closes: bool
    least: float  # share of charge
    chip: float  # K
    cell: float  # K, the battery's hottest
    coldest: float  # K, and its coldest
    heater: float  # W, mean
    nodes: dict[str, tuple[float, float]]  # K, of those that the class adds


@dataclass
class Sized:
    """One class: what it has, what it needs, and which day and shell decide."""

    name: str
    present: dict[str, float]
    needed: dict[str, float | None]
    now: Shown
    then: Shown | None  # with the needed sizes
    new: float  # K, the battery's coldest with new coatings, as it is
    throttle: float
    decided: dict[str, tuple[date, int]] = field(default_factory=dict)  # budget → day, shell
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sizing:
    """The answer of `twin size`."""

    classes: tuple[Sized, ...]
    dates: tuple[date, ...]
    satellites: int
    effects: Effects | None
    effects_date: date
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
    classes = [name for name in ships.classes if only in (None, name)]
    aside, ahead = ThreadPoolExecutor(1), []
    try:
        if slopes:  # a reverse pass compiles for a minute or two, on one core: the other sizes
            today = scenario.run.start_utc
            same = (scenario, ships) if season == "asis" else seasons.at(scenario, ships, today)
            ahead.append(aside.submit(pulled, *same, classes, stand_ins(ships)))
        days, programs, guess = _days(scenario, ships, season, say)
        trial = Trial(days, programs)
        found, present = search(scenario, ships, trial, guess, say)
        needed, then = together(scenario, ships, trial, found, say)
        wait(ahead)
    finally:
        aside.shutdown(wait=False)
    answers = [_answer(scenario, ships, days, present, needed, then, name) for name in classes]
    table, count = None, days[0].satellites.size
    first = ships.classes.index(classes[0])
    day = days[int(present.where["energy"][first, AS_IT_IS]) // count]
    if slopes:
        table = effects(
            day.scenario, day.ships, classes, day.satellites, programs.engine, LANES, say
        )
    dates = tuple(d.date.date() for d in days)
    return Sizing(tuple(answers), dates, count, table, day.date.date(), ships.warnings)


def _days(
    scenario: Scenario, ships: Fleet, season: str, say: Say
) -> tuple[list[Day], Programs, Sizes]:
    """The days to close on, the programs of the run that found them, and a first guess."""
    say("running a year for its hardest days" if season == "worst" else "running the day once")
    try:
        nights = seasons.year(scenario, ships).night
        guess = first_guess(scenario, ships, nights.max(axis=0) if season == "worst" else nights[0])
        ample = {n: {p: AMPLE.get(p, 1.0) * x for p, x in own.items()} for n, own in guess.items()}
        programs = Programs(scenario)
        return hard_days(scenario, ships, season, programs, _values(ample), LANES), programs, guess
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        hint = "an earlier start, or --season asis"
        raise InputError([Problem("run.start", str(error).splitlines()[0], hint=hint)]) from None


def first_guess(scenario: Scenario, ships: Fleet, nights: np.ndarray) -> Sizes:
    """From the load and the longest night; the radiator in the dark."""
    guess = {}
    for k, name in enumerate(ships.classes):
        design = scenario.class_[name]
        load = compute_power(scenario, ships, name) + housekeeping_power(design)
        night = float(nights[ships.class_index == k].max(initial=0.0))
        cells = design.array_efficiency.value * design.array_packing.value
        cells *= design.array_wiring.value * design.array_tracker.value
        cells = worn(cells, design.array_age_years.value, design.array_ageing_per_year.value)
        share = night / 5700.0
        usable = max(design.battery_depth.value - design.battery_ration_band.value, 1e-3)
        sides = 1 if design.part else design.body.radiator_sides
        guess[name] = {
            "array": load / (1 - share) / (float(cells) * 1361.0 * 0.8),
            "battery": max(SPARE * load * night / HOUR / usable, 0.05 * load),
            "radiator": load / (sides * 0.8 * STEFAN_BOLTZMANN * WARM**4),
        }
    return guess


AS_IT_IS, NEW = 2 * WIDE.size, 2 * WIDE.size + 1  # places in the third round


def search(
    scenario: Scenario, ships: Fleet, trial: Trial, guess: Sizes, say: Say
) -> tuple[Sizes, Verdict]:
    """About the sizes that each class needs; and what it does as it is (`AS_IT_IS`, `NEW`)."""
    names, third = ships.classes, WIDE.size
    say(f"trying arrays with radiators (1 of {ROUNDS})")
    grid = {"array": np.repeat(ARRAYS, RADIATORS.size), "radiator": np.tile(RADIATORS, ARRAYS.size)}
    rows = {
        n: {p: guess[n][p] * grid.get(p, np.full(LANES, AMPLE["battery"])) for p in PARTS}
        for n in names
    }
    verdict = trial(_values(rows), LANES)
    found, low = {}, {}
    for k, n in enumerate(names):
        at = _smallest(verdict, k, has_radiator(scenario.class_[n]))
        found[n] = {p: float(rows[n][p][at]) for p in PARTS} | {"battery": guess[n]["battery"]}
        steps = {"array": ARRAYS[1] / ARRAYS[0], "radiator": RADIATORS[1] / RADIATORS[0]}
        low[n] = {p: found[n][p] / step for p, step in steps.items()}
    for turn in (2, 3):
        say(f"trying arrays, batteries and radiators ({turn} of {ROUNDS})")
        rows = {}
        for n in names:
            own = {p: found[n][p] * np.full(LANES, AMPLE.get(p, 1.0)) for p in PARTS}
            for number, p in enumerate(PARTS):
                first = low[n].get(p)
                tried = (
                    found[n][p] * WIDE if first is None else np.geomspace(first, found[n][p], third)
                )
                own[p][number * third : (number + 1) * third] = tried
            if turn == 3:
                for p, label in PARTS.items():
                    own[p][[AS_IT_IS, NEW]] = number_of(scenario, f"class.{n}.{label}")
            rows[n] = own
        more = {}
        if turn == 3:
            age = {n: np.full(LANES, number_of(scenario, f"class.{n}.coating_age")) for n in names}
            for n in names:
                age[n][NEW] = 0.0
                more[f"class.{n}.coating_age"] = age[n]
        verdict = trial(_values(rows, more), LANES)
        for k, n in enumerate(names):
            for number, p in enumerate(PARTS):
                start = number * third + (2 if turn == 3 and p == "radiator" else 0)
                cut = slice(start, (number + 1) * third)
                miss = (verdict.heat if p == "radiator" else verdict.energy)[k, cut]
                if p == "radiator" and not has_radiator(scenario.class_[n]):
                    continue
                low[n][p], found[n][p] = _bracket(rows[n][p][cut], miss)
    return found, verdict


def together(
    scenario: Scenario, ships: Fleet, trial: Trial, found: Sizes, say: Say
) -> tuple[dict[str, dict[str, float] | None], dict[str, Shown]]:
    """The sizes that close all at once, as run with the drawing at those sizes; None: none did."""
    names = ships.classes
    sizes = {n: {p: _rounded(x) for p, x in parts.items()} for n, parts in found.items()}
    then: dict[str, Shown] = {}
    needed: dict[str, dict[str, float] | None] = dict.fromkeys(names)
    for turn, (energy, heat) in ((4, (MORE, AROUND)), (5, FINE)):
        say(f"trying all three together ({turn} of {ROUNDS})")
        lifts = np.ones((2, LANES))
        lifts[:, : energy.size * heat.size] = (
            np.repeat(energy, heat.size),
            np.tile(heat, energy.size),
        )
        rows = {
            n: {p: _rounded(x * lifts[int(p == "radiator")]) for p, x in parts.items()}
            for n, parts in sizes.items()
        }
        days = [_drawn_anew(day, sizes) for day in trial.days]
        verdict = trial(_values(rows), LANES, days)
        for k, n in enumerate(names):
            design = scenario.class_[n]
            spare = SPARE_KELVIN if design.part else 0.0
            at = _smallest(verdict, k, has_radiator(design), lifts, spare)
            sizes[n] = {p: float(x[at]) for p, x in rows[n].items()}
            if turn == ROUNDS and (verdict.energy[k, at] <= 0 and verdict.heat[k, at] <= 0):
                needed[n] = sizes[n]
            then[n] = _shown(scenario, verdict, k, n, at)
    return needed, then


def _smallest(
    verdict: Verdict, k: int, radiates: bool, lifts: np.ndarray | None = None, spare: float = 0.0
) -> int:
    """The first variant that closes all budgets; else all but the cold one; else the nearest.

    Without a radiator to size, a heat budget that no array closes is left aside.
    """
    power, heat, cold = verdict.energy[k], verdict.heat[k] + spare, verdict.cold[k]
    if not radiates and (heat > 0).all():
        heat = np.zeros(LANES)
    order = np.arange(LANES) if lifts is None else np.lexsort(lifts[::-1])
    both = (power <= 0) & (heat <= 0)
    for fine in (both & (cold <= 0), both):
        if fine.any():
            return int(order[fine[order]][0])
    miss = power / NEAR_SHARE, heat / NEAR_KELVIN, cold / NEAR_KELVIN
    return int(np.maximum(miss, 0.0).sum(axis=0).argmin())


def _bracket(tried: np.ndarray, miss: np.ndarray) -> tuple[float, float]:
    """The last that misses and the first from which on all close; the largest if none does."""
    above = np.flatnonzero(miss > 0)
    if not above.size:
        return float(tried[0]) / 1.1, float(tried[0])
    last = min(int(above[-1]), tried.size - 2)
    return float(tried[last]), float(tried[last + 1])


def _rounded(sizes):
    """Up to three digits."""
    unit = 10.0 ** (np.floor(np.log10(sizes)) - 2)
    return np.round(np.ceil(np.asarray(sizes) / unit - 1e-9) * unit, 12)


def _values(rows: dict, more: dict[str, np.ndarray] | None = None) -> Callable[[Scenario], Value]:
    """Look numbers up: of each class's parts the variants' sizes, all else as in the scenario."""
    table = dict(more or {})
    for name, parts in rows.items():
        table |= {f"class.{name}.{PARTS[p]}": np.asarray(x) for p, x in parts.items()}

    def of(dated: Scenario) -> Value:
        plain = nominal(dated)
        return lambda name: table[name] if name in table else plain(name)

    return of


def _drawn_anew(day: Day, sizes: Sizes) -> Day:
    """The day with the standard craft drawn at these sizes; parts stay as drawn."""
    scenario = day.scenario
    for name, parts in sizes.items():
        for part, label in PARTS.items():
            if not scenario.class_[name].part:
                scenario = with_number(scenario, f"class.{name}.{label}", parts[part])
    return Day(scenario, day.ships, day.date, day.satellites)


def _shown(scenario: Scenario, verdict: Verdict, k: int, name: str, at: int) -> Shown:
    rows = (
        getattr(verdict, what)[k, at] for what in ("least", "chip", "cell", "coldest", "heater")
    )
    nodes = scenario.class_[name].node
    return Shown(
        bool(verdict.closes()[k, at]),
        *map(float, rows),
        nodes={n: (float(verdict.low[n][k, at]), float(verdict.high[n][k, at])) for n in nodes},
    )


def _answer(
    scenario: Scenario,
    ships: Fleet,
    days: list[Day],
    present: Verdict,
    needed: dict[str, dict[str, float] | None],
    then: dict[str, Shown],
    name: str,
) -> Sized:
    """One class's lines."""
    k, design = ships.classes.index(name), scenario.class_[name]
    parts = [p for p in PARTS if p != "radiator" or has_radiator(design)]
    sizes = needed[name]
    count = days[0].satellites.size
    decided = {}
    for budget in ("energy", "heat", "cold"):
        day, place = divmod(int(present.where[budget][k, AS_IT_IS]), count)
        shell = int(ships.shell[days[day].satellites[place]])
        decided[budget] = days[day].date.date(), shell
    sized = Sized(
        name,
        present={p: number_of(scenario, f"class.{name}.{PARTS[p]}") for p in parts},
        needed={p: None if sizes is None else sizes[p] for p in parts},
        now=_shown(scenario, present, k, name, AS_IT_IS),
        then=then[name] if sizes is not None else None,
        new=float(present.coldest[k, NEW]),
        throttle=throttle_start(scenario, ships, name),
        decided=decided,
    )
    if present.drift[k, AS_IT_IS] > WARMING:
        sized.notes.append(
            f"the chip still warmed by {present.drift[k, AS_IT_IS]:.1f} K in the second half of the"
            " run: a longer run.duration_h would tell more"
        )
    if "radiator" not in parts:
        sized.notes.append("no part of it is a radiator: there is none to size")
    if design.part and sizes is not None:
        sized.notes.append(
            "built from parts: to take a size over, change the parts of its node and the number"
            " together (they must agree within 2 %)"
        )
    return sized

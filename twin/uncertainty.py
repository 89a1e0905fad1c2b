"""Error bars: many variants of a scenario run as one batch, side by side on the satellite axis.

A large fleet is represented by some of its satellites: in each shell and class the emptiest
battery, the hottest chip, and others spread evenly. Totals are the fleet's own plus what the
representatives say a variant changes, so the nominal variant always equals the run itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel
from scipy import stats
from scipy.stats import qmc

from twin.build import Value, build, nominal
from twin.constellation import Constellation, Ledger, State
from twin.fleet import Fleet
from twin.load import key
from twin.numbers import Number
from twin.parts import materials
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Clock, Engine, simulate

LANES = 4096  # of satellites times variants, at most, unless the fleet itself is larger
NAMED = 6  # inputs at most, for each headline
HEADLINES = (
    "battery_min_fraction",
    "payload_temperature_max_k",
    "tokens_per_day",
    "joules_per_token",
    "unserved_wh",
)


@dataclass(frozen=True)
class Input:
    """A number of the scenario that has a range."""

    name: str
    value: float
    low: float
    high: float
    origin: str


def inputs(scenario: Scenario, fleet: Fleet) -> list[Input]:
    """Every number with a range that the run uses, and the factors of the payload profiles."""
    found = list(_ranged(scenario.environment, "environment."))
    for name, design in scenario.class_.items():
        found += _ranged(design, f"class.{name}.")
        lent = {k: m for k, m in materials().items() if k not in design.material}
        found += _ranged(lent, f"class.{name}.material.")
        if isinstance(design.payload, InferencePayload):
            given = fleet.profiles[name].device_numbers(
                design.payload.batch, design.payload.power_cap_w
            )
            for what, factors, origin in (
                ("throughput", given.throughput_factors, given.origin),
                ("active_power", given.active_power_factors, given.power_origin),
                ("idle_power", given.idle_power_factors, given.power_origin),
                ("curvature", given.curvature_factors, given.curvature_origin),
                ("sleep_power", given.sleep_power_factors, given.states_origin),
                ("restart", given.restart_factors, given.states_origin),
            ):
                if factors[1] > factors[0]:
                    found.append(Input(f"profile.{name}.{what}", 1.0, *factors, origin))
    used = asked(scenario, fleet)
    return [item for item in found if item.name in used]


def asked(scenario: Scenario, fleet: Fleet) -> set[str]:
    """The numbers that a build looks up.

    Not asked for are a material that no part has, optics in `body` that no surface has, a warning's
    limits, and links of a fluid whose circuit another leads.
    """
    heard: set[str] = set()
    plain = nominal(scenario)

    def listening(name: str) -> np.ndarray:
        heard.add(name)
        return plain(name)

    one = np.zeros(1, np.int64)
    build(scenario, fleet, listening, (one, one))
    return heard


def _ranged(here: Any, label: str) -> Iterator[Input]:
    """Numbers with a range, in sections, tables by name and lists; `label` ends in a dot."""
    below: dict[str, Any] = {}
    if isinstance(here, Number):
        if here.range and here.range[1] > here.range[0]:
            yield Input(label[:-1], here.value, *here.range, here.origin or "assumed")
    elif isinstance(here, BaseModel):
        fields = type(here).model_fields
        below = {key(name, field): getattr(here, name) for name, field in fields.items()}
    elif isinstance(here, dict):
        below = here
    elif isinstance(here, tuple):
        below = {str(k): item for k, item in enumerate(here)}
    for name, what in below.items():
        yield from _ranged(what, f"{label}{name}.")


@dataclass(frozen=True)
class Batch:
    """Results of all variants: headline numbers and, per class, what sizing asks for."""

    headlines: dict[str, np.ndarray]  # (variant,), the nominal first
    lost_to_energy: np.ndarray  # (class, variant): share of what was on offer
    lost_to_heat: np.ndarray  # (class, variant)
    chip_hottest: np.ndarray  # (class, variant), K
    cell_hottest: np.ndarray  # (class, variant), K, the battery
    battery_least: np.ndarray  # (class, variant), share of the capacity

    def cut(self, places: Sequence[int]) -> list["Batch"]:
        """The batches that were run together; each begins with a nominal variant of its own."""

        def piece(low: int | None, high: int | None) -> "Batch":
            by_class = {name: getattr(self, name)[:, low:high] for name in BY_CLASS}
            return Batch({k: v[low:high] for k, v in self.headlines.items()}, **by_class)

        edges = [None, *places, None]
        return [piece(low, high) for low, high in pairwise(edges)]


@dataclass(frozen=True)
class Sampling:
    """Which satellites stand for the fleet, and for how many each."""

    satellites: np.ndarray
    weight: np.ndarray


def seats(fleet: Fleet) -> int:
    """Lanes of a batch in which some satellites stand for all.

    A large fleet's batch is as large as the fleet, so that its compiled program may serve.
    """
    return len(fleet) if 2 * len(fleet) >= LANES else LANES


def representatives(fleet: Fleet, ledger: Ledger | None, variants: int) -> Sampling:
    """As many satellites as a batch of `variants` has room for; all of them, if it has.

    Without a ledger, before the run, the first of each shell and class stands for its extremes.
    """
    room = seats(fleet) // variants
    if len(fleet) <= room:
        return Sampling(np.arange(len(fleet)), np.ones(len(fleet)))
    group = fleet.class_index * (fleet.shell.max() + 1) + fleet.shell
    labels = np.unique(group)
    spare = max(0, room - 2 * labels.size)
    chosen, weight = [], []
    for label in labels:
        members = np.flatnonzero(group == label)
        emptiest = hottest = members[0]
        if ledger is not None:
            emptiest = members[np.argmin(np.asarray(ledger.battery_least)[members])]
            hottest = members[np.argmax(np.asarray(ledger.chip_hottest)[members])]
        extra = spare * members.size // len(fleet)
        even = members[np.linspace(0, members.size - 1, extra + 2).astype(int)[1:-1]]
        picked = np.unique([emptiest, hottest, *even])
        chosen.append(picked)
        weight.append(np.full(picked.size, members.size / picked.size))
    return Sampling(np.concatenate(chosen), np.concatenate(weight))


def draws(found: list[Input], count: int, seed: int) -> np.ndarray:
    """Latin hypercube over the ranges: (variant, input), the nominal first.

    Each input follows a triangle from its lowest to its highest, with the peak at its value, so
    that an uneven range does not push the run itself out of its own band.
    """
    nominal_row = np.array([i.value for i in found])
    low, high = np.array([i.low for i in found]), np.array([i.high for i in found])
    share = qmc.LatinHypercube(len(found), rng=np.random.default_rng(seed)).random(count)
    left, width = nominal_row - low, high - low
    rising = low + np.sqrt(share * width * left)
    falling = high - np.sqrt((1 - share) * width * (high - nominal_row))
    return np.vstack([nominal_row, np.where(share * width < left, rising, falling)])


def varied(scenario: Scenario, found: list[Input], rows: np.ndarray) -> Value:
    """Look a number up: a column of the draws, or what the scenario says."""
    columns = {item.name: rows[:, k] for k, item in enumerate(found)}
    plain = nominal(scenario)
    return lambda name: columns[name] if name in columns else plain(name)


def scaled(scenario: Scenario, ending: str, factors: np.ndarray) -> Value:
    """Look a number up: every class's key with this ending is multiplied by the factors."""
    plain = nominal(scenario)
    return lambda name: plain(name) * factors if name.endswith(ending) else plain(name)


Variants = tuple[Value, int]
"""How to look numbers up, and how many variants there are."""


def joined(parts: Sequence[Variants]) -> Variants:
    """Several sets of variants one after the other."""

    def value(name: str) -> np.ndarray:
        return np.concatenate([np.broadcast_to(look(name), (count,)) for look, count in parts])

    return value, sum(count for _, count in parts)


def batch(
    scenario: Scenario, fleet: Fleet, sampling: Sampling, value: Value, variants: int
) -> tuple[Constellation, State]:
    """All variants of the representatives, the last one again where there is room for more.

    So the size does not depend on who represents.
    """
    count = sampling.satellites.size
    lanes = variants * count
    filled = max(lanes, seats(fleet)) if count < len(fleet) else lanes
    place = np.minimum(np.arange(filled), lanes - 1)
    return build(scenario, fleet, value, (sampling.satellites[place % count], place // count))


def fitting(
    engines: Iterable[Engine], scenario: Scenario, constellation: Constellation, state: State
) -> Engine:
    """An engine that holds a batch: one of its size, or a new one with its program compiled."""
    for engine in engines:
        if engine.fits(constellation, state):
            return engine.holding(constellation)
    run, lanes = scenario.run, state.alive.size
    clock = Clock.of(run.step_s, run.record_s, run.duration_h * 3600, lanes)
    engine = Engine(constellation, state, clock)
    engine.compile(state, min(clock.chunk, clock.records))
    return engine


def run_batch(
    scenario: Scenario,
    fleet: Fleet,
    sampling: Sampling,
    value: Value,
    variants: int,
    ledger: Ledger,
    engines: Sequence[Engine],
) -> Batch:
    """Run all variants at once. An engine of the right size serves again: nothing is recompiled."""
    count = sampling.satellites.size
    lanes = variants * count
    constellation, state = batch(scenario, fleet, sampling, value, variants)
    engine = fitting(engines, scenario, constellation, state)
    out = simulate(engine, state).ledger
    capacity = np.asarray(constellation.satellites.battery.capacity)

    def grid(values: object) -> np.ndarray:
        return np.asarray(values)[:lanes].reshape(variants, count)

    results = {name: grid(summed(out, name)[:lanes]) for name in _SUMS}
    cells = grid(out.cell_hottest)
    least = grid(np.asarray(out.battery_least)[:lanes] / capacity[:lanes])
    hottest = grid(np.asarray(out.chip_hottest)[:lanes])
    return _gather(scenario, fleet, sampling, results, (least, hottest, cells), ledger)


BY_CLASS = ("lost_to_energy", "lost_to_heat", "chip_hottest", "cell_hottest", "battery_least")
_SUMS = (
    "tokens",
    "tokens_offered",
    "tokens_lost_to_energy",
    "tokens_lost_to_heat",
    "payload_energy",
    "unserved_energy",
)


def summed(ledger: Ledger, name: str) -> np.ndarray:
    """A total of the ledger, one a satellite; of all consumers together."""
    values = np.asarray(getattr(ledger, name))
    return values if values.ndim == 1 else values.sum(axis=0)


def _gather(
    scenario: Scenario,
    fleet: Fleet,
    sampling: Sampling,
    results: dict[str, np.ndarray],
    extremes: tuple[np.ndarray, np.ndarray, np.ndarray],
    ledger: Ledger,
) -> Batch:
    least, hottest, cells = extremes
    serving = np.isin(fleet.class_index, [fleet.classes.index(c) for c in fleet.profiles])
    own = {name: summed(ledger, name)[: len(fleet)] for name in _SUMS}

    def total(name: str, mask: np.ndarray) -> np.ndarray:
        estimate = (results[name] * sampling.weight * mask[sampling.satellites]).sum(axis=1)
        return np.maximum(own[name][mask].sum() + estimate - estimate[0], 0.0)

    everyone = np.ones(len(fleet), bool)
    days = scenario.run.duration_h / 24
    tokens = total("tokens", everyone)
    headlines = {
        "battery_min_fraction": least.min(axis=1),
        "payload_temperature_max_k": hottest.max(axis=1),
        "tokens_per_day": tokens / days,
        "joules_per_token": total("payload_energy", serving) / np.maximum(tokens, 1e-9),
        "unserved_wh": total("unserved_energy", everyone) / 3600,
    }
    member = fleet.class_index[sampling.satellites]
    classes = range(len(fleet.classes))

    def by_class(name: str) -> np.ndarray:
        rows = []
        for c in classes:
            part = (results[name] * sampling.weight)[:, member == c].sum(axis=1)
            offer = (results["tokens_offered"] * sampling.weight)[:, member == c].sum(axis=1)
            rows.append(part / np.maximum(offer, 1e-9))
        return np.array(rows)

    return Batch(
        headlines=headlines,
        lost_to_energy=by_class("tokens_lost_to_energy"),
        lost_to_heat=by_class("tokens_lost_to_heat"),
        chip_hottest=np.array([hottest[:, member == c].max(axis=1) for c in classes]),
        cell_hottest=np.array([cells[:, member == c].max(axis=1) for c in classes]),
        battery_least=np.array([least[:, member == c].min(axis=1) for c in classes]),
    )


def bands(batch: Batch) -> dict[str, tuple[float, float]]:
    """5 and 95 % of each headline over the samples; the nominal is not one of them."""

    def span(values: np.ndarray) -> tuple[float, float]:
        low, high = np.quantile(values[1:], [0.05, 0.95])
        return float(low), float(high)

    return {name: span(values) for name, values in batch.headlines.items()}


def influences(batch: Batch, found: list[Input], rows: np.ndarray) -> dict[str, dict[str, float]]:
    """Share of each headline's variance that goes with each input: stepwise regression on ranks.

    The input that explains most of what is left is taken, its part removed, and so on, while chance
    alone would reach that much in no more than one of a hundred such tables. Shares add up to less
    than one; the rest is small effects, joint effects and curvature.
    """
    chance = stats.chi2.isf(0.01 / (len(found) * len(HEADLINES)), 1)
    result = {}
    for name, values in batch.headlines.items():
        left, inputs_left = _standard(values[1:]), _standard(rows[1:])
        whole, named = float(left @ left), {}
        while whole > 0 and len(named) < NAMED:
            size = np.maximum((inputs_left**2).sum(axis=0), 1e-9)
            gain = (left @ inputs_left) ** 2 / size * (size > 1e-6)
            best, rest = int(gain.argmax()), float(left @ left)
            free = left.size - len(named) - 2
            if not gain[best] * free > chance * (rest - gain[best]):
                break
            named[found[best].name] = gain[best] / whole
            axis = inputs_left[:, best] / np.sqrt(size[best])
            left = left - axis * (axis @ left)
            inputs_left = inputs_left - np.outer(axis, axis @ inputs_left)
        result[name] = named
    return result


def _standard(values: np.ndarray) -> np.ndarray:
    """Ranks less their mean; nothing, where 5 and 95 % are the same."""
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    ranks = stats.rankdata(values, axis=0)
    moves = high - low > 1e-12 * np.maximum(1.0, np.abs(high))
    return np.where(moves, ranks - ranks.mean(axis=0), 0.0)

"""What would help: error bars of a run, and the array, battery and radiator that would close it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from twin.build import THROTTLE_START, Value
from twin.constants import CELSIUS, HOUR
from twin.constellation import Ledger
from twin.design import Design
from twin.fleet import Fleet, device_numbers
from twin.parts import has_radiator
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Engine
from twin.uncertainty import (
    LANES,
    Batch,
    Input,
    Sampling,
    Variants,
    bands,
    batch,
    draws,
    fitting,
    influences,
    inputs,
    joined,
    representatives,
    run_batch,
    scaled,
    varied,
)

FACTORS = np.concatenate([[1.0], np.geomspace(0.35, 3.5, 14)])  # of array or radiator, sizing
SPARE = 1.02  # on a battery sized for the longest night
BATTERY_LIMIT = 45.0 + CELSIUS  # K; lithium cells charge from 0 to 45 °C (ECSS practice)
LOSS = 1e-3  # a design closes if it loses less than this share of its work
STAGES = ("contacts", "error bars", "sizing the array", "sizing the radiator")
Stage = Callable[[int, str], None]


@dataclass(frozen=True)
class Study:
    """The batches behind error bars and sizing."""

    sampling: Sampling
    bands: dict[str, tuple[float, float]]
    influences: dict[str, dict[str, float]]
    assumed_share: dict[str, float]
    battery_needed: dict[str, float]  # by class, Wh
    array: Batch
    radiator: Batch


@dataclass(frozen=True)
class Plan:
    """What a study is going to vary, and an engine for it."""

    found: list[Input]
    rows: np.ndarray
    engine: Engine

    def parts(self, scenario: Scenario, batteries: dict[str, float]) -> list[Variants]:
        """Samples of the inputs, arrays with the batteries they need (Wh), and radiators."""
        arrays = _with_batteries(scenario, batteries, scaled(scenario, "array_m2", FACTORS))
        return [
            (varied(scenario, self.found, self.rows), len(self.rows)),
            (arrays, FACTORS.size),
            (scaled(scenario, "radiator_m2", FACTORS), FACTORS.size),
        ]


def planned(scenario: Scenario, fleet: Fleet, engine: Engine) -> Plan:
    """The plan of a study, before the run: a thread can compile its program beside the run's own.

    It serves unless the run's results choose satellites whose network takes another program.
    """
    found = inputs(scenario, fleet)
    plan = Plan(found, draws(found, scenario.run.samples, scenario.run.seed), engine)
    batteries = {name: scenario.class_[name].battery_wh.value for name in fleet.classes}
    value, count = joined(plan.parts(scenario, batteries))
    some = representatives(fleet, None, count)
    if not _at_once(fleet, some, count):
        return plan
    built = batch(scenario, fleet, some, value, count)
    return replace(plan, engine=fitting([engine], scenario, *built))


def _at_once(fleet: Fleet, sampling: Sampling, variants: int) -> bool:
    """Whether samples, arrays and radiators fly as one batch."""
    return sampling.satellites.size * variants <= max(LANES, len(fleet))


def study(
    scenario: Scenario, fleet: Fleet, engine: Engine, ledger: Ledger, plan: Plan, say: Stage
) -> Study:
    """Samples of the inputs, arrays and radiators of all sizes: one batch if the fleet is small."""
    samples, found, rows = scenario.run.samples, plan.found, plan.rows
    needed = {name: battery_needed(scenario, fleet, ledger, name) for name in fleet.classes}
    parts = plan.parts(scenario, needed)
    engines = (engine, plan.engine)
    together = sum(count for _, count in parts)
    sampling = representatives(fleet, ledger, together)
    if _at_once(fleet, sampling, together):
        say(1, "error bars and sizing")
        parts = [joined(parts)]
    batches: list[Batch] = []
    for index, (value, count) in enumerate(parts):
        if len(parts) > 1:
            say(index + 1, STAGES[index + 1])
        one = representatives(fleet, ledger, count)
        sampling = one if index == 0 else sampling
        batches.append(run_batch(scenario, fleet, one, value, count, ledger, engines))
    if len(batches) == 1:
        cuts = (samples + 1, samples + 1 + FACTORS.size)
        batches = batches[0].cut(cuts)
    weights = influences(batches[0], found, rows) if samples else {}
    origin = {item.name: item.origin for item in found}
    shares = {}
    for name, part in weights.items():
        guessed = sum(share for what, share in part.items() if origin[what] == "assumed")
        shares[name] = guessed / sum(part.values()) if part else 1.0
    limits = bands(batches[0]) if samples else {}
    return Study(sampling, limits, weights, shares, needed, batches[1], batches[2])


def battery_needed(scenario: Scenario, fleet: Fleet, ledger: Ledger, name: str) -> float:
    """Battery (Wh) that carries a class through its longest eclipse at full work, uncut."""
    design = scenario.class_[name]
    mine = fleet.class_index == fleet.classes.index(name)
    longest = float(ledger.eclipse_longest[mine].max(initial=0.0))
    load = compute_power(scenario, fleet, name) + housekeeping_power(design)
    usable = max(design.battery_depth.value - design.battery_ration_band.value, 1e-3)
    c_rate = load / design.battery_wh.value  # per hour
    night = load * longest / HOUR / (1 - design.battery_resistance_share.value * c_rate)
    return SPARE * night / usable


def compute_power(scenario: Scenario, fleet: Fleet, name: str) -> float:
    """Full payload draw of one satellite of a class (W)."""
    payload = scenario.class_[name].payload
    if isinstance(payload, InferencePayload):
        device = device_numbers(payload, fleet.profiles[name], name)
        return payload.devices * device.active_power
    return payload.devices * payload.compute_w.value


def housekeeping_power(design: Design) -> float:
    """What a satellite of a class draws beside its payload, heaters off (W)."""
    return design.survival_w.value + design.comms_w.value + design.isl_w.value


def _with_batteries(scenario: Scenario, needed: dict[str, float], value: Value) -> Value:
    """Look a number up: batteries are large enough for the night, all else as in `value`."""

    def look(name: str) -> np.ndarray:
        for label, wh in needed.items():
            if name == f"class.{label}.battery_wh":
                return np.asarray(np.maximum(value(name), wh))
        return value(name)

    return look


def needs(scenario: Scenario, fleet: Fleet, of: Study, name: str) -> tuple[float | None, ...]:
    """Factors on a class's array and radiator from which on they suffice; None: none tried does."""
    index, design = fleet.classes.index(name), scenario.class_[name]
    if isinstance(design.payload, InferencePayload):
        short = of.array.lost_to_energy[index] - LOSS
    else:
        # A class without tokens shows a shortage of energy by drawing its battery into the ration.
        full = 1 - design.battery_depth.value + design.battery_ration_band.value
        short = full - of.array.battery_least[index]
    hot = np.maximum(
        of.radiator.chip_hottest[index] - throttle_start(scenario, fleet, name),
        of.radiator.cell_hottest[index] - BATTERY_LIMIT,
    )
    if not has_radiator(design):
        return smallest(short), 1.0 if hot[0] <= 0 else None
    return smallest(short), smallest(hot)


def throttle_start(scenario: Scenario, fleet: Fleet, name: str) -> float:
    """The chip's temperature at which a class begins to slow down (K)."""
    payload = scenario.class_[name].payload
    if isinstance(payload, InferencePayload):
        device = device_numbers(payload, fleet.profiles[name], name)
        return device.throttle_start or THROTTLE_START
    return payload.throttle_start_k.value


def smallest(excess: np.ndarray) -> float | None:
    """The smallest factor from which on `excess` stays below zero; straight between tried ones."""
    order = np.argsort(FACTORS)
    factor, over = np.log(FACTORS[order]), excess[order]
    above = np.flatnonzero(over > 0)
    if not above.size:
        return float(FACTORS.min())
    last = int(above[-1])
    if last == over.size - 1:
        return None
    # Past the knee of a throttle the excess flattens: the line through two that pass is safer, and
    # the crossing lies no lower than on the line from the last that fails to the first that passes.
    low, high = factor[last], factor[last + 1]
    between = low + (high - low) * over[last] / (over[last] - over[last + 1])
    place = between
    if last + 2 < over.size and over[last + 2] < over[last + 1]:
        slope = (over[last + 2] - over[last + 1]) / (factor[last + 2] - high)
        place = high - over[last + 1] / slope
    return float(np.exp(np.clip(place, between, high)))

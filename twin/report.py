"""From a finished run to its report: headline numbers, error bars, what binds, what would help."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from subprocess import DEVNULL, run

import jax
import numpy as np

from twin import devices, words
from twin.build import Value
from twin.constants import CELSIUS, DAY, HOUR, KM, WH
from twin.constellation import Ledger, Limit
from twin.fleet import Fleet, device_numbers
from twin.load import Loaded
from twin.network.ground import Station as Place
from twin.passes import contact_statistics, fleet_tracks
from twin.report_form import Books, Contact, Group, Limits, Report
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Engine
from twin.uncertainty import (
    LANES,
    Batch,
    Sampling,
    Variants,
    bands,
    draws,
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
WORLD = tuple(
    Place(name, latitude, longitude)
    for name, latitude, longitude in (
        ("Svalbard", 78.23, 15.39),
        ("Troll", -72.01, 2.53),
        ("Tromsø", 69.66, 18.94),
        ("Vardø", 70.37, 31.10),
        ("Inuvik", 68.32, -133.55),
        ("Punta Arenas", -52.94, -70.85),
        ("Hartebeesthoek", -25.89, 27.69),
        ("Mauritius", -20.2, 57.5),
        ("Dubai", 24.9, 55.3),
        ("Singapore", 1.35, 103.8),
        ("Awarua", -46.5, 168.4),
        ("Nuuk", 64.2, -51.7),
    )
)  # Source: the sites of the KSAT network, as its operator names them
STAGES = ("error bars", "sizing the array", "sizing the radiator", "contacts")
Stage = Callable[[int, str], None]


@dataclass(frozen=True)
class Measured:
    """How the run itself went."""

    wall_s: float
    compile_s: float
    ledger: Ledger


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


def report(
    loaded: Loaded, fleet: Fleet, engine: Engine, measured: Measured, on_stage: Stage | None = None
) -> Report:
    """The whole report. `on_stage` hears of each of `STAGES` as it begins."""
    say = on_stage or (lambda index, name: None)
    scenario, ledger = loaded.scenario, measured.ledger
    study = _study(scenario, fleet, engine, ledger, say)
    say(3, STAGES[3])
    contact = contacts(scenario, fleet)
    count, clock = len(fleet), engine.clock
    duration = clock.records * clock.steps * clock.dt

    def total(name: str, mask: np.ndarray | slice = slice(None)) -> float:
        return float(getattr(ledger, name)[..., mask].sum())

    alive = np.maximum(ledger.alive_time, 1e-9)
    flew = ledger.alive_time > 0
    shadow = np.where(flew, 1 - ledger.sunlit_time / alive, np.nan)
    eclipse = np.asarray(ledger.eclipse_longest)
    serving = np.isin(fleet.class_index, [fleet.classes.index(c) for c in fleet.profiles])
    tokens = total("tokens")
    payload, bus = total("payload_energy", serving), total("housekeeping_energy", serving)
    capacity = np.asarray(engine.constellation.satellites.battery.capacity)[:count]
    limited = ledger.time_limited.sum(axis=1) / max(ledger.time_limited.sum(), 1e-9)
    draft = Report(
        title=scenario.title,
        scenario=loaded.name,
        start=str(fleet.start),
        duration_s=duration,
        satellites=count,
        steps=clock.records * clock.steps,
        records=clock.records,
        step_s=clock.dt,
        record_s=clock.dt * clock.steps,
        wall_s=measured.wall_s,
        compile_s=measured.compile_s,
        device=devices.describe(engine.mesh),
        commit=commit(),
        versions=versions(),
        seed=scenario.run.seed,
        propagator=scenario.propagator,
        books=Books(
            energy_residual=float(ledger.energy_residual.max()),
            heat_residual=float(ledger.heat_residual.max()),
            tokens_residual=float(ledger.tokens_residual.max()),
            heat_truncation=float(ledger.heat_truncation.max()),
        ),
        unserved_wh=total("unserved_energy") / WH,
        battery_min_fraction=float((ledger.battery_least / capacity).min()),
        payload_temperature_max_k=float(ledger.chip_hottest.max()),
        eclipse_fraction=float(1 - ledger.sunlit_time.sum() / alive.sum()) if flew.any() else 0.0,
        eclipse_fraction_range=_ends(shadow[flew]),
        eclipse_longest_s=_ends(eclipse[flew]),
        mean_altitude_km=(fleet.altitude.min() / KM, fleet.altitude.max() / KM),
        tokens=tokens,
        tokens_per_s_mean=tokens / duration,
        tokens_per_day=tokens / duration * DAY,
        joules_per_token=payload / tokens if tokens else None,
        joules_per_token_whole=(payload + bus) / tokens if tokens else None,
        panel_energy_wh=total("panel_energy") / WH,
        curtailed_energy_wh=total("curtailed_energy") / WH,
        limits=Limits(**{kind.name.lower(): float(limited[kind]) for kind in Limit}),
        groups={
            name: _group(scenario, fleet, ledger, capacity, study, name)
            for name in fleet.classes
            if (fleet.class_index == fleet.classes.index(name)).any()
        },
        contact=contact,
        bands=study.bands,
        samples=scenario.run.samples,
        represented_by=study.sampling.satellites.size,
        assumed=study.influences,
        assumed_share=study.assumed_share,
        verdicts=[],
        warnings=[*fleet.warnings, *decayed(fleet, ledger), *warm(fleet, ledger)],
        sentence="",
    )
    return draft.model_copy(
        update={"verdicts": words.verdicts(draft), "sentence": words.sentence(draft)}
    )


def _study(scenario: Scenario, fleet: Fleet, engine: Engine, ledger: Ledger, say: Stage) -> Study:
    """Samples of the inputs, arrays and radiators of all sizes: one batch if the fleet is small."""
    samples = scenario.run.samples
    found = inputs(scenario, fleet)
    needed = {name: battery_needed(scenario, fleet, ledger, name) for name in fleet.classes}
    rows = draws(found, samples, scenario.run.seed)
    parts: list[Variants] = [
        (varied(scenario, found, rows), samples + 1),
        (_with_batteries(scenario, needed, scaled(scenario, "array_m2", FACTORS)), FACTORS.size),
        (scaled(scenario, "radiator_m2", FACTORS), FACTORS.size),
    ]
    together = sum(count for _, count in parts)
    sampling = representatives(fleet, ledger, together)
    if sampling.satellites.size * together <= max(LANES, len(fleet)):
        say(0, "error bars and sizing")
        parts = [joined(parts)]
    batches: list[Batch] = []
    for index, (value, count) in enumerate(parts):
        if len(parts) > 1:
            say(index, STAGES[index])
        one = representatives(fleet, ledger, count)
        sampling = one if index == 0 else sampling
        batches.append(run_batch(scenario, fleet, one, value, count, ledger, engine))
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
    load = compute_power(scenario, fleet, name) + design.housekeeping_w.value
    usable = max(design.battery_depth.value - design.battery_ration_band.value, 1e-3)
    night = load * longest / HOUR / design.battery_discharge_efficiency.value
    return SPARE * night / usable


def compute_power(scenario: Scenario, fleet: Fleet, name: str) -> float:
    """Full payload draw of one satellite of a class (W)."""
    payload = scenario.class_[name].payload
    if isinstance(payload, InferencePayload):
        device = device_numbers(payload, fleet.profiles[name], name)
        return payload.devices * device.active_power
    return payload.devices * payload.compute_w.value


def _with_batteries(scenario: Scenario, needed: dict[str, float], value: Value) -> Value:
    """Look a number up: batteries are large enough for the night, all else as in `value`."""

    def look(name: str) -> np.ndarray:
        for label, wh in needed.items():
            if name == f"class.{label}.battery_wh":
                return np.asarray(np.maximum(value(name), wh))
        return value(name)

    return look


def _group(
    scenario: Scenario,
    fleet: Fleet,
    ledger: Ledger,
    capacity: np.ndarray,
    study: Study,
    name: str,
) -> Group:
    index, design = fleet.classes.index(name), scenario.class_[name]
    mine = fleet.class_index == index
    payload, profile = design.payload, fleet.profiles.get(name)
    offered = max(float(ledger.tokens_offered[mine].sum()), 1e-9)
    if isinstance(payload, InferencePayload) and profile is not None:
        device = device_numbers(payload, profile, name)
        start, origin = device.throttle_start or 358.15, device.origin
        what = f"{payload.devices} x {profile.device}, {profile.model} {profile.precision}"
    else:
        start, origin = payload.throttle_start_k.value, "assumed"  # type: ignore[union-attr]
        what = "training"
    compute = compute_power(scenario, fleet, name)
    area = design.array_m2.value
    sides = design.body.radiator_sides
    radiator = design.body.radiator_m2.value
    # A class without tokens shows a shortage of energy by drawing its battery into the ration.
    full = 1 - design.battery_depth.value + design.battery_ration_band.value
    short = (
        study.array.lost_to_energy[index] - LOSS
        if isinstance(payload, InferencePayload)
        else full - study.array.battery_least[index]
    )
    hot = np.maximum(
        study.radiator.chip_hottest[index] - start,
        study.radiator.cell_hottest[index] - BATTERY_LIMIT,
    )
    array_factor, radiator_factor = _smallest(short), _smallest(hot)
    return Group(
        satellites=int(mine.sum()),
        payload=what,
        payload_origin=origin,
        tokens=float(ledger.tokens[mine].sum()),
        lost_to_energy=float(ledger.tokens_lost_to_energy[mine].sum()) / offered,
        lost_to_heat=float(ledger.tokens_lost_to_heat[mine].sum()) / offered,
        battery_min_fraction=float((ledger.battery_least / capacity)[mine].min()),
        payload_temperature_max_k=float(ledger.chip_hottest[mine].max()),
        battery_temperature_max_k=float(ledger.cell_hottest[mine].max()),
        compute_w=compute,
        array_m2=area,
        array_needed_m2=None if array_factor is None else array_factor * area,
        battery_wh=design.battery_wh.value,
        battery_needed_wh=study.battery_needed[name],
        radiator_m2=radiator * sides,
        radiator_needed_m2=None if radiator_factor is None else radiator_factor * radiator * sides,
        radiator_m2_per_kw=radiator * sides / max(compute / 1e3, 1e-9),
    )


def _smallest(excess: np.ndarray) -> float | None:
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


def contacts(scenario: Scenario, fleet: Fleet) -> Contact | None:
    """Contact with the scenario's stations over fourteen two-day windows from the start."""
    if not scenario.station:
        return None
    stations = [
        Place(s.name, s.latitude_deg, s.longitude_deg, s.altitude_m) for s in scenario.station
    ]
    masks = [s.mask_deg for s in scenario.station]
    serving = np.isin(fleet.class_index, [fleet.classes.index(c) for c in fleet.profiles])
    asked = np.flatnonzero(serving if serving.any() else np.ones(len(fleet), bool))
    tracks = fleet_tracks(jax.tree.map(lambda x: x[..., asked], fleet.orbit))
    step = 10.0 if len(fleet) <= 100 else 60.0
    windows = contact_statistics(tracks, stations, masks, fleet.start, windows=14, step=step)
    (world,) = contact_statistics(tracks, WORLD, max(masks), fleet.start, step=step)
    share = np.array([w.share for w in windows])
    chance = np.array([w.chance for w in windows])
    return Contact(
        stations=[s.name for s in scenario.station],
        mask_deg=(min(masks), max(masks)),
        share_in_view=float(share.mean()),
        share_in_view_band=_ends(share),
        chance_within_90_s=float(chance.mean()),
        chance_within_90_s_band=_ends(chance),
        chance_with_world_stations=world.chance,
    )


def decayed(fleet: Fleet, ledger: Ledger) -> list[str]:
    """A warning that names the satellites that left orbit during the run."""
    lost = np.flatnonzero(ledger.time_limited[Limit.FAULT] > 0)
    if not lost.size:
        return []
    named = ", ".join(fleet.names[k] for k in lost[:5])
    more = f" and {lost.size - 5} more" if lost.size > 5 else ""
    return [f"decayed or outside the orbit model's domain during the run: {named}{more}"]


def warm(fleet: Fleet, ledger: Ledger) -> list[str]:
    """A warning for each class whose batteries leave the range in which cells may be charged."""
    found = []
    for index, name in enumerate(fleet.classes):
        hottest = float(ledger.cell_hottest[fleet.class_index == index].max(initial=0.0))
        if hottest > BATTERY_LIMIT:
            found.append(
                f"the batteries of class {name} reach {hottest - CELSIUS:.1f} °C;"
                " above 45 °C cells should not be charged"
            )
    return found


def _ends(values: np.ndarray) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def versions() -> dict[str, str]:
    """The versions that matter to a result."""
    names = ("constellation-twin", "jax", "jaxlib", "numpy", "zarr", "xarray", "skyfield")
    return {name: metadata.version(name) for name in names}


def commit() -> str | None:
    """The commit of the checkout that this code runs from, with + if it was changed since."""
    here = Path(__file__).parent.parent
    if not (here / ".git").exists():
        return None
    try:
        ask = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
        answer = run(ask, capture_output=False, stdout=-1, stderr=DEVNULL, text=True, timeout=5)
    except OSError:
        return None
    return answer.stdout.strip() or None

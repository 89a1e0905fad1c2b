"""From a finished run to its report: headline numbers, error bars, what binds, what would help."""

from concurrent.futures import Future
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from subprocess import DEVNULL, run

import jax
import numpy as np

from twin import devices, words
from twin.conflicts import conflicts
from twin.constants import CELSIUS, DAY, HOUR, KM, WH
from twin.constellation import CONSUMERS, Ledger, Limit
from twin.crafts import overlapping
from twin.fleet import Fleet, device_numbers
from twin.load import Loaded
from twin.network.ground import Station as Place
from twin.passes import contact_statistics, fleet_tracks
from twin.recorded import Recorded
from twin.remedies import (
    BATTERY_LIMIT,
    STAGES,
    Plan,
    Stage,
    Study,
    compute_power,
    needs,
    study,
    throttle_start,
)
from twin.report_form import Books, Contact, Group, Limits, Report
from twin.scenario import InferencePayload, Scenario
from twin.simulate import Engine

FREEZING = CELSIUS  # K; lithium cells are not charged below
SHED = ("payload", "isl", "safe")  # what each level of shedding takes first
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


@dataclass(frozen=True)
class Measured:
    """How the run itself went."""

    wall_s: float
    compile_s: float
    ledger: Ledger
    recorded: Recorded = Recorded()


def report(
    loaded: Loaded,
    fleet: Fleet,
    engine: Engine,
    measured: Measured,
    plan: Future[Plan],
    on_stage: Stage | None = None,
) -> Report:
    """The whole report. `on_stage` hears of each of `STAGES` as it begins."""
    say = on_stage or (lambda index, name: None)
    scenario, ledger, seen = loaded.scenario, measured.ledger, measured.recorded
    say(0, STAGES[0])
    contact, conflict = contacts(scenario, fleet), conflicts(scenario, fleet, engine.constellation)
    say(1, STAGES[1])  # the plan's program may still be compiling
    found = study(scenario, fleet, engine, ledger, plan.result(), say)
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
    nodes = engine.constellation.satellites.body.names
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
        unserved_by_wh={
            name: float(ledger.unserved_energy[k].sum()) / WH for k, name in enumerate(CONSUMERS)
        },
        shed_hours={name: float(ledger.time_shed[k].sum()) / HOUR for k, name in enumerate(SHED)},
        shed_satellites={name: int((ledger.time_shed[k] > 0).sum()) for k, name in enumerate(SHED)},
        safe_mode_entries=_whole(seen.safe_entries),
        safe_mode_at_end=_whole(seen.safe_at_end),
        resets=total("resets"),
        downtime_fraction=total("time_down") / max(total("alive_time"), 1e-9),
        heater_wh=total("heater_energy") / WH,
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
            name: _group(scenario, fleet, measured, capacity, found, name)
            for name in fleet.classes
            if (fleet.class_index == fleet.classes.index(name)).any()
        },
        contact=contact,
        bands=found.bands,
        samples=scenario.run.samples,
        represented_by=found.sampling.satellites.size,
        assumed=found.influences,
        assumed_share=found.assumed_share,
        verdicts=[],
        conflicts=conflict,
        warnings=[
            *fleet.warnings,
            *overlapping(scenario, fleet),
            *decayed(fleet, ledger),
            *batteries(fleet, ledger),
            *outside(scenario, fleet, nodes, seen),
        ],
        sentence="",
    )
    return draft.model_copy(
        update={"verdicts": words.verdicts(draft), "sentence": words.sentence(draft)}
    )


def _group(
    scenario: Scenario,
    fleet: Fleet,
    measured: Measured,
    capacity: np.ndarray,
    found: Study,
    name: str,
) -> Group:
    design, ledger = scenario.class_[name], measured.ledger
    mine = fleet.class_index == fleet.classes.index(name)
    payload, profile = design.payload, fleet.profiles.get(name)
    offered = max(float(ledger.tokens_offered[mine].sum()), 1e-9)
    if isinstance(payload, InferencePayload) and profile is not None:
        origin = device_numbers(payload, profile, name).origin
        what = f"{payload.devices} x {profile.device}, {profile.model} {profile.precision}"
    else:
        origin, what = "assumed", "training"
    compute = compute_power(scenario, fleet, name)
    area, sides = design.array_m2.value, design.body.radiator_sides
    radiator = design.body.radiator_m2.value
    array_factor, radiator_factor = needs(scenario, fleet, found, name)
    return Group(
        satellites=int(mine.sum()),
        payload=what,
        payload_origin=origin,
        tokens=float(ledger.tokens[mine].sum()),
        lost_to_energy=float(ledger.tokens_lost_to_energy[mine].sum()) / offered,
        lost_to_heat=float(ledger.tokens_lost_to_heat[mine].sum()) / offered,
        lost_to_fault=float(ledger.tokens_lost_to_fault[mine].sum()) / offered,
        safe_fraction=float(ledger.time_shed[-1][mine].sum())
        / max(float(ledger.alive_time[mine].sum()), 1e-9),
        battery_min_fraction=float((ledger.battery_least / capacity)[mine].min()),
        payload_temperature_max_k=float(ledger.chip_hottest[mine].max()),
        throttle_start_k=throttle_start(scenario, fleet, name),
        battery_temperature_max_k=float(ledger.cell_hottest[mine].max()),
        battery_temperature_min_k=float(ledger.cell_coldest[mine].min()),
        compute_w=compute,
        array_m2=area,
        array_needed_m2=None if array_factor is None else array_factor * area,
        battery_wh=design.battery_wh.value,
        battery_needed_wh=found.battery_needed[name],
        radiator_m2=radiator * sides,
        radiator_needed_m2=None if radiator_factor is None else radiator_factor * radiator * sides,
        drawn=bool(design.part),
        radiator_m2_per_kw=radiator * sides / max(compute / 1e3, 1e-9),
    )


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
    often = {"step": step, "chunk": max(128, 12_288 // asked.size)}
    windows = contact_statistics(tracks, stations, masks, fleet.start, windows=14, **often)
    (world,) = contact_statistics(tracks, WORLD, max(masks), fleet.start, **often)
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
    whole = ledger.time_limited.sum(axis=0)  # s, counted whether alive or not
    lost = np.flatnonzero(ledger.alive_time < whole - 1e-6)
    if not lost.size:
        return []
    named = ", ".join(fleet.names[k] for k in lost[:5])
    more = f" and {lost.size - 5} more" if lost.size > 5 else ""
    return [f"decayed or outside the orbit model's domain during the run: {named}{more}"]


def batteries(fleet: Fleet, ledger: Ledger) -> list[str]:
    """A warning for each class whose batteries leave the range in which cells may be charged."""
    found = []
    for index, name in enumerate(fleet.classes):
        mine = fleet.class_index == index
        hottest = float(ledger.cell_hottest[mine].max(initial=0.0))
        coldest = float(ledger.cell_coldest[mine].min(initial=1000.0))
        if hottest > BATTERY_LIMIT:
            found.append(
                f"the batteries of class {name} reach {hottest - CELSIUS:.1f} °C;"
                " above 45 °C they are charged less, above 55 °C not at all"
            )
        if coldest < FREEZING:
            found.append(
                f"the batteries of class {name} cool to {coldest - CELSIUS:.1f} °C;"
                " below 0 °C they cannot be charged: a larger battery_heater_w or a smaller"
                " radiator helps"
            )
    return found


def outside(scenario: Scenario, fleet: Fleet, nodes: tuple[str, ...], seen: Recorded) -> list[str]:
    """A warning for each node of a class's own that left its limits."""
    if seen.coldest is None or seen.hottest is None:
        return []
    found = []
    for index, name in enumerate(fleet.classes):
        mine = fleet.class_index == index
        for node, what in scenario.class_[name].node.items():
            place = nodes.index(node)
            low = float(np.nanmin(seen.coldest[mine, place], initial=np.inf))
            high = float(np.nanmax(seen.hottest[mine, place], initial=-np.inf))
            here = f"node {node} of class {name}"
            if what.limit_low_k is not None and low < what.limit_low_k.value:
                limit = what.limit_low_k.value - CELSIUS
                found.append(f"{here} cools to {low - CELSIUS:.1f} °C, below {limit:.0f} °C")
            if what.limit_high_k is not None and high > what.limit_high_k.value:
                limit = what.limit_high_k.value - CELSIUS
                found.append(f"{here} reaches {high - CELSIUS:.1f} °C, above {limit:.0f} °C")
    return found


def _whole(counts: np.ndarray | None) -> int | None:
    return None if counts is None else int(counts.sum())


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

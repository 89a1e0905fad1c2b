"""One run from scenario to report: what `twin run`, `twin resume` and `twin.run` do."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from twin import devices, words
from twin.build import build
from twin.constellation import table
from twin.crafts import overlapping
from twin.environment.sun import sun_positions
from twin.fleet import Fleet, elements_path, fleet
from twin.frames import earth_rotation
from twin.load import Loaded, load, parse
from twin.problems import InputError, Problem, nearest
from twin.recorded import recorded
from twin.remedies import planned
from twin.report import Measured, report, versions
from twin.report_form import Report
from twin.results import REPORT, Run
from twin.scenario import CatalogShell, Scenario
from twin.simulate import Clock, Engine, simulate


@dataclass(frozen=True)
class Watch:
    """Who hears of progress: records done of all, and the stages of the report."""

    chunk: Callable[[int, int], None] | None = None
    stage: Callable[[int, str], None] | None = None


QUIET = Watch()
TEXT = np.dtypes.StringDType()  # variable length: fixed widths have no Zarr specification


def run(
    scenario: str,
    folder: str | Path | None = None,
    overrides: Iterable[str] = (),
    watch: Watch = QUIET,
) -> xr.Dataset:
    """Simulate a scenario and return its variables as an xarray dataset, read lazily from disk.

    `scenario` is a bare name or a path, `folder` where the run goes (default
    ``runs/<name>-<UTC>``), `overrides` are ``"class.inference.battery_wh=800"`` and the like. The
    attribute ``report`` holds the report as JSON. Raises InputError for bad input, SimulationError
    for a run that failed.
    """
    where, _ = fly(load(scenario, overrides), folder, watch)
    return where.dataset()


def fly(
    loaded: Loaded,
    folder: str | Path | None,
    watch: Watch = QUIET,
    record: Sequence[str] | None = None,
) -> tuple[Run, Report]:
    """Simulate into a new folder; `record` names the variables to write (default: all)."""
    wanted = _wanted(record)
    devices.prepare()
    folders = (loaded.path.parent,)
    ships = fleet(loaded.scenario, folders)
    overlapping(loaded.scenario, ships)  # what cannot be drawn leaves no folder behind
    target = Run(folder or default_folder(loaded.name))
    about = {
        "scenario": loaded.name,
        "overrides": list(loaded.overrides),
        "variables": wanted,
        "versions": versions(),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    target.create(loaded.text, _inputs(loaded.scenario, folders), about)
    with _told(target):
        return target, _go(loaded, ships, target, watch)


@contextmanager
def _told(target: Run) -> Iterator[None]:
    """Whatever cuts a run short carries a note of what is saved, which the command prints."""
    try:
        yield
    except (KeyboardInterrupt, OSError, MemoryError) as cut:
        folder = target.folder
        cut.add_note(f"{target.records_done():,} records are saved in {folder}")
        cut.add_note(f"go on with: twin resume {folder}")
        raise


def _wanted(record: Sequence[str] | None) -> list[str]:
    known = list(table())
    unknown = [name for name in record or () if name not in known]
    if unknown:
        raise InputError(
            Problem(f"--record {name}", "no such variable", ", ".join(known), nearest(name, known))
            for name in unknown
        )
    return [name for name in known if record is None or name in record]


def resume(folder: str | Path, watch: Watch = QUIET) -> tuple[Run, Report]:
    """Go on from the last whole chunk; the result equals an uninterrupted run bit for bit."""
    devices.prepare()
    target = Run(folder)
    about = target.about()
    if (target.folder / REPORT).is_file():
        raise InputError([Problem(str(folder), "is finished already", hint="twin show prints it")])
    text, overrides = target.scenario_text(), tuple(about["overrides"])
    scenario = parse(text, str(folder), overrides)
    loaded = Loaded(scenario, about["scenario"], target.folder, text, overrides)
    ships = fleet(scenario, (target.folder / "inputs",))
    with _told(target):
        return target, _go(loaded, ships, target, watch)


def default_folder(name: str) -> Path:
    """``runs/<name>-<UTC>``."""
    return Path("runs") / f"{name}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"


def _go(loaded: Loaded, ships: Fleet, target: Run, watch: Watch) -> Report:
    aside = ThreadPoolExecutor(1)
    try:
        return _flown(loaded, ships, target, watch, aside)
    finally:
        aside.shutdown(wait=False)  # whoever stops a run is answered at once


def _flown(
    loaded: Loaded, ships: Fleet, target: Run, watch: Watch, aside: ThreadPoolExecutor
) -> Report:
    scenario = loaded.scenario
    constellation, state = build(scenario, ships)
    clock = Clock.of(
        scenario.run.step_s, scenario.run.record_s, scenario.run.duration_h * 3600, len(ships)
    )
    engine = Engine(constellation, state, clock)
    # LLVM compiles a program on one core: that of the error bars takes another meanwhile.
    plan = aside.submit(planned, scenario, ships, engine)
    found = target.checkpoint(state)
    first, state = found or (0, state)
    if not found:
        _allocate(loaded, ships, engine, target)
    engine.compile(state, min(clock.chunk, clock.records))
    begin = time.perf_counter()
    if watch.chunk:
        watch.chunk(first, clock.records)
    state = simulate(engine, state, target.writer(), first, watch.chunk)
    measured = Measured(
        wall_s=time.perf_counter() - begin,
        compile_s=engine.compile_s,
        ledger=engine.ledger(state),
        recorded=recorded(target, any(d.node for d in scenario.class_.values())),
    )
    result = report(loaded, ships, engine, measured, plan, watch.stage)
    target.write_json(REPORT, result.model_dump(mode="json"))
    return result


def _allocate(loaded: Loaded, ships: Fleet, engine: Engine, target: Run) -> None:
    """Lay out the store, with all that is known before the first step."""
    clock, scenario = engine.clock, loaded.scenario
    seconds = (np.arange(clock.records) + 1) * clock.steps * clock.dt
    start = str(ships.start)
    satellites = engine.constellation.satellites
    capacity = np.asarray(satellites.battery.capacity)[: len(ships)]
    series = {
        "time": (("time",), seconds, {"units": "s", "long_name": f"Time since {start}"}),
        "sun_position": (
            ("time", "xyz"),
            sun_positions(ships.start, seconds),
            {"units": "m", "long_name": "Sun, geometric, Earth-centred", "frame": "TEME"},
        ),
        "earth_rotation": (
            ("time",),
            earth_rotation(ships.start, seconds),
            {"units": "rad", "long_name": "Angle from TEME x to ITRF x"},
        ),
    }
    static = {
        "name": np.array(ships.names, dtype=TEXT),
        "norad": ships.norad,
        "class": np.array([ships.classes[k] for k in ships.class_index], dtype=TEXT),
        "node_name": np.array(satellites.body.names, dtype=TEXT),
        "battery_capacity": capacity.astype(np.float32),
    }
    stations = [s.model_dump(mode="json") for s in scenario.station]
    attributes = {
        "title": scenario.title,
        "scenario": loaded.name,
        "scenario_text": loaded.text,
        "overrides": list(loaded.overrides),
        "start": start,
        "stations": stations,
        "attitudes": list(satellites.attitude.kinds),
        "assumed": words.assumption(scenario, ships.profiles),
        "versions": versions(),
        "seed": scenario.run.seed,
        "step_s": clock.dt,
        "record_s": clock.dt * clock.steps,
        "profiles": {name: profile.digest for name, profile in ships.profiles.items()},
    }
    wanted = target.about()["variables"]
    target.allocate(clock.records, clock.chunk, static, attributes, series, wanted)


def _inputs(scenario: Scenario, folders: tuple[Path, ...]) -> dict[str, Path]:
    """Files of the user's own that a scenario names: a copy is kept with the run."""
    found = {}
    for shell in scenario.shell:
        if isinstance(shell, CatalogShell):
            path = elements_path(shell.elements, folders)
            found[path.name] = path
    named = [d.payload.profile for d in scenario.class_.values() if d.payload.kind == "inference"]
    named += [d.mesh for d in scenario.class_.values() if d.mesh]
    for name in named:
        for place in ("", *folders):
            path = Path(place) / name
            if path.is_file():
                found[path.name] = path
    return found

"""A campaign: many load points against one server, each checked, kept raw, and resumable.

One folder holds it all: ``campaign.json`` (what was asked), ``points/`` (what each client wrote,
untouched, and beside it ``.seen.json``: what we saw), ``summary.*``, plots and the report.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from serving import load, meter
from serving.load import Point
from serving.problem import ServingProblem, UsageProblem
from serving.server import Server


@dataclass(frozen=True)
class Plan:
    """What is to be measured of which model; all that a resumed campaign must have in common."""

    model: str
    lengths: tuple[tuple[int, int], ...] = ((128, 64),)
    concurrencies: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    burstinesses: tuple[float, ...] = (1.0,)
    prompts: int | None = None  # of each point; None: see prompts_for
    repeats: int = 3
    warmup: bool = True
    seed: int = 0
    weights: str = "real"
    serving: dict[str, Any] = field(default_factory=dict)  # what else decides the figures

    def __post_init__(self):
        if not self.concurrencies and not self.rates:
            raise UsageProblem("load", "neither --concurrency nor --rate")
        if not self.lengths:
            raise UsageProblem("--lengths", "none given", "IN/OUT,IN/OUT")
        if self.repeats < 1:
            raise UsageProblem("--repeats", f"is {self.repeats}", "1 or more")
        if self.prompts is not None and self.prompts < max((*self.concurrencies, 1)):
            raise UsageProblem(
                "--prompts", f"{self.prompts} requests never are {max(self.concurrencies)} at a"
                " time", f"{max((*self.concurrencies, 1))} or more",
            )  # fmt: skip
        self.runs()  # the points check themselves

    def prompts_for(self, concurrency: int | None, rate: float | None) -> int:
        """Four rounds of a closed loop, or a minute of an open one; a few at the least."""
        if self.prompts is not None:
            return self.prompts
        if rate is None or not 0 < rate < math.inf:  # an impossible rate is refused by its point
            return max(4 * (concurrency or 0), 8)
        return max(math.ceil(60 * rate), 30)

    def runs(self) -> list[tuple[Point, int]]:
        """Every point with its number of repeat. Repeats are far apart, so that a drift shows."""
        loads: list[tuple[int | None, float | None, float]] = [
            (c, None, 1.0) for c in self.concurrencies
        ]
        loads += [(None, rate, b) for rate in self.rates for b in self.burstinesses]
        found = []
        for repeat in range(1, self.repeats + 1):
            for tokens_in, tokens_out in self.lengths:
                for c, rate, b in loads:
                    count = self.prompts_for(c, rate)
                    point = Point(tokens_in, tokens_out, count, c, rate, b)
                    # A seed of its own, so that no prompt was ever sent before; by name, so that
                    # a point more changes no other.
                    seed = self.seed + crc32(f"{point.name}_run{repeat}".encode()) % 2**30
                    found.append((replace(point, seed=seed), repeat))
        return found


@dataclass
class Watch:
    """How a campaign tells what it does."""

    say: Callable[[str], None] = lambda _: None
    point: Callable[[int, int, str], None] = lambda done, total, name: None
    requests: Callable[[int, int], None] = lambda done, total: None


def open_folder(folder: Path, plan: Plan) -> None:
    """Begin a folder, or go on in one whose campaign asked the same of the same server."""
    path = folder / "campaign.json"
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageProblem("-o", f"{folder} holds something else", "a new or empty folder")
        folder.mkdir(parents=True, exist_ok=True)
    else:
        before, now = asdict(stored(folder)), json.loads(json.dumps(asdict(plan)))
        before = json.loads(json.dumps(before))
        for key in ("model", "weights", "seed", "prompts", "serving"):
            if before[key] != now[key]:
                raise UsageProblem(
                    "-o", f"{folder} was begun with {key} {before[key]}, not {now[key]}",
                    hint="the same settings, or a new folder",
                )  # fmt: skip
    (folder / "points").mkdir(exist_ok=True)
    _write(path, {"format": "twin-campaign", "version": 1, "plan": asdict(plan)})


def stored(folder: Path) -> Plan:
    """The plan of a campaign on disk."""
    path = folder / "campaign.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))["plan"]
        for key in ("concurrencies", "rates", "burstinesses"):
            plan[key] = tuple(plan[key])
        plan["lengths"] = tuple(tuple(pair) for pair in plan["lengths"])
        return Plan(**plan)
    except FileNotFoundError:
        raise UsageProblem("--resume", f"{folder} holds no campaign.json", "a folder that twin"
                           " bench made") from None  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UsageProblem("--resume", f"{path} cannot be read: {error}") from None


def valid(folder: Path, point: Point, repeat: int) -> dict[str, Any] | None:
    """The record of a run that is on disk and stands up to all checks again; else None."""
    raw, seen = _paths(folder, point, repeat)
    try:
        result = json.loads(raw.read_text(encoding="utf-8"))
        record = json.loads(seen.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("faults") or record.get("point") != asdict(point) or load.faults(result, point):
        return None
    return record | {"result": result}


def missing(folder: Path, plan: Plan) -> list[tuple[Point, int]]:
    """What is still to be run."""
    return [run for run in plan.runs() if valid(folder, *run) is None]


@dataclass
class Bench:
    """Runs points against one server, with one client, into one folder."""

    server: Server
    folder: Path
    vllm: Sequence[str] = ()  # empty: our own client drives
    counter: meter.EnergyCounter | None = None
    timeout_s: float = 3600.0
    watch: Watch = field(default_factory=Watch)

    @property
    def client(self) -> str:
        """Who drives the load."""
        return "vllm bench serve" if self.vllm else "twin"

    def run(self, plan: Plan) -> list[str]:
        """All missing points; what was wrong with those that failed, one line each.

        Raises:
            ServingProblem: the server died; what is on disk stays valid.
        """
        runs = plan.runs()
        todo = [run for run in runs if valid(self.folder, *run) is None]
        failed, warm = [], set()
        for number, (point, repeat) in enumerate(todo):
            name = f"{point.name} run {repeat}"
            self.watch.point(len(runs) - len(todo) + number, len(runs), name)
            shape = (point.input_len, point.output_len)
            if plan.warmup and shape not in warm:
                self.watch.say(f"warming up with {point.input_len} tokens in")
                self.warm_up(point)
                warm.add(shape)
            try:
                record = self.measure(point, repeat)
            except ServingProblem as error:
                # A dead server is the cause, and a slow client only what is seen of it.
                self.server.assert_alive(f"at {name}")
                failed.append(f"{name}: {error.problem}")
                continue
            failed += [f"{name}: {fault}" for fault in record["faults"]]
        self.watch.point(len(runs), len(runs), "done")
        return failed

    def warm_up(self, point: Point) -> None:
        """A few short answers to prompts of this length, to fill caches and wake clocks."""
        from serving import client

        few = min(point.concurrency or 4, 4)
        warm = Point(point.input_len, min(point.output_len, 8), few, few, seed=point.seed + 1)
        result = client.run(warm, self.server.target, self.timeout_s)
        if found := load.faults(result, warm):
            self.server.assert_alive("while warming up")
            raise ServingProblem(f"warm-up: {'; '.join(found)}", kind="warm-up failed")

    def measure(self, point: Point, repeat: int) -> dict[str, Any]:
        """One run: the raw result as the client wrote it, and what we saw beside it."""
        raw, seen = _paths(self.folder, point, repeat)
        seen.unlink(missing_ok=True)  # until all is checked, nothing on disk counts
        target, child = self.server.target, set[int]()

        def counters() -> dict[str, float]:
            return meter.parse(meter.read(target.url, target.key))

        before = counters()
        own = self._own(child)
        with meter.Sampler(target.url, target.key, own, self.counter) as sampler:
            if self.vllm:
                result = load.drive_vllm(
                    self.vllm, point, target, raw, self.timeout_s, begun=child.add
                )
            else:
                result = load.drive_own(
                    point, target, raw, self.timeout_s, progress=self.watch.requests
                )
        found = load.faults(result, point)
        self.server.assert_alive(f"after {point.name}")
        wrong, moved, after = load.counters_agree(before, result, counters)
        window = load.span(result)
        if window is None:
            found.append("the result does not say when its requests began")
        record = {
            "point": asdict(point), "repeat": repeat, "client": self.client,
            "faults": found + wrong, "server_counted": moved,
            "client_late_ms": load.late_ms(before, after, result),
            "seen": sampler.summary(*window) if window else {},
        }  # fmt: skip
        _write(seen, record)
        return record

    def _own(self, child: set[int]) -> Callable[[], set[int]]:
        return lambda: self.server.members() | meter.group(*child)

    def idle_power(self, seconds: float = 5.0) -> float | None:
        """Watts of a loaded server that nobody asks anything, where energy is counted."""
        if self.counter is None:
            return None
        self.watch.say(f"measuring idle power for {seconds:.0f} s")
        with meter.Sampler(self.server.target.url, counter=self.counter) as sampler:
            time.sleep(seconds)
        (t0, j0), (t1, j1) = sampler.energy[0], sampler.energy[-1]
        return (j1 - j0) / (t1 - t0) if t1 > t0 else None


def records(folder: Path, plan: Plan) -> Iterator[dict[str, Any]]:
    """All valid runs of a campaign."""
    for point, repeat in plan.runs():
        if (record := valid(folder, point, repeat)) is not None:
            yield record


def _paths(folder: Path, point: Point, repeat: int) -> tuple[Path, Path]:
    stem = folder / "points" / f"{point.name}_run{repeat}"
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".seen.json")


def _write(path: Path, content: Any) -> None:
    """Whole or not at all: a file that was cut by a stop would be half a truth."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    part.replace(path)

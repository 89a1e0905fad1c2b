"""Measured points, from whatever file: a published table with its facts, or a campaign's summary.

A table is a ``.csv`` with the columns of `serving.summary.rows`, beside a ``.toml`` that says what
it was measured on. A campaign is its folder, or its ``summary.json``.
"""

import csv
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from serving.models import Model, known, of, short
from serving.problem import UsageProblem, nearest
from serving.schedule import Engine, Load
from serving.steplaw import Subject

QUANTITIES = {  # column, and what makes SI of it
    "throughput": ("output_throughput_tok_s", 1.0),
    "itl": ("itl_median_ms", 1e-3),
    "ttft": ("ttft_p95_ms", 1e-3),
    "power": ("avg_power_w", 1.0),
}
# vLLM's own limits of a step on a processor; those of a GPU are in `Engine`.
PROCESSOR = {"max_num_batched_tokens": 2048, "max_num_seqs": 128}


@dataclass(frozen=True)
class Point:
    """One row: the load, and what came of it (None where it was not measured)."""

    workload: str
    load: Load
    seen: dict[str, float | None]


@dataclass(frozen=True)
class Measured:
    """Points of one device with one model."""

    name: str  # of the file, from assets/measurements where it lies there
    device: str
    model: str
    precision: str
    engine: Engine
    server: str  # name and version
    source: str
    points: tuple[Point, ...]
    noise: float = 0.0  # of a point, by how far its repeats lie apart; 0: not said
    shape: dict[str, Any] | None = None  # of the model, where it is none of the shipped

    @property
    def subject(self) -> Subject:
        """The model as the steps see it."""
        kv = "fp32" if self.precision in ("fp32", "float32") else "bf16"
        return Subject.of(self.architecture, self.precision, kv)

    @property
    def architecture(self) -> Model:
        """The model's numbers."""
        return of(self.model, self.shape)

    def only(self, points: Iterable[Point]) -> "Measured":
        """The same with fewer points."""
        return replace(self, points=tuple(points))


def shelf() -> Any:
    """Where the shipped measurements are."""
    return files("assets").joinpath("measurements")


def shipped() -> tuple[str, ...]:
    """Names of the shipped tables that say which engine was measured, and of the campaigns."""
    inside = list(shelf().iterdir())
    tables = [
        f.name[:-5] for f in inside if f.name.endswith(".toml")
        and "engine" in tomllib.loads(f.read_text(encoding="utf-8"))
    ]  # fmt: skip
    campaigns = [
        f"{folder.name}/{f.name[:-5]}" for folder in inside if folder.is_dir()
        for f in folder.iterdir() if f.name.endswith(".json") and _can_be_fitted(f)
    ]  # fmt: skip
    return tuple(sorted([*tables, *campaigns]))


def _can_be_fitted(campaign: Any) -> bool:
    """Whether its model's shape is known, and it holds a closed loop."""
    said = json.loads(campaign.read_text(encoding="utf-8"))
    closed = any(not row.get("rate_per_s") for row in said["rows"])
    facts = said["provenance"]
    return closed and (bool(facts.get("shape")) or facts["model"] in known())


def read(where: str) -> Measured:
    """Measured points by path, or by the name of a shipped table.

    Raises:
        UsageProblem: no such file, or one that says too little.
    """
    path = Path(where)
    if not path.exists():
        inside = Path(str(shelf().joinpath(where)))
        ends = (inside.with_name(inside.name + end) for end in ("", ".toml", ".json"))
        path = next((p for p in ends if p.is_file()), path)
    if path.is_dir():
        path = path / "summary.json"
    if not path.exists():
        raise UsageProblem("FILE", f"{where} does not exist",
                           "a campaign's folder, a .json or .toml of measurements, or one of: "
                           + ", ".join(shipped()), nearest(where, shipped()))  # fmt: skip
    try:
        if path.suffix == ".csv":
            path = path.with_suffix(".toml")
        if path.suffix == ".toml":
            return _table(path, tomllib.loads(path.read_text(encoding="utf-8")))
        return _campaign(path, json.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        raise UsageProblem(str(path), f"does not say {error.args[0]!r}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UsageProblem):
            raise
        raise UsageProblem(
            str(path), f"cannot be read: {error}", ".toml with .csv, or .json"
        ) from None


def _table(path: Path, facts: dict[str, Any]) -> Measured:
    said = dict(facts["engine"])
    server = f"{said.pop('name')} {said.pop('version')}"
    rows = path.with_name(facts["rows"])
    with rows.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    engine = Engine(**said)
    return Measured(
        name=_named(rows), device=facts["device"], model=facts["model"],
        precision=facts["precision"], engine=engine, server=server, source=facts["source"],
        points=_points(table, engine, facts.get("same_prompts_again", False)),
    )  # fmt: skip


def _campaign(path: Path, summary: dict[str, Any]) -> Measured:
    facts = summary["provenance"]
    if facts.get("kv_tokens") is None:
        raise UsageProblem(str(path), "does not say how many KV tokens the server had")
    on_processor = "+cpu" in str(facts["engine_version"])
    engine = Engine(kv_tokens=int(facts["kv_tokens"]), block_size=int(facts["kv_block_size"]),
                    **(PROCESSOR if on_processor else {}))  # fmt: skip
    rows = [row for row in summary["rows"] if not row.get("rate_per_s")]
    return Measured(
        name=_named(path), device=str(facts["device"]), model=str(facts["model"]),
        precision=_precision(str(facts["command"]).replace("=", " ").split()), engine=engine,
        server=f"{facts['engine']} {facts['engine_version']}",
        source=f"twin bench, {facts['date'][:10]}", points=_points(rows, engine, False),
        noise=_noise(rows), shape=facts.get("shape"),
    )  # fmt: skip


def _precision(command: list[str]) -> str:
    """Of the weights, as the server was told."""
    told = dict(zip(command, command[1:], strict=False))
    if (quantized := told.get("--quantization", "fp8")) != "fp8":
        raise UsageProblem("--quantization", f"{quantized}: its bytes are not known here", "fp8")
    if "--quantization" in told:
        return quantized
    return short(told.get("--dtype", "bfloat16"))


def _noise(rows: list[dict[str, Any]]) -> float:
    """Standard deviation of a point's figure, relative, from its repeats' spread.

    The span of n normal draws is 1.13 (two), 1.69 (three) ... standard deviations in the mean
    (Tippett, Biometrika 17 (1925) 364), about the root of n; a median of them has less by that root
    again. Spans of all points count together, by their squares.
    """
    spans = [(float(row["spread"]), int(row["repeats"])) for row in rows
             if (row.get("repeats") or 1) > 1 and row.get("spread") is not None]  # fmt: skip
    squares = [(span / repeats) ** 2 for span, repeats in spans]
    return (sum(squares) / len(squares)) ** 0.5 if squares else 0.0


def _named(path: Path) -> str:
    root = Path(str(shelf()))
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _points(table: list[dict[str, Any]], engine: Engine, again: bool) -> tuple[Point, ...]:
    found, before = [], {}
    for row in table:

        def number(key: str, row: dict[str, Any] = row) -> float | None:
            return float(row[key]) if row.get(key) not in (None, "") else None

        load = Load(
            *(int(row[k]) for k in ("input_len", "output_len", "concurrency", "num_prompts"))
        )
        sweep = (row["workload"], load.input_len, load.output_len)
        if again:
            repeats = int(row.get("repeats") or 1)
            load = replace(load, known=known_again(load, engine, before.get(sweep, 0), repeats))
            before[sweep] = load.num_prompts
        seen = {name: None if (x := number(key)) is None else x * unit
                for name, (key, unit) in QUANTITIES.items()}  # fmt: skip
        found.append(Point(str(row["workload"]), load, seen))
    return tuple(found)


def known_again(load: Load, engine: Engine, before: int, repeats: int) -> int:
    """How many prompts of a sweep's point the prefix cache knows from the point before.

    Where each repeat has a seed of its own and all points have the same seeds, the first prompts of
    a point are those of the point before. They are found if the cache still holds all repeats of
    it, with what they were answered, and if what the first repeats add leaves room for those of the
    next: else the least recently used, which come first, are gone. So it is for most repeats, whose
    median is published (tests/oracles/prefix_cache.py follows the cache block by block).
    """
    whole, later = load.input_len + load.output_len, (repeats - 1) * before
    added = (load.num_prompts + later) * whole if repeats > 1 else 0
    held = max(before * repeats * whole, added)
    return min(before, load.num_prompts) if held <= engine.kv_tokens else 0


def split(measured: Measured, file: Path | None = None) -> tuple[Measured, Measured]:
    """Points that a fit may see, and those held out by ``heldout.toml`` (or another such file)."""
    text = (file or Path(str(shelf().joinpath("heldout.toml")))).read_text(encoding="utf-8")
    rules = [rule for rule in tomllib.loads(text)["heldout"] if rule["file"] == measured.name]

    def out(point: Point) -> bool:
        return any(
            point.workload in rule.get("workload", ()) or point.load.concurrency in
            rule.get("concurrency", ()) for rule in rules
        )  # fmt: skip

    apart = [p for p in measured.points if out(p)]
    return measured.only(p for p in measured.points if not out(p)), measured.only(apart)

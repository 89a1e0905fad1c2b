"""Predictions of loads that nobody measured, and how far outside the measured they lie."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from serving.fit import Band, Fit, bands_of
from serving.measured import known_again
from serving.models import find, short
from serving.problem import UsageProblem, nearest
from serving.schedule import Load
from serving.steplaw import Subject

# Standard deviations (of logarithms) that a transfer adds to the law's own error.
OTHER_MODEL = 0.07  # tests/serving/test_transfer.py: Qwen3 0.6B to 32B from two of them on one H20
OTHER_PRECISION = 0.14  # the same table: FP8 from BF16
A_DOUBLING = 0.05  # lengths, concurrency or scarcity beyond the measured, a factor of two. Assumed
# Arithmetic in 8 bit has twice the peak rate; large products reach less of it. Assumed, and the
# joules follow the width of the multiplier no more than the rate does. Assumed
FASTER = {1.0: (1.6, 0.6)}


@dataclass(frozen=True)
class Asked:
    """A load to predict."""

    model: str
    precision: str
    load: Load
    kv_tokens: int | None = None


@dataclass(frozen=True)
class Forecast:
    """What is expected of it; `outside` says in words what was not measured."""

    asked: Asked
    kv_tokens: int
    bands: dict[str, Band]
    outside: tuple[str, ...]


def shipped() -> tuple[str, ...]:
    """Devices whose fits are shipped."""
    return tuple(sorted(f.name[:-5] for f in _shelf().iterdir() if f.name.endswith(".json")))


def load_fit(where: str) -> Fit:
    """A fit by path, or by the name of a shipped device.

    Raises:
        UsageProblem: there is none, or the file is no fit.
    """
    path = Path(where)
    if not path.is_file():
        path = Path(str(_shelf().joinpath(f"{where}.json")))
    if not path.is_file():
        raise UsageProblem("--device", f"no fit of {where!r}",
                           f"{', '.join(shipped())}, or a file that twin calibrate -o wrote",
                           nearest(where, shipped()))  # fmt: skip
    try:
        return Fit.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise UsageProblem(
            str(path), f"is no fit: {error}", "a file of twin calibrate -o"
        ) from None


def _shelf() -> Any:
    return files("assets").joinpath("fits")


def forecast(
    fit: Fit, asked: Asked, extrapolate: bool = False, moved: tuple[str, float] | None = None
) -> Forecast:
    """Predict a load. Raises UsageProblem outside the measured unless told to `extrapolate`.

    `moved` is for a fit that `transfer.onto` made: from which device, and what that adds (log).
    """
    fit = replace(fit, precision=short(fit.precision))
    asked = replace(asked, precision=short(asked.precision))
    own = fit.architecture
    model = own if asked.model == fit.model else find(asked.model)
    load = asked.load
    if load.input_len + load.output_len > model.max_position:
        raise UsageProblem("lengths", f"{load.input_len} + {load.output_len} tokens",
                           f"at most {model.max_position:,} ({model.name}'s context)")  # fmt: skip
    kv = "fp32" if asked.precision == "fp32" else "bf16"
    subject = Subject.of(model, asked.precision, kv)
    tokens = asked.kv_tokens
    if tokens is None:
        mine = Subject.of(own, fit.precision, kv)
        memory = fit.engine.kv_tokens * mine.kv + own.weight_bytes(fit.precision)
        tokens = int((memory - model.weight_bytes(asked.precision)) / subject.kv)
        if tokens < load.input_len + load.output_len:
            raise UsageProblem("--model", f"{model.name} in {asked.precision} leaves no room for"
                               f" its cache in {memory / 1e9:.0f} GB", "a smaller model",
                               "or say --kv-tokens")  # fmt: skip
    engine = replace(fit.engine, kv_tokens=tokens)
    outside, wider = [], 0.0
    if moved:
        outside.append(f"device {fit.device} (measured: {moved[0]})")
        wider = moved[1]
    if model.name != own.name:
        outside.append(f"model {model.name} (measured: {own.name})")
        wider = np.hypot(wider, OTHER_MODEL)
    if asked.precision != fit.precision:
        outside.append(f"precision {asked.precision} (measured: {fit.precision})")
        wider = np.hypot(wider, OTHER_PRECISION)
    scarce = load.concurrency * (load.input_len + load.output_len) / tokens
    for name, value in (
        ("input_len", load.input_len), ("output_len", load.output_len),
        ("concurrency", load.concurrency), ("kv_tokens_wanted_over_held", scarce),
    ):  # fmt: skip
        low, high = fit.measured[name]
        beyond = max(value / high, low / value if value else 1.0)
        if beyond > 1.0 + 1e-9:
            outside.append(f"{name} {value:g} (measured: {low:g} to {high:g})")
            wider = np.hypot(wider, A_DOUBLING * np.log2(beyond))
    if outside and not extrapolate:
        raise UsageProblem("--predict", "not measured: " + "; ".join(outside),
                           hint="--extrapolate predicts all the same, and says so")  # fmt: skip
    narrow = asked.precision.split("-")[0]
    faster = FASTER[1.0] if narrow in ("fp8", "int8") and fit.precision == "bf16" else (1.0, 1.0)
    numbers = replace(fit.numbers, rate=fit.numbers.rate * faster[0],
                      per_flop=fit.numbers.per_flop * faster[1])  # fmt: skip
    try:
        bands = bands_of(replace(fit, numbers=numbers), load, subject, engine, float(wider))
    except ValueError as error:
        raise UsageProblem("--kv-tokens", str(error), f"at least {load.input_len + load.output_len}"
                           ) from None  # fmt: skip
    return Forecast(replace(asked, model=model.name), tokens, bands, tuple(outside))


def read_points(path: Path, fit: Fit) -> Iterator[Asked]:
    """The loads in the rows of a CSV.

    Columns: input_len, output_len, concurrency; and model, precision, kv_tokens, num_prompts and
    repeats where they differ from the fit's own. Consecutive rows of the same lengths with
    `repeats` are taken as a sweep with the same seeds at each point: what the prefix cache then
    knows is counted.
    """
    if not path.is_file():
        raise UsageProblem("--points", f"{path} does not exist", "a CSV file")
    before: dict[tuple[Any, ...], int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):

            def number(key: str, default: int | None, row: Any = row, line: int = line) -> Any:
                text = (row.get(key) or "").strip()
                if not text and default is not None:
                    return default
                if not text.isdigit() or int(text) < 1:
                    raise UsageProblem(f"{path.name}:{line}", f"{key} is {text!r}",
                                       "a whole number of at least 1")  # fmt: skip
                return int(text)

            concurrency = number("concurrency", None)
            load = Load(number("input_len", None), number("output_len", None), concurrency,
                        number("num_prompts", max(50, 5 * concurrency)))  # fmt: skip
            model = (row.get("model") or fit.model).strip()
            precision = (row.get("precision") or fit.precision).strip()
            held = number("kv_tokens", 0) if row.get("kv_tokens") else 0
            if row.get("repeats"):
                sweep = (model, precision, load.input_len, load.output_len)
                engine = replace(fit.engine, kv_tokens=held or fit.engine.kv_tokens)
                known = known_again(load, engine, before.get(sweep, 0), number("repeats", 1))
                before[sweep] = load.num_prompts
                load = replace(load, known=known)
            yield Asked(model, precision, load, held or None)

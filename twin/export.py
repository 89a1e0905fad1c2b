"""A run as one table for other tools: one row per record and satellite, written chunk by chunk.

Columns: ``time`` (UTC), ``time_s`` (since the start), ``name``, ``norad``, ``class``, then the
run's variables in SI. Vectors become ``position_x`` and so on, temperatures ``temperature_chip``
and so on, ``limit`` its word. What does not exist (of a satellite that has decayed) is empty. A run
that was stopped gives the records it has.

Parquet carries units and labels as metadata of its columns, and the title, the scenario, the
versions and the note about assumed payloads as metadata of the file. CSV has no place for them that
readers agree on: there they stay in the run, which is the table's source.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from twin.problems import InputError, Problem
from twin.results import Run

ROWS = 100_000  # at once: 50 MB of text
KEPT = ("title", "scenario", "scenario_text", "start", "assumed", "versions", "seed")
Columns = dict[str, np.ndarray]


def write_csv(run: Path | str, path: Path | str) -> int:
    """Write the table as CSV, all digits of the store, and return its number of rows."""
    rows = 0
    data, records = _opened(run)
    with _target(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for columns in _blocks(data, records):
            if not rows:
                writer.writerow(columns)
            writer.writerows(zip(*map(_words, columns.values()), strict=True))
            rows += columns["time"].size
    return rows


def write_parquet(run: Path | str, path: Path | str) -> int:
    """Write the table as Parquet and return its number of rows. Needs pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        install = 'pip install "constellation-twin[formats]"'
        raise InputError(
            [Problem("--parquet", "pyarrow is not installed", hint=f"{install}, or use --csv")]
        ) from None
    rows, writer = 0, None
    data, records = _opened(run)
    about = {key: data.attrs[key] for key in KEPT if key in data.attrs}
    about = {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
    with _target(path).open("wb") as file:
        try:
            for columns in _blocks(data, records):
                arrays = [_arrow(pa, name, values) for name, values in columns.items()]
                fields = [
                    pa.field(name, array.type, metadata=_label(data, name))
                    for name, array in zip(columns, arrays, strict=True)
                ]
                table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=about))
                writer = writer or pq.ParquetWriter(file, table.schema)
                writer.write_table(table)
                rows += table.num_rows
        finally:
            if writer:
                writer.close()
    return rows


def _opened(run: Path | str) -> tuple[xr.Dataset, int]:
    """The run's data, and how many of its records are there."""
    opened = Run(run)
    data, records = opened.dataset(), opened.records_done()
    if not records:
        raise InputError([Problem(str(run), "has no records yet", hint="twin resume goes on")])
    return data, records


def _target(path: Path | str) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InputError([Problem(str(path), "is a folder", "a file to write")])
    if not path.parent.is_dir():
        raise InputError([Problem(str(path), f"there is no folder {path.parent}")])
    return path


def _blocks(data: xr.Dataset, records: int) -> Iterator[Columns]:
    """Columns of up to `ROWS` rows, in order of time; each chunk of the store is read once."""
    variables = [name for name in data.data_vars if data[name].dims[:2] == ("time", "sat")]
    start = np.datetime64(data.attrs["start"].removesuffix("Z"), "us")
    seconds = data["time"].to_numpy()[:records]
    fixed = {
        "name": data["name"].to_numpy().astype(object),
        "norad": data["norad"].to_numpy(),
        "class": data["class"].to_numpy().astype(object),
    }
    satellites = fixed["norad"].size
    chunk = min((data[n].encoding["chunks"][0] for n in variables), default=records)
    block = max(1, ROWS // satellites)
    for low in range(0, records, chunk):
        high = min(low + chunk, records)
        values = data[variables].isel(time=slice(low, high)).load()
        for first in range(low, high, block):
            part = slice(first - low, min(first + block, high) - low)
            moments = seconds[low:high][part]
            times = start + np.round(moments * 1e6).astype("timedelta64[us]")
            columns = {"time": np.repeat(times, satellites)}
            columns["time_s"] = np.repeat(moments, satellites)
            columns |= {name: np.tile(one, moments.size) for name, one in fixed.items()}
            for name in variables:
                columns |= _split(values[name][part], data)
            yield columns


def _split(variable: xr.DataArray, data: xr.Dataset) -> Columns:
    """One variable as one column, or as one for each of its components."""
    name, values = str(variable.name), variable.to_numpy()
    if values.ndim == 3:
        axis = "xyz" if variable.dims[2] == "xyz" else data["node_name"].to_numpy()
        return {f"{name}_{label}": values[..., k].ravel() for k, label in enumerate(axis)}
    meanings = variable.attrs.get("flag_meanings")
    if meanings:
        words = dict(zip(variable.attrs["flag_values"], meanings.split(), strict=True))
        return {name: np.array([words.get(int(v), "") for v in values.ravel()], dtype=object)}
    return {name: values.ravel()}


def _words(values: np.ndarray) -> list[Any]:
    """A column as CSV writes it: shortest exact digits, UTC with Z, nothing for NaN."""
    if values.dtype.kind == "M":
        whole = not (values.astype(np.int64) % 1_000_000).any()
        unit = "s" if whole else "us"
        return [f"{text}Z" for text in np.datetime_as_string(values, unit=unit).tolist()]
    if values.dtype.kind == "f":
        return ["" if text == "nan" else text for text in map(str, values)]
    return values.tolist()


def _arrow(pa: Any, name: str, values: np.ndarray) -> Any:
    if values.dtype.kind == "M":
        return pa.array(values, type=pa.timestamp("us", tz="UTC"))
    array = pa.array(values, from_pandas=True)
    return array.dictionary_encode() if values.dtype == object else array


def _label(data: xr.Dataset, column: str) -> dict[str, str]:
    """Units and label of a column, from the variable that it is or is part of."""
    if column in ("time", "time_s"):
        return {"long_name": "Time", "units": "UTC"} if column == "time" else {"units": "s"}
    name = column if column in data else column.rsplit("_", 1)[0]
    name = name if name in data else next((v for v in data if column.startswith(f"{v}_")), "")
    attrs = data[name].attrs if name else {}
    kept = ("units", "long_name", "frame", "cell_methods")
    return {key: str(attrs[key]) for key in kept if key in attrs}

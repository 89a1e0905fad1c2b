"""The run on disk: Telemetry ↔ zarr ↔ xarray, and the checkpoint that makes a run resumable.

A run is a folder: ``run.zarr`` (the variables), ``scenario.toml`` (verbatim), ``inputs/`` (files
that the scenario names), ``run.json`` (how it was made), ``checkpoint.npz`` and, once done,
``report.json``.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from twin.constellation import Limit, State, Telemetry, table
from twin.problems import InputError, Problem

STORE, CHECKPOINT, ABOUT, REPORT, SCENARIO = (
    "run.zarr", "checkpoint.npz", "run.json", "report.json", "scenario.toml",
)  # fmt: skip
SMOOTH = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")


class Run:
    """A run's folder, open for writing or reading."""

    def __init__(self, folder: Path | str):
        """Name the folder; nothing is touched yet."""
        self.folder = Path(folder)

    # -- writing

    def create(self, text: str, inputs: Mapping[str, Path], about: Mapping[str, Any]) -> None:
        """Make the folder; one that exists is left alone and said to exist."""
        if self.folder.exists() and any(self.folder.iterdir()):
            hint = "choose another with -o, or go on with: twin resume"
            raise InputError([Problem(str(self.folder), "already exists", "a new folder", hint)])
        try:
            (self.folder / "inputs").mkdir(parents=True)
            (self.folder / SCENARIO).write_text(text, encoding="utf-8")
            for name, path in inputs.items():
                shutil.copyfile(path, self.folder / "inputs" / Path(name).name)
            self.write_json(ABOUT, about)
        except OSError as error:
            raise InputError(
                [Problem(str(self.folder), f"cannot be written: {error.strerror}")]
            ) from None

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file so that it is there whole or not at all."""
        target = self.folder / name
        part = target.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(part, target)

    def allocate(
        self,
        records: int,
        chunk: int,
        static: Mapping[str, np.ndarray],
        attributes: Mapping[str, Any],
        series: Mapping[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]],
        variables: Sequence[str],
    ) -> None:
        """Lay out all arrays: variables empty, coordinates and the series known beforehand full."""
        group = zarr.create_group(self.folder / STORE, attributes=dict(attributes), overwrite=True)
        for name, values in static.items():
            dims = ("node",) if name == "node_name" else ("sat",)
            units = {"battery_capacity": {"units": "J", "long_name": "Battery capacity"}}
            _full(group, name, dims, values, units.get(name, {}))
        for name, (dims, values, attrs) in series.items():
            _full(group, name, dims, values, attrs)
        sizes = {"sat": static["name"].size, "node": static["node_name"].size, "xyz": 3}
        for name in variables:
            row = table()[name]
            inner = tuple(sizes[dim] for dim in row["dims"][1:])
            attrs = {"units": row["units"], "long_name": row["long_name"]}
            attrs["cell_methods"] = "time: mean" if row["mean"] else "time: point"
            if name in ("position", "velocity"):
                attrs["frame"] = "TEME"
            if name == "limit":
                attrs["flag_values"] = [int(x) for x in Limit]
                attrs["flag_meanings"] = " ".join(x.name.lower() for x in Limit)
            group.create_array(
                name,
                shape=(records, *inner),
                chunks=(min(chunk, records), *inner),
                dtype=row["dtype"],
                compressors=SMOOTH,
                fill_value=float("nan") if row["dtype"].startswith("float") else 0,
                attributes=attrs,
                dimension_names=row["dims"],
            )

    def writer(self) -> "Writer":
        """Open the arrays for appending chunks."""
        return Writer(self.folder)

    # -- reading

    def about(self) -> dict[str, Any]:
        """How the run was made."""
        return self._json(ABOUT)

    def report(self) -> dict[str, Any]:
        """The report of a finished run."""
        if not (self.folder / REPORT).is_file() and (self.folder / ABOUT).is_file():
            raise InputError(
                [Problem(str(self.folder), "is not finished", hint="twin resume goes on")]
            )
        return self._json(REPORT)

    def scenario_text(self) -> str:
        """The scenario file as it was."""
        return (self.folder / SCENARIO).read_text(encoding="utf-8")

    def checkpoint(self, like: State) -> tuple[int, State] | None:
        """Records done and the state after them; None if no chunk was finished."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return None
        with np.load(path) as saved:
            leaves, structure = jax.tree.flatten(like)
            found = [saved[f"leaf{k:03d}"] for k in range(len(leaves))]
            return int(saved["records"]), jax.tree.unflatten(structure, found)

    def records_done(self) -> int:
        """Records of the finished chunks."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return 0
        with np.load(path) as saved:
            return int(saved["records"])

    def dataset(self) -> xr.Dataset:
        """The variables as an xarray dataset, read lazily; the report is among the attributes."""
        if not (self.folder / STORE).is_dir():
            raise InputError(
                [Problem(str(self.folder), "is not a run", "a folder made by twin run")]
            )
        data = xr.open_zarr(self.folder / STORE, consolidated=False)
        data = data[sorted(data, key=[*table(), *data].index)]  # zarr lists a folder in any order
        data = data.set_coords([n for n in ("name", "norad", "class", "node_name") if n in data])
        if (self.folder / REPORT).is_file():
            data.attrs["report"] = json.dumps(self.report())
        return data

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                [Problem(str(self.folder), "is not a run", "a folder made by twin run")]
            ) from None
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(
                [Problem(f"{self.folder}/{name}", f"cannot be read: {error}")]
            ) from None


class Writer:
    """Appends chunks of records; the checkpoint follows the data, by an atomic rename."""

    def __init__(self, folder: Path):
        self.folder = folder
        group = zarr.open_group(folder / STORE, mode="r+")
        self.arrays: dict[str, Any] = {name: group[name] for name in table() if name in group}

    def append(self, first: int, telemetry: Telemetry, state: State, satellites: int) -> None:
        """Write one chunk from record `first`; on disk time and satellite lead: one transpose."""
        count = telemetry.alive.shape[0]
        for name, array in self.arrays.items():
            values = np.asarray(getattr(telemetry, name))[..., :satellites]
            if values.ndim == 3:
                values = values.transpose(0, 2, 1)
            array[first : first + count] = np.ascontiguousarray(values, dtype=array.dtype)
        leaves: dict[str, Any] = {
            f"leaf{k:03d}": np.asarray(x)[..., :satellites]
            for k, x in enumerate(jax.tree.leaves(state))
        }
        part = self.folder / "checkpoint.part.npz"
        np.savez(part, allow_pickle=False, records=first + count, **leaves)
        os.replace(part, self.folder / CHECKPOINT)


def _full(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    attrs: Mapping[str, Any],
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        compressors=SMOOTH,
        attributes=dict(attrs),
        dimension_names=dims,
    )
    array[...] = values

"""Run store in, what is visible at a time out: arrays and legends in SI, and no drawing.

The store (``RUN/run.zarr``) is the only thing read. Vectors are TEME, metres; the Earth-fixed
frame is reached by one turn about the z axis (``earth_rotation``), so polar motion (some 10 m) is
left out of the picture.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, UInt8

from viz import theme
from viz.problem import UsageProblem
from viz.theme import Quantity

EARTH_RADIUS = 6_378_137.0  # m, equatorial. Source: WGS 84
EARTH_POLAR_RADIUS = 6_356_752.314245  # m. Source: WGS 84
TRAIL_SECONDS = 14 * 60.0
TRAIL_FLEET = 100  # beyond this many satellites trails cover the picture
SETTLING = 100 * 60.0  # s, about one orbit
TYPICAL = 100.0  # how much more typical shares count than light
NEEDED = ("time", "position", "sun_position", "earth_rotation", "sunlit")


@dataclass(frozen=True)
class Legend:
    """What the colours mean: a range with ticks, or categories, in the unit people read."""

    title: str
    unit: str
    low: float
    high: float
    ticks: tuple[float, ...]
    colormap: str
    categories: tuple[tuple[str, str], ...] = ()  # (meaning, colour), in order of the flag values
    flags: tuple[int, ...] = ()

    def colours(self, values: Float[np.ndarray, "sat"]) -> UInt8[np.ndarray, "sat 3"]:
        """The colour of each value, NaN in grey."""
        if not self.categories:
            return theme.colours_of(values, self.low, self.high, self.colormap)
        table = {f: theme.rgb(c) for f, (_, c) in zip(self.flags, self.categories, strict=True)}
        grey = (120, 120, 120)
        rows = [table.get(int(v), grey) if np.isfinite(v) else grey for v in values]
        return np.array(rows, dtype=np.uint8).reshape(-1, 3)


@dataclass(frozen=True)
class Frame:
    """Everything that one picture shows at one moment; vectors in TEME, metres."""

    time: datetime
    elapsed: float  # s since the run's start
    position: Float[np.ndarray, "sat 3"]
    values: Float[np.ndarray, "sat"]  # in the legend's unit
    colours: UInt8[np.ndarray, "sat 3"]
    sunlit: Float[np.ndarray, "sat"]  # share of the Sun's disc in view
    alive: Bool[np.ndarray, "sat"]
    trails: Float[np.ndarray, "sat point 3"]  # oldest first; no points for a large fleet
    sun: Float[np.ndarray, "3"]  # unit vector
    earth_rotation: float  # rad, from TEME x to the Earth-fixed x axis
    stations: Float[np.ndarray, "station 3"]
    legend: Legend
    limited: tuple[tuple[str, int], ...] = ()  # what limits the work now, and how many
    shed: tuple[tuple[str, int], ...] = ()  # what is switched off now, on how many
    temperatures: tuple[tuple[str, float, float], ...] = ()  # node, coldest, hottest now (°C)

    @property
    def shadowed(self) -> Bool[np.ndarray, "sat"]:
        """Satellites that see less than half of the Sun's disc."""
        return self.alive & (self.sunlit < 0.5)

    @property
    def sun_itrf(self) -> Float[np.ndarray, "3"]:
        """Direction of the Sun in the Earth-fixed frame."""
        return itrf_from_teme(self.earth_rotation) @ self.sun


def itrf_from_teme(earth_rotation: float) -> Float[np.ndarray, "3 3"]:
    """The turn from TEME to the Earth-fixed frame; left out: polar motion."""
    cos, sin = np.cos(earth_rotation), np.sin(earth_rotation)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def surface_position(
    latitude: np.ndarray, longitude: np.ndarray, height: float = 0.0
) -> Float[np.ndarray, "*shape 3"]:
    """Geodetic latitude and longitude (rad) to Earth-fixed metres on the WGS 84 ellipsoid."""
    squash = (EARTH_POLAR_RADIUS / EARTH_RADIUS) ** 2
    normal = EARTH_RADIUS / np.sqrt(1 - (1 - squash) * np.sin(latitude) ** 2)
    across = (normal + height) * np.cos(latitude)
    return np.stack(
        [
            across * np.cos(longitude),
            across * np.sin(longitude),
            (normal * squash + height) * np.sin(latitude),
        ],
        axis=-1,
    )


class Run:
    """One opened run store."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        store = self.path / "run.zarr"
        where = str(self.path)
        if not store.is_dir():
            raise UsageProblem(
                where, "is not a run store", "a folder that holds run.zarr", "make one: twin run"
            )
        try:
            self.data = xr.open_zarr(store, chunks=None, decode_times=False, consolidated=False)
        except Exception as error:  # zarr and xarray raise many kinds
            raise UsageProblem(where, f"cannot be read as a run store ({error})") from error
        missing = [name for name in NEEDED if name not in self.data.variables]
        if missing:
            raise UsageProblem(
                where, f"lacks {', '.join(missing)}", f"a run store has {', '.join(NEEDED)}"
            )
        time = self.data["time"].values.astype(float)
        # A run that was cut short may have room for records that were never written.
        sun = np.linalg.norm(self.data["sun_position"].transpose("time", "xyz").values, axis=1)
        written = (np.diff(time, prepend=-np.inf) > 0) & (np.nan_to_num(sun) > 0)
        self.count = int(written.size if written.all() else np.argmin(written))
        if not self.count or not self.data.sizes.get("sat"):
            raise UsageProblem(where, "holds no records yet", hint="go on with: twin resume")
        self.time = time[: self.count]
        attrs = self.data.attrs
        self.title = str(attrs.get("title", self.path.name))
        self.scenario = str(attrs.get("scenario", ""))
        self.assumed = str(attrs.get("assumed", ""))
        start = str(attrs.get("start") or self.data["time"].attrs.get("epoch", ""))
        self.start = parse_utc(start, where)
        stations = attrs.get("stations", "[]")
        self.stations = json.loads(stations) if isinstance(stations, str) else list(stations)
        self.satellites = self.data.sizes["sat"]

    @cached_property
    def names(self) -> list[str]:
        """Names of the satellites, or their numbers where the store has none."""
        if "name" in self.data.variables:
            return [str(name) for name in self.data["name"].values]
        return [str(number + 1) for number in range(self.satellites)]

    @cached_property
    def trail_records(self) -> int:
        """How many records back a trail reaches."""
        if self.satellites > TRAIL_FLEET or self.count < 2:
            return 0
        return int(TRAIL_SECONDS / np.median(np.diff(self.time)))

    def trail_seconds(self, elapsed: float) -> float:
        """How long a trail is at a time: shorter just after the start."""
        now = int(np.argmin(np.abs(self.time - elapsed)))
        return float(self.time[now] - self.time[max(0, now - self.trail_records)])

    def utc(self, index: int) -> datetime:
        """The moment of a record."""
        return self.start + timedelta(seconds=float(self.time[index]))

    def allowed(self) -> list[str]:
        """The variables that colours can show."""
        shown = [
            name
            for name, quantity in theme.QUANTITIES.items()
            if {name, quantity.full or name} <= set(self.data.variables)
        ]
        if "temperature" in shown:
            shown += [f"temperature.{node}" for node in self.nodes]
        return shown

    @cached_property
    def nodes(self) -> list[str]:
        """Names of the heat network's nodes, or their numbers."""
        if "node_name" not in self.data.variables:
            return [str(number) for number in range(self.data.sizes.get("node", 0))]
        return [str(node) for node in self.data["node_name"].values]

    def quantity(self, variable: str | None) -> tuple[Quantity, int | None]:
        """The quantity called ``variable`` and, for temperatures, the node: by default the chip."""
        allowed = self.allowed()
        if variable is None:
            variable = allowed[0] if allowed else "nothing"
        name, _, node = variable.partition(".")
        if variable not in allowed:
            near = get_close_matches(variable, allowed, 1)
            raise UsageProblem(
                "--color",
                f"unknown variable {variable!r}",
                f"one of {', '.join(allowed)}",
                f"did you mean {near[0]}?" if near else "",
            )
        if name != "temperature":
            return theme.QUANTITIES[name], None
        nodes = self.nodes
        chips = [i for i, n in enumerate(nodes) if "chip" in n or "payload" in n] or [0]
        return theme.QUANTITIES[name], nodes.index(node) if node else chips[0]

    @cached_property
    def _alive(self) -> Bool[np.ndarray, "time sat"]:
        if "alive" not in self.data.variables:
            return np.ones((self.count, self.satellites), dtype=bool)
        return self.data["alive"].values[: self.count].astype(bool)

    def _values(self, quantity: Quantity, node: int | None, index: Any = slice(None)) -> np.ndarray:
        """Values in the unit people read, NaN where the satellite is no more."""
        chosen = self.data[quantity.variable].isel(time=slice(self.count))
        if node is not None:
            chosen = chosen.isel(node=node)
        values = chosen.isel(time=index).transpose(..., "sat").values.astype(float)
        full = self.data[quantity.full].values.astype(float) if quantity.full else None
        return np.where(self._alive[index], theme.displayed(quantity, values, full), np.nan)

    def legend(self, variable: str | None = None) -> Legend:
        """What colours mean in every picture of this run: the range spans the whole run."""
        quantity, node = self.quantity(variable)
        title = quantity.label
        if node is not None:
            title = f"{self.nodes[node].replace('_', ' ').capitalize()} temperature"
        if quantity.kind == "category":
            kinds = self.meanings(quantity.variable)
            spare = iter(theme.SPARE_COLOURS * len(kinds))
            pairs = [(m, theme.CATEGORY_COLOURS.get(m) or next(spare)) for m in kinds.values()]
            return Legend(title, "", 0, 1, (), "", tuple(pairs), tuple(kinds))
        values = self._values(quantity, node)
        known = values[np.isfinite(values)]
        low = quantity.low if quantity.low is not None else float(known.min(initial=np.inf))
        high = quantity.high if quantity.high is not None else float(known.max(initial=-np.inf))
        low, high, step = theme.nice_range(low, high)
        ticks = tuple(np.arange(round((high - low) / step) + 1) * step + low)
        return Legend(title, quantity.unit, low, high, ticks, quantity.colormap)

    def meanings(self, variable: str) -> dict[int, str]:
        """What the values of a category mean: from the store, or as the theme says."""
        attrs: Any = self.data[variable].attrs
        words = str(attrs.get("flag_meanings", "")).split()
        if not words:
            words = list(theme.QUANTITIES[variable].meanings)
        if variable == "mode":
            words = words or [str(word) for word in self.data.attrs.get("attitudes", ())]
        flags = np.atleast_1d(attrs.get("flag_values", range(len(words))))
        return {int(flag): word for flag, word in zip(flags, words, strict=True)}

    def counts(self, variable: str, index: int) -> tuple[tuple[str, int], ...]:
        """How many satellites have which value of a category at a record; none, none listed."""
        if variable not in self.data.variables:
            return ()
        values = self.data[variable].isel(time=index).values[self._alive[index]]
        found = [
            (word, int((values == flag).sum())) for flag, word in self.meanings(variable).items()
        ]
        return tuple((word, count) for word, count in found if count)

    def temperatures(self, index: int) -> tuple[tuple[str, float, float], ...]:
        """Coldest and hottest at a record (°C) of the nodes that people ask for."""
        if "temperature" not in self.data.variables or not self._alive[index].any():
            return ()
        stored = self.data["temperature"].isel(time=index).transpose("sat", "node").values
        celsius = stored[self._alive[index]].astype(float) - 273.15
        shown = [n for n in theme.FIRST_NODES if n in self.nodes]
        shown += [n for n in self.nodes if n not in (*shown, *theme.MINOR_NODES)]
        columns = {name: celsius[:, self.nodes.index(name)] for name in shown}
        return tuple(
            (name.replace("_", " "), float(values.min()), float(values.max()))
            for name, values in columns.items()
        )

    def index_at(self, moment: str | None, variable: str | None = None) -> int:
        """The record nearest to ``moment``: ISO 8601 UTC, or ``+H`` hours after the start."""
        if moment is None:
            return self.telling_record(variable)
        if moment.strip().startswith("+"):
            try:
                elapsed = float(moment) * 3600.0
            except ValueError:
                elapsed = np.nan
            if not np.isfinite(elapsed):
                raise UsageProblem("--at", f"{moment!r} is not a number of hours", "such as +1.5")
        else:
            elapsed = (parse_utc(moment, "--at") - self.start).total_seconds()
        reach = float(np.median(np.diff(self.time))) if self.count > 1 else 0.0
        if not self.time[0] - reach / 2 <= elapsed <= self.time[-1] + reach / 2:
            first, last = (f"{self.utc(i):%Y-%m-%dT%H:%M:%SZ}" for i in (0, -1))
            raise UsageProblem(
                "--at",
                f"{moment} lies outside the run",
                f"{first} to {last}, or +0 to +{self.time[-1] / 3600:.4g}",
            )
        return int(np.argmin(np.abs(self.time - elapsed)))

    def telling_record(self, variable: str | None = None) -> int:
        """The record at which a picture says most.

        The sum of two terms, each from 0 to 1, is largest: how evenly the fleet is split between
        sunlight and shadow, 4p(1 − p), and how much the shown variable differs from satellite to
        satellite (twice the standard deviation over the legend's range, at most 1; of categories,
        the share that is there at once of those that ever are). Of what limits the work, the
        record is shown whose shares are nearest to the whole run's, so that no rare moment stands
        for all; light only decides between equals. The first quarter of the run, at most 100
        minutes, is left out: there the initial charges and temperatures still show. Ties go to
        the earliest.
        """
        quantity, node = self.quantity(variable)
        values = self._values(quantity, node)
        legend = self.legend(variable)
        alive = self._alive
        living = np.maximum(alive.sum(axis=1), 1)
        lit = np.nansum(self.data["sunlit"].values[: self.count] * alive, axis=1) / living
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=1), 1)
        mean = np.where(known, values, 0).sum(axis=1) / count
        off = np.where(known, values - mean[:, None], 0)
        spread = np.minimum(
            2 * np.sqrt((off**2).sum(axis=1) / count) / (legend.high - legend.low), 1
        )
        if legend.categories:
            kinds = np.stack([(values == flag).sum(axis=1) for flag in legend.flags])
            spread = (kinds > 0).sum(axis=0) / max(1, (kinds > 0).any(axis=1).sum())
        if quantity.variable == "limit":
            usual = kinds.sum(axis=1, keepdims=True) / living.sum()
            spread = -TYPICAL * np.abs(kinds / living - usual).sum(axis=0)
        score = 4 * lit * (1 - lit) + spread
        settling = self.time[0] + min(0.25 * (self.time[-1] - self.time[0]), SETTLING)
        first = int(np.searchsorted(self.time, settling))
        return first + int(np.argmax(score[first:]))

    def frame(self, index: int, variable: str | None = None, legend: Legend | None = None) -> Frame:
        """What is visible at a record. Give ``legend`` when drawing many of one run."""
        legend = legend or self.legend(variable)
        quantity, node = self.quantity(variable)
        now = self.data.isel(time=index)
        position = now["position"].transpose("sat", "xyz").values.astype(float)
        alive = self._alive[index] & np.isfinite(position).all(axis=1)
        values = self._values(quantity, node, index)
        sun = now["sun_position"].values.astype(float)
        rotation = float(now["earth_rotation"].values)
        teme_from_itrf = itrf_from_teme(rotation).T
        degrees = np.array(
            [(s["latitude_deg"], s["longitude_deg"]) for s in self.stations], dtype=float
        ).reshape(-1, 2)
        places = surface_position(*np.radians(degrees).T)
        return Frame(
            time=self.utc(index),
            elapsed=float(self.time[index]),
            position=position,
            values=values,
            colours=legend.colours(values),
            sunlit=now["sunlit"].values.astype(float),
            alive=alive,
            trails=self._trails(index),
            sun=sun / np.linalg.norm(sun),
            earth_rotation=rotation,
            stations=places @ teme_from_itrf.T,
            legend=legend,
            limited=self.counts("limit", index),
            shed=self.counts("shed", index),
            temperatures=self.temperatures(index),
        )

    def _trails(self, index: int, finer: int = 6) -> Float[np.ndarray, "sat point 3"]:
        """The way since some minutes ago, cubic between records where velocities are known."""
        first = max(0, index - self.trail_records)
        if first == index:
            return np.empty((self.satellites, 0, 3))
        window = self.data.isel(time=slice(first, index + 1))
        position = window["position"].transpose("sat", "time", "xyz").values.astype(float)
        if "velocity" not in window.variables:
            return position
        from scipy.interpolate import CubicHermiteSpline

        velocity = window["velocity"].transpose("sat", "time", "xyz").values.astype(float)
        time = self.time[first : index + 1]
        fine = np.linspace(time[0], time[-1], finer * (len(time) - 1) + 1)
        known = np.isfinite(position).all(axis=(1, 2)) & np.isfinite(velocity).all(axis=(1, 2))
        trails = np.full((self.satellites, len(fine), 3), np.nan)
        spline = CubicHermiteSpline(time, position[known], velocity[known], axis=1)
        trails[known] = spline(fine)
        return trails


def parse_utc(text: str, where: str) -> datetime:
    """ISO 8601 with or without ``Z``; no zone means UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(
            where, f"{text!r} is not a time", "ISO 8601 UTC, such as 2025-10-04T12:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

"""How much of the Sun, of the Earth and of each other the surfaces of a satellite see.

All is worked out once per design, on the host, into tables over the directions of the sky; a run
interpolates in them. Faces are diffuse. What a surface sees with nothing in the way is exact: the
cosine for the Sun, Howell's B-43 for the Earth. Rays only tell which share of that is blocked, so
where nothing can stand in the way there is no noise and no ray.

Source: Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-43 (a planar element
to a sphere); Howell, Mengüç & Siegel, Thermal Radiation Heat Transfer (2016), chapters 5 and 10.
"""

import contextlib
import hashlib
import os
import tempfile
import threading
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float

from twin.spacecraft.craft import Craft, locked
from twin.spacecraft.facets import Model
from twin.spacecraft.factors import (
    EXCHANGE_POINTS,
    by_surface,
    earth_of_rigid,
    earth_of_tracking,
    exchange,
    grid,
    on_grid,
    solar_cosines,
    unit,
)
from twin.spacecraft.overlap import sunken
from twin.spacecraft.rays import Tracer

VERSION = 3  # of the tables: raise it when the same craft would give other numbers
POINTS = 768  # sample points on a surface, for the Sun and the Earth
TOLERANCE = 0.005  # by which the views of a surface may miss 1


@dataclass(frozen=True, eq=False)
class Views:
    """What the surfaces of a satellite see, by direction in the body frame.

    The tables stand on latitudes (the angle above the x-y plane towards +z) from -90 to 90 degrees
    and longitudes (the angle in that plane from +x towards +y) from 0 to 355, in steps of 5. Both
    are indexed by the Sun's direction for a craft whose wings follow it, with the Earth at -x. For
    a rigid craft `solar` is indexed by the Sun's direction, `earth` by the Earth's.
    """

    surfaces: tuple[str, ...]
    area: Float[np.ndarray, "surface"]  # m²
    # Mean over the surface of the cosine of incidence, 0 where it is in shadow.
    solar: Float[np.ndarray, "surface latitude longitude"]
    # View factor to the Earth at each of `horizons`.
    earth: Float[np.ndarray, "2 surface latitude longitude"]
    # View factor of the first to the second, 0 to itself.
    exchange: Float[np.ndarray, "surface surface"]
    # View of itself and of insulated backs, which give back what comes.
    own: Float[np.ndarray, "surface"]
    horizons: tuple[float, float]  # (Earth's radius / distance from its centre)²
    parts: tuple[str, ...]
    # Share of the first part's faces that lies inside the second; parts that touch have none.
    sunken: Float[np.ndarray, "part part"]

    @property
    def sky(self) -> Float[np.ndarray, "surface"]:
        """View factor of all that is not the satellite: Earth and space."""
        return 1.0 - self.own - self.exchange.sum(axis=1)


def views(
    craft: Craft,
    *,
    tracking: bool,
    wing_rotation: float = 0.0,
    horizons: tuple[float, float] = (0.75, 0.90),
    points: int = POINTS,
) -> Views:
    """Work out what the surfaces of a satellite see.

    With `tracking` the wings follow the Sun and the Earth is at -x, as in nadir attitude; else they
    are locked at `wing_rotation` (rad) about z. `points` sample points on each surface decide the
    noise, which falls nearly in proportion to them. View factors between surfaces are means over
    the Sun's directions. Raises `OpenViews` where those of a surface do not sum to one.
    """
    if not 0 < horizons[0] < horizons[1] < 1:
        raise ValueError(f"horizons are {horizons}; they must rise and lie between 0 and 1")
    model = Model(craft if tracking else locked(craft, wing_rotation))
    tracer = Tracer(model, points)
    axes = max(joint.axes for joint in model.joints)

    latitude, longitude = grid()

    def turns(part: slice) -> np.ndarray:
        return (
            model.turned(latitude[part], longitude[part])
            if axes
            else model.turned(*np.zeros((2, 1)))
        )

    exact, lit = on_grid(solar_cosines(tracer, turns, unit(latitude, longitude)))
    others, own, sky, inside = exchange(model, axes)
    if axes:
        earth = earth_of_tracking(tracer, horizons, axes)
    else:
        earth, sky = earth_of_rigid(model, horizons, exact, lit)
    check_sums(model.surfaces, sky + own + others.sum(axis=1))
    solar = by_surface(model, lit)
    parts = tuple(part.name for part in model.parts)
    lost = sunken(model, inside, EXCHANGE_POINTS)
    return Views(model.surfaces, model.area, solar, earth, others, own, horizons, parts, lost)


def look(
    table: Float[np.ndarray, "*any latitude longitude"], direction: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "*any n"]:
    """A table in directions of the body frame: bilinear in the two angles.

    Its latitudes run from -90 to 90 degrees, its longitudes from 0, both in equal steps.
    """
    rows, columns = table.shape[-2:]
    north = (np.arcsin(np.clip(direction[:, 2], -1, 1)) / np.pi + 0.5) * (rows - 1)
    east = np.arctan2(direction[:, 1], direction[:, 0]) / (2 * np.pi) * columns % columns
    i = np.clip(np.floor(north).astype(int), 0, rows - 2)
    j = np.floor(east).astype(int) % columns
    u, v, k = north - i, east - np.floor(east), (j + 1) % columns
    lower = table[..., i, j] * (1 - v) + table[..., i, k] * v
    upper = table[..., i + 1, j] * (1 - v) + table[..., i + 1, k] * v
    return lower * (1 - u) + upper * u


class OpenViews(ValueError):
    """View factors of a surface that do not sum to one."""

    def __init__(self, surface: str, total: float) -> None:
        self.surface, self.total = surface, total
        super().__init__(
            f"surface {surface!r}: view factors that do not sum to one ({total:.4f}); look for "
            "parts that lie in each other or closer than 1e-5 of the craft's size"
        )


def check_sums(surfaces: tuple[str, ...], total: Float[np.ndarray, "surface"]) -> None:
    """Refuse view factors that do not sum to one."""
    for name, value in zip(surfaces, total, strict=True):
        if not abs(value - 1.0) <= TOLERANCE:
            raise OpenViews(name, float(value))


_TRACING = threading.Lock()  # a second thread that asks for the same craft finds it traced


def cached_views(
    craft: Craft,
    *,
    tracking: bool,
    wing_rotation: float = 0.0,
    horizons: tuple[float, float] = (0.75, 0.90),
    points: int = POINTS,
) -> Views:
    """`views`, kept in the user's cache folder under a hash of all that goes into them."""
    settings = (VERSION, bool(tracking), float(wing_rotation), tuple(map(float, horizons)), points)
    path = cache_folder() / f"{content_hash(craft, settings)}.npz"
    with _TRACING:
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            pass  # not there, or broken
        found = views(
            craft, tracking=tracking, wing_rotation=wing_rotation, horizons=horizons, points=points
        )
        with contextlib.suppress(OSError):  # a cache that cannot be written costs only time
            _write(path, found)
    return found


def content_hash(craft: Craft, settings: tuple) -> str:
    """SHA-256 of a craft's parts and the settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for part in craft.parts:
        words = (part.name, part.front, part.back, part.axes, tuple(map(float, part.pivot)))
        shape = part.mesh.vertices.shape, part.mesh.faces.shape
        digest.update(repr((words, shape)).encode())
        digest.update(np.ascontiguousarray(part.mesh.vertices, "<f8").tobytes())
        digest.update(np.ascontiguousarray(part.mesh.faces, "<i8").tobytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where view factors are kept between runs, beside the compiled programs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "constellation-twin" / "views"


def _read(path: Path) -> Views:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        values = {field.name: stored[field.name] for field in fields(Views)}
    names, parts = (tuple(map(str, values.pop(key))) for key in ("surfaces", "parts"))
    low, high = map(float, values.pop("horizons"))
    return Views(names, **values, horizons=(low, high), parts=parts)


def _write(path: Path, found: Views) -> None:
    """Write beside it and rename, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{field.name: getattr(found, field.name) for field in fields(Views)})
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

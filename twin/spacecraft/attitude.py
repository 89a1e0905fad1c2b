"""Which way the body points, and what its surfaces then see of the Sun and the Earth.

The body's axes are x (up when it faces the Earth), y (along the orbit) and z (across it, towards
the Sun's side: when the Sun changes sides, the satellite is mirrored). Each attitude gives two
directions in these axes, the Sun's and the Earth's; tables made from the mesh say what each surface
sees. They lie on an octahedron unfolded into a square, which needs no trigonometry.

Source: for the attitudes, Wertz, Spacecraft Attitude Determination and Control (1978), 1.3; for the
unfolding, Cigolle et al., A Survey of Efficient Representations for Independent Unit Vectors,
Journal of Computer Graphics Techniques 3 (2014) 1.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twin.arrays import Each

KINDS = ("nadir", "edge", "sun", "inertial")
TRACKING = ("nadir",)  # where the wings follow the Sun: all tables go by the Sun's direction
GRID = 65  # points along an edge of the table: about 3 degrees
NEAREST = 1e-6  # of the sine below which the body's roll about the Sun is anybody's choice
SHORTEST = 1e-12  # of a direction that is looked up: nothing points nowhere

Direction = tuple[Each, Each, Each]
"""A unit vector in the body's axes, in pieces."""


class Attitude(eqx.Module):
    """What each satellite does in the light, in the dark and in safe mode: places in `kinds`.

    Turning from one to another takes no time.
    """

    lit: Int[Array, "*sat"]
    dark: Int[Array, "*sat"]
    safe: Int[Array, "*sat"]
    kinds: tuple[str, ...] = eqx.field(static=True)

    def mode(self, sunlit: Each, safe: Array) -> Int[Array, "*sat"]:
        """The attitude now: by sunlight, and by whether the satellite is in safe mode."""
        return jnp.where(safe, self.safe, jnp.where(sunlit > 0.5, self.lit, self.dark))


class Views(eqx.Module):
    """What surfaces see, by direction: one row for each shape, attitude and surface, end to end.

    Flat, since of a place in a block XLA would work out row and column again for each corner that
    is looked up: 5 % of a run. `solar` is the mean cosine of incidence over a surface,
    self-shadowing applied; `earth` the view factor to the Earth at the shape's altitude, less what
    the satellite's own parts hide.
    """

    solar: Float[Array, "entry"]
    earth: Float[Array, "entry"]
    surfaces: int = eqx.field(static=True)
    kinds: int = eqx.field(static=True)

    def row(self, shape: Int[Array, "*sat"], kind: int, surface: int) -> Int[Array, "*sat"]:
        """Where a surface's row begins in the tables."""
        rows = (shape * self.kinds + kind) * self.surfaces + surface
        return rows * (GRID * GRID)


class Place(eqx.Module):
    """Where a direction falls in a table: the cell's first corner, and how far beyond it."""

    cell: Int[Array, "*sat"]
    down: Float[Array, "*sat"]
    right: Float[Array, "*sat"]


def place(direction: Direction) -> Place:
    """The cell of a direction (of any length above zero). The table is continuous across folds."""
    x, y, z = direction
    size = jnp.maximum(jnp.abs(x) + jnp.abs(y) + jnp.abs(z), SHORTEST)
    u, v = x / size, y / size
    far = z < 0
    folded_u = jnp.where(far, jnp.where(u >= 0, 1.0, -1.0) * (1.0 - jnp.abs(v)), u)
    folded_v = jnp.where(far, jnp.where(v >= 0, 1.0, -1.0) * (1.0 - jnp.abs(u)), v)
    a, b = (folded_u + 1.0) * (0.5 * (GRID - 1)), (folded_v + 1.0) * (0.5 * (GRID - 1))
    i = jnp.clip(a.astype(jnp.int32), 0, GRID - 2)
    j = jnp.clip(b.astype(jnp.int32), 0, GRID - 2)
    return Place(i * GRID + j, a - i.astype(a.dtype), b - j.astype(b.dtype))


def seen(table: Float[Array, "entry"], row: Int[Array, "*sat"], at: Place) -> Each:
    """A table's value at a place, straight between the four corners of its cell."""
    corner = row + at.cell

    def entry(offset: int) -> Each:
        return table.at[corner + offset].get(mode="promise_in_bounds")

    upper = entry(0) + (entry(1) - entry(0)) * at.right
    lower = entry(GRID) + (entry(GRID + 1) - entry(GRID)) * at.right
    return upper + (lower - upper) * at.down


def grid_directions() -> Float[np.ndarray, "cell 3"]:
    """The unit vector of each cell's first corner, in the order of the tables (on the host)."""
    edge = np.linspace(-1.0, 1.0, GRID)
    return unfolded(*np.meshgrid(edge, edge, indexing="ij")).reshape(-1, 3)


def unfolded(
    u: Float[np.ndarray, "*any"], v: Float[np.ndarray, "*any"]
) -> Float[np.ndarray, "*any 3"]:
    """Unit vectors of places in the square, whose sides run from -1 to 1 (on the host)."""
    z = 1.0 - np.abs(u) - np.abs(v)
    far = z < 0
    x = np.where(far, np.where(u >= 0, 1.0, -1.0) * (1.0 - np.abs(v)), u)
    y = np.where(far, np.where(v >= 0, 1.0, -1.0) * (1.0 - np.abs(u)), v)
    vectors = np.stack([x, y, z], axis=-1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def pointing(
    kind: str, sun: Direction, fixed_sun: Direction, fixed_earth: Direction
) -> tuple[Direction, Direction]:
    """Directions of the Sun and of the Earth in the body's axes.

    `sun` is the Sun's direction as up, along the orbit, and across it towards the Sun's own side
    (so the last is never negative); `fixed_sun` and `fixed_earth` are the two directions in axes
    that keep their place among the stars.
    """
    up, along, across = sun
    none = jnp.zeros_like(up)
    down = (none - 1.0, none, none)
    if kind in ("nadir", "edge"):
        return sun, down
    if kind == "sun":
        # x is at the Sun, z as near to the orbit's normal as that allows.
        sine = jnp.sqrt(jnp.maximum(1.0 - across * across, NEAREST))
        return (none + 1.0, none, none), (-up, along / sine, across * up / sine)
    if kind == "inertial":
        return fixed_sun, fixed_earth
    raise ValueError(f"attitude {kind!r}; allowed: {', '.join(KINDS)}")


def inertial_axes(sun_position: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rows are the axes of a body held still with x at the Sun of this moment, z near the pole."""
    x = sun_position / np.linalg.norm(sun_position)
    z = np.array([0.0, 0.0, 1.0]) - x[2] * x
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def by_kind(mode: Int[Array, "*sat"], values: list[Each]) -> Each:
    """The value that belongs to each satellite's attitude."""
    chosen = values[0]
    for index, value in enumerate(values[1:], start=1):
        chosen = jnp.where(mode == index, value, chosen)
    return chosen

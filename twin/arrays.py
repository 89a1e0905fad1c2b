"""Names for the commonest arrays, blocks and rows, and the switch to 64 bit.

Axes come from one closed vocabulary: ``time sat node face link station region hop mode variant``
and the literal ``3``. In memory the satellite axis is last; on disk it follows time.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = Float[Array, ""]
Each = Float[Array, "*sat"]  # one number a satellite: a scalar for one, ``(sat,)`` for a fleet
Rows = Float[Array, "_ *sat"] | tuple[Float[Array, "*sat"], ...]
"""Several numbers a satellite, as one block or row by row: see `in_rows`."""

Switches = Bool[Array, "_ *sat"] | tuple[Bool[Array, "*sat"], ...]
Vec3 = Float[Array, "3"]
Rotation = Float[Array, "3 3"]


def use_64_bit() -> None:
    """Switch JAX to 64 bit: in float32 one day in seconds is spaced by 8 ms, 59 m along track."""
    jax.config.update("jax_enable_x64", True)


def in_rows(tree: Any) -> Any:
    """A tree whose blocks ``(row, sat)`` have become tuples of rows.

    On a CPU XLA writes slow code for a loop that reads ten rows or more of one block: ten times
    slower than from arrays of their own. Inside a scan over steps, blocks go row by row.
    """

    def split(leaf: Any) -> Any:
        wide = getattr(leaf, "ndim", 0) == 2 and leaf.shape[0] > 0
        return tuple(leaf[k] for k in range(leaf.shape[0])) if wide else leaf

    return jax.tree.map(split, tree)


def in_blocks(rows: Any, like: Any) -> Any:
    """The inverse of `in_rows`: `like` is a tree with the blocks as they were."""

    def join(block: Any, row: Any) -> Any:
        return jnp.stack(row) if isinstance(row, tuple) else row

    return jax.tree.map(join, like, rows)

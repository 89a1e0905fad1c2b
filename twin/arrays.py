"""Names for the commonest arrays, and the switch to 64 bit.

Axes come from one closed vocabulary: ``time sat node face link station region hop mode variant``
and the literal ``3``. In memory the satellite axis is last; on disk it follows time.
"""

import jax
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Each = Float[Array, "*sat"]  # one number a satellite: a scalar for one, ``(sat,)`` for a fleet
Vec3 = Float[Array, "3"]
Rotation = Float[Array, "3 3"]


def use_64_bit() -> None:
    """Switch JAX to 64 bit: in float32 one day in seconds is spaced by 8 ms, 59 m along track."""
    jax.config.update("jax_enable_x64", True)

"""Parts of a satellite that lie in each other, told from parts that only touch.

Rays from the faces of one part that meet the inside of another say how much of it sees nothing
else. Where the two turn together, a face that only lies against the other does not count: from a
little below it, it must still be inside.
"""

import numpy as np
from jaxtyping import Float

from twin.spacecraft.facets import LIFT, Model

CONTACT = 2e-4  # of the craft's extent: parts that reach into each other by less only touch
LEAST = 1e-3  # of a part: less is not looked at again


def sunken(
    model: Model, seen: Float[np.ndarray, "part part"], count: int
) -> Float[np.ndarray, "part part"]:
    """Share of each part's faces that lies in another part.

    `seen` is the share that sees the inside of another part as a mean over all turns, by rays from
    `count` points a surface.
    """
    points = model.points(count)
    owner = model.facet_part[points.facet]
    found = seen.copy()
    depth = CONTACT / LIFT * model.lift
    for one, other in np.argwhere(seen > LEAST):
        if model.part_joint[one] != model.part_joint[other]:
            continue
        mine = owner == one
        above, mesh = points.position[mine], model.parts[other].mesh
        below = above - (depth + model.lift) * points.normal[mine]
        within = mesh.contains(above) & mesh.contains(below)
        share = float(points.weight[mine] @ within) / model.part_area[one]
        found[one, other] = min(seen[one, other], share)
    return found

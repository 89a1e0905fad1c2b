"""Tables of views as a run looks them up: on an octahedron unfolded into a square.

What nothing stands in the way of is worked out anew in each direction, exactly; only what is
blocked comes from the traced tables, in between whose directions cubics run. The corner
values are not samples: a chord lies inside its arc, so samples would lose up to 0.2 % of the
sunlight over an orbit. They are moved until the straight pieces have the right mean around each.

Source: Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-43; for the fit,
Zienkiewicz, Taylor & Zhu, The Finite Element Method (2013), chapter 15 (projection, lumped mass).
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from twin.spacecraft.attitude import GRID, grid_directions, unfolded
from twin.spacecraft.craft import Craft, locked
from twin.spacecraft.facets import Joint, Model
from twin.spacecraft.factors import finer, grid, plate_to_sphere, unit
from twin.spacecraft.geometry import Views, look

GAUSS = 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3.0)  # points of a cell's edge for its means
CELLS = GRID - 1
DARK = 1e-9  # a corner that sees no more than this is not moved

Directions = Float[np.ndarray, "n 3"]
Rows = Float[np.ndarray, "surface n"]
Square = Float[np.ndarray, "surface edge edge"]


class Unblocked:
    """What the surfaces of a craft would see with nothing in the way, as means over each."""

    def __init__(self, craft: Craft, *, tracking: bool) -> None:
        model = Model(craft if tracking else locked(craft, 0.0))
        self.area, self.tracking = model.area, tracking
        vectors, facet = model.bins
        size = np.linalg.norm(vectors, axis=1)
        surface = model.facet_surface[facet]
        share = (size / self.area[surface]) * (np.arange(len(self.area))[:, None] == surface)
        normal, joint = vectors / size[:, None], model.facet_joint[facet]
        self.groups = [
            (each, normal[joint == j], share[:, joint == j]) for j, each in enumerate(model.joints)
        ]

    def sun(self, sun: Directions) -> Rows:
        """Cosines of incidence, 0 where a face looks away."""
        found = np.zeros((len(self.area), len(sun)))
        for joint, normal, share in self.groups:
            into = _into(joint, sun, sun) if joint.axes else sun
            found += share @ np.maximum(normal @ into.T, 0.0)
        return found

    def earth(self, square: float, table: Directions) -> Rows:
        """View factors to the Earth, whose (radius / distance)² is `square`.

        `table` are directions of the Sun for a craft whose wings follow it, else of the Earth.
        """
        down = np.array([[-1.0, 0.0, 0.0]])
        found = np.zeros((len(self.area), len(table)))
        for joint, normal, share in self.groups:
            towards = down if self.tracking else table
            into = _into(joint, table, towards) if joint.axes else towards
            found += share @ plate_to_sphere(square, normal @ into.T)
        return found


def _into(joint: Joint, sun: Directions, towards: Float[np.ndarray, "any 3"]) -> Directions:
    """Directions in the frame of a joint that follows the Sun."""
    latitude = np.arcsin(np.clip(sun[:, 2], -1.0, 1.0))
    turn = joint.turned(latitude, np.arctan2(sun[:, 1], sun[:, 0]))
    return np.einsum("ni,nij->nj", np.broadcast_to(towards, sun.shape), turn)


def sun_table(bare: Unblocked, views: Views) -> Rows:
    """Mean cosines towards the Sun, self-shadowing applied: the rows of a table."""
    traced = views.solar.reshape(len(views.area), -1)
    hidden = _traced(bare.sun(unit(*grid())) - traced)

    def lit(direction: Directions) -> Rows:
        return np.maximum(bare.sun(direction) - look(hidden, direction), 0.0)

    return fitted(lit(grid_directions()), lit(between()))


def earth_table(bare: Unblocked, views: Views, square: float) -> Rows:
    """View factors to the Earth at one altitude, less what is hidden: the rows of a table."""
    low, high = views.horizons
    near = (square - low) / (high - low)
    traced = views.earth.reshape(2, len(views.area), -1)
    hidden = [
        bare.earth(h, unit(*grid())) - seen for h, seen in zip(views.horizons, traced, strict=True)
    ]
    lost = _traced(hidden[0] + near * (hidden[1] - hidden[0]))

    def seen(direction: Directions) -> Rows:
        return np.maximum(bare.earth(square, direction) - look(lost, direction), 0.0)

    return fitted(seen(grid_directions()), seen(between()))


def _traced(rows: Rows) -> Float[np.ndarray, "surface latitude longitude"]:
    """Rows over the directions of the traced tables, with those in the middle between them.

    Straight between 5 degrees, what the wings hide of the Sun would be too much by 0.1 % of the
    box's sunlight. Rounding and cubics may leave less than nothing.
    """
    table = np.maximum(rows, 0.0).reshape(len(rows), -1, 72)
    return np.maximum(finer(table), 0.0)


@cache
def between() -> Directions:
    """Unit vectors of four points within each cell, in the order that `fitted` takes them."""
    edge = (np.arange(CELLS)[:, None] + GAUSS).ravel() * (2.0 / CELLS) - 1.0
    return unfolded(*np.meshgrid(edge, edge, indexing="ij")).reshape(-1, 3)


def fitted(corners: Rows, inside: Float[np.ndarray, "surface inner"]) -> Rows:
    """Corner values such that between them straight pieces have the right means.

    `corners` are a function's own values there and `inside` those at `between`. Each corner is
    moved by the mean of what straight pieces miss around it: the mean over the sphere is then
    right. A constant stays so, and corners stay where nothing is seen and at the body's axes.
    """
    rows = len(corners)
    solid = (np.abs(between()).sum(axis=1) ** 3).reshape(CELLS, 2, CELLS, 2)  # of each point
    start = corners.reshape(rows, GRID, GRID)
    hats = np.array([1.0 - GAUSS, GAUSS])  # (corner, point)
    quarters = [(p, q, np.multiply.outer(hats[p], hats[q])) for p in (0, 1) for q in (0, 1)]
    error = inside.reshape(rows, CELLS, 2, CELLS, 2).copy()
    for p, q, hat in quarters:
        corner = start[:, p : p + CELLS, q : q + CELLS]
        error -= corner[:, :, None, :, None] * hat[:, None, :]
    missing, mass = np.zeros_like(start), np.zeros((1, GRID, GRID))
    for p, q, hat in quarters:
        weight = solid * hat[:, None, :]
        missing[:, p : p + CELLS, q : q + CELLS] += (error * weight).sum(axis=(2, 4))
        mass[:, p : p + CELLS, q : q + CELLS] += weight.sum(axis=(1, 3))
    moved = np.where(start > DARK, np.maximum(start + _folded(missing) / _folded(mass), 0.0), 0.0)
    # Where the Sun stays over an axis of the body for hours, means around it are of no use.
    along, across = np.meshgrid(*[[0, CELLS // 2, CELLS]] * 2, indexing="ij")
    moved[:, along, across] = start[:, along, across]
    return moved.reshape(rows, -1)


def _folded(table: Square) -> Square:
    """Sums over the places on the square's rim that are one direction."""
    tips = table[:, :: GRID - 1, :: GRID - 1].sum(axis=(1, 2), keepdims=True)
    table[:, [0, -1]] += table[:, [0, -1], ::-1]
    table[:, 1:-1, [0, -1]] += table[:, -2:0:-1, [0, -1]]
    table[:, :: GRID - 1, :: GRID - 1] = tips
    return table

"""Which points of a satellite see which directions, and each other, by tracing rays with embree.

A ray is turned into the frame of each joint that may stand in its way, so that no mesh ever moves.
Boxes around parts and facets tell where nothing can stand in the way; there, no ray is traced.

Source: Howell, Mengüç & Siegel, Thermal Radiation Heat Transfer (2016), chapter 10.
"""

from dataclasses import dataclass

import numpy as np

from twin.spacecraft.facets import SHIFTS, Model

SPACE = -3  # what a ray meets that meets nothing


@dataclass(frozen=True, eq=False)
class Traced:
    """Rays of some cells; a cell is one facet in one case."""

    case: np.ndarray  # (cell,)
    facet: np.ndarray  # (cell,)
    cell: np.ndarray  # (ray,)
    point: np.ndarray  # (ray,)
    weight: np.ndarray  # (ray,) m², with the cosine
    blocked: np.ndarray  # (ray,)

    def lost_share(self, keep: np.ndarray | None = None) -> np.ndarray:
        """Blocked share (cell,) of all rays, or of those to `keep`."""
        weight = self.weight if keep is None else np.where(keep, self.weight, 0.0)
        total = np.bincount(self.cell, weight, len(self.case))
        lost = np.bincount(self.cell, weight * self.blocked, len(self.case))
        return np.where(total > 0, lost / np.where(total > 0, total, 1.0), 0.0)


class Tracer:
    """Rays from one set of points, for any turn of the joints.

    `turns` (joint, n, 3, 3) holds rotations from rest to the body frame. n is either the number of
    cases or 1, where nothing turns.
    """

    def __init__(self, model: Model, count: int) -> None:
        self.model = model
        self.points = model.points(count)
        self.joint = model.facet_joint[self.points.facet]
        facets = len(model.facet_area)
        self.begin = np.searchsorted(self.points.facet, np.arange(facets))  # ordered by facet
        self.count = np.bincount(self.points.facet, minlength=facets)

    def into_body(self, vectors: np.ndarray, turns: np.ndarray, places: bool) -> np.ndarray:
        """Vectors (point, 3) at rest as (n, point, 3) in the body frame."""
        found = np.empty((turns.shape[1], len(self.joint), 3))
        for j, joint in enumerate(self.model.joints):
            mine = self.joint == j
            pivot = joint.pivot if places else np.zeros(3)
            found[:, mine] = (vectors[mine] - pivot) @ turns[j].transpose(0, 2, 1) + pivot
        return found

    def threats(self, turns: np.ndarray, direction: np.ndarray | None) -> np.ndarray:
        """Whether (joint, n, facet) some part of a joint could stand before a facet.

        It must rise above the facet's plane. Towards one `direction` (n, 3) it must also be ahead,
        and the boxes around both must overlap as seen from there.
        """
        model = self.model
        cases = turns.shape[1] if direction is None else len(direction)
        joints = model.facet_joint
        parts = _turned(model.part_corners, model.part_joint, model, turns)
        normal = np.einsum("fnij,fj->nfi", turns[joints], model.facet_normal)
        pivots = np.array([joint.pivot for joint in model.joints])[joints]
        height = model.facet_height + np.einsum("nfi,fi->nf", normal, pivots)
        top = (parts.reshape(len(parts), -1, 3) @ normal.transpose(0, 2, 1)).reshape(
            len(parts), -1, 8, len(joints)
        )
        # (n, part, facet)
        threat = top.max(axis=2) > height[:, None, :] + 0.5 * model.lift
        threat = threat & model.rises.T
        if direction is not None:
            facets = _turned(model.facet_corners, joints, model, turns)
            across = [np.cross(direction, axis) for axis in np.eye(3)]
            for k, axis in enumerate([direction, *across]):
                low, high = _span(facets, axis)
                below, above = _span(parts, axis)
                threat = threat & (above[:, :, None] > low[:, None, :] - model.lift)
                if k:
                    threat = threat & (below[:, :, None] < high[:, None, :] + model.lift)
        found = [threat[:, model.part_joint == j].any(axis=1) for j in range(len(model.joints))]
        return np.array([np.broadcast_to(one, (cases, len(joints))) for one in found])

    def trace(self, turns: np.ndarray, ray: np.ndarray, threats: np.ndarray) -> "Traced":
        """Trace rays (n or 1, point or 1, 3) from the points of threatened facets.

        `threats` (joint, n, facet) says which joints are worth asking. Each case has points of its
        own, so that what they miss is averaged over directions instead of shared.
        """
        case, facet = np.nonzero(threats.any(axis=0))
        count = self.count[facet]
        cell = np.repeat(np.arange(len(case)), count)
        first = self.begin[facet] - np.cumsum(count) + count
        point = np.arange(len(cell)) + first[cell]
        c, home = case[cell], self.joint[point]
        cosine, blocked = np.zeros(len(cell)), np.zeros(len(cell), bool)
        for start, turn in enumerate(turns):
            mine = np.flatnonzero(home == start)
            along = _aim(ray, turn, c[mine], point[mine])
            normal = self.points.normal[point[mine]].astype(np.float32)
            cosine[mine] = np.maximum(np.einsum("ni,ni->n", along, normal), 0.0)
        for joint, turn, threat in zip(self.model.joints, turns, threats, strict=True):
            ask = threat[case, facet][cell] & (cosine > 0) & ~blocked
            for start, other in enumerate(self.model.joints):
                mine = np.flatnonzero(ask & (home == start))
                if not len(mine):
                    continue
                k, p = c[mine], point[mine]
                origin = self.points.shifted[k % SHIFTS, p]
                if other is not joint:
                    # From rest at home to the body frame, and on to rest at the other joint.
                    way = np.swapaxes(turns[start], 1, 2) @ turn
                    shift = (other.pivot - joint.pivot) @ turn + joint.pivot - other.pivot @ way
                    shift = shift[k] if len(shift) > 1 else shift
                    origin = _carried(origin, way, k) + shift.astype(np.float32)
                along = _aim(ray, turn, k, p)
                blocked[mine] = joint.scene.run(origin, along) != -1
        return Traced(case, facet, cell, point, self.points.weight[point] * cosine, blocked)

    def first(self, turns: np.ndarray, ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What rays (1, point, 3) meet first, and the part that it belongs to (-1: none).

        A surface, -1 insulation, -2 an inside, -3 space.
        """
        place = self.into_body(self.points.position, turns, places=True)
        nearest = np.full(len(self.joint), 1e30)
        found = np.full(len(self.joint), SPACE)
        part = np.full(len(self.joint), -1)
        for joint, turn in zip(self.model.joints, turns, strict=True):
            origin = ((place - joint.pivot) @ turn + joint.pivot)[0].astype(np.float32)
            along = (ray @ turn)[0].astype(np.float32)
            seen = joint.scene.run(origin, along, output=1)
            index, distance = seen["primID"], seen["tfar"]
            closer = (index != -1) & (distance < nearest)
            index = np.where(closer, index, 0)
            ahead = np.einsum("ij,ij->i", along, joint.normal[index]) < 0
            met = np.where(ahead, joint.front[index], joint.back[index])
            found = np.where(closer, met, found)
            part = np.where(closer, joint.part[index], part)
            nearest = np.where(closer, distance, nearest)
        return found, part


def _aim(ray: np.ndarray, turn: np.ndarray, case: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Rays (n or 1, point or 1, 3) in a joint's frame, one for each case and point asked for."""
    point = point if ray.shape[1] > 1 else np.zeros_like(point)
    if ray.shape[1] == 1 or len(turn) == 1:  # few enough to turn before they are picked
        ray = (ray @ turn).astype(np.float32)
        return ray[case if len(ray) > 1 else 0, point]
    return _carried(ray[case if len(ray) > 1 else 0, point], turn, case)


def _carried(vectors: np.ndarray, turns: np.ndarray, case: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) times the rotation of their case, in single precision as embree wants them."""
    vectors = np.asarray(vectors, np.float32).reshape(-1, 3)
    turns = turns.astype(np.float32)
    if len(turns) == 1:
        return np.broadcast_to(vectors @ turns[0], (len(case), 3)).copy()
    return np.einsum("ni,nij->nj", np.broadcast_to(vectors, (len(case), 3)), turns[case])


def _turned(corners: np.ndarray, of: np.ndarray, model: Model, turns: np.ndarray) -> np.ndarray:
    """Corners (m, 8, 3) at rest as (n, m, 8, 3) in the body frame."""
    pivots = np.array([joint.pivot for joint in model.joints])[of][:, None, :]
    return np.moveaxis((corners - pivots)[:, None] @ turns[of].transpose(0, 1, 3, 2), 0, 1) + pivots


def _span(corners: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (n, m) of corners (n or 1, m, 8, 3) along an axis (n, 3)."""
    along = np.einsum(
        "nmki,ni->nmk", np.broadcast_to(corners, (len(axis), *corners.shape[1:])), axis
    )
    return along.min(axis=2), along.max(axis=2)

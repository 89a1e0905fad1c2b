"""A satellite made ready for rays: joints that embree knows, facets, and points on them.

Parts that turn together form a *joint*, whose
triangles embree gets once; a ray is turned into the joint's own frame instead of the mesh out of
it. A *facet* is what the faces of one surface and joint with one normal have in common; where a
surface is curved, faces that look roughly the same way share one.

Points and directions are low-discrepancy sequences with fixed starts: no random number is drawn,
and the same craft gives the same bits.

Source: Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods (1992), chapter 3 (the
Kronecker sequences).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from twin.spacecraft.craft import Craft, Part

LIFT = 1e-5  # of the craft's extent: rays start this far off their face
FLAT_FACETS = 16  # a surface with more normals than this is curved
KRONECKER = 1.2207440846057596 ** -np.arange(2.0, 4.0)  # irrationals: the root of x^4 = x + 1
FEW_PATCHES = 12
MOST_BINS = 1000  # of faces that look the same way, before they are made wider
GOLDEN = (5**0.5 - 1) / 2
SHIFTS = 16  # sets of sample points, of which neighbouring directions use different ones
INSULATED, INSIDE = -1, -2  # what a ray meets that is no surface


@dataclass(frozen=True, eq=False)
class Joint:
    """Parts that turn together, in their frame at rest."""

    axes: int
    pivot: np.ndarray
    scene: EmbreeScene
    normal: np.ndarray  # (triangle, 3)
    front: np.ndarray  # surface of each triangle's front ...
    back: np.ndarray  # ... and of its back, or what it is instead
    part: np.ndarray  # of each triangle, by its place in `Model.parts`

    def turned(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        """Rotations (n, 3, 3) that turn it to directions given by two angles (rad)."""
        latitude = latitude if self.axes == 2 else np.zeros_like(longitude)
        longitude = longitude if self.axes else np.zeros_like(longitude)
        c, s, up, out = np.cos(longitude), np.sin(longitude), np.sin(latitude), np.cos(latitude)
        zero = np.zeros_like(c)
        rows = [[c * out, -s, -c * up], [s * out, c, -s * up], [up, zero, out]]
        return np.moveaxis(np.array(rows), 2, 0)


@dataclass(frozen=True, eq=False)
class Points:
    """Sample points, ordered by facet, in their joint's frame at rest."""

    position: np.ndarray  # (n, 3), a little off the face
    shifted: np.ndarray  # (SHIFTS, n, 3), the same moved within what each stands for
    normal: np.ndarray  # (n, 3)
    weight: np.ndarray  # (n,) m²
    facet: np.ndarray  # (n,)
    step: np.ndarray  # (n,) place in its surface's sequence


class Model:
    """A craft made ready for rays."""

    def __init__(self, craft: Craft) -> None:
        self.surfaces = craft.surfaces
        groups: dict[tuple, list[Part]] = {}
        for part in craft.parts:  # where along its own axis a joint is makes no difference
            groups.setdefault((part.axes, *part.pivot[: (0, 2, 3)[part.axes]]), []).append(part)
        parts = [part for group in groups.values() for part in group]
        bounds = np.concatenate([part.mesh.bounds for part in craft.parts])
        self.lift = LIFT * float(np.ptp(bounds, axis=0).max())
        self.parts = parts
        self.joints = [self._joint(group) for group in groups.values()]
        self.part_joint = np.repeat(np.arange(len(groups)), [len(g) for g in groups.values()])
        sides = [self._sides(part, index) for index, part in enumerate(parts)]
        triangle, normal, area, surface, owner = (
            np.concatenate(x) for x in zip(*sides, strict=True)
        )
        facet = _facets(surface, owner, normal)
        order = np.argsort(facet, kind="stable")
        self.triangle, self.normal, self.face_area = triangle[order], normal[order], area[order]
        self.facet, self.surface = facet[order], surface[order]
        first = np.unique(self.facet, return_index=True)[1]
        self.facet_surface = self.surface[first]
        self.facet_part = owner[order][first]
        self.facet_joint = self.part_joint[self.facet_part]
        self.facet_area = np.bincount(self.facet, self.face_area)
        self.area = np.bincount(self.surface, self.face_area, len(self.surfaces))
        self.part_area = np.bincount(self.facet_part, self.facet_area, len(parts))
        self._bound([np.asarray(part.mesh.vertices) for part in parts])

    def _bound(self, parts: list[np.ndarray]) -> None:
        """Boxes around parts and facets, and which parts of its joint rise above a facet."""
        self.part_corners = np.array([_corners(part) for part in parts])
        count = len(self.facet_area)
        self.facet_corners = np.empty((count, 8, 3))
        self.facet_normal = np.empty((count, 3))
        self.facet_height = np.empty(count)  # over the joint's pivot, along the normal
        self.rises = np.ones((count, len(parts)), bool)
        ends = np.searchsorted(self.facet, np.arange(count + 1))
        for f in range(count):
            faces = slice(ends[f], ends[f + 1])
            normal, joint = self.normal[faces][0], self.facet_joint[f]
            corners = self.triangle[faces].reshape(-1, 3)
            self.facet_corners[f] = _corners(corners)
            self.facet_normal[f] = normal
            heights = (corners - self.joints[joint].pivot) @ normal
            flat = (
                np.ptp(heights) < 0.1 * self.lift
                and np.ptp(self.normal[faces], axis=0).max() < 1e-5
            )
            self.facet_height[f] = heights.max() if flat else -np.inf
            for q in np.flatnonzero(self.part_joint == joint) if flat else ():
                above = (parts[q] - self.joints[joint].pivot) @ normal
                self.rises[f, q] = above.max() > heights.max() + 0.5 * self.lift

    def _joint(self, parts: list[Part]) -> Joint:
        code = {name: index for index, name in enumerate(self.surfaces)}
        front, back, which = [], [], []
        for part in parts:
            count = len(part.mesh.faces)
            which.append(np.full(count, self.parts.index(part)))
            behind = INSIDE if part.solid else code.get(part.back or "", INSULATED)
            front.append(np.full(count, code[part.front]))
            back.append(np.full(count, behind))
        scene = EmbreeScene()
        vertices = np.concatenate([part.mesh.vertices for part in parts])
        starts = np.cumsum([0] + [len(part.mesh.vertices) for part in parts[:-1]])
        faces = np.concatenate([part.mesh.faces + n for part, n in zip(parts, starts, strict=True)])
        TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
        # Embree builds its tree at the first ray, which two threads must not do at once.
        scene.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
        pivot = np.array(parts[0].pivot, float)
        a, b, c = np.moveaxis(vertices[faces], 1, 0)
        normal = np.cross(b - a, c - a)
        kinds = (np.concatenate(kind) for kind in (front, back, which))
        return Joint(parts[0].axes, pivot, scene, normal, *kinds)

    def _sides(self, part: Part, index: int) -> tuple[np.ndarray, ...]:
        """Faces that belong to a surface: those of a plate with a named back come twice."""
        mesh = part.mesh
        sound = mesh.area_faces > 1e-12 * mesh.area
        triangle = np.asarray(mesh.triangles)[sound]
        normal = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        area = np.asarray(mesh.area_faces)[sound]
        sides = [(triangle, normal, self.surfaces.index(part.front))]
        if part.back is not None:
            sides.append((triangle, -normal, self.surfaces.index(part.back)))
        return (
            np.concatenate([side[0] for side in sides]),
            np.concatenate([side[1] for side in sides]),
            np.tile(area, len(sides)),
            np.repeat([side[2] for side in sides], len(area)),
            np.full(len(sides) * len(area), index),
        )

    @cached_property
    def patches(self) -> tuple[np.ndarray, ...]:
        """Corner and two edges (n, 3), area, face, and whether it is a whole parallelogram.

        Two triangles that make one are one patch: points in it are spread more evenly.
        """
        corner, area = self.triangle.copy(), self.face_area.copy()
        whole, kept = np.zeros(len(area), bool), np.ones(len(area), bool)
        for facet in np.flatnonzero(np.bincount(self.facet) == 2):
            one = int(np.searchsorted(self.facet, facet))
            for turn in range(3):
                a, b, c = np.roll(corner[one], turn, axis=0)
                if np.linalg.norm(self.triangle[one + 1] - (b + c - a), axis=1).min() < self.lift:
                    corner[one], area[one] = (a, b, c), area[one] + area[one + 1]
                    whole[one], kept[one + 1] = True, False
                    break
        a, b, c = np.moveaxis(corner[kept], 1, 0)
        return a, b - a, c - a, area[kept], np.flatnonzero(kept), whole[kept]

    def points(self, count: int) -> Points:
        """At least `count` points on each surface, spread evenly over each patch.

        Where a surface has few patches each gets half of that, however small.
        """
        corner, right, up, area, face, whole = self.patches
        surface = self.surface[face]
        chosen, weights, local, steps = [], [], [], []
        for index, total in enumerate(self.area):
            mine = np.flatnonzero(surface == index)
            share = area[mine] / total * count
            floor = count // 2 if len(mine) <= FEW_PATCHES else 1
            number = np.maximum(floor, np.rint(share)).astype(int)
            if len(mine) > count:  # not every face has a point
                ends = np.searchsorted(np.cumsum(share), np.arange(count) + 0.5)
                number = np.bincount(np.minimum(ends, len(mine) - 1), minlength=len(mine))
            chosen.append(np.repeat(mine, number))
            each = area[mine] if len(mine) <= count else np.full(len(mine), total / count)
            weights.append(np.repeat(each / (number if len(mine) <= count else 1), number))
            within = np.concatenate([np.arange(n) for n in number])
            wide = 1.0 / np.repeat(number, number)
            local.append(np.column_stack([(within + 0.5) * wide, within, wide]))
            steps.append(np.arange(number.sum()))
        patch, weight, place, step = (np.concatenate(x) for x in (chosen, weights, local, steps))
        order = np.argsort(patch, kind="stable")  # as the faces, they are ordered by facet
        patch, weight, place, step = patch[order], weight[order], place[order], step[order]
        normal, each = self.normal[face[patch]], place[:, 2]

        def moved(across: float, along: float) -> np.ndarray:
            u, v = place[:, 0] + across * each, (0.5 + place[:, 1] * GOLDEN + along) % 1.0
            fold = (u + v > 1) & ~whole[patch]
            u, v = np.where(fold, 1 - u, u)[:, None], np.where(fold, 1 - v, v)[:, None]
            return corner[patch] + u * right[patch] + v * up[patch] + self.lift * normal

        shifts = kronecker(np.arange(SHIFTS), 0) - 0.5, kronecker(np.arange(SHIFTS), 1)
        shifted = np.array([moved(*shift) for shift in zip(*shifts, strict=True)], np.float32)
        return Points(moved(0.0, 0.0), shifted, normal, weight, self.facet[face[patch]], step)

    @cached_property
    def bins(self) -> tuple[np.ndarray, np.ndarray]:
        """Area times normal (m², m²) summed over faces that look the same way, and their facets."""
        # The sum is exact where the terminator does not cross a bin. Round bodies get wider bins.
        for width in (0.02, 0.1):
            keys = np.column_stack([self.facet, np.rint(self.normal / width).astype(int)])
            which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            if len(which[1]) <= MOST_BINS:
                break
        first, inverse = which[1], which[2].reshape(-1)
        sums = [np.bincount(inverse, self.face_area * self.normal[:, i]) for i in range(3)]
        return np.column_stack(sums), self.facet[first]

    def turned(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        """Rotations (joint, n, 3, 3) of the joints towards directions."""
        return np.array([joint.turned(latitude, longitude) for joint in self.joints])


def kronecker(step: np.ndarray, dimension: int) -> np.ndarray:
    """An evenly spread sequence in 0..1; different dimensions do not know each other."""
    return (0.5 + (step + 1) * KRONECKER[dimension]) % 1.0


def _corners(points: np.ndarray) -> np.ndarray:
    """The eight corners of the box around points."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, 8).T


def _facets(surface: np.ndarray, part: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Which facet each face belongs to."""
    fine = np.rint(normal / 0.02).astype(int)
    steepest = np.argmax(np.abs(normal), axis=1)
    coarse = steepest * 2 + (np.take_along_axis(normal, steepest[:, None], 1)[:, 0] > 0)
    key = np.column_stack([surface, part, fine])
    for s, p in np.unique(key[:, :2], axis=0):
        mine = (surface == s) & (part == p)
        if mine.sum() > FLAT_FACETS and len(np.unique(fine[mine], axis=0)) > FLAT_FACETS:
            key[mine, 2], key[mine, 3:] = coarse[mine], 0
    return np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)

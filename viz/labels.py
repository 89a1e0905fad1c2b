"""Where names go, so that no two overlap: geometry in pixels, no drawing."""

from dataclasses import dataclass

import numpy as np

REACHES = (18.0, 30.0, 46.0, 66.0, 90.0, 118.0, 150.0)  # pixels at 1080 lines, near ones first
LEADER_FROM = 24.0  # a name further off than this needs a line to its mark
DIRECTIONS = 24


@dataclass(frozen=True)
class Box:
    """A rectangle, pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box", gap: float = 0.0) -> bool:
        """Whether the two come nearer than ``gap``."""
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.top < other.bottom + gap
            and other.top < self.bottom + gap
        )

    def inside(self, other: "Box") -> bool:
        """Whether this lies wholly in the other."""
        return (
            self.left >= other.left
            and self.top >= other.top
            and self.right <= other.right
            and self.bottom <= other.bottom
        )

    def crossed_by(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Whether a straight line enters the box."""
        points = start + np.linspace(0, 1, 24)[:, None] * (end - start)
        x, y = points.T
        within = (x > self.left) & (x < self.right) & (y > self.top) & (y < self.bottom)
        return bool(within.any())


@dataclass(frozen=True)
class Label:
    """A placed name, and the line to its mark where it stands apart."""

    number: int
    text: str
    box: Box
    leader: tuple[tuple[float, float], tuple[float, float]] | None


def place(
    names: dict[int, str],
    marks: np.ndarray,
    sizes: dict[int, tuple[float, float]],
    room: Box,
    middle: tuple[float, float],
    taken: list[Box],
    radius: float,
    scale: float,
) -> list[Label]:
    """Put each name of ``names`` near its mark; one that finds no free place is left out.

    ``marks`` (mark, 2) are all marks in the picture, which no name may cover; ``sizes`` the width
    and height of each name; names prefer the side away from ``middle``. All in pixels.
    """
    dots = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in marks]
    # A line to a mark that touches others cannot avoid those, and need not.
    apart_from = {n: [dot for dot in dots if not dot.overlaps(dots[n])] for n in names}
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    placed: list[Label] = []
    lines: list[tuple[np.ndarray, np.ndarray]] = []
    for number, text in names.items():
        mark = marks[number]
        width, height = sizes[number]
        away = np.arctan2(mark[1] - middle[1], mark[0] - middle[0])
        order = sorted(
            (reach + 9 * (1 - np.cos(angle - away)), reach, angle)
            for reach in REACHES
            for angle in angles
        )
        for _, reach, angle in order:
            towards = np.array([np.cos(angle), np.sin(angle)])
            centre = mark + towards * reach * scale + towards * [width / 2, height / 2] * 0.7
            x, y = float(centre[0]), float(centre[1])
            box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            edge = centre - towards * np.minimum(width, height) / 2
            start = mark + towards * radius
            if (
                not box.inside(room)
                or any(box.overlaps(other, 3 * scale) for other in taken)
                or any(box.overlaps(label.box, 4 * scale) for label in placed)
                or any(box.overlaps(dot, 2 * scale) for dot in dots)
                or any(box.crossed_by(*line) for line in lines)
            ):
                continue
            apart = reach > LEADER_FROM
            if apart and (
                any(label.box.crossed_by(start, edge) for label in placed)
                or any(dot.crossed_by(start, edge) for dot in apart_from[number])
            ):
                continue
            leader = None
            if apart:
                lines.append((start, edge))
                leader = ((float(start[0]), float(start[1])), (float(edge[0]), float(edge[1])))
            placed.append(Label(number, text, box, leader))
            break
    return placed


def short_names(names: list[str]) -> list[str]:
    """Names without the words they all share: ``SCS-01 A`` becomes ``A``."""
    words = [name.split() for name in names]
    shared = 0
    while len(names) > 1 and all(
        len(w) > shared + 1 and w[shared] == words[0][shared] for w in words
    ):
        shared += 1
    return [" ".join(w[shared:]) for w in words]

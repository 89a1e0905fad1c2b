"""The words of a picture: title, time, counts, legends, names, credits, drawn over the frame.

All words stand in the column at the left that ``camera.column_width`` keeps free, except names of
satellites and stations, which find their own place, and the credit at the bottom right.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from viz import theme
from viz.camera import Camera, column_width, text_scale
from viz.labels import Box, Label, place, short_names
from viz.layers import marker_size
from viz.scene import Frame, Run

CREDIT = "Made with Natural Earth"
ALL_SERVED = "all served"
LIMITS = {"fault": "a fault", "work": "want of work"}
SHED = {
    "payload asleep": "with payload asleep",
    "laser terminals off too": "with lasers off too",
    "safe mode": "in safe mode",
}
LABELLED_FLEET = 24
LABELLED_STATIONS = 8


@dataclass
class Hud:
    """Draws on one image and remembers where, so that a test can look for overlaps."""

    run: Run
    frame: Frame
    camera: Camera
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def draw(self, image: Image.Image) -> None:
        """Put everything on the image."""
        self.pen = ImageDraw.Draw(image)
        self.scale = text_scale(image.size)
        self.left = 60 * self.scale
        self.room = column_width(image.size) - self.left - 12 * self.scale
        self.y = 54 * self.scale
        # No stars among the words: they would look like dust on the letters.
        blank = [0, 0, 0.94 * column_width(image.size), image.size[1]]
        self.pen.rectangle(blank, fill=theme.BACKGROUND)
        self._head()
        self._counts()
        self._legend()
        self._symbols()
        self._temperatures(image.size[1] - self._foot_height())
        self._foot(image.size)
        self._names(image.size)

    def _font(self, size: str, weight: str = "regular"):
        return theme.font(weight, round(theme.FONT_SIZE[size] * self.scale))

    def _text(self, x: float, y: float, text: str, font, colour: str, anchor: str = "la") -> Box:
        self.pen.text((x, y), text, font=font, fill=colour, anchor=anchor)
        box = Box(*(float(side) for side in self.pen.textbbox((x, y), text, font, anchor)))
        self.boxes.append(box)
        return box

    def _line(self, text: str, size: str, colour: str, weight="regular", gap=1.32, x=0.0) -> None:
        """One paragraph in the column, wrapped."""
        font = self._font(size, weight)
        for part in wrapped(text, font, self.room - x):
            self._text(self.left + x, self.y, part, font, colour)
            self.y += gap * theme.FONT_SIZE[size] * self.scale

    def _space(self, pixels: float) -> None:
        self.y += pixels * self.scale

    def _rule(self) -> None:
        self._space(17)
        end = self.left + 0.86 * self.room
        width = max(1, round(self.scale))
        self.pen.line([self.left, self.y, end, self.y], fill=theme.RULE, width=width)
        self._space(25)

    def _head(self) -> None:
        title = balanced(self.run.title, self._font("title", "medium"), self.room)
        for part in title[:3]:
            self._line(part, "title", theme.TEXT, "medium", gap=1.22)
        self._space(10)
        self._line(f"{self.frame.time:%Y-%m-%d  %H:%M:%S} UTC", "time", theme.TEXT)
        scenario = f"Scenario {self.run.scenario},  " if self.run.scenario else ""
        self._line(f"{scenario}{since(self.frame.elapsed)} after start", "small", theme.TEXT_DIM)
        self._rule()

    def _counts(self) -> None:
        alive = self.frame.alive
        total, dark = int(alive.sum()), int(self.frame.shadowed.sum())
        behind = int(self.camera.hidden(self.frame.position[alive]).sum())
        self._line(counted(total, "satellite"), "body", theme.TEXT, "medium")
        self._line(f"{total - dark:,} in sunlight, {dark:,} in shadow", "body", theme.TEXT_DIM)
        if behind:
            self._line(f"{behind:,} hidden behind the Earth", "body", theme.TEXT_DIM)
        if total < len(alive):
            self._line(f"{len(alive) - total:,} no longer in orbit", "body", theme.TEXT_DIM)
        for text in self._doing():
            self._line(text, "body", theme.TEXT_DIM)
        self._rule()

    def _doing(self) -> list[str]:
        """What limits the work, and what is switched off; not what the legend counts anyway."""
        lines, shown = [], {word for word, _ in self.frame.legend.categories}
        limited = [(w, n) for w, n in self.frame.limited if w != "nothing" and w not in shown]
        if limited:
            parts = [f"{n:,} by {LIMITS.get(word, word)}" for word, n in limited]
            lines.append(f"work limited: {', '.join(parts)}")
        elif self.frame.limited and not {w for w, _ in self.frame.limited} & shown:
            lines.append("nothing limits the work")
        off = [(w, n) for w, n in self.frame.shed if w != ALL_SERVED and w not in shown]
        if off:
            lines.append(", ".join(f"{n:,} {SHED.get(word, word)}" for word, n in off))
        return lines

    def _legend(self) -> None:
        legend = self.frame.legend
        s = self.scale
        unit = f"  ({legend.unit})" if legend.unit else ""
        self._line(legend.title + unit, "body", theme.TEXT, "medium")
        self._space(6)
        if legend.categories:
            longest = max(self._font("body").getlength(word) for word, _ in legend.categories)
            for flag, (meaning, colour) in zip(legend.flags, legend.categories, strict=True):
                count = int((self.frame.values == flag).sum())
                self._dot(self.left + 10 * s, self.y + 14 * s, colour, hollow=False)
                right = self.left + max(0.5 * self.room, 34 * s + longest + 70 * s)
                self._text(right, self.y, f"{count:,}", self._font("body"), theme.TEXT, "ra")
                self._line(meaning, "body", theme.TEXT_DIM, x=34 * s)
            self._rule()
            return
        width, height = round(0.8 * self.room), round(13 * s)
        table = theme.colour_table(legend.colormap)
        self._histogram(width, round(84 * s), table)
        columns = np.linspace(0, 255, width).round().astype(int)
        strip = Image.fromarray(np.broadcast_to(table[columns], (height, width, 3)).copy())
        x = round(self.left)
        self.pen._image.paste(strip, (x, round(self.y)))  # noqa: SLF001
        self.boxes.append(Box(x, self.y, x + width, self.y + height))
        self.y += height + 5 * s
        font = self._font("small")
        for tick in legend.ticks:
            along = x + width * (tick - legend.low) / (legend.high - legend.low)
            self.pen.line(
                [along, self.y - 5 * s, along, self.y], fill=theme.TEXT_DIM, width=round(s)
            )
            end = {legend.ticks[0]: "la", legend.ticks[-1]: "ra"}.get(tick, "ma")
            self._text(along, self.y + 3 * s, f"{tick:,.6g}", font, theme.TEXT_DIM, end)
        self.y += 26 * s
        scale = ", square-root scale" if self.bars_are_roots else ""
        self._line(f"bars: satellites per value{scale}", "small", theme.TEXT_FAINT)
        self._rule()

    @property
    def bars_are_roots(self) -> bool:
        """In a large fleet at one value, bars in proportion would hide the few that differ."""
        return len(self.frame.values) > 100

    def _histogram(self, width: int, height: int, table: np.ndarray, bins: int = 40) -> None:
        """How many satellites have which value, on the axis of the colour bar below."""
        legend = self.frame.legend
        values = self.frame.values[np.isfinite(self.frame.values)]
        inside = np.clip(values, legend.low, legend.high)
        counts, _ = np.histogram(inside, bins, (legend.low, legend.high))
        heights = counts / max(1, counts.max())
        if self.bars_are_roots:
            heights = np.sqrt(heights)
        heights = height * heights
        pitch = width / bins
        for number in np.flatnonzero(counts):
            colour = tuple(int(c) for c in table[round(255 * (number + 0.5) / bins)])
            x = round(self.left) + number * pitch
            top = self.y + height - max(2 * self.scale, heights[number])
            bar = [x, top, x + pitch - 1.5 * self.scale, self.y + height]
            self.pen.rectangle(bar, fill=colour)
        self.boxes.append(Box(self.left, self.y, self.left + width, self.y + height))
        self.y += height + 4 * self.scale

    def _dot(self, x: float, y: float, colour: str, hollow: bool) -> None:
        radius = theme.MARKER["small"] / 2 * self.scale
        self.pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        if hollow:
            heart = 0.56 * radius
            self.pen.ellipse([x - heart, y - heart, x + heart, y + heart], fill=theme.OUTLINE)

    def _diamond(self, x: float, y: float) -> None:
        for size, colour in ((8.6, theme.OUTLINE), (6.4, theme.STATION)):
            r = size * self.scale
            self.pen.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=colour)

    def _symbols(self) -> None:
        s = self.scale
        middle = self.left + 10 * s
        neutral = theme.TEXT
        rows = [("in sunlight", "sun"), ("in the Earth's shadow", "shadow")]
        if len(self.frame.stations) and not self.camera.hidden(self.frame.stations).all():
            rows.append(("ground station", "station"))
        if self.frame.trails.shape[1]:
            minutes = round(self.run.trail_seconds(self.frame.elapsed) / 60)
            rows.append((f"path of the last {minutes} minutes", "trail"))
        for text, kind in rows:
            y = self.y + 14 * s
            if kind == "station":
                self._diamond(middle, y)
            elif kind == "trail":
                for k in range(20):
                    fade = mixed(theme.BACKGROUND, theme.TRAIL, (k / 19) ** 1.6)
                    x = middle + (k - 10) * s
                    self.pen.line([x, y, x + s, y], fill=fade, width=round(2.2 * s))
            else:
                self._dot(middle, y, neutral, kind == "shadow")
            self._line(text, "body", theme.TEXT_DIM, x=34 * s)

    def _temperatures(self, bottom: float) -> None:
        """How cold and how hot the parts are now, as many as there is room for; else none."""
        font, step = self._font("small"), 1.32 * theme.FONT_SIZE["small"] * self.scale
        rows = [(name, spread(low, high)) for name, low, high in self.frame.temperatures]
        widest = max((font.getlength(f"{name}   {span}") for name, span in rows), default=0.0)
        columns = 2 if widest < 0.4 * self.room else 1
        above = (42 + 1.32 * theme.FONT_SIZE["body"] + 4 + 16) * self.scale
        lines = min(3 if columns == 2 else 6, int((bottom - self.y - above) / step))
        if not rows or lines < 1:
            return
        self._rule()
        self._line("Temperatures now  (°C)", "body", theme.TEXT, "medium")
        self._space(4)
        for k, (name, span) in enumerate(rows[: columns * lines]):
            left = self.left + 0.46 * self.room * (k % columns)
            right = left + 0.4 * self.room
            self._text(left, self.y, name, font, theme.TEXT_DIM)
            self._text(right, self.y, span, font, theme.TEXT, "ra")
            self.y += step if k % columns == columns - 1 else 0

    def _foot(self, size: tuple[int, int]) -> None:
        width, height = size
        margin = 40 * self.scale
        credit = self._font("credit")
        right = width - margin
        self._text(right, height - margin, CREDIT, credit, theme.TEXT_FAINT, "rd")
        font, step = self._font("small"), 1.35 * theme.FONT_SIZE["small"] * self.scale
        top = max(height - self._foot_height(), self.y)
        for k, part in enumerate(self._assumed()):
            self._text(self.left, top + k * step, part, font, theme.TEXT_FAINT)

    def _assumed(self) -> list[str]:
        """What the run says of its payload, in lines."""
        text = self.run.assumed[:1].upper() + self.run.assumed[1:]
        return wrapped(text, self._font("small"), 0.94 * self.room)[:5] if text else []

    def _foot_height(self) -> float:
        return (40 + 1.35 * theme.FONT_SIZE["small"] * len(self._assumed())) * self.scale

    def _names(self, size: tuple[int, int]) -> None:
        """Stations' marks, and names where there are few."""
        s = self.scale
        stations = self.camera.pixels(self.frame.stations)
        seen_station = ~self.camera.hidden(self.frame.stations)
        for x, y in stations[seen_station]:
            self._diamond(x, y)
        position = np.where(self.frame.alive[:, None], self.frame.position, 1.0)
        seen = self.frame.alive & ~self.camera.hidden(position)
        few = len(seen) <= LABELLED_FLEET
        marks = self.camera.pixels(position)
        all_marks = np.concatenate([marks[seen] if few else marks[:0], stations[seen_station]])
        font, small = self._font("label", "medium"), self._font("small")
        texts: dict[int, tuple] = {}
        if few:
            short = short_names(self.run.names)
            for n, number in enumerate(np.flatnonzero(seen)):
                texts[n] = (short[number], font, theme.TEXT)
        first = len(texts)
        if len(self.run.stations) <= LABELLED_STATIONS:
            for n, number in enumerate(np.flatnonzero(seen_station)):
                name = str(self.run.stations[number].get("name", ""))
                texts[first + n] = (name, small, theme.STATION)
        sizes = {}
        for n, (text, face, _) in texts.items():
            left, top, right, bottom = face.getbbox(text)
            sizes[n] = (float(right - left), float(bottom - top))
        centre_x, centre_y, _ = self.camera.earth_disc
        column = Box(0, 0, column_width(size), size[1])
        frame = Box(12 * s, 12 * s, size[0] - 12 * s, size[1] - 12 * s)
        radius = 0.5 * marker_size(len(seen)) * s + 2 * s
        self.labels = place(
            {n: text for n, (text, _, _) in texts.items()},
            all_marks,
            sizes,
            frame,
            (centre_x, centre_y),
            [column, *self.boxes],
            radius,
            s,
        )
        left_out = len(texts) - len(self.labels)
        if left_out:
            text = f"{counted(left_out, 'name')} left out for want of room"
            credit, margin = self._font("credit"), 40 * s
            above = size[1] - margin - 1.5 * theme.FONT_SIZE["credit"] * s
            self._text(size[0] - margin, above, text, credit, theme.TEXT_FAINT, "rd")
        for label in self.labels:
            _, face, colour = texts[label.number]
            if label.leader:
                self.pen.line(label.leader, fill=theme.TEXT_DIM, width=max(1, round(1.2 * s)))
            middle = (label.box.left + label.box.right) / 2, (label.box.top + label.box.bottom) / 2
            self.pen.text(
                middle,
                label.text,
                font=face,
                fill=colour,
                anchor="mm",
                stroke_width=round(2 * s),
                stroke_fill=theme.OUTLINE,
            )


def wrapped(text: str, font, room: float) -> list[str]:
    """Lines that fit; a word longer than the room stands alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def balanced(text: str, font, room: float) -> list[str]:
    """Lines that fit, as even in length as that number of lines allows."""
    lines = wrapped(text, font, room)
    for share in np.arange(0.95, 0.45, -0.05):
        narrower = wrapped(text, font, share * room)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def spread(low: float, high: float) -> str:
    """Two whole numbers, or one where they are the same."""
    ends = [f"{round(value):d}".replace("-", "\N{MINUS SIGN}") for value in (low, high)]
    return " to ".join(dict.fromkeys(ends))


def since(seconds: float) -> str:
    """``2 h 05 min``."""
    minutes = round(seconds / 60)
    days, minutes = divmod(minutes, 1440)
    return (f"{days} d " if days else "") + f"{minutes // 60} h {minutes % 60:02d} min"


def counted(count: int, noun: str) -> str:
    """``1 satellite``, ``2,800 satellites``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def mixed(start: str, end: str, share: float) -> tuple[int, ...]:
    """A colour between two."""
    pairs = zip(theme.rgb(start), theme.rgb(end), strict=True)
    return tuple(round(a + (b - a) * share) for a, b in pairs)

"""The look: colours, fonts, and for each quantity its unit for people, range and colour map.

All maps are perceptually even and safe for colour-blind readers, and start well above black, so
that a low value is still seen against the night side. State is never told by colour alone.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

BACKGROUND = "#05070d"
TEXT = "#e8edf4"
TEXT_DIM = "#96a3b5"
TEXT_FAINT = "#7b8aa0"
RULE = "#2a3546"
STATION = "#5ef0d0"
TRAIL = "#9db8dc"
OUTLINE = "#05070d"

# The Earth by day; the shader darkens it to the night.
OCEAN = "#15324f"
LAND = "#5a6b7f"
COAST = "#a4bad2"
GRATICULE = "#8fb0d8"
GLOW = "#5b9bea"
NIGHT = 0.36  # brightness of the night side relative to full day

MARKER = {"small": 15.0, "large": 5.6}  # pixels at 1080 lines: fleets to 100, fleets beyond
FONT_SIZE = {"title": 39, "time": 28, "body": 23, "small": 19, "label": 22, "credit": 16}
FONT_FILES = {"regular": "Roboto-Regular.ttf", "medium": "Roboto-Medium.ttf"}

LIMIT_COLOURS = {  # Okabe and Ito's palette
    "nothing": "#56b4e9",
    "energy": "#f0e442",
    "heat": "#d55e00",
    "work": "#999999",
    "fault": "#cc79a7",
}
SHED_COLOURS = {  # the same palette: the further from blue, the less is served
    "all served": "#56b4e9",
    "payload asleep": "#f0e442",
    "laser terminals off too": "#e69f00",
    "safe mode": "#d55e00",
}
CATEGORY_COLOURS = LIMIT_COLOURS | SHED_COLOURS
SPARE_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2")

# The list of temperatures begins with these nodes, and leaves out those near their neighbours.
FIRST_NODES = ("chip", "payload_chip", "battery", "avionics", "radiator", "terminals", "array")
MINOR_NODES = ("array_back", "cold_plate", "loop", "radiator_back", "blanket", "bus")


@dataclass(frozen=True)
class Quantity:
    """How one variable of the run store is shown to people.

    ``scale`` and ``offset`` lead from SI to ``unit``; ``full`` names a static variable to divide
    by first; ``low`` and ``high`` fix the range, and where they are None it spans the whole run.
    """

    variable: str
    label: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    full: str = ""
    low: float | None = None
    high: float | None = None
    colormap: str = "viridis"
    kind: str = "number"  # or "category"
    meanings: tuple[str, ...] = ()  # of the values 0, 1, …, where the store has none


QUANTITIES = {
    quantity.variable: quantity
    for quantity in (
        Quantity("battery_energy", "Battery charge", "%", 100.0, full="battery_capacity", high=100),
        Quantity("temperature", "Temperature", "°C", offset=-273.15, colormap="plasma"),
        Quantity("payload_power", "Payload power", "W", low=0, colormap="plasma"),
        Quantity("tokens_rate", "Tokens", "tokens/s", low=0, colormap="plasma"),
        Quantity(
            "throttle",
            "Share of full work allowed",
            "%",
            100.0,
            low=0,
            high=100,
            colormap="cividis",
        ),
        Quantity("panel_power", "Array power used", "W", low=0, colormap="plasma"),
        Quantity("curtailed_power", "Array power not needed", "W", low=0, colormap="plasma"),
        Quantity("bus_power", "Housekeeping power", "W", low=0, colormap="plasma"),
        Quantity("unserved_power", "Unserved power", "W", low=0, colormap="plasma"),
        Quantity("sunlit", "Sunlight", "%", 100.0, low=0, high=100, colormap="cividis"),
        Quantity("limit", "What limits the work", kind="category"),
        Quantity("shed", "Switched off", kind="category", meanings=tuple(SHED_COLOURS)),
        Quantity("mode", "Attitude", kind="category"),
    )
}


def displayed(quantity: Quantity, values: np.ndarray, full: np.ndarray | None) -> np.ndarray:
    """Values of the store in the unit that people read."""
    if full is not None:
        values = values / np.where(full > 0, full, np.nan)
    return values * quantity.scale + quantity.offset


@cache
def colour_table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """A colour map as 256 colours, its darkest part cut off."""
    import matplotlib

    start = {"cividis": 0.28, "viridis": 0.22, "plasma": 0.22}.get(name, 0.2)
    colours = matplotlib.colormaps[name](np.linspace(start, 1.0, 256))
    return np.rint(255 * colours[:, :3]).astype(np.uint8)


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three bytes."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def rgb_fraction(colour: str) -> tuple[float, float, float]:
    """``#rrggbb`` as three fractions of one."""
    red, green, blue = rgb(colour)
    return red / 255, green / 255, blue / 255


def nice_range(low: float, high: float) -> tuple[float, float, float]:
    """A round range that holds ``low`` and ``high``, and its step: at most five intervals."""
    if not np.isfinite([low, high]).all():
        return 0.0, 1.0, 0.5
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = float(factor * power)
        bottom = float(np.floor(low / step + 1e-9) * step)
        top = float(np.ceil(high / step - 1e-9) * step)
        if top - bottom <= 5.001 * step:
            break
    return bottom, top, step


def colours_of(
    values: Float[np.ndarray, "sat"], low: float, high: float, colormap: str
) -> UInt8[np.ndarray, "sat 3"]:
    """The colour of each value; outside the range the end's colour, NaN a neutral grey."""
    place = np.clip((values - low) / (high - low), 0, 1)
    known = np.isfinite(place)
    colours = colour_table(colormap)[np.rint(255 * np.where(known, place, 0)).astype(int)]
    return np.where(known[:, None], colours, np.uint8(120)).astype(np.uint8)


@cache
def font(weight: str, pixels: int):
    """A typeface for pictures: Roboto (Apache-2.0), shipped beside this file."""
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(__file__).parent / "fonts" / FONT_FILES[weight]), pixels)

"""Draw the map of the dark Earth, once, from Natural Earth.

Usage: ``python make_earth.py WORLD_ATLAS_TGZ [-o earth.png] [--width 4096]``

The input is the tarball of the npm package ``world-atlas`` 2.0.2 (ISC; it holds Natural Earth 4.1,
public domain). The output is an equirectangular PNG in geodetic latitude, 180° W at the left edge,
whose three channels are masks, so that all colours stay in ``viz/theme.py``:

* red: land (0 sea, 255 land);
* green: coast lines at full strength, borders on land at half strength;
* blue: the graticule, every 15°, the equator and the prime meridian twice as strong.

Nothing of this runs when a picture is made; only ``earth.png`` is read then.
"""

import argparse
import json
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLE = 2


def decode_arcs(topology):
    """Absolute longitude and latitude, degrees, of each arc: TopoJSON stores integer steps."""
    scale = np.array(topology["transform"]["scale"])
    origin = np.array(topology["transform"]["translate"])
    return [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in topology["arcs"]]


def polygons(geometry):
    """The polygons of a geometry, each a list of rings, each a list of arc numbers."""
    if geometry["type"] == "GeometryCollection":
        return [p for member in geometry["geometries"] for p in polygons(member)]
    if geometry["type"] == "MultiPolygon":
        return geometry["arcs"]
    return [geometry["arcs"]] if geometry["type"] == "Polygon" else []


def unwrapped(points):
    """The same line without jumps at 180°: longitudes run on beyond the map's edge."""
    turns = np.cumsum(np.round(np.diff(points[:, 0], prepend=points[0, 0]) / 360))
    return np.stack([points[:, 0] - 360 * turns, points[:, 1]], 1)


def ring_points(ring, arcs):
    """One closed ring; ``~n`` means arc ``n`` backwards; round a pole it is closed at the pole."""
    pieces = [arcs[n] if n >= 0 else arcs[~n][::-1] for n in ring]
    points = unwrapped(np.concatenate([pieces[0]] + [piece[1:] for piece in pieces[1:]]))
    first, last = points[0, 0], points[-1, 0]
    if abs(last - first) < 180:
        return points
    pole = np.copysign(90, points[:, 1].mean())
    return np.concatenate([points, [[last, pole], [first, pole]]])


def to_pixels(degrees, width):
    """The line on an image of ``width`` by ``width / 2``: as it is and a turn either way."""
    x = (degrees[:, 0, None] + [180, -180, 540]) / 360 * width
    y = (90 - degrees[:, 1]) / 360 * width
    return [list(zip(column, y, strict=True)) for column in x.T]


def draw_land(topology, width):
    """The land as a mask."""
    arcs = decode_arcs(topology)
    image = Image.new("L", (width, width // 2))
    draw = ImageDraw.Draw(image)
    for polygon in polygons(topology["objects"]["land"]):
        for number, ring in enumerate(polygon):
            for points in to_pixels(ring_points(ring, arcs), width):
                draw.polygon(points, fill=0 if number else 255)
    return image


def draw_lines(land, countries, width):
    """Coast lines (255) over borders (110): an arc that two countries share is a border."""
    image = Image.new("L", (width, width // 2))
    draw = ImageDraw.Draw(image)
    uses = Counter(
        n if n >= 0 else ~n
        for geometry in countries["objects"]["countries"]["geometries"]
        for polygon in polygons(geometry)
        for ring in polygon
        for n in ring
    )
    border_arcs = decode_arcs(countries)
    borders = [border_arcs[n] for n, count in uses.items() if count > 1]
    for lines, value, weight in ((borders, 110, 2), (decode_arcs(land), 255, 3)):
        for line in lines:
            for points in to_pixels(unwrapped(line), width):
                draw.line(points, fill=value, width=weight, joint="curve")
    return image


def draw_graticule(width):
    """Meridians and parallels every 15°."""
    image = Image.new("L", (width, width // 2))
    draw = ImageDraw.Draw(image)
    height = width // 2
    for degree in range(-180, 181, 15):
        x = (degree + 180) / 360 * width
        # Towards the poles every second meridian ends, or they would run into a blot.
        reach = 90 if degree % 90 == 0 else 75
        top, bottom = (90 - reach) / 180 * height, (90 + reach) / 180 * height
        draw.line([(x, top), (x, bottom)], fill=255 if degree == 0 else 130, width=2)
    for degree in range(-75, 76, 15):
        y = (90 - degree) / 180 * height
        draw.line([(0, y), (width, y)], fill=255 if degree == 0 else 130, width=2)
    return image


def read_topologies(tarball):
    """Land and countries at 1:50 million from the npm tarball."""
    with tarfile.open(tarball) as archive:
        read = {}
        for name in ("land-50m", "countries-50m"):
            member = archive.extractfile(f"package/{name}.json")
            assert member is not None
            read[name] = json.load(member)
    return read["land-50m"], read["countries-50m"]


def main():
    """Draw and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tarball", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("earth.png"))
    parser.add_argument("--width", type=int, default=4096)
    options = parser.parse_args()
    land, countries = read_topologies(options.tarball)
    fine = options.width * SUPERSAMPLE
    layers = (draw_land(land, fine), draw_lines(land, countries, fine), draw_graticule(fine))
    size = (options.width, options.width // 2)
    bands = [layer.resize(size, Image.Resampling.BOX) for layer in layers]
    # Few grey levels are enough for edges and make the file several times smaller.
    coarse = [round(value / 51) * 51 for value in range(256)]
    bands = [band.point(coarse) for band in bands]
    Image.merge("RGB", bands).save(options.output, optimize=True)
    sys.stderr.write(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()

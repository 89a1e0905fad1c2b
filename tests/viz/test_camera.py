"""Where the camera stands, what it sees, and where words go: geometry, no drawing."""

import numpy as np
import pytest
from PIL import Image

from viz import theme
from viz.camera import Camera, choose, column_width
from viz.hud import Hud, spread
from viz.labels import Box, place, short_names
from viz.scene import EARTH_RADIUS, Run

SIZE = (1920, 1080)


@pytest.fixture
def over_the_equator():
    return Camera(np.array([3e7, 0.0, 0.0]), SIZE, 0.2)


def test_pixels_follow_the_axes(over_the_equator):
    middle, east, north = over_the_equator.pixels(np.eye(3) * [0.0, 1e6, 1e6])
    assert middle == pytest.approx([1152, 540])
    assert east[0] > 1152 and east[1] == pytest.approx(540)
    assert north[1] < 540 and north[0] == pytest.approx(1152)


def test_the_earth_hides_what_is_behind_it(over_the_equator):
    low = EARTH_RADIUS + 500e3
    ground = [EARTH_RADIUS, 0, 0]
    points = np.array([[low, 0, 0], [-low, 0, 0], [0, low, 0], [-low, 0, 1.5 * low], ground])
    assert over_the_equator.hidden(points).tolist() == [False, True, False, False, False]
    # Behind, the edge of the hidden cone at 2 R from the centre is where the tangent passes.
    tangent = np.arcsin(EARTH_RADIUS / 3e7)
    for off, hidden in ((-0.003, True), (0.003, False)):
        direction = np.array([-np.cos(tangent + off), np.sin(tangent + off), 0])
        far = np.array([3e7, 0, 0]) + 4.2e7 * direction
        assert over_the_equator.hidden(far[None])[0] == hidden


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (1000, 1000)])
def test_the_fleet_and_both_day_and_night_are_in_the_picture(twelve, many, size):
    for path in (twelve, many):
        run = Run(path)
        frame = run.frame(run.index_at(None))
        camera = choose(frame, size)
        x, y = camera.pixels(frame.position).T
        assert (x > column_width(size)).all() and (x < size[0]).all()
        assert (y > 0).all() and (y < size[1]).all()
        seen = ~camera.hidden(frame.position)
        assert seen.mean() > (0.7 if path is twelve else 0.5)
        towards = camera.position / np.linalg.norm(camera.position)
        assert 45 < np.degrees(np.arccos(towards @ frame.sun)) < 125


@pytest.mark.parametrize("variable", ["battery_energy", "limit", "shed"])
@pytest.mark.parametrize("size", [(1920, 1080), (960, 540), (1000, 1000)])
def test_words_overlap_neither_each_other_nor_the_fleet(twelve, many, size, variable):
    for path in (twelve, many):
        run = Run(path)
        frame = run.frame(run.index_at(None, variable), variable)
        camera = choose(frame, size)
        hud = Hud(run, frame, camera)
        hud.draw(Image.new("RGB", size))
        boxes = hud.boxes + [label.box for label in hud.labels]
        picture = Box(0, 0, *map(float, size))
        assert len(hud.boxes) > 10
        for number, box in enumerate(boxes):
            assert box.inside(picture)
            assert not any(box.overlaps(other) for other in boxes[:number])
        marks = camera.pixels(frame.position)
        for box in hud.boxes:
            x, y = marks.T
            assert not ((x > box.left) & (x < box.right) & (y > box.top) & (y < box.bottom)).any()


def test_the_words_say_what_limits_and_what_is_off(twelve):
    """Unless the legend counts it anyway."""
    run = Run(twelve)
    levels = run.data["shed"].values
    record = int(np.argmax((levels == 3).sum(axis=1)))
    said: dict[str, str] = {}
    for variable in ("battery_energy", "shed", "limit"):
        frame = run.frame(record, variable)
        hud = Hud(run, frame, choose(frame, SIZE))
        said[variable] = "; ".join(hud._doing())
    safe = f"{(levels[record] == 3).sum()} in safe mode"
    assert safe in said["battery_energy"] and safe in said["limit"]
    assert "safe mode" not in said["shed"]
    assert "by a fault" in said["battery_energy"] and "work limited" not in said["limit"]
    assert spread(-0.4, 3.2) == "0 to 3" and spread(-7.0, -7.1) == "\N{MINUS SIGN}7"


def test_close_satellites_get_names_that_do_not_overlap():
    marks = np.stack([700 + 5.0 * np.arange(8), 400 + 1.0 * np.arange(8)], axis=1)
    names = {n: "ABCDEFGH"[n] for n in range(8)}
    sizes, room = dict.fromkeys(names, (16.0, 18.0)), Box(0, 0, 1920, 1080)
    labels = place(names, marks, sizes, room, (900, 500), [], radius=8, scale=1.0)
    assert len(labels) == 8
    for number, label in enumerate(labels):
        assert not any(label.box.overlaps(other.box) for other in labels[:number])
    assert any(label.leader for label in labels)


def test_names_lose_the_words_they_share():
    assert short_names(["SCS-01 A", "SCS-01 B"]) == ["A", "B"]
    assert short_names(["ONE", "TWO"]) == ["ONE", "TWO"]
    assert short_names(["SAME", "SAME"]) == ["SAME", "SAME"]
    assert short_names(["SCS-01 A"]) == ["SCS-01 A"]


def test_round_ranges_hold_their_values():
    rng = np.random.default_rng(3)
    for _ in range(2000):
        low = rng.normal() * 10 ** rng.uniform(-3, 5)
        high = low + 10 ** rng.uniform(-3, 5)
        bottom, top, step = theme.nice_range(low, high)
        slack = 1e-6 * step
        assert bottom <= low + slack and high <= top + slack
        assert (top - bottom) / step < 5.5
    assert theme.nice_range(np.inf, -np.inf)[0] < theme.nice_range(np.inf, -np.inf)[1]
    assert theme.nice_range(5.0, 5.0)[0] < 5 < theme.nice_range(5.0, 5.0)[1]


@pytest.mark.parametrize("name", sorted({q.colormap for q in theme.QUANTITIES.values()}))
def test_colour_maps_grow_brighter_all_the_way(name):
    red, green, blue = theme.colour_table(name).astype(float).T
    brightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # Bytes are rounded, so one step may fall by a byte; sixteen steps may not.
    assert (np.diff(brightness[::16]) > 0).all()
    assert brightness[0] > 25, "the lowest value must be seen against the night side"

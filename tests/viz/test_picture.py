"""Rendered frames: not blank, lit where the Sun is, dots where the geometry puts them."""

import dataclasses

import numpy as np
import pytest

from viz.camera import choose
from viz.export import render
from viz.probe import probe
from viz.scene import Run, surface_position

pytestmark = pytest.mark.image
SIZE = (960, 540)


@pytest.fixture(scope="module")
def drawing():
    if not probe()["works"]:
        pytest.skip("this machine cannot draw")


def shade(picture, camera, points):
    """Mean brightness round where the points appear."""
    x, y = np.rint(camera.pixels(points)).astype(int).T
    return np.mean(
        [picture[b - 2 : b + 3, a - 2 : a + 3].mean() for a, b in zip(x, y, strict=True)]
    )


def test_the_day_side_is_brighter_and_nothing_is_blank(drawing, many):
    run = Run(many)
    frame = run.frame(20)
    camera = choose(frame, SIZE)
    picture = render(dataclasses.replace(frame, alive=np.zeros_like(frame.alive)), camera)
    assert picture.shape == (540, 960, 3)
    assert picture.std() > 10
    rng = np.random.default_rng(5)
    ground = surface_position(np.arcsin(rng.uniform(-1, 1, 4000)), rng.uniform(-3.1, 3.1, 4000))
    facing = ground @ camera.position / np.linalg.norm(camera.position) > 0.45 * 6.4e6
    height = ground @ frame.sun / 6.4e6
    day = shade(picture, camera, ground[facing & (height > 0.2)])
    night = shade(picture, camera, ground[facing & (height < -0.2)])
    sky = picture[10:60, 600:700].mean()
    assert day > 1.8 * night > 1.8 * 1.5 * sky


def test_dots_have_their_colour_where_the_camera_says_and_rings_are_hollow(drawing, twelve):
    run = Run(twelve)
    frame = run.frame(run.index_at(None))
    camera = choose(frame, SIZE)
    picture = render(frame, camera).astype(int)
    seen = ~camera.hidden(frame.position)
    x, y = np.rint(camera.pixels(frame.position)).astype(int).T
    lit, dark = (np.flatnonzero(seen & (frame.shadowed == s)) for s in (False, True))
    assert len(lit) and len(dark)
    for satellite in lit:
        off = picture[y[satellite], x[satellite]] - frame.colours[satellite].astype(int)
        assert np.abs(off).max() <= 3
    for satellite in dark:
        assert picture[y[satellite], x[satellite]].max() < 30


def test_land_is_where_it_is(drawing, many):
    """The Sahara is land, the Gulf of Guinea sea; north and south mixed up would swap them."""
    run = Run(many)
    frame = dataclasses.replace(run.frame(0), alive=np.zeros(run.satellites, dtype=bool))
    camera = choose(frame, SIZE, (5.0, 8.0))
    picture = render(frame, camera)
    from viz.scene import itrf_from_teme

    places = surface_position(*np.radians([[22.0, 2.0], [-10.0, 5.0]]).T)
    land, sea = places @ itrf_from_teme(frame.earth_rotation)
    assert shade(picture, camera, land[None]) > 1.3 * shade(picture, camera, sea[None])

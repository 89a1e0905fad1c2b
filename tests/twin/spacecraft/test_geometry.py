"""What a satellite's surfaces see, against closed forms; what is wrong with a mesh, in words."""

import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from oracles.earth_view import plate_view_factor

from twin.spacecraft import geometry
from twin.spacecraft.craft import (
    Craft,
    Part,
    box,
    cylinder,
    default_craft,
    locked,
    plate,
    read_mesh,
)
from twin.spacecraft.facets import Model
from twin.spacecraft.factors import LATITUDES, LONGITUDES, by_surface, grid, solar_cosines, unit
from twin.spacecraft.geometry import cached_views, check_sums, look, views
from twin.spacecraft.rays import Tracer

SUN = unit(*grid())


def one(mesh, back=None):
    return views(Craft((Part("it", mesh, "it", back),)), tracking=False)


@pytest.fixture(scope="module")
def rigid():
    return views(default_craft(1.0, 12.0, 3.0, "+z", 2), tracking=False)


def projected(found):
    return (found.area[:, None, None] * found.solar).sum(axis=0).ravel()


def test_a_box_shows_its_faces_exactly():
    size = np.array([1.0, 2.0, 3.0])
    sides = size.prod() / size
    assert projected(one(box((1.0, 2.0, 3.0)))) == pytest.approx(np.abs(SUN) @ sides, rel=1e-9)


def test_round_bodies_show_what_they_should():
    """256 sides and 5,120 triangles stand for round ones: within half a per cent."""
    radius, height = 0.7, 2.0
    along = np.abs(SUN[:, 1])
    side = 2 * radius * height * np.sqrt(1 - along**2)
    expected = np.pi * radius**2 * along + side
    found = projected(one(cylinder(radius, height, "y", sections=256)))
    assert found == pytest.approx(expected, rel=5e-3)

    ball = trimesh.creation.icosphere(subdivisions=4, radius=2.0)
    assert projected(one(ball)) == pytest.approx(4 * np.pi, rel=5e-3)


def test_a_plate_shades_another_as_the_closed_form_says():
    """A unit plate 0.4 over another shifts its shadow by 0.4 tan: rms 0.3 %, nowhere 2 %."""
    over = 0.4
    lower = Part("lower", plate((1.0, 1.0), "+x"), "lower")
    upper = Part("upper", plate((1.0, 1.0), "+x", (over, 0.0, 0.0)), "upper")
    found = views(Craft((lower, upper)), tracking=False).solar[0].ravel()

    up = np.maximum(SUN[:, 0], 1e-12)
    overlap = np.prod([np.maximum(0, 1 - np.abs(over * SUN[:, k] / up)) for k in (1, 2)], axis=0)
    expected = np.where(SUN[:, 0] > 1e-9, SUN[:, 0] * (1 - overlap), 0.0)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 3e-3
    assert np.abs(found - expected).max() < 2e-2
    assert np.abs(expected - np.maximum(SUN[:, 0], 0)).max() > 0.9, "there was a shadow to find"


def parallel_plates(a, b, c):
    """Howell C-11: two equal a x b rectangles, c apart, facing each other."""
    x, y = a / c, b / c
    terms = np.log(np.sqrt((1 + x**2) * (1 + y**2) / (1 + x**2 + y**2)))
    for p, q in ((x, y), (y, x)):
        terms += p * np.sqrt(1 + q**2) * np.arctan(p / np.sqrt(1 + q**2)) - p * np.arctan(p)
    return 2 / (np.pi * x * y) * terms


def corner_plates(width, height, length):
    """Howell C-14: from a width x length rectangle to a height x length one at right angles."""
    h, w = height / length, width / length
    root = np.sqrt(h**2 + w**2)
    total = w * np.arctan(1 / w) + h * np.arctan(1 / h) - root * np.arctan(1 / root)
    inside = (1 + w**2) * (1 + h**2) / (1 + w**2 + h**2)
    inside *= (w**2 * (1 + w**2 + h**2) / ((1 + w**2) * (w**2 + h**2))) ** (w**2)
    inside *= (h**2 * (1 + h**2 + w**2) / ((1 + h**2) * (h**2 + w**2))) ** (h**2)
    return (total + np.log(inside) / 4) / (np.pi * w)


def test_plates_see_each_other_as_howell_says():
    """Within 1 % of the catalogue, and both ways alike."""
    assert parallel_plates(1, 1, 1) == pytest.approx(0.19982, abs=1e-5)  # its printed values
    assert corner_plates(1, 1, 1) == pytest.approx(0.20004, abs=1e-5)

    low = Part("low", plate((2.0, 1.0), "+x"), "low")
    high = Part("high", plate((2.0, 1.0), "-x", (0.8, 0.0, 0.0)), "high")
    found = views(Craft((low, high)), tracking=False)
    assert found.exchange[0, 1] == pytest.approx(parallel_plates(2, 1, 0.8), rel=0.01)

    wall = Part("wall", plate((3.0, 2.0), "+y", (1.5, 0.0, 0.0)), "wall")
    floor = Part("floor", plate((1.0, 2.0), "+x", (0.0, 0.5, 0.0)), "floor")
    found = views(Craft((floor, wall)), tracking=False)
    assert found.exchange[0, 1] == pytest.approx(corner_plates(1, 3, 2), rel=0.01)
    assert found.exchange[1, 0] == pytest.approx(corner_plates(3, 1, 2), rel=0.01)


def test_an_l_shaped_body_sees_itself():
    """The two inner faces of an L (1 x 1 x 1 steps) see each other as a corner does."""
    outline = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
    caps = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]
    corners = np.vstack([np.insert(outline, 2, 0.0, axis=1), np.insert(outline, 2, 1.0, axis=1)])
    faces = [face[::-1] for face in caps] + [[k + 6 for k in face] for face in caps]
    for k in range(6):
        nxt = (k + 1) % 6
        faces += [[k, nxt, nxt + 6], [k, nxt + 6, k + 6]]
    body = trimesh.Trimesh(corners, faces)
    assert body.is_watertight and body.volume == pytest.approx(3.0)
    found = one(body)
    assert found.own[0] * found.area[0] == pytest.approx(2 * corner_plates(1, 1, 1), rel=0.01)
    assert found.sky[0] == pytest.approx(1 - found.own[0])


def test_a_plate_sees_the_earth_as_the_catalogue_says():
    """Exact with nothing in the way, front and back, at both heights and any tilt."""
    found = one(plate((2.0, 1.0), "-x"), "back")
    assert found.horizons == (0.75, 0.90)
    for h, square in enumerate(found.horizons):
        for s, cosine in enumerate((-SUN[:, 0], SUN[:, 0])):
            expected = plate_view_factor(square**0.5, cosine)
            assert found.earth[h, s].ravel() == pytest.approx(expected, abs=1e-6)


def test_a_shaded_plate_sees_the_earth_beside_the_shade():
    """Under a plate that covers all but a far strip, the factor is the integral of what is lit."""
    over = 0.5
    lower = Part("lower", plate((1.0, 1.0), "+x"), "lower")
    upper = Part("upper", plate((1.0, 1.0), "+x", (over, 0.0, 0.0)), "upper")
    found = views(Craft((lower, upper)), tracking=False).earth[0, 0]
    rng = np.random.default_rng(3)
    horizon = np.sqrt(0.25)
    for i, j in ((18, 0), (18, 9), (27, 18), (9, 60)):
        centre = unit(LATITUDES[i : i + 1], LONGITUDES[j : j + 1])[0]
        ray = rng.normal(size=(400_000, 3))
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        ray = ray[(ray @ centre > horizon) & (ray[:, 0] > 1e-9)]
        shift = np.abs(over * ray[:, 1:] / ray[:, :1])
        lit = 1 - np.prod(np.maximum(0, 1 - shift), axis=1)
        expected = 4 * (ray[:, 0] * lit).sum() / 400_000
        assert found[i, j] == pytest.approx(expected, abs=4e-3)


@pytest.mark.parametrize("axes", [1, 2])
def test_tracking_and_locked_wings_agree_where_they_stand_alike(axes):
    """Two ways to the same numbers: rays to the Earth at -x, and sums over the lit directions."""
    craft = default_craft(1.0, 12.0, 3.0, "-z", 1, axes)
    follow = views(craft, tracking=True)
    for j in (6, 40):
        lock = views(craft, tracking=False, wing_rotation=float(LONGITUDES[j]))
        assert follow.solar[:, 18, j] == pytest.approx(lock.solar[:, 18, j], abs=0.01)
        assert follow.earth[:, :, 18, j] == pytest.approx(lock.earth[:, :, 18, 36], abs=0.01)
    array = follow.surfaces.index("array")
    bare = np.cos(LATITUDES)[:, None] if axes == 1 else 1.0
    assert (follow.solar[array] <= bare + 1e-9).all()
    assert follow.solar[array, 18].max() == pytest.approx(1.0), "at noon nothing shades the wings"
    assert follow.solar[follow.surfaces.index("array_back")].max() < 1e-12


def test_views_sum_to_one_and_are_reciprocal(rigid):
    flow = rigid.area[:, None] * rigid.exchange
    assert flow == pytest.approx(flow.T, abs=1e-12)
    assert (np.diag(rigid.exchange) == 0).all()
    assert (rigid.earth.max(axis=(0, 2, 3)) <= rigid.sky + 0.005).all()
    towards = {name: k for k, name in enumerate(rigid.surfaces)}
    assert rigid.exchange[towards["radiator_back"], towards["blanket"]] > 0.1
    assert rigid.sky[towards["radiator"]] < 1.0, "a wing reaches out over it"


def test_views_that_do_not_sum_to_one_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="surface 'b': view factors that do not sum to one"):
        check_sums(("a", "b"), np.array([1.0, 1.02]))
    real = geometry.exchange
    monkeypatch.setattr(geometry, "exchange", lambda *x: (1.05 * real(*x)[0], *real(*x)[1:]))
    with pytest.raises(ValueError, match="surface 'blanket': view factors that do not sum"):
        views(default_craft(1.0, 12.0, 3.0, "+z", 2), tracking=False)


def test_a_flipped_normal_and_a_dropped_part_are_seen(rigid):
    craft = default_craft(1.0, 12.0, 3.0, "+z", 2)
    turned = craft.parts[1].mesh.copy()
    turned.invert()
    assert craft.parts[1].name == "radiator"
    parts = (craft.parts[0], replace(craft.parts[1], mesh=turned), *craft.parts[2:])
    flipped = views(Craft(parts), tracking=False)
    assert np.abs(flipped.solar[1] - rigid.solar[1]).max() > 0.5
    assert np.abs(flipped.earth[:, 1] - rigid.earth[:, 1]).max() > 0.1

    dropped = views(Craft(tuple(p for p in craft.parts if p.name != "wing -z")), tracking=False)
    assert np.abs(dropped.solar[0] - rigid.solar[0]).max() > 0.03, "the box is shaded less"

    faces = np.array(box((1.0, 1.0, 1.0)).faces)
    faces[3] = faces[3][::-1]
    with pytest.raises(ValueError, match="part 'bus' has faces that look the wrong way"):
        Part("bus", trimesh.Trimesh(box((1.0, 1.0, 1.0)).vertices, faces), "bus")
    inside_out = box((1.0, 1.0, 1.0))
    inside_out.invert()
    with pytest.raises(ValueError, match="part 'bus' is inside out"):
        Part("bus", inside_out, "bus")


def test_the_table_is_close_between_its_directions():
    """Directions that it was not made from: rms 0.3 % of full sun, nowhere more than 3 %."""
    craft = default_craft(1.0, 12.0, 3.0)
    rng = np.random.default_rng(5)
    away = rng.normal(size=(400, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    latitude, longitude = np.arcsin(away[:, 2]), np.arctan2(away[:, 1], away[:, 0])
    model = Model(craft)
    _, lit = solar_cosines(
        Tracer(model, 2048), lambda part: model.turned(latitude[part], longitude[part]), away
    )
    error = look(views(craft, tracking=True).solar, away) - by_surface(model, lit.T)
    assert np.sqrt((error**2).mean(axis=1)).max() < 3e-3
    assert np.abs(error).max() < 3e-2


def test_looking_up_meets_the_table_on_its_grid():
    table = np.random.default_rng(1).normal(size=(2, len(LATITUDES), len(LONGITUDES)))
    table[:, [0, -1]] = table[:, [0, -1], :1]  # at the poles longitude means nothing
    assert look(table, SUN) == pytest.approx(table.reshape(2, -1), abs=1e-9)
    across = unit(np.zeros(1), np.radians([357.5]))
    assert look(table, across) == pytest.approx(table[:, 18, [71, 0]].mean(axis=1)[:, None])


def test_the_same_craft_gives_the_same_bits_and_the_cache_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    craft = default_craft(1.0, 4.0, 1.0)
    fresh = cached_views(craft, tracking=False)
    (path,) = (tmp_path / "constellation-twin" / "views").iterdir()

    def same(first, second):
        return all(
            np.array_equal(getattr(first, name), getattr(second, name))
            for name in ("surfaces", "area", "solar", "earth", "exchange", "own", "horizons")
        )

    assert same(fresh, views(craft, tracking=False))
    with monkeypatch.context() as still:
        still.setattr(geometry, "views", lambda *_, **__: pytest.fail("it was in the cache"))
        assert same(fresh, cached_views(craft, tracking=False))
    path.write_bytes(path.read_bytes()[:1000])
    assert same(fresh, cached_views(craft, tracking=False)), "a broken file is made anew"
    assert same(fresh, geometry._read(path))
    cached_views(craft, tracking=False, wing_rotation=0.1)
    moved = craft.parts[0].mesh.copy()
    moved.apply_translation((0.0, 1e-3, 0.0))
    cached_views(Craft((replace(craft.parts[0], mesh=moved), *craft.parts[1:])), tracking=False)
    assert len(list(path.parent.iterdir())) == 3, "other settings or corners, another file"


def test_threads_that_ask_for_one_craft_trace_it_once(tmp_path, monkeypatch):
    """A run and the study that is planned beside it begin with the same craft."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    traced = []

    def slowly(*arguments, **settings):
        traced.append(arguments)
        time.sleep(0.2)
        return views(*arguments, **settings)

    monkeypatch.setattr(geometry, "views", slowly)
    craft = default_craft(1.0, 4.0, 1.0)
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(cached_views, craft, tracking=False) for _ in range(3)]
        areas = [future.result().area for future in found]
    assert len(traced) == 1 and np.ptp(areas, axis=0).max() == 0


def test_wings_lock_where_they_are_told():
    craft = locked(default_craft(1.0, 12.0, 3.0), np.radians(30.0))
    wing = next(part for part in craft.parts if part.name == "wing +z")
    assert wing.mesh.face_normals[0] == pytest.approx(unit(np.zeros(1), np.radians([30.0]))[0])
    assert all(part.axes == 0 for part in craft.parts)


def test_meshes_come_from_files_by_name(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(box((1.0, 1.0, 2.0)), node_name="bus", geom_name="bus")
    shift = trimesh.transformations.translation_matrix((0.0, 3.0, 0.0))
    panel = plate((2.0, 1.0), "+x")
    scene.add_geometry(panel, node_name="panel", geom_name="panel", transform=shift)
    scene.export(tmp_path / "it.glb")
    found = read_mesh(tmp_path / "it.glb", plates=["panel"])
    assert set(found) == {"bus", "panel"}
    assert found["bus"].is_watertight and found["bus"].volume == pytest.approx(2.0)
    assert found["panel"].centroid == pytest.approx([0.0, 3.0, 0.0])
    assert found["panel"].face_normals[0] == pytest.approx([1.0, 0.0, 0.0])

    with pytest.raises(ValueError, match=r"it.glb: part 'panel' has holes \(4 open edges\); close"):
        read_mesh(tmp_path / "it.glb")
    with pytest.raises(ValueError, match="no part 'wing', named in plates; it has bus, panel"):
        read_mesh(tmp_path / "it.glb", plates=["wing"])

    text = "".join(f"v {x} {y} {z}\n" for x, y, z in box((1.0, 1.0, 1.0)).vertices)
    text += "o hull\n" + "".join("f {} {} {}\n".format(*(f + 1)) for f in box((1, 1, 1)).faces)
    (tmp_path / "it.obj").write_text(text)
    (mesh,) = read_mesh(tmp_path / "it.obj").values()
    assert mesh.volume == pytest.approx(1.0)


def test_bad_meshes_are_refused_in_one_line(tmp_path):
    def refusal(path, text):
        with pytest.raises(ValueError, match=text) as caught:
            read_mesh(path)
        assert "\n" not in str(caught.value)

    refusal(tmp_path / "none.glb", "there is no such file")
    (tmp_path / "word.stl").write_text("solid")
    refusal(tmp_path / "word.stl", r"is no mesh file that we read; allowed: .glb, .obj")
    (tmp_path / "text.glb").write_text("this is a letter, not a satellite")
    refusal(tmp_path / "text.glb", "is not a mesh")
    (tmp_path / "text.obj").write_text("this is a letter, not a satellite")
    refusal(tmp_path / "text.obj", "text.obj: (is not a mesh|holds no triangles)")

    # Ten million faces by its header: nothing behind the header is there to be read.
    head = {
        "asset": {"version": "2.0"},
        "accessors": [{"count": 30_000_000}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 0}]}],
        "nodes": [{"mesh": 0}],
    }
    body = json.dumps(head).encode()
    body += b" " * (-len(body) % 4)
    start = struct.pack("<4sIIII", b"glTF", 2, 20 + len(body), len(body), 0x4E4F534A)
    (tmp_path / "big.glb").write_bytes(start + body)
    refusal(tmp_path / "big.glb", "10,000,000 faces; at most 1,000,000 are allowed: decimate")
    (tmp_path / "big.obj").write_bytes(b"v 0 0 0\n" + b"f 1 1 1\n" * 1_000_001)
    refusal(tmp_path / "big.obj", "1,000,001 faces; at most 1,000,000 are allowed: decimate")

    box((1000.0, 1000.0, 2000.0)).export(tmp_path / "mm.glb")
    refusal(tmp_path / "mm.glb", "2,000 m across; at most 500 m are allowed: is the mesh in milli")
    with pytest.raises(ValueError, match="part 'line' has no area"):
        Part("line", trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]]), "line")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"box_side": 0.0}, "box_side is 0.0; it must be above 0"),
        ({"radiator_normal": "up"}, "'up' is no body axis"),
        ({"radiator_sides": 3}, "radiator_sides is 3; allowed: 1, 2"),
        ({"array_axes": 3}, "axes is 3; allowed: 0, 1, 2"),
    ],
)
def test_odd_measures_are_refused(change, text):
    given = {"box_side": 1.0, "array_area": 4.0, "radiator_area": 1.0} | change
    with pytest.raises(ValueError, match=text):
        default_craft(**given)


def test_the_default_craft_has_the_areas_it_was_given():
    craft = default_craft(2.0, 30.0, 9.0, (0.0, 1.0, 0.0), 2)
    model = Model(craft)
    area = dict(zip(model.surfaces, model.area, strict=True))
    assert area["array"] == area["array_back"] == pytest.approx(30.0)
    assert area["radiator"] == area["radiator_back"] == pytest.approx(9.0)
    assert area["blanket"] == pytest.approx(24.0)
    assert craft.parts[1].mesh.face_normals[0] == pytest.approx([0.0, 1.0, 0.0])

"""From designs to drawings and tables: areas, parts, shapes, and what a bad mesh is told."""

import time
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from twin.crafts import attitudes, gallery, horizons, shapes, square
from twin.drawings import craft_of
from twin.fleet import fleet
from twin.load import load
from twin.load import parse as read
from twin.problems import InputError
from twin.spacecraft.craft import box, plate
from twin.spacecraft.facets import Model

RUN = "[run]\nstart = 2026-03-20T12:00:00Z\nduration_h = 1\n"
PARTS = """
[class.one]
array_m2 = 4.0
mesh = "{mesh}"
[class.one.part]
box = {{ node = "blanket", size_m = [1, 1, 1] }}
left = {{ node = "array", axes = 1, size_m = [1, 2], centre_m = [0.2, 0.1, 2] {wing} }}
right = {{ node = "array", axes = 1, size_m = [1, 2], centre_m = [0.2, 0.1, -2] {wing} }}
{more}
[[shell]]
satellites = 2
altitude_km = 600
"""


def parse(text):
    return read(RUN + text)


def design(more="", wing="", mesh=""):
    text = PARTS.format(more=more, wing=wing, mesh=mesh)
    return parse(text.replace('mesh = ""\n', "")).class_["one"]


def area_by_surface(craft):
    model = Model(craft)
    return dict(zip(model.surfaces, model.area.tolist(), strict=True))


def test_the_standard_craft_shows_the_areas_of_its_class():
    given = parse(
        "[class.one]\narray_m2 = 7\n[class.one.body]\nradiator_m2 = 1.5\nbox_face_m2 = 0.9\n"
        'radiator_sides = 2\nradiator_faces = "nadir"\n[[shell]]\nsatellites = 1\naltitude_km = 600'
    ).class_["one"]
    craft, nodes, own = craft_of(given, "class.one")
    found = area_by_surface(craft)
    expected = {"array": 7, "array_back": 7, "blanket": 5.4, "radiator": 1.5, "radiator_back": 1.5}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert nodes == {name: name for name in found} and own == {}
    panel = next(p for p in craft.parts if p.name == "radiator")
    assert panel.mesh.face_normals[0] == pytest.approx([-1, 0, 0]), "nadir is -x"


def test_the_parts_scenario_draws_what_it_says():
    given = load("parts").scenario.class_["imager"]
    craft, nodes, own = craft_of(given, "class.imager")
    assert nodes.pop("camera") == "camera" and nodes == {name: name for name in nodes}
    assert own == {
        "blanket": "kapton_mli",
        "radiator": "silver_teflon",
        "radiator_back": "aluminium",
        "camera": "black_paint",
    }
    found = area_by_surface(craft)
    tube = given.part["tube"].radius_m, given.part["tube"].length_m
    panels = sum(np.prod(p.size_m) for p in given.part.values() if p.node == "radiator")
    expected = {"array": 2.4, "array_back": 2.4, "blanket": 4.84, "terminals": 0.24}
    expected |= {"radiator": panels, "radiator_back": panels}
    expected["camera"] = 2 * np.pi * tube[0] * sum(tube)
    assert found == pytest.approx(expected, rel=0.02), "a prism stands for the tube"
    wings = {p.name: p for p in craft.parts if p.axes}
    assert wings["wing_sunward"].pivot == pytest.approx((0, 0, 0.65)), "its end next to the box"
    assert wings["wing_cold"].pivot == pytest.approx((0, 0, -0.65))


def test_wings_turn_about_their_own_middle():
    craft, _, _ = craft_of(design(), "class.one")
    pivots = {p.name: p.pivot for p in craft.parts if p.axes}
    assert pivots == {"left": pytest.approx((0.2, 0.1, 1)), "right": pytest.approx((0.2, 0.1, -1))}


def test_wings_of_a_material_of_their_own_still_make_power():
    """The cells are surface "array" whatever they are made of, and its back is "array_back"."""
    given = design(wing=', material = "black_paint", back_material = "white_paint"')
    craft, nodes, own = craft_of(given, "class.one")
    assert own == {"array": "black_paint", "array_back": "white_paint"}
    assert area_by_surface(craft) == pytest.approx({"blanket": 6, "array": 4, "array_back": 4})
    assert nodes["array"] == "array" and nodes["array_back"] == "array_back"


@pytest.mark.parametrize("wing", ["", ', material = "solar_cells"'])
def test_cells_come_first_where_a_node_has_several_materials(wing):
    """A boom on the same node, named before or after the wings, is no cell."""
    given = design(
        'boom = { node = "array", size_m = [0.1, 0.1, 1], material = "aluminium" }', wing
    )
    first = {name: given.part[name] for name in ("boom", "box", "left", "right")}
    for parts in (given.part, first):
        craft, nodes, own = craft_of(given.model_copy(update={"part": parts}), "class.one")
        assert nodes["array:aluminium"] == "array" and own["array:aluminium"] == "aluminium"
        assert own.get("array") == ("solar_cells" if wing else None)
        assert area_by_surface(craft)["array"] == pytest.approx(4.0)
        assert area_by_surface(craft)["array:aluminium"] == pytest.approx(0.42)


@pytest.fixture
def meshes(tmp_path):
    """Mesh files with a closed hull and a sheet, which looks up in one and along in the other."""
    for name, normal in (("it", "+x"), ("odd", "+y")):
        scene = trimesh.Scene()
        scene.add_geometry(box((1.0, 1.0, 1.0)), node_name="hull", geom_name="hull")
        sheet = plate((2.0, 2.0), normal, (0.0, 0.0, 3.0))
        scene.add_geometry(sheet, node_name="sheet", geom_name="sheet")
        scene.export(tmp_path / f"{name}.glb")
    return tmp_path


def of_mesh(parts, area=4.0, file="it"):
    text = f'[class.one]\narray_m2 = {area}\nmesh = "{file}.glb"\n[class.one.part]\n{parts}'
    return parse(f"{text}\n[[shell]]\nsatellites = 1\naltitude_km = 600").class_["one"]


HULL = 'hull = { kind = "mesh", node = "blanket" }\n'
WING = 'wing = { kind = "mesh", node = "array", object = "sheet", solid = false, axes = 1 }\n'


def test_objects_of_a_mesh_file_become_parts(meshes):
    craft, nodes, _ = craft_of(of_mesh(HULL + WING), "class.one", [meshes])
    assert area_by_surface(craft) == pytest.approx({"blanket": 6, "array": 4, "array_back": 4})
    assert nodes == {"blanket": "blanket", "array": "array", "array_back": "array_back"}


@pytest.mark.parametrize(
    ("parts", "area", "text"),
    [
        (HULL + WING.replace("solid = false, ", ""), 4, "'sheet' has holes (4 open edges)"),
        (HULL + WING.replace('"sheet"', '"shee"'), 4, "no part 'shee', named in plates"),
        (HULL.replace("hull =", "hall =") + WING, 4, "no object 'hall'; it has hull, sheet"),
        (HULL + WING, 5, "node array show 4 m² of cells but array_m2 is 5"),
        (WING + HULL, 4, "'wing' follows the Sun, but its front"),
    ],
)
def test_what_is_wrong_with_a_mesh_is_said_in_one_line(meshes, parts, area, text):
    with pytest.raises(InputError) as caught:
        file = "odd" if parts.startswith("wing") else "it"
        craft_of(of_mesh(parts, area, file), "class.one", [meshes])
    (problem,) = caught.value.problems
    assert "\n" not in str(problem) and str(problem).startswith("class.one.part")
    assert text in str(problem)


def test_a_mesh_with_too_many_faces_is_refused(meshes, monkeypatch):
    monkeypatch.setattr("twin.spacecraft.craft.MOST_FACES", 10)
    with pytest.raises(InputError, match="14 faces; at most 10 are allowed: decimate"):
        craft_of(of_mesh(HULL + WING), "class.one", [meshes])


def test_a_wing_that_follows_the_sun_looks_up_at_rest():
    with pytest.raises(InputError, match=r"left.normal: got 'cold', but a wing at rest looks up"):
        design(wing=', normal = "cold"')


TWO = """
[class.a]
[class.b]
array_m2 = 3
attitude_safe = "sun"
[[shell]]
class = "a"
satellites = 4
altitude_km = 510
[[shell]]
class = "b"
satellites = 3
altitude_km = 515
[[shell]]
class = "a"
satellites = 2
altitude_km = 520
[[shell]]
class = "a"
satellites = 1
altitude_km = 640
"""


def test_satellites_of_a_class_at_about_one_height_share_a_shape():
    flying = fleet(parse(TWO))
    index, members = shapes(flying)
    assert [name for name, _ in members] == ["a", "b", "a"]
    assert [h for _, h in members] == pytest.approx([(4 * 510e3 + 2 * 520e3) / 6, 515e3, 640e3])
    assert index.tolist() == [0] * 4 + [1] * 3 + [0] * 2 + [2]
    low, high = horizons(flying)
    assert (low, high) == pytest.approx((square(700e3), square(500e3)))
    edge = replace(flying, altitude=np.array([400e3] * 10))
    assert horizons(edge)[0] < square(400e3) <= horizons(edge)[1]


def test_attitudes_that_no_class_takes_are_not_traced():
    classes = parse(TWO).class_
    assert attitudes(classes["a"]) == ("nadir",) and attitudes(classes["b"]) == ("nadir", "sun")


def test_the_gallery_has_a_row_for_each_shape_attitude_and_surface():
    scenario = parse(TWO)
    shown = gallery(scenario, fleet(scenario))
    assert shown.kinds == ("nadir", "sun") and shown.surfaces[:2] == ("array", "array_back")
    solar = np.asarray(shown.views.solar).reshape(3, 2, len(shown.surfaces), -1)
    earth = np.asarray(shown.views.earth).reshape(solar.shape)
    assert (solar[[0, 2], 1] == 0).all(), "class a never turns to the Sun"
    assert (solar[0, 0] == solar[2, 0]).all() and (solar[1, 1, 0] > 0).any()
    assert earth[0, 0].max() > earth[2, 0].max() > 0.7, "the Earth is smaller from 640 km"
    assert (solar >= 0).all() and solar.max() < 1.002 and (earth >= 0).all()


@pytest.mark.parametrize("name", ["scs01", "star2035"])
def test_a_second_look_is_quick(name):
    """From the cache in less than a second of computing; a third of it on a quiet machine."""
    scenario = load(name).scenario
    flying = fleet(scenario)
    gallery(scenario, flying)
    before = time.process_time()
    gallery(scenario, flying)
    assert time.process_time() - before < 1.0

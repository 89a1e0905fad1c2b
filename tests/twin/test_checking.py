"""What `twin check` says of drawings and meshes is what `twin run` would say, and it flies."""

import json
import re

import numpy as np
import pytest
import trimesh
from calling import refused

from twin.spacecraft.craft import box, plate

HEAD = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 0.5
step_s = 60
record_s = 300
samples = 0
[[shell]]
satellites = 1
[class.one]
array_m2 = 4.0
"""
BOX = 'hull = { node = "blanket", size_m = [1, 1, 1] }\n'
WINGS = """
left = { node = "array", axes = 1, size_m = [1, 2], centre_m = [0, 0, 2] }
right = { node = "array", axes = 1, size_m = [1, 2], centre_m = [0, 0, -2] }
"""
FROM_FILE = """
hull = { kind = "mesh", node = "blanket" }
left = { kind = "mesh", node = "array", solid = false, axes = 1 }
right = { kind = "mesh", node = "array", solid = false, axes = 1 }
"""
CAN = 'can = {{ node = "terminals", size_m = [0.4, 0.4, 0.4], centre_m = [{:g}, 0, 0] }}\n'


def pieces(hull=None, turn="+x"):
    wings = {s: plate((1.0, 2.0), turn, (0.0, 0.0, z)) for s, z in (("left", 2), ("right", -2))}
    return {"hull": hull or box((1.0, 1.0, 1.0)), **wings}


def written(folder, name, meshes):
    """A GLB, or an OBJ as a modeller writes it: tabs, blanks, quads, several objects."""
    if name.endswith(".glb"):
        scene = trimesh.Scene()
        for label, mesh in meshes.items():
            scene.add_geometry(mesh, node_name=label, geom_name=label)
        scene.export(folder / name)
        return
    lines, first = [], 1
    for label, mesh in meshes.items():
        lines.append(f"o {label}")
        lines += ["v\t{:.6f}  {:.6f} {:.6f}".format(*corner) for corner in mesh.vertices]
        lines += ["  f\t{} {}\t{}".format(*(face + first)) for face in mesh.faces]
        first += len(mesh.vertices)
    (folder / name).write_text("\n".join(lines))


def scenario(folder, parts, mesh=""):
    line = f'mesh = "{mesh}"\n' if mesh else ""
    (folder / "it.toml").write_text(f"{HEAD}{line}[class.one.part]\n{parts}")
    return folder / "it.toml"


def both(command, path, *words):
    """`check` and `run` refuse with the same line."""
    checked = command("check", path)
    refused(checked, *words)
    flown = command("run", path, "-o", path.parent / "run")
    refused(flown, *words)
    assert checked[2] == flown[2] and not (path.parent / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["glb", "obj"])
def test_a_mesh_file_flies_from_end_to_end(command, tmp_path, kind):
    """The same satellite from a file and from parts: equal sunlight and temperatures."""
    (tmp_path / "drawn").mkdir()
    (tmp_path / "shapes").mkdir()
    written(tmp_path / "shapes", f"it.{kind}", pieces())
    reports = []
    for folder, parts, mesh in (
        (tmp_path, FROM_FILE, f"shapes/it.{kind}"),
        (tmp_path / "drawn", BOX + WINGS, ""),
    ):
        path = scenario(folder, parts, mesh)
        code, said, err = command("check", path, "--json")
        assert code == 0 and not err and json.loads(said)["warnings"] == []
        code, said, err = command("run", path, "-o", folder / "run", "--json")
        assert code == 0, err
        reports.append(json.loads(said))
    one, two = reports
    assert one["payload_temperature_max_k"] == pytest.approx(two["payload_temperature_max_k"])
    assert one["battery_min_fraction"] == pytest.approx(two["battery_min_fraction"])
    assert one["books"]["heat_residual"] < 1e-6
    assert (tmp_path / "run" / "inputs" / f"it.{kind}").is_file(), "a copy is kept with the run"


def without_a_face():
    found = box((1.0, 1.0, 1.0))
    return trimesh.Trimesh(found.vertices, found.faces[:-1])


def turned(how):
    found = box((1.0, 1.0, 1.0))
    if how == "inside out":
        found.invert()
        return found
    faces = np.array(found.faces)
    faces[3] = faces[3][::-1]
    return trimesh.Trimesh(found.vertices, faces, process=False)


@pytest.mark.parametrize("kind", ["glb", "obj"])
@pytest.mark.parametrize(
    ("hull", "parts", "words"),
    [
        (without_a_face, FROM_FILE, ["hull' has holes (3 open edges)", "close them"]),
        (lambda: turned("inside out"), FROM_FILE, ["hull' is inside out", "flip its normals"]),
        (lambda: turned("a face"), FROM_FILE, ["hull' has faces that look the wrong way"]),
        (None, FROM_FILE.replace("hull", "hall"), ["no object 'hall'; it has hull, left, right"]),
    ],
)
def test_check_refuses_the_meshes_that_a_run_refuses(command, tmp_path, kind, hull, parts, words):
    written(tmp_path, f"it.{kind}", pieces(hull and hull()))
    both(command, scenario(tmp_path, parts, f"it.{kind}"), "class.one.part", *words)


def test_check_refuses_what_is_no_mesh_or_too_much_of_one(command, tmp_path):
    path = scenario(tmp_path, FROM_FILE, "it.obj")
    (tmp_path / "it.obj").write_text("this is a letter, not a satellite")
    both(command, path, "class.one.part", "it.obj")
    with (tmp_path / "it.obj").open("wb") as file:  # ten million triangles: half as many quads
        file.write(b"v 0 0 0\n" * 4)
        for _ in range(50):
            file.write(b"\t f\t1 2 3  4\r\n" * 100_000)
    both(command, path, "10,000,000 faces; at most 1,000,000 are allowed: decimate")


def test_surfaces_that_coincide_are_named(command, tmp_path):
    """Their view factors do not sum to one: it was a traceback's last line, with exit code 1."""
    can = 'can = { node = "terminals", size_m = [1, 1, 1] }\n'
    both(
        command, scenario(tmp_path, BOX + WINGS + can), "class.one.part.",
        "view factors of surface", "do not sum to one", "allowed: 1 within 0.005", "move what",
    )  # fmt: skip


def test_parts_that_lie_in_each_other_are_named(command, tmp_path):
    """A can sunk by 0.3 of its 0.4: its end and three quarters of its sides, 4/6 of it."""
    path = scenario(tmp_path, BOX + WINGS + CAN.format(0.4))
    both(
        command, path, "class.one.part.can: 67% of its surface lies in part hull", "50% at most",
        "a node with links",
    )  # fmt: skip


@pytest.mark.slow
def test_parts_that_reach_into_each_other_give_a_warning(command, tmp_path):
    """A can sunk by 0.1 of its 0.4: its end and a quarter of its sides, 2/6 of it."""
    path = scenario(tmp_path, BOX + WINGS + CAN.format(0.6))
    code, said, err = command("check", path, "--json")
    assert code == 0
    inner, outer = json.loads(said)["warnings"]
    told = re.compile(
        r"class one: ([\d.]+)% of the surface of part (\w+) lies in part (\w+), where"
    )
    shares = {m[2]: float(m[1]) for m in map(told.match, (inner, outer)) if m}
    assert shares == {
        "can": pytest.approx(100 / 3, abs=0.2), "hull": pytest.approx(16 / 6, abs=0.2)
    }  # fmt: skip
    assert f"warning: {outer}" in err.splitlines()
    code, said, err = command("run", path, "-o", tmp_path / "run", "--json")
    assert code == 0 and outer in json.loads(said)["warnings"]


@pytest.mark.parametrize(
    "part",
    [
        CAN.format(0.7),  # stands on the hull
        'panel = { node = "radiator", size_m = [1, 0.8], normal = "wake", '
        "centre_m = [0, -0.5, 0] }",
    ],
)
def test_parts_that_only_touch_are_no_matter(command, tmp_path, part):
    code, said, err = command("check", scenario(tmp_path, BOX + WINGS + part), "--json")
    assert code == 0 and not err and json.loads(said)["warnings"] == []


def test_standard_measures_that_cannot_be_drawn_are_named(command, tmp_path):
    path = tmp_path / "huge.toml"
    path.write_text(HEAD.replace("array_m2 = 4.0", "array_m2 = 4e6"))
    both(command, path, "class.one", "at most 500 m are allowed")

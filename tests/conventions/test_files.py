"""What lies beside the code: documents, assets, the lock, the variable table."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

# Spelled in pieces, so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:" + "|".join(("work", "root")) + r")/\w")
PINNED = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+]+")
AXES = {"time", "sat", "node", "face", "link", "station", "region", "hop", "mode", "variant", "xyz"}


def test_documents_are_there_and_the_readme_is_short(sources, told):
    documents = ("README.md", "DESIGN.md", "CHANGELOG.md", "LICENSE", "assets/README.md")
    missing = [name for name in documents if not (sources.root / name).is_file()]
    told(missing, "Please write these documents:")
    lines = sources.text("README.md").count("\n")
    assert lines < 120, (
        f"README.md has {lines} lines; below 120 it is read. Move the rest elsewhere."
    )


def test_every_asset_says_where_it_came_from(sources, told):
    said = sources.text("assets/README.md")
    exempt = {"assets/README.md", "assets/__init__.py"}
    names = (path for path in sources.files() if path.startswith("assets/"))
    told(
        (path for path in names if path not in exempt and not _mentioned(path, said)),
        "Please name these in assets/README.md, with source, licence and how they were made:",
    )


def test_scenarios_name_files_that_exist(sources, told):
    def missing() -> Iterator[str]:
        for path in sorted((sources.root / "assets/scenarios").glob("*.toml")):
            for key, value in _strings(tomllib.loads(path.read_text(encoding="utf-8"))):
                wanted = {"elements": f"elements/{value}.csv", "profile": f"profiles/{value}.json"}
                if key in wanted and not (sources.root / "assets" / wanted[key]).is_file():
                    yield f"{path.name}: {key} = {value!r}"

    told(missing(), "Shipped scenarios use shipped files only. These are not in assets/:")


def test_no_machine_has_left_its_paths(sources, told):
    def traces() -> Iterator[str]:
        for path in sources.files():
            data = (sources.root / path).read_bytes()
            if b"\0" in data[:8192]:
                continue
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
                if MACHINE_PATH.search(line):
                    yield f"{path}:{number}: {line.strip()[:80]}"

    told(traces(), "These lines name a folder of one machine. Please use relative paths:")


def test_no_two_test_files_have_one_name(sources, told):
    names: dict[str, list[str]] = {}
    for path in sources.files():
        name = path.rpartition("/")[2]
        if path.startswith("tests/") and name.startswith("test_"):
            names.setdefault(name, []).append(path)
    twice = (" and ".join(paths) for paths in names.values() if len(paths) > 1)
    told(twice, "One process cannot collect both of these; please rename one:")


def test_a_machine_path_would_be_seen():
    folder = "/" + "work"
    assert MACHINE_PATH.search(f"see {folder}/main")
    assert not MACHINE_PATH.search(f"tokens{folder}/energy or ~{folder}/x")


def test_locks_hold_names_and_versions_only(sources, told):
    def odd() -> Iterator[str]:
        for path in sorted((sources.root / "requirements").glob("*.txt")):
            lines = path.read_text(encoding="utf-8").splitlines()
            pins = [line for line in lines if line and not line.startswith("#")]
            yield from (f"{path.name}: {line}" for line in pins if not PINNED.fullmatch(line))
            if not pins or pins != sorted(pins, key=str.upper):
                yield f"{path.name}: is empty or not sorted"

    told(
        odd(),
        "A lock holds name==version, sorted, and no place to get it from; 'make lock' does so:",
    )


def test_every_recorded_variable_is_described(sources, told):
    from twin.constellation import table

    def gaps() -> Iterator[str]:
        for name, row in table().items():
            for key in ("units", "long_name"):
                if not str(row.get(key, "")).strip():
                    yield f"{name}: no {key}"
            if unknown := set(row["dims"]) - AXES:
                yield f"{name}: unknown axes {', '.join(sorted(unknown))}"

    told(gaps(), "Each field of Telemetry carries its unit and label, and axes we know:")


def test_a_variable_table_in_the_readme_is_the_real_one(sources, told):
    from twin.constellation import table

    def rows() -> Iterator[tuple[str, str]]:
        listed = dict(re.findall(r"^\| `(\w+)` \|(.*)$", sources.text("README.md"), re.MULTILINE))
        if len(listed.keys() & table().keys()) > 3:  # a few names in another table are not a list
            for name in sorted(listed.keys() ^ table().keys()):
                yield name, "is in one of the two only"
            for name in listed.keys() & table().keys():
                if table()[name]["units"] not in listed[name]:
                    yield name, f"should say {table()[name]['units']}"

    told(
        (f"{name} {problem}" for name, problem in rows()),
        "README.md lists other variables than Telemetry has. Please copy what twin schema prints:",
    )


def test_packages_are_light_to_import():
    heavy = ("jax", "vtkmodules", "pyvista", "torch", "xarray", "matplotlib")
    code = (
        "import sys, serving, twin, twin.cli, twin.load, viz, viz.cli; twin.load.load('scs01'); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == "[]", f"importing twin and viz should not load {said.stdout}"


def _mentioned(path: str, said: str) -> bool:
    inside = path.removeprefix("assets/")
    name = inside.rsplit("/", 1)[-1]
    return inside in said or re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said) is not None


def _strings(tree) -> Iterator[tuple[str, str]]:
    """Every key with a text as its value, at any depth."""
    pairs = tree.items() if isinstance(tree, dict) else ((None, item) for item in tree)
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from _strings(value)
        elif isinstance(value, str) and key:
            yield key, value

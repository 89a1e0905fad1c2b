"""How our code looks. Each message says what to do about it."""

import ast
import re
from collections.abc import Iterator

LONGEST = 400
LONG_BY_NATURE = {"twin/orbits/sgp4.py"}
ARGUMENT_ORDER = (
    "constellation", "satellite", "state", "forcing", "position", "sun_position", "time", "dt",
)  # fmt: skip
HUMAN_UNIT = re.compile(r"_(km|deg|min|h|wh|ms)$")
SPEAK_TO_HUMANS = {  # places inside the physics where a person's degrees come in
    ("twin/network/ground.py", "Station"),
}
MAY_JIT = {"twin/simulate.py", "twin/study.py"}


def test_files_are_short_enough_to_read(sources, told):
    lengths = {
        path: sources.text(path).count("\n")
        for path in sources.modules("twin", "viz", "serving", "tests")
        if path not in LONG_BY_NATURE
    }
    told(
        (f"{path}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST),
        f"One idea a file, {LONGEST} lines at most. Please split along an idea, not in the middle:",
    )


def test_kernels_say_who_says_so(sources, told):
    told(
        (
            path
            for path in sources.physics()
            if any(_is_kernel(node) for node in ast.walk(sources.tree(path)))
            and "Source:" not in sources.text(path)
        ),
        "Every number has a parent. Please give these modules a 'Source:' line in a docstring:",
    )


def test_inside_is_si(sources, told):
    inside = [*sources.physics(), "twin/constellation.py", "twin/forcing.py", "twin/step.py"]
    told(
        (
            f"{path}:{line}: {name}"
            for path in inside
            for line, name in _names(sources.tree(path), path)
            if HUMAN_UNIT.search(name)
        ),
        "Inside the twin a name without a suffix means SI. Please drop the suffix, and convert in "
        "fleet.py or build.py, where people's units end:",
    )


def test_only_commands_print(sources, told):
    told(
        (
            f"{path}:{node.lineno}"
            for path in sources.packages()
            if not path.endswith("/cli.py")
            for node in ast.walk(sources.tree(path))
            if isinstance(node, ast.Call) and _called(node) == "print"
        ),
        "A library is silent. Please return the text, or log it; only cli.py prints:",
    )


def test_arguments_come_in_one_order(sources, told):
    def wrong() -> Iterator[str]:
        for path in sources.modules("twin"):
            for function in _public_functions(sources.tree(path)):
                given = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
                ours = [name for name in given if name in ARGUMENT_ORDER]
                wanted = sorted(ours, key=ARGUMENT_ORDER.index)
                if ours != wanted:
                    yield f"{path}:{function.lineno}: {function.name}({', '.join(wanted)})"

    told(wrong(), "Shared arguments come in one order everywhere. Please write:")


def test_compilation_happens_in_one_place(sources, told):
    def hidden() -> Iterator[str]:
        for path in sources.packages():
            if path in MAY_JIT:
                continue
            lines = sources.text(path).splitlines()
            for node in ast.walk(sources.tree(path)):
                if isinstance(node, ast.Name | ast.Attribute) and _word(node).endswith("jit"):
                    start, end = _around(sources.tree(path), node.lineno)
                    said = "\n".join(lines[start - 1 : end]).lower()
                    if "compiled" not in said:
                        yield f"{path}:{node.lineno}"

    told(
        hidden(),
        "Programs are compiled in simulate.py (and study.py). A host convenience may do so too if "
        "its function, or the one around it, says in its docstring that it is compiled:",
    )


def test_conventions_can_fail():
    broken = ast.parse(
        "class Panel:\n    area_km: float\n"
        "def sky(dt: float, position: float, mask_deg: float = 5): ...\n"
    )
    assert [name for _, name in _names(broken, "x.py") if HUMAN_UNIT.search(name)] == [
        "area_km", "mask_deg",
    ]  # fmt: skip
    (function,) = _public_functions(broken)
    assert [a.arg for a in function.args.args][:2] == ["dt", "position"]


def _is_kernel(node: ast.AST) -> bool:
    """A function that takes arrays, by its annotations."""
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
        return False
    hints = [ast.unparse(a.annotation) for a in node.args.args if a.annotation]
    return any(re.search(r"\b(Array|Scalar|Each|Vec3|Rotation)\b", hint) for hint in hints)


def _public_functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def _names(tree: ast.Module, path: str) -> Iterator[tuple[int, str]]:
    """Names of parameters and fields with their lines, but for those that speak to humans."""
    spared = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and (path, node.name) in SPEAK_TO_HUMANS
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            found = node.lineno, node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found = node.lineno, node.target.id
        else:
            continue
        if not any(found[0] in lines for lines in spared):
            yield found


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _word(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _around(tree: ast.Module, line: int) -> tuple[int, int]:
    """First and last line of the outermost function or class around a line, decorators included."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            end = node.end_lineno or node.lineno
            if start <= line <= end:
                return start, end
    return line, line

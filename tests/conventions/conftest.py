"""What all conventions look at: the project's files, read once."""

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("twin", "viz", "serving")
PHYSICS = ("orbits", "environment", "spacecraft", "network", "operations")


class Sources:
    """The project's own Python files, by path from the root, with their text and syntax tree."""

    root = ROOT

    def modules(self, *folders: str) -> list[str]:
        found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
        return sorted(path.relative_to(ROOT).as_posix() for path in found)

    def packages(self) -> list[str]:
        return self.modules(*PACKAGES)

    def physics(self) -> list[str]:
        folders = self.modules(*(f"twin/{folder}" for folder in PHYSICS))
        return [path for path in folders if not path.endswith("__init__.py")]

    def text(self, path: str) -> str:
        return _text(path)

    def tree(self, path: str) -> ast.Module:
        return _tree(path)

    def files(self) -> list[str]:
        """All files that are or could be committed; without git, all that are not hidden."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            names = said.stdout.split("\0")
        except (OSError, subprocess.CalledProcessError):
            everything = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
            hidden = (".", "__pycache__", "runs")
            names = [
                path.as_posix()
                for path in everything
                if not any(part.startswith(hidden) for part in path.parts)
            ]
        return sorted(name for name in set(names) if name and (ROOT / name).is_file())


@cache
def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse(_text(path))


@pytest.fixture(scope="session")
def sources() -> Sources:
    return Sources()


@pytest.fixture(scope="session")
def told():
    """Fail once, kindly, with every finding on a line of its own."""

    def tell(findings, advice: str) -> None:
        findings = list(findings)
        if findings:
            pytest.fail("\n".join([advice, *(f"  {item}" for item in findings)]), pytrace=False)

    return tell

"""How tests call the command in their own process, and the small run that they share."""

import json
import sys

import pytest

from twin import cli

TINY = """
title = "Tiny [twin]"
[run]
start = 2025-10-04T00:00:00Z
duration_h = 1
step_s = 60
record_s = 300
samples = 0
[class.small]
[class.big]
payload = { kind = "training", compute_w = 100 }
[[shell]]
satellites = 2
planes = 1
[[shell]]
kind = "sso"
class = "big"
satellites = 1
"""
DAY = ["--start", "2025-10-04T00:00:00Z", "--stop", "2025-10-05T00:00:00Z"]
TWELVE = "scs01_2025-10-03"


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `twin` in this process: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["twin", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code or 0
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def tiny_run(tiny, tmp_path_factory):
    """One finished run, made through Python."""
    from twin.flight import run

    folder = tmp_path_factory.mktemp("runs") / "first"
    with run(str(tiny), folder) as data:
        assert json.loads(data.attrs["report"])["satellites"] == 3
    return folder


def refused(result, *words):
    """Exit code 2, nothing on standard output, one line that holds all the words."""
    code, out, err = result
    assert code == 2 and not out
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err

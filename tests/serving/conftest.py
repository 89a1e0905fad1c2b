"""Servers that serve chosen delays, and how `twin` is called in this process."""

import sys

import pytest

from serving import fake, load, meter


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `twin` in this process: exit code, standard output, standard error."""
    from twin import cli

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


@pytest.fixture
def offered():
    """Offer one point to a fake; its result, the faults found, and what its counters moved."""

    def offer(behaviour, point, key=""):
        with fake.running(behaviour) as (url, state):
            target = load.Target(url, behaviour.model, key)

            def counters():
                return meter.parse(meter.read(url, key))

            before = counters()
            result = load.client.run(point, target, 60.0)
            said, moved, _ = load.counters_agree(before, result, counters)
            return result, load.faults(result, point) + said, moved, state

    return offer


@pytest.fixture
def quick(monkeypatch):
    """Do not wait long for counters that will never agree."""
    monkeypatch.setattr(load, "SETTLE_S", 0.3)

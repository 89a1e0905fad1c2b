"""How JAX is made ready, in a process of its own."""

import os
import subprocess
import sys

import pytest

from twin.devices import ROLLED

SAY = "import os; from twin import devices; devices.prepare(); print(os.environ['XLA_FLAGS'])"
RUNS = "import jax; jax.devices(); " + SAY.replace(
    "environ['XLA_FLAGS']", "environ.get('XLA_FLAGS')"
)


def said(code, **flags):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | flags
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ROLLED),
        ("--xla_dump_max_hlo_modules=3", f"--xla_dump_max_hlo_modules=3 {ROLLED}"),
        ("--xla_backend_extra_options=a=b", "--xla_backend_extra_options=a=b"),
    ],
    ids=["none", "others", "the user's own"],
)
def test_flags_of_the_user_are_kept(before, after):
    assert said(SAY, **({"XLA_FLAGS": before} if before else {})) == after


def test_where_jax_already_runs_nothing_is_set():
    assert said(RUNS) == "None"

"""The same programs serve a GPU: they lower for CUDA where there is none. Speed: see DESIGN.md."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from twin.build import build
from twin.fleet import fleet
from twin.load import parse
from twin.simulate import rollout

SECULAR = "[run]\nstart = 2035-03-20T12:00:00Z\n[[shell]]\nsatellites = 8\nplanes = 2\n"
SGP4 = (
    "[run]\nstart = 2025-10-04T00:00:00Z\n[[shell]]\n"
    'kind = "catalog"\nelements = "scs01_2025-10-03"\n'
)


@pytest.mark.parametrize("text", [SECULAR, SGP4], ids=["secular", "sgp4"])
def test_a_rollout_lowers_for_cuda(text):
    """No host callback, no CPU-only operation: the text of the program names CUDA's platform."""
    scenario = parse(text)
    constellation, state = build(scenario, fleet(scenario))
    program = jax.jit(partial(rollout, records=2, steps=6))
    traced = program.trace(constellation, state, jnp.asarray(0), jnp.asarray(10.0))
    lowered = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.while" in lowered
    assert "callback" not in lowered

"""Light that comes or goes within a step, against SciPy's Radau of the light as it is."""

import jax.numpy as jnp
import numpy as np
import pytest
from heat_networks import LIT, MASS, PLACE, constant, satellite
from scipy.integrate import solve_ivp

from twin.constants import STEFAN_BOLTZMANN
from twin.spacecraft.thermal import SPACE

ARRAY, BACK = PLACE["array"], PLACE["array_back"]
STEP, TURN = 10.0, 4.0  # s: the light changes after four of ten seconds
THROUGH = 3000.0  # W/K: cells follow their panel within a second


@pytest.fixture(scope="module")
def wing():
    network = satellite()
    return satellite(conductance=network.conductance.at[0].set(THROUGH))


@pytest.fixture(params=[True, False], ids=["rise", "set"])
def exact(request, wing):
    """The array's two nodes after the step, the mean of the light, and its end."""
    before, after = (0.0, LIT[ARRAY]) if request.param else (LIT[ARRAY], 0.0)
    area = np.asarray(wing.emitting_area)

    def rate(_, y, light):
        heat = np.zeros(12)
        for n in (ARRAY, BACK):
            heat[n] -= area[n] * STEFAN_BOLTZMANN * (y[n] ** 4 - SPACE)
        heat[ARRAY] += light - THROUGH * (y[ARRAY] - y[BACK])
        heat[BACK] += THROUGH * (y[ARRAY] - y[BACK])
        return np.where(MASS > 0, heat / np.maximum(MASS, 1), 0.0)

    y = np.full(12, 290.0)
    for length, light in ((TURN, before), (STEP - TURN, after)):
        found = solve_ivp(rate, (0, length), y, "Radau", args=(light,), rtol=1e-11, atol=1e-9)
        y = found.y[:, -1]
    mean = (TURN * before + (STEP - TURN) * after) / STEP
    return y[[ARRAY, BACK]], mean, after


def stepped(wing, mean, late):
    absorbed = np.zeros(12)
    absorbed[ARRAY] = mean
    return wing.after(
        jnp.full(12, 290.0), jnp.asarray(absorbed), jnp.zeros(12), constant(0.0),
        jnp.asarray(STEP), late=None if late is None else (ARRAY, jnp.asarray(late)),
    )  # fmt: skip


def test_the_end_of_the_light_tells_where_the_cells_end(wing, exact):
    """A third nearer at least: their distance from the panel is not that of the mean light."""
    y, mean, after = exact
    apart = {}
    for name, late in (("mean", None), ("end", after - mean)):
        end = stepped(wing, mean, late)[0]
        apart[name] = np.abs(np.asarray(end)[[ARRAY, BACK]] - y).max()
    print({name: f"{value:.3f} K" for name, value in apart.items()})
    assert apart["end"] < 0.7 * apart["mean"]


def test_no_heat_is_made_or_lost_by_it(wing, exact):
    """What is absorbed is the mean, to rounding."""
    _, mean, after = exact
    end, flows, _ = stepped(wing, mean, after - mean)
    stored = np.asarray((end - 290.0) * jnp.asarray(MASS)).sum() / STEP
    assert stored == pytest.approx(mean - np.asarray(flows.emitted).sum(), rel=1e-9)

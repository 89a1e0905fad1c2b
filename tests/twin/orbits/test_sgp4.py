"""SGP4 beside the `sgp4` package, and the laws it must obey."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.sgp4_reference import (
    reference_states,
    synthetic_catalogue,
    verification_sets,
)

from twin.catalog import read_elements
from twin.orbits.sgp4 import DEEP_SPACE_PERIOD, DeepSpaceError, sgp4_orbit

ELEMENTS = Path(__file__).parents[3] / "assets" / "elements"
# The package stops Kepler's iteration at 1e-12 rad, 7 micrometres in low orbit; we go to rounding.
TEN_MICROMETRES = 1e-5
TEN_NANOMETRES_A_SECOND = 1e-8

fleet = jax.vmap(lambda orbit, time: orbit.state(time), in_axes=(-1, None), out_axes=-1)
fleet_at_times = jax.jit(jax.vmap(fleet, in_axes=(None, 0)))


def assert_agrees(elements, seconds):
    """All `elements` share an epoch, from which the seconds count."""
    orbit = sgp4_orbit(elements, elements[0].epoch)
    expected_position, expected_velocity = reference_states(elements, seconds)
    position, velocity = fleet_at_times(orbit, jnp.asarray(seconds))
    assert np.isfinite(expected_position).any()
    np.testing.assert_allclose(position, expected_position, rtol=0, atol=TEN_MICROMETRES)
    np.testing.assert_allclose(velocity, expected_velocity, rtol=0, atol=TEN_NANOMETRES_A_SECOND)


@pytest.mark.parametrize("file", ["scs01_2025-10-03.csv", "scs01_2026-08-22.csv"])
def test_the_twelve_over_a_day_with_their_full_drag(file):
    elements = read_elements(ELEMENTS / file)
    start = elements[0].epoch
    seconds = np.arange(0.0, 86_401.0, 600.0)
    position, velocity = fleet_at_times(sgp4_orbit(elements, start), jnp.asarray(seconds))
    assert len(elements) == 12
    for k, one in enumerate(elements):
        since = seconds + start.seconds_since(one.epoch)
        expected = reference_states([one], since)[..., 0]
        np.testing.assert_allclose(position[..., k], expected[0], rtol=0, atol=TEN_MICROMETRES)
        np.testing.assert_allclose(
            velocity[..., k], expected[1], rtol=0, atol=TEN_NANOMETRES_A_SECOND
        )


def test_a_planned_fleet_over_a_day():
    assert_agrees(synthetic_catalogue(2800), np.linspace(0.0, 86_400.0, 9))


NEAR = [case for case in verification_sets() if 1440 / case[0].mean_motion_rev_day < 220]


@pytest.mark.parametrize("case", NEAR, ids=lambda case: str(case[0].norad))
def test_the_published_near_earth_cases_over_their_whole_span(case):
    """All nine, to three days, e up to 0.186, both drag models, decay included."""
    one, start, stop, step = case
    assert_agrees([one], np.arange(start, stop + step / 2, step) * 60)


def test_there_are_nine_published_near_earth_cases():
    assert len(NEAR) == 9


def test_eccentric_orbits_agree_whatever_the_anomaly():
    """Up to e = 0.46, all that a period below 225 min allows, and any inclination."""
    base = synthetic_catalogue(300)
    rng = np.random.default_rng(3)
    elements = []
    for one in base:
        e = rng.uniform(0, 0.46)
        a = (6378.135 + 250 + rng.uniform(0, 200)) / (1 - e)
        motion = np.sqrt(398600.8 / a**3) * 86400 / (2 * np.pi)
        elements.append(
            replace(
                one,
                eccentricity=round(e, 7),
                mean_motion_rev_day=round(motion, 8),
                inclination_deg=round(rng.uniform(0, 179.9), 4),
            )
        )
    elements = [one for one in elements if 1440 / one.mean_motion_rev_day < 220]
    assert max(one.eccentricity for one in elements) > 0.4
    assert_agrees(elements, np.linspace(0.0, 20_000.0, 60))


def test_deep_space_is_refused_by_name():
    deep = [case[0] for case in verification_sets() if case[0].norad == 28129]
    with pytest.raises(DeepSpaceError, match=r"SDP4.*2003-058A \(28129\): period 718 min"):
        sgp4_orbit(synthetic_catalogue(2) + deep, deep[0].epoch)
    assert DEEP_SPACE_PERIOD == 225


def test_decayed_satellites_are_nan():
    (case,) = [case for case in verification_sets() if case[0].norad == 28872]
    orbit = sgp4_orbit([case[0]], case[0].epoch)
    position, velocity = fleet_at_times(orbit, jnp.asarray([0.0, 3600.0]))
    assert np.isfinite(position[0]).all() and np.isfinite(velocity[0]).all()
    assert np.isnan(position[1]).all() and np.isnan(velocity[1]).all()


def test_a_run_may_start_long_after_the_epoch():
    """A year on: angles are reduced at the start, so no precision is lost to large phases."""
    (one,) = synthetic_catalogue(1)
    start = one.epoch.plus(365 * 86_400.0)
    position, _ = fleet_at_times(sgp4_orbit([one], start), jnp.asarray([0.0, 5000.0]))
    expected, _ = reference_states([one], 365 * 86_400.0 + np.array([0.0, 5000.0]))
    half_a_millimetre = 5e-4  # both sides round a phase of 35,000 rad
    np.testing.assert_allclose(position, expected, rtol=0, atol=half_a_millimetre)


def test_permuting_satellites_permutes_results():
    elements = synthetic_catalogue(40)
    order = np.random.default_rng(1).permutation(40)
    epoch = elements[0].epoch
    time = jnp.asarray([1234.5])
    straight = fleet_at_times(sgp4_orbit(elements, epoch), time)[0]
    permuted = fleet_at_times(sgp4_orbit([elements[k] for k in order], epoch), time)[0]
    np.testing.assert_array_equal(permuted, straight[..., order])


def test_gradients_are_finite_and_velocity_is_the_slope():
    orbit = sgp4_orbit(synthetic_catalogue(200), synthetic_catalogue(1)[0].epoch)
    one_slope = jax.jacfwd(lambda orbit, time: orbit.state(time)[0], argnums=1)
    slopes = jax.jit(jax.vmap(one_slope, in_axes=(-1, None), out_axes=-1))
    slope, velocity = slopes(orbit, jnp.asarray(3e4)), fleet(orbit, jnp.asarray(3e4))[1]
    # SGP4's velocity leaves out the slope of its periodic terms
    np.testing.assert_allclose(slope, velocity, rtol=0, atol=30.0)
    gradient = jax.jit(jax.grad(lambda orbit: fleet(orbit, jnp.asarray(3e4))[0].sum()))(orbit)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))

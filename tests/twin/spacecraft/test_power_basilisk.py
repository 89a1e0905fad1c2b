"""Shadow, panel and battery over three orbits, against Basilisk's modules."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from twin.environment.eclipse import shadow_coordinate, sunlit, sunlit_fraction
from twin.spacecraft.array import SolarArray, steady
from twin.spacecraft.battery import Battery
from twin.spacecraft.bus import Demand, plan, settle

ORACLE = Path(__file__).parents[2] / "oracles" / "power_basilisk.csv"


def _leaves(kind, *values):
    return kind(*(jnp.asarray(x, float) for x in np.broadcast_arrays(*values)))


@cache
def _golden():
    table = np.genfromtxt(ORACLE, delimiter=",", names=True, skip_header=2)
    place = np.stack([table[x] for x in ("x", "y", "z")])
    sun = np.stack([table[f"sun_{x}"] for x in ("x", "y", "z")])
    return table, place, sun


def test_shadow_matches_basilisk():
    """Same circles, same radii: to 1e-8. The fast form, with a straight limb, within 0.0006."""
    table, place, sun = _golden()
    full = jax.jit(jax.vmap(sunlit_fraction, in_axes=(1, 1, None)))(place, sun, jnp.asarray(0.0))
    assert ((table["shadow"] > 0) & (table["shadow"] < 1)).sum() > 30
    np.testing.assert_allclose(full, table["shadow"], rtol=0, atol=1e-8)
    height = jax.vmap(shadow_coordinate, in_axes=(1, 1, None))(place, sun, 0.0)
    np.testing.assert_allclose(sunlit(height), table["shadow"], rtol=0, atol=6e-4)


def _basilisk_orbits():
    """Panel power and stored energy by our kernels, from the positions alone."""
    table, place, sun = _golden()
    whole = np.isfinite(table["stored"])
    table, place, sun = table[whole], place[:, whole], sun[:, whole]
    lit = jax.vmap(sunlit_fraction, in_axes=(1, 1, None))(place, sun, jnp.asarray(0.0))
    to_sun = sun - place
    distance = np.linalg.norm(to_sun, axis=0)
    cosine = np.maximum(np.array([0.6, 0.0, 0.8]) @ (to_sun / distance), 0.0)
    flux = 1361.0 * (149_597_870_693.0 / distance) ** 2  # Basilisk's constants
    array = _leaves(SolarArray, 2.0, 0.29, 0.0, -0.0023, 301.15)
    zero = jnp.zeros(lit.shape)
    power = array.power(jnp.asarray(flux * cosine) * lit, zero + 301.15, zero)

    big, wide = 1e9, (0.0, 1.0, 998.0, 999.0)
    ideal = _leaves(Battery, 400 * 3600.0, 0.0, 0.0, 1.0, big, big, *wide)
    nothing, heat, dt = jnp.asarray(0.0), jnp.asarray(293.15), jnp.asarray(30.0)

    def step(energy, row):
        power, load = row
        available = steady(power)
        demand, level = Demand(load, nothing, nothing), jnp.asarray(0)
        promise = plan(ideal, demand, level, energy, heat, available, nothing, nothing, dt)
        flows = settle(ideal, promise, energy, heat, available, nothing, nothing)
        after = ideal.after(energy, heat, flows.charge, flows.discharge, dt)
        return after, after

    rows = power[1:], jnp.asarray(table["load"][1:])
    stored = jax.lax.scan(step, jnp.asarray(table["stored"][0]), rows)[1]
    return table, power, np.concatenate([table["stored"][:1], stored])


def test_panel_and_battery_match_basilisk_over_three_orbits():
    """A lossless battery of ours is its `simpleBattery`: 1e-9 of the power, 1e-9 of the charge."""
    table, power, stored = _basilisk_orbits()
    np.testing.assert_allclose(power, table["panel"], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(stored, table["stored"], rtol=1e-9)
    full = table["stored"] == 400 * 3600.0
    assert full.sum() > 100, "it fills"
    assert table["stored"].min() < 0.8 * 400 * 3600.0, "and is drawn from"
    assert np.ptp(table["load"]) > 150, "under a changing load"

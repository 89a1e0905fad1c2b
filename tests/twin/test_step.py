"""One step of the whole twin: temperatures against Radau, and laws over crafted moments."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from oracles.orbit_energy import heats, walker_place
from oracles.thermal_radau import right_hand_side, solve
from scipy.interpolate import CubicSpline

from twin.spacecraft.thermal import HARSH

SMALL, LARGE = 2, 22
RECORDS = 96  # of a minute: one orbit


def slow_charging(small_shell):
    """The shell with room in its batteries for an orbit, so that nothing is rationed or full."""
    constellation, state = small_shell
    battery, payload = constellation.satellites.battery, constellation.satellites.payload
    limit = jnp.where(jnp.arange(24) < 12, 150.0, 6000.0)
    gentle = replace(constellation.satellites, battery=replace(
        battery, floor=0.01 * battery.capacity, charge_limit=limit,
        discharge_limit=battery.capacity / 3600), payload=replace(
        payload, reserve=0.05 + 0 * payload.reserve))  # fmt: skip
    fleet = replace(constellation, satellites=gentle)
    return fleet, replace(state, battery_energy=0.7 * battery.capacity)


def radau(shell_scenario, start, fleet, satellite, times, temperature):
    """Nothing of the twin but the payload's draw and the charging limit chosen."""
    shell = shell_scenario.shell[satellite // 12]
    design, place = shell_scenario.class_[shell.class_], walker_place(shell, satellite % 12)
    grid = np.arange(0, times[-1] + 1.0, 0.5)
    found = heats(design, shell_scenario.environment, start, place, grid)
    names = ("irradiance", "array", "box", "radiator")
    sky = CubicSpline(grid, np.stack([found[name] for name in names], axis=1))
    payload, k = fleet.satellites.payload, satellite
    full = float(payload.devices[k] * payload.full_power[k])
    limit = float(fleet.satellites.battery.charge_limit[k])
    return solve(right_hand_side(design, full, limit), sky, temperature, times)


def test_temperatures_match_radau_over_an_orbit_with_eclipse(
    small_shell, shell_scenario, equinox_noon, orbit
):
    """Sky, electricity and heat of the oracle are its own; the step is 10 s."""
    fleet, state = slow_charging(small_shell)
    _, seen = orbit(fleet, state, RECORDS)
    charge = np.asarray(seen.battery_energy) / np.asarray(fleet.satellites.battery.capacity)
    times = np.arange(RECORDS + 1) * 60.0
    for k in (SMALL, LARGE):
        assert charge[:, k].min() > 0.11 and charge[:, k].max() < 0.99
        assert (np.asarray(seen.throttle)[:, k] == 1).all()
        lit = np.asarray(seen.sunlit)[:, k]
        assert lit.min() == 0 and lit.max() == 1
        exact = radau(shell_scenario, equinox_noon, fleet, k, times, np.full(6, 290.0))[:, 1:]
        error = np.abs(np.asarray(seen.temperature)[:, :, k].T - exact).max()
        swing = np.ptp(exact, axis=1).max()
        print(f"satellite {k}: {error:.3f} K while temperatures swing by {swing:.0f} K")
        assert error < 0.1, "half of what is seen comes from the oracle's Sun, 0.01° off"


def test_one_percent_of_radiator_would_show(small_shell, orbit):
    """The comparison can fail: one part in a hundred on the radiator is twice the tolerance."""
    fleet, state = slow_charging(small_shell)
    area = fleet.satellites.body.emitting_area
    wrong = eqx.tree_at(lambda c: c.satellites.body.emitting_area, fleet, area.at[5].mul(1.01))
    _, seen = orbit(fleet, state, 60)
    _, other = orbit(wrong, state, 60)
    apart = np.abs(np.asarray(seen.temperature - other.temperature))[:, 5].max(axis=0)
    assert (apart > 0.2).all()


def test_default_satellites_need_no_guard(small_shell, orbit):
    constellation, state = small_shell
    assert not constellation.satellites.body.guarded
    _, seen = orbit(constellation, state, RECORDS)
    temperature = np.asarray(seen.temperature)
    change = np.abs(np.diff(temperature, axis=0)) / temperature[1:]
    assert change.max() < HARSH, "not even in a minute, let alone in a step of 10 s"


def test_dark_and_empty_owes_all_and_works_nothing(small_shell, live):
    """No light, no charge: unserved power is the demand, and no token is made."""
    constellation, state = small_shell
    sat = constellation.satellites
    dark = replace(
        sat, surroundings=replace(sat.surroundings, solar_constant=0 * sat.housekeeping_power)
    )
    night = replace(constellation, satellites=dark)
    empty = replace(state, battery_energy=sat.battery.floor)
    after, seen = live(night, empty)
    owed = sat.housekeeping_power + sat.payload.idle()
    np.testing.assert_allclose(seen.unserved_power, jnp.broadcast_to(owed, (6, 24)), rtol=1e-12)
    np.testing.assert_array_equal(after.battery_energy, sat.battery.floor)
    assert (np.asarray(seen.tokens_rate) == 0).all()
    assert (np.asarray(seen.payload_power) == 0).all()
    assert (np.asarray(seen.limit) == 1).all(), "energy"


def test_ledger_adds_up(small_shell, orbit):
    """What each minute recorded adds up to the totals, and the battery holds the rest."""
    constellation, state = small_shell
    after, seen = orbit(constellation, state, RECORDS)
    ledger, battery = after.ledger, constellation.satellites.battery
    for total, power in (
        (ledger.panel_energy, seen.panel_power),
        (ledger.curtailed_energy, seen.curtailed_power),
        (ledger.payload_energy, seen.payload_power),
        (ledger.housekeeping_energy, seen.bus_power),
        (ledger.unserved_energy, seen.unserved_power),
        (ledger.tokens, seen.tokens_rate),
        (ledger.sunlit_time, seen.sunlit),
    ):
        np.testing.assert_allclose(total, power.sum(axis=0) * 60, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(ledger.alive_time, 60.0 * RECORDS, rtol=1e-12)
    np.testing.assert_allclose(ledger.time_limited.sum(axis=0), 60.0 * RECORDS, rtol=1e-12)
    gone = ledger.tokens + ledger.tokens_lost_to_energy + ledger.tokens_lost_to_heat
    np.testing.assert_allclose(gone, ledger.tokens_offered, rtol=1e-12)
    assert (ledger.battery_least <= np.asarray(seen.battery_energy).min(axis=0) + 1e-6).all()
    assert (ledger.chip_hottest >= np.asarray(seen.temperature)[:, 3].max(axis=0)).all()
    gained = after.battery_energy - state.battery_energy
    spent = ledger.panel_energy - ledger.payload_energy - ledger.housekeeping_energy - gained
    throughput = np.asarray(ledger.panel_energy + ledger.payload_energy)
    share = np.asarray(spent) / throughput
    assert (share >= -1e-12).all() and (share < 0.05).all(), "lost in the battery, never gained"
    assert (np.asarray(after.battery_energy) <= battery.capacity).all()
    for name in ("energy", "heat", "tokens"):
        assert np.asarray(getattr(ledger, f"{name}_residual")).max() < 1e-9
    assert np.asarray(ledger.heat_truncation).max() < 2e-3

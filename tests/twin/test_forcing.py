"""What the sky sends, against an orbit integral that shares no line with the twin."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.orbit_energy import heats, period, walker_place

from twin.forcing import forcing

STEP, STEPS = 10.0, 588  # an orbit at 650 km
LOOKED_AT = (0, 5, 10, 12, 17, 22)  # of the small shell: both classes, all planes
PARTS = ("energy", "array", "box", "radiator")


@pytest.fixture(scope="module")
def sky():
    """Sky of the first 588 steps of 10 s, for any fleet like the small shell: (time, sat)."""
    times = jnp.arange(STEPS + 1.0) * STEP
    return jax.jit(lambda constellation: forcing(constellation, times).sky)


@pytest.fixture(scope="module")
def integrals(shell_scenario, equinox_noon):
    """Joules over one orbit by the oracle, on a grid of one second: part → one a satellite."""
    rows = []
    for satellite in LOOKED_AT:
        shell = shell_scenario.shell[satellite // 12]
        design = shell_scenario.class_[shell.class_]
        place = walker_place(shell, satellite % 12)
        seconds = np.arange(round(_whole(period(place)))) + 0.5
        found = heats(design, shell_scenario.environment, equinox_noon, place, seconds)
        cells = design.array_m2.value * design.array_efficiency.value * design.array_losses.value
        cells *= (1 - design.array_ageing_per_year.value) ** design.array_age_years.value
        rows.append({"energy": cells * found["irradiance"].sum(), **_sums(found)})
    return {part: np.array([row[part] for row in rows]) for part in (*PARTS, "sunlit")}


def test_orbit_integrals_agree_within_a_thousandth(small_shell, shell_scenario, sky, integrals):
    worst = _differences(small_shell[0], shell_scenario, sky, integrals)
    print({part: f"{x:.1e}" for part, x in worst.items()})
    assert max(worst.values()) < 1e-3, "the oracle's Sun is 0.01° off: up to 5e-4 where it grazes"


def test_time_in_sunlight_agrees(small_shell, shell_scenario, sky, integrals):
    lit = np.asarray(sky(small_shell[0]).sunlit)
    whole = np.array([_whole(p) for p in _periods(shell_scenario)])
    steps = (whole / STEP).round().astype(int)
    found = [lit[:n, k].sum() * STEP for n, k in zip(steps, LOOKED_AT, strict=True)]
    np.testing.assert_allclose(found, integrals["sunlit"], atol=1.0)
    share = integrals["sunlit"] / whole
    assert share.min() < 0.65 and share.max() == 1.0, "deep shadow, and none at all"


@pytest.mark.parametrize(
    ("mutate", "parts"),
    [
        ("no albedo", {"array", "box", "radiator"}),
        ("radiator turned round", {"radiator"}),
        ("emissivity of the radiator doubled", {"radiator"}),
        ("emissivity of the wings' back doubled", {"array"}),
        ("emissivity of the box doubled", {"box"}),
        ("wings on two axes", {"energy", "array"}),
    ],
)
def test_a_wrong_sky_is_told_from_a_right_one(
    small_shell, shell_scenario, sky, integrals, mutate, parts
):
    """Books close for a wrong albedo too: here it must show, and only where it belongs."""
    sat = small_shell[0].satellites
    skin, around = sat.skin, sat.surroundings
    wrong = {
        "no albedo": replace(sat, surroundings=replace(around, albedo=0 * around.albedo)),
        "radiator turned round": _skin(sat, radiator_normal=-skin.radiator_normal),
        "emissivity of the radiator doubled": _skin(
            sat, radiator_emittance=2 * skin.radiator_emittance
        ),
        "emissivity of the wings' back doubled": _skin(sat, back_emittance=2 * skin.back_emittance),
        "emissivity of the box doubled": _skin(sat, box_emittance=2 * skin.box_emittance),
        "wings on two axes": _skin(sat, two_axis=1 + 0 * skin.two_axis),
    }[mutate]
    constellation = eqx.tree_at(lambda c: c.satellites, small_shell[0], wrong)
    worst = _differences(constellation, shell_scenario, sky, integrals)
    assert {part for part, x in worst.items() if x > 1e-3} == parts


def test_infrared_alone_by_hand(small_shell, sky):
    """At night the cold radiator, upright, gets the closed form of an upright plate."""
    satellites = small_shell[0].satellites
    found = sky(small_shell[0])
    night = np.asarray(found.sunlit[:, 0]) == 0
    heat = np.asarray(found.heat_radiator[:, 0])[night].min()
    sine = 6378.137 / 6928.137
    half = np.arcsin(sine)
    upright = (half - sine * np.cos(half)) / np.pi
    area = satellites.skin.radiator_area[0] * satellites.skin.radiator_emittance[0]
    assert heat == pytest.approx(float(area) * upright * 237.0, rel=1e-6)


def _differences(constellation, scenario, sky, integrals):
    """Largest relative difference of each part over the satellites looked at."""
    satellites = constellation.satellites
    seen = sky(constellation)
    cells = satellites.panels.area * satellites.panels.efficiency
    flows = {
        "energy": np.asarray(seen.irradiance) * np.asarray(cells),
        "array": seen.heat_array,
        "box": seen.heat_bus,
        "radiator": seen.heat_radiator,
    }
    steps = [round(_whole(p) / STEP) for p in _periods(scenario)]
    worst = {}
    for part, flow in flows.items():
        total = [
            np.asarray(flow)[:n, k].sum() * STEP for n, k in zip(steps, LOOKED_AT, strict=True)
        ]
        worst[part] = float(np.abs(np.array(total) / integrals[part] - 1).max())
    return worst


def _periods(scenario):
    return [period(walker_place(scenario.shell[k // 12], k % 12)) for k in LOOKED_AT]


def _whole(seconds):
    """An orbit in whole steps, so that both integrals end at the same moment."""
    return STEP * round(seconds / STEP)


def _sums(found):
    return {part: found[part].sum() for part in ("array", "box", "radiator", "sunlit")}


def _skin(satellite, **fields):
    return replace(satellite, skin=replace(satellite.skin, **fields))

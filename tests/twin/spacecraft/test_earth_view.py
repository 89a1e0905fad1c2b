"""How much of a face's view the Earth fills: closed forms and counted rays."""

import numpy as np
import pytest
from oracles.earth_view import plate_view_factor

from twin.constants import EARTH_RADIUS
from twin.spacecraft.factors import plate_to_sphere

AT_500_KM = EARTH_RADIUS / (EARTH_RADIUS + 500e3)
SINES = (0.15, 0.7, AT_500_KM, 0.999)


def seen(sine, cosine):
    return plate_to_sphere(sine**2, np.atleast_1d(np.asarray(cosine, float)))


@pytest.mark.parametrize("sine", SINES)
def test_closed_forms(sine):
    """Facing it, upright, and turned away; front less back is a vector's component."""
    assert seen(sine, 1.0)[0] == pytest.approx(sine**2, rel=1e-15)
    half = np.arcsin(sine)
    assert seen(sine, 0.0)[0] == pytest.approx((half - sine * np.cos(half)) / np.pi)
    assert seen(sine, -1.0)[0] == 0.0
    tilt = np.linspace(0, np.pi, 181)
    both = seen(sine, np.cos(tilt)) - seen(sine, -np.cos(tilt))
    assert both == pytest.approx(sine**2 * np.cos(tilt), abs=1e-12)


@pytest.mark.parametrize("sine", SINES)
def test_the_catalogue_agrees_to_rounding(sine):
    cosine = np.linspace(-1, 1, 10_001)
    assert seen(sine, cosine) == pytest.approx(plate_view_factor(sine, cosine), abs=1e-12)
    assert (np.diff(seen(sine, cosine)) >= -1e-8).all(), "turning to it never shows less of it"


@pytest.mark.parametrize("tilt", [0, 30, 60, 90, 120, 150])
def test_counted_rays_agree(tilt):
    """Rays leave the plate as Lambert has it: evenly over the disc below the hemisphere."""
    side = 1500
    u, v = (np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side
    r, turn = np.meshgrid(np.sqrt(u), 2 * np.pi * v)
    x, z = r * np.cos(turn), np.sqrt(1 - r**2)
    toward_earth = x * np.sin(np.radians(tilt)) + z * np.cos(np.radians(tilt))
    counted = (toward_earth > np.sqrt(1 - AT_500_KM**2)).mean()
    found = seen(AT_500_KM, np.cos(np.radians(tilt)))[0]
    assert found == pytest.approx(counted, abs=3e-4), "two million even rays"

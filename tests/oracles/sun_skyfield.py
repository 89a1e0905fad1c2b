"""The geometric Sun by Skyfield 1.55 and DE421, in its own TEME frame; 2026-11-22."""

import numpy as np
from skyfield.sgp4lib import TEME


def geometric_sun(kernel, moments):
    """Earth-centred position in TEME of date, (time, 3) in metres."""
    position = (kernel["sun"] - kernel["earth"]).at(moments).position.m
    return np.einsum("ijt,jt->ti", TEME.rotation_at(moments), position)

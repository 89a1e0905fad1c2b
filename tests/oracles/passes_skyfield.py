"""Passes by Skyfield's find_events (times to half a second) and its altitude; 2026-11-22."""

import numpy as np
from skyfield.api import wgs84


def events(satellite, latitude, longitude, first, last, mask_deg):
    """Whole list of (kind, Julian TT days since `first`) with kind 0 rise, 1 culmination, 2 set."""
    times, kinds = satellite.find_events(wgs84.latlon(latitude, longitude), first, last, mask_deg)
    return kinds, (times.tt - first.tt) * 86_400 if len(kinds) else np.array([])


def altitude_deg(satellite, latitude, longitude, moments):
    """Geometric altitude over the horizon."""
    return (satellite - wgs84.latlon(latitude, longitude)).at(moments).altaz()[0].degrees

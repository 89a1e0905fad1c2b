"""How much of a plate's view a sphere fills: the catalogue's closed form, in NumPy.

Source: Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-43 (a planar element
to a sphere). Written from the catalogue, without a line of the twin. NumPy 2; 2026-11-23.
"""

import numpy as np


def plate_view_factor(sine_horizon, cosine_tilt):
    """Share of a plate's view, weighted as Lambert has it, that the Earth fills.

    `sine_horizon` is Earth's radius over the distance from its centre; `cosine_tilt` that of the
    plate's normal to the direction of the centre: 1 faces it, -1 turns its back.
    """
    sine_horizon, cosine = np.broadcast_arrays(
        np.asarray(sine_horizon, float), np.asarray(cosine_tilt, float)
    )
    cut = np.abs(cosine) < sine_horizon  # the plate's own plane cuts the Earth's disc
    c = np.where(cut, cosine, 0.0)
    sine, horizon = np.sqrt(1 - c**2), np.sqrt(1 - sine_horizon**2)
    part = np.arccos(np.minimum(horizon / sine, 1.0))
    part -= horizon * np.sqrt(np.maximum(sine_horizon**2 - c**2, 0.0))
    part += sine_horizon**2 * c * np.arccos(np.clip(-horizon * c / (sine_horizon * sine), -1, 1))
    whole = np.where(cosine > 0, sine_horizon**2 * cosine, 0.0)
    return np.where(cut, part / np.pi, whole)

"""What surfaces see of the Earth, by random rays traced anew in each direction of the Sun.

No table and no sequence of the twin's: other points, other rays, other numbers for each direction.
The view with nothing in the way is the catalogue's (`earth_view`), rays tell the blocked share.
Flat facets, the Earth at -x, wings that follow the Sun. NumPy 2; 2026-11-27.
"""

import numpy as np
from oracles.earth_view import plate_view_factor

from twin.spacecraft.facets import Model
from twin.spacecraft.factors import by_surface
from twin.spacecraft.rays import Tracer

DOWN = np.array([-1.0, 0.0, 0.0])
AT_ONCE = 16  # directions


def earth_by_rays(model: Model, square: float, latitude, longitude, bare, points=1536, seed=1):
    """View factors (surface, n); `square` is (radius / distance)², `bare` (surface, n) unhidden."""
    rng, tracer = np.random.default_rng(seed), Tracer(model, points)
    kept = []
    for first in range(0, len(latitude), AT_ONCE):
        turns = model.turned(latitude[first : first + AT_ONCE], longitude[first : first + AT_ONCE])
        rays = _disc(rng, (turns.shape[1], len(tracer.joint)), square)
        found = tracer.trace(turns, rays, tracer.threats(turns, None))
        share = np.ones((turns.shape[1], len(model.facet_area)))
        share[found.case, found.facet] -= found.lost_share()
        weight = np.zeros_like(share)  # each facet's own bare view, by its mean normal
        for facet, normal in enumerate(model.facet_normal):
            turned = turns[model.facet_joint[facet]] @ normal
            weight[:, facet] = model.facet_area[facet] * plate_view_factor(
                square**0.5, turned @ DOWN
            )
        whole, seen = by_surface(model, weight.T), by_surface(model, (weight * share).T)
        kept.append(np.where(whole > 0, seen / np.maximum(whole, 1e-12), 1.0))
    return bare * np.concatenate(kept, axis=1)


def _disc(rng, shape, square):
    """Directions (*shape, 3) drawn evenly from the Earth's disc around -x."""
    down = 1.0 - rng.random(shape) * (1.0 - np.sqrt(1.0 - square))
    side, angle = np.sqrt(1.0 - down**2), 2 * np.pi * rng.random(shape)
    rays = [-down, side * np.cos(angle), side * np.sin(angle)]
    return np.stack(rays, axis=-1).astype(np.float32)

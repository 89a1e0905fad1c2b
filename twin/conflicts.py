"""Where Sun, radiator, wings and laser terminals want the body to point differently.

From geometry alone: the Sun's directions over an orbit at the run's beta angles, and what each
surface sees of it in each attitude. Orbits are taken as round, the shadow as a cylinder.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twin.arrays import Scalar
from twin.constants import AU, DEG, EARTH_RADIUS, STEFAN_BOLTZMANN
from twin.constellation import RADIATOR, RADIATOR_BACK, Constellation
from twin.crafts import attitudes
from twin.design import Design
from twin.environment.sun import sun_positions
from twin.fleet import Fleet
from twin.orbits.elements import AbstractOrbit
from twin.report_form import Conflict
from twin.scenario import Scenario
from twin.spacecraft.attitude import grid_directions

ANGLES = np.linspace(0.0, 2 * np.pi, 96, endpoint=False)  # along the orbit, 0 at its noon
SEEN = 0.10  # a radiator that shows the Sun more of its area than this is in the Sun
WARM = 300.0  # K, at which a radiator's own emission is told
ALONG_ORBIT = ("nadir", "edge")  # attitudes in which terminals can look along the orbit


def conflicts(scenario: Scenario, fleet: Fleet, constellation: Constellation) -> list[Conflict]:
    """One entry for each class and attitude that it takes."""
    duration = scenario.run.duration_h * 3600
    ends = np.array([0.0, duration])
    suns = sun_positions(fleet.start, ends)
    beta = np.array([sun_heights(fleet, t, sun) for t, sun in zip(ends, suns, strict=True)])
    beta = np.where(np.isfinite(beta), beta, beta[0])
    light = (AU / float(np.linalg.norm(suns[0]))) ** 2
    return [
        _conflict(scenario.class_[name], fleet, constellation, name, kind, beta, light)
        for index, name in enumerate(fleet.classes)
        if (fleet.class_index == index).any()
        for kind in attitudes(scenario.class_[name])
    ]


def sun_heights(fleet: Fleet, time: float, sun: np.ndarray) -> Float[np.ndarray, "sat"]:
    """Beta angles (rad): how high the Sun stands over each orbit's plane. NaN: decayed."""
    position, velocity = (
        np.asarray(vector, float) for vector in _states(fleet.orbit, jnp.asarray(time))
    )
    normal = np.cross(position, velocity, axis=0)
    return np.arcsin(sun / np.linalg.norm(sun) @ (normal / np.linalg.norm(normal, axis=0)))


@jax.jit
def _states(orbits: AbstractOrbit, time: Scalar) -> tuple[Array, Array]:
    """Positions and velocities. Compiled: each line of SGP4 would be a program of its own."""
    return jax.vmap(lambda orbit: orbit.state(time), in_axes=-1, out_axes=-1)(orbits)


def sun_in_body(kind: str, beta: np.ndarray) -> Float[np.ndarray, "sat angle 3"]:
    """The Sun's directions in the body's axes along an orbit: up, along it, across to the Sun."""
    height = np.abs(beta)[:, None]
    if kind in ALONG_ORBIT:
        up, along = np.cos(height) * np.cos(ANGLES), -np.cos(height) * np.sin(ANGLES)
        return np.stack([up, along, np.sin(height) + 0 * up], axis=-1)
    return np.broadcast_to([1.0, 0.0, 0.0], (beta.size, ANGLES.size, 3))


def in_light(beta: np.ndarray, altitude: np.ndarray) -> Bool[np.ndarray, "sat angle"]:
    """1 where the Sun is in view, 0 in the Earth's shadow."""
    ratio = EARTH_RADIUS / (EARTH_RADIUS + altitude[:, None])
    return np.cos(beta)[:, None] * np.cos(ANGLES) > -np.sqrt(1 - ratio**2)


def _conflict(
    design: Design,
    fleet: Fleet,
    constellation: Constellation,
    name: str,
    kind: str,
    beta: np.ndarray,
    light: float,
) -> Conflict:
    members = np.flatnonzero(fleet.class_index == fleet.classes.index(name))
    # Satellites of one shape and about one beta angle are alike.
    shape = np.asarray(constellation.satellites.skin.shape)[members]
    angle, low = np.abs(beta[:, members]), np.abs(beta[:, members]).min(axis=0)
    alike = np.stack([shape, np.rint(low / DEG)], axis=1)
    _, first, count = np.unique(alike, axis=0, return_index=True, return_counts=True)
    who = members[first]
    lit = in_light(low[first], fleet.altitude[who]).astype(float)
    seen = _cosines(constellation, who, kind, sun_in_body(kind, low[first]))
    skin = constellation.satellites.skin
    faces = [k for k, node in enumerate(skin.nodes) if node in (RADIATOR, RADIATOR_BACK)]
    radiators = np.array(faces, int)  # none, where the parts have no radiator
    area, absorptance, emittance = (
        np.asarray(block)[radiators][:, who]
        for block in (skin.area, skin.absorptance, skin.emittance)
    )
    whole = np.maximum(area.sum(axis=0), 1e-9)
    sun = np.asarray(constellation.satellites.surroundings.solar_constant)[who] * light
    shown = np.einsum("rs,rsa->sa", area, seen[radiators]) / whole[:, None]
    heat = np.einsum("rs,rsa->sa", area * absorptance, seen[radiators]) * (sun / whole)[:, None]
    exposed, load, wings = (
        (values * lit).sum(axis=1) / lit.sum(axis=1)
        for values in (shown > SEEN, heat, seen[skin.front])
    )
    emits = (area * emittance).sum(axis=0) / whole * STEFAN_BOLTZMANN * WARM**4

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=count))

    return Conflict(
        group=name,
        attitude=kind,
        taken=taken(design, kind),
        beta_deg=(float(angle.min() / DEG), float(angle.max() / DEG)),
        radiator_sunlit=mean(exposed),
        radiator_sunlit_worst=float(exposed.max()),
        radiator_solar_w_m2=mean(load),
        radiator_solar_w_m2_worst=float(load.max()),
        radiator_emits_w_m2=mean(emits),
        wings_cosine=mean(wings),
        wings_cosine_worst=float(wings.min()),
        links_along_orbit=kind in ALONG_ORBIT,
    )


def taken(design: Design, kind: str) -> list[str]:
    """When a class takes an attitude: in the light, in the dark, in safe mode."""
    when = {
        "in sunlight": design.attitude,
        "in eclipse": design.attitude_dark or design.attitude,
        "in safe mode": design.attitude_safe or design.attitude,
    }
    return [name for name, attitude in when.items() if attitude == kind]


def _cosines(
    constellation: Constellation, who: np.ndarray, kind: str, sun: np.ndarray
) -> Float[np.ndarray, "surface sat angle"]:
    """Mean cosine of incidence over each surface, own shadows applied; to 3 degrees."""
    views, skin = constellation.views, constellation.satellites.skin
    place = constellation.satellites.attitude.kinds.index(kind)
    flat, grid = np.asarray(views.solar), grid_directions()
    cell = np.stack([np.argmax(directions @ grid.T, axis=1) for directions in sun])
    rows = [
        np.asarray(views.row(jnp.asarray(skin.shape)[who], place, surface))
        for surface in range(len(skin.nodes))
    ]
    return np.stack([flat[row[:, None] + cell] for row in rows])

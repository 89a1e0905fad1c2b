"""What an orbit is to the rest of the twin, and the parts that all orbits share."""

import abc
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from twin.arrays import Scalar, Vec3
from twin.clock import Epoch
from twin.fastmath import sincos

SMALL_ECCENTRICITY = 0.05
"""Up to here the polynomials of `small_sincos` replace the full sine and cosine."""

_FIRST_STEP = 0.95  # rad: a longer first step may throw Newton's method out of its basin


class AbstractOrbit(eqx.Module):
    """Where a satellite is, as a function of time alone."""

    @abc.abstractmethod
    def state(self, time: Scalar) -> tuple[Vec3, Vec3]:
        """Position and velocity of one satellite in TEME of date.

        `time` counts from the run's start. Outside its domain (decayed, below the surface) an
        orbit answers NaN.
        """


@runtime_checkable
class PublishedElements(Protocol):
    """One mean element set in the units of its file; `twin.catalog.ElementSet` is one."""

    @property
    def name(self) -> str:
        """As published."""
        ...

    @property
    def norad(self) -> int:
        """Catalogue number."""
        ...

    @property
    def epoch(self) -> Epoch:
        """Moment of the elements, UTC."""
        ...

    @property
    def mean_motion_rev_day(self) -> float:
        """Kozai's mean motion."""
        ...

    @property
    def eccentricity(self) -> float:
        """Mean eccentricity."""
        ...

    @property
    def inclination_deg(self) -> float:
        """Of the equator of date."""
        ...

    @property
    def raan_deg(self) -> float:
        """From the mean equinox of date."""
        ...

    @property
    def argp_deg(self) -> float:
        """Argument of perigee."""
        ...

    @property
    def mean_anomaly_deg(self) -> float:
        """At the epoch."""
        ...

    @property
    def bstar(self) -> float:
        """Drag term, 1 / Earth radii."""
        ...


def column(elements: Sequence[PublishedElements], field: str) -> Float[np.ndarray, "sat"]:
    """One field of many element sets, side by side."""
    return np.array([getattr(e, field) for e in elements], dtype=np.float64)


def epoch_offset(elements: Sequence[PublishedElements], start: Epoch) -> Float[np.ndarray, "sat"]:
    """Seconds from each element epoch to `start`: UTC days of 86,400 s, as SGP4 counts them."""
    return np.array([start.seconds_since(e.epoch) for e in elements])


def small_sincos(angle: Scalar) -> tuple[Scalar, Scalar]:
    """Sine and cosine within 1e-15 for |angle| < 0.06 rad; worse beyond.

    Source: Taylor series to the 7th and 8th power.
    """
    z = angle * angle
    sine = angle * (1.0 - z * (1 / 6 - z * (1 / 120 - z * (1 / 5040))))
    cosine = 1.0 - z * (0.5 - z * (1 / 24 - z * (1 / 720 - z * (1 / 40320))))
    return sine, cosine


def kepler(
    e_sine: Scalar, e_cosine: Scalar, iterations: int, small: bool
) -> tuple[Scalar, Scalar, Scalar]:
    """Eccentric minus mean anomaly δ, with its sine and cosine.

    With e sin M and e cos M given, Kepler's equation reads δ = e sin M cos δ + e cos M sin δ: it
    holds for any origin of the angles, so no angle is reduced and δ stays below e. Newton's
    method, a fixed number of times (see `kepler_iterations`); `small` promises e < 0.05.

    Source: Vallado, Fundamentals of Astrodynamics (2013), 2.2.5 (Newton on Kepler's equation).
    """
    trig = small_sincos if small else sincos
    delta = e_sine / (1.0 - e_cosine)
    if not small:
        delta = jnp.clip(delta, -_FIRST_STEP, _FIRST_STEP)
    sine, cosine = trig(delta)
    for _ in range(iterations):
        residual = delta - e_sine * cosine - e_cosine * sine
        slope = 1.0 + e_sine * sine - e_cosine * cosine
        delta = delta - residual / slope
        sine, cosine = trig(delta)
    return delta, sine, cosine


def kepler_iterations(max_eccentricity: float) -> int:
    """How often `kepler` must iterate to reach rounding, whatever the anomaly.

    Found by trying, on the host: a grid of eccentricities up to the largest and of anomalies
    around the orbit. Newton's method squares its error: a step leaves e/(1 - e) step²/2, and
    2e-15 rad of it (14 nm in low orbit) are less than what a day's phase loses to rounding.
    """
    eccentricity = max_eccentricity * np.linspace(0.1, 1.0, 10)[:, None]
    anomaly = np.linspace(0.0, math.pi, 4001)
    e_sine, e_cosine = eccentricity * np.sin(anomaly), eccentricity * np.cos(anomaly)
    delta = np.clip(e_sine / (1.0 - e_cosine), -_FIRST_STEP, _FIRST_STEP)
    for iteration in range(1, 50):
        residual = delta - e_sine * np.cos(delta) - e_cosine * np.sin(delta)
        step = residual / (1.0 + e_sine * np.sin(delta) - e_cosine * np.cos(delta))
        delta = delta - step
        if (eccentricity / (1.0 - eccentricity) * step**2 / 2).max() < 2e-15:
            return iteration
    raise ValueError(f"Kepler's equation does not converge at eccentricity {max_eccentricity}")

"""Protons above 30 MeV by AP-8, and the closed form fitted to them.

Writes ``radiation_aep8.json`` beside this file and prints the map's coefficients with the fit's
residuals: ``python tests/oracles/radiation_aep8.py``. Tool: aep8 1.1.0 (IRBEM's AP-8 MIN, field of
Jensen and Cain 1960), astropy 7, SciPy; 2026-11-23. aep8 is not a dependency of the project.

AP-8 keeps the field of its own time, whatever the date. The anomaly has drifted west since by some
0.3 degrees a year, so AP-8 is read `SHIFT` degrees further east than the place it stands for.
"""

import json
from pathlib import Path

import aep8
import numpy as np
from astropy import units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time
from scipy.optimize import least_squares

SHIFT = 20.0  # degrees, 1960 to 2026
ORBITS = [(h, i) for h, sso in ((500, 97.4), (650, 98.0), (800, 98.6), (1000, 99.5))
          for i in (sso, 45.0)]  # fmt: skip
REFERENCE = (550, 97.6)
WHEN = Time("2026-11-23")
MODEL = aep8.model("p", "min")
# powers of x, y, z: one of z suffices, because x² + y² + z² = 1
MONOMIALS = [(i, j, k) for k in (0, 1) for n in range(4 - k) for j in range(n + 1)
             for i in (n - j,)]  # fmt: skip


def flux(location):
    """AP-8 in protons a square metre and second; it gives NaN where it has no protons."""
    with np.errstate(invalid="ignore"):
        found = MODEL.integral_flux(location, WHEN, 30 * u.MeV).value
    return 1e4 * np.nan_to_num(found)


def shifted(longitude, latitude, altitude_km):
    return EarthLocation.from_geodetic(
        (longitude + SHIFT) * u.deg, latitude * u.deg, altitude_km * u.km
    )


def sphere(latitudes, longitudes, altitudes):
    """Unit vectors (geocentric), altitude, flux and area weight on a grid (geodetic)."""
    lat, lon, alt = np.meshgrid(latitudes, longitudes, altitudes, indexing="ij")
    place = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, alt * u.km)
    xyz = np.stack([place.x.value, place.y.value, place.z.value])
    return xyz / np.linalg.norm(xyz, axis=0), alt, flux(shifted(lon, lat, alt)), np.cos(lat * u.deg)


def orbit(altitude_km, inclination, along=120, nodes=72):
    """Unit vectors and altitude of a circular orbit at every node: a long time's positions."""
    s, node = np.meshgrid(
        np.arange(along) * 2 * np.pi / along, np.arange(nodes) * 2 * np.pi / nodes, indexing="ij"
    )
    i = np.radians(inclination)
    x = np.cos(node) * np.cos(s) - np.sin(node) * np.sin(s) * np.cos(i)
    y = np.sin(node) * np.cos(s) + np.cos(node) * np.sin(s) * np.cos(i)
    z = np.sin(s) * np.sin(i)
    r = 6378.137 + altitude_km
    place = EarthLocation.from_geocentric(x * r * u.km, y * r * u.km, z * r * u.km).geodetic
    lon, lat, height = place.lon.deg, place.lat.deg, place.height.to_value(u.km)
    return (x, y, z), height, flux(shifted(lon, lat, height))


def terms(xyz, altitude_km):
    x, y, z = xyz
    t = (altitude_km - 650) / (altitude_km + 650)  # nearly half the logarithm of h / 650
    return np.array([x**i * y**j * z**k * t**n for i, j, k in MONOMIALS for n in range(3)])


def fit():
    """Least squares of the square roots, each altitude relative to its own mean."""
    altitudes = np.arange(400, 1001, 50.0)
    xyz, alt, ap8, weight = sphere(np.arange(-88, 89, 4.0), np.arange(-180, 180, 6.0), altitudes)
    weight = np.broadcast_to(weight, ap8.shape)
    mean = (ap8 * weight).sum((0, 1)) / weight.sum((0, 1))
    matrix = terms(xyz, alt).reshape(3 * len(MONOMIALS), -1).T
    scale = np.sqrt(weight / mean).ravel()
    found = np.sqrt(ap8).ravel()
    floor = np.log(np.maximum(ap8, 1e2)).ravel()
    first = np.linalg.lstsq(matrix * scale[:, None], floor * scale, rcond=None)[0]

    def residual(c):
        return (np.exp(0.5 * np.clip(matrix @ c, -60, 22)) - found) * scale

    result = least_squares(residual, first, x_scale="jac", max_nfev=200)
    c = np.array([float(f"{v:.6g}") for v in result.x])
    ours = np.exp(matrix @ c).reshape(ap8.shape)
    for n, h in enumerate(altitudes):
        a, b, w = ap8[..., n], ours[..., n], weight[..., n]
        same = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        off = (abs(a - b) * w).sum() / (a * w).sum()
        print(f"{h:6.0f} km: mean {(b * w).sum() / (a * w).sum():.3f} of AP-8, correlation "
              f"{same:.3f}, misplaced {off / 2:.3f}, peak {b.max() / a.max():.2f}")  # fmt: skip
    return c


def main():
    c = fit()
    print("coefficients, one row for each of", MONOMIALS)
    print("\n".join(f"    ({a!r}, {b!r}, {d!r})," for a, b, d in c.reshape(-1, 3).tolist()))
    orbits = []
    for altitude, inclination in [*ORBITS, REFERENCE]:
        xyz, height, ap8 = orbit(altitude, inclination)
        ours = np.exp(np.tensordot(c, terms(xyz, height), 1)).mean()
        print(f"{altitude} km {inclination}: AP-8 {ap8.mean():.4g}, map {ours:.6g}, "
              f"ratio {ours / ap8.mean():.3f}")  # fmt: skip
        orbits.append([altitude, inclination, float(f"{ap8.mean():.5g}")])
    latitudes, longitudes = np.arange(-84, 85, 6.0), np.arange(-174, 180, 12.0)
    golden = {
        "about": "aep8 1.1.0, AP-8 MIN > 30 MeV, 1/(m2 s), moved west by 20 degrees; 2026-11-23",
        "latitude": latitudes.tolist(),
        "longitude": longitudes.tolist(),
        "orbits": orbits,
        "flux": {},
    }
    for h in (500, 650, 800, 1000):
        ap8 = sphere(latitudes, longitudes, [h])[2][..., 0]
        golden["flux"][str(h)] = [[float(f"{v:.4g}") for v in row] for row in ap8]
    text = json.dumps(golden).replace("]], ", "]],\n ").replace("], [", "],\n  [")
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

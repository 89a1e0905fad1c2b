"""Made-up run stores for the viewer's tests: round orbits, a plain shadow, invented loads.

Nothing here is physics to rely on; the names and shapes are those of a real run store.
"""

import json
from pathlib import Path

import numpy as np
import xarray as xr

GM, RADIUS = 3.986004418e14, 6_378_137.0
NODES = ["array", "bus", "battery", "payload_chip", "radiator", "optics"]
STATIONS = [
    {"name": "Miyun", "latitude_deg": 40.45, "longitude_deg": 116.86},
    {"name": "Kashgar", "latitude_deg": 39.50, "longitude_deg": 75.93},
    {"name": "Sanya", "latitude_deg": 18.31, "longitude_deg": 109.31},
]


def train():
    """Twelve satellites along one dawn-dusk-like orbit, six of them close together."""
    phase = np.radians([0, -175, -5, -75, 14, -25, -140, -31, -41, -9, -13, -46])
    return {
        "altitude": np.full(12, 503e3),
        "inclination": np.radians(np.full(12, 97.4)),
        "raan": np.radians(np.full(12, 349.5)),
        "phase": phase,
        "name": [f"SYN-01 {letter}" for letter in "ABCDEFGHJKLM"],
    }


def shells(count=2800):
    """A fleet of three shells, in planes."""
    rows = []
    for share, altitude, inclination, planes in (
        (0.45, 560e3, 97.6, 36),
        (0.35, 700e3, 53.0, 30),
        (0.20, 950e3, 30.0, 20),
    ):
        number = np.arange(round(share * count))
        plane = number % planes
        per_plane = max(1, len(number) // planes)
        phase = 2 * np.pi * (number // planes) / per_plane + 2 * np.pi * plane / len(number)
        spread = 2 * np.pi if inclination < 90 else np.pi
        raan = spread * plane / planes
        level, tilt = np.full(len(number), altitude), np.full(len(number), inclination)
        rows.append((level, tilt, raan, phase))
    altitude, inclination, raan, phase = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    return {
        "altitude": altitude,
        "inclination": np.radians(inclination),
        "raan": raan,
        "phase": phase,
        "name": [f"SYN-{n:04d}" for n in range(len(altitude))],
    }


def round_orbits(fleet, time):
    """Position and velocity, (time, sat, 3)."""
    radius = RADIUS + fleet["altitude"]
    rate = np.sqrt(GM / radius**3)
    angle = fleet["phase"] + rate * time[:, None]
    cos_o, sin_o = np.cos(fleet["raan"]), np.sin(fleet["raan"])
    cos_i, sin_i = np.cos(fleet["inclination"]), np.sin(fleet["inclination"])
    ahead = np.stack([cos_o, sin_o, 0 * cos_o], -1)
    across = np.stack([-sin_o * cos_i, cos_o * cos_i, sin_i], -1)
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    position = radius[:, None] * (cos * ahead + sin * across)
    velocity = (radius * rate)[:, None] * (cos * across - sin * ahead)
    return position, velocity


def sun_and_rotation(start, time):
    """A mean Sun good to a degree or two, and the mean sidereal angle."""
    days = (
        np.datetime64(start.rstrip("Z")) - np.datetime64("2000-01-01T12:00:00")
    ) / np.timedelta64(1, "s") / 86400 + time / 86400
    mean = np.radians(357.529 + 0.98560028 * days)
    longitude = np.radians(280.459 + 0.98564736 * days) + np.radians(1.915) * np.sin(mean)
    tilt = np.radians(23.439)
    direction = np.stack(
        [np.cos(longitude), np.cos(tilt) * np.sin(longitude), np.sin(tilt) * np.sin(longitude)], -1
    )
    rotation = np.radians(280.46061837 + 360.98564736629 * days) % (2 * np.pi)
    return 1.496e11 * direction, rotation


def write_store(
    path,
    position,
    velocity,
    sun,
    rotation,
    names,
    *,
    start,
    step,
    title,
    assumed="",
    stations=STATIONS,
):
    """Invent the loads for given motion and write RUN/run.zarr."""
    count, satellites, _ = position.shape
    time = np.arange(count) * step
    towards = sun / np.linalg.norm(sun, axis=1)[:, None]
    along = np.einsum("tsk,tk->ts", position, towards)
    off = np.sqrt(np.maximum((position**2).sum(-1) - along**2, 0))
    sunlit = np.where((along < 0) & (off < RADIUS), 0.0, 1.0)
    big = np.arange(satellites) % 3 == 0
    capacity = np.where(big, 9.0e6, 7.2e6)
    load = np.where(big, 900.0, 420.0)
    charge = np.empty((count, satellites))
    charge[0] = capacity
    for k in range(1, count):
        flow = np.where(sunlit[k - 1] > 0, 1.1 * load, -load)
        charge[k] = np.clip(charge[k - 1] + flow * step, 0, capacity)
    chip = 300 + 22 * sunlit + 18 * big + 6 * np.cos(np.arange(satellites))
    temperature = chip[..., None] + np.array([30, -8, -4, 0, -25, -20])
    throttle = np.clip(1 - (chip - 330) / 60, 0, 1)
    limit = np.where(charge < 0.72 * capacity, 1, np.where(chip > 342, 2, 0)).astype(np.int8)
    limit[:, :: max(7, satellites // 40)] = 4
    share = charge / capacity
    shed = np.sum([share < np.quantile(share, q) for q in (0.3, 0.2, 0.1)], axis=0, dtype=np.int8)

    def series(values, units, long_name, dims=("time", "sat"), **attrs):
        return (
            dims,
            np.asarray(values, np.float32),
            {"units": units, "long_name": long_name, **attrs},
        )

    data = {
        "position": series(position, "m", "Position", ("time", "sat", "xyz"), frame="TEME"),
        "velocity": series(velocity, "m s-1", "Velocity", ("time", "sat", "xyz"), frame="TEME"),
        "sun_position": series(sun, "m", "Position of the Sun", ("time", "xyz"), frame="TEME"),
        "earth_rotation": (("time",), rotation, {"units": "rad", "long_name": "Earth rotation"}),
        "sunlit": series(sunlit, "1", "Share of the Sun in view"),
        "battery_energy": series(charge, "J", "Battery energy"),
        "payload_power": series(load * throttle, "W", "Payload power"),
        "unserved_power": series(0 * charge, "W", "Unserved power"),
        "temperature": series(temperature, "K", "Temperature", ("time", "sat", "node")),
        "throttle": series(throttle, "1", "Throttle"),
        "tokens_rate": series(load * throttle / 6, "s-1", "Tokens per second"),
        "limit": (
            ("time", "sat"),
            limit,
            {
                "flag_values": [0, 1, 2, 3, 4],
                "flag_meanings": "nothing energy heat work fault",
                "units": "1",
                "long_name": "What binds now",
            },
        ),
        "shed": (("time", "sat"), shed, {"units": "1", "long_name": "Level of load shedding"}),
        "mode": (("time", "sat"), (shed > 2).astype(np.int8), {"units": "1"}),
        "alive": (("time", "sat"), np.ones((count, satellites), np.int8), {"units": "1"}),
        "battery_capacity": (("sat",), capacity, {"units": "J"}),
        "name": (("sat",), np.array(names, dtype=object)),
        "node_name": (("node",), np.array(NODES, dtype=object)),
    }
    attrs = {
        "title": title,
        "scenario": "synthetic",
        "start": start,
        "assumed": assumed,
        "stations": json.dumps(stations),
        "attitudes": ["nadir", "sun"],
    }
    dataset = xr.Dataset(data, coords={"time": ("time", time, {"units": "s"})}, attrs=attrs)
    path = Path(path)
    dataset.to_zarr(path / "run.zarr", consolidated=False)
    return path


def make_run(
    path, fleet, *, start="2035-03-20T12:00:00Z", hours=3.2, step=60.0, title="Synthetic fleet"
):
    """A whole made-up run."""
    time = np.arange(round(hours * 3600 / step) + 1) * step
    position, velocity = round_orbits(fleet, time)
    sun, rotation = sun_and_rotation(start, time)
    return write_store(
        path, position, velocity, sun, rotation, fleet["name"],
        start=start, step=step, title=title, assumed="payload assumed: synthetic loads, no physics",
    )  # fmt: skip

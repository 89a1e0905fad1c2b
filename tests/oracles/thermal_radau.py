"""Lumps of heat by SciPy's Radau: independent right-hand sides, of a scenario and of any network.

Written from the scenario's keys in plain NumPy, without a line of the twin but for the tables of
what surfaces see (`twin.spacecraft.geometry.views`, by `look`), which are an input to both. Orbit
and shadow are those of `orbit_energy`, the Sun is Skyfield's. The array's electricity follows its
temperature moment by moment, the battery's losses warm it at once, the payload draws a constant
power (no throttle). The sky is handed in as smooth functions of time. SciPy 1; 2026-11-23.
"""

import math
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from oracles import orbit_energy as orbits
from oracles.sun_skyfield import geometric_sun
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from twin.clock import ephemeris, timescale
from twin.spacecraft.factors import finer
from twin.spacecraft.geometry import look

SIGMA, SPACE = 5.670374419e-8, 2.7
NODES = (
    "array", "array_back", "bus", "avionics", "battery", "chip",
    "cold_plate", "loop", "radiator", "radiator_back", "blanket", "terminals",
)  # fmt: skip
AT = {name: index for index, name in enumerate(NODES)}
SIX = dict(
    array=0, array_back=0, bus=1, avionics=1, blanket=1, terminals=1, battery=2, chip=3,
    cold_plate=4, loop=4, radiator=5, radiator_back=5,
)  # fmt: skip
FAINT = 0.01  # surfaces that see less of each other than this share of the smaller one: not at all


@dataclass(frozen=True)
class Lumps:
    """A network, with where each of the standard nodes is in it."""

    mass: list
    links: list  # (node, node, W/K)
    pairs: list  # (node, node, m²)
    pipes: list  # (from, to, W/K)
    grey: list  # m², area times emissivity
    massless: tuple
    at: dict


def standard(design, views):
    """The twelve lumps of a class, from its keys and the view factors between its surfaces."""
    b, wings, devices = design.body, design.array_m2.value, design.payload.devices
    panel = b.radiator_m2.value
    mass = {
        "array": b.cell_heat_capacity_j_k_m2.value * wings,
        "array_back": b.array_back_heat_capacity_j_k_m2.value * wings,
        "battery": b.battery_heat_capacity_j_k_wh.value * design.battery_wh.value,
        "chip": b.chip_heat_capacity_j_k.value * devices,
        "radiator": b.radiator_heat_capacity_j_k_m2.value * panel / 2,
        "radiator_back": b.radiator_heat_capacity_j_k_m2.value * panel / 2,
        "blanket": 0.0,
    }
    for name in ("bus", "avionics", "cold_plate", "loop", "terminals"):
        mass[name] = getattr(b, f"{name}_heat_capacity_j_k").value
    links = [
        ("array", "array_back", b.array_through_w_k_m2.value * wings),
        ("array_back", "bus", b.array_bus_w_k.value),
        ("chip", "cold_plate", b.chip_cold_plate_w_k.value * devices),
        ("radiator", "radiator_back", b.radiator_through_w_k_m2.value * panel),
    ]
    for one, two in (
        ("bus", "battery"), ("bus", "cold_plate"), ("bus", "avionics"), ("bus", "radiator"),
        ("bus", "terminals"), ("bus", "blanket"), ("avionics", "radiator"),
        ("cold_plate", "loop"), ("loop", "radiator"),
    ):  # fmt: skip
        links.append((one, two, getattr(b, f"{one}_{two}_w_k").value))
    fluid = b.loop_flow_w_k.value
    ring = ("cold_plate", "loop", "radiator", "cold_plate")
    if fluid:
        links = [link for link in links if "loop" not in link]
    grey = dict.fromkeys(NODES, 0.0)
    pairs = []
    for i, one in enumerate(views.surfaces):
        area, _, emittance = surface(design, one)
        towards_others = 0.0
        for j, two in enumerate(views.surfaces):
            other, _, also = surface(design, two)
            low, high = sorted((i, j))
            drawn = views.area[low] * views.exchange[low, high]
            if drawn < FAINT * min(views.area[i], views.area[j]):
                continue
            facing = drawn * math.sqrt(area / views.area[i] * other / views.area[j])
            towards_others += facing * also
            if i < j:
                pairs.append((one, two, facing * emittance * also))
        grey[one] += emittance * max(area * (1 - views.own[i]) - towards_others, 0.0)
    return Lumps(
        mass=[mass[name] for name in NODES],
        links=[(AT[i], AT[j], g) for i, j, g in links],
        pairs=[(AT[i], AT[j], e) for i, j, e in pairs],
        pipes=[(AT[i], AT[j], fluid) for i, j in zip(ring, ring[1:], strict=False) if fluid],
        grey=[grey[name] for name in NODES],
        massless=(AT["blanket"],),
        at=AT,
    )


def surface(design, name):
    """Area, absorptance and emittance of a standard surface."""
    b = design.body
    area = {
        "array": design.array_m2.value,
        "array_back": design.array_m2.value,
        "radiator": b.radiator_m2.value,
        "radiator_back": b.radiator_m2.value,
        "blanket": 6 * b.box_face_m2.value,
        "terminals": b.terminals_area_m2.value,
    }[name]
    label = {"array": "array_front", "radiator_back": "radiator"}.get(name, name)
    return (
        area,
        getattr(b, f"{label}_absorptance").value,
        getattr(b, f"{label}_emittance").value,
    )


def merged(lumps):
    """The same satellite as six lumps: wings, bus, battery, chips, cold plate, radiator."""
    group = [SIX[name] for name in NODES]

    def joined(joints):
        return [(group[i], group[j], x) for i, j, x in joints if group[i] != group[j]]

    return Lumps(
        mass=list(np.bincount(group, lumps.mass)),
        links=joined(lumps.links),
        pairs=joined(lumps.pairs),
        pipes=joined(lumps.pipes),
        grey=list(np.bincount(group, lumps.grey)),
        massless=(),
        at=SIX,
    )


def layered(lumps, layers):
    """The same with wings and radiator cut into more layers through their thickness.

    The mass of the panels is spread evenly over the layers, the resistance between two faces over
    the gaps between them. The cells stay as they are.
    """
    mass, links, grey = list(lumps.mass), list(lumps.links), list(lumps.grey)
    for front, back in (("array", "array_back"), ("radiator", "radiator_back")):
        i, j = AT[front], AT[back]
        through = next(g for a, b, g in links if (a, b) == (i, j))
        links = [link for link in links if link[:2] != (i, j)]
        spread = mass[j] if front == "array" else mass[i] + mass[j]
        share = spread / (layers + 1)
        mass[j] = share
        mass[i] = mass[i] if front == "array" else share
        between = list(range(len(mass), len(mass) + layers - (front == "radiator")))
        chain = [i, *between, j]
        mass += [share] * len(between)
        grey += [0.0] * len(between)
        links += [
            (a, b, through * (len(chain) - 1)) for a, b in zip(chain, chain[1:], strict=False)
        ]
    return replace(lumps, mass=mass, links=links, grey=grey)


def sky(design, environment, start, place, times, views):
    """Irradiance of the cells (W/m²) and heat into each standard node (W) at `times`: columns.

    The wings follow the Sun, the body faces the Earth (attitude "nadir").
    """
    r, across = orbits._orbit(place, times)
    up = r / np.linalg.norm(r, axis=1, keepdims=True)
    along = np.cross(across, up)
    sun_position = _sun(start, times)
    distance = np.linalg.norm(sun_position, axis=1)
    sun = sun_position / distance[:, None]
    axes = [np.sum(axis * sun, axis=1) for axis in (up, along, across)]
    body = np.stack([axes[0], axes[1], np.abs(axes[2])], axis=1)
    flux = environment.solar_constant_w_m2.value * (orbits.AU / distance) ** 2
    lit = orbits._visible_sun(r, sun_position)
    reflected = environment.albedo.value * flux * np.maximum(axes[0], 0)
    low, high = views.horizons
    near = ((orbits.EARTH / place.radius) ** 2 - low) / (high - low)
    to_sun = look(finer(views.solar), body)
    to_earth = look(finer(views.earth[0] * (1 - near) + views.earth[1] * near), body)
    columns = np.zeros((len(times), 1 + len(NODES)))
    columns[:, 0] = flux * lit * to_sun[views.surfaces.index("array")]
    for k, name in enumerate(views.surfaces):
        area, absorptance, emittance = surface(design, name)
        from_sun = absorptance * flux * lit * to_sun[k]
        earth = absorptance * reflected + emittance * environment.earth_infrared_w_m2.value
        columns[:, 1 + AT[name]] += area * (from_sun + earth * to_earth[k])
    return columns


def _sun(start, times):
    """The Sun by Skyfield (time, 3) in metres: that of `orbit_energy` is 0.2 s of shadow off."""
    knots = np.linspace(0, times[-1], 20)
    dates = [start + timedelta(seconds=float(t)) for t in knots]
    moments = timescale().from_datetimes(dates)
    return CubicSpline(knots, geometric_sun(ephemeris(), moments))(times)


def life(design, lumps, payload_power):
    """Returns f(temperatures and, last, the battery's energy; irradiance and heats): their rates.

    The battery is the circuit that `twin.spacecraft.battery` describes, with its constants.
    """
    rate, _ = network_rate(
        lumps.mass, lumps.links, lumps.pairs, lumps.pipes, lumps.grey, lumps.massless
    )
    at, size = lumps.at, len(lumps.mass)
    age = (1 - design.array_ageing_per_year.value) ** design.array_age_years.value
    cells = design.array_m2.value * design.array_efficiency.value * age
    for share in (design.array_packing, design.array_wiring, design.array_tracker):
        cells *= share.value
    slope = design.array_temperature_coefficient_per_k.value
    survival, comms, isl = (x.value for x in (design.survival_w, design.comms_w, design.isl_w))
    loads = survival + comms + isl + payload_power
    capacity = 3600 * design.battery_wh.value
    fastest = design.battery_c_rate_per_h.value * design.battery_wh.value
    stays = design.battery_coulombic_efficiency.value
    ohmic = design.battery_resistance_share.value * 3600 / capacity
    corners = [
        getattr(design, f"battery_charge_{name}_k").value
        for name in ("cold", "warm", "hot", "stop")
    ]

    def rates(y, now):
        temperature, charge = y[:-1], y[-1] / capacity
        cell = temperature[at["battery"]]
        hot = max(1 + slope * (temperature[at["array"]] - 301.15), 0.0)
        willing = np.interp(cell, corners, [0.0, 1.0, 1.0, 0.0])
        power = min(cells * now[0] * hot, loads + fastest * willing)
        voltage = 0.9258 + 0.2047 * charge - 0.00536 / (charge + 0.02067)
        r = ohmic * math.exp(2150.0 * (1 / cell - 1 / 298.15)) / voltage**2
        # P = p + r p² at the terminals, charging and (with p negative) discharging.
        p = (math.sqrt(1 + 4 * r * (power - loads)) - 1) / (2 * r)
        lost = r * p * p + (1 - stays) * max(p, 0.0)
        heat = np.zeros(size)
        for k, name in enumerate(NODES):
            heat[at[name]] += now[1 + k]
        for name, watts in (
            ("array", -power), ("avionics", survival + comms), ("terminals", isl),
            ("battery", lost), ("chip", payload_power),
        ):  # fmt: skip
            heat[at[name]] += watts
        return np.append(rate(temperature, heat), stays * p if p > 0 else p)

    return rates


def solve(rates, sky, begin, times, max_step=20.0):
    """Temperatures and energy at `times` (row, time), from `begin` at the first of them."""
    solution = solve_ivp(
        lambda t, y: rates(y, sky(t)),
        (times[0], times[-1]),
        begin,
        method="Radau",
        t_eval=times,
        rtol=1e-10,
        atol=1e-7,
        max_step=max_step,
    )
    assert solution.success, solution.message
    return solution.y


def network_rate(mass, links, pairs, pipes, grey, massless=()):
    """Returns f(temperature, heat) in K/s of any network, and the same with nodes without mass.

    `links`, `pairs` and `pipes` are lists of (node, node, W/K or m²); `grey` is area times
    emissivity of each node; `heat` are the watts into each. Dense matrices, and the quartic of a
    node without mass by Newton's method from above: written apart from the twin.
    """
    size = len(mass)
    linear, fourth = np.zeros((size, size)), np.diag(np.asarray(grey, float))
    for i, j, g in links:
        linear[[i, j, i, j], [i, j, j, i]] += [g, g, -g, -g]
    for i, j, e in pairs:
        fourth[[i, j, i, j], [i, j, j, i]] += [e, e, -e, -e]
    for up, down, f in pipes:
        linear[[down, down], [down, up]] += [f, -f]
    space = SIGMA * np.asarray(grey) * SPACE**4

    def settled(temperature, heat):
        whole = np.array(temperature, float)
        for n in massless:
            whole[n] = 0.0
            known = heat[n] + space[n] - linear[n] @ whole - SIGMA * (fourth[n] @ whole**4)
            a, b = SIGMA * fourth[n, n], linear[n, n]
            x = min((known / a) ** 0.25 if a else np.inf, known / b if b else np.inf)
            for _ in range(30):
                x -= (a * x**4 + b * x - known) / (4 * a * x**3 + b)
            whole[n] = x
        return whole

    def rate(temperature, heat):
        whole = settled(temperature, heat)
        net = heat + space - linear @ whole - SIGMA * (fourth @ whole**4)
        return np.array([0.0 if n in massless else net[n] / mass[n] for n in range(size)])

    return rate, settled


def march(rate, heats, temperature, step):
    """Temperatures (time, node) at the ends of steps of constant heat; equal heats run as one."""
    seen, k = [], 0
    while k < len(heats):
        n = next((m for m in range(k + 1, len(heats)) if (heats[m] != heats[k]).any()), len(heats))
        times = np.arange(0, n - k + 1) * step
        part = solve_ivp(
            lambda _, y, heat=heats[k]: rate(y, heat),
            (0.0, times[-1]),
            temperature,
            method="Radau",
            t_eval=times[1:],
            rtol=1e-10,
            atol=1e-7,
        )
        assert part.success, part.message
        temperature = part.y[:, -1]
        seen.append(part.y.T)
        k = n
    return np.concatenate(seen)

"""What the sky sends, against an orbit integral that shares no line with the twin.

Faces that nothing shades are compared with closed forms; the standard craft, which shades itself,
with rays traced anew in the directions of the orbit.
"""

from datetime import UTC, datetime

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.orbit_energy import EARTH, heats, period, sky, unshaded, walker_place
from oracles.traced_earth import earth_by_rays

from twin.build import build
from twin.constellation import STANDARD
from twin.crafts import horizons, square
from twin.drawings import craft_of
from twin.fleet import fleet
from twin.forcing import forcing, segments
from twin.load import parse
from twin.spacecraft.attitude import GRID, grid_directions
from twin.spacecraft.facets import Model
from twin.spacecraft.factors import by_surface, solar_cosines
from twin.spacecraft.geometry import cached_views
from twin.spacecraft.octahedron import Unblocked, earth_table
from twin.spacecraft.rays import Tracer

START = datetime(2025, 3, 20, 12, tzinfo=UTC)
STEP = 10.0
STEPS = 588  # an orbit at 650 km
FAR = """
[class.{name}]
attitude = "{attitude}"
array_m2 = 2.0
body = {{ radiator_m2 = 1.0 }}
{more}
# So far from each other, and off the directions of any table, that nothing hides anything.
[class.{name}.part]
box = {{ node = "blanket", size_m = [1.0, 0.8, 0.9] }}
wing = {{ node = "array", axes = 1, size_m = [1, 2], normal = "up", centre_m = [40, 52, -72] }}
panel = {{ node = "radiator", size_m = [1, 1], normal = "cold", centre_m = [72, -46, -6] }}
can = {{ node = "terminals", size_m = [0.2, 0.3, 0.4], centre_m = [-64, -28, -53] }}
[[shell]]
class = "{name}"
satellites = 2
planes = 2
altitude_km = 600
inclination_deg = 97.8
raan_deg = {raan}
"""
NEAR = """
[run]
start = 2025-03-20T12:00:00Z
duration_h = 24
[environment]
shadow = "sphere"
[class.small]
[class.large]
array_m2 = 110
array_axes = 2
[class.large.body]
radiator_m2 = 60
radiator_sides = 2
radiator_faces = "wake"
box_face_m2 = 6
[[shell]]
class = "small"
satellites = 3
planes = 3
altitude_km = 550
inclination_deg = 53
raan_deg = 20
[[shell]]
class = "large"
satellites = 3
planes = 3
altitude_km = 650
inclination_deg = 97.99
raan_deg = 70
"""
ATTITUDES = {"far": "nadir", "edge": "edge", "sun": "sun", "still": "inertial"}
TEXT = NEAR + "".join(
    FAR.format(name=name, attitude=kind, raan=30 + 25 * k, more="")
    for k, (name, kind) in enumerate(ATTITUDES.items())
)
SURFACES = ("array", "array_back", "blanket", "radiator", "radiator_back", "terminals")
UNITS = dict(zip("xyz", np.eye(3), strict=True))


def boxed(x, y, z):
    """The six faces of a box, with their shares of its area."""
    size = {"x": y * z, "y": x * z, "z": x * y}
    total = 2 * sum(size.values())
    both = [(size[k] / total, v) for k, v in UNITS.items()]
    return both + [(share, -normal) for share, normal in both]


@pytest.fixture(scope="module")
def scenario():
    return parse(TEXT)


@pytest.fixture(scope="module")
def built(scenario):
    return build(scenario, fleet(scenario))[0]


@pytest.fixture(scope="module")
def program():
    """588 steps, six of them a segment, of any fleet like this one; the sky is (time, sat)."""
    count = jnp.arange(STEPS + 1.0)
    run = jax.jit(lambda fleet, dt: forcing(fleet, count * dt, segments(STEPS, STEP)))
    return lambda fleet, dt=STEP: run(fleet, jnp.asarray(dt))


@pytest.fixture(scope="module")
def seen(built, program):
    return program(built).sky


@pytest.fixture(scope="module")
def worst(built, seen, members, integrals):
    found = differences(built, seen, members, integrals)
    print({name: {k: f"{x:.0e}" for k, x in parts.items()} for name, parts in found.items()})
    return found


@pytest.fixture(scope="module")
def members(scenario):
    """Satellite, its class, its attitude and its orbit."""
    found, first = [], 0
    for shell in scenario.shell:
        design = scenario.class_[shell.class_]
        for k in range(shell.satellites):
            found.append((first + k, shell.class_, design, walker_place(shell, k)))
        first += shell.satellites
    return found


@pytest.fixture(scope="module")
def integrals(scenario, members):
    """Joules (or seconds) over one orbit by the oracle: satellite → part → sum."""
    found = {}
    for index, name, design, place in members:
        near = name in ("small", "large")
        if near and index % 3 == 1:
            continue  # two of three: rays are dear
        many = round(whole(place) / (8.0 if near else 1.0))
        seconds = (np.arange(many) + 0.5) / many * whole(place)
        stand = sky(design.attitude, scenario.environment, START, place, seconds)
        if near:
            sees, area = traced(design, place)
        else:
            sees, area = far_craft(design, place)
        parts = heats(design, scenario.environment, stand, sees, area)
        parts["sunlit"] = stand.lit
        each = whole(place) / len(seconds)
        found[index] = {part: values.sum() * each for part, values in parts.items()}
    return found


def far_craft(design, place):
    """What the faces of the far-flung craft see, by closed forms, and their areas."""
    turning = design.attitude == "nadir"
    faces = {
        "array": [(1.0, "one" if turning else (1, 0, 0))],
        "array_back": [(1.0, "-one" if turning else (-1, 0, 0))],
        "blanket": boxed(1.0, 0.8, 0.9),
        "radiator": [(1.0, (0, 0, -1))],
        "radiator_back": [(1.0, (0, 0, 1))],
        "terminals": boxed(0.2, 0.3, 0.4),
    }
    area = dict(zip(SURFACES, (2.0, 2.0, 4.84, 1.0, 1.0, 0.52), strict=True))
    return unshaded(faces, place.radius), area


def traced(design, place):
    """What the standard craft sees, by rays traced anew for the Sun and for the Earth."""
    craft, nodes, _ = craft_of(design, "class")
    model = Model(craft)
    size = (EARTH / place.radius) ** 2
    wing = ("one", "two")[design.array_axes - 1]
    panel = -UNITS["z"] if design.body.radiator_faces == "cold" else -UNITS["y"]
    bare = unshaded(
        {
            "array": [(1.0, wing)],
            "array_back": [(1.0, f"-{wing}")],
            "blanket": boxed(1.0, 1.0, 1.0),
            "radiator": [(1.0, panel)],
            "radiator_back": [(1.0, -panel)],
            "terminals": prism(12, 0.1, 0.2),
        },
        place.radius,
    )

    def sees(stand):
        latitude, longitude = np.arcsin(stand.sun[:, 2]), np.arctan2(*stand.sun[:, 1::-1].T)
        _, lit = solar_cosines(
            Tracer(model, 4096),
            lambda part: model.turned(latitude[part], longitude[part]),
            stand.sun,
        )
        earth = bare(stand)[1]
        whole = np.stack([earth[surface] for surface in model.surfaces])
        pairs = by_surface(model, lit.T), earth_by_rays(model, size, latitude, longitude, whole)
        return tuple(dict(zip(model.surfaces, rows, strict=True)) for rows in pairs)

    body, wings = design.body, design.array_m2.value
    sizes = wings, wings, 6 * body.box_face_m2.value, body.radiator_m2.value
    sizes += body.radiator_m2.value, body.terminals_area_m2.value
    area = dict(zip(SURFACES, sizes, strict=True))
    return sees, {surface: area[surface] for surface in nodes}


def prism(sides, radius, height):
    """The faces of a prism along y that has the side area of a cylinder, with their shares."""
    across = radius * np.pi / sides / np.sin(np.pi / sides)
    end = 0.5 * sides * across**2 * np.sin(2 * np.pi / sides)
    total = 2 * np.pi * radius * height + 2 * end
    turn = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    round_ = [(np.cos(t), 0.0, np.sin(t)) for t in turn]
    share = (1 - 2 * end / total) / sides
    return [(share, n) for n in round_] + [(end / total, (0, sign, 0)) for sign in (1, -1)]


def whole(place):
    """An orbit in whole steps, so that both integrals end at the same moment."""
    return STEP * round(period(place) / STEP)


def differences(constellation, seen, members, integrals, step=STEP):
    """Relative difference of each part of each satellite: class → part → worst."""
    worst = {}
    kinds = constellation.satellites.attitude.kinds
    for index, name, design, place in members:
        if index not in integrals:
            continue
        light = seen.light[kinds.index(design.attitude)]
        count = round(whole(place) / step)
        lit = seen.sun.mean
        flows = {"irradiance": lit * light.clear, "behind": light.back, "sunlit": lit}
        names = (STANDARD[node] for node in constellation.satellites.skin.nodes)
        flows |= dict(zip(names, light.heat, strict=True))
        for part, expected in integrals[index].items():
            total = float(np.asarray(flows[part])[:count, index].sum()) * step
            scale = expected if expected > 0 else 1.0
            mine = worst.setdefault(name, {})
            mine[part] = max(mine.get(part, 0.0), abs(total - expected) / scale)
    return worst


@pytest.mark.parametrize("name", ATTITUDES)
def test_what_nothing_shades_agrees_within_a_thousandth(worst, name):
    """Energy, albedo behind the cells and heat by surface, in four attitudes.

    The radiators of a body held still are edge-on to the Sun all day: there the table, whose folds
    cut cells in two, is off by up to a hundredth of a cosine, 0.2 % of what those faces receive.
    """
    parts = dict(worst[name])
    if name == "still":
        assert max(parts.pop("radiator"), parts.pop("radiator_back")) < 3e-3
    parts.pop("sunlit")
    assert max(parts.values()) < 1e-3, parts


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_craft_that_shades_itself_agrees_within_the_noise_of_its_rays(worst, name):
    """Sunlight to 0.05 %, heat to 0.15 %: 768 points a surface, directions 5 degrees apart."""
    parts = dict(worst[name])
    parts.pop("sunlit")
    assert max(parts["irradiance"], parts["array"]) < 5e-4, parts
    assert max(parts.values()) < 1.5e-3, parts


def test_time_in_sunlight_agrees(worst, integrals, members):
    assert all(parts["sunlit"] < 2e-4 for parts in worst.values()), "half a second of shadow"
    share = [integrals[k]["sunlit"] / whole(place) for k, _, _, place in members if k in integrals]
    assert min(share) < 0.65 and max(share) == pytest.approx(1.0), "deep shadow, and none at all"


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        ("no albedo", {"behind", *SURFACES}),
        ("radiator turned round", {"radiator", "radiator_back"}),
        ("emittance of the radiator doubled", {"radiator"}),
        ("emittance of the wings' back doubled", {"array_back"}),
        ("emittance of the insulation doubled", {"blanket"}),
        ("wings on two axes", {"irradiance", "array"}),
        ("the Earth as from 700 km", {"behind", *SURFACES}),
    ],
)  # fmt: skip
def test_a_wrong_sky_is_told_from_a_right_one(
    built, scenario, program, members, integrals, fault, parts
):
    """Books close for a wrong albedo too: here it must show, and only where it belongs."""
    constellation = planted(built, scenario, fault)
    found = differences(constellation, program(constellation).sky, members, integrals)["far"]
    assert {part for part, x in found.items() if x > 1e-3} == parts, found


def test_shadows_that_parts_throw_are_needed(built, scenario, program, members, integrals):
    """Without them both standard crafts are plainly wrong, the box by more than 5 %."""
    solar = np.array(built.views.solar)
    for shape, name in enumerate(("small", "large")):
        craft, _, _ = craft_of(scenario.class_[name], name)
        bare = Unblocked(craft, tracking=True).sun(grid_directions())
        for surface, row in zip(craft.surfaces, bare, strict=True):
            solar[rows(built, shape, "nadir", surface)] = row
    wrong = eqx.tree_at(lambda c: c.views.solar, built, jnp.asarray(solar))
    found = differences(wrong, program(wrong).sky, members, integrals)
    assert found["small"]["blanket"] > 0.05 and found["large"]["blanket"] > 0.05
    assert found["large"]["irradiance"] > 2e-3


def rows(constellation, shape, kind, surface):
    """Where a surface's row lies in the tables."""
    names = [STANDARD[node] for node in constellation.satellites.skin.nodes]
    kinds = constellation.satellites.attitude.kinds
    row = (shape * len(kinds) + kinds.index(kind)) * len(names) + names.index(surface)
    return slice(row * GRID * GRID, (row + 1) * GRID * GRID)


def planted(built, scenario, fault):
    """The fleet with one fault in what makes its sky."""
    sat = built.satellites
    names = [STANDARD[node] for node in sat.skin.nodes]

    def glowing(surface):
        twice = sat.skin.emittance.at[names.index(surface)].multiply(2.0)
        return eqx.tree_at(lambda c: c.satellites.skin.emittance, built, twice)

    def table(which, new):
        """New rows for the unshaded craft in nadir attitude, by surface."""
        values = np.array(getattr(built.views, which))
        for surface, row in new.items():
            values[rows(built, 2, "nadir", surface)] = row
        return eqx.tree_at(lambda c: getattr(c.views, which), built, jnp.asarray(values))

    if fault == "no albedo":
        return eqx.tree_at(lambda c: c.satellites.surroundings.albedo, built, 0 * sat.skin.area[0])
    glow = {"radiator": "radiator", "wings' back": "array_back", "insulation": "blanket"}
    if fault.startswith("emittance"):
        return glowing(glow[fault.removeprefix("emittance of the ").removesuffix(" doubled")])
    if fault == "wings on two axes":
        return table("solar", {"array": 1.0})
    if fault == "radiator turned round":
        solar = built.views.solar
        one, other = (rows(built, 2, "nadir", s) for s in ("radiator", "radiator_back"))
        return table("solar", {"radiator": solar[other], "radiator_back": solar[one]})
    craft, _, _ = craft_of(scenario.class_["far"], "far")
    tables = cached_views(craft, tracking=True, horizons=horizons(fleet(scenario)))
    higher = earth_table(Unblocked(craft, tracking=True), tables, square(700e3))
    return table("earth", dict(zip(tables.surfaces, higher, strict=True)))


def test_segments_are_whole_steps_of_a_minute_at_most():
    assert segments(6, 10.0) == 1 and segments(60, 10.0) == 10 and segments(588, 10.0) == 98
    assert segments(10, 60.0) == 10 and segments(7, 10.0) == 7
    assert segments(1, 600.0) == 1 and segments(6, 600.0) == 6, "a long step is one segment"


def test_long_steps_cost_little(built, program, scenario, members):
    """Segments of ten minutes, one step each at 600 s: 1 % of the heat, 0.1 % of the energy."""
    index, _, design, place = members[6]
    seconds = np.arange(5800) + 0.5
    stand = sky("nadir", scenario.environment, START, place, seconds)
    sees, area = far_craft(design, place)
    expected = heats(design, scenario.environment, stand, sees, area)
    found = program(built, 100.0).sky
    light = found.light[0]
    names = [STANDARD[node] for node in built.satellites.skin.nodes]
    flows = {"irradiance": found.sun.mean * light.clear} | dict(zip(names, light.heat, strict=True))
    error = {
        name: float(np.asarray(flow)[:58, index].sum() * 100.0 / expected[name].sum()) - 1
        for name, flow in flows.items()
    }
    assert abs(error["irradiance"]) < 2e-3
    assert max(map(abs, error.values())) < 2e-2
    assert max(map(abs, error.values())) > 1e-3, "that is why segments are shorter"


def test_a_satellite_that_has_decayed_is_nowhere(built, program, seen):
    """Its numbers stand for nothing, but they are numbers; the others do not change."""
    gone = jnp.arange(built.satellites.number.size) == 7
    orbit = jax.tree.map(
        lambda x: jnp.where(gone, jnp.nan, x) if x.dtype == jnp.float64 else x,
        built.satellites.orbit,
    )
    found = program(eqx.tree_at(lambda c: c.satellites.orbit, built, orbit))
    assert (np.asarray(found.up) == ~np.asarray(gone)).all()
    assert np.asarray(program(built).up).all()
    for new, old in zip(jax.tree.leaves(found.sky), jax.tree.leaves(seen), strict=True):
        assert np.isfinite(np.asarray(new)).all()
        np.testing.assert_array_equal(new[:, ~np.asarray(gone)], old[:, ~np.asarray(gone)])

"""Heat networks that several tests share: a satellite of twelve nodes, and random designs."""

import jax.numpy as jnp
import numpy as np

from twin.spacecraft.thermal import Network

NAMES = (
    "array", "array_back", "bus", "avionics", "battery", "chip", "cold_plate", "loop", "radiator",
    "radiator_back", "blanket", "terminals",
)  # fmt: skip
PLACE = {name: n for n, name in enumerate(NAMES)}
CHIP, BLANKET = PLACE["chip"], PLACE["blanket"]
MASS = np.array([1700.0, 4000, 54e3, 5e3, 4e3, 200, 1800, 500, 4300, 4300, 0, 6e3])  # J/K
GREY = np.array([1.7, 1.7, 0.05, 0, 0, 0, 0, 0, 0.8, 0.8, 2.25, 0.05])  # m²
LINKS = [
    ("array", "array_back", 60.0), ("array_back", "bus", 0.3), ("bus", "avionics", 8.0),
    ("bus", "battery", 2.0), ("avionics", "radiator", 8.0), ("chip", "cold_plate", 15.0),
    ("cold_plate", "loop", 40.0), ("loop", "radiator", 40.0), ("bus", "blanket", 1.0),
    ("radiator", "radiator_back", 200.0), ("bus", "terminals", 1.0),
]  # fmt: skip  # W/K
PAIRS = [("array_back", "radiator", 0.02), ("array_back", "blanket", 0.1)]  # m²
PUMPED = [
    ("cold_plate", "loop", 90.0),
    ("loop", "radiator", 90.0),
    ("radiator", "cold_plate", 90.0),
]
DARK = np.array([200.0, 160, 20, 60, 5, 0, 0, 0, 60, 60, 250, 12])  # W, in shadow
LIT = np.array([1600.0, 90, 10, 0, -4, 0, 0, 0, 70, 20, 900, 3])  # W, and as much more in sunlight
PAYLOAD = 180.0  # W


def placed(joints):
    return [(PLACE[a], PLACE[b], number) for a, b, number in joints]


def satellite(pipes=(), **changed):
    """The twelve nodes, one satellite; fields given by keyword replace the standard ones."""
    links, pairs, pipes = placed(LINKS), placed(PAIRS), placed(pipes)
    given = {
        "heat_capacity": jnp.asarray(MASS),
        "conductance": numbers(links),
        "exchange": numbers(pairs),
        "flow": numbers(pipes),
        "emitting_area": jnp.asarray(GREY),
        "links": ends(links),
        "pairs": ends(pairs),
        "pipes": ends(pipes),
        "chip": CHIP,
        "names": NAMES,
        "arithmetic": (BLANKET,),
    }
    return Network(**given | changed)


def simple(mass, conductance, area, links, chip=0, **more):
    """A network of links alone, of one satellite or many."""
    none = jnp.zeros((0, *np.shape(mass)[1:]))
    given = {"exchange": none, "flow": none, "pairs": (), "pipes": ()}
    return Network(
        heat_capacity=jnp.asarray(mass),
        conductance=jnp.asarray(conductance),
        emitting_area=jnp.asarray(area),
        links=links,
        chip=chip,
        **given | more,
    )


def numbers(joints):
    return jnp.asarray(np.array([number for _, _, number in joints], float))


def ends(joints):
    return tuple((i, j) for i, j, _ in joints)


def constant(power):
    """A payload that draws the same whatever the temperature."""
    return lambda t: (power + jnp.zeros_like(t), jnp.zeros_like(t))


def random_design(seed, lanes, harsh=False, nodes=None):
    """A tree of 8 to 20 nodes with pairs, a circuit and two arithmetic nodes; power, start, step.

    Harsh designs spread over many powers of ten, and their step is an hour.
    """
    rng = np.random.default_rng(seed)
    nodes = nodes or int(rng.integers(8, 21))

    def spread(gentle, wild, count):
        low, high = np.log10(wild if harsh else gentle)
        return jnp.asarray(10 ** rng.uniform(low, high, (count, lanes)))

    massless = tuple(int(n) for n in rng.choice(np.arange(1, nodes), 2, replace=False))
    massive = [n for n in range(nodes) if n not in massless]

    def allowed(i, j):
        return i != j and not {i, j} <= set(massless)

    links = tuple(
        (int(rng.choice([m for m in range(n) if allowed(m, n)])), n) for n in range(1, nodes)
    )
    drawn = rng.integers(0, nodes, (40, 2)).tolist()
    pairs = tuple((i, j) for i, j in drawn if allowed(i, j))[:4]
    a, b, c = (int(n) for n in rng.permutation(massive)[:3])
    area = spread((1e-2, 10), (1e-4, 1e3), nodes)
    area = jnp.where(jnp.asarray(rng.random((nodes, lanes)) > 0.5), area, 0.0).at[-1].set(1.0)
    network = Network(
        heat_capacity=spread((200, 1e5), (1e-3, 1e7), nodes),
        conductance=spread((0.1, 100), (1e-2, 1e3), len(links)),
        exchange=spread((1e-3, 1), (1e-4, 10), len(pairs)),
        flow=spread((0.1, 100), (0.1, 1e3), 1) * jnp.ones((3, 1)),
        emitting_area=area,
        links=links,
        pairs=pairs,
        pipes=((a, b), (b, c), (c, a)),
        chip=0 if 0 in massive else massive[0],
        arithmetic=massless,
        guarded=harsh,
    )
    power = spread((1, 300), (1e-3, 1e4), nodes)
    power = jnp.where(jnp.asarray(rng.random((nodes, lanes)) > 0.3), power, 0.0)
    start = spread((250, 350), (2.7, 900), nodes)
    dt = jnp.asarray(3600.0 if harsh else 10.0)
    return network, power, start, dt

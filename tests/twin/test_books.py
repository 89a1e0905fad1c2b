"""The books are closed as they are, and open as soon as any one flow is booked a little wrong."""

from dataclasses import fields, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin import simulate, step
from twin.arrays import in_rows
from twin.books import TOLERANCE
from twin.build import build
from twin.constellation import ARRAY, ARRAY_BACK, BATTERY, CHIP, COLD_PLATE, Light, Sky
from twin.fleet import fleet
from twin.spacecraft.array import Sunshine
from twin.spacecraft.battery import Battery
from twin.spacecraft.bus import BusFlows
from twin.spacecraft.payload import TokenFlows
from twin.spacecraft.thermal import HeatFlows, Network

WRONG = 1e-4
FAINT = {"exchanged array_back radiator_back": 1e-3}  # below a hundredth of either node's account
LANES = 24
CHARGES = (1.0, 0.2, 0.73, 0.45, 0.9, 0.34)  # full, empty, rationed, no terminals, plenty, safe
JOINTS = {"conducted": "links", "exchanged": "pairs", "carried": "pipes"}
HEATED = ("array", "bus", "avionics", "battery", "terminals")  # by electricity; array: less of it
COUNT = {"bus": len(fields(BusFlows)), "tokens": len(fields(TokenFlows))}


@pytest.fixture(scope="module")
def pumped(shell_scenario):
    """As the small shell, but the large ones pump a fluid and radiate from both faces."""
    large = shell_scenario.class_["large"]
    set_ = {"loop_flow_w_k": {"value": 4000.0}, "radiator_sides": 2}
    body = type(large.body).model_validate(large.body.model_dump() | set_)
    classes = shell_scenario.class_ | {"large": large.model_copy(update={"body": body})}
    scenario = shell_scenario.model_copy(update={"class_": classes})
    return build(scenario, fleet(scenario))


@pytest.fixture(scope="module")
def crafted(pumped):
    """24 moments: all levels of charge, day and night, chips cold, throttling, tripped and down."""
    constellation, state = pumped
    satellites = constellation.satellites
    lane, rng = np.arange(LANES), np.random.default_rng(5)
    temperature = rng.uniform(260, 340, (12, LANES))
    temperature[[ARRAY, ARRAY_BACK]] = rng.uniform(190, 350, (2, LANES))
    temperature[BATTERY] = rng.uniform(285, 315, LANES)
    hot = lane % 3 == 0  # a chip that will throttle further within the step
    start = np.asarray(satellites.payload.throttle_start)
    temperature[CHIP] = np.where(hot, start - 1, temperature[CHIP])
    temperature[COLD_PLATE] = np.where(hot, 385.0, temperature[COLD_PLATE])
    day = jnp.asarray(lane % 8 < 5, float)
    capacity = satellites.battery.capacity
    state = replace(
        state,
        battery_energy=jnp.asarray(np.choose(lane % 6, CHARGES)) * capacity,
        temperature=jnp.asarray(temperature),
        battery_loss=jnp.full(LANES, 20.0),
        shunted=jnp.full(LANES, 30.0),
        tripped=jnp.asarray(lane % 12 == 4) & jnp.asarray(~hot),
        down=jnp.where(jnp.asarray(lane % 7 == 1), 4.0, 0.0),
        shed=jnp.asarray(np.choose(lane % 6, (0, 3, 0, 2, 0, 3)), state.shed.dtype),
    )
    heat = tuple(60.0 + k + area * 300.0 * day for k, area in enumerate(satellites.skin.area))
    light = Light(clear=1361.0 * day, back=20.0 * day, heat=heat)
    sky = Sky(Sunshine(day, day, day, 1e6 * day), (light,), jnp.zeros(LANES))
    return constellation, state, sky


@pytest.fixture(scope="module")
def names(pumped):
    """Every single flow: all of the bus, of the heat network by node and joint, of the tokens."""
    body = pumped[0].satellites.body
    found = [f"bus {f.name}" for f in fields(BusFlows)]
    found += [f"tokens {f.name}" for f in fields(TokenFlows)]
    for flow in ("absorbed", "generated", "emitted"):
        found += [f"{flow} {node}" for node in body.names]
    for flow, kind in JOINTS.items():
        joints = getattr(body, kind)
        found += [f"{flow} {body.names[i]} {body.names[j]}" for i, j in joints]
    return [*found, "payload"]


@pytest.fixture(scope="module")
def silent(pumped):
    """Where nothing flows in any satellite: no surface, no source, no view of space."""
    satellites = pumped[0].satellites
    lit = {satellites.body.names[n] for n in satellites.skin.nodes}
    open_ = {
        name
        for name, area in zip(satellites.body.names, satellites.body.emitting_area, strict=True)
        if float(area.max()) > 0
    }
    every = set(satellites.body.names)
    return {
        *(f"absorbed {name}" for name in every - lit),
        *(f"generated {name}" for name in every - set(HEATED)),
        *(f"emitted {name}" for name in every - open_),
    }


def live_once(constellation, state, sky):
    """One step, blocks row by row as the rollout hands them over."""
    fleet = replace(constellation, satellites=in_rows(constellation.satellites))
    return step.step(fleet, in_rows(state), sky, jnp.ones(LANES), jnp.asarray(10.0))


@pytest.fixture(scope="module")
def residuals(crafted, names):
    """Residuals (wrong flow, book, satellite) of a step from crafted moments, the first unhurt."""
    after, settle, tokens = Network.after, step.settle, step.tokens

    def audit(factor):
        def share(label):
            return factor[names.index(label)]

        def scaled(kind, flows):
            own = {
                f.name: share(f"{kind} {f.name}") * getattr(flows, f.name) for f in fields(flows)
            }
            return type(flows)(**own)

        def hurt_heat(flows):
            own = {}
            for f in fields(HeatFlows):
                flow = getattr(flows, f.name)
                if f.name == "payload":
                    own[f.name] = flow * share("payload")
                    continue
                first = next(i for i, n in enumerate(names) if n.startswith(f"{f.name} "))
                rows = [factor[first + k] * row for k, row in enumerate(flow)]
                own[f.name] = tuple(rows) if isinstance(flow, tuple) else jnp.stack(rows)
            return HeatFlows(**own)

        def hurt_after(self, *given, **more):
            temperature, heat, stages = after(self, *given, **more)
            return temperature, hurt_heat(heat), stages

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, "settle", lambda *x: scaled("bus", settle(*x)))
            patch.setattr(step, "tokens", lambda *x: scaled("tokens", tokens(*x)))
            patch.setattr(Network, "after", hurt_after)
            books = live_once(*crafted)[1].residuals
        return jnp.stack([books.energy, books.heat, books.tokens])

    wrong = jnp.diag(jnp.array([FAINT.get(name, WRONG) for name in names]))
    factors = 1 + jnp.concatenate([jnp.zeros((1, len(names))), wrong])
    return np.asarray(jax.jit(jax.vmap(audit))(factors))


def test_crafted_moments_use_every_flow(crafted):
    """Or a wrong flow could hide where nothing flows."""
    _, lived = jax.jit(live_once)(*crafted)
    for kind in (lived.bus, lived.tokens):
        for f in fields(kind):
            assert (np.asarray(getattr(kind, f.name)) > 0.1).any(), f.name
    body = crafted[0].satellites.body
    assert body.arithmetic and body.pairs and body.pipes, "no mass, radiation, and a fluid"


def test_unhurt_books_are_closed(residuals):
    print(f"closed within {residuals[0].max():.1e}")
    assert residuals[0].max() < 1e-9


def test_any_single_wrong_flow_opens_its_book(residuals, names, silent):
    """One part in ten thousand of one flow of one node, joint or consumer."""
    assert COUNT == {"bus": 15, "tokens": 5} and silent < set(names)
    unseen = []
    for name, hurt in zip(names, residuals[1:], strict=True):
        worst = hurt.max(axis=1)
        if name in silent:
            assert worst.max() < 1e-9, f"{name}: nothing flows there"
            continue
        book = {"bus": 0, "tokens": 2}.get(name.split()[0], 1)
        if not worst[book] > TOLERANCE:
            unseen.append(f"{name} ({worst[book]:.1e})")
    assert not unseen, "wrong and not seen"


def test_run_with_open_books_fails(crafted, engine, small_shell, monkeypatch):
    """A kernel that forgets a loss ends the run, by name and number."""
    honest = Battery.loss
    monkeypatch.setattr(Battery, "loss", lambda *x: 0.999 * honest(*x))
    _, lived = jax.jit(lambda *x: live_once(*x))(*crafted)
    opened = lived.residuals.energy
    after = eqx.tree_at(lambda s: s.ledger.energy_residual, small_shell[1], opened)

    with pytest.raises(simulate.SimulationError, match="energy book is open by"):
        simulate.check(after, engine, 10.0)

"""The books are closed as they are, and open as soon as any one flow is booked a little wrong."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin import simulate, step, tally
from twin.books import TOLERANCE
from twin.constellation import ARRAY, BUS, LINKS, NODES, RADIATOR, Sky
from twin.spacecraft.payload import TokenFlows
from twin.spacecraft.power import Battery, BusFlows
from twin.spacecraft.thermal import Network

WRONG = 1e-4
SILENT = {  # nothing flows there in any satellite: no face, no source
    *(f"absorbed {NODES[n]}" for n in range(6) if n not in (ARRAY, BUS, RADIATOR)),
    *(f"generated {node}" for node in ("chip", "cold_plate", "radiator")),
    *(f"emitted {node}" for node in ("battery", "chip", "cold_plate")),
}


def entries():
    """Every single flow by name: all of the bus, of the heat network and of the tokens."""
    names = [f"bus {f.name}" for f in fields(BusFlows)]
    names += [f"tokens {f.name}" for f in fields(TokenFlows)]
    for flow in ("absorbed", "generated", "emitted"):
        names += [f"{flow} {node}" for node in NODES]
    return [*names, "payload", *(f"conducted {link}" for link in LINKS)]


def crafted(small_shell):
    """24 moments: full, empty and rationed batteries, day and night, cold and throttling chips."""
    constellation, state = small_shell
    battery = constellation.satellites.battery
    lane = np.arange(24)
    rng = np.random.default_rng(5)
    charge = np.choose(lane % 4, [1.0, 0.2, 0.73, 0.9])
    temperature = rng.uniform(260, 340, (6, 24))
    hot = lane % 3 == 0  # a chip that will throttle further within the step
    temperature[3] = np.where(hot, 357.0, temperature[3])
    temperature[4] = np.where(hot, 375.0, temperature[4])
    day = jnp.asarray(lane % 6 < 4, float)
    area = constellation.satellites.panels.area
    state = replace(
        state,
        battery_energy=jnp.asarray(charge) * battery.capacity,
        temperature=jnp.asarray(temperature),
        battery_loss=jnp.full(24, 20.0),
        shunted=jnp.full(24, 30.0),
    )
    sky = Sky(
        sunlit=day,
        irradiance=1361.0 * day,
        heat_array=area * (100.0 + 1200.0 * day),
        heat_bus=jnp.full(24, 60.0),
        heat_radiator=30.0 + 100.0 * day,
        up=jnp.ones(24, bool),
    )
    return constellation, state, sky


@pytest.fixture(scope="module")
def residuals(small_shell):
    """Residuals (wrong flow, book, satellite) of a step from crafted moments, the first unhurt."""
    constellation, state, sky = crafted(small_shell)
    names = entries()
    after, settle, tokens = Network.after, step.settle, step.tokens

    def audit(factor):
        def scaled(kind, flows):
            hurt = {}
            for f in fields(flows):
                flow = getattr(flows, f.name)
                label = f"{kind}{f.name}"
                first = next(i for i, n in enumerate(names) if f"{n} ".startswith(f"{label} "))
                width = flow.shape[0] if flow.ndim == 2 else 1
                share = factor[first : first + width]
                hurt[f.name] = flow * (share[:, None] if flow.ndim == 2 else share[0])
            return type(flows)(**hurt)

        def hurt_after(self, *given):
            temperature, heat, stages = after(self, *given)
            return temperature, scaled("", heat), stages

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, "settle", lambda *x: scaled("bus ", settle(*x)))
            patch.setattr(step, "tokens", lambda *x: scaled("tokens ", tokens(*x)))
            patch.setattr(Network, "after", hurt_after)
            lived = step.step(constellation, state, sky, jnp.asarray(10.0))[1]
        books = lived.residuals
        return jnp.stack([books.energy, books.heat, books.tokens])

    factors = jnp.concatenate([jnp.ones((1, len(names))), 1 + WRONG * jnp.eye(len(names))])
    return np.asarray(jax.jit(jax.vmap(audit))(factors))


def test_crafted_moments_use_every_flow(small_shell):
    """Or a wrong flow could hide where nothing flows."""
    constellation, state, sky = crafted(small_shell)
    _, lived = jax.jit(step.step)(constellation, state, sky, jnp.asarray(10.0))
    for f in fields(lived.bus):
        assert (np.asarray(getattr(lived.bus, f.name)) > 0.1).any(), f"bus {f.name}"
    for f in fields(lived.tokens):
        assert (np.asarray(getattr(lived.tokens, f.name)) > 0.1).any(), f"tokens {f.name}"


def test_unhurt_books_are_closed(residuals):
    assert residuals[0].max() < 1e-9


@pytest.mark.parametrize("name", entries())
def test_any_single_wrong_flow_opens_its_book(residuals, name):
    worst = residuals[1 + entries().index(name)].max(axis=1)
    if name in SILENT:
        assert worst.max() < 1e-9, "nothing flows there"
        return
    book = 0 if name.startswith("bus ") else 2 if name.startswith("tokens ") else 1
    assert worst[book] > TOLERANCE, f"{name} wrong by 1e-4 goes unseen"


def test_run_with_open_books_fails(small_shell, engine, monkeypatch):
    """A kernel that forgets a loss ends the run, by name and number."""
    constellation, state, sky = crafted(small_shell)
    honest = Battery.loss
    monkeypatch.setattr(Battery, "loss", lambda *x: 0.999 * honest(*x))
    _, lived = jax.jit(lambda *x: step.step(*x))(constellation, state, sky, jnp.asarray(10.0))
    sums = tally.empty(state).plus(lived, state, jnp.asarray(10.0))
    after = tally.closed(state, sums, jnp.asarray(10.0))

    with pytest.raises(simulate.SimulationError, match="energy book is open by"):
        simulate.check(after, engine, 10.0)

"""Heaters with thermostats: duty against a closed form, energy by consumer, what cannot be."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from calling import TINY, refused

from twin.build import build
from twin.constellation import BATTERY, STANDARD
from twin.fleet import fleet
from twin.load import parse
from twin.spacecraft.thermal import Heater, Network

MASS, JOINT, POWER, COLD, ON, OFF = 6000.0, 1.5, 40.0, 255.0, 268.0, 273.0
HEATER = '[[class.small.heater]]\nnode = "{}"\npower_w = {}\non_k = {}\noff_k = {}\n'


def with_heaters(*rows):
    text = "".join(HEATER.format(*row) for row in rows)
    return TINY.replace("[class.big]", text + "[class.big]")


def test_the_duty_of_a_thermostat_is_that_of_the_closed_form():
    """A lump joined to a cold mass a million times as large: exponentials between the limits.

    On from ON to OFF towards COLD + P/g, off from OFF to ON towards COLD, both with tau = C/g.
    """
    one = jnp.ones(1)
    network = Network(
        heat_capacity=jnp.array([MASS, 1e6 * MASS])[:, None],
        conductance=JOINT * one[None],
        exchange=jnp.zeros((0, 1)),
        flow=jnp.zeros((0, 1)),
        emitting_area=jnp.zeros((2, 1)),
        links=((0, 1),),
        pairs=(),
        pipes=(),
        chip=1,
        enclosed=(0, 1),
    )
    heaters = Heater(POWER * one[None], ON * one[None], OFF * one[None], nodes=(0,))
    none = jnp.zeros((2, 1))

    def step(carry, _):
        temperature, on = carry
        on = heaters.switched(on, temperature)
        heat = none.at[0].set(heaters.heat(on)[0])
        after, flows, _ = network.after(
            tuple(temperature), tuple(none), tuple(heat), lambda t: (0 * t, 0 * t), jnp.asarray(1.0)
        )
        return (jnp.stack(after), on), (on[0][0], after[0][0], flows.generated[0][0])

    begin = jnp.array([[OFF], [COLD]]), (jnp.zeros(1, bool),)
    on, warm, given = map(
        np.asarray, jax.jit(lambda c: jax.lax.scan(step, c, length=60_000))(begin)[1]
    )
    tau, top = MASS / JOINT, COLD + POWER / JOINT
    heating = tau * np.log((top - ON) / (top - OFF))
    cooling = tau * np.log((OFF - COLD) / (ON - COLD))
    starts = np.flatnonzero(np.diff(on.astype(int)) == 1)
    assert len(starts) > 10
    whole = slice(starts[0], starts[-1])
    # The switch is late by half a step on the mean: 1 s in some 1,500.
    assert np.diff(starts).mean() == pytest.approx(heating + cooling, rel=3e-3)
    assert on[whole].mean() == pytest.approx(heating / (heating + cooling), rel=3e-3)
    assert given[whole].mean() == pytest.approx(POWER * heating / (heating + cooling), rel=3e-3)
    assert warm.min() > ON - 0.02 and warm.max() < OFF + 0.02


def test_each_class_has_its_own_heaters_and_keeps_the_battery_s():
    scenario = parse(
        with_heaters(("bus", 7, 280, 285), ("bus", 3, 270, 275), ("terminals", 5, 260, 261))
    )
    heaters = build(scenario, fleet(scenario))[0].satellites.heaters
    bus, terminals = STANDARD.index("bus"), STANDARD.index("terminals")
    assert heaters.nodes == (bus, bus, BATTERY, terminals)
    power, low = np.asarray(heaters.power), np.asarray(heaters.on_below)
    assert power.tolist() == [[7, 7, 0], [3, 3, 0], [10, 10, 10], [5, 5, 0]]
    assert low[:, 0].tolist() == [280, 270, 278.15, 260]
    plain = parse(TINY)
    assert build(plain, fleet(plain))[0].satellites.heaters.nodes == (BATTERY,)


@pytest.mark.slow
def test_energy_of_heaters_is_booked_with_survival(command, tmp_path):
    """7 W on the structure of the two small ones for an hour: 14 Wh, and they are warmer."""
    reports, warm = [], []
    for name, text in (("with", with_heaters(("bus", 7, 400, 410))), ("without", TINY)):
        (tmp_path / f"{name}.toml").write_text(text)
        code, said, err = command("run", tmp_path / f"{name}.toml", "-o", tmp_path / name, "--json")
        assert code == 0, err
        reports.append(json.loads(said))
        with xr.open_zarr(tmp_path / name / "run.zarr", consolidated=False) as data:
            node = list(data["node_name"].values).index("bus")
            warm.append(data["temperature"].isel(time=-1, node=node).values)
    one, two = reports
    assert two["heater_wh"] == 0 and one["heater_wh"] == pytest.approx(14.0, rel=1e-6)
    assert one["unserved_by_wh"]["survival"] == 0, "served first, whatever the payload lacks"
    assert one["books"]["heat_residual"] < 1e-6 and one["books"]["energy_residual"] < 1e-6
    gain = warm[0] - warm[1]
    assert (gain[:2] > 0.2).all() and gain[2] == 0, gain


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("bus", 7, 285, 280), ["heater[0].on_k: 285 is not below off_k = 280", "crossed"]),
        (("bus", 7, 280, 280), ["heater[0].on_k: 280 is not below off_k = 280"]),
        (("bux", 7, 270, 280), ["heater[0].node: no such node: 'bux'", "did you mean 'bus'?"]),
        (("blanket", 7, 270, 280), ["heater[0].node: node blanket has no heat capacity"]),
        (("bus", -7, 270, 280), ["heater[0].power_w: got -7; allowed: above 0"]),
        (("bus", 7, 27, 280), ["heater[0].on_k: got 27; allowed: 100 to 450"]),
    ],
)
def test_a_heater_that_cannot_be_is_told_in_one_line(command, tmp_path, row, words):
    (tmp_path / "bad.toml").write_text(with_heaters(row))
    refused(command("check", tmp_path / "bad.toml"), "class.small.", *words)


def test_the_keys_of_heaters_are_explained(command):
    code, said, _ = command("schema", "scenario", "--json")
    assert code == 0 and '"power_w"' in said
    code, said, _ = command("check", "scs01", "--explain", "--json")
    names = {row["name"] for row in json.loads(said)["keys"]}
    assert {f"class.NAME.heater[].{key}" for key in ("node", "power_w", "on_k", "off_k")} <= names

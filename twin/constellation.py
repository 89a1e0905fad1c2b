"""The pytrees of the twin: what is constant, what evolves, what the sky does, what is written down.

One annotation serves one satellite and a fleet: ``"node *sat"`` is ``(node,)`` inside `vmap` and
``(node, 2800)`` outside. The fields of `Telemetry` carry unit and label, and with the annotation's
dims they are the variable table: the store, ``twin schema`` and the legends are made from it.
"""

import dataclasses
from enum import IntEnum
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twin.arrays import Each
from twin.environment.sun import SunEphemeris
from twin.orbits.elements import AbstractOrbit
from twin.spacecraft.payload import Payload
from twin.spacecraft.power import Battery, SolarArray
from twin.spacecraft.thermal import Network

NODES = ("array", "bus", "battery", "chip", "cold_plate", "radiator")
ARRAY, BUS, BATTERY, CHIP, COLD_PLATE, RADIATOR = range(len(NODES))
LINKS = {
    "array_bus": (ARRAY, BUS),
    "bus_battery": (BUS, BATTERY),
    "bus_cold_plate": (BUS, COLD_PLATE),
    "bus_radiator": (BUS, RADIATOR),
    "chip_cold_plate": (CHIP, COLD_PLATE),
    "cold_plate_radiator": (COLD_PLATE, RADIATOR),
}


class Limit(IntEnum):
    """What binds a satellite's work now."""

    NOTHING = 0
    ENERGY = 1
    HEAT = 2
    WORK = 3
    FAULT = 4


class Surroundings(eqx.Module):
    """What the Sun and the Earth send, as assumed for a satellite's whole run."""

    solar_constant: Float[Array, "*sat"]  # W/m² at 1 AU
    albedo: Float[Array, "*sat"]
    infrared: Float[Array, "*sat"]  # W/m² leaving the Earth
    flattening: Float[Array, "*sat"]  # of the Earth that casts the shadow


class Skin(eqx.Module):
    """The faces that meet sunlight, albedo and Earth infrared: two wings, a radiator, a box.

    The wings' front follows the Sun about the orbit normal, or about both axes if `two_axis` is 1.
    The radiator's normal is fixed in the orbit's own directions (up, along, and across towards the
    Sun's side: the satellite turns about the vertical when the Sun changes sides); `radiator_sides`
    of 2 adds the opposite face. The box keeps one face down, and its optics are its blanket's.
    """

    array_area: Float[Array, "*sat"]
    two_axis: Float[Array, "*sat"]
    front_absorptance: Float[Array, "*sat"]
    front_emittance: Float[Array, "*sat"]
    back_absorptance: Float[Array, "*sat"]
    back_emittance: Float[Array, "*sat"]
    radiator_area: Float[Array, "*sat"]  # m², one side
    radiator_sides: Float[Array, "*sat"]
    radiator_normal: Float[Array, "3 *sat"]  # up, along, across towards the Sun
    radiator_absorptance: Float[Array, "*sat"]
    radiator_emittance: Float[Array, "*sat"]
    box_face: Float[Array, "*sat"]  # m², one of six equal faces
    box_absorptance: Float[Array, "*sat"]
    box_emittance: Float[Array, "*sat"]


class Satellite(eqx.Module):
    """All that is constant about a satellite, or about a fleet of them."""

    orbit: AbstractOrbit
    surroundings: Surroundings
    skin: Skin
    panels: SolarArray
    battery: Battery
    body: Network
    payload: Payload
    housekeeping_power: Float[Array, "*sat"]  # W


class Constellation(eqx.Module):
    """The fleet and its Sun."""

    satellites: Satellite
    sun: SunEphemeris


class Ledger(eqx.Module):
    """Totals and extremes since the start, one entry per satellite: reports are read off it."""

    panel_energy: Float[Array, "*sat"]  # J, extracted
    curtailed_energy: Float[Array, "*sat"]  # J
    payload_energy: Float[Array, "*sat"]  # J
    housekeeping_energy: Float[Array, "*sat"]  # J
    unserved_energy: Float[Array, "*sat"]  # J
    sunlit_time: Float[Array, "*sat"]  # s
    eclipse_now: Float[Array, "*sat"]  # s of shadow in the eclipse that is going on
    eclipse_longest: Float[Array, "*sat"]  # s
    alive_time: Float[Array, "*sat"]  # s
    tokens: Float[Array, "*sat"]
    tokens_offered: Float[Array, "*sat"]
    tokens_lost_to_energy: Float[Array, "*sat"]
    tokens_lost_to_heat: Float[Array, "*sat"]
    time_limited: Float[Array, "limit *sat"]  # s, in the order of Limit
    battery_least: Float[Array, "*sat"]  # J
    chip_hottest: Float[Array, "*sat"]  # K
    cell_hottest: Float[Array, "*sat"]  # K, the battery's node
    energy_residual: Float[Array, "*sat"]  # relative
    heat_residual: Float[Array, "*sat"]  # relative
    tokens_residual: Float[Array, "*sat"]  # relative
    heat_truncation: Float[Array, "*sat"]  # relative


class State(eqx.Module):
    """All that evolves. The losses of the last step wait to warm the next one."""

    battery_energy: Float[Array, "*sat"]  # J
    temperature: Float[Array, "node *sat"]  # K
    battery_loss: Float[Array, "*sat"]  # W
    shunted: Float[Array, "*sat"]  # W
    alive: Bool[Array, "*sat"]
    ledger: Ledger


class Sky(eqx.Module):
    """What the sky does to a satellite during one step, as means over it."""

    sunlit: Float[Array, "*sat"]  # visible share of the Sun's disc
    irradiance: Float[Array, "*sat"]  # W/m² on the array's front, cosine and shadow applied
    heat_array: Float[Array, "*sat"]  # W absorbed by the wings, from Sun and Earth
    heat_bus: Float[Array, "*sat"]  # W absorbed by the box
    heat_radiator: Float[Array, "*sat"]  # W absorbed by the radiator
    up: Bool[Array, "*sat"]  # False once the orbit has left its domain (decayed)


class Forcing(eqx.Module):
    """All that the sky decides for a block of steps, time in front, and where the block ends."""

    sky: Sky
    position: Float[Array, "3 *sat"]  # m, TEME, at the end of the block
    velocity: Float[Array, "3 *sat"]  # m/s


def by_node(heat: dict[int, Each]) -> Float[Array, "node *sat"]:
    """Heat per node from the few nodes that have any."""
    none = jnp.zeros_like(next(iter(heat.values())))
    return jnp.stack([heat.get(node, none) for node in range(len(NODES))])


def recorded(units: str, long_name: str, *, mean: bool = False, dtype: str = "float32") -> Any:
    """A field of `Telemetry` that is written: units, label, mean over the record or its end."""
    metadata = {"units": units, "long_name": long_name, "mean": mean, "dtype": dtype}
    return eqx.field(metadata=metadata)


class Telemetry(eqx.Module):
    """What is written down for each record. This class *is* the variable table."""

    position: Float[Array, "3 *sat"] = recorded("m", "Position")
    velocity: Float[Array, "3 *sat"] = recorded("m s-1", "Velocity")
    sunlit: Float[Array, "*sat"] = recorded("1", "Visible share of the Sun", mean=True)
    panel_power: Float[Array, "*sat"] = recorded("W", "Array power used", mean=True)
    curtailed_power: Float[Array, "*sat"] = recorded("W", "Array power not needed", mean=True)
    battery_energy: Float[Array, "*sat"] = recorded("J", "Battery energy")
    bus_power: Float[Array, "*sat"] = recorded("W", "Housekeeping power served", mean=True)
    payload_power: Float[Array, "*sat"] = recorded("W", "Payload power", mean=True)
    unserved_power: Float[Array, "*sat"] = recorded("W", "Power asked for, not served", mean=True)
    temperature: Float[Array, "node *sat"] = recorded("K", "Temperature")
    throttle: Float[Array, "*sat"] = recorded("1", "Share of full work allowed", mean=True)
    tokens_rate: Float[Array, "*sat"] = recorded("s-1", "Output tokens", mean=True)
    limit: Int[Array, "*sat"] = recorded("1", "What limits the work", dtype="int8")
    alive: Bool[Array, "*sat"] = recorded("1", "In orbit", dtype="int8")


def table() -> dict[str, dict[str, Any]]:
    """The variable table: name → dims on disk, units, long_name, mean, dtype."""
    rows = {}
    for field in dataclasses.fields(Telemetry):
        axes = field.type.dim_str.split()  # type: ignore[union-attr]  # a jaxtyping annotation
        inner = ["xyz" if axis == "3" else axis for axis in axes if axis != "*sat"]
        rows[field.name] = {"dims": ("time", "sat", *inner), **field.metadata}
    return rows

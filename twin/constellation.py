"""The pytrees of the twin: what is constant, what evolves, what the sky does, what is written down.

One annotation serves one satellite and a fleet: ``"node *sat"`` is ``(node,)`` inside `vmap` and
``(node, 2800)`` outside. The fields of `Telemetry` carry unit and label, and with the annotation's
dims they are the variable table: the store, ``twin schema`` and the legends are made from it.
"""

import dataclasses
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from twin.arrays import Each, Rows, Switches
from twin.environment.radiation import Upsets
from twin.environment.sun import SunEphemeris
from twin.orbits.elements import AbstractOrbit
from twin.spacecraft.array import SolarArray, Sunshine, Supply
from twin.spacecraft.attitude import Attitude, Views, by_kind
from twin.spacecraft.battery import Battery
from twin.spacecraft.bus import Loads, Plan
from twin.spacecraft.payload import Governor, Payload
from twin.spacecraft.thermal import Heater, Network

STANDARD = (
    "array", "array_back", "bus", "avionics", "battery", "chip",
    "cold_plate", "loop", "radiator", "radiator_back", "blanket", "terminals",
)  # fmt: skip
(
    ARRAY, ARRAY_BACK, BUS, AVIONICS, BATTERY, CHIP,
    COLD_PLATE, LOOP, RADIATOR, RADIATOR_BACK, BLANKET, TERMINALS,
) = range(len(STANDARD))  # fmt: skip
"""The thermal nodes of every satellite; a design may append nodes of its own."""

CONSUMERS = ("survival", "comms", "isl", "payload")  # in order of priority


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
    """The surfaces that meet sunlight, albedo and Earth infrared, each on its thermal node.

    What they see of Sun and Earth is in the tables of `Views`, by the satellite's `shape`.
    """

    area: Float[Array, "surface *sat"]  # m²
    absorptance: Float[Array, "surface *sat"]
    emittance: Float[Array, "surface *sat"]
    shape: Int[Array, "*sat"]
    nodes: tuple[int, ...] = eqx.field(static=True)  # of each surface
    front: int = eqx.field(static=True)  # the surface that holds the cells
    back: int = eqx.field(static=True)  # and the one behind it


class Satellite(eqx.Module):
    """All that is constant about a satellite, or about a fleet of them."""

    number: Int[Array, "*sat"]  # its place in the fleet: root of its random draws
    orbit: AbstractOrbit
    surroundings: Surroundings
    attitude: Attitude
    skin: Skin
    panels: SolarArray
    battery: Battery
    loads: Loads
    body: Network
    heaters: Heater
    payload: Payload
    governor: Governor
    upsets: Upsets
    one: Float[Array, "*sat"]  # 1, which the compiler cannot know: see `fastmath.settled`

    def still_rising(self, light: "Light", sun: Sunshine, supply: Supply, promise: Plan) -> Each:
        """Watts by which the heat of the array's front ends a step above its mean.

        Of the electricity that comes with the light, what is wanted is taken out.
        """
        front = self.skin.front
        ending = supply.always + supply.full * sun.end
        taken = jnp.minimum(ending, promise.wanted) - promise.extracted
        late = light.clear * (sun.end - sun.mean)
        return self.skin.area[front] * self.skin.absorptance[front] * late - taken


class Constellation(eqx.Module):
    """The fleet, its Sun, what its surfaces see, and the root of its random draws."""

    satellites: Satellite
    sun: SunEphemeris
    views: Views
    still: Float[Array, "3 3"]  # axes of a body held still among the stars: rows, in TEME
    rotation: Float[Array, "2"]  # the Earth's angle at the start (rad) and its rate (rad/s)
    stream: UInt32[Array, "2"]  # key of the upsets


class Ledger(eqx.Module):
    """Totals and extremes since the start, one entry per satellite: reports are read off it."""

    panel_energy: Float[Array, "*sat"]  # J, extracted
    curtailed_energy: Float[Array, "*sat"]  # J
    payload_energy: Float[Array, "*sat"]  # J
    housekeeping_energy: Float[Array, "*sat"]  # J, all but the payload
    heater_energy: Float[Array, "*sat"]  # J, part of it
    unserved_energy: Float[Array, "consumer *sat"]  # J, in the order of CONSUMERS
    sunlit_time: Float[Array, "*sat"]  # s
    eclipse_now: Float[Array, "*sat"]  # s of shadow in the eclipse that is going on
    eclipse_longest: Float[Array, "*sat"]  # s
    alive_time: Float[Array, "*sat"]  # s
    time_shed: Float[Array, "level *sat"]  # s at level 1 or above, at 2 or 3, at 3
    time_down: Float[Array, "*sat"]  # s that the payload spent in rebooting and loading
    resets: Float[Array, "*sat"]  # upsets that made it reboot
    tokens: Float[Array, "*sat"]
    tokens_offered: Float[Array, "*sat"]
    tokens_lost_to_energy: Float[Array, "*sat"]
    tokens_lost_to_heat: Float[Array, "*sat"]
    tokens_lost_to_fault: Float[Array, "*sat"]
    time_limited: Float[Array, "limit *sat"]  # s, in the order of Limit
    battery_least: Float[Array, "*sat"]  # J
    chip_hottest: Float[Array, "*sat"]  # K
    cell_hottest: Float[Array, "*sat"]  # K, the battery's node
    cell_coldest: Float[Array, "*sat"]  # K
    energy_residual: Float[Array, "*sat"]  # relative
    heat_residual: Float[Array, "*sat"]  # relative
    tokens_residual: Float[Array, "*sat"]  # relative
    heat_truncation: Float[Array, "*sat"]  # relative


class State(eqx.Module):
    """All that evolves. The losses of the last step wait to warm the next one."""

    battery_energy: Float[Array, "*sat"]  # J
    temperature: Rows  # K, by node
    battery_loss: Float[Array, "*sat"]  # W
    shunted: Float[Array, "*sat"]  # W
    alive: Bool[Array, "*sat"]
    shed: Int[Array, "*sat"]  # level of load shedding
    starved: Bool[Array, "*sat"]  # the bus could not serve those that must be served
    heating: Switches  # by heater
    tripped: Bool[Array, "*sat"]  # the payload has shut itself down, hot
    down: Float[Array, "*sat"]  # s of power until the payload works again
    hazard_left: Float[Array, "*sat"]  # until the next upset strikes
    upsets: Int[Array, "*sat"]  # so far
    ledger: Ledger


class Light(eqx.Module):
    """What a satellite receives during one step in one attitude."""

    clear: Float[Array, "*sat"]  # W/m² on the array's front in full sunlight
    back: Float[Array, "*sat"]  # W/m² of albedo on the array's back
    heat: tuple[Each, ...]  # W absorbed from Sun and Earth, by surface


class Sky(eqx.Module):
    """What the sky does to a satellite during one step, as means over it."""

    sun: Sunshine
    light: tuple[Light, ...]  # in each attitude
    upset_rate: Float[Array, "*sat"]  # 1/s

    def facing(self, mode: Int[Array, "*sat"]) -> Light:
        """The light in the attitude that each satellite has."""
        return jax.tree.map(lambda *x: by_kind(mode, list(x)), *self.light)


Parts = tuple[Each, Each, Each]
"""A vector in pieces: stacked inside the scan it would cost more than the orbit itself."""


class Glimpse(eqx.Module):
    """What one satellite would receive at a moment in one attitude, as if the Sun were in view."""

    irradiance: Float[Array, "*sat"]  # W/m² of sunlight on the array's front
    solar: tuple[Each, ...]  # W absorbed from the Sun, by surface


class Moment(eqx.Module):
    """Where a satellite is at one moment, how the Sun stands, and what it receives."""

    position: Parts
    velocity: Parts
    shadow: Float[Array, "*sat"]  # 1 and above in full sun, -1 and below in the umbra
    albedo: Float[Array, "*sat"]  # W/m² leaving the ground below
    glimpses: tuple[Glimpse, ...]  # in each attitude
    here: Bool[Array, "*sat"]  # False where the orbit has left its domain


class Forcing(eqx.Module):
    """All that the sky decides for a block of steps, time in front, and the moment it ends at."""

    sky: Sky
    last: Moment
    up: Bool[Array, "*sat"]  # False once the orbit has left its domain (decayed) in the block


def by_node(like: Rows, heat: Iterable[tuple[int, Each]]) -> tuple[Each, ...]:
    """Heat per node, as many as `like` has, from the parts that have any."""
    rows: list[Each] = [jnp.zeros_like(row) for row in like]
    for node, power in heat:
        rows[node] = rows[node] + power
    return tuple(rows)


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
    shed: Int[Array, "*sat"] = recorded("1", "Level of load shedding", dtype="int8")
    mode: Int[Array, "*sat"] = recorded("1", "Attitude", dtype="int8")
    alive: Bool[Array, "*sat"] = recorded("1", "In orbit", dtype="int8")


def table() -> dict[str, dict[str, Any]]:
    """The variable table: name → dims on disk, units, long_name, mean, dtype."""
    rows = {}
    for field in dataclasses.fields(Telemetry):
        axes = field.type.dim_str.split()  # type: ignore[union-attr]  # a jaxtyping annotation
        inner = ["xyz" if axis == "3" else axis for axis in axes if axis != "*sat"]
        rows[field.name] = {"dims": ("time", "sat", *inner), **field.metadata}
    return rows

"""The days and satellites that a design must stand: found by running a year's dates, not assumed.

Every date is run as `trials` runs it, with ample arrays and batteries so that all work at full
power: what is then the deepest discharge, the least power from the Sun, the hottest chip and
battery and the coldest battery, of each shell. The fewest dates are kept on which every
shell is within `NEAR` of its worst of each, and of each date the satellites that are worst.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from twin import seasons
from twin.build import Value, build
from twin.constants import EARTH_ROTATION
from twin.constellation import Constellation
from twin.environment.sun import sun_positions
from twin.fleet import Fleet
from twin.frames import earth_rotation
from twin.scenario import Scenario
from twin.spacecraft.attitude import inertial_axes
from twin.trials import Day, Programs

NEAR = np.array([0.01, 0.005, 0.3, 0.3, 1.0])
"""Depth of discharge and power (relative), K of chip, battery, cold battery: nearly as hard."""
RELATIVE = np.array([True, True, False, False, False])
WITNESSES = NEAR.size  # satellites of each shell that stand for it
SMALL = 8  # times that many fewer lanes in a year's screening are worth a program


def hard_days(
    scenario: Scenario,
    ships: Fleet,
    season: str,
    programs: Programs,
    value: Callable[[Scenario], Value],
    variants: int,
) -> list[Day]:
    """The days to close on. `value` gives ample sizes; `variants` is how many of each will run."""
    dates = seasons.dates(scenario)[: None if season == "worst" else 1]
    fleets = [
        seasons.at(scenario, ships, date) if season == "worst" else (scenario, ships)
        for date in dates
    ]
    worst, who = _screened(fleets, programs, value, variants)
    days = []
    for place in chosen(worst):
        moved, there = fleets[place]
        days.append(Day(moved, there, dates[place], who[place]))
    return days


def stand_ins(ships: Fleet) -> Int[np.ndarray, "sat"]:
    """As many satellites as a day's witnesses, before it is known who they are."""
    return np.concatenate(
        [_spread(np.flatnonzero(ships.shell == s), WITNESSES) for s in np.unique(ships.shell)]
    )


def chosen(worst: Float[np.ndarray, "date shell measure"]) -> list[int]:
    """The fewest dates on which every shell is about as badly off as ever, in every measure.

    `worst` is the larger, the worse.
    """
    most = worst.max(axis=0)
    slack = np.where(RELATIVE, NEAR * np.abs(most), NEAR)
    left = (worst >= most - slack).reshape(len(worst), -1).T
    found: list[int] = []
    while left.shape[0]:
        best = int(left.sum(axis=0).argmax())
        found.append(best)
        left = left[~left[:, best]]
    return sorted(found)


def _screened(
    fleets: list[tuple[Scenario, Fleet]],
    programs: Programs,
    value: Callable[[Scenario], Value],
    variants: int,
) -> tuple[Float[np.ndarray, "date shell measure"], list[Int[np.ndarray, "sat"]]]:
    """How badly off each shell is on each date, and on each date its witnesses."""
    scenario, ships = fleets[0]
    shells = np.unique(ships.shell)
    room = variants * WITNESSES  # as many as a trial flies, whose program then serves
    largest = np.bincount(ships.shell).max()
    if SMALL * largest <= room:  # a program of its own, flown for each date, is soon paid for
        room = int(largest)
    lanes = np.concatenate([_spread(np.flatnonzero(ships.shell == s), room) for s in shells])
    nothing = np.zeros(lanes.size, np.int64)
    base, state = build(scenario, ships, value(scenario), (lanes, nothing))
    worst, who = [], []
    for _, there in fleets:
        constellation = base
        if there is not ships:  # of all that is built, a date changes this much
            constellation = eqx.tree_at(_sky, base, _placed(there, lanes))
        _, ledger, _ = programs.halves(constellation, state)
        capacity = np.asarray(base.satellites.battery.capacity)
        sunlight = ledger.panel_energy + ledger.curtailed_energy
        measures = np.array([
            1 - ledger.battery_least / capacity, -sunlight,
            ledger.chip_hottest, ledger.cell_hottest, -ledger.cell_coldest,
        ])  # fmt: skip
        cut = measures.reshape(NEAR.size, shells.size, room)
        worst.append(cut.max(axis=2).T)
        places = cut.argmax(axis=2) + room * np.arange(shells.size)
        who.append(lanes[places.T.ravel()])
    return np.array(worst), who


def _sky(of: Constellation) -> tuple:
    return of.satellites.orbit, of.sun, of.still, of.rotation


def _placed(ships: Fleet, lanes: Int[np.ndarray, "sat"]) -> tuple:
    """The same four of a fleet, as `build` makes them."""
    zero = np.zeros(1)
    angle = float(earth_rotation(ships.start, zero)[0])
    return (
        jax.tree.map(lambda x: x[..., lanes], ships.orbit),
        ships.sun,
        jnp.asarray(inertial_axes(sun_positions(ships.start, zero)[0])),
        jnp.asarray([angle, EARTH_ROTATION]),
    )


def _spread(mine: Int[np.ndarray, "sat"], room: int) -> Int[np.ndarray, "lane"]:
    """As many satellites as there is room for, evenly; of a small shell the last again."""
    if mine.size <= room:
        return np.pad(mine, (0, room - mine.size), mode="edge")
    return mine[np.linspace(0, mine.size - 1, room).round().astype(int)]

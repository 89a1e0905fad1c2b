"""Heaters of a class's own, beside the battery's, as a user writes them. No arrays here."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from twin.numbers import Positive, Section, number
from twin.parts import STANDARD_NODES
from twin.problems import Problem, nearest

Kelvin = number(100, 450)
MASSLESS = ("blanket",)  # of the standard nodes


class Heater(Section):
    """A heater with a thermostat on its own node; its energy is survival's, the first served."""

    node: str = Field(description="the thermal node that it warms, and whose temperature it feels")
    power_w: Positive = Field(description="while it is on")
    on_k: Kelvin = Field(description="it goes on below")
    off_k: Kelvin = Field(description="it goes off above, and stays off down to on_k")


def heater_problems(design: Any) -> Iterator[Problem]:
    """What is wrong with a class's heaters, each in a line of its own."""
    nodes = (*STANDARD_NODES, *design.node)
    massless = {n for n, what in design.node.items() if not what.heat_capacity_j_k.value}
    for k, heater in enumerate(design.heater):
        where, name = f"heater[{k}]", heater.node
        on, off = heater.on_k.value, heater.off_k.value
        if on >= off:
            wrong = f"{on:g} is not below off_k = {off:g}: its thermostat's limits are crossed"
            yield Problem(f"{where}.on_k", wrong, "temperatures with on_k < off_k")
        if name not in nodes:
            hint = nearest(name, nodes) or f"add [class.NAME.node.{name}]"
            yield Problem(f"{where}.node", f"no such node: {name!r}", ", ".join(nodes), hint)
        elif name in {*MASSLESS, *massless}:
            wrong = f"node {name} has no heat capacity: its thermostat would flutter"
            yield Problem(f"{where}.node", wrong, hint="heat a node with a heat_capacity_j_k")

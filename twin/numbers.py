"""A number that a user writes, with what is known about it: range, origin, source.

It may be written alone or as ``{ value, range, origin, source }``. Neither JAX nor anything that
computes is imported here.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

Origin = Literal["measured", "published", "derived", "assumed"]


class Section(BaseModel):
    """A table of the scenario file: unknown keys are errors, nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Number(Section):
    """A number and where it comes from."""

    value: float
    range: tuple[float, float] | None = Field(
        default=None,
        description="lowest and highest that it may be; drawn from a triangle that peaks at value",
    )
    origin: Origin | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _inside(self) -> "Number":
        if self.range and not self.range[0] <= self.value <= self.range[1]:
            raise ValueError(f"value {self.value:g} lies outside its range {list(self.range)}")
        return self


def _bounds(low: float, high: float, open_low: bool) -> Callable[[Number], Number]:
    def check(number: Number) -> Number:
        for x in (number.value, *(number.range or ())):
            if not (low < x if open_low else low <= x) or x > high:
                raise ValueError(f"got {x:g}; allowed: {_interval(low, high, open_low)}")
        return number

    check.__doc__ = _interval(low, high, open_low)
    return check


def _interval(low: float, high: float, open_low: bool) -> str:
    left = f"above {low:g}" if open_low else f"{low:g}"
    return f"{left} to {high:g}" if high < 1e12 else (left if open_low else f"{left} or more")


def _plain(given: Any) -> TypeGuard[float]:
    return isinstance(given, int | float) and not isinstance(given, bool)


def number(low: float, high: float = 1e15, *, above: bool = False) -> Any:
    """The type of a number between two bounds (`above`: the lower one is excluded)."""
    inside = _bounds(low, high, above)

    def bare(given: Any) -> Any:
        """As a table; one whose value cannot be is told so before its range is looked at."""
        given = {"value": given} if _plain(given) else given
        value = given.get("value") if isinstance(given, dict) else None
        if _plain(value) and math.isfinite(value):
            inside(Number(value=value))
        return given

    return Annotated[Number, BeforeValidator(bare), AfterValidator(inside)]


Share = number(0, 1)
Positive = number(0, above=True)
NotNegative = number(0)


def assumed(value: float, low: float, high: float, about: str, source: str = "") -> Any:
    """Field default: an assumed number with its range."""
    what = Number(value=value, range=(low, high), origin="assumed", source=source or None)
    return Field(default=what, description=about)


def known(value: float, about: str, source: str) -> Any:
    """Field default: a published number without a range."""
    what = Number(value=value, origin="published", source=source)
    return Field(default=what, description=about)


def chosen(value: float, about: str) -> Any:
    """Field default: a number that the user decides, so that it has neither range nor origin."""
    return Field(default=Number(value=value), description=about)

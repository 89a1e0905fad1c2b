"""Absolute time: the only place that knows calendars, leap seconds and the installed time tables.

Everywhere else time is seconds since the start of a run, float64. Those seconds count as SGP4's do:
elapsed UTC days times 86,400. A leap second inside a run is therefore not counted (a run across the
one of 2016-12-31 would place the Earth and the Sun as its UTC clock says, and lose one second).
None is announced; before 1972, where UTC is not defined as today, the tables' own rules apply.

Skyfield is imported when first needed, so that reading a scenario stays quick.
"""

from __future__ import annotations

import atexit
import functools
import importlib.resources
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from skyfield.timelib import Time, Timescale

_DAY = 86_400.0
_ORDINAL_TO_JULIAN = 1_721_424.5  # Julian date of midnight of proleptic day 0
_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r"\s*(Z|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, order=True)
class Epoch:
    """A moment in UTC as the Julian date of its midnight and the fraction of the day since.

    `whole` ends in .5 and `fraction` lies in [0, 1), so that a microsecond survives (a nanosecond
    does, too). The pair is what the sgp4 package calls jd and fr. Make one with `Epoch.of`,
    `Epoch.parse` or `Epoch.from_datetime`, which normalise.
    """

    whole: float
    fraction: float

    def __post_init__(self):
        if self.whole % 1.0 != 0.5 or not 0.0 <= self.fraction < 1.0:
            raise ValueError(
                "an epoch is a midnight (ending in .5) and a fraction in [0, 1), got"
                f" {self.whole!r} and {self.fraction!r}; use Epoch.of, which normalises"
            )

    @classmethod
    def of(cls, whole: float, fraction: float = 0.0) -> Epoch:
        """Any two-part Julian date in UTC, normalised."""
        if not (math.isfinite(whole) and math.isfinite(fraction)):
            raise ValueError(f"a Julian date must be finite, got {whole!r} and {fraction!r}")
        midnight = math.floor(whole - 0.5) + 0.5
        rest = (whole - midnight) + fraction
        days = math.floor(rest)
        rest -= days
        if rest >= 1.0:  # -1e-20 - floor(-1e-20) rounds to 1
            days, rest = days + 1, 0.0
        return cls(midnight + days, rest)

    @classmethod
    def parse(cls, text: str) -> Epoch:
        """ISO 8601: `2035-03-20T12:00:00Z`, any number of decimals, an offset, or a bare date.

        Without `Z` or an offset the text is taken as UTC, as element sets mean it.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a time; write it as 2035-03-20T12:00:00Z")
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        decimals = float(f"0.{match[7]}") if match[7] else 0.0
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{text!r} has no such hour, minute or second (leap seconds included)")
        try:
            midnight = date(year, month, day).toordinal() + _ORDINAL_TO_JULIAN
        except ValueError as error:
            raise ValueError(f"{text!r} is not a date: {error}") from None
        seconds = hour * 3600 + minute * 60 + second + decimals
        offset = (match[8] or "Z").upper().replace(":", "")
        if offset != "Z":
            sign = -1 if offset[0] == "-" else 1
            seconds -= sign * (int(offset[1:3]) * 3600 + int(offset[3:5]) * 60)
        return cls.of(midnight, seconds / _DAY)

    @classmethod
    def from_datetime(cls, moment: datetime) -> Epoch:
        """From an aware `datetime`; a naive one is taken as UTC."""
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
        return cls.of(
            moment.toordinal() + _ORDINAL_TO_JULIAN, (seconds + moment.microsecond * 1e-6) / _DAY
        )

    @classmethod
    def now(cls) -> Epoch:
        """The computer's clock."""
        return cls.from_datetime(datetime.now(UTC))

    def datetime(self) -> datetime:
        """The nearest microsecond, as an aware `datetime`."""
        midnight = datetime.fromordinal(round(self.whole - _ORDINAL_TO_JULIAN))
        rest = timedelta(microseconds=round(self.fraction * _DAY * 1e6))
        return midnight.replace(tzinfo=UTC) + rest

    def seconds_since(self, other: Epoch) -> float:
        """Elapsed UTC days times 86,400: exact to a microsecond over centuries."""
        return (self.whole - other.whole) * _DAY + (self.fraction - other.fraction) * _DAY

    def plus(self, seconds: float) -> Epoch:
        """The epoch `seconds` later (earlier, if negative)."""
        days, rest = divmod(float(seconds), _DAY)
        return Epoch.of(self.whole + days, self.fraction + rest / _DAY)

    def text(self, decimals: int = 0) -> str:
        """ISO 8601 in UTC with Z, rounded to 0 to 6 `decimals` of a second."""
        if not 0 <= decimals <= 6:
            raise ValueError(f"a time is written with 0 to 6 decimals, not {decimals}")
        unit = 10**decimals
        midnight = datetime.fromordinal(round(self.whole - _ORDINAL_TO_JULIAN))
        rounded = midnight + timedelta(
            microseconds=round(self.fraction * _DAY * unit) * (10**6 // unit)
        )
        tail = f".{rounded.microsecond:06d}"[: decimals + 1] if decimals else ""
        return f"{rounded:%Y-%m-%dT%H:%M:%S}".zfill(19) + tail + "Z"

    def __str__(self) -> str:
        return self.text()


@functools.cache
def _loader() -> Any:
    from skyfield.api import Loader

    # Skyfield's own helper for this path warns once its tables have "expired"; a calendar must not
    # break a run, and ΔT is extrapolated smoothly beyond the tables.
    folder = importlib.resources.files("skyfield_data") / "data"
    return Loader(str(folder), verbose=False, expire=False)


@functools.cache
def timescale() -> Timescale:
    """Skyfield's time scales with UT1 and leap seconds from the installed finals2000A.all.

    Beyond the table's end Skyfield extrapolates ΔT: in 2035 UT1 is then a guess, good to seconds.
    No polar motion is loaded (Skyfield's default).
    """
    return _loader().timescale(builtin=False)


@functools.cache
def ephemeris() -> Any:
    """JPL's DE421 from the installed file: 1899-07-29 to 2053-10-09."""
    kernel = _loader()("de421.bsp")
    atexit.register(kernel.close)
    return kernel


EPHEMERIS_START = Epoch(2_414_864.5, 0.0)  # 1899-07-29, the first midnight of de421.bsp
EPHEMERIS_STOP = Epoch(2_471_183.5, 0.0)  # 2053-10-08, its last but one


def skyfield_times(start: Epoch, seconds: float | np.ndarray) -> Time:
    """Skyfield's time (or array of times) for `seconds` since `start`.

    Raises ValueError where DE421 says nothing: there would be no Sun.
    """
    seconds = np.asarray(seconds, dtype=np.float64)
    if seconds.size:
        _check_span(start.plus(seconds.min()), start.plus(seconds.max()))
    days, rest = np.divmod(start.fraction * _DAY + seconds, _DAY)
    midnight = datetime.fromordinal(round(start.whole - _ORDINAL_TO_JULIAN))
    # One calendar day per element: within a UTC day no leap second can come between.
    day: Any = midnight.day + days.astype(np.int64)  # Skyfield's annotations know only scalars
    second: Any = rest
    return timescale().utc(midnight.year, midnight.month, day, 0, 0, second)


def _check_span(first: Epoch, last: Epoch) -> None:
    if first < EPHEMERIS_START or last > EPHEMERIS_STOP:
        span = str(first) if first == last else f"{first} to {last}"
        raise ValueError(
            f"{span} is outside the planetary ephemeris DE421,"
            f" which covers {EPHEMERIS_START} to {EPHEMERIS_STOP}"
        )

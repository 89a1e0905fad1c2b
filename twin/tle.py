"""The columns of a two-line element set, turned into the keywords of an OMM.

Source: Hoots & Roehrich, Spacetrack Report No. 3 (1980), chapter 2; columns as in AIAA 2006-6753.
"""

import re

_LINE_1 = re.compile(
    r"1 (?P<NORAD_CAT_ID>[ \dA-HJ-NP-Z][ \d]{4})(?P<CLASSIFICATION_TYPE>[A-Z ]) (?P<cospar>.{8}) "
    r"(?P<year>\d\d)(?P<day>[ \d]{3})\.(?P<fraction>\d{8}) (?P<MEAN_MOTION_DOT>[ +-]\.\d{8}) "
    r"(?P<MEAN_MOTION_DDOT>[ +-]\d{5}[+-]\d) (?P<BSTAR>[ +-]\d{5}[+-]\d) [\d ] "
    r"(?P<ELEMENT_SET_NO>[ \d]{4})\d",
    re.ASCII,
)
_LINE_2 = re.compile(
    r"2 (?P<NORAD_CAT_ID>[ \dA-HJ-NP-Z][ \d]{4}) (?P<INCLINATION>[ \d]{3}\.\d{4}) "
    r"(?P<RA_OF_ASC_NODE>[ \d]{3}\.\d{4}) (?P<ECCENTRICITY>\d{7}) "
    r"(?P<ARG_OF_PERICENTER>[ \d]{3}\.\d{4}) (?P<MEAN_ANOMALY>[ \d]{3}\.\d{4}) "
    r"(?P<MEAN_MOTION>[ \d]{2}\.\d{8})(?P<REV_AT_EPOCH>[ \d]{5})\d",
    re.ASCII,
)
ON_LINE_1 = ("NORAD_CAT_ID", "EPOCH", "BSTAR", "MEAN_MOTION_DOT", "MEAN_MOTION_DDOT")
_FIELDS = {
    1: ((3, 7, "catalogue number"), (19, 32, "epoch"), (34, 43, "mean motion's rate"),
        (45, 52, "its second rate"), (54, 61, "B*"), (65, 68, "element number")),
    2: ((3, 7, "catalogue number"), (9, 16, "inclination"), (18, 25, "node"),
        (27, 33, "eccentricity"), (35, 42, "argument of perigee"), (44, 51, "mean anomaly"),
        (53, 63, "mean motion"), (64, 68, "revolution")),
}  # fmt: skip


def is_tle(lines: list[str]) -> bool:
    """Whether some line looks like the first or second of an element set."""
    return any(re.match(r"[12] .{39}", line) for line in lines)


def checksum(line: str) -> int:
    """Sum of the digits of the first 68 columns, each minus counting as one, modulo ten."""
    return sum(int(c) if c in "0123456789" else c == "-" for c in line[:68]) % 10


def omm_from_tle(line_1: str, line_2: str) -> tuple[dict[str, str], list[tuple[int, str, str]]]:
    """OMM keywords and values of one set, and what is wrong: (line 1 or 2, problem, allowed)."""
    wrong: list[tuple[int, str, str]] = []
    matches = []
    for which, pattern, line in ((1, _LINE_1, line_1), (2, _LINE_2, line_2)):
        match = pattern.fullmatch(line)
        matches.append(match)
        if len(line) != 69:
            wrong.append((which, f"{len(line)} columns", "69"))
        elif not line.isascii():
            wrong.append((which, "a character that is not ASCII", "letters, digits, + - ."))
        elif str(checksum(line)) != line[68]:
            wrong.append((which, f"checksum {line[68]!r}", f"{checksum(line)}"))
        elif match is None:
            places = ", ".join(f"{name} {a}-{b}" for a, b, name in _FIELDS[which])
            wrong.append((which, "a value outside its columns", places))
    one, two = matches
    if one is not None and two is not None and _stripped(one) != _stripped(two):
        wrong.append((2, f"number {_stripped(two)}", f"{_stripped(one)}, as in line 1"))
    if wrong or one is None or two is None:
        return {}, wrong
    values = {k: v.strip() for k, v in (one.groupdict() | two.groupdict()).items()}
    year = int(values.pop("year"))
    year += 2000 if year < 57 else 1900
    microseconds = int(values.pop("fraction")) * 864  # 1e-8 of a day, exactly
    hours, rest = divmod(microseconds, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds = f"{rest // 1_000_000:02d}.{rest % 1_000_000:06d}"
    day = values.pop("day").zfill(3)
    values["EPOCH"] = f"{year}-{day}T{hours:02d}:{minutes:02d}:{seconds}"
    values["ECCENTRICITY"] = "0." + values["ECCENTRICITY"]
    for key in ("BSTAR", "MEAN_MOTION_DDOT"):
        text = one[key]
        values[key] = f"{text[0].strip()}0.{text[1:6]}e{text[6:]}"
    cospar = values.pop("cospar")
    if re.fullmatch(r"\d{5}[A-Z]{1,3}", cospar, re.ASCII):
        launch = int(cospar[:2])
        cospar = f"{launch + (2000 if launch < 57 else 1900)}-{cospar[2:]}"
    values["OBJECT_ID"] = cospar
    return values, []


def _stripped(match: re.Match[str]) -> str:
    return match["NORAD_CAT_ID"].strip().lstrip("0") or "0"

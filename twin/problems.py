"""What is wrong with something a user gave us: where, what, what is allowed, what to do."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input, in words."""

    where: str
    problem: str
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        allowed = self.allowed and f"allowed: {self.allowed}"
        return f"{self.where}: " + "; ".join(filter(None, (self.problem, allowed, self.hint)))


class InputError(ValueError):
    """Bad input, with every problem found: one line each. The command exits with 2."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint that names the nearest valid word, or none."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""

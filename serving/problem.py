"""What goes wrong here, said in a way that tells a person what to do: one line each."""

import difflib
from collections.abc import Iterable


class UsageProblem(ValueError):
    """Bad input: where, what is wrong, what would be right, and perhaps a hint.

    ``problems`` lets the command line print any number of these, one line each, with exit code 2.
    """

    def __init__(self, where: str, problem: str, allowed: str = "", hint: str = ""):
        said = (problem, allowed and f"allowed: {allowed}", hint)
        super().__init__(f"{where}: " + "; ".join(filter(None, said)))
        self.where, self.problem, self.allowed, self.hint = where, problem, allowed, hint

    @property
    def problems(self) -> list["UsageProblem"]:
        """This problem, as a list of one."""
        return [self]


class ServingProblem(RuntimeError):
    """The input was right and the run failed all the same: what happened and what to do. Exit 1.

    ``kind`` is a word for programs, such as ``port in use``; ``log`` the last lines of a server.
    """

    def __init__(self, problem: str, hint: str = "", *, kind: str = "", log: str = ""):
        super().__init__("; ".join(filter(None, (problem, hint))))
        self.problem, self.hint, self.kind, self.log = problem, hint, kind, log


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint that names the nearest valid word, or none."""
    close = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""

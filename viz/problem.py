"""What a person did that cannot be drawn, said in a way that tells them what can."""


class UsageProblem(Exception):
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


class DrawingProblem(RuntimeError):
    """This machine cannot draw; the message says why and ``hint`` what to install."""

    def __init__(self, problem: str, hint: str):
        super().__init__(f"{problem}; {hint}")
        self.problem, self.hint = problem, hint

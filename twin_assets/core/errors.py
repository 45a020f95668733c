"""The one error type that users see: what is wrong, and what to do about it."""


class TwinError(Exception):
    """A problem a person can mend. `str()` names the thing, then the fix."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem} Fix: {fix}")
        self.problem = problem
        self.fix = fix

"""The one error type that users see: what is wrong, and what to do about it."""

import copyreg
import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

P = ParamSpec("P")


class TwinError(Exception):
    """A problem a person can mend. `str()` names the thing, then the fix."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem} Fix: {fix}")
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        """Exceptions are made anew from the whole sentence, which is one argument here where two are needed."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


def tells_errors(main: Callable[P, int]) -> Callable[P, int]:
    """A process's entry point whose TwinError is printed to standard error, without a traceback, and gives exit status 1."""

    @functools.wraps(main)
    def telling(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except TwinError as error:
            print(error, file=sys.stderr)
            return 1

    return telling

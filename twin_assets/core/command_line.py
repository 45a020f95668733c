"""How every command of the platform ends when what was asked for can't be done."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from twin_assets.core.errors import TwinError

P = ParamSpec("P")


def tells_errors(main: Callable[P, int]) -> Callable[P, int]:
    """An entry point whose TwinError is printed to standard error, without a traceback, and gives exit status 1."""

    @functools.wraps(main)
    def telling(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except TwinError as error:
            print(error, file=sys.stderr)
            return 1

    return telling

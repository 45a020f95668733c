"""Looks in the background whether the parts that answers need work: a caller is told the last look, at no cost."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel

LOOK_SECONDS = 5.0
# A look that takes longer hangs at a part, which is as good as down.
STALE_SECONDS = 20.0

logger = logging.getLogger("serving")


class State(BaseModel):
    """By part `ok` or the kind of its error, as seen `seconds_old` ago; None and no parts before the first look has
    ended. `stale`: a look has not ended in time."""

    status: Literal["ok", "degraded", "down", "starting"]
    parts: dict[str, str]
    seconds_old: float | None
    stale: bool = False
    ledger_seconds_old: float | None = None


# Without these an answer is still given: texts without passages, and by the releases that were known last.
SPARED = {"retrieval", "lake"}


class Readiness:
    """Looks at each part every `every` seconds, the first time at once. A check raises what is wrong with its part.

    A part that is down shows after `every` seconds and its own time limit, one that hangs after `stale`.
    """

    def __init__(
        self,
        checks: Mapping[str, Callable[[], object]],
        every: float = LOOK_SECONDS,
        stale: float = STALE_SECONDS,
    ) -> None:
        self._checks, self._every, self._stale = checks, every, stale
        self._seen: tuple[dict[str, str], float] | None = None
        self._began, self._wrong = time.monotonic(), dict[str, str]()
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True, name="readiness").start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def state(self) -> State:
        """The last look. `degraded` when only passages or the lake are missing: texts can be written, questions can't be
        answered without passages, and no release is followed without the lake."""
        now = time.monotonic()
        parts, at = self._seen or ({}, self._began)
        if now - at > self._stale:
            return State(
                status="down", parts=parts, seconds_old=self._seen and round(now - at, 1), stale=True
            )
        if self._seen is None:
            return State(status="starting", parts=parts, seconds_old=None)
        wrong = {name for name, state in parts.items() if state != "ok"}
        status: Literal["ok", "degraded", "down"] = "ok"
        if wrong:
            status = "degraded" if wrong <= SPARED else "down"
        return State(status=status, parts=parts, seconds_old=round(now - at, 1))

    def _look(self) -> None:
        while not self._over.is_set():
            parts = {name: self._checked(name, check) for name, check in self._checks.items()}
            self._seen = parts, time.monotonic()
            self._over.wait(self._every)

    def _checked(self, name: str, check: Callable[[], object]) -> str:
        """`ok` or the kind of the error. Anybody may ask, so the details are for the log, once each time they change."""
        try:
            check()
        except Exception as error:
            told = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            if self._wrong.get(name) != told:
                logger.warning("%s does not answer: %s", name, told)
            self._wrong[name] = told
            return type(error).__name__
        if self._wrong.pop(name, None):
            logger.info("%s answers again", name)
        return "ok"

"""What a caller of a server that is away does: give up in time, or ask again for a while."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from twin_assets.core.errors import TwinError

PAUSE_SECONDS = 1.0  # between two times that a server is asked again

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class StoreAway(TwinError):
    """The server of the index can't be reached, or does not answer in time."""


def within(seconds: float, ask: Callable[[], Result]) -> Result:
    """What `ask` returns or raises; StoreAway when that takes longer than `seconds`.

    The call is then left to end by itself: a client's own retries, of a minute and more, can't be called off.
    """
    asked: Future[Result] = Future()

    def run() -> None:
        try:
            asked.set_result(ask())
        except BaseException as error:
            asked.set_exception(error)

    Thread(target=run, daemon=True, name="vector store").start()
    try:
        return asked.result(seconds)
    except TimeoutError:
        if asked.done():  # its own
            raise
        raise StoreAway(
            f"The vector store has not answered within {seconds:.3g} seconds.",
            "see whether its server works.",
        ) from None


class Patience:
    """Asks a server that is away again, until for `seconds` nothing has come of it."""

    def __init__(self, seconds: float, reconnect: Callable[[], None]) -> None:
        """`reconnect` gives up the connection, so that the next call opens another."""
        self._seconds, self._reconnect = seconds, reconnect
        self._progress = time.monotonic()

    def call(self, ask: Callable[[], Result]) -> Result:
        """What `ask` returns or raises; it may be called many times. StoreAway when the patience is at its end."""
        first: StoreAway | None = None  # what is told of it: later ones are of its being away
        while True:
            left = self._progress + self._seconds - time.monotonic()
            try:
                # At most half of it: a client that waits for its next retry does not see the server come back.
                result = within(max(min(left, self._seconds / 2), 0.001), ask)
            except StoreAway as error:
                self._reconnect()
                left = self._progress + self._seconds - time.monotonic()
                if left <= 0:
                    raise first or error from None
                if first is None:
                    logger.warning("asked again for %.0f s: %s", left, error.problem)
                first = first or error
                time.sleep(min(PAUSE_SECONDS, left))
            else:
                self._progress = time.monotonic()
                if first:
                    logger.info("the vector store answers again")
                return result

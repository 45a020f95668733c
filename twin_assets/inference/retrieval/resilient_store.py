"""A vector store that may be down: opened when it is first asked, given up in time, and not asked while it is away."""

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from circuitbreaker import STATE_HALF_OPEN, CircuitBreaker

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Passage, Visibility
from twin_assets.core.vectors.away import StoreAway, within
from twin_assets.core.vectors.base import Filters, VectorStore
from twin_assets.core.vectors.common import BuiltBefore, EmbedderMismatch

FIX = "see whether the vector store runs and holds the persona's index; it is looked for all the while."
PROBE_SECONDS = 1  # a server that is away is looked for as often

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class RetrievalUnavailable(TwinError):
    """The vector store can't be searched now. Facts can't be answered without it; texts can be written."""


class Breaker:
    """Of one server: after a call that it did not answer no other is made, until a probe of its own was answered.

    The probe runs beside the requests, which are refused at once meanwhile.
    """

    def __init__(self, seconds: float | None) -> None:
        """Calls take at most `seconds`; None where there is no server, and nothing to wait for."""
        self._seconds = seconds
        self._state = CircuitBreaker(
            failure_threshold=1, recovery_timeout=PROBE_SECONDS, expected_exception=StoreAway
        )
        self._probing = threading.Lock()

    def call(self, ask: Callable[[], Result], forget: Callable[[], None]) -> Result:
        """What `ask` returns or raises. StoreAway when it takes too long, after `forget`; or when the breaker is open."""
        if self._seconds is None:
            return ask()
        if self._state.closed:
            return self._try(self._seconds, ask, forget)
        if self._state.state == STATE_HALF_OPEN and self._probing.acquire(blocking=False):
            probe = functools.partial(self._probe, self._seconds, ask, forget)
            threading.Thread(target=probe, daemon=True, name="vector store probe").start()
        failure = self._state.last_failure
        raise StoreAway(failure.problem if isinstance(failure, TwinError) else "It is away.", FIX)

    def _try(self, seconds: float, ask: Callable[[], Result], forget: Callable[[], None]) -> Result:
        try:
            with self._state:
                return within(seconds, ask)
        except StoreAway:
            forget()
            raise

    def _probe(self, seconds: float, ask: Callable[[], object], forget: Callable[[], None]) -> None:
        try:
            self._try(seconds, ask, forget)
        except Exception as error:  # the breaker has seen whether it was an answer
            logger.debug("the vector store was looked for: %s", error)
        finally:
            self._probing.release()


class ResilientVectorStore:
    """`search` of a persona's store. Any failure but a foreign embedder is RetrievalUnavailable.

    An index that is gone finds nothing, like one that holds nothing fitting: that must not pass for a corpus
    without an answer, so an empty index counts as unavailable too.
    """

    def __init__(self, open_it: Callable[[], VectorStore], breaker: Breaker | None = None) -> None:
        """Stores on one server share its `breaker`."""
        self._open, self._breaker = open_it, breaker or Breaker(None)
        self._store: VectorStore | None = None
        self._asked_at, self._sleeps = time.monotonic(), False
        self._lock = threading.Lock()

    def search(
        self,
        text: str,
        vector: np.ndarray,
        k: int,
        *,
        embedder: str,
        filters: Filters | None = None,
        alpha: float = 0.7,
        audience: Visibility = "public",
    ) -> list[Passage]:
        """As VectorStore has it. Raises RetrievalUnavailable, and EmbedderMismatch."""
        self._asked_at, self._sleeps = time.monotonic(), False

        def ask(store: VectorStore) -> tuple[list[Passage], bool]:
            passages = store.search(
                text, vector, k, embedder=embedder, filters=filters, alpha=alpha, audience=audience
            )
            return passages, not passages and store.count() == 0

        passages, empty = self._asked(ask)
        if empty:
            self.forget()
            raise RetrievalUnavailable("The vector index is empty or gone.", FIX)
        return passages

    def sleeps(self, after: float | None) -> bool:
        """Whether the index is out of the server's memory, where it is put when nobody searched for `after` seconds.

        Raises RetrievalUnavailable when the store doesn't answer.
        """
        if after is not None and not self._sleeps and time.monotonic() - self._asked_at > after:
            self._asked(lambda store: store.sleep())
            self._sleeps = True
        return self._sleeps

    def check(self) -> None:
        """Raises RetrievalUnavailable when the store doesn't answer."""
        if self._asked(lambda store: store.count()) == 0:
            self.forget()
            raise RetrievalUnavailable("The vector index is empty or gone.", FIX)

    def forget(self, *, broken: bool = False) -> None:
        """Close the store; the next request opens it anew."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close(broken=broken)

    def _asked(self, ask: Callable[[VectorStore], Result]) -> Result:
        try:
            self._opened()  # outside of the time for an answer: it may load a library
            return self._breaker.call(lambda: ask(self._opened()), lambda: self.forget(broken=True))
        except EmbedderMismatch:
            raise
        except BuiltBefore as error:
            raise RetrievalUnavailable(error.problem, error.fix) from error
        except Exception as error:
            if not isinstance(error, StoreAway):
                self.forget()
            raise RetrievalUnavailable(f"The vector store does not answer ({_short(error)}).", FIX) from error

    def _opened(self) -> VectorStore:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

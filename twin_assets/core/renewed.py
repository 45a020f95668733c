"""What is read from elsewhere again and again, off the way of whoever needs it: what was read last holds meanwhile."""

import random
import threading
import time
from collections.abc import Callable

from twin_assets.core.errors import TwinError

# Between two attempts while reading fails; drawn at random up to twice as long each time.
AGAIN_SECONDS, LONGEST_SECONDS = 1.0, 15.0
# For the first read, without which there is no answer.
FIRST_SECONDS = 10.0


class NotYetRead(TwinError):
    """Nothing is known yet, and reading takes long."""


class Renewed:
    """Has `read` run when what it read last is older than `fresh` seconds: in a thread of its own, one at a time.

    `read` says how many seconds old it is what it has just read. Whoever asks waits for a run for its first `wait` seconds,
    and not at all after one that failed: what was known holds, and reading is tried again after pauses. While nothing is
    `known` they wait FIRST_SECONDS.
    """

    def __init__(
        self, read: Callable[[], float], fresh: float, wait: float, known: Callable[[], bool] = lambda: False
    ) -> None:
        self._read, self._fresh, self._wait, self._known_before = read, fresh, wait, known
        self._lock = threading.Lock()
        self._running: tuple[threading.Event, float] | None = None
        self._next = float("-inf")
        self._failures, self._succeeded, self._forgotten = 0, False, False
        self.error: Exception | None = None  # of the last run; None after one that succeeded

    @property
    def due(self) -> bool:
        """Whether the next who asks may have to wait."""
        return time.monotonic() >= self._next

    @property
    def known(self) -> bool:
        """Whether there is something that holds meanwhile."""
        return self._succeeded or self._known_before()

    @property
    def running_seconds(self) -> float:
        """How long the run that goes on has been going; 0 when none is."""
        running = self._running
        return time.monotonic() - running[1] if running else 0.0

    def renew(self) -> None:
        """Have it read if that is due. While nothing is known, raises the error of the last run, or NotYetRead."""
        running = self._begun()
        if running and self.error is None:
            over, began = running
            over.wait(max(began + (self._wait if self.known else FIRST_SECONDS) - time.monotonic(), 0.0))
        if self.known:
            return
        if self.error is not None:
            raise self.error
        raise NotYetRead(
            f"What is needed was never read, and there has been no answer for {FIRST_SECONDS:g} s.",
            "see that the lake is reached, and ask again.",
        )

    def forget(self) -> None:
        """What was read holds no more: the next who asks has it read."""
        with self._lock:
            self._next, self._forgotten = float("-inf"), True

    def _begun(self) -> tuple[threading.Event, float] | None:
        """The run that goes on, begun now if one is due, and when it began."""
        with self._lock:
            if self._running is None and self.due:
                self._running, self._forgotten = (threading.Event(), time.monotonic()), False
                threading.Thread(target=self._run, args=self._running[:1], daemon=True, name="renew").start()
            return self._running

    def _run(self, over: threading.Event) -> None:
        error: Exception | None = None
        age = 0.0
        try:
            age = self._read()
        except Exception as failure:
            error = failure.with_traceback(None)  # its frames would hold what they passed through
        with self._lock:
            self.error, self._running = error, None
            if error is None:
                self._succeeded, self._failures, pause = True, 0, max(self._fresh - age, 0.0)
            else:
                self._failures += 1
                pause = random.uniform(AGAIN_SECONDS, min(AGAIN_SECONDS * 2**self._failures, LONGEST_SECONDS))
            self._next = float("-inf") if self._forgotten else time.monotonic() + pause
        over.set()

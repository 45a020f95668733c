"""What this process saw of the versions that it serves, for `core.release_watch`. Never what was asked."""

import os
import secrets
import socket
import threading
from collections import deque

from twin_assets.core.lake import Lake
from twin_assets.core.release_watch import LATENCIES, Seen, Tally, write_seen


class _Counter:
    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.seconds: deque[float] = deque(maxlen=LATENCIES)


class Observations:
    """Counts by persona, ledger event and version; `write` stores those that have changed."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._process = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, int], dict[str, _Counter]] = {}
        self._changed: set[tuple[str, int]] = set()

    def answered(self, persona: str, since: int, model: str, seconds: float) -> None:
        """A request ended well after so many seconds."""
        self._count(persona, since, model, seconds)

    def failed(self, persona: str, since: int, model: str) -> None:
        """A request failed through no fault of who asked, or the model could not be loaded."""
        self._count(persona, since, model, None)

    def _count(self, persona: str, since: int, model: str, seconds: float | None) -> None:
        with self._lock:
            counter = self._counters.setdefault((persona, since), {}).setdefault(model, _Counter())
            counter.requests += 1
            if seconds is None:
                counter.errors += 1
            else:
                counter.seconds.append(seconds)
            self._changed.add((persona, since))

    def write(self, persona: str) -> None:
        """Store what has changed."""
        with self._lock:
            due = [key for key in self._changed if key[0] == persona]
            seen = {key: self._seen(key) for key in due}
            self._changed.difference_update(due)
            newest = max((since for name, since in self._counters if name == persona), default=0)
            # Requests that began before the last change may still end, so two are kept.
            old = [k for k in self._counters if k[0] == persona and k[1] < newest and k not in seen]
            for key in sorted(old)[:-1]:
                del self._counters[key]
        for (_, since), what in seen.items():
            write_seen(self._lake, persona, since, self._process, what)

    def _seen(self, key: tuple[str, int]) -> Seen:
        return Seen(
            models={
                model: Tally(requests=c.requests, errors=c.errors, seconds=[round(s, 4) for s in c.seconds])
                for model, c in self._counters[key].items()
            }
        )

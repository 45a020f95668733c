"""This process writes down what it saw of the versions that it serves, for `core.release.canary`. Never what was asked."""

import hashlib
import os
import secrets
import socket
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from twin_assets.core.release.canary import LATENCIES, Asked, Seen, Tally, write_seen
from twin_assets.core.storage.lake import Lake

MAX_CALLERS = 256  # callers are told apart by a byte of a hash: enough for votes, and nobody is named


class _Counter:
    """Of one version: requests, errors and latencies of each caller, and failures to load."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LATENCIES))
        self.unloaded = 0

    def tally(self) -> Tally:
        return Tally(
            callers={
                who: Asked(
                    requests=n, errors=self.errors[who], seconds=[round(s, 4) for s in self.seconds[who]]
                )
                for who, n in self.requests.items()
            },
            unloaded=self.unloaded,
        )


class Observations:
    """Counts by persona, ledger event, version and caller; `write` stores those that have changed."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._process = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, int], dict[str, _Counter]] = {}
        self._changed: set[tuple[str, int]] = set()

    def answered(self, persona: str, since: int, model: str, seconds: float, caller: str) -> None:
        """A request ended well after so many seconds."""
        with self._counted(persona, since, model) as counter:
            who = _who(caller)
            counter.requests[who] += 1
            counter.seconds[who].append(seconds)

    def failed(self, persona: str, since: int, model: str, caller: str) -> None:
        """The model failed while it wrote. What a request can't be given for its own sake is none of this."""
        with self._counted(persona, since, model) as counter:
            who = _who(caller)
            counter.requests[who] += 1
            counter.errors[who] += 1

    def not_loaded(self, persona: str, since: int, model: str) -> None:
        """The model could not be loaded, or not write a word."""
        with self._counted(persona, since, model) as counter:
            counter.unloaded += 1

    @contextmanager
    def _counted(self, persona: str, since: int, model: str) -> Iterator[_Counter]:
        with self._lock:
            yield self._counters.setdefault((persona, since), {}).setdefault(model, _Counter())
            self._changed.add((persona, since))

    def write(self, persona: str) -> bool:
        """Store what has changed; whether anything had. What could not be stored is tried again."""
        with self._lock:
            due = [key for key in self._changed if key[0] == persona]
            seen = {key: self._seen(key) for key in due}
            self._changed.difference_update(due)
            newest = max((since for name, since in self._counters if name == persona), default=0)
            # Requests that began before the last change may still end, so two are kept.
            old = [k for k in self._counters if k[0] == persona and k[1] < newest and k not in seen]
            for key in sorted(old)[:-1]:
                del self._counters[key]
        try:
            for (_, since), what in seen.items():
                write_seen(self._lake, persona, since, self._process, what)
        except Exception:
            with self._lock:
                self._changed.update(due)
            raise
        return bool(due)

    def _seen(self, key: tuple[str, int]) -> Seen:
        return Seen(models={model: counter.tally() for model, counter in self._counters[key].items()})


def _who(caller: str) -> str:
    return f"{hashlib.sha256(caller.encode()).digest()[0] % MAX_CALLERS:02x}"

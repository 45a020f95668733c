"""Rates counted over all replicas, in the PostgreSQL that they share.

A bucket is one time, as in the generic cell rate algorithm (ATM Forum TM 4.0, "virtual scheduling"): when it will be full
again. The server's clock counts for all. While the database is away each process counts for itself, as without one.
"""

import hashlib
import logging
import queue
import threading
import time
from contextlib import suppress
from typing import Any

from serving.access.limits import RateLimit
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.database import DatabaseAway, ask, connect
from twin_assets.settings import Settings

SECONDS = 1.0  # that a request waits for the count at most
REST_SECONDS = 5.0  # after a failure, until the database is asked again
SWEEP_SECONDS = 60.0
MAX_IDLE = 8  # connections that stay open

_TABLE = "create unlogged table if not exists twin_rate_limits (name text primary key, full_at timestamptz not null)"
# No row comes back where that many would be one too many.
_TAKE = """
insert into twin_rate_limits as bucket values (%(name)s, clock_timestamp() + %(each)s * interval '1 second')
on conflict (name) do update set full_at = greatest(bucket.full_at, clock_timestamp()) + %(each)s * interval '1 second'
where greatest(bucket.full_at, clock_timestamp()) + %(each)s * interval '1 second' <= clock_timestamp() + interval '1 minute'
returning 1"""
_LEFT = """
select extract(epoch from full_at - clock_timestamp())::float + %s - 60 from twin_rate_limits where name = %s"""
_GIVE_BACK = "update twin_rate_limits set full_at = full_at - %s * interval '1 second' where name = %s"
_SWEEP = "delete from twin_rate_limits where full_at < clock_timestamp()"

logger = logging.getLogger(__name__)


class Counter:
    """The connections of one process, and whether the database is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._made = self._away = False
        self._rests_until = self._swept = 0.0

    def ask(self, statement: str, values: Any) -> list[tuple[Any, ...]] | None:
        """The rows; None while the database is away, which is said once."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            rows = self._asked(statement, values)
        except TwinError as error:
            self._rest(error)
            return None
        if self._away:
            self._away = False
            logger.info("rates are counted in the database again")
        return rows

    def _asked(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        connection = self._connection()
        try:
            if not self._made:
                self._make_table(connection)
            rows = ask(connection, SECONDS, statement, values)
            if time.monotonic() > self._swept + SWEEP_SECONDS:
                self._swept = time.monotonic()
                ask(connection, SECONDS, _SWEEP)
        except BaseException:
            connection.close()
            raise
        if self._idle.qsize() < MAX_IDLE:
            self._idle.put(connection)
        else:
            connection.close()
        return rows

    def _connection(self) -> Any:
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        return connect(self._settings, SECONDS)

    def _make_table(self, connection: Any) -> None:
        try:
            ask(connection, SECONDS, _TABLE)
        except DatabaseAway:  # another makes it at this moment, which PostgreSQL calls an error
            ask(connection, SECONDS, "select from twin_rate_limits")
        self._made = True

    def _rest(self, error: TwinError) -> None:
        with self._lock:
            self._rests_until = time.monotonic() + REST_SECONDS
            if not self._away:
                self._away = True
                logger.warning("each replica counts rates for itself: %s", error)
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


class SharedRateLimit(RateLimit):
    """A token bucket for each name, of all replicas together. `kind` keeps the names of one limit from those of another."""

    def __init__(self, per_minute: float, kind: str, counter: Counter) -> None:
        super().__init__(per_minute)
        self._kind, self._counter = kind, counter

    def wait(self, name: str, per_minute: float | None = None) -> float:
        """Take a token. 0 when there was one, else the seconds until there will be. Asks the database: not for an event loop."""
        most = self.per_minute if per_minute is None else per_minute
        if most <= 0:
            return 0.0
        # What is too much already for this process alone is refused without asking; so it counts while nobody can be asked.
        if here := super().wait(name, per_minute):
            return here
        each, key = 60 / most, self._key(name)
        taken = self._counter.ask(_TAKE, {"name": key, "each": each})
        if taken is None or taken:
            return 0.0
        left = self._counter.ask(_LEFT, (each, key))
        return max(float(left[0][0]), 0.001) if left else 0.001

    def give_back(self, name: str) -> None:
        """Put the token back that `wait` took."""
        super().give_back(name)
        if self.per_minute > 0:
            self._counter.ask(_GIVE_BACK, (60 / self.per_minute, self._key(name)))

    def _key(self, name: str) -> str:
        """No address stands in the table."""
        return hashlib.blake2b(f"{self._kind} {name}".encode(), digest_size=16).hexdigest()


class Limits:
    """The limits of a service: over all replicas where there is a database."""

    def __init__(self, settings: Settings) -> None:
        self._counter = Counter(settings) if settings.database_url else None

    @property
    def shared(self) -> bool:
        return self._counter is not None

    def limit(self, kind: str, per_minute: float) -> RateLimit:
        if self._counter is None:
            return RateLimit(per_minute)
        return SharedRateLimit(per_minute, kind, self._counter)

"""Rates, and places in the queue, counted over all replicas, in the PostgreSQL that they share.

A bucket is one time, as in the generic cell rate algorithm (ATM Forum TM 4.0, "virtual scheduling"): when it will be full
again. Of places each process says in a row of its own which callers have them there, and reads the rows of the others.
The server's clock counts for all. While the database is away each process counts for itself, as without one.
"""

import asyncio
import collections
import hashlib
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any

import anyio
import anyio.to_thread

from serving.access.limits import Admission, Elsewhere, RateLimit
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.database import DatabaseAway, ask, connect
from twin_assets.settings import Settings

SECONDS = 1.0  # that a request waits for the count at most
REST_SECONDS = 5.0  # after a failure, until the database is asked again
SWEEP_SECONDS = 60.0
MAX_IDLE = 8  # connections that stay open
TELL_SECONDS = 0.5  # between two exchanges of places
# A row of places counts for so long: of a process that was killed, or that no longer reaches the database.
STALE_SECONDS = 3.0

_TABLES = {
    "twin_rate_limits": "name text primary key, full_at timestamptz not null",
    "twin_places": "process text primary key, told_at timestamptz not null, places integer not null, callers jsonb not null",
}
# No row comes back where that many would be one too many.
_TAKE = """
insert into twin_rate_limits as bucket values (%(name)s, clock_timestamp() + %(each)s * interval '1 second')
on conflict (name) do update set full_at = greatest(bucket.full_at, clock_timestamp()) + %(each)s * interval '1 second'
where greatest(bucket.full_at, clock_timestamp()) + %(each)s * interval '1 second' <= clock_timestamp() + interval '1 minute'
returning 1"""
_LEFT = """
select extract(epoch from full_at - clock_timestamp())::float + %s - 60 from twin_rate_limits where name = %s"""
_GIVE_BACK = "update twin_rate_limits set full_at = full_at - %s * interval '1 second' where name = %s"
_TELL = """
with mine as (
    insert into twin_places values (%(process)s, clock_timestamp(), %(places)s, %(callers)s)
    on conflict (process) do update set told_at = excluded.told_at, places = excluded.places, callers = excluded.callers)
select places, callers from twin_places
where process <> %(process)s and told_at > clock_timestamp() - %(stale)s * interval '1 second'"""
_TELL_NOTHING = "delete from twin_places where process = %(process)s"
_SWEEPS = (
    "delete from twin_rate_limits where full_at < clock_timestamp()",
    "delete from twin_places where told_at < clock_timestamp() - interval '1 minute'",
)

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
            logger.info("limits are counted in the database again")
        return rows

    def _asked(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        connection = self._connection()
        try:
            if not self._made:
                self._make_tables(connection)
            rows = ask(connection, SECONDS, statement, values)
            if time.monotonic() > self._swept + SWEEP_SECONDS:
                self._swept = time.monotonic()
                for sweep in _SWEEPS:
                    ask(connection, SECONDS, sweep)
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

    def _make_tables(self, connection: Any) -> None:
        for name, columns in _TABLES.items():
            try:
                ask(connection, SECONDS, f"create unlogged table if not exists {name} ({columns})")
            except DatabaseAway:  # another makes it at this moment, which PostgreSQL calls an error
                ask(connection, SECONDS, f"select from {name} limit 0")
        self._made = True

    def _rest(self, error: TwinError) -> None:
        with self._lock:
            self._rests_until = time.monotonic() + REST_SECONDS
            if not self._away:
                self._away = True
                logger.warning("each replica counts limits for itself: %s", error)
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
        each, key = 60 / most, _hashed(self._kind, name)
        taken = self._counter.ask(_TAKE, {"name": key, "each": each})
        if taken is None or taken:
            return 0.0
        left = self._counter.ask(_LEFT, (each, key))
        return max(float(left[0][0]), 0.001) if left else 0.001

    def give_back(self, name: str) -> None:
        """Put the token back that `wait` took."""
        super().give_back(name)
        if self.per_minute > 0:
            self._counter.ask(_GIVE_BACK, (60 / self.per_minute, _hashed(self._kind, name)))


class SharedAdmission:
    """An admission that knows what its callers have at other replicas, as it was about TELL_SECONDS ago.

    The event loop waits for no database: a thread asks, while anything is in hand here, and nothing is asked otherwise.
    """

    def __init__(self, here: Admission, counter: Counter) -> None:
        self._here, self._counter = here, counter
        self._process = uuid.uuid4().hex
        self._telling: asyncio.Task[None] | None = None

    async def enter(self, caller: str) -> None:
        """Take a place here. Raises QueueFull."""
        if self._telling is None or self._telling.done():
            # In a context of its own: it is no part of the request that happens to be the first.
            self._telling = asyncio.create_task(self._tell(), context=Context())
        await self._here.enter(_hashed("place", caller))

    def leave(self, caller: str) -> None:
        """Give the place back, to who is next."""
        self._here.leave(_hashed("place", caller))

    async def _tell(self) -> None:
        thread = anyio.CapacityLimiter(1)  # of its own: those of requests may all be taken
        while True:
            callers = self._here.callers()
            rows = await anyio.to_thread.run_sync(
                self._exchange, callers, limiter=thread, abandon_on_cancel=True
            )
            self._here.heed(_summed(rows))
            if not callers and not self._here.callers():
                return
            await asyncio.sleep(TELL_SECONDS)

    def _exchange(self, callers: dict[str, tuple[int, int]]) -> list[tuple[Any, ...]]:
        values = {
            "process": self._process,
            "places": self._here.places,
            "callers": json.dumps(callers),
            "stale": STALE_SECONDS,
        }
        return self._counter.ask(_TELL if callers else _TELL_NOTHING, values) or []


def _summed(rows: Iterable[tuple[Any, ...]]) -> Elsewhere:
    places, running, waiting = 0, collections.Counter[str](), collections.Counter[str]()
    for theirs, callers in rows:
        places += theirs
        for name, (run, wait) in callers.items():
            running[name] += run
            waiting[name] += wait
    return Elsewhere(places, running, waiting)


def _hashed(kind: str, name: str) -> str:
    """No address stands in a table."""
    return hashlib.blake2b(f"{kind} {name}".encode(), digest_size=16).hexdigest()


class Limits:
    """The limits of a service: over all replicas where there is a database."""

    def __init__(self, settings: Settings) -> None:
        self._counter = Counter(settings) if settings.database_url else None

    @property
    def shared(self) -> bool:
        return self._counter is not None

    def admission(self, here: Admission) -> Admission | SharedAdmission:
        return SharedAdmission(here, self._counter) if self._counter else here

    def limit(self, kind: str, per_minute: float) -> RateLimit:
        if self._counter is None:
            return RateLimit(per_minute)
        return SharedRateLimit(per_minute, kind, self._counter)

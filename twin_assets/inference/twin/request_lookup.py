"""Finds one logged request by its id and by who asked it, without reading the log again and again."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.request_log import FOLDER, NOTE, RequestRecord, read_object

DAYS = 30
# An id that nobody was given must cost little: of objects that were not seen before so many are read for one look, the
# newest first, and of so many requests the ids are kept.
MAX_READ, MAX_KEPT = 500, 200_000


class RequestLookup:
    """Of one process. What an object of the log holds is read once: objects are replaced and never changed."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._lock = lake, threading.Lock()
        self._ids: OrderedDict[str, frozenset[str]] = OrderedDict()  # by object, the newest at the end
        self._kept = 0

    def find(
        self, persona: str, request_id: str, caller: str, today: datetime | None = None
    ) -> RequestRecord | None:
        """The newest request with that id which `caller` (`RequestRecord.key`) asked in the last DAYS days; None when
        there is none, or it is beyond what is looked at."""
        now, unread = today or datetime.now(UTC), MAX_READ
        for key in self._newest_first(f"{FOLDER}/{persona}", now):
            ids = self._ids.get(key)
            if ids is None:
                if unread == 0:
                    return None
                unread, ids = unread - 1, self._read(key)
            if request_id in ids and (row := self._of(key, request_id, caller)):
                return row
        return None

    def _newest_first(self, log: str, now: datetime) -> Iterator[str]:
        """Objects of today, and then of the days before, which are few a day by now: two listings."""
        today, first = f"{log}/{now:%Y-%m-%d}", f"{log}/{now - timedelta(days=DAYS):%Y-%m-%d}"
        days_before = (key for key in self._lake.keys(log, first) if key < today)
        for keys in (self._lake.keys(today), days_before):
            yield from sorted((key for key in keys if not key.endswith(NOTE)), reverse=True)

    def _of(self, key: str, request_id: str, caller: str) -> RequestRecord | None:
        rows = read_object(self._lake, key)
        return next((r for r in reversed(rows) if r.request_id == request_id and r.key == caller), None)

    def _read(self, key: str) -> frozenset[str]:
        ids = frozenset(row.request_id for row in read_object(self._lake, key))
        with self._lock:
            if key not in self._ids:
                self._ids[key] = ids
                self._kept += len(ids)
            while self._kept > MAX_KEPT and len(self._ids) > 1:
                self._kept -= len(self._ids.popitem(last=False)[1])
        return ids

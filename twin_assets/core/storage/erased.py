"""What was erased for good: an append-only list in the lake, which whoever reads or stores rows applies.

An erasure appends to the list first, and takes the rows out then. Whoever stores rows looks at the list once they are
stored, and takes out what is on it (`settle`). Of the two that work at the same time, whichever looks last sees the
other's: without a lock, on any number of machines. Until then no reader shows a row that is on the list.

The list holds hashes and times, nothing of what was erased: `erased/<persona>/<time>-<random>.json`. Beside an entry
lies `….done` once every place that may hold its rows was seen to.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.read_once import ReadOnce

FOLDER = "erased"
# Certificates of persons who were deleted: `deletions/<persona>/<time>.json`.
DELETIONS = "deletions"
_DONE = ".done"


class Caller(Record):
    """Requests of a caller up to a time: of an API key, of one of its users, or both (hashes, see `_hash`)."""

    key: str | None = None
    user: str | None = None
    until: datetime


class Entry(Record):
    """One erasure: hashes of request ids, callers, ids of dataset rows, ids of documents. `texts` are hashes of ids of
    requests that stay, but for their texts."""

    at: datetime
    texts: list[str] = []
    requests: list[str] = []
    callers: list[Caller] = []
    rows: list[str] = []
    documents: list[str] = []


class Asked(Record):
    """A logged request, its score, or a reaction to it."""

    request_id: str
    time: datetime


# Those fields of such a row that hold somebody's words.
TEXTS = {"prompt", "answer", "brief", "edited", "comment", "understood_as", "citations"}
Row = TypeVar("Row", bound=Asked)


# One a process: the list is asked for wherever rows are read or stored, by a lake that was opened anew. Hashes alone.
ENTRIES = ReadOnce(Entry.model_validate_json, most=10_000)


class ErasedList:
    """The list of one persona as it was read. Two are equal when they hold the same entries."""

    def __init__(self, persona: str, entries: dict[str, Entry]) -> None:
        self.persona, self.entries = persona, entries
        self.requests = frozenset(one for entry in entries.values() for one in entry.requests)
        self.texts = frozenset(one for entry in entries.values() for one in entry.texts)
        self.callers = [one for entry in entries.values() for one in entry.callers]
        self.rows = frozenset(one for entry in entries.values() for one in entry.rows)
        self.documents = frozenset(one for entry in entries.values() for one in entry.documents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ErasedList) and self.entries.keys() == other.entries.keys()

    __hash__ = None  # type: ignore[assignment]

    def has(self, row: Asked) -> bool:
        """Whether a logged request, its score, or a reaction to it is erased."""
        if self.requests and _hash(self.persona, row.request_id) in self.requests:
            return True
        return any(self._is_of(row, one) for one in self.callers if row.time <= one.until)

    def without(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that are not erased, in their order, and without their texts where those are."""
        if not (self.requests or self.callers or self.texts):
            return list(rows)
        return [self._bared(row) for row in rows if not self.has(row)]

    def _bared(self, row: Row) -> Row:
        fields = TEXTS & type(row).model_fields.keys()
        if not fields or _hash(self.persona, row.request_id) not in self.texts:
            return row
        return row.model_copy(
            update=dict.fromkeys(fields) | ({"consent": False} if "consent" in type(row).model_fields else {})
        )

    def _is_of(self, row: Asked, caller: Caller) -> bool:
        for field in ("key", "user"):
            expected, value = getattr(caller, field), getattr(row, field, None)
            if expected is not None and (
                value is None or _hash(self.persona, f"{field}/{value}") != expected
            ):
                return False
        return True


def erased_list(lake: Lake, persona: str) -> ErasedList:
    """The list as it is now. An entry never changes, so a process reads each of them once."""
    keys = [key for key in lake.keys(f"{FOLDER}/{persona}") if not key.endswith(_DONE)]
    return ErasedList(persona, {key: ENTRIES.read(lake, key) for key in keys})


def add_erased(
    lake: Lake,
    persona: str,
    *,
    requests: Iterable[str] = (),
    texts: Iterable[str] = (),
    rows: Iterable[str] = (),
    documents: Iterable[str] = (),
    key: str | None = None,
    user: str | None = None,
) -> str | None:
    """Append an entry; its key in the lake, None when there is nothing to append.

    `requests` and `texts` are ids as the log has them; `key` and `user` stand for all requests of that caller until now.
    """
    now = datetime.now(UTC)
    callers = []
    if key or user:
        callers = [Caller(
            key=_hash(persona, f"key/{key}") if key else None, user=_hash(persona, f"user/{user}") if user else None,
            until=now,
        )]  # fmt: skip
    entry = Entry(
        at=now,
        requests=sorted(_hash(persona, one) for one in requests),
        texts=sorted(_hash(persona, one) for one in texts),
        callers=callers,
        rows=sorted(rows),
        documents=sorted(documents),
    )
    if not (entry.requests or entry.texts or entry.callers or entry.rows or entry.documents):
        return None
    name = f"{FOLDER}/{persona}/{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.json"
    lake.create(name, entry.model_dump_json().encode())
    return name


def settle(lake: Lake, persona: str, take_out: Callable[[ErasedList], int]) -> int:
    """Take out what is on the list until the list has stayed the same meanwhile; the sum of what `take_out` returns.

    For erasers, and for whoever has just stored rows that might be on it.
    """
    listed, taken = erased_list(lake, persona), 0
    while True:
        taken += take_out(listed)
        now = erased_list(lake, persona)
        if now == listed:
            return taken
        listed = now


def mark_done(lake: Lake, key: str) -> None:
    """Say of an entry that every place was seen to."""
    lake.write(key.removesuffix(".json") + _DONE, b"")


def unfinished(lake: Lake, persona: str) -> dict[str, Entry]:
    """Entries of which a place may still hold rows: their erasure broke off, or a place was in use."""
    done = {key.removesuffix(_DONE) for key in lake.keys(f"{FOLDER}/{persona}") if key.endswith(_DONE)}
    entries = erased_list(lake, persona).entries
    return {key: entry for key, entry in entries.items() if key.removesuffix(".json") not in done}


def is_deleted(lake: Lake, persona: str) -> bool:
    """Whether a person of that name was deleted here, or is being deleted. One may have come again since: for whoever finds no
    declaration of them."""
    return next(iter(lake.keys(f"{DELETIONS}/{persona}")), None) is not None


def once(rows: Iterable[Row]) -> Iterator[Row]:
    """Each row once, by its id and time: while an object is being replaced, its rows lie in two."""
    seen: set[tuple[str, datetime]] = set()
    for row in rows:
        if (identity := (row.request_id, row.time)) not in seen:
            seen.add(identity)
            yield row


def _hash(persona: str, text: str) -> str:
    return text_hash(f"{persona}/{text}", 32)

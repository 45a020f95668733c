"""Scored requests in the lake: one Parquet object for each batch that was scored, by the day of its log objects.

An object is never changed: what was scored is known from the objects themselves, so that an interrupted run
loses nothing but its last batch, and nothing is scored twice.
"""

import io
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Literal

import pyarrow.parquet as pq

from twin_assets.core.feedback.store import Feedback, edited_share, read_feedback
from twin_assets.core.hashing import bytes_hash
from twin_assets.core.records import from_table, to_table
from twin_assets.core.storage.erased import ErasedList, erased_list, once, settle
from twin_assets.core.storage.lake import Lake, keys_since
from twin_assets.monitoring.scores.records import ScoredRequest

FOLDER = "scored_requests"


class StoredScore(ScoredRequest):
    """A scored request as it is stored: `log` names the object of the request log that its row is in."""

    persona: str
    log: str


def write_scores(lake: Lake, persona: str, day: str, rows: list[StoredScore]) -> None:
    """Store a batch, but for what was erased, also meanwhile. The same rows are the same object."""
    _write(lake, persona, day, rows)
    if any(map(erased_list(lake, persona).has, rows)):
        settle(
            lake,
            persona,
            lambda listed: take_out(lake, persona, lake.keys(f"{FOLDER}/{persona}/{day}"), listed),
        )


def take_out(lake: Lake, persona: str, keys: Iterable[str], listed: ErasedList) -> int:
    """Take the scores of requests that are on the list out of these objects; how many."""
    taken = 0
    for key in list(keys):
        rows = read_part(lake, key)
        staying = listed.without(rows)
        if len(staying) < len(rows):
            if staying:
                _write(lake, persona, key.split("/")[-2], staying)
            lake.delete(key)
            taken += len(rows) - len(staying)
    return taken


def _write(lake: Lake, persona: str, day: str, rows: list[StoredScore]) -> None:
    buffer = io.BytesIO()
    pq.write_table(to_table(rows, StoredScore), buffer)
    data = buffer.getvalue()
    identity = "\n".join(f"{r.request_id} {r.time.isoformat()}" for r in rows).encode()
    lake.write(f"{FOLDER}/{persona}/{day}/{bytes_hash(identity)}.parquet", data)


def read_day(lake: Lake, persona: str, day: str) -> list[ScoredRequest]:
    """Scored requests of a day of the log (UTC), in no order, without what people said of them."""
    keys, erased = lake.keys(f"{FOLDER}/{persona}/{day}"), erased_list(lake, persona)
    return list(once(row for key in keys for row in erased.without(read_part(lake, key))))


def read_part(lake: Lake, key: str) -> list[StoredScore]:
    """The rows of one object, erased ones among them; none of one that was replaced meanwhile."""
    try:
        return from_table(pq.read_table(io.BytesIO(lake.read(key))), StoredScore)
    except KeyError:
        return []


def read_scored(
    lake: Lake, persona: str, since: date | None = None, newest: int | None = None
) -> list[ScoredRequest]:
    """Scored requests, oldest first, with the feedback there is by now: all of them, those from the day
    `since` (UTC) on, or the `newest` of those."""
    keys, erased = defaultdict[str, list[str]](list), erased_list(lake, persona)
    for key in keys_since(lake, f"{FOLDER}/{persona}", since):
        keys[key.split("/")[-2]].append(key)
    rows: list[ScoredRequest] = []
    for day in sorted(keys, reverse=True):  # a day's objects are in no order, so a day is read whole
        if newest is not None and len(rows) >= newest:
            break
        rows += once(row for key in keys[day] for row in erased.without(read_part(lake, key)))
    ordered = sorted(rows, key=lambda r: r.time)
    return with_feedback(ordered[-newest:] if newest else ordered, read_feedback(lake, persona, since))


def with_feedback(rows: Iterable[ScoredRequest], said: Iterable[Feedback]) -> list[ScoredRequest]:
    """Rows with the last thumb and the last edit that their request got from who asked it."""
    thumbs: dict[tuple[str, str | None], Literal["up", "down"]] = {}
    edits: dict[tuple[str, str | None], float] = {}
    for one in said:
        about = one.request_id, one.key
        if one.thumb:
            thumbs[about] = one.thumb
        if one.edited is not None and one.answer is not None:
            share = one.edited_share
            edits[about] = edited_share(one.answer, one.edited) if share is None else share
    return [
        row.model_copy(update={"feedback": thumbs.get(about), "edited_share": edits.get(about)})
        if about in thumbs or about in edits
        else row
        for row in rows
        for about in [(row.request_id, row.key)]
    ]


def scored_in(lake: Lake, persona: str, day: str) -> tuple[set[str], set[tuple[str, int]]]:
    """What is scored of a day's log: names of its objects, and (request id, microseconds) of its rows."""
    logs: set[str] = set()
    rows: set[tuple[str, int]] = set()
    for key in lake.keys(f"{FOLDER}/{persona}/{day}"):
        try:
            table = pq.read_table(io.BytesIO(lake.read(key)), columns=["request_id", "time", "log"])
        except KeyError:  # an erasure replaced it meanwhile
            continue
        logs.update(table["log"].unique().to_pylist())
        ids, times = table["request_id"].to_pylist(), table["time"].cast("int64").to_pylist()
        rows.update(zip(ids, times, strict=True))
    return logs, rows


def last_scored_day(lake: Lake, persona: str) -> date | None:
    """The newest day with scores."""
    days = [key.split("/")[-2] for key in lake.keys(f"{FOLDER}/{persona}")]
    return date.fromisoformat(max(days)) if days else None

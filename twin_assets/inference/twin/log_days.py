"""Rewrites days of the request log: compacts them, and takes rows or texts out of them.

The new object is written first, then the note that makes it count, then what it replaces is deleted: a process that is
killed in between has changed nothing or all. Of two that rewrite a day at once one gets the note's number; the other
reads the day again, so that neither brings back what the other took out.
"""

import io
import secrets
from collections.abc import Callable
from datetime import date

import pyarrow.parquet as pq

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.storage.erased import ErasedList
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.request_log import (
    NOTE,
    PACKED,
    Identity,
    LogDay,
    RequestRecord,
    Rewriting,
    identity,
    log_day,
    log_days,
    packed,
    read_object,
)

# Rows that Parquet holds together: fewer make its reading slow, more take memory.
GROUP_ROWS = 5_000

Change = Callable[[RequestRecord], RequestRecord | None]


class Compaction(Record):
    """Days that became one object, and how many objects they were."""

    days: int = 0
    objects: int = 0


def compact_days(lake: Lake, persona: str, today: date) -> Compaction:
    """Make one object of every day before `today` (UTC) that has several, and remove what earlier rewritings left."""
    done = Compaction()
    for day, names in log_days(lake, persona).items():
        log = log_day(lake, persona, day, names)
        if day < str(today) and len(log.objects) > 1:
            rewrite_day(lake, persona, day, pack=True)
            done = Compaction(days=done.days + 1, objects=done.objects + len(log.objects))
        else:
            _tidy(lake, log)
    return done


def rewrite_day(
    lake: Lake, persona: str, day: str, change: Change = lambda row: row, pack: bool = False
) -> int:
    """Let `change` say what becomes of each row of a day: itself, another, or None for nothing. How many changed.

    Nothing is written when none does, unless the day is to be made one object (`pack`).
    """
    while True:
        log = log_day(lake, persona, day)
        try:
            data, rows, changed, bare = _rewritten(lake, log, change)
        except KeyError as error:
            if log_day(lake, persona, day).number > log.number:
                continue
            raise TwinError(
                f"The object {error.args[0]} is gone from the request log.", "bring it back from a backup."
            ) from None
        if not changed and not (pack and log.loose):
            _tidy(lake, log)
            return 0
        number = log.number + 1
        name = f"{number:06d}-{secrets.token_hex(4)}{PACKED}" if rows else None
        if name:
            lake.write(f"{log.folder}/{name}", data)
        note = Rewriting(number=number, object=name, replaces=[*log.objects, *log.leftovers], bare=bare)
        try:
            lake.create(f"{log.folder}/{number:06d}{NOTE}", note.model_dump_json().encode())
        except FileExistsError:  # somebody else has rewritten the day meanwhile
            if name:
                lake.delete(f"{log.folder}/{name}")
            continue
        _tidy(lake, log_day(lake, persona, day))
        return changed


def take_out(lake: Lake, persona: str, listed: ErasedList, day: str | None = None) -> int:
    """Take the rows that are on the list out of the log, and texts that are; how many changed. Of one day, or of all."""

    def left(row: RequestRecord) -> RequestRecord | None:
        return next(iter(listed.without([row])), None)

    return sum(rewrite_day(lake, persona, one, left) for one in ([day] if day else log_days(lake, persona)))


def _rewritten(lake: Lake, log: LogDay, change: Change) -> tuple[bytes, int, int, bool]:
    """The day's rows after the change as Parquet, how many there are, how many changed, and whether none has a text.

    Raises KeyError when the day was rewritten meanwhile.
    """
    buffer, rows, changed, bare, seen = io.BytesIO(), 0, 0, True, set[Identity]()
    waiting: list[RequestRecord] = []
    with pq.ParquetWriter(buffer, packed([]).schema, compression="zstd") as writer:
        for name in log.objects:
            before = [row for row in read_object(lake, f"{log.folder}/{name}") if identity(row) not in seen]
            seen.update(map(identity, before))
            after = [(row, change(row)) for row in before]
            staying = [new for _, new in after if new is not None]
            rows, changed = rows + len(staying), changed + sum(new is not old for old, new in after)
            bare &= not any(row.has_texts for row in staying)
            waiting += staying
            if len(waiting) >= GROUP_ROWS:
                writer.write_table(packed(waiting))
                waiting = []
        if waiting:
            writer.write_table(packed(waiting))
    return buffer.getvalue(), rows, changed, bare


def _tidy(lake: Lake, day: LogDay) -> None:
    for name in day.leftovers:
        lake.delete(f"{day.folder}/{name}")

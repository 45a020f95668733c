"""Takes requests out of everything that was kept of them: by id, by who asked, or by the age of their texts.

What is erased goes on the list of `core.erased` first, so that several erasures, scoring and retention may work at the
same time. An object that loses rows is written under a new name before the old one goes, and the name is that of its
content: an interrupted erasure is finished by asking again or by the hourly run, and mirrors and the warehouse see that
the object changed.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

from twin_assets.core.erased import ErasedList, add_erased, erased_list, mark_done, settle
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import Lake
from twin_assets.inference import request_log, scored
from twin_assets.inference.erasure.feedback import ErasedFeedback, erase_feedback
from twin_assets.inference.monitor import ScoredRequest
from twin_assets.inference.request_log import RequestRecord, is_bare, read_object, replace_object
from twin_assets.settings import Settings

# Of the warehouse; each has the columns persona and request_id.
TABLES = ("requests", "stg_requests", "stg_scores", "stg_feedback")


class Erased(ErasedFeedback):
    """What is gone: rows of the log, of the scores, reactions with what was made of them, and rows of the warehouse.

    `warehouse` is None when the warehouse was in use: its next build takes out what the lake no longer has.
    """

    requests: int
    scores: int
    warehouse: int | None


def erase(
    settings: Settings, lake: Lake, persona: str, request_id: str | None = None, user: str | None = None,
    key: str | None = None,
) -> Erased:  # fmt: skip
    """Take out the requests that fit all that is given: an id, a user (as `user_hash` writes it), an API key's id.

    Rows on their way into the log are taken out once they arrive. Raises TwinError when nothing is given.
    """
    wanted = {"request_id": request_id, "user": user, "key": key}
    wanted = {name: value for name, value in wanted.items() if value}
    if not wanted:
        raise TwinError("Nothing says whose requests to erase.", "give a request id, a user or a key.")

    def fits(row: RequestRecord | ScoredRequest) -> bool:
        return all(getattr(row, name) == value for name, value in wanted.items())

    ids = {row.request_id for stored in lake.keys(f"{request_log.FOLDER}/{persona}") for row in read_object(lake, stored) if fits(row)}  # fmt: skip
    ids |= {row.request_id for stored in lake.keys(f"{scored.FOLDER}/{persona}") for row in scored.read_part(lake, stored) if fits(row)}  # fmt: skip
    ids |= {request_id} if wanted.keys() == {"request_id"} and request_id else set()
    caller = (None, None) if request_id else (key, user)
    entry = add_erased(lake, persona, requests=ids, key=caller[0], user=caller[1])
    # The log goes last: as long as it is there, an interrupted erasure finds the same ids again.
    erased = Erased(
        **dict(erase_feedback(settings, lake, persona, ids, key if wanted.keys() == {"key"} else None)),
        warehouse=_erase_from_warehouse(settings, persona, ids),
        scores=settle(lake, persona, lambda listed: _erase_scores(lake, persona, listed)),
        requests=settle(lake, persona, lambda listed: _erase_from_log(lake, persona, listed)),
    )
    if entry and erased.warehouse is not None:
        mark_done(lake, entry)
    return erased


def remove_texts(lake: Lake, persona: str, older_than_days: int, today: date | None = None) -> int:
    """Take the texts out of the log's rows of days that are longer past; counts stay. How many rows had some."""
    first_kept = f"{(today or datetime.now(UTC).date()) - timedelta(days=older_than_days)}"
    listed, removed = erased_list(lake, persona), 0
    for key in list(lake.keys(f"{request_log.FOLDER}/{persona}")):
        if key.split("/")[-2] >= first_kept or is_bare(key):
            continue
        rows = listed.without(read_object(lake, key))
        bare = [row.model_copy(update={"prompt": None, "answer": None}) for row in rows]
        replace_object(lake, key, bare, bare=True)
        removed += sum(row.prompt is not None or row.answer is not None for row in rows)
    if erased_list(lake, persona) != listed:  # what an erasure took out meanwhile may have been in hand here
        settle(lake, persona, lambda now: _erase_from_log(lake, persona, now))
    return removed


def _erase_from_log(lake: Lake, persona: str, listed: ErasedList) -> int:
    return request_log.take_out(lake, lake.keys(f"{request_log.FOLDER}/{persona}"), listed)


def _erase_scores(lake: Lake, persona: str, listed: ErasedList) -> int:
    return scored.take_out(lake, persona, lake.keys(f"{scored.FOLDER}/{persona}"), listed)


def _erase_from_warehouse(settings: Settings, persona: str, ids: set[str]) -> int | None:
    if not settings.warehouse_path.is_file():
        return 0
    try:
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            there = {
                row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()
            }
            erased = 0
            for table in (name for name in TABLES if name in there):
                counts = connection.execute(
                    f"delete from {table} where persona = ? and list_contains(?, request_id)",  # noqa: S608
                    [persona, sorted(ids)],
                ).fetchone()
                erased += counts[0] if counts else 0
            connection.execute("checkpoint")
            return erased
    except duckdb.IOException:
        return None  # another process has it open

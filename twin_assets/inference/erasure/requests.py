"""Takes requests out of the log, the scores and the warehouse, and old texts out of the log.

An object that loses rows is written under a new name before the old one goes, and the name is that of its content: an
interrupted erasure is finished by asking again or by the hourly run, and mirrors and the warehouse see that the object
changed.
"""

from datetime import UTC, date, datetime, timedelta

from twin_assets.core.erased import erased_list, settle
from twin_assets.core.lake import Lake
from twin_assets.inference import request_log, scored
from twin_assets.inference.erasure.warehouse import erase_requests
from twin_assets.inference.request_log import is_bare, read_object, replace_object
from twin_assets.settings import Settings


class RequestErasure:
    """Requests that are being erased, all on the list already, and what of it is told beside counts. With `key` all that
    this caller said goes too, also of others' requests."""

    def __init__(self, settings: Settings, lake: Lake, persona: str, ids: set[str], key: str | None) -> None:
        self.settings, self.lake, self.persona, self.ids, self.key = settings, lake, persona, ids, key
        self.datasets: dict[str, int] = {}
        self.pairs = 0


def from_scores(erasure: RequestErasure) -> int:
    lake, persona = erasure.lake, erasure.persona
    folder = f"{scored.FOLDER}/{persona}"
    return settle(lake, persona, lambda listed: scored.take_out(lake, persona, lake.keys(folder), listed))


def from_log(erasure: RequestErasure) -> int:
    return _take_out_of_log(erasure.lake, erasure.persona)


def from_warehouse(erasure: RequestErasure) -> int | None:
    return erase_requests(erasure.settings, erasure.persona, erasure.ids)


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
        _take_out_of_log(lake, persona)
    return removed


def _take_out_of_log(lake: Lake, persona: str) -> int:
    return settle(lake, persona, lambda listed: request_log.take_out(lake, persona, listed))

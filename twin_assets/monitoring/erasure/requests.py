"""Takes requests out of the log, the scores and the warehouse, and old texts out of the log.

An object that loses rows is written under a new name before the old one goes: an interrupted erasure is finished by
asking again or by the hourly run, and mirrors and the warehouse see that the object changed. How the log changes is in
`log_days`.
"""

from datetime import UTC, date, datetime, timedelta

from twin_assets.core.drafts import owner_of
from twin_assets.core.drafts import store as drafts
from twin_assets.core.storage.erased import settle
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.log_days import rewrite_day, take_out
from twin_assets.inference.twin.request_log import RequestRecord, log_day, log_days
from twin_assets.inference.twin.threads import removal
from twin_assets.monitoring.erasure.warehouse import erase_requests
from twin_assets.monitoring.scores import scored
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


def from_drafts(erasure: RequestErasure) -> int:
    """What the twin wrote in them; what a person made of it is that person's, and goes with `key` only."""
    owner = owner_of(erasure.key) if erasure.key else None
    return drafts.take_out(erasure.lake, erasure.persona, erasure.ids, owner)


def from_log(erasure: RequestErasure) -> int:
    return _take_out_of_log(erasure.lake, erasure.persona)


def from_threads(erasure: RequestErasure) -> int:
    """Turns of those requests, and what else the callers on the list have kept."""
    lake, persona = erasure.lake, erasure.persona
    return settle(lake, persona, lambda listed: removal.take_out(lake, persona, listed))


def from_warehouse(erasure: RequestErasure) -> int | None:
    return erase_requests(erasure.settings, erasure.persona, erasure.ids)


def remove_texts(lake: Lake, persona: str, older_than_days: int, today: date | None = None) -> int:
    """Take the texts out of the log's rows of days that are longer past; counts stay. How many rows had some."""
    first_kept = f"{(today or datetime.now(UTC).date()) - timedelta(days=older_than_days)}"
    removed = 0
    for day, names in log_days(lake, persona).items():
        log = log_day(lake, persona, day, names)
        if day < first_kept and (log.loose or (log.last and not log.last.bare)):
            removed += rewrite_day(lake, persona, day, RequestRecord.without_texts, pack=True)
    return removed


def _take_out_of_log(lake: Lake, persona: str) -> int:
    return settle(lake, persona, lambda listed: take_out(lake, persona, listed))

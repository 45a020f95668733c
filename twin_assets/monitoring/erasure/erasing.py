"""Erasing requests or one document from every place, and finishing what broke off."""

import logging
import sqlite3
from collections.abc import Collection

from twin_assets.core.datasets.erasure import erase_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Record
from twin_assets.core.storage.erased import add_erased, mark_done, settle, unfinished
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin import request_log
from twin_assets.inference.twin.log_days import take_out
from twin_assets.inference.twin.request_log import RequestRecord, log_days
from twin_assets.monitoring.erasure.documents import DocumentErasure
from twin_assets.monitoring.erasure.places import PLACES
from twin_assets.monitoring.erasure.requests import RequestErasure, from_log, from_scores, from_threads
from twin_assets.monitoring.scores import scored
from twin_assets.monitoring.scores.records import ScoredRequest
from twin_assets.settings import Settings

logger = logging.getLogger(__name__)
# By which the document's words are found again: they stay, unseen, until no other place has failed.
LAST_DAYS = 2
HOLD_ITS_WORDS = ("features", "crawl_state", "raw")


class NoSuchDocument(TwinError):
    """The persona has no document of that id."""


class Erased(Record):
    """What is gone: rows of the log, of the scores, reactions with the pairs made of them, turns and titles of kept threads,
    drafts or versions of them, rows
    of dataset versions and of the warehouse; and the models that had learnt from those versions.

    `warehouse` is None when the warehouse was in use: its next build takes out what the lake no longer has.
    """

    requests: int
    scores: int
    warehouse: int | None
    feedback: int = 0
    pairs: int = 0
    threads: int = 0
    drafts: int = 0
    datasets: dict[str, int] = {}
    models: list[str] = []


class ErasedDocument(Record):
    """What of a document is gone: by place how many rows, files or versions lost something. None: the place was in use
    or did not answer, and the hourly run does it; nobody is shown the document meanwhile.

    `datasets` are versions with the rows that they lost, `models` what had learnt from those: weights forget nothing, so
    train anew, or take them back. `copies` are other documents with the same text, which stay until they are erased too.
    """

    doc_id: str
    places: dict[str, int | None]
    datasets: dict[str, int]
    models: list[str]
    copies: list[str]


def erase(
    settings: Settings,
    lake: Lake,
    persona: str,
    request_id: str | None = None,
    user: str | None = None,
    key: str | None = None,
) -> Erased:
    """Take out the requests that fit all that is given: an id, a user (as `user_hash` writes it), an API key's id.

    Rows on their way into the log are taken out once they arrive. Raises TwinError when nothing is given.
    """
    given = {"request_id": request_id, "user": user, "key": key}
    criteria = {name: value for name, value in given.items() if value}
    if not criteria:
        raise TwinError("Nothing says whose requests to erase.", "give a request id, a user or a key.")
    ids = _ids(lake, persona, criteria)
    # What is on its way is only known by who asks.
    caller = (None, None) if request_id else (key, user)
    entry = add_erased(lake, persona, requests=ids, key=caller[0], user=caller[1])
    erasure = RequestErasure(settings, lake, persona, ids, key if criteria.keys() == {"key"} else None)
    taken = {place.name: place.request(erasure) for place in PLACES if place.request}
    if entry and taken["warehouse"] is not None:
        mark_done(lake, entry)
    return Erased(
        requests=taken["requests"] or 0,
        scores=taken["scores"] or 0,
        warehouse=taken["warehouse"],
        feedback=taken["feedback"] or 0,
        pairs=erasure.pairs,
        threads=taken["threads"] or 0,
        drafts=taken["drafts"] or 0,
        datasets=erasure.datasets,
        models=_learnt_from(settings, persona, erasure.datasets),
    )


def find_document(settings: Settings, lake: Lake, persona: str, doc_id: str) -> DocumentErasure:
    """What is kept of a document, or of one whose erasure broke off. Raises NoSuchDocument."""
    document = DocumentErasure(settings, lake, persona, doc_id)
    if not document.raw and not document.rows and not _waiting(lake, persona, doc_id):
        raise NoSuchDocument(
            f"{persona} has no document {doc_id[:80]!r}.",
            "take a doc_id that citations or the page's Library name.",
        )
    return document


def erase_document(settings: Settings, lake: Lake, persona: str, doc_id: str) -> ErasedDocument:
    """Take one document out of every place, for good: no later crawl brings it back. Raises NoSuchDocument."""
    return erase_found(find_document(settings, lake, persona, doc_id))


def erase_found(erasure: DocumentErasure) -> ErasedDocument:
    """The same of a document that was found."""
    settings, lake, persona = erasure.settings, erasure.lake, erasure.persona
    copies = erasure.copies()
    entries = _waiting(lake, persona, erasure.doc_id) or [
        add_erased(lake, persona, documents=[erasure.doc_id])
    ]
    taken: dict[str, int | None] = {}
    failed = False
    for place in PLACES:
        if place.document and not (failed and place.name in HOLD_ITS_WORDS):
            try:
                taken[place.name] = place.document(erasure)
            except (TwinError, OSError, sqlite3.Error):
                logger.exception("%s of %s: the hourly run erases it there", place.name, persona)
                taken[place.name], failed = None, True
        elif place.document:
            taken[place.name] = None
    if None not in taken.values():
        for entry in entries:
            if entry:
                mark_done(lake, entry)
    return ErasedDocument(
        doc_id=erasure.doc_id,
        places=taken,
        datasets=erasure.datasets,
        copies=copies,
        models=_learnt_from(settings, persona, erasure.datasets),
    )


def finish_erasures(settings: Settings, lake: Lake, persona: str) -> int:
    """Finish erasures that broke off, or found a place in use; how many are finished now. Also of the log's last days, to
    which a process that was killed may have brought rows without looking at the list."""
    for day in list(log_days(lake, persona))[-LAST_DAYS:]:
        settle(lake, persona, lambda listed, day=day: take_out(lake, persona, listed, day))  # type: ignore[misc]
        scores = f"{scored.FOLDER}/{persona}/{day}"
        settle(lake, persona, lambda listed, at=scores: scored.take_out(lake, persona, lake.keys(at), listed))  # type: ignore[misc]
    finished = 0
    for key, entry in unfinished(lake, persona).items():
        erasure = RequestErasure(settings, lake, persona, set(), None)
        whole = True
        for doc_id in entry.documents:
            told = erase_found(DocumentErasure(settings, lake, persona, doc_id))
            whole &= None not in told.places.values()
        if entry.rows:
            erase_rows(lake, persona, "instruct")
            erase_rows(lake, persona, "preference")
        from_scores(erasure)
        from_threads(erasure)
        from_log(erasure)  # the warehouse follows the lake by itself
        if whole:
            mark_done(lake, key)
            finished += 1
    return finished


def _ids(lake: Lake, persona: str, criteria: dict[str, str]) -> set[str]:
    """Ids of the stored requests that fit, erased ones among them: their erasure may have broken off."""

    def fits(row: RequestRecord | ScoredRequest) -> bool:
        return all(getattr(row, name) == value for name, value in criteria.items())

    ids = {criteria["request_id"]} if criteria.keys() == {"request_id"} else set[str]()
    ids |= {row.request_id for row in request_log.stored_rows(lake, persona) if fits(row)}
    for stored in list(lake.keys(f"{scored.FOLDER}/{persona}")):
        ids |= {row.request_id for row in scored.read_part(lake, stored) if fits(row)}
    return ids


def _waiting(lake: Lake, persona: str, doc_id: str) -> list[str | None]:
    return [key for key, entry in unfinished(lake, persona).items() if doc_id in entry.documents]


def _learnt_from(settings: Settings, persona: str, versions: Collection[str]) -> list[str]:
    """Tags of the model versions that were trained on one of these dataset versions, themselves or by a parent."""
    if not versions:
        return []
    made = [v for v in Registry(settings).list() if v.lineage.persona == persona]
    return sorted(v.tag for v in made if not set(versions).isdisjoint(v.lineage.datasets.values()))

"""What a crawl writes (RawItem, one JSON line each) and what it reports (CrawlReport)."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.records import Category, Source, Visibility

SAMPLES = 5


class RawItem(BaseModel):
    """One version of one piece of writing, as its source served it.

    `kind` is `deleted` for a tombstone: an item that a complete listing no longer has. `mark` is the
    source's own version of the item (a Git blob, say), where it has one.
    """

    model_config = ConfigDict(frozen=True)

    persona: str
    source: Source
    item_id: str
    kind: Literal["item", "deleted"] = "item"
    category: Category
    url: str
    title: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    fetched_at: datetime
    language: str | None = None
    mime: str
    body: str
    content_hash: str
    visibility: Visibility = "public"
    partial: bool = False
    payload: dict[str, Any] = {}
    mark: str | None = None
    windowed: bool = False

    def version(self) -> str:
        """Hash of everything that makes a new version worth storing; not of times and counters."""
        return fingerprint(
            [self.url, self.title, self.body, self.published_at, self.visibility, self.partial]
        )


def body_hash(body: str) -> str:
    """The content hash of a body."""
    return text_hash(body)


class CrawlReport(BaseModel):
    """What one crawl of one source did. `error` names what went wrong and the fix, else None.

    `items` is how many the source has now; `saved_*` count what a first crawl would have cost on top: requests that were not sent, and the
    sizes of answers that a 304 stood for. `troubles` are the first few of `failed` and `blocked`.
    """

    persona: str
    source: str
    items: int = 0
    fetched: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    partial: int = 0
    deleted: int = 0
    recovered: int = 0
    blocked: dict[str, int] = {}
    failed: dict[str, int] = {}
    skipped: dict[str, int] = {}
    requests: int = 0
    bytes: int = 0
    not_modified: int = 0
    saved_requests: int = 0
    saved_bytes: int = 0
    samples: list[str] = []
    troubles: list[str] = []
    raw_uri: str | None = None
    error: str | None = None

    def count(self, tally: dict[str, int], reason: str, where: str) -> None:
        """Add one to a reason of `blocked` or `failed`, and keep the first few as samples."""
        tally[reason] = tally.get(reason, 0) + 1
        if len(self.troubles) < SAMPLES:
            self.troubles.append(f"{reason}: {where}")

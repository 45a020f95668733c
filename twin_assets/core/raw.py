"""What lies raw in the lake: one JSON line for each version of an item, as its source served it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.records import Category, Source, Visibility


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

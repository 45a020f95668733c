"""What lies raw in the lake: one JSON line for each version of an item, as its source served it."""

from collections.abc import Container, Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from twin_assets.core.hashing import bytes_hash, fingerprint, text_hash
from twin_assets.core.records import Category, Source, Visibility
from twin_assets.core.storage.lake import Lake


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

    @property
    def doc_id(self) -> str:
        """The id of the document that its versions are, as stg_documents.sql has it."""
        return text_hash(f"{self.persona}/{self.source}/{self.item_id}")

    def version(self) -> str:
        """Hash of everything that makes a new version worth storing; not of times and counters."""
        return fingerprint(
            [self.url, self.title, self.body, self.published_at, self.visibility, self.partial]
        )


def read_items(lake: Lake, key: str) -> list[RawItem]:
    """The items of one raw object; lines that are damaged are left out. None of an object that is gone meanwhile."""
    try:
        lines = lake.read(key).split(b"\n")
    except KeyError:
        return []
    return [item for line in lines if (item := _item(line))]


def take_out(lake: Lake, keys: Iterable[str], documents: Container[str]) -> int:
    """Take every version of these documents out of raw objects; how many lines. An object that loses some is stored
    under a name of its content, its time first: mirrors and the warehouse see that it changed."""
    taken = 0
    for key in list(keys):
        try:
            lines = lake.read(key).split(b"\n")
        except KeyError:
            continue
        staying = [line for line in lines if (item := _item(line)) is None or item.doc_id not in documents]
        if len(staying) < len(lines):
            if data := b"\n".join(staying).strip():
                folder, name = key.rsplit("/", 1)
                lake.write(f"{folder}/{name.split('-')[0]}-{bytes_hash(data, 8)}.jsonl", data + b"\n")
            lake.delete(key)
            taken += len(lines) - len(staying)
    return taken


def _item(line: bytes) -> RawItem | None:
    try:
        return RawItem.model_validate_json(line)
    except ValidationError:
        return None


def body_hash(body: str) -> str:
    """The content hash of a body."""
    return text_hash(body)

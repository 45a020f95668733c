"""The library of a persona: pages and papers of others that its twin may draw on and cite.

They lie raw in the lake like what is collected, under a source of their own. The corpus that a twin learns
its voice from is never made of this source.
"""

import secrets
from datetime import UTC, datetime

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Visibility, most_closed
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import RawItem, body_hash, read_items

LIBRARY = "library"


def add_to_library(
    lake: Lake,
    persona: Persona,
    url: str,
    text: str,
    title: str | None = None,
    author: str | None = None,
    published_at: datetime | None = None,
    visibility: Visibility = "public",
) -> RawItem:
    """Store a cleaned text for good; the same address again is a newer version. `text` is Markdown; it is as closed as the
    persona's writing, or as `visibility` where that is more closed.

    Raises TwinError for one that was erased for good.
    """
    now = datetime.now(UTC)
    item = RawItem(
        persona=persona.name,
        source=LIBRARY,
        item_id=url,
        category="article",
        url=url,
        title=title,
        author=author,
        published_at=published_at,
        fetched_at=now,
        mime="text/markdown",
        body=text,
        content_hash=body_hash(text),
        visibility=most_closed([persona.visibility, visibility]),
    )
    if item.doc_id in erased_list(lake, persona.name).documents:
        raise TwinError(f"{url} was erased from {persona.name}'s library for good.", "add another address.")
    return _stored(lake, item)


def library_of(lake: Lake, persona: str) -> dict[str, RawItem]:
    """What the library holds now, newest version first, by the id that each has as a document."""
    erased = erased_list(lake, persona).documents
    items = (item for key in lake.keys(f"raw/{LIBRARY}/{persona}") for item in read_items(lake, key))
    versions = sorted((i for i in items if i.doc_id not in erased), key=lambda i: i.fetched_at)
    newest = {item.doc_id: item for item in versions}
    held = [(doc_id, item) for doc_id, item in newest.items() if item.kind == "item"]
    return dict(sorted(held, key=lambda entry: entry[1].fetched_at, reverse=True))


def remove_from_library(lake: Lake, item: RawItem) -> RawItem:
    """Store a tombstone: the next run takes the text out of documents, chunks and index, as it does a deleted post."""
    gone = {"kind": "deleted", "fetched_at": datetime.now(UTC), "body": "", "content_hash": body_hash("")}
    return _stored(lake, item.model_copy(update=gone))


def _stored(lake: Lake, item: RawItem) -> RawItem:
    name = f"{item.fetched_at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.jsonl"
    lake.create(f"raw/{LIBRARY}/{item.persona}/{name}", f"{item.model_dump_json()}\n".encode())
    return item

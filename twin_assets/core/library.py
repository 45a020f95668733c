"""The library of a persona: pages and papers of others that its twin may draw on and cite.

They lie raw in the lake like what is collected, under a source of their own. The corpus that a twin learns
its voice from is never made of this source.
"""

import secrets
from datetime import UTC, datetime

from twin_assets.core.lake import Lake
from twin_assets.core.persona import Persona
from twin_assets.core.raw import RawItem, body_hash

LIBRARY = "library"


def add_to_library(
    lake: Lake,
    persona: Persona,
    url: str,
    text: str,
    title: str | None = None,
    author: str | None = None,
    published_at: datetime | None = None,
) -> RawItem:
    """Store a cleaned text for good; the same address again is a newer version. `text` is Markdown."""
    now = datetime.now(UTC)
    item = RawItem(
        persona=persona.name, source=LIBRARY, item_id=url, category="article", url=url, title=title,
        author=author, published_at=published_at, fetched_at=now, mime="text/markdown", body=text,
        content_hash=body_hash(text), visibility=persona.visibility,
    )  # fmt: skip
    name = f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.jsonl"
    lake.create(f"raw/{LIBRARY}/{persona.name}/{name}", f"{item.model_dump_json()}\n".encode())
    return item

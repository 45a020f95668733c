"""What a crawl keeps: raw objects in the lake, a state object, and a local part file while it runs.

The part file is named like the lake object it becomes, so recovering a killed crawl twice stores
nothing twice. An object is written before the state that knows its items: a crash between the two
costs a repeated item, never a lost one.
"""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from twin_assets.core.lake import Lake
from twin_assets.feature.crawl.items import RawItem


class Known(BaseModel):
    """What is remembered of a stored item. `windowed`: its listing only shows the newest ones."""

    version: str
    category: str
    url: str
    mark: str | None = None
    windowed: bool = False


class Validator(BaseModel):
    """Conditional-request validators of a URL, and what the spider learned from its last answer."""

    etag: str | None = None
    last_modified: str | None = None
    memo: dict[str, Any] = {}


class State(BaseModel):
    known: dict[str, Known] = {}
    validators: dict[str, Validator] = {}


class CrawlStore:
    """Storage of one persona's source. Not for two crawls of the same source at a time."""

    def __init__(self, lake: Lake, cache_dir: Path, persona: str, source: str) -> None:
        self.lake, self.persona, self.source = lake, persona, source
        self.parts = cache_dir / "crawl" / persona / source
        self.parts.mkdir(parents=True, exist_ok=True)
        self.state = self._read_state()
        self.recovered = self._recover()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self.part = self.parts / f"{stamp}-{secrets.token_hex(4)}.jsonl"

    @property
    def _state_key(self) -> str:
        return f"state/crawl/{self.persona}/{self.source}.json"

    def _read_state(self) -> State:
        try:
            return State.model_validate_json(self.lake.read(self._state_key))
        except KeyError:
            return State()

    def write_state(self) -> None:
        """Store the state as it is."""
        self.lake.write(self._state_key, self.state.model_dump_json(exclude_none=True).encode())

    def _recover(self) -> int:
        """Store what killed crawls had fetched. Returns the number of items."""
        count = 0
        for part in sorted(self.parts.glob("*.jsonl")):
            items = _whole_items(part)
            for item in items:
                self._know(item)
            self._store(part, items)
            count += len(items)
        return count

    def offer(self, item: RawItem) -> str:
        """Keep an item if it is news. Returns `new`, `changed` or `unchanged`."""
        known = self.state.known.get(item.item_id)
        if known and known.version == item.version():
            self._know(item)
            return "unchanged"
        self._append(item)
        self._know(item)
        return "changed" if known else "new"

    def delete(self, tombstone: RawItem) -> None:
        """Keep a tombstone and forget the item."""
        self._append(tombstone)
        self._know(tombstone)

    def _append(self, item: RawItem) -> None:
        with self.part.open("a", encoding="utf-8") as file:
            file.write(item.model_dump_json() + "\n")

    def _know(self, item: RawItem) -> None:
        if item.kind == "deleted":
            self.state.known.pop(item.item_id, None)
            return
        self.state.known[item.item_id] = Known(
            version=item.version(), category=item.category, url=item.url,
            mark=item.mark, windowed=item.windowed,
        )  # fmt: skip

    def finish(self) -> str | None:
        """Move the part file to the lake and store the state. URI of the object, or None if no news."""
        items = _whole_items(self.part) if self.part.exists() else []
        uri = self._store(self.part, items)
        self.write_state()
        return uri

    def _store(self, part: Path, items: list[RawItem]) -> str | None:
        uri = None
        if items:
            key = f"raw/{self.source}/{self.persona}/{part.name}"
            data = "".join(item.model_dump_json() + "\n" for item in items).encode()
            try:
                uri = self.lake.create(key, data)
            except FileExistsError:
                uri = self.lake.uri(key)
            self.write_state()
        part.unlink(missing_ok=True)
        return uri


def _whole_items(part: Path) -> list[RawItem]:
    """Items of a part file, without a last line that a kill cut short."""
    items = []
    lines = part.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            items.append(RawItem.model_validate(json.loads(line)))
        except (json.JSONDecodeError, ValidationError):
            if number != len(lines) - 1:
                raise
    return items

"""What a crawl keeps: raw objects in the lake, a state object, and a local part file while it runs.

The part file is named like the lake object it becomes, so recovering a killed crawl twice stores
nothing twice. An object is written before the state that knows its items: a crash between the two
costs a repeated item, never a lost one.
"""

import json
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.erased import erased_list, settle
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import RawItem, read_items, take_out

# A part this large is stored and a new one begun, so that memory stays flat however long the crawl.
PART_BYTES = 8_000_000
log = logging.getLogger("crawl")
_LEAF = '{"leaf": '


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
    size: int = 0


class State(BaseModel):
    """`declared` is the fingerprint of what the persona says of the source: other patterns, other items,
    so what was learned under the old ones vouches for nothing."""

    known: dict[str, Known] = {}
    validators: dict[str, Validator] = {}
    declared: str = ""


class CrawlStore:
    """Storage of one persona's source. Raises TwinError when another crawl of it has it open."""

    def __init__(self, lake: Lake, cache_dir: Path, persona: str, source: str, declared: str = "") -> None:
        self.lake, self.persona, self.source = lake, persona, source
        self.parts = cache_dir / "crawl" / persona / source
        self.parts.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.parts / ".lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise TwinError(
                f"Another crawl of {persona}'s {source} is running.", "wait for its end, or end it."
            ) from None
        self.state = self._read_state()
        self.erased = erased_list(lake, persona).documents
        self.state.known = {i: k for i, k in self.state.known.items() if not self.is_erased(i)}
        if self.state.declared != declared:
            self.state.declared, self.state.validators = declared, {}
            # A mark says that a text is the same, not that who may see it is.
            self.state.known = {i: k.model_copy(update={"mark": None}) for i, k in self.state.known.items()}
        self.damaged = 0  # lines that were kept aside
        self.recovered = self._recover()
        self.part, self._whole = self._new_part(), 0
        self.last_uri: str | None = None

    def _new_part(self) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        return self.parts / f"{stamp}-{secrets.token_hex(4)}.jsonl"

    @property
    def _state_key(self) -> str:
        return f"state/crawl/{self.persona}/{self.source}.json"

    def _read_state(self) -> State:
        try:
            return State.model_validate_json(self.lake.read(self._state_key))
        except KeyError:
            return State()
        except ValidationError:
            log.warning("%s is damaged: it is made again from what the lake holds", self._state_key)
            return self._state_of_lake()

    def _state_of_lake(self) -> State:
        """What the stored objects say is known; without validators, so that everything is asked again."""
        state = State()
        for key in sorted(self.lake.keys(f"raw/{self.source}/{self.persona}/")):
            for line in self.lake.read(key).decode("utf-8", "replace").split("\n"):
                try:
                    item = RawItem.model_validate_json(line)
                except ValidationError:
                    continue
                if item.kind == "deleted":
                    state.known.pop(item.item_id, None)
                else:
                    state.known[item.item_id] = _known(item)
        return state

    def write_state(self) -> None:
        """Store the state as it is."""
        self.lake.write(self._state_key, self.state.model_dump_json(exclude_none=True).encode())

    def _recover(self) -> int:
        """Store what killed crawls had fetched. Returns the number of items."""
        count = 0
        for part in sorted(self.parts.glob("*.jsonl")):
            items, leaves = self._read_part(part)
            for item in items:
                self._know(item)
            # One of an item that was lost with its line would make the site say forever that nothing is new.
            self.state.validators |= {
                url: leaf
                for url, leaf in leaves.items()
                if self.state.known.keys() >= set(leaf.memo.get("ids", []))
            }
            self._store(part, items)
            count += len(items)
        return count

    def is_erased(self, item_id: str) -> bool:
        """Whether the persona erased this item for good."""
        return bool(self.erased) and text_hash(f"{self.persona}/{self.source}/{item_id}") in self.erased

    def offer(self, item: RawItem) -> str:
        """Keep an item if it is news. Returns `new`, `changed` or `unchanged`."""
        stored = self.state.known.get(item.item_id)
        if stored and stored.version == item.version():
            self._know(item)
            return "unchanged"
        self._append(item)
        self._know(item)
        return "changed" if stored else "new"

    def delete(self, tombstone: RawItem) -> None:
        """Keep a tombstone and forget the item."""
        self._append(tombstone)
        self._know(tombstone)

    def keep_leaf(self, url: str, validator: Validator) -> None:
        """Keep the validators of a stored item's own address, so that a killed crawl need not ask again.

        Call it after `offer`: a 304 for an item that was never stored would lose it.
        """
        self._write(_LEAF + f'{json.dumps(url)}, "validator": {validator.model_dump_json()}}}')
        self.state.validators[url] = validator

    def close(self) -> None:
        """Let other crawls of this source begin."""
        self._lock.release()

    def _append(self, item: RawItem) -> None:
        self._write(item.model_dump_json())

    def _write(self, line: str) -> None:
        """Add a line. When the disk has no room for all of it, what it took of it is cut off before the next."""
        with self.part.open("ab") as file:
            file.truncate(self._whole)
            file.write(f"{line}\n".encode())
            file.flush()
            self._whole = file.tell()
        if self._whole > PART_BYTES:
            self.last_uri = self._store_own_part()
            self.part, self._whole = self._new_part(), 0

    def _know(self, item: RawItem) -> None:
        if item.kind == "deleted" or self.is_erased(item.item_id):
            self.state.known.pop(item.item_id, None)
            return
        self.state.known[item.item_id] = _known(item)

    def finish(self) -> str | None:
        """Move the part file to the lake and store the state. URI of the object, or None if no news."""
        uri = self._store_own_part()
        self.write_state()
        return uri or self.last_uri

    def _store_own_part(self) -> str | None:
        if not self.part.exists():
            return None
        items, _ = self._read_part(self.part)
        return self._store(self.part, items)

    def _read_part(self, part: Path) -> tuple[list[RawItem], dict[str, Validator]]:
        """Items and validators of a part; its damaged lines are counted and kept beside it."""
        items, leaves, damaged = _read_part(part)
        if damaged:
            beside = part.with_suffix(".damaged")
            beside.write_text("".join(f"{line}\n" for line in damaged), encoding="utf-8")
            log.warning("%d damaged lines of a crawl's part are kept in %s", len(damaged), beside)
            self.damaged += len(damaged)
        return items, leaves

    def _store(self, part: Path, items: list[RawItem]) -> str | None:
        """Store a part's items under its own name, then the state, then forget the part."""
        uri = None
        if items:
            key = f"raw/{self.source}/{self.persona}/{part.name}"
            try:
                uri = self.lake.create(key, "".join(item.model_dump_json() + "\n" for item in items).encode())
            except FileExistsError:
                uri = self.lake.uri(key)
            self.write_state()
            self._take_out_erased(key)
        part.unlink(missing_ok=True)
        return uri

    def _take_out_erased(self, key: str) -> None:
        """Take out of what was just stored what the persona erased while it was fetched."""
        lake, folder = self.lake, f"raw/{self.source}/{self.persona}"
        erased = erased_list(lake, self.persona).documents
        if erased and any(item.doc_id in erased for item in read_items(lake, key)):
            settle(lake, self.persona, lambda now: take_out(lake, lake.keys(folder), now.documents))


def _known(item: RawItem) -> Known:
    return Known(
        version=item.version(), category=item.category, url=item.url, mark=item.mark, windowed=item.windowed
    )


def _read_part(part: Path) -> tuple[list[RawItem], dict[str, Validator], list[str]]:
    """Items and validators of a part file, and its damaged lines; a last line that was cut short is none of those."""
    damaged: list[str] = []
    items: list[RawItem] = []
    leaves: dict[str, Validator] = {}
    lines = part.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            record = json.loads(line)
            if "leaf" in record:
                leaves[record["leaf"]] = Validator.model_validate(record["validator"])
            else:
                items.append(RawItem.model_validate(record))
        except (ValueError, KeyError, TypeError, RecursionError):  # pydantic's error is a ValueError
            if number != len(lines) - 1:
                damaged.append(line)
    return items, leaves, damaged

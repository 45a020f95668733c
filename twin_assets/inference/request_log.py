"""The request log: one row a request, written off the request path as whole objects in the lake."""

import logging
import queue
import secrets
import threading
import time
from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Literal

from twin_assets.core.lake import Lake
from twin_assets.core.records import Record

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 100
# A lake that hangs must not fill the memory: beyond this, rows are counted as lost.
MAX_WAITING = 10_000
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 10.0

Outcome = Literal["answered", "refused", "failed"]


class RequestRecord(Record):
    """One request. `prompt` and `answer` are None where the persona keeps no text, or no longer.

    `key` names who asked: the id of an API key (never the key), or `page`, `this machine`, `anyone`. `user` is
    a hash of the key and of the `user` that the caller named. `cost` is in US dollars, None where no price is
    known. `canary`: written by a version that is being tried beside production.
    """

    request_id: str
    time: datetime
    persona: str
    model: str
    prompt_kind: str
    retrieved: list[str] = []
    scores: list[float] = []
    tokens_in: int = 0
    tokens_out: int = 0
    steps_ms: dict[str, float] = {}
    cost: float | None = None
    outcome: Outcome
    prompt: str | None = None
    answer: str | None = None
    key: str | None = None
    user: str | None = None
    canary: bool = False

    @property
    def kind(self) -> Literal["write", "answer"]:
        """Whether a text was asked for, or facts."""
        return "write" if self.prompt_kind.startswith("write") else "answer"


class RequestLog:
    """`append` returns at once; rows reach the lake within about a second.

    While the lake can't be written to, up to MAX_WAITING rows are kept and tried again; beyond that new ones
    are counted as lost. A process that is killed loses the rows of its last FLUSH_SECONDS, and those kept.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._rows: queue.Queue[RequestRecord | None] = queue.Queue(MAX_WAITING)
        self._held: list[RequestRecord] = []  # taken from the queue, not stored yet
        self.lost = 0
        self._writer = threading.Thread(target=self._write, daemon=True, name="request-log")
        self._writer.start()

    @property
    def waiting(self) -> int:
        """Rows that are not in the lake yet."""
        return self._rows.qsize() + len(self._held)

    def append(self, row: RequestRecord) -> None:
        """Hand a row over. Never waits and never raises."""
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            self.lost += 1

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, and stop; what can't be written within `seconds` is lost."""
        try:
            self._rows.put(None, timeout=seconds)
        except queue.Full:
            return
        self._writer.join(seconds)

    def _write(self) -> None:
        due = time.monotonic() + FLUSH_SECONDS
        while True:
            closing = self._take(due)
            if closing or len(self._held) >= FLUSH_ROWS or time.monotonic() >= due:
                well = self._flush()
                due = time.monotonic() + (FLUSH_SECONDS if well else RETRY_SECONDS)
            if closing:
                return

    def _take(self, due: float) -> bool:
        """Take rows until it is time to write, or there are enough; whether the log is to close."""
        while (left := due - time.monotonic()) > 0:
            if len(self._held) >= FLUSH_ROWS:
                time.sleep(
                    left
                )  # the last try failed: the queue fills meanwhile, and counts what it can't take
                continue
            try:
                row = self._rows.get(timeout=left)
            except queue.Empty:
                return False
            if row is None:
                return True
            self._held.append(row)
            if len(self._held) == FLUSH_ROWS:
                return False
        return False

    def _flush(self) -> bool:
        """Store what is held, persona by persona; what can't be stored stays held."""
        by_persona: dict[str, list[RequestRecord]] = defaultdict(list)
        for row in self._held:
            by_persona[row.persona].append(row)
        now, failed = datetime.now(UTC), []
        for persona, rows in by_persona.items():
            key = f"requests/{persona}/{now:%Y-%m-%d}/{now:%H%M%S%f}-{secrets.token_hex(3)}.jsonl"
            try:
                self._lake.write(key, "".join(r.model_dump_json() + "\n" for r in rows).encode())
            except Exception:  # of a disk or of S3: the log must outlive both
                failed += rows
                logger.exception("%d request rows of %s could not be written; kept", len(rows), persona)
        self._held = failed
        return not failed


def read_requests(lake: Lake, persona: str, since: date | None = None) -> list[RequestRecord]:
    """Logged requests of a persona, oldest first: all, or those from the day `since` (UTC) on."""
    first = f"requests/{persona}/{since or ''}"
    return [
        RequestRecord.model_validate_json(line)
        for key in lake.keys(f"requests/{persona}")
        if key >= first
        for line in lake.read(key).decode().split("\n")
        if line
    ]

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


class RequestRecord(Record):
    """One request. `prompt` and `answer` are None where the persona keeps no text."""

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
    cost: float = 0.0
    outcome: Literal["answered", "refused", "failed"]
    prompt: str | None = None
    answer: str | None = None


class RequestLog:
    """`append` returns at once; rows reach the lake within about a second."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._rows: queue.Queue[RequestRecord | None] = queue.Queue(MAX_WAITING)
        self.lost = 0
        self._writer = threading.Thread(target=self._write, daemon=True, name="request-log")
        self._writer.start()

    def append(self, row: RequestRecord) -> None:
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and stop."""
        self._rows.put(None)
        self._writer.join()

    def _write(self) -> None:
        waiting: list[RequestRecord] = []
        due = time.monotonic() + FLUSH_SECONDS
        while True:
            try:
                row = self._rows.get(timeout=max(due - time.monotonic(), 0.01))
                closing = row is None
                if row is not None:
                    waiting.append(row)
            except queue.Empty:
                closing = False
            if closing or len(waiting) >= FLUSH_ROWS or time.monotonic() >= due:
                self._flush(waiting)
                due = time.monotonic() + FLUSH_SECONDS
            if closing:
                return

    def _flush(self, waiting: list[RequestRecord]) -> None:
        by_persona: dict[str, list[RequestRecord]] = defaultdict(list)
        for row in waiting:
            by_persona[row.persona].append(row)
        now = datetime.now(UTC)
        for persona, rows in by_persona.items():
            key = f"requests/{persona}/{now:%Y-%m-%d}/{now:%H%M%S%f}-{secrets.token_hex(3)}.jsonl"
            try:
                self._lake.write(key, "".join(r.model_dump_json() + "\n" for r in rows).encode())
            except OSError:
                self.lost += len(rows)
                logger.exception("%d request rows of %s could not be written", len(rows), persona)
        waiting.clear()


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

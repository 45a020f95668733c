"""Writes the request log off the request path: rows wait in memory, and go to the lake some at a time."""

import logging
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime

from twin_assets.core.persona.definition import TextPolicy
from twin_assets.core.storage.erased import erased_list, is_deleted, settle
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.privacy import mask, scan
from twin_assets.inference.twin.log_days import take_out
from twin_assets.inference.twin.request_log import FOLDER, RequestRecord, write_object

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 100
# A lake that hangs must not fill the memory: beyond this, rows are counted as lost.
MAX_WAITING = 10_000
RECENT = 500
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 10.0
# Between two rows the writer lets requests have the interpreter, so that a burst of rows is felt by none.
BREATH_SECONDS = 0.0002


class RequestLog:
    """`append` returns at once; rows reach the lake within about a second.

    While the lake can't be written to, up to MAX_WAITING rows are kept and tried again; beyond that new ones
    are counted as lost. A process that is killed loses the rows of its last FLUSH_SECONDS, and those kept.
    """

    def __init__(
        self,
        lake: Lake,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        declared: Callable[[str], bool] = lambda persona: True,
    ) -> None:
        """`clock` says when objects are written, which names their day: another than the present for replays only. `declared`
        says whether there is a persona of a name: rows of one who was deleted meanwhile are not stored."""
        self._lake, self._clock, self._declared = lake, clock, declared
        self._rows: deque[tuple[RequestRecord, TextPolicy]] = deque()
        self._held: list[RequestRecord] = []  # taken from the queue, not stored yet
        self._recent: deque[tuple[RequestRecord, TextPolicy]] = deque(maxlen=RECENT)
        self._closing = threading.Event()
        self.lost = 0
        self._writer = threading.Thread(target=self._write, daemon=True, name="request-log")
        self._writer.start()

    @property
    def waiting(self) -> int:
        """Rows that are not in the lake yet."""
        return len(self._rows) + len(self._held)

    def append(self, row: RequestRecord, text: TextPolicy = "kept") -> None:
        """Hand a row over, with what is to be kept of its texts. Never waits and never raises.

        Wakes nobody: a thread that wakes for every row takes the interpreter from the request.
        """
        self._recent.append((row, text))
        if len(self._rows) < MAX_WAITING:
            self._rows.append((row, text))
        else:
            self.lost += 1

    def recent(self, persona: str, request_id: str, key: str) -> RequestRecord | None:
        """One of the last RECENT rows, as it is or will be stored: it may not be in the lake yet."""
        for row, text in reversed(list(self._recent)):
            if (row.persona, row.request_id, row.key) == (persona, request_id, key):
                return _storable(row, text)
        return None

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, and stop; what can't be written within `seconds` is lost."""
        self._closing.set()
        self._writer.join(seconds)

    def _write(self) -> None:
        well = True
        while not self._closing.wait(FLUSH_SECONDS if well else RETRY_SECONDS):
            well = self._store()
        self._store()

    def _store(self) -> bool:
        """Store what waits, FLUSH_ROWS at a time, up to the first failure; whether there was none. Rows that come meanwhile
        wait for the next time, if they are fewer: an object costs what it costs, whatever it holds."""
        while self._rows or self._held:
            while self._rows and len(self._held) < FLUSH_ROWS:
                self._held.append(_storable(*self._rows.popleft()))
                time.sleep(BREATH_SECONDS)
            if not self._flush():
                return False
            if len(self._rows) < FLUSH_ROWS and not self._closing.is_set():
                break
        return True

    def _flush(self) -> bool:
        """Store what is held, persona by persona; what can't be stored stays held."""
        by_persona: dict[str, list[RequestRecord]] = defaultdict(list)
        for row in self._held:
            by_persona[row.persona].append(row)
        now, failed = self._clock(), []
        for persona, rows in by_persona.items():
            name = f"{now:%H%M%S%f}-{secrets.token_hex(3)}"
            try:
                if not self._declared(persona) and is_deleted(self._lake, persona):
                    logger.info("%d request rows of %s, who was deleted, are not stored", len(rows), persona)
                    continue
                write_object(self._lake, f"{FOLDER}/{persona}/{now:%Y-%m-%d}", name, rows)
            except Exception:  # of a disk or of S3: the log must outlive both
                failed += rows
                logger.exception("%d request rows of %s could not be written; kept", len(rows), persona)
            else:
                self._settle(persona, f"{now:%Y-%m-%d}", rows)
        self._held = failed
        return not failed

    def _settle(self, persona: str, day: str, rows: list[RequestRecord]) -> None:
        """Take out of what was just stored what was erased while it waited here."""
        lake = self._lake
        try:
            if erased_list(lake, persona).without(rows) != rows:
                settle(lake, persona, lambda listed: take_out(lake, persona, listed, day))
        except Exception:  # no reader shows them, and the hourly run takes them out
            logger.exception("rows of %s that were erased meanwhile could not be taken out", persona)


def _storable(row: RequestRecord, text: TextPolicy) -> RequestRecord:
    """The row as it may be stored. A text that the rules can't get through is not stored."""
    try:
        return _kept(row, text)
    except Exception:  # the log must outlive it, and nothing unmasked may be stored
        logger.exception("the texts of request %s could not be read; they are left out", row.request_id)
        return row.without_texts()


def _kept(row: RequestRecord, text: TextPolicy) -> RequestRecord:
    """The row with what the policy leaves of its texts. In the log's own thread: rules over long texts take
    milliseconds."""
    personal_data = row.personal_data
    if personal_data is None and row.answer is not None:
        personal_data = len(scan(row.answer))
    row = row.model_copy(update={"personal_data": personal_data})
    if text == "off":
        return row.without_texts()
    if text == "kept":
        return row
    masked = {
        name: value and mask(value)[0]
        for name, value in (
            ("prompt", row.prompt),
            ("answer", row.answer),
            ("understood_as", row.understood_as),
        )
    }
    return row.model_copy(update={**masked, "brief": row.brief and row.brief.masked()})

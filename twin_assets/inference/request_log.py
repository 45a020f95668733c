"""The request log: one row a request, written off the request path as whole objects in the lake."""

import logging
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Literal

from twin_assets.core.erased import Asked, ErasedList, erased_list, once, settle
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.lake import Lake
from twin_assets.core.persona import TextPolicy
from twin_assets.core.records import Visibility
from twin_assets.core.text.privacy import mask, scan

logger = logging.getLogger(__name__)

FOLDER = "requests"
BARE = "bare"  # in the name of an object that has no texts any more

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 100
# A lake that hangs must not fill the memory: beyond this, rows are counted as lost.
MAX_WAITING = 10_000
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 10.0
# Between two rows the writer lets requests have the interpreter, so that a burst of rows is felt by none.
BREATH_SECONDS = 0.0002

Outcome = Literal["answered", "refused", "failed"]


class RequestRecord(Asked):
    """One request. `prompt` and `answer` are None where the persona keeps no text, or no longer.

    `key` names who asked: the id of an API key (never the key), or `page`, `this machine`, `anyone`. `user` is
    a hash of the key and of the `user` that the caller named. `cost` is in US dollars, None where no price is
    known. `canary`: written by a version that is being tried beside production. `personal_data` counts findings
    of `core.privacy` in the answer as it was given, whatever is kept of it. `visibility` is that of the most closed
    passage it was written from: its texts are for nobody else.
    """

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
    personal_data: int | None = None
    visibility: Visibility = "public"

    @property
    def kind(self) -> Literal["write", "answer"]:
        """Whether a text was asked for, or facts."""
        return "answer" if self.prompt_kind == "answer" else "write"


def user_hash(key: str, user: str) -> str:
    """How the log names a caller's own user: within the key, and not by the name. A pseudonym: whoever guesses
    the name can check it."""
    return text_hash(f"{key}\n{user}")


class RequestLog:
    """`append` returns at once; rows reach the lake within about a second.

    While the lake can't be written to, up to MAX_WAITING rows are kept and tried again; beyond that new ones
    are counted as lost. A process that is killed loses the rows of its last FLUSH_SECONDS, and those kept.
    """

    def __init__(self, lake: Lake, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` says when objects are written, which names their day: another than the present for replays only."""
        self._lake, self._clock = lake, clock
        self._rows: deque[tuple[RequestRecord, TextPolicy]] = deque()
        self._held: list[RequestRecord] = []  # taken from the queue, not stored yet
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
        if len(self._rows) < MAX_WAITING:
            self._rows.append((row, text))
        else:
            self.lost += 1

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
        """Store all that waits, FLUSH_ROWS at a time, up to the first failure; whether there was none."""
        while self._rows or self._held:
            while self._rows and len(self._held) < FLUSH_ROWS:
                self._held.append(_storable(*self._rows.popleft()))
                time.sleep(BREATH_SECONDS)
            if not self._flush():
                return False
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
                write_object(self._lake, f"{FOLDER}/{persona}/{now:%Y-%m-%d}", name, rows)
            except Exception:  # of a disk or of S3: the log must outlive both
                failed += rows
                logger.exception("%d request rows of %s could not be written; kept", len(rows), persona)
            else:
                self._settle(persona, f"{FOLDER}/{persona}/{now:%Y-%m-%d}/{name}.jsonl", rows)
        self._held = failed
        return not failed

    def _settle(self, persona: str, key: str, rows: list[RequestRecord]) -> None:
        """Take out of what was just stored what was erased while it waited here."""
        lake = self._lake
        try:
            listed = erased_list(lake, persona)
            if (kept := listed.without(rows)) == rows:
                return
            replace_object(lake, key, kept, bare=False)
            if (
                erased_list(lake, persona) != listed
            ):  # whoever erased more meanwhile may have missed the new object
                settle(lake, persona, lambda now: take_out(lake, persona, now, key.split("/")[-2]))
        except Exception:  # no reader shows them, and the hourly run takes them out
            logger.exception("rows of %s that were erased meanwhile could not be taken out", persona)


def _storable(row: RequestRecord, text: TextPolicy) -> RequestRecord:
    """The row as it may be stored. A text that the rules can't get through is not stored."""
    try:
        return _kept(row, text)
    except Exception:  # the log must outlive it, and nothing unmasked may be stored
        logger.exception("the texts of request %s could not be read; they are left out", row.request_id)
        return row.model_copy(update={"prompt": None, "answer": None})


def _kept(row: RequestRecord, text: TextPolicy) -> RequestRecord:
    """The row with what the policy leaves of its texts. In the log's own thread: rules over long texts take
    milliseconds."""
    found = row.personal_data
    if found is None and row.answer is not None:
        found = len(scan(row.answer))
    texts = {"prompt": row.prompt, "answer": row.answer}
    if text == "off":
        texts = dict.fromkeys(texts)
    elif text == "masked":
        texts = {name: value and mask(value)[0] for name, value in texts.items()}
    return row.model_copy(update={**texts, "personal_data": found})


def iter_requests(lake: Lake, persona: str, since: date | None = None) -> Iterator[RequestRecord]:
    """Logged requests of a persona, oldest first, one object at a time in memory: all, or those from the day
    `since` (UTC) on."""
    erased = erased_list(lake, persona)
    for row in stored_rows(lake, persona, since):
        yield from erased.without([row])


def stored_rows(lake: Lake, persona: str, since: date | None = None) -> Iterator[RequestRecord]:
    """Every row that lies in the log, also what is erased and not taken out yet; each once."""
    first = f"{FOLDER}/{persona}/{since or ''}"
    keys = (key for key in lake.keys(f"{FOLDER}/{persona}") if key >= first)
    for _, of_day in groupby(keys, lambda key: key.split("/")[-2]):
        yield from once(row for key in of_day for row in read_object(lake, key))


def read_requests(lake: Lake, persona: str, since: date | None = None) -> list[RequestRecord]:
    """The same as a list."""
    return list(iter_requests(lake, persona, since))


def read_object(lake: Lake, key: str) -> list[RequestRecord]:
    """The rows of one object of the log, erased ones among them; none of one that was replaced meanwhile."""
    try:
        lines = lake.read(key).decode().split("\n")
    except KeyError:
        return []
    return [RequestRecord.model_validate_json(line) for line in lines if line]


def write_object(lake: Lake, folder: str, name: str, rows: list[RequestRecord]) -> str:
    """Store rows as one object `folder/name.jsonl`."""
    return lake.write(f"{folder}/{name}.jsonl", "".join(r.model_dump_json() + "\n" for r in rows).encode())


def replace_object(lake: Lake, key: str, rows: list[RequestRecord], bare: bool) -> None:
    """Put an object with these rows in the place of another, named by its content: whoever makes the same of the same
    object makes one object. Without rows there is none."""
    folder, name = key.rsplit("/", 1)
    digest = fingerprint([r.model_dump(mode="json") for r in rows], 12)
    new = f"{name.split('.')[0].split('-')[0]}{f'-{BARE}' if bare else ''}-{digest}"
    if rows and f"{folder}/{new}.jsonl" == key:
        return
    if rows:
        write_object(lake, folder, new, rows)
    lake.delete(key)


def take_out(lake: Lake, persona: str, listed: ErasedList, day: str = "") -> int:
    """Take the rows that are on the list out of the log, and texts that are; how many rows. Of one day, or of all."""
    taken = 0
    for key in list(lake.keys(f"{FOLDER}/{persona}/{day}".rstrip("/"))):
        rows = read_object(lake, key)
        kept = listed.without(rows)
        if kept != rows:
            replace_object(lake, key, kept, is_bare(key))
            taken += len(rows) - len(kept)
    return taken


def is_bare(key: str) -> bool:
    """Whether an object of the log has no texts any more."""
    return f"-{BARE}-" in key.rsplit("/", 1)[-1]

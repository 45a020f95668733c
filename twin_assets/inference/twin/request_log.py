"""The request log: one row a request, written off the request path as whole objects in the lake.

A day is a folder: loose objects as they were written (`.jsonl`), and, once it was rewritten (compacted, or rows erased or
bared: `log_days`), one Parquet object with what was there till then. Numbered notes (`.json`) say which object stands and
what it replaces; the newest holds. A note is one object, so that a day changes at once or not at all.
"""

import io
import logging
import re
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.definition import TextPolicy
from twin_assets.core.records import Record, Visibility, arrow_schema
from twin_assets.core.storage.erased import Asked, erased_list, settle
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.privacy import mask, scan
from twin_assets.inference.twin.brief import Brief

logger = logging.getLogger(__name__)

FOLDER = "requests"

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 100
# A lake that hangs must not fill the memory: beyond this, rows are counted as lost.
MAX_WAITING = 10_000
RECENT = 500
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
    passage it was written from: its texts are for nobody else. `brief` is what a piece of writing was asked for with,
    its texts kept as `prompt` is; None for a question.
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
    brief: Brief | None = None

    def without_texts(self) -> "RequestRecord":
        """The row with its counts only; itself where it has no texts."""
        texts = {"prompt": None, "answer": None, "brief": None}
        return self.model_copy(update=texts) if self.has_texts else self

    @property
    def has_texts(self) -> bool:
        """Whether the row holds something that was said."""
        return any(text is not None for text in (self.prompt, self.answer, self.brief))

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
                self._settle(persona, f"{now:%Y-%m-%d}", rows)
        self._held = failed
        return not failed

    def _settle(self, persona: str, day: str, rows: list[RequestRecord]) -> None:
        """Take out of what was just stored what was erased while it waited here."""
        lake = self._lake
        try:
            if erased_list(lake, persona).without(rows) != rows:
                from twin_assets.inference.twin.log_days import take_out  # which reads the log by this module

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
    found = row.personal_data
    if found is None and row.answer is not None:
        found = len(scan(row.answer))
    row = row.model_copy(update={"personal_data": found})
    if text == "off":
        return row.without_texts()
    if text == "kept":
        return row
    masked = {
        name: value and mask(value)[0] for name, value in (("prompt", row.prompt), ("answer", row.answer))
    }
    return row.model_copy(update={**masked, "brief": row.brief and row.brief.masked()})


class Rewriting(Record):
    """The note of a day's rewriting: `object` (None: no row is left) stands for the objects that it `replaces`.

    `bare`: none of its rows has a text.
    """

    number: int
    object: str | None
    replaces: list[str]
    bare: bool


@dataclass(frozen=True)
class LogDay:
    """A day as it stands: names of the objects that hold its rows, each row in one of them, oldest first. `leftovers` are
    of nobody's use any more: what was replaced, or made by a rewriting that another one overtook."""

    folder: str
    last: Rewriting | None
    objects: list[str]
    leftovers: list[str]

    @property
    def number(self) -> int:
        """Of the last rewriting; 0 before the first."""
        return self.last.number if self.last else 0

    @property
    def loose(self) -> list[str]:
        """Objects that were written since the last rewriting."""
        return [name for name in self.objects if name.endswith(LOOSE)]


LOOSE, PACKED, NOTE = ".jsonl", ".parquet", ".json"
_NUMBERED = re.compile(r"\d{6}(-[0-9a-f]+\.parquet|\.json)")


def log_days(lake: Lake, persona: str, since: date | None = None) -> dict[str, list[str]]:
    """Names of everything in the folders of the days (UTC) from `since` on, by day, oldest first."""
    days: dict[str, list[str]] = {}
    for key in lake.keys(f"{FOLDER}/{persona}"):
        day, name = key.split("/")[-2:]
        if day >= str(since or ""):
            days.setdefault(day, []).append(name)
    return dict(sorted(days.items()))


def log_day(lake: Lake, persona: str, day: str, names: Collection[str] | None = None) -> LogDay:
    """How a day stands, from the `names` in its folder; looked up unless given."""
    folder = f"{FOLDER}/{persona}/{day}"
    if names is None:
        names = [key.rpartition("/")[2] for key in lake.keys(folder)]
    numbers = {name: int(name[:6]) for name in names if _NUMBERED.fullmatch(name)}
    number, last = max((n for name, n in numbers.items() if name.endswith(NOTE)), default=1), None
    # Asked for after the listing: objects that it has may have been replaced since, and those it lacks too.
    while note := _read_note(lake, f"{folder}/{number:06d}{NOTE}"):
        number, last = number + 1, note
    replaced = set(last.replaces) if last else set()
    loose = sorted(n for n in names if n.endswith(LOOSE) and n not in replaced)
    objects = ([last.object] if last and last.object else []) + loose
    overtaken = {
        name for name, n in numbers.items() if name.endswith(PACKED) and n <= (last.number if last else 0)
    }
    leftovers = sorted((overtaken | replaced & set(names)) - set(objects))
    return LogDay(folder, last, objects, leftovers)


def _read_note(lake: Lake, key: str) -> Rewriting | None:
    try:
        return Rewriting.model_validate_json(lake.read(key))
    except KeyError:
        return None
    except ValidationError:
        raise TwinError(f"The request log's note {key} is damaged.", "bring it back from a backup.") from None


def day_objects(
    lake: Lake, persona: str, day: str, names: Collection[str] | None = None, without: Collection[str] = ()
) -> Iterator[tuple[str, list[RequestRecord]]]:
    """Object by object, its name and its rows, but for objects `without`; each row once, also while the day is rewritten.

    Raises TwinError when an object that stands is gone.
    """
    seen: set[Identity] = set()
    done, gone, missing = set(without), set[tuple[int, str]](), (0, "")
    while True:
        found = log_day(lake, persona, day, names)
        try:
            for name in found.objects:
                if name not in done:
                    missing = (found.number, name)
                    rows = [
                        row
                        for row in read_object(lake, f"{found.folder}/{name}")
                        if identity(row) not in seen
                    ]
                    seen.update(map(identity, rows))
                    done.add(name)
                    yield name, rows
            return
        except KeyError:  # a rewriting has put another in its place: what was not read yet is there
            if missing in gone:
                raise TwinError(
                    f"The object {missing[1]} of {found.folder} is gone from the request log.",
                    "bring it back from a backup.",
                ) from None
            gone.add(missing)
            names = None


Identity = tuple[str, int]


def identity(row: RequestRecord) -> Identity:
    """What makes a row one row: ids may repeat, ids and times (microseconds) don't."""
    return row.request_id, round(row.time.timestamp() * 1e6)


def iter_requests(lake: Lake, persona: str, since: date | None = None) -> Iterator[RequestRecord]:
    """Logged requests of a persona, oldest first, one object at a time in memory: all, or those from the day
    `since` (UTC) on."""
    erased = erased_list(lake, persona)
    for row in stored_rows(lake, persona, since):
        yield from erased.without([row])


def stored_rows(lake: Lake, persona: str, since: date | None = None) -> Iterator[RequestRecord]:
    """Every row that lies in the log, also what is erased and not taken out yet; each once."""
    for day, names in log_days(lake, persona, since).items():
        for _, rows in day_objects(lake, persona, day, names):
            yield from rows


def read_requests(lake: Lake, persona: str, since: date | None = None) -> list[RequestRecord]:
    """The same as a list."""
    return list(iter_requests(lake, persona, since))


def read_object(lake: Lake, key: str) -> list[RequestRecord]:
    """The rows of one object of the log, loose or packed. Damaged lines are left out, and told of in the service's log."""
    data = lake.read(key)
    if key.endswith(PACKED):
        packed = pq.read_table(io.BytesIO(data)).to_pylist(maps_as_pydicts="strict")
        return [RequestRecord.model_validate(row) for row in packed]
    rows, damaged = [], 0
    for line in data.split(b"\n"):
        if line:
            try:
                rows.append(RequestRecord.model_validate_json(line))
            except ValidationError:
                damaged += 1
    if damaged:
        logger.error("%d damaged lines of %s are left out", damaged, key)
    return rows


def write_object(lake: Lake, folder: str, name: str, rows: list[RequestRecord]) -> str:
    """Store rows as one loose object `folder/name.jsonl`."""
    return lake.write(f"{folder}/{name}{LOOSE}", "".join(r.model_dump_json() + "\n" for r in rows).encode())


def _packed_schema() -> pa.Schema:
    schema = arrow_schema(RequestRecord)
    at = schema.get_field_index("scores")
    return schema.set(
        at, pa.field("scores", pa.list_(pa.float64()))
    )  # as they were logged, to the last digit


_SCHEMA = _packed_schema()


def packed(rows: list[RequestRecord]) -> pa.Table:
    """Rows as a table that `read_object` gives back the same."""
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=_SCHEMA)

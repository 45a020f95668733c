"""The request log: one row a request, written off the request path as whole objects in the lake.

A day is a folder: loose objects as they were written (`.jsonl`), and, once it was rewritten (compacted, or rows erased or
bared: `log_days`), one Parquet object with what was there till then. Numbered notes (`.json`) say which object stands and
what it replaces; the newest holds. A note is one object, so that a day changes at once or not at all.
"""

import io
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record, Visibility, arrow_schema
from twin_assets.core.storage.erased import Asked, erased_list
from twin_assets.core.storage.lake import Lake, keys_since
from twin_assets.inference.grounding.facts import FactChecks
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.candidates import Choice

logger = logging.getLogger(__name__)

FOLDER = "requests"

Outcome = Literal["answered", "refused", "without_passages", "failed"]


class RequestRecord(Asked):
    """One request. `prompt` and `answer` are None where the persona keeps no text, or no longer.

    `key` names who asked: the id of an API key (never the key), or `page`, `this machine`, `anyone`. `user` is
    a hash of the key and of the `user` that the caller named. `cost` is in US dollars, None where no price is
    known. `canary`: written by a version that is being tried beside production. `personal_data` counts findings
    of `core.privacy` in the answer as it was given, whatever is kept of it. `visibility` is that of the most closed
    passage it was written from: its texts are for nobody else. `brief` is what a piece of writing was asked for with,
    its texts kept as `prompt` is; None for a question. `choice` has the scores of the candidates that the answer was chosen from,
    `checks` what was done to hold it to its passages; None where nothing was. Neither holds a text. `understood_as` is a question
    of a talk as it was condensed from the turns before, which the log does not have; None where it stood alone.
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
    choice: Choice | None = None
    checks: FactChecks | None = None
    understood_as: str | None = None

    def without_texts(self) -> "RequestRecord":
        """The row with its counts only; itself where it has no texts."""
        texts = {"prompt": None, "answer": None, "brief": None, "understood_as": None}
        return self.model_copy(update=texts) if self.has_texts else self

    @property
    def has_texts(self) -> bool:
        """Whether the row holds something that was said."""
        return any(text is not None for text in (self.prompt, self.answer, self.brief, self.understood_as))

    @property
    def question(self) -> str | None:
        """What was asked, so that it can be read without the talk around it."""
        return self.understood_as or self.prompt

    @property
    def kind(self) -> Literal["write", "answer"]:
        """Whether a text was asked for, or facts."""
        return "answer" if self.prompt_kind == "answer" else "write"


def user_hash(key: str, user: str) -> str:
    """How the log names a caller's own user: within the key, and not by the name. A pseudonym: whoever guesses
    the name can check it."""
    return text_hash(f"{key}\n{user}")


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
    for key in keys_since(lake, f"{FOLDER}/{persona}", since):
        day, name = key.split("/")[-2:]
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
        log = log_day(lake, persona, day, names)
        try:
            for name in log.objects:
                if name not in done:
                    missing = (log.number, name)
                    rows = [
                        row for row in read_object(lake, f"{log.folder}/{name}") if identity(row) not in seen
                    ]
                    seen.update(map(identity, rows))
                    done.add(name)
                    yield name, rows
            return
        except KeyError:  # a rewriting has put another in its place: what was not read yet is there
            if missing in gone:
                raise TwinError(
                    f"The object {missing[1]} of {log.folder} is gone from the request log.",
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

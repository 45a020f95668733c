"""How kept threads lie in the lake: `threads/<persona>/<key>/<user>/<thread>/`.

`thread.json` says whose a thread is and what it is called; every turn is an object of its own, so that of two who write at
once neither loses anything. The name of a turn says when it ended, of which request it is and how many characters it has:
threads are listed, bounded and swept by names, without reading.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.erased import Asked, ErasedList
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.answer import Citation
from twin_assets.inference.twin.request_log import Outcome

FOLDER = "threads"
HEAD = "thread.json"

_STAMP = "%Y%m%dT%H%M%S%f"
_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{16}")
_TURN = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}-(\d{1,9})\.json")


class UnknownThread(TwinError):
    """The caller has no such thread with this persona."""


class ThreadFull(TwinError):
    """There is no room for another turn, or another thread."""


class ThreadsNotKept(TwinError):
    """The persona keeps no threads."""


class ThreadHead(Asked):
    """Whose a thread is; `request_id` is its own id and `time` when it was begun. Without a `title` its first question stands
    for one, so that it goes with that."""

    persona: str
    key: str
    user: str | None = None
    title: str | None = None


class ThreadTurn(Asked):
    """One exchange, as it ended at `time`; an `answer` that broke off is as far as it came. Texts are None where a document that
    they quote was erased."""

    model: str
    outcome: Outcome
    prompt: str | None
    answer: str | None
    citations: list[Citation] | None = []
    understood_as: str | None = None
    key: str
    user: str | None = None

    @property
    def file(self) -> str:
        """The name of its object."""
        characters = len(self.prompt or "") + len(self.answer or "")
        return f"{stamp(self.time)}-{text_hash(self.request_id, 12)}-{characters}.json"

    def without_erased(self, listed: ErasedList) -> "ThreadTurn | None":
        """What is left of it beside what was erased: texts that quote a document, citations of one; None where all was."""
        left = listed.without([self])
        if not left:
            return None
        cited = [one for one in left[0].citations or () if one.doc_id not in listed.documents]
        return left[0].model_copy(update={"citations": cited})


class StoredThread(NamedTuple):
    """What the names of a thread's objects say: `folder` is its place in the lake, `turns` are names, oldest first; `whole` says
    that it has its head, without which it is being deleted."""

    folder: str
    turns: list[str]
    whole: bool

    @property
    def id(self) -> str:
        return self.folder.rpartition("/")[2]

    @property
    def created(self) -> datetime:
        return time_of(self.id)

    @property
    def updated(self) -> datetime:
        return time_of(self.turns[-1]) if self.turns else self.created

    @property
    def characters(self) -> int:
        return sum(int(match[1]) for name in self.turns if (match := _TURN.fullmatch(name)))

    @property
    def place(self) -> str:
        """Its place in a list by when threads were used last."""
        return f"{stamp(self.updated)}~{self.id}"

    def delete(self, lake: Lake) -> None:
        """For good: a turn that comes before the head goes is listed here, and who adds one later finds no head."""
        lake.delete(f"{self.folder}/{HEAD}")
        for key in list(lake.keys(self.folder)):
            lake.delete(key)


def stored_threads(lake: Lake, folder: str) -> Iterator[StoredThread]:
    """Threads below a folder, half deleted ones too."""
    names: dict[str, list[str]] = defaultdict(list)
    for key in lake.keys(folder):
        at, _, name = key.rpartition("/")
        names[at].append(name)
    for at, stored in names.items():
        if is_id(at.rpartition("/")[2]):
            turns = sorted(name for name in stored if _TURN.fullmatch(name))
            yield StoredThread(at, turns, HEAD in stored)


def read_turn(lake: Lake, key: str) -> ThreadTurn | None:
    """One stored turn, erased or not; None when it is gone meanwhile."""
    try:
        return ThreadTurn.model_validate_json(lake.read(key))
    except KeyError:
        return None


def read_head(lake: Lake, key: str) -> ThreadHead | None:
    """A stored head, erased or not; None when it is gone meanwhile."""
    try:
        return ThreadHead.model_validate_json(lake.read(key))
    except KeyError:
        return None


def is_id(text: str) -> bool:
    """Whether it may be the id of a thread."""
    return _ID.fullmatch(text) is not None


def stamp(time: datetime) -> str:
    """A time as names begin with it: they sort by it."""
    return f"{time:{_STAMP}}"


def time_of(name: str) -> datetime:
    """The time that a name begins with."""
    return datetime.strptime(name.partition("-")[0], _STAMP).replace(tzinfo=UTC)

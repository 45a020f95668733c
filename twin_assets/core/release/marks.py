"""What is noted of persons and looked at at every tick: who is paused, and whom a quota holds back.

All marks of a kind are one small object of the lake, which every machine of a platform shares: who goes through all personas asks for
that alone, however many there are.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake

LONGEST = 300  # characters of a reason, and of a name
# A lake on S3 is asked so seldom, by all ticks of a process together.
LOOK_SECONDS = 60.0


class Paused(Record):
    """When somebody paused a person, who did, and why if they said so: nothing is started for them but by hand."""

    at: datetime
    by: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        return f"paused since {self.at:%Y-%m-%d %H:%M} UTC by {self.by}{f': {self.reason}' if self.reason else ''}"


class Held(Record):
    """A quota that is used up: which, how much it is, what is used of it, since when that is known, and when there is room again."""

    quota: str
    limit: float
    used: str
    since: datetime
    until: datetime

    @property
    def sentence(self) -> str:
        return f"{self.used} (quota {self.quota}); there is room again at {self.until:%Y-%m-%d %H:%M} UTC"


Mark = TypeVar("Mark", Paused, Held)


class Marks(Generic[Mark]):
    """The marks of a kind, by persona."""

    def __init__(self, key: str, kind: type[Mark]) -> None:
        """`key` ends with `latest.json`, as objects that change do."""
        self.key = key
        self._marks: TypeAdapter[dict[str, Mark]] = TypeAdapter(dict[str, kind])  # type: ignore[valid-type]
        self._looked: dict[str, tuple[float, Mapping[str, Mark]]] = {}  # by lake on S3

    def all(self, lake: Lake) -> Mapping[str, Mark]:
        """As they are now. Raises TwinError where they are damaged, and what the lake raises."""
        try:
            return self._read(lake.read(self.key))
        except KeyError:
            return {}

    def lately(self, lake: Lake) -> Mapping[str, Mark]:
        """The same, of a lake on S3 up to LOOK_SECONDS old."""
        if lake.here is lake:
            return self.all(lake)
        at, now = lake.uri(self.key), time.monotonic()
        if at not in self._looked or now - self._looked[at][0] >= LOOK_SECONDS:
            self._looked[at] = now, self.all(lake)
        return self._looked[at][1]

    def put(self, lake: Lake, name: str, mark: Mark) -> None:
        """Mark a person; a mark of before gives way."""
        with suppress(FileExistsError):
            lake.create(self.key, b"{}")
        self._change(lake, lambda marks: {**marks, name: mark})

    def take(self, lake: Lake, name: str) -> bool:
        """Take a mark away; whether there was one."""
        there = name in self.all(lake)
        if there:
            self._change(lake, lambda marks: {who: mark for who, mark in marks.items() if who != name})
        return there

    def _change(self, lake: Lake, change: Callable[[Mapping[str, Mark]], dict[str, Mark]]) -> None:
        lake.update(self.key, lambda data: self._marks.dump_json(change(self._read(data)), indent=2))
        self._looked.pop(lake.uri(self.key), None)

    def _read(self, data: bytes) -> Mapping[str, Mark]:
        try:
            return self._marks.validate_json(data)
        except ValidationError:
            raise TwinError(
                f"{self.key} of the lake is damaged, so nobody knows whom it names.",
                "mend it, or delete it and mark them again.",
            ) from None


PAUSED = Marks("paused/latest.json", Paused)
HELD = Marks("held/latest.json", Held)


def pause(lake: Lake, name: str, by: str, reason: str) -> Paused:
    """Mark a person as paused. Raises TwinError for a reason or a name that is too long."""
    told = " ".join(reason.split())
    if max(len(told), len(by)) > LONGEST:
        raise TwinError(f"A reason and who pauses have {LONGEST} characters at most.", "say it shorter.")
    mark = Paused(at=datetime.now(UTC), by=by, reason=told)
    PAUSED.put(lake, name, mark)
    return mark

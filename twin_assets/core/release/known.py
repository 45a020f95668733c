"""The release ledgers as a serving process knows them: on S3 the mirror on this machine's disk, kept up to date by asking
for one small object, and what holds while S3 can't be read.

Processes of one home share the mirror and the looks at it: however many they are, and however many personas there are,
S3 is asked every LOOK_SECONDS.
"""

import logging
import math
import os
import time
from collections.abc import Mapping

from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.release.head import HEAD, read_head, written_head
from twin_assets.core.release.history import History
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.renewed import Renewed
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.s3 import StorageError

# With a second until a service looks at the disk, and the time of a request, an event is seen within ten.
LOOK_SECONDS = 7.0
WAIT_SECONDS, HANGING_SECONDS = 2.0, 5.0
# All ledgers are listed so seldom, and more seldom where they are so many that it would take more than a request a minute.
SWEEP_SECONDS, PAGE_SECONDS, PAGE_KEYS = 300.0, 60.0, 1000
_STATE = ".ledger-known.json"
_FOLDER = "ledger"

logger = logging.getLogger(__name__)


class LedgerTooOld(TwinError):
    """What is known of the ledger is too old to serve by."""


class _Looked(Record):
    """What the last look found: the mark of the head, the last event by persona, and when all was listed. The time of
    the file is that of the look."""

    lake: str
    mark: str | None
    events: dict[str, int]
    swept_at: float


class KnownLedgers:
    """The ledgers of all personas. While the lake can't be read, what was known last holds for `hours`, also for a process
    that starts then.

    A lake on this machine's disk is read itself, each time.
    """

    def __init__(self, lake: Lake, hours: float) -> None:
        self._lake, self._here, self._most = lake, lake.here, hours * 3600
        self._remote = self._here is not lake
        self._ledgers: dict[str, Ledger] = {}
        self._read: tuple[int, _Looked] | None = None  # with the file's time
        self._again = False
        self._news = Renewed(self._look, LOOK_SECONDS, WAIT_SECONDS, lambda: self._looked() is not None)

    def history(self, persona: str) -> History:
        """What follows from the events of a ledger that are known here.

        Waits WAIT_SECONDS at most once something is known. Raises LedgerTooOld, Damaged, and while nothing is known yet
        what the lake raises.
        """
        self.check()
        ledger = self._ledgers.setdefault(persona, Ledger(self._here, persona))
        if not self._remote:
            return ledger.history()
        looked = self._looked()
        return ledger.history_to(looked[0].events.get(persona, 0) if looked else 0)

    def last_events(self) -> Mapping[str, int]:
        """The number of the last event by persona, of those who have one: whether a ledger has changed, without reading any.

        Raises as `history` does, but for Damaged.
        """
        self.check()
        looked = self._looked() if self._remote else None
        return looked[0].events if looked else self._last_events()

    def check(self) -> None:
        """Raises LedgerTooOld, and while nothing is known what the lake raises."""
        if not self._remote:
            return
        self._news.renew()
        if (old := self.seconds_old or 0.0) > self._most:
            raise LedgerTooOld(
                f"The releases were read {old / 3600:.1f} hours ago, and are good for {self._most / 3600:g} "
                "(TWIN_LEDGER_HOURS).",
                "see why S3 can't be read; the service's log says it.",
            )

    def check_lake(self) -> None:
        """Raises what the last look at the lake failed with."""
        if self._remote:
            self._news.renew()
            if error := self._news.error:
                raise error
            if (since := self._news.running_seconds) > HANGING_SECONDS:
                raise StorageError(
                    f"S3 has not answered for {since:.0f} s.", "see that it runs and is reached from here."
                )
        else:
            list(self._lake.keys(_FOLDER))

    @property
    def lake_fails(self) -> bool:
        """Whether the last look at the lake failed."""
        return self._news.error is not None

    def forget(self) -> None:
        """An event was just written: the next who asks has S3 looked at."""
        self._again = True
        self._news.forget()

    @property
    def seconds_old(self) -> float | None:
        """How long ago the ledgers were known to be so; None when nothing is known yet."""
        if not self._remote:
            return 0.0
        looked = self._looked()
        return looked and max(time.time() - looked[1], 0.0)

    def _look(self) -> float:
        """See what is new; how many seconds ago this was done, if another process has just done it."""
        found, again, self._again = self._looked(), self._again, False
        if found and not again and 0 <= (old := time.time() - found[1]) < LOOK_SECONDS:
            return old
        before = found and found[0]
        looked = self._followed(before) if before and not _is_due(before) else None
        looked = looked or self._swept()
        if looked == before:
            self._touch(time.time())
        else:
            self._here.write(_STATE, looked.model_dump_json().encode())
        return 0.0

    def _followed(self, before: _Looked) -> _Looked | None:
        """What the head tells; None when the ledgers have to be listed to know."""
        try:
            news = self._lake.read_if_changed(HEAD, before.mark)
        except KeyError:
            return None
        if news is None:
            return before
        head = read_head(news[0])
        if head is None:
            return None
        for persona, number in head.items():
            if number != before.events.get(persona):
                self._lake.local(f"{_FOLDER}/{persona}")
        events = self._last_events()
        return before.model_copy(update={"mark": news[1], "events": events}) if head == events else None

    def _swept(self) -> _Looked:
        """Mirror every ledger, and mend a head that lags behind: a writer may be killed before it tells."""
        try:
            news = self._lake.read_if_changed(HEAD, None)
        except KeyError:
            news = None
        self._lake.local(_FOLDER)
        events = self._last_events()
        data, mark = news or (None, None)
        if data is None or read_head(data) != events:
            self._mend(data, events)
        return _Looked(lake=self._address, mark=mark, events=events, swept_at=time.time())

    def _mend(self, seen: bytes | None, events: dict[str, int]) -> None:
        head = written_head(events)
        try:
            if seen is None:
                self._lake.create(HEAD, head)
            else:
                self._lake.update(HEAD, lambda data: head if data == seen else None)
        except FileExistsError:
            return  # its maker knows more
        except TwinError as error:
            logger.warning(
                "%s can't be written, so that all ledgers are listed at each look: %s", HEAD, error
            )

    def _last_events(self) -> dict[str, int]:
        """The number of the last event by persona, as mirrored."""
        events: dict[str, int] = {}
        for key in self._here.keys(_FOLDER):
            _, _, rest = key.partition("/")
            persona, _, name = rest.partition("/")
            number = name.removesuffix(".json")
            if number.isdecimal():
                events[persona] = max(events.get(persona, 0), int(number))
        return events

    @property
    def _address(self) -> str:
        client = getattr(self._lake, "client", None)
        return f"{client.meta.endpoint_url if client else ''} {self._lake.uri(_FOLDER)}"

    def _looked(self) -> tuple[_Looked, float] | None:
        """The last look at this lake, whichever process made it, and its time."""
        path = self._here.root / _STATE
        try:
            at = path.stat().st_mtime_ns
            read = self._read if self._read and self._read[0] == at else None
            self._read = read = read or (at, _Looked.model_validate_json(path.read_bytes()))
        except (FileNotFoundError, ValidationError):
            return None
        return (read[1], at / 1e9) if read[1].lake == self._address else None

    def _touch(self, at: float) -> None:
        try:
            os.utime(self._here.root / _STATE, (at, at))
        except FileNotFoundError:
            return  # the next look lists all


def _is_due(looked: _Looked) -> bool:
    pages = math.ceil(sum(looked.events.values()) / PAGE_KEYS)
    since = time.time() - looked.swept_at
    return not 0 <= since < max(SWEEP_SECONDS, pages * PAGE_SECONDS)

"""At which personas a sensor looks at a tick, and what it says of all. Every look costs queries of Dagster and requests of S3, so at
rest there are next to none: a persona is looked at when something changed that Dagster or the known ledger tells, when its own
time has come, and in turn, for what nobody tells. Where many are due a tick looks at some, and the next ones at the others.
"""

import base64
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import Record
from twin_assets.core.storage.s3 import StorageError
from twin_assets.defs.shared.asked import Asked, summed_up

# One persona of those where nothing is due: with two sensors less than a request in two minutes, however many there are.
TURN = timedelta(minutes=30)
SAID_CHARACTERS = 300
# Of one tick, which Dagster ends after 60 seconds. No new look begins after so many, and each begun one is a persona's.
MOST_LOOKS, MOST_SECONDS = 200, 20.0
# A run that was asked for is asked for again after so long, by the same run key, and a look that failed is tried again.
AGAIN = timedelta(minutes=10)
LATER = "its turn comes at one of the next ticks"


class Look(Record):
    """What the last look at a persona left: the state that it found, what is told of it, and when it is due again whatever
    the state, None for never."""

    state: str
    said: str
    at: datetime
    due: datetime | None


class _Cursor(Record):
    turned_at: datetime
    looks: Mapping[str, Look]


class Looks:
    """Kept in a sensor's cursor, which Dagster stores with the runs that a tick asks for: what a broken one did is looked at anew."""

    def __init__(self, cursor: str | None, now: datetime) -> None:
        """`cursor` is what `cursor()` gave at the tick before. One that can't be read, of a release before, counts as none."""
        try:
            before = _Cursor.model_validate_json(zlib.decompress(base64.b64decode(cursor or "")))
        except (ValueError, zlib.error):
            before = _Cursor(turned_at=now, looks={})
        self.now, self._turned_at, self._before = now, before.turned_at, before.looks
        self._after: dict[str, Look] = {}
        self._states: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._troubled: list[str] = []
        self._requests: list[dg.RunRequest] = []

    def states_of(
        self, personas: Iterable[str], rows: Mapping[str, Mapping[str, int]], asset: str
    ) -> dict[str, str]:
        """What tells of a change of each of `personas`, by `rows` of `newest_rows`; it is told of who has no `asset` yet."""
        states = dict[str, str]()
        for persona in personas:
            if asset in rows.get(persona, {}):
                states[persona] = fingerprint(rows[persona], 12)
            else:
                self.says(persona, f"there is no {asset} yet")
        return states

    def choose(self, states: Mapping[str, str], first: Iterable[str] = ()) -> list[str]:
        """Those to look at at this tick, who waited longest first, MOST_LOOKS at the most beside those of `first` who are due.

        `states` has what tells of a change, of everybody who may be looked at; the looks of others are forgotten.
        """
        self._states |= states
        known = {name: self._before[name] for name in states if name in self._before}
        self._after |= known
        due = [name for name, state in states.items() if self._is_due(state, known.get(name))]
        if self.now - self._turned_at >= TURN and known:
            turn = min(known, key=lambda name: known[name].at)
            self._turned_at = self.now
            due += [turn] if turn not in due else []
        # Those never looked at are in the order of `states`: each waits for no more than one round of all others.
        due.sort(key=lambda name: known[name].at.timestamp() if name in known else 0.0)
        ahead = [name for name in first if name in due]
        chosen = ahead + [name for name in due if name not in ahead][:MOST_LOOKS]
        later, here = set(due), set(chosen)
        for name in states:
            if name not in here:
                self._said[name] = LATER if name in later else known[name].said
        return chosen

    def _is_due(self, state: str, look: Look | None) -> bool:
        return look is None or look.state != state or (look.due is not None and look.due <= self.now)

    def each(self, chosen: Iterable[str], look: Callable[[str], None]) -> None:
        """Look at each of them, for MOST_SECONDS. What is wrong with one is told of that one, and the others go on.

        Raises StorageError where the storage answered for nobody.
        """
        end, good, away = time.monotonic() + MOST_SECONDS, 0, list[StorageError]()
        for name in chosen:
            if time.monotonic() >= end:
                self._said.setdefault(name, LATER)
                continue
            try:
                look(name)
                good += 1
            except Exception as error:  # whatever is wrong with this one's data
                self._troubled.append(name)
                # The first line alone: what follows it in an error of pydantic quotes what somebody wrote.
                told = f"can't be looked at: {type(error).__name__}: {error}".splitlines()[0]
                self.looked(name, told, self.now + AGAIN)
                away += [error] if isinstance(error, StorageError) else []
        if away and not good:
            raise away[0]

    def looked(self, name: str, said: str, due: datetime | None) -> None:
        """Nothing is to be done until `due`, or until the state is another."""
        said = said[:SAID_CHARACTERS]
        self._after[name] = Look(state=self._states[name], said=said, at=self.now, due=due)
        self._said[name] = said

    def asks(self, name: str, request: dg.RunRequest, why: str) -> None:
        """A run is asked for, once a run key, however often."""
        self._requests.append(request)
        self.looked(name, f"asked for a run: {why}", self.now + AGAIN)

    def says(self, name: str, said: str) -> None:
        """What is told of somebody who needs no look."""
        self._said[name] = said

    def hush(self, name: str) -> None:
        """Nothing is told of it."""
        self._said.pop(name, None)

    def cursor(self) -> str:
        """Compressed: Dagster stores it with every tick."""
        kept = _Cursor(turned_at=self._turned_at, looks=self._after).model_dump_json()
        return base64.b64encode(zlib.compress(kept.encode())).decode()

    def told(self) -> str:
        """A line of all: those whose look failed come first, those who wait for theirs, and whoever was looked at now."""
        later = [name for name, said in self._said.items() if said is LATER]
        now = [name for name, look in self._after.items() if look.at == self.now]
        order = [*self._troubled, *later, *now, *self._said]
        return summed_up({name: self._said[name] for name in order if name in self._said})

    def end(self, context: dg.SensorEvaluationContext, cursor: str | None = None) -> Asked:
        """What Dagster is given; `cursor` where a sensor keeps more than these looks."""
        context.update_cursor(cursor or self.cursor())
        if not self._requests:
            return dg.SkipReason(self.told() or "no personas yet")
        context.log.info(self.told())
        return self._requests

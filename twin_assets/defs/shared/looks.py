"""At which personas a sensor looks in the lake at a tick. Every look costs requests of S3, so at rest there are next to none:
a persona is looked at when something changed that Dagster or the known ledger tells, when its own time has come, and in
turn, for what nobody tells.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from twin_assets.core.records import Record

# One persona of those where nothing is due: with two sensors less than a request in two minutes, however many there are.
TURN = timedelta(minutes=30)
SAID_CHARACTERS = 300


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
    """Kept in a sensor's cursor, which Dagster stores when a tick ends well: what a broken one did is looked at anew."""

    def __init__(self, cursor: str | None, now: datetime) -> None:
        """`cursor` is what `cursor()` gave at the tick before. One that can't be read, of a release before, counts as none."""
        try:
            before = _Cursor.model_validate_json(cursor or "")
        except ValueError:
            before = _Cursor(turned_at=now, looks={})
        self._now, self._turned_at, self._before = now, before.turned_at, before.looks
        self._after: dict[str, Look] = {}
        self._turn: str | None = None
        if now - self._turned_at >= TURN and self._before:
            self._turn, self._turned_at = min(self._before, key=lambda p: self._before[p].at), now

    def quiet(self, persona: str, state: str) -> str | None:
        """What is told of a persona that needs no look; None for one that is to be looked at."""
        look = self._before.get(persona)
        if look is None or look.state != state or persona == self._turn:
            return None
        if look.due is not None and look.due <= self._now:
            return None
        self._after[persona] = look
        return look.said

    def looked(self, persona: str, state: str, said: str, due: datetime | None) -> None:
        """Nothing is to be done until `due`, or until the state is another. Without this call the next tick looks again."""
        self._after[persona] = Look(state=state, said=said[:SAID_CHARACTERS], at=self._now, due=due)

    def cursor(self) -> str:
        return _Cursor(turned_at=self._turned_at, looks=self._after).model_dump_json()

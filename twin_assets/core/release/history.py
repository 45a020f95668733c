"""What follows from the events of a release ledger: who serves, who waits, what a rollback brings back.

Pure: made from a list of events, and never changes. At most one version is in production, and at most
one more serves a share of the requests beside it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from twin_assets.core.release.callers import said_to_be
from twin_assets.core.storage.numbered import Numbered

EventKind = Literal[
    "proposed", "evaluated", "approved", "rejected", "canary_started", "deployed", "rolled_back"
]


class Event(Numbered):
    """One fact about one model version.

    `passed` is set on `evaluated` only, `share` (of requests, 0 to 1) on `canary_started` only. `follows` is
    the number of the version's event before this one, which this one answers; None for a version's first
    event and in ledgers written before there was this field. `actor` is the platform itself, or what the person who
    decided was authenticated as; `claimed` is the name that they gave, which nothing proves. In ledgers written before
    there was `claimed` that name is the actor. `plumbing` is set on `evaluated` only: the version is of a size that writes
    noise and proves that the platform runs.
    """

    persona: str
    model: str
    kind: EventKind
    actor: str
    reason: str
    at: datetime
    passed: bool | None = None
    follows: int | None = None
    share: float | None = None
    claimed: str | None = None
    plumbing: bool = False

    @property
    def who(self) -> str:
        """The actor and the name given, for people to read."""
        return said_to_be(self.claimed, self.actor)


class History:
    """Events of one persona, oldest first, and what follows from them."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = tuple(events)
        self._last = {event.model: event for event in self.events}

    def plumbing(self) -> frozenset[str]:
        """Versions of a size that writes noise: what they write is marked so."""
        return frozenset(event.model for event in self.events if event.plumbing)

    def last(self, model: str) -> Event | None:
        """The last event of a version, None if it has none."""
        return self._last.get(model)

    def state(self, model: str) -> EventKind | None:
        """The kind of a version's last event."""
        last = self.last(model)
        return last.kind if last else None

    def superseded_by(self, model: str) -> str | None:
        """The newest candidate, if that is another version; whatever became of it."""
        newest = next((e.model for e in reversed(self.events) if e.kind == "proposed"), None)
        return newest if newest != model else None

    def waiting(self) -> Event | None:
        """The evaluation that waits for a person: of the newest candidate, when it passed."""
        newest = next((e.model for e in reversed(self.events) if e.kind == "proposed"), None)
        last = self.last(newest) if newest else None
        return last if last and last.kind == "evaluated" and last.passed else None

    def approved(self) -> Event | None:
        """The newest approval that nothing has followed yet."""
        return next((e for e in reversed(self.events) if e.kind == "approved" and self._is_last(e)), None)

    def releases(self) -> list[Event]:
        """The deployments that hold, oldest first: of versions that were not taken back since."""
        held: list[Event] = []
        for event in self.events:
            if event.kind in ("deployed", "rolled_back"):
                held = [e for e in held if e.model != event.model]
            if event.kind == "deployed":
                held.append(event)
        return held

    def deployed(self) -> list[str]:
        """Versions that went into production and were not taken back, oldest first."""
        return [event.model for event in self.releases()]

    def production(self) -> str | None:
        """The version in production."""
        return next(reversed(self.deployed()), None)

    def predecessor(self) -> str | None:
        """The version that a rollback of production brings back."""
        return next(iter(self.deployed()[-2:-1]), None)

    def canary(self) -> Event | None:
        """The start of the canary that runs, None when none does."""
        found = (e for e in reversed(self.events) if e.kind == "canary_started")
        return next((e for e in found if self._is_last(e)), None)

    def served_since(self) -> list[int]:
        """Numbers of the events that changed what is served, oldest first."""
        return [e.number for e in self.events if e.kind in ("canary_started", "deployed", "rolled_back")]

    def _is_last(self, event: Event) -> bool:
        return self._last[event.model] is event

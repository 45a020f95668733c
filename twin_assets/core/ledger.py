"""The release ledger: append-only events from which the state of every model version is derived.

One object an event in the lake, numbered without gaps and never overwritten, so two writers can't
both take a number. At most one version a persona is in production. Rollback is one more event.
"""

from datetime import UTC, datetime
from typing import Literal

from twin_assets.core.errors import TwinError
from twin_assets.core.lake import Lake
from twin_assets.core.records import Record

EventKind = Literal["proposed", "evaluated", "approved", "rejected", "deployed", "rolled_back"]

# What may follow what, for one model version; None is a version the ledger has not seen.
_ALLOWED: dict[EventKind, set[EventKind | None]] = {
    "proposed": {None, "rejected"},
    "evaluated": {"proposed", "evaluated"},
    "approved": {"evaluated"},
    "rejected": {"proposed", "evaluated", "approved"},
    "deployed": {"approved", "rolled_back"},
    "rolled_back": {"deployed"},
}


class Event(Record):
    """One fact about one model version. `passed` is set on `evaluated` only."""

    number: int
    persona: str
    model: str
    kind: EventKind
    actor: str
    reason: str
    at: datetime
    passed: bool | None = None


class Ledger:
    """The ledger of one persona."""

    def __init__(self, lake: Lake, persona: str) -> None:
        self.lake, self.persona = lake, persona

    def events(self) -> list[Event]:
        """All events, oldest first."""
        keys = self.lake.keys(f"ledger/{self.persona}")
        return [Event.model_validate_json(self.lake.read(key)) for key in keys]

    def append(
        self, model: str, kind: EventKind, actor: str, reason: str, passed: bool | None = None
    ) -> Event:
        """Add an event. Raises TwinError when it can't follow what the ledger holds for that model."""
        if not actor.strip() or not reason.strip():
            raise TwinError(f"A {kind!r} event needs an actor and a reason.", "give both.")
        while True:
            events = self.events()
            self._check(events, model, kind)
            event = Event(
                number=len(events) + 1, persona=self.persona, model=model, kind=kind, actor=actor,
                reason=reason, at=datetime.now(UTC), passed=passed,
            )  # fmt: skip
            try:
                self.lake.create(
                    f"ledger/{self.persona}/{event.number:08d}.json", event.model_dump_json().encode()
                )
            except FileExistsError:
                continue  # another writer took the number: read again and check again
            return event

    def _check(self, events: list[Event], model: str, kind: EventKind) -> None:
        last = next((e for e in reversed(events) if e.model == model), None)
        state = last.kind if last else None
        if state not in _ALLOWED[kind]:
            raise TwinError(
                f"{model} is {state or 'unknown to the ledger'}, so it can't become {kind}.",
                f"{kind} may follow: {', '.join(str(s) for s in sorted(map(str, _ALLOWED[kind])))}.",
            )
        if kind == "approved":
            if last is None or not last.passed:
                raise TwinError(
                    f"{model} did not pass its evaluation.", "improve it, or lower the gate in review."
                )
            newest = next(e.model for e in reversed(events) if e.kind == "proposed")
            if newest != model:
                raise TwinError(f"{model} is superseded by {newest}.", f"review {newest} instead.")

    def state(self, model: str) -> EventKind | None:
        """The last event's kind for that model; None if the ledger has not seen it."""
        return next((e.kind for e in reversed(self.events()) if e.model == model), None)

    def deployed(self) -> list[str]:
        """Versions that went into production and were not taken back, oldest first.

        The last is in production; the one before it is what a rollback brings back.
        """
        deployed: list[str] = []
        for event in self.events():
            if event.kind == "deployed":
                deployed.append(event.model)
            elif event.kind == "rolled_back":
                deployed = [m for m in deployed if m != event.model]
        return deployed

    def production(self) -> str | None:
        """The model version in production, or None."""
        return next(reversed(self.deployed()), None)

    def waiting(self) -> Event | None:
        """The evaluated, passed version that waits for a person, or None."""
        newest = next((e for e in reversed(self.events()) if e.kind == "proposed"), None)
        if newest is None:
            return None
        last = next(e for e in reversed(self.events()) if e.model == newest.model)
        return last if last.kind == "evaluated" and last.passed else None

    def approved(self) -> Event | None:
        """The approval that waits to be deployed, or None."""
        events = self.events()
        last_of = {e.model: e for e in events}
        return next((e for e in reversed(events) if e.kind == "approved" and last_of[e.model] is e), None)

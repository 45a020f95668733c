"""The release ledger: append-only events from which the state of every model version is derived.

One object an event in the lake, numbered without gaps and never overwritten, so two writers can't
both take a number. The order is that of the numbers: clocks of machines differ. What follows from the events is in `history`; what people may decide, in `approval`.
"""

import time
from datetime import UTC, datetime

from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.release.head import tell_head
from twin_assets.core.release.history import Event, EventKind, History
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.numbered import NumberedLog

__all__ = ["ConflictError", "Event", "EventKind", "History", "Ledger"]

# What may follow what, for one model version; None is a version the ledger has not seen.
_ALLOWED: dict[EventKind, set[EventKind | None]] = {
    "proposed": {None, "rejected", "rolled_back"},
    "evaluated": {"proposed", "evaluated"},
    "approved": {"evaluated"},
    "rejected": {"proposed", "evaluated", "approved"},
    "canary_started": {"approved"},
    "deployed": {"approved", "canary_started"},
    "rolled_back": {"canary_started", "deployed"},
}


class ConflictError(TwinError):
    """The event that another one was to follow is no longer the last of its version."""


class Damaged(TwinError):
    """An event is missing or can't be read, so that nobody can know what holds."""


# A listing that is made while events are written may miss one and show the next; and a number that is just being
# taken may not be listed yet.
_LOOKS, _LOOK_SECONDS = 5, 0.1


class Ledger:
    """The ledger of one persona. Events never change, so an object of this class reads each of them once."""

    def __init__(self, lake: Lake, persona: str) -> None:
        self.lake, self.persona = lake, persona
        self._log = NumberedLog(lake, f"ledger/{persona}", Event)
        self._read: dict[str, Event] = {}

    def events(self) -> list[Event]:
        """All events, oldest first. Raises Damaged when one is missing or can't be read."""
        missing = 0
        for look in range(_LOOKS):
            keys = self._log.keys()
            missing = next((n for n, key in enumerate(keys, 1) if key != self._log.key(n)), 0)
            if not missing:
                return [self._event(key) for key in keys]
            time.sleep(look * _LOOK_SECONDS)
        raise self._lacking(missing)

    def history_to(self, number: int) -> History:
        """What follows from the first `number` events. Raises Damaged when one is missing or can't be read."""
        events = []
        for n in range(1, number + 1):
            try:
                events.append(self._event(self._log.key(n)))
            except KeyError:
                raise self._lacking(n) from None
        return History(events)

    def _lacking(self, number: int) -> Damaged:
        return Damaged(
            f"The release ledger of {self.persona} has no event {number}, but later ones.",
            f"bring {self._log.key(number)} back from a backup: without it nobody can know which version serves.",
        )

    def _event(self, key: str) -> Event:
        if key not in self._read:
            try:
                self._read[key] = self._log.read(key)
            except ValidationError:
                raise Damaged(
                    f"The event {key} of the release ledger is damaged.", "bring it back from a backup."
                ) from None
        return self._read[key]

    def history(self) -> History:
        """What follows from the events that there are now."""
        return History(self.events())

    def append(
        self,
        model: str,
        kind: EventKind,
        actor: str,
        reason: str,
        passed: bool | None = None,
        follows: int | None = None,
        share: float | None = None,
        claimed: str | None = None,
        plumbing: bool = False,
    ) -> Event:
        """Add an event, whoever else writes at the same time.

        `follows` is the number of the version's event that this one answers, and defaults to the last; `claimed` the
        name that whoever acts gave. Raises ConflictError when `follows` is no longer the last, Damaged when the ledger is,
        and TwinError when the event can't come after what the ledger holds.
        """
        if not actor.strip() or not reason.strip():
            raise TwinError(f"A {kind!r} event needs an actor and a reason.", "give both.")
        refused: list[int] = []  # numbers that were taken
        while True:
            history = self.history()
            number = len(history.events) + 1
            last = history.last(model)
            if follows is not None and (last is None or last.number != follows):
                raise _overtaken(history, model, follows, kind)
            _check(history, model, kind)
            event = Event(
                number=number,
                persona=self.persona,
                model=model,
                kind=kind,
                actor=actor,
                reason=reason,
                at=self._now(history),
                passed=passed,
                share=share,
                follows=last.number if last else None,
                claimed=claimed,
                plumbing=plumbing,
            )
            if self._log.add(event):
                tell_head(self.lake, self.persona, number)
                return event
            refused.append(number)  # another writer took the number: read again and check again
            if refused.count(number) > _LOOKS:
                raise Damaged(
                    f"The name {self._log.key(number)} is taken, and the lake lists no such event.",
                    "see what has that name in the lake, and remove it if it is no event.",
                )
            time.sleep((refused.count(number) - 1) * _LOOK_SECONDS)

    @staticmethod
    def _now(history: History) -> datetime:
        """The present, but never before the last event: this machine's clock may be behind the one that wrote it."""
        return max([datetime.now(UTC), *(event.at for event in history.events[-1:])])

    def state(self, model: str) -> EventKind | None:
        """The last event's kind for that model; None if the ledger has not seen it."""
        return self.history().state(model)

    def deployed(self) -> list[str]:
        """Versions that went into production and were not taken back, oldest first.

        The last is in production; the one before it is what a rollback brings back.
        """
        return self.history().deployed()

    def production(self) -> str | None:
        """The model version in production, or None."""
        return self.history().production()

    def waiting(self) -> Event | None:
        """The evaluation of the passed version that waits for a person, or None."""
        return self.history().waiting()

    def approved(self) -> Event | None:
        """The approval that waits to be deployed, or None."""
        return self.history().approved()


def _check(history: History, model: str, kind: EventKind) -> None:
    last = history.last(model)
    state = last.kind if last else None
    if state not in _ALLOWED[kind]:
        raise TwinError(
            f"{model} is {state or 'unknown to the ledger'}, so it can't become {kind}.",
            f"{kind} may follow: {', '.join(sorted(str(s) for s in _ALLOWED[kind]))}.",
        )
    if kind == "approved" and (last is None or not last.passed):
        raise TwinError(f"{model} did not pass its evaluation.", "improve it, or lower the gate in review.")
    # A canary may be promoted whatever was proposed since: its approval was used when it began.
    uses_approval = kind in ("approved", "canary_started", "deployed") and state != "canary_started"
    if uses_approval and (newer := history.superseded_by(model)):
        raise TwinError(
            f"{model} is superseded by {newer}.",
            f"review {newer} instead; to bring {model} back, reject it and evaluate it again.",
        )
    canary, production = history.canary(), history.production()
    if kind in ("canary_started", "deployed") and canary and canary.model != model:
        raise TwinError(f"The canary {canary.model} is not over.", "wait for its end, or roll it back.")
    if kind == "canary_started" and production is None:
        raise TwinError(f"A canary of {model} has no production beside it.", "deploy it.")
    if kind == "rolled_back" and canary and model == production:
        raise TwinError(
            f"The canary {canary.model} runs beside {model}.", "roll the canary back first, then this."
        )


def _overtaken(history: History, model: str, follows: int, kind: EventKind) -> ConflictError:
    last = history.last(model)
    if last is None or not any(e.number == follows and e.model == model for e in history.events):
        return ConflictError(
            f"Event {follows} of {model} is not in the ledger.", "look at what is there now."
        )
    return ConflictError(
        f"{model} can't become {kind} by event {follows}: event {last.number} came after it "
        f"({last.kind} by {last.who}).",
        "look at what is there now, and decide again.",
    )

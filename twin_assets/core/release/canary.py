"""Whether a new version stays: its requests against those of the version before, and what follows.

Every process that serves writes down what it saw, under the number of the ledger event since which the
same versions are served. Any of them, or Dagster, adds it all up and appends the verdict to the ledger;
the ledger takes it once, and who comes second finds it done.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from twin_assets.core.betting import e_value
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Record
from twin_assets.core.release.approval import WATCH, check_rollback
from twin_assets.core.release.history import Event, EventKind, History
from twin_assets.core.release.ledger import ConflictError, Ledger
from twin_assets.core.storage.lake import Lake
from twin_assets.settings import Settings

# Chance that a version that keeps within a limit is rolled back, however long and often it is looked at.
FALSE_ALARM = 0.01
# Medians of fewer requests are not compared.
LEAST_LATENCIES = 10
# Latencies kept of each caller and version by each process, the newest.
LATENCIES = 50


class Asked(Record):
    """Requests of one caller to one version: how many ended, how many of them failed, and how long the others took (s)."""

    requests: int = 0
    errors: int = 0
    seconds: list[float] = []

    def plus(self, other: "Asked") -> "Asked":
        return Asked(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            seconds=self.seconds + other.seconds,
        )


class Tally(Record):
    """What was seen of one version: requests by who asked, and how often it could not be loaded.

    A caller is one vote, however often it asks, which its failures divide: nobody takes a version back alone. An attempt to load is a vote too.
    """

    callers: dict[str, Asked] = {}
    unloaded: int = 0

    def plus(self, other: "Tally") -> "Tally":
        names = self.callers | other.callers
        none = Asked()
        return Tally(
            callers={n: self.callers.get(n, none).plus(other.callers.get(n, none)) for n in names},
            unloaded=self.unloaded + other.unloaded,
        )

    @property
    def requests(self) -> int:
        return sum(caller.requests for caller in self.callers.values()) + self.unloaded

    @property
    def errors(self) -> int:
        return sum(caller.errors for caller in self.callers.values()) + self.unloaded

    @property
    def votes(self) -> int:
        return len(self.callers) + self.unloaded

    @property
    def against(self) -> float:
        """Votes against the version, each caller's by the share of its requests that failed."""
        return sum(c.errors / c.requests for c in self.callers.values() if c.requests) + self.unloaded

    @property
    def error_rate(self) -> float:
        return self.against / self.votes if self.votes else 0.0

    @property
    def seconds(self) -> list[float]:
        """Latencies in which no caller is more than half: of the busiest as many as of the second busiest, its newest."""
        counts = sorted(len(caller.seconds) for caller in self.callers.values())
        most = counts[-2] if len(counts) > 1 else 1
        return [s for caller in self.callers.values() for s in caller.seconds[-most:]] if most else []

    @property
    def median(self) -> float | None:
        """Median latency in seconds; None for too few requests."""
        return float(np.median(self.seconds)) if len(self.seconds) >= LEAST_LATENCIES else None


class Seen(Record):
    """What one process saw, by model version."""

    models: dict[str, Tally]


class Verdict(Record):
    """What is to be done about the version that was released last."""

    act: Literal["wait", "promote", "roll_back"]
    model: str
    follows: int
    reason: str


def write_seen(lake: Lake, persona: str, since: int, process: str, seen: Seen) -> None:
    """Store what a process saw since event `since`, in place of what it wrote before."""
    lake.write(f"watch/{persona}/{since:08d}/{process}.json", seen.model_dump_json().encode())


def read_seen(lake: Lake, persona: str, since: int) -> dict[str, Tally]:
    """What all processes together saw since event `since`, by model version."""
    tallies: dict[str, Tally] = {}
    for key in lake.keys(f"watch/{persona}/{since:08d}"):
        for model, tally in Seen.model_validate_json(lake.read(key)).models.items():
            tallies[model] = tallies.get(model, Tally()).plus(tally)
    return tallies


def breaks_limit(new: Tally, old: Tally, settings: Settings) -> str | None:
    """Which limit the new version breaks, when the evidence is beyond chance; None when it is not.

    Errors: more than `error_limit` beyond the old version's share fail, each caller one vote. Latency: more than half of the requests
    take longer than `latency_limit` times the old version's median (a sign test, so a few long answers
    say nothing).
    """
    if e_value(new.against, new.votes, old.error_rate + settings.error_limit) > 1 / FALSE_ALARM:
        return f"{_errors(new)}, of the version before {_errors(old)}"
    if old.median is not None:
        took = new.seconds
        slow = sum(seconds > settings.latency_limit * old.median for seconds in took)
        if e_value(slow, len(took), 0.5) > 1 / FALSE_ALARM:
            return f"{slow} of {len(took)} answers took longer than {settings.latency_limit:g} times {_latency(old)}"
    return None


def ends_beyond_limit(new: Tally, old: Tally, settings: Settings) -> str | None:
    """Which limit the observed figures are beyond. At a canary's end production has the benefit of the doubt."""
    if new.error_rate > old.error_rate + settings.error_limit:
        return f"{_errors(new)}, of the version before {_errors(old)}"
    if new.median is None or old.median is None or new.median <= settings.latency_limit * old.median:
        return None
    return f"{_latency(new)}, {settings.latency_limit:g} times {_latency(old)} at most"


def is_watched(history: History, settings: Settings, now: datetime) -> bool:
    """Whether a canary runs, or the version deployed last is still held against the one before."""
    release = next(reversed(history.releases()), None)
    return history.canary() is not None or (
        release is not None
        and history.predecessor() is not None
        and history.served_since()[-1] == release.number
        and now - release.at <= timedelta(minutes=settings.watch_minutes)
    )


def is_over(history: History, settings: Settings, now: datetime) -> bool:
    """Whether a canary has run for its time, so that there is a verdict without further requests."""
    canary = history.canary()
    return canary is not None and now >= _end_of(canary, settings)


def evaluate_canary(
    lake: Lake, persona: str, history: History, settings: Settings, now: datetime
) -> Verdict | None:
    """What is to be done about the canary, or about the version deployed last; None when none is watched."""
    served = history.served_since()
    if canary := history.canary():
        seen = read_seen(lake, persona, served[-1])
        new, old = seen.get(canary.model, Tally()), seen.get(history.production() or "", Tally())
        return _judge_canary(canary, new, old, settings, now)
    if not is_watched(history, settings, now):
        return None  # nothing to go back to, or it was brought back by a rollback, or it has stood its time
    release, before = history.releases()[-1], history.predecessor() or ""
    new = read_seen(lake, persona, release.number).get(release.model, Tally())
    old = read_seen(lake, persona, served[-2]).get(before, Tally()) if len(served) > 1 else Tally()
    trouble = breaks_limit(new, old, settings)
    return Verdict(
        act="roll_back" if trouble else "wait",
        model=release.model,
        follows=release.number,
        reason=f"after {new.requests} requests in production: {trouble or 'within the limits'}",
    )


def apply_verdict(
    ledger: Ledger, registry: Registry, settings: Settings, now: datetime | None = None
) -> Event | None:
    """Append the verdict on the version that is watched, if it is one to act on; the event, or None.

    Raises TwinError when a rollback would bring back a version that the registry doesn't have.
    """
    history = ledger.history()
    verdict = evaluate_canary(ledger.lake, ledger.persona, history, settings, now or datetime.now(UTC))
    if verdict is None or verdict.act == "wait":
        return None
    kind: EventKind = "deployed" if verdict.act == "promote" else "rolled_back"
    if kind == "rolled_back":
        check_rollback(history, registry, verdict.model)
    try:
        return ledger.append(verdict.model, kind, WATCH, verdict.reason, follows=verdict.follows)
    except ConflictError:
        return None  # another process, or a person, was first


def _judge_canary(canary: Event, new: Tally, old: Tally, settings: Settings, now: datetime) -> Verdict:
    ends = _end_of(canary, settings)
    over = now >= ends or new.requests >= settings.canary_requests
    after = f"after {new.requests} requests in the canary, {old.requests} beside it"
    act: Literal["wait", "promote", "roll_back"] = "wait"
    trouble = breaks_limit(new, old, settings) or (ends_beyond_limit(new, old, settings) if over else None)
    if trouble:
        act, reason = "roll_back", f"{after}: {trouble}"
    elif over:
        act, reason = "promote", f"{after}: {_errors(new)}, {_latency(new)}"
    else:
        reason = f"{after}: within the limits, until {ends:%H:%M} UTC or {settings.canary_requests} requests"
    return Verdict(act=act, model=canary.model, follows=canary.number, reason=reason)


def _end_of(canary: Event, settings: Settings) -> datetime:
    return canary.at + timedelta(minutes=settings.canary_minutes)


def _errors(tally: Tally) -> str:
    told = f"{tally.errors} of {tally.requests} requests failed"
    if tally.unloaded:
        return f"{told}, {tally.unloaded} of them to load it"
    return told if tally.votes == tally.requests else f"{told}, of {tally.votes} callers"


def _latency(tally: Tally) -> str:
    return "median latency unknown" if tally.median is None else f"a median latency of {tally.median:.2f} s"

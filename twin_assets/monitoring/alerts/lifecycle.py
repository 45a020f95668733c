"""Alerts: what is wrong since when and how badly, told once, repeated at most daily, and closed with a word.

State is append-only in the lake: one `Batch` for each look that changed something, numbered without gaps. What is open
follows from the batches alone. A batch is also the message: `alert_channels` sends it, and its `pending` names the
channels that have not had it yet.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.numbered import Numbered, NumberedLog, next_number
from twin_assets.monitoring.drift.report import DriftReport, Family, Signal

REPEAT_AFTER = timedelta(hours=24)
# The daily look must not slip by minutes each day.
_SLACK = timedelta(minutes=30)

# Whose alerts are of no persona: of the machine and the queue. No persona can be named so.
PLATFORM = "_platform"

Severity = Literal["notice", "warning", "critical"]
ADVICE: dict[Family, str] = {
    "persona": "A rebuild learns it; it is asked for by itself, and ends with your approval.",
    "traffic": "Write about it, add sources, or leave it: the twin declines what it can't support.",
    "quality": "Compare the versions; roll the release back if it came with one.",
    "cost": "See who asks and for what; limit the key, or the length of answers.",
}


class Alert(Record):
    """One thing that is wrong, or waits for somebody. `name` identifies it from look to look; `since` is when it began; one that
    doesn't repeat is told of once."""

    name: str
    severity: Severity
    what: str
    how_bad: str
    since: datetime
    link: str
    advice: str = ""
    repeats: bool = True


class Batch(Numbered):
    """What changed at one look. `told` are the alerts that the message speaks of; others opened or closed in
    silence, because they did so within a day before."""

    persona: str
    at: datetime
    opened: list[Alert] = []
    repeated: list[Alert] = []
    closed: list[Alert] = []
    told: list[str] = []
    pending: list[str] = []

    @property
    def speaks(self) -> bool:
        return bool(self.told)


class OpenAlert(Record):
    """An alert that stands, since `opened_at`; `told_at` is when it was last spoken of, None when never."""

    alert: Alert
    opened_at: datetime
    told_at: datetime | None


def alerts_of(report: DriftReport, link: str) -> list[Alert]:
    """One alert for each signal that drifted; `link` leads to where it can be looked at."""
    return [_alert(s, report, link) for s in report.signals if s.drifted]


def settle_alerts(
    lake: Lake, persona: str, alerts: Sequence[Alert], now: datetime, channels: Sequence[str]
) -> Batch | None:
    """Compare what is found with what is open, and write down what changed; None when nothing did.

    All that is to be told at one look is one batch, so one message. An alert is told of when it opens, then each 24
    hours, and when it closes if its opening was told. One that comes back within 24 hours of having been told
    is not told again before they are over.
    """
    earlier = batches(lake, persona)
    standing, spoken = open_alerts(earlier), _last_told(earlier)
    by_name = {a.name: a for a in alerts}
    continuing = {
        name: _with_beginning(a, standing[name].alert) for name, a in by_name.items() if name in standing
    }
    opened = [a for name, a in by_name.items() if name not in standing]
    closed = [s.alert for name, s in standing.items() if name not in by_name]
    due = {name for name in by_name if _due(spoken.get(name), now)}
    repeated = [a for name, a in continuing.items() if name in due and a.repeats]
    told = [a.name for a in (*opened, *repeated) if a.name in due]
    told += [a.name for a in closed if standing[a.name].told_at is not None]
    if not (opened or repeated or closed):
        return None
    batch = Batch(
        number=next_number(earlier),
        persona=persona,
        at=now,
        opened=opened,
        repeated=repeated,
        closed=closed,
        told=told,
        pending=list(channels) if told else [],
    )
    # Where another look was first, the next one compares with it.
    return batch if _log(lake, persona).add(batch) else None


def batches(lake: Lake, persona: str) -> list[Batch]:
    """All batches, oldest first."""
    return _log(lake, persona).all()


def open_alerts(looks: Sequence[Batch]) -> dict[str, OpenAlert]:
    """What stands after these batches, by name."""
    standing: dict[str, OpenAlert] = {}
    for batch in looks:
        for alert in batch.opened:
            told = batch.at if alert.name in batch.told else None
            standing[alert.name] = OpenAlert(alert=alert, opened_at=batch.at, told_at=told)
        for alert in batch.repeated:
            standing[alert.name] = standing[alert.name].model_copy(
                update={"alert": alert, "told_at": batch.at}
            )
        for alert in batch.closed:
            standing.pop(alert.name, None)
    return standing


def next_repeat(looks: Sequence[Batch]) -> datetime | None:
    """When the first of the alerts that stand is to be told again; None when none stands."""
    spoken = _last_told(looks)
    repeating = (name for name, standing in open_alerts(looks).items() if standing.alert.repeats)
    return min((spoken[name] + REPEAT_AFTER - _SLACK for name in repeating if name in spoken), default=None)


def mark_delivered(lake: Lake, batch: Batch, channel: str) -> Batch:
    """The batch without a channel that has had it."""
    left = batch.model_copy(update={"pending": [c for c in batch.pending if c != channel]})
    _log(lake, batch.persona).replace(left)
    return left


def worst(batch: Batch) -> Severity:
    """How bad the worst of what a message speaks of is; of what is over only, a notice."""
    told = [a.severity for a in (*batch.opened, *batch.repeated) if a.name in batch.told]
    return max(told, key=get_args(Severity).index, default="notice")


def subject(batch: Batch) -> str:
    """One line: how many alerts of whom, and the worst."""
    new = [a for a in (*batch.opened, *batch.repeated) if a.name in batch.told]
    if not new:
        return f"[LLM Twin] {_whose(batch)}: over: {', '.join(a.name for a in batch.closed if a.name in batch.told)}"
    return f"[LLM Twin] {_whose(batch)}: {worst(batch)}: {', '.join(a.name for a in new)}"


def body(batch: Batch) -> str:
    """The message as plain text."""
    parts = []
    for title, alerts in (("New", batch.opened), ("Still", batch.repeated), ("Over", batch.closed)):
        for a in alerts:
            if a.name not in batch.told:
                continue
            if title == "Over":
                parts.append(f"Over: {a.name}, which began {a.since:%Y-%m-%d %H:%M} UTC.")
                continue
            lines = [
                f"{title} ({a.severity}): {a.what}", f"  Since: {a.since:%Y-%m-%d %H:%M} UTC",
                f"  How bad: {a.how_bad}", f"  Look: {a.link}",
            ]  # fmt: skip
            parts.append("\n".join([*lines, f"  {a.advice}"] if a.advice else lines))
    return "\n\n".join(parts) + "\n"


def _whose(batch: Batch) -> str:
    return "the platform" if batch.persona == PLATFORM else batch.persona


def _alert(signal: Signal, report: DriftReport, link: str) -> Alert:
    at = report.at or signal.since
    assert at is not None
    figures = (
        [f"{signal.after:.3g} after {signal.before:.3g}"] if None not in (signal.before, signal.after) else []
    )
    return Alert(
        name=signal.name,
        severity="critical" if signal.family == "quality" else "warning",
        what=signal.sentence,
        how_bad="; ".join([*figures, *([signal.evidence] if signal.evidence else [])]),
        since=signal.since or at,
        link=link,
        advice=ADVICE[signal.family],
    )


def _with_beginning(now: Alert, before: Alert) -> Alert:
    return now.model_copy(update={"since": min(now.since, before.since)})


def _due(told: datetime | None, now: datetime) -> bool:
    return told is None or now - told >= REPEAT_AFTER - _SLACK


def _last_told(looks: Sequence[Batch]) -> dict[str, datetime]:
    """When each alert was last spoken of as being there."""
    return {
        a.name: batch.at for batch in looks for a in (*batch.opened, *batch.repeated) if a.name in batch.told
    }


def _log(lake: Lake, persona: str) -> NumberedLog[Batch]:
    return NumberedLog(lake, f"alerts/{persona}", Batch)

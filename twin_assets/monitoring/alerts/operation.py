"""What is wrong with the running of things, as alerts: work that failed, a source that refuses, a candidate that waits, a
disk that fills, runs that don't get their turn.

What is told of is plain records, so that whoever knows them (Dagster, the ledger, the file system) need not be known here.
"""

import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from twin_assets.core.records import Record
from twin_assets.core.release.marks import Held
from twin_assets.monitoring.alerts.lifecycle import Alert

DISK_FREE_SHARE = 0.1  # as deploy/monitoring has it
LONGEST_WAIT = timedelta(hours=2)
APPROVAL_ENDS_SOON = timedelta(days=3)
DETAIL_CHARACTERS = 300


class FailedWork(Record):
    """An asset, or a job without assets, whose last attempt failed; `reason` is the error's first line, `link` the run."""

    name: str
    reason: str
    at: datetime
    link: str


class FailingSource(Record):
    """A source that was not read to its end at its last crawl, and the error that the crawl gave."""

    source: str
    error: str
    at: datetime
    link: str


def failed_work(failed: Iterable[FailedWork]) -> list[Alert]:
    """One alert for each thing that failed."""
    return [
        Alert(
            name=f"failed:{one.name}",
            severity="warning",
            what=f"{one.name} failed.",
            how_bad=_short(one.reason),
            since=one.at,
            link=one.link,
            advice="Mend what the reason names, and run it again; what serves goes on serving.",
        )
        for one in failed
    ]


def failing_sources(failing: Iterable[FailingSource]) -> list[Alert]:
    """One alert for each source; what was collected of it before stays."""
    return [
        Alert(
            name=f"source:{one.source}",
            severity="warning",
            what=f"{one.source} could not be read to its end.",
            how_bad=_short(one.error),
            since=one.at,
            link=one.link,
            advice="What was collected before stays. The next crawl reads it again.",
        )
        for one in failing
    ]


def waiting_candidate(
    model: str, since: datetime, expires: datetime, link: str, now: datetime
) -> list[Alert]:
    """A notice that a version whose evaluation passed waits for a person, told once, and a warning, told daily, in the last
    days before that evaluation is too old to be approved. Nothing once it `expires`."""
    if now >= expires:
        return []
    waits = Alert(
        name=f"approval:{model}",
        severity="notice",
        what=f"{model} passed its evaluation and waits for a person's approval.",
        how_bad=f"it can be approved until {expires:%Y-%m-%d %H:%M} UTC",
        since=since,
        link=link,
        advice="Read its report, then approve or reject it.",
        repeats=False,
    )
    ends = {
        "name": f"approval_ends:{model}",
        "severity": "warning",
        "what": f"{model} still waits for a person's approval, and soon can't be approved any more.",
        "since": expires - APPROVAL_ENDS_SOON,
        "repeats": True,
    }
    return [waits, waits.model_copy(update=ends)] if expires - now <= APPROVAL_ENDS_SOON else [waits]


def used_up(held: Held | None, now: datetime, link: str) -> list[Alert]:
    """A notice, told once, that a quota holds back what would be started by itself, until there is room again."""
    if held is None or held.until <= now:
        return []
    return [
        Alert(
            name=f"quota:{held.quota}",
            severity="notice",
            what=f"The quota {held.quota} is used up: what would start by itself waits.",
            how_bad=held.sentence,
            since=held.since,
            link=link,
            advice="Wait until then, raise `quotas` in the persona's file, or start by hand what can't wait.",
            repeats=False,
        )
    ]


def full_disk(folder: Path, now: datetime, link: str) -> list[Alert]:
    """One alert where less than a tenth of the disk that holds `folder` is free; none where it can't be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return []
    if usage.free >= DISK_FREE_SHARE * usage.total:
        return []
    return [
        Alert(
            name="disk",
            severity="critical",
            what="The disk of TWIN_HOME is nearly full.",
            # In whole percents, so that the figure doesn't change at every look.
            how_bad=f"{100 * usage.free // usage.total}% is free",
            since=now,
            link=link,
            advice="Free some space (`twin registry gc --remove` removes old versions), or move TWIN_HOME to a larger disk.",
        )
    ]


def long_queue(queued: int, oldest: datetime | None, now: datetime, link: str) -> list[Alert]:
    """One alert where the run that waits longest has waited for hours; `oldest` is when it was queued."""
    if oldest is None or now - oldest < LONGEST_WAIT:
        return []
    return [
        Alert(
            name="backlog",
            severity="warning",
            what="Runs wait for their turn.",
            how_bad=f"{queued} wait",
            since=oldest,
            link=link,
            advice="See what holds the pools and the slots of runs, or give it more of them in dagster.yaml.",
        )
    ]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= DETAIL_CHARACTERS else line[: DETAIL_CHARACTERS - 1] + "…"

"""Production since a day, as the Monitoring tab and the monitoring report show it: use, money, time, scores, what people
said, what has drifted and which alerts stand. Holds no texts of requests.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime

from twin_assets.core.feedback.store import Feedback
from twin_assets.core.records import Record
from twin_assets.core.storage.experiments import read_rows
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.request_log import RequestRecord
from twin_assets.monitoring.alerts.lifecycle import PLATFORM, OpenAlert, batches, open_alerts
from twin_assets.monitoring.drift.report import DriftReport, Signal
from twin_assets.monitoring.scores.live_quality import Quality, quality_by
from twin_assets.monitoring.scores.live_voice import DayVoice, pooled, read_voices
from twin_assets.monitoring.scores.records import ModelVoice
from twin_assets.monitoring.scores.scored import read_scored
from twin_assets.monitoring.scores.usage import Usage, usage_by

# Scored requests that are taken into memory; the warehouse has all of them.
NEWEST_SCORED = 20_000
SEED = 17
NOBODY = "not recorded"


class VersionUsage(Usage):
    """Use of one version, with the thumbs that it got."""

    up: int
    down: int


class Accepted(Record):
    """Requests that someone liked or made their own version from, and what each of them cost (US dollars)."""

    count: int
    cost: float | None


class Training(Record):
    """Training runs in the same days; cost in US dollars, None where no price is known."""

    runs: int
    hours: float
    cost: float | None


class VoiceDay(Record):
    """A version's voice on a day (UTC): the figure in [0, 1], or, of days that have none, the margin of before; and the
    share of passages that read as language. None where it is not known."""

    day: str
    model: str
    figure: float | None
    margin: float | None
    reads: float | None


class LiveQuality(Record):
    """Scores by version and day, and the voice of texts by version and by version and day."""

    versions: list[Quality]
    days: list[Quality]
    voices: list[ModelVoice]
    day_voices: list[DayVoice]
    voice_days: list[VoiceDay] = []
    scored_until: datetime | None


class Said(Record):
    """How often people liked, disliked and edited answers."""

    up: int
    down: int
    edited: int


class Overview(Record):
    """`total` is None for no requests; `signals` are those of the last drift report, made at `drift_at`."""

    since: date
    total: Usage | None
    days: list[Usage]
    versions: list[VersionUsage]
    kinds: list[Usage]
    keys: list[Usage]
    accepted: Accepted
    training: Training
    quality: LiveQuality
    feedback: Said
    alerts: list[OpenAlert]
    signals: list[Signal]
    drift_at: datetime | None


def overview(
    lake: Lake, persona: str, since: date, requests: Sequence[RequestRecord], said: Sequence[Feedback]
) -> Overview:
    """The overview of days (UTC) from `since` on; `requests` are the log's rows of those days, `said` the reactions."""
    total = usage_by(requests, lambda r: "all")
    drift = _drift(lake, persona)
    return Overview(
        since=since,
        total=total[0] if total else None,
        days=usage_by(requests, lambda r: f"{r.time:%Y-%m-%d}"),
        versions=_versions(requests, said),
        kinds=usage_by(requests, lambda r: r.prompt_kind),
        keys=usage_by(requests, lambda r: r.key or NOBODY),
        accepted=_accepted(requests, said, total[0].cost if total else None),
        training=_training(lake, persona, since),
        quality=_quality(lake, persona, since),
        feedback=Said(
            up=sum(f.thumb == "up" for f in said),
            down=sum(f.thumb == "down" for f in said),
            edited=sum(f.edited is not None for f in said),
        ),
        alerts=[one for whose in (persona, PLATFORM) for one in open_alerts(batches(lake, whose)).values()],
        signals=drift.signals if drift else [],
        drift_at=drift.at if drift else None,
    )


def _versions(requests: Sequence[RequestRecord], said: Sequence[Feedback]) -> list[VersionUsage]:
    thumbs = Counter((f.model, f.thumb) for f in said if f.thumb)
    return [
        VersionUsage(**dict(one), up=thumbs[one.group, "up"], down=thumbs[one.group, "down"])
        for one in usage_by(requests, lambda r: r.model)
    ]


def _accepted(requests: Sequence[RequestRecord], said: Sequence[Feedback], cost: float | None) -> Accepted:
    liked = {f.request_id for f in said if f.thumb == "up" or f.edited is not None}
    count = sum(r.request_id in liked for r in requests)
    return Accepted(count=count, cost=cost / count if cost is not None and count else None)


def _training(lake: Lake, persona: str, since: date) -> Training:
    runs = [row for row in read_rows(lake, persona) if row.started_at.date() >= since]
    costs = [row.cost_usd for row in runs if row.cost_usd is not None]
    return Training(
        runs=len(runs),
        hours=sum(row.seconds for row in runs) / 3600,
        cost=sum(costs) if costs else None,
    )


def _quality(lake: Lake, persona: str, since: date) -> LiveQuality:
    rows = read_scored(lake, persona, since, NEWEST_SCORED)
    voices = [v for v in read_voices(lake, persona, since) if v.kind == "write"]
    return LiveQuality(
        versions=quality_by(rows, lambda row: row.model),
        days=quality_by(rows, lambda row: f"{row.time:%Y-%m-%d}"),
        voices=pooled(voices, SEED),
        day_voices=voices,
        voice_days=[
            VoiceDay(day=v.day, model=v.model, figure=v.figure, margin=v.margin, reads=v.reads)
            for v in voices
        ],
        scored_until=rows[-1].time if rows else None,
    )


def _drift(lake: Lake, persona: str) -> DriftReport | None:
    store = FeatureStore(lake)
    version = store.latest("drift_report", persona)
    return store.load("drift_report", persona, DriftReport, version) if version else None

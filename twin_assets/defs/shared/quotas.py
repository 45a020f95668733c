"""What holds back runs that start by themselves: a person's quotas. Asked of those for whom one would start, and of nobody else."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.persona.quotas import Quotas, room_again
from twin_assets.core.release.marks import HELD, Held
from twin_assets.core.storage.experiments import read_rows
from twin_assets.core.storage.lake import Lake
from twin_assets.defs.shared.retries import UNATTENDED
from twin_assets.settings import Settings

HOURS = "training_hours_a_month"
QUOTAS = {
    "runs_a_day": (timedelta(days=1), "{:.0f} runs of {:g} in 24 hours"),
    "dollars_a_month": (timedelta(days=30), "{:.2f} dollars of {:g} in 30 days"),
    HOURS: (timedelta(days=30), "{:.1f} hours of training of {:g} in 30 days"),
}  # fields of Quotas, each with its window and how use and limit are told
MOST_RECORDS = 5_000
UNCOUNTED = ("monitor", "deploy")  # these go on whatever is used up


def held_by_quota(
    settings: Settings, lake: Lake, instance: dg.DagsterInstance, persona: str, trains: bool
) -> Held | None:
    """The quota that is used up, if one is; hours of training hold back only what `trains`. It is noted in the lake, for alerts, and
    nothing more is asked until there is room again, or the quota is another."""
    quotas, now, known = _quotas(settings, persona), settings.now, HELD.lately(lake).get(persona)
    limits = {name: getattr(quotas, name) for name in QUOTAS if trains or name != HOURS}
    if known and known.until > now and limits.get(known.quota) == known.limit:
        return known
    for name, limit in limits.items():
        window, told = QUOTAS[name]
        if limit is None:
            continue
        used, until = room_again(_spent(lake, instance, persona, name, now - window), limit, window, now)
        if until is not None:
            held = Held(quota=name, limit=limit, used=told.format(used, limit), since=now, until=until)
            HELD.put(lake, persona, held)
            return held
    if known and known.quota in limits:
        HELD.take(lake, persona)
    return None


def _quotas(settings: Settings, persona: str) -> Quotas:
    """The person's own, and the platform's where they have none; those alone where the declaration can't be read."""
    ours = Quotas(
        runs_a_day=settings.quota_runs_a_day,
        training_hours_a_month=settings.quota_training_hours_a_month,
        dollars_a_month=settings.quota_dollars_a_month,
    )
    try:
        own = load_persona(settings.personas_dir, persona).quotas
    except TwinError:
        return ours
    return ours.model_copy(update=own.model_dump(exclude_none=True))


def _spent(
    lake: Lake, instance: dg.DagsterInstance, persona: str, quota: str, since: datetime
) -> Iterator[tuple[datetime, float]]:
    if quota == "runs_a_day":
        theirs = dg.RunsFilter(tags={"dagster/partition": persona}, created_after=since)
        for record in instance.get_run_records(theirs, limit=MOST_RECORDS):
            run = record.dagster_run
            if run.job_name not in UNCOUNTED and any(map(run.tags.get, UNATTENDED)):
                yield record.create_timestamp, 1.0
        return
    for row in read_rows(lake, persona):
        yield row.started_at, row.seconds / 3600 if quota == HOURS else row.cost_usd or 0.0
    if quota == "dollars_a_month":
        made = dg.AssetRecordsFilter(
            dg.AssetKey("instruct_dataset"), asset_partitions=[persona], after_timestamp=since.timestamp()
        )
        for event in instance.fetch_materializations(made, limit=MOST_RECORDS).records:
            about = (
                event.asset_materialization.metadata.get("teacher") if event.asset_materialization else None
            )
            told: Any = about.value if about else None
            yield datetime.fromtimestamp(event.timestamp, since.tzinfo), float((told or {}).get("cost", 0.0))

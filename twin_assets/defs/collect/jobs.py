"""Collecting: by hand, and every morning of those who are due."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.collect.assets import ERROR
from twin_assets.defs.shared.common import COLLECT, PERSONAS
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import latest
from twin_assets.monitoring.drift.refresh import crawl_interval

collect = dg.define_asset_job("collect", dg.AssetSelection.groups(COLLECT))


@dg.schedule(
    job=collect,
    cron_schedule="0 5 * * *",
    description="Collects new writing in the morning, of each persona as often as they write: every 1 to 14 days.",
)
def collect_daily(
    context: dg.ScheduleEvaluationContext, platform: Platform
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Personas whose crawl interval is over: half the mean time between two of their pieces, 1 to 14 days."""
    waiting = []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        now = context.scheduled_execution_time.astimezone(UTC)
        interval = crawl_interval(_published(platform, persona), now)
        crawled = _crawled(context.instance, persona)
        # Half a day of grace: the last crawl ended some time after the tick that started it.
        # A source in error is asked again at the next tick, however rarely the persona writes.
        if (
            crawled is None
            or _in_error(context.instance, persona)
            or (now - crawled).total_seconds() >= interval.total_seconds() - 43200
        ):
            yield dg.RunRequest(partition_key=persona)
        else:
            waiting.append(
                f"{persona} is crawled every {interval.days} days, last at {crawled:%Y-%m-%d %H:%M} UTC"
            )
    if waiting:
        yield dg.SkipReason("; ".join(waiting))


def _published(platform: Platform, persona: str) -> list[datetime]:
    store = FeatureStore(platform.lake)
    if store.latest("corpus_split", persona) is None:
        return []
    documents: list[SplitDocument] = store.read("corpus_split", persona)
    return [d.published_at for d in documents if d.published_at and d.category != "code"]


def _in_error(instance: dg.DagsterInstance, persona: str) -> bool:
    newest = (latest(instance, dg.AssetKey(f"raw_{source}"), persona) for source in SOURCES)
    return any(crawl is not None and ERROR in crawl.metadata for crawl in newest)


def _crawled(instance: dg.DagsterInstance, persona: str) -> datetime | None:
    times = [
        records[0].timestamp
        for source in SOURCES
        if (
            records := instance.fetch_materializations(
                dg.AssetRecordsFilter(dg.AssetKey(f"raw_{source}"), asset_partitions=[persona]), limit=1
            ).records
        )
    ]
    return datetime.fromtimestamp(max(times), UTC) if times else None

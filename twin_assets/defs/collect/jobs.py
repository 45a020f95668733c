"""Collecting: by hand, and every morning of those who are due."""

from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg

from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.collect.last_crawls import last_crawls
from twin_assets.defs.shared.asked import Asked, runs_or_reasons, who_goes_on
from twin_assets.defs.shared.common import COLLECT
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.monitoring.drift.refresh import crawl_interval

collect = dg.define_asset_job("collect", dg.AssetSelection.groups(COLLECT))


@dg.schedule(
    job=collect,
    cron_schedule="0 5 * * *",
    description="Collects new writing in the morning, of each persona as often as they write: every 1 to 14 days.",
)
def collect_daily(context: dg.ScheduleEvaluationContext, platform: Platform) -> Asked:
    """Personas whose crawl interval is over: half the mean time between two of their pieces, 1 to 14 days."""
    requests, waiting = list[dg.RunRequest](), list[str]()
    crawls = _last_crawls(context.instance)
    for persona in who_goes_on(context.instance, platform, waiting):
        now = context.scheduled_execution_time.astimezone(UTC)
        interval = crawl_interval(_published(platform, persona), now)
        last = crawls.get(persona)
        # Half a day of grace: the last crawl ended some time after the tick that started it.
        # A source in error is asked again at the next tick, however rarely the persona writes.
        if (
            last is None
            or last.in_error
            or (now - last.at).total_seconds() >= interval.total_seconds() - 43200
        ):
            if held := held_by_quota(
                platform.settings, platform.lake, context.instance, persona, trains=False
            ):
                waiting.append(f"{persona}: {held.sentence}")
                continue
            # Dagster wants keys where there are several, and starts one run a key.
            requests.append(dg.RunRequest(run_key=f"{persona}:{now.isoformat()}", partition_key=persona))
        else:
            waiting.append(
                f"{persona} is crawled every {interval.days} days, last at {last.at:%Y-%m-%d %H:%M} UTC"
            )
    return runs_or_reasons(context, requests, waiting)


def _published(platform: Platform, persona: str) -> list[datetime]:
    store = FeatureStore(platform.lake)
    if store.latest("corpus_split", persona) is None:
        return []
    documents: list[SplitDocument] = store.read("corpus_split", persona)
    return [d.published_at for d in documents if d.published_at and d.category != "code"]


class _Crawls(NamedTuple):
    """When a persona was crawled last, and whether the last crawl of a source ended with an error."""

    at: datetime
    in_error: bool


def _last_crawls(instance: dg.DagsterInstance) -> dict[str, _Crawls]:
    """Of every persona who was crawled, from all sources."""
    crawls: dict[str, _Crawls] = {}
    for persona, _, _, at, error in last_crawls(instance):
        before = crawls.get(persona, _Crawls(at, False))
        crawls[persona] = _Crawls(max(at, before.at), error is not None or before.in_error)
    return crawls

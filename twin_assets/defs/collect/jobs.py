"""Collecting: by hand, and every morning of those who are due."""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.s3 import StorageError
from twin_assets.defs.collect.last_crawls import last_crawls
from twin_assets.defs.shared.asked import Asked, runs_or_reasons, who_goes_on
from twin_assets.defs.shared.common import COLLECT
from twin_assets.defs.shared.looks import LATER, MOST_SECONDS
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.monitoring.drift.refresh import LONGEST_DAYS, crawl_interval

collect = dg.define_asset_job("collect", dg.AssetSelection.groups(COLLECT))


@dg.schedule(
    job=collect,
    cron_schedule="0 5 * * *",
    description="Collects new writing in the morning, of each persona as often as they write: every 1 to 14 days.",
)
def collect_daily(context: dg.ScheduleEvaluationContext, platform: Platform) -> Asked:
    """Personas whose crawl interval is over: half the mean time between two of their pieces, 1 to 14 days.

    Who was crawled longest ago comes first. Whoever a tick has no time for is looked at the next day.
    """
    requests, waiting = list[dg.RunRequest](), dict[str, str]()
    crawls, now = _last_crawls(context.instance), context.scheduled_execution_time.astimezone(UTC)
    end = time.monotonic() + MOST_SECONDS
    people = list(who_goes_on(context.instance, platform, waiting.__setitem__))
    people.sort(key=lambda persona: crawls[persona].at.timestamp() if persona in crawls else 0.0)
    for persona in people:
        last = crawls.get(persona)
        if time.monotonic() >= end:
            waiting[persona] = LATER
        elif last is not None and (days := _still_waits(platform, persona, last, now)):
            waiting[persona] = f"crawled every {days} days, last at {last.at:%Y-%m-%d %H:%M} UTC"
        elif held := held_by_quota(platform.settings, platform.lake, context.instance, persona, trains=False):
            waiting[persona] = held.sentence
        else:
            # Dagster wants keys where there are several, and starts one run a key.
            requests.append(dg.RunRequest(run_key=f"{persona}:{now.isoformat()}", partition_key=persona))
    return runs_or_reasons(context, requests, waiting)


def _still_waits(platform: Platform, persona: str, last: "_Crawls", now: datetime) -> int | None:
    """The days between two crawls where they are not over; None where they are, and for a source in error, which is asked
    again however rarely the persona writes."""
    # Half a day of grace: the last crawl ended some time after the tick that started it.
    since = now - last.at + timedelta(days=0.5)
    if last.in_error or since >= timedelta(days=LONGEST_DAYS):
        return None  # whatever they wrote, so that nothing is read
    interval = crawl_interval(_published(platform, persona), now)
    return interval.days if since < interval else None


def _published(platform: Platform, persona: str) -> list[datetime]:
    """When the documents that are no code appeared; none where nothing tells."""
    try:
        table = FeatureStore(platform.lake).columns("corpus_split", persona, ["published_at", "category"])
    except StorageError:
        raise
    except (
        TwinError,
        ValueError,
    ):  # there is no corpus, or it is damaged: one of whom nothing is known is crawled daily
        return []
    return [d["published_at"] for d in table.to_pylist() if d["published_at"] and d["category"] != "code"]


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

"""Refresh: asks for a rebuild when there is reason to, and crawls as often as the persona writes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.experiments import read_rows
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.collect.assets import ERROR
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import latest
from twin_assets.monitoring.drift.refresh import Ask, ask, asks, crawl_interval, estimate_cost, judge_refresh
from twin_assets.monitoring.drift.report import DriftReport

REASON_TAG, COST_TAG = "twin/refresh_reason", "twin/refresh_cost"
# A tag's value is cut here: Dagster shows it in one line.
TAG_CHARACTERS = 200


def ask_for_rebuild(
    context: dg.SensorEvaluationContext, platform: Platform
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run of `collect` for each rebuild that is asked for; the rest follows from what it finds, up to the
    evaluation. What was asked for but never started, because the daemon died in between, is started now."""
    said = []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        last = next(iter(asks(platform.lake, persona)[-1:]), None)
        if last is not None and not _started(context.instance, last):
            yield _run(last)
            continue
        asked, sentence = _judge(platform, persona, last)
        if asked is not None:
            context.log.info(f"{persona}: rebuild {asked.number}: {sentence}. Cost: {asked.cost}")
            yield _run(asked)
        else:
            said.append(f"{persona}: {sentence}")
    if said:
        yield dg.SkipReason("; ".join(said))


def _judge(platform: Platform, persona: str, last: Ask | None) -> tuple[Ask | None, str]:
    settings, history = platform.settings, platform.ledger(persona).history()
    if waiting := history.waiting():
        return None, f"{waiting.model} waits for a person's approval"
    model, report = history.production(), _report(platform, persona)
    try:
        built_at = platform.registry.get(model).created_at if model else None
    except TwinError as error:
        return None, error.problem
    verdict = judge_refresh(settings, report, built_at, last, settings.now)
    if model is None or not verdict.rebuild:
        return None, verdict.sentence
    growth = 1 + (report.writing.share if report else 0.0)
    cost = estimate_cost(read_rows(platform.lake, persona), growth)
    return ask(platform.lake, persona, model, verdict, cost, settings.now), verdict.sentence


def _report(platform: Platform, persona: str) -> DriftReport | None:
    store = FeatureStore(platform.lake)
    found = store.latest("drift_report", persona)
    return store.load("drift_report", persona, DriftReport, found) if found else None


def _started(instance: dg.DagsterInstance, asked: Ask) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": asked.run_key}), limit=1))


def _run(asked: Ask) -> dg.RunRequest:
    reason = "; ".join(asked.reasons)
    return dg.RunRequest(
        run_key=asked.run_key, partition_key=asked.persona,
        tags={REASON_TAG: reason[:TAG_CHARACTERS], COST_TAG: asked.cost[:TAG_CHARACTERS]},
    )  # fmt: skip


def due_for_crawling(context: dg.ScheduleEvaluationContext, platform: Platform) -> Iterator[dg.RunRequest | dg.SkipReason]:  # fmt: skip
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

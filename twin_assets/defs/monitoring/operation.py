"""What Dagster's own records say is wrong: work that failed and was not done since, sources that refuse, runs that wait.

At rest a look costs one query of runs, however many personas there are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, EventLogEntry, RunsFilter
from dagster._core.storage.tags import WILL_RETRY_TAG

from twin_assets.defs.collect.last_crawls import last_crawls
from twin_assets.monitoring.alerts.lifecycle import PLATFORM
from twin_assets.monitoring.alerts.operation import FailedWork, FailingSource
from twin_assets.settings import Settings

# What failed longer ago is nobody's news; what is still broken fails again before.
REMEMBERED = timedelta(days=7)
MOST_RUNS = 200


class Queue(NamedTuple):
    """Runs that wait for their turn, and since when the first of them does."""

    queued: int
    oldest: datetime | None


def dagster_address(settings: Settings) -> str:
    """Of Dagster's webserver, without a slash at its end."""
    return (settings.dagster_url or f"http://127.0.0.1:{settings.dagster_port}").rstrip("/")


def failed_work_of(instance: DagsterInstance, settings: Settings) -> Mapping[str, Sequence[FailedWork]]:
    """By persona, `PLATFORM` for none: what failed within a week, and was not done since.

    Assets count whoever launched their run; a job without assets only where a schedule or a sensor did, since a person who
    launched one is shown what became of it.
    """
    runs = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=settings.now - REMEMBERED),
        limit=MOST_RUNS,
    )
    found: dict[str, dict[str, FailedWork]] = defaultdict(dict)
    for record in runs:  # newest first
        if record.dagster_run.tags.get(WILL_RETRY_TAG) == "true":
            continue  # what becomes of the next try is told
        run, persona = record.dagster_run, record.dagster_run.tags.get("dagster/partition", PLATFORM)
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
        for name, reason in _failures(instance, run.run_id, run.job_name).items():
            if name in found[persona] or _done_since(instance, run, name, persona, ended):
                continue
            link = f"{dagster_address(settings)}/runs/{run.run_id}"
            found[persona][name] = FailedWork(name=name, reason=reason, at=ended, link=link)
    return {persona: list(failed.values()) for persona, failed in found.items() if failed}


def _failures(instance: DagsterInstance, run_id: str, job: str) -> dict[str, str]:
    """What failed in a run, by the names of the assets, else of the job; each with the first line of the cause."""
    kinds = {
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.RUN_FAILURE,
    }
    assets: dict[str, list[str]] = defaultdict(list)
    failed: dict[str, str] = {}
    whole = "the run ended without a word"
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            key = event.asset_materialization_planned_data.asset_key
            assets[event.step_key or ""].append(key.to_user_string())
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            failed[event.step_key or ""] = _cause(entry)
        else:
            whole = entry.user_message or whole
    if not failed:  # killed, or it couldn't begin
        return dict.fromkeys([name for names in assets.values() for name in names] or [job], whole)
    return {name: reason for step, reason in failed.items() for name in (assets.get(step) or [job])}


def _cause(entry: EventLogEntry) -> str:
    """The innermost error of a failed step, as it was raised."""
    assert entry.dagster_event is not None
    error = entry.dagster_event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return entry.user_message
    kind, _, said = error.message.partition(": ")
    return said if "." in kind else error.message  # without the module of a class of ours


def _done_since(
    instance: DagsterInstance, run: dg.DagsterRun, name: str, persona: str, ended: datetime
) -> bool:
    """Whether what failed was done after it, or is no failure to tell of."""
    key = dg.AssetKey.from_user_string(name)
    if key in (run.asset_selection or ()) or instance.has_asset_key(key):
        partitions = None if persona == PLATFORM else [persona]
        newest = instance.fetch_materializations(
            dg.AssetRecordsFilter(key, asset_partitions=partitions, after_timestamp=ended.timestamp()),
            limit=1,
        )
        return bool(newest.records)
    if not {"dagster/schedule_name", "dagster/sensor_name"} & run.tags.keys():
        return True
    tags = {} if persona == PLATFORM else {"dagster/partition": persona}
    done = RunsFilter(
        job_name=run.job_name, statuses=[DagsterRunStatus.SUCCESS], tags=tags, updated_after=ended
    )
    return bool(instance.get_runs(done, limit=1))


def failing_sources_of(
    instance: DagsterInstance, settings: Settings, personas: Sequence[str]
) -> Mapping[str, Sequence[FailingSource]]:
    """By persona, the sources whose last crawl gave an error."""
    failing: dict[str, list[FailingSource]] = defaultdict(list)
    for persona, source, asset, at, error in last_crawls(instance, personas):
        if error is not None:
            link = f"{dagster_address(settings)}/assets/{asset}?partition={persona}"
            failing[persona].append(FailingSource(source=source, error=error, at=at, link=link))
    return failing


def queue_of(instance: DagsterInstance) -> Queue:
    """The runs that wait."""
    queued = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
    first = instance.get_run_records(queued, limit=1, ascending=True)
    oldest = first[0].create_timestamp.astimezone(UTC) if first else None
    return Queue(instance.get_runs_count(queued) if first else 0, oldest)

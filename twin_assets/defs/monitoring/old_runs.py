"""Old runs go, so that Dagster's database does not grow with every hour of every persona; what they made stays known."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
from dagster import DagsterEventType, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from twin_assets.defs.monitoring.runs import RUNS_AT_ONCE, remove_databases, remove_run
from twin_assets.defs.shared.common import DATASETS, EVALUATION, RELEASE, TRAINING
from twin_assets.defs.shared.resources import Platform

# Few and dear: what the teacher took is summed over all datasets, and people ask how a version came about.
KEPT = frozenset({DATASETS, TRAINING, EVALUATION, RELEASE})
# A sensor's run with a key is not asked for again as long as it is known. A schedule looks for those of its one tick alone.
_KEYED = {"dagster/run_key", "dagster/sensor_name"}


class OldRunsConfig(dg.Config):
    """How long a night may take; what is left is for the next."""

    most_minutes: float = 30.0


@dg.op
def remove_old_runs(context: dg.OpExecutionContext, config: OldRunsConfig, platform: Platform) -> None:
    """Raises SQLAlchemyError when Dagster's storage does not do it; what went is gone, the rest is for the next day."""
    settings, graph = platform.settings, context.repository_def.asset_graph
    kept = {key for key in graph.get_all_asset_keys() if graph.get(key).group_name in KEPT}
    stop, removed, looked = time.monotonic() + config.most_minutes * 60, 0, 0
    before = settings.now - timedelta(days=settings.runs_kept_days)
    for run_id in list(
        _ended(context.instance, before)
    ):  # the page after a run that is gone can't be asked for
        looked += 1
        if not _made_what_stays(context.instance, run_id, kept):
            remove_run(context.instance, run_id)
            removed += 1
        if time.monotonic() > stop:
            context.log.info(f"{config.most_minutes:g} minutes are over: the rest is for the next night")
            break
    if removed:
        remove_databases(context.instance)
    context.log.info(f"{removed} of {looked} runs from before {before:%Y-%m-%d} were removed")
    context.add_output_metadata({"removed": removed, "kept": looked - removed})


def _ended(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    """Those created before a time that are over, and that no sensor would ask for again; the oldest first."""
    asked, cursor = RunsFilter(statuses=FINISHED_STATUSES, created_before=before), None
    while records := instance.get_run_records(asked, RUNS_AT_ONCE, ascending=True, cursor=cursor):
        runs = [record.dagster_run for record in records]
        yield from (run.run_id for run in runs if not run.tags.keys() >= _KEYED)
        cursor = runs[-1].run_id


def _made_what_stays(instance: dg.DagsterInstance, run_id: str, kept: set[dg.AssetKey]) -> bool:
    """Whether it made something of `kept`, or the newest of anything."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION):
        made = entry.asset_materialization
        if made is None:
            continue
        if made.asset_key in kept:
            return True
        partitions = None if made.partition is None else [made.partition]
        asked = dg.AssetRecordsFilter(made.asset_key, asset_partitions=partitions)
        newest = instance.fetch_materializations(asked, limit=1).records
        if not newest or newest[0].run_id == run_id:
            return True
    return False


@dg.job(name="forget_old_runs", description="Removes old runs whose results were all made anew since.")
def forget_old_runs() -> None:
    remove_old_runs()


@dg.schedule(
    job=forget_old_runs,
    cron_schedule="40 3 * * *",
    description="Removes, every night, runs older than TWIN_RUNS_KEPT_DAYS whose results were all made anew since.",
)
def forget_runs_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()

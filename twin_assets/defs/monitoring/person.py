"""What Dagster has of a person, for `erasure.delete_person`: runs with their events and output, and the partition."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import deserialize_value, serialize_value
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from twin_assets.core.errors import TwinError
from twin_assets.defs.monitoring.runs import PARTITION_TAG, RUNS_AT_ONCE, remove_databases, remove_run
from twin_assets.defs.shared.common import PERSONAS

GOING_ON = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


class PersonInDagster:
    """See `erasure.people.PersonInGraph`."""

    def __init__(
        self, instance: dg.DagsterInstance, name: str, definitions: Callable[[], dg.Definitions]
    ) -> None:
        """`definitions` takes seconds to make, and is asked for when something is to be removed."""
        self._instance, self._name, self._definitions = instance, name, definitions

    @cached_property
    def reserved(self) -> bool:
        with warnings.catch_warnings(action="ignore"):  # Dagster's, of what is new in it
            return self._name in _words_of(self._definitions())

    def running(self) -> list[str]:
        return [f"{run.job_name} {run.run_id} ({run.status.value})" for run in self._runs(GOING_ON)]

    def close(self) -> None:
        self._instance.delete_dynamic_partition(PERSONAS, self._name)

    def forget(self) -> int:
        """Raises TwinError where Dagster's storage does not do it."""
        try:
            return self._forget()
        except SQLAlchemyError as error:
            raise TwinError(
                f"Dagster's storage did not let the runs of {self._name} go: {str(error).splitlines()[0][:300]}",
                "see that it can be written and that nothing holds it, and delete again.",
            ) from None

    def _forget(self) -> int:
        events, runs = self._instance.event_log_storage, list(self._runs())
        for run in runs:
            remove_run(self._instance, run.run_id)
        remove_databases(self._instance)
        if isinstance(events, SqlEventLogStorage):
            self._forget_newest(events)
        return len(runs)

    def _forget_newest(self, events: SqlEventLogStorage) -> None:
        """Beside its events an asset has a copy of the newest, and a summary of its partitions, which Dagster makes again."""
        with events.index_connection() as connection:
            rows = connection.execute(
                select(AssetKeyTable.c.asset_key, AssetKeyTable.c.last_materialization)
            ).fetchall()
        for text, newest in rows:
            key = dg.AssetKey.from_db_string(text)
            if key is None:
                continue
            events.wipe_asset_cached_status(key)
            if newest and deserialize_value(newest, dg.EventLogRecord).partition_key == self._name:
                left = self._instance.fetch_materializations(key, limit=1).records
                value = serialize_value(left[0]) if left else None
                with events.index_connection() as connection:
                    theirs = AssetKeyTable.c.asset_key == text
                    connection.execute(
                        AssetKeyTable.update().where(theirs).values(last_materialization=value)
                    )

    def left(self) -> int:
        partition = self._instance.has_dynamic_partition(PERSONAS, self._name)
        return partition + sum(1 for _ in self._runs())

    def _runs(self, statuses: list[dg.DagsterRunStatus] | None = None) -> Iterator[dg.DagsterRun]:
        """Runs of their partition, and those whose configuration names them."""
        cursor = None
        while runs := self._instance.get_runs(dg.RunsFilter(statuses=statuses), cursor, RUNS_AT_ONCE):
            cursor = runs[-1].run_id
            yield from (
                run
                for run in runs
                if run.tags.get(PARTITION_TAG) == self._name or _names(run.run_config, self._name)
            )


def _names(config: Any, name: str) -> bool:
    """Whether a run's configuration has a `persona` of that name."""
    if isinstance(config, list):
        return any(_names(one, name) for one in config)
    return isinstance(config, Mapping) and any(
        (key == "persona" and value == name) or _names(value, name) for key, value in config.items()
    )


def _words_of(definitions: dg.Definitions) -> set[str]:
    """Names that the graph has itself: of assets, groups, jobs, sensors, schedules, ops and pools."""
    graph, repository = definitions.resolve_asset_graph(), definitions.get_repository_def()
    words = {part for key in graph.get_all_asset_keys() for part in key.path}
    words |= {str(graph.get(key).group_name) for key in graph.get_all_asset_keys()}
    words |= {pool for key in graph.get_all_asset_keys() for pool in (graph.get(key).pools or ())}
    for job in repository.get_all_jobs():
        words |= {job.name, *(node.name for node in job.nodes)}
    words |= {one.name for one in repository.sensor_defs} | {one.name for one in repository.schedule_defs}
    return words | {PERSONAS}

"""Taking runs out of Dagster, with their events, checks and output."""

from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

PARTITION_TAG = "dagster/partition"
RUNS_AT_ONCE = 500
_RUN_ID_LETTERS = 36
# Storages of Dagster on SQLite: a run's own database lies below, named by its id.
_RUN_FILES = (".db", ".db-wal", ".db-shm", ".db-journal")


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """The run goes last of what is its own: by it the rest is found again, should this break off. Raises SQLAlchemyError."""
    events = instance.event_log_storage
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if isinstance(events, SqlEventLogStorage):
        with events.index_connection() as connection:
            ours = AssetCheckExecutionsTable.c.run_id == run_id
            connection.execute(AssetCheckExecutionsTable.delete().where(ours))
    events.delete_events(run_id)
    instance.delete_run(run_id)


def remove_databases(instance: dg.DagsterInstance) -> None:
    """On SQLite those of runs that are gone, each of which had one: what is deleted in it would stay readable."""
    events = instance.event_log_storage
    if not isinstance(events, SqliteEventLogStorage):
        return
    for path in Path(events.path_for_shard("any")).parent.glob("*.db"):
        if len(path.stem) == _RUN_ID_LETTERS and not instance.has_run(path.stem):
            for ending in _RUN_FILES:
                path.with_name(f"{path.stem}{ending}").unlink(missing_ok=True)

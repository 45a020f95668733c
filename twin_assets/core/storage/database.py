"""PostgreSQL, where an installation has it: `TWIN_DATABASE_URL`. Dagster keeps its runs and events there, and services count limits.

A server that hangs answers no timeout of its own, so that each wait for it is bounded here.
"""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

URL = "TWIN_DATABASE_URL"
# Of its storages of runs, events and schedules. Named here, since who erases a document may be without Dagster.
DAGSTER_TABLES = (
    "asset_check_executions", "asset_daemon_asset_evaluations", "asset_event_tags", "asset_keys", "backfill_tags", "bulk_actions",
    "concurrency_limits", "concurrency_slots", "daemon_heartbeats", "dynamic_partitions", "event_logs", "instance_info",
    "instigators", "job_ticks", "jobs", "kvs", "pending_steps", "run_tags", "runs", "secondary_indexes", "snapshots",
)  # fmt: skip


class DatabaseAway(TwinError):
    """The database can't be reached, refuses, or does not answer in time."""


def database_url(settings: Settings) -> str | None:
    """The address with its login, for a driver; None where there is no database."""
    return settings.database_url.get_secret_value() if settings.database_url else None


def connect(settings: Settings, seconds: float) -> Any:
    """A connection of psycopg2 that commits each statement, made within `seconds`. Raises DatabaseAway."""
    import psycopg2

    with answered():
        try:
            # Connected without waiting, so that the wait is ours: libpq's own counts whole seconds and only the connecting.
            made = psycopg2.connect(database_url(settings), async_=True, application_name="llm-twin")
        except psycopg2.ProgrammingError:  # libpq would quote the password that it can't read
            raise DatabaseAway(
                f"{URL} can't be read.",
                "write it as postgresql://user:password@host/database, with %40 for an @ in the password and so on.",
            ) from None
        wait(made, seconds)
    return made


def wait(connection: Any, seconds: float) -> None:
    """Until what was asked is answered. Raises psycopg2's OperationalError when it takes longer."""
    from psycopg2 import OperationalError, extensions

    end = time.monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        reads, writes = ([connection], []) if state == extensions.POLL_READ else ([], [connection])
        if not any(select.select(reads, writes, [], max(end - time.monotonic(), 0))):
            raise OperationalError(f"no answer within {seconds:g} seconds")


def ask(connection: Any, seconds: float, statement: Any, values: Any = ()) -> list[tuple[Any, ...]]:
    """The rows of one statement, a text or one of psycopg2's `sql`. Raises DatabaseAway."""
    with answered():
        cursor = connection.cursor()
        cursor.execute(statement, values)
        wait(connection, seconds)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def answered() -> Iterator[None]:
    """Say in words what PostgreSQL did not do, without the address, which has a password in it. Raises DatabaseAway."""
    import psycopg2

    try:
        yield
    except psycopg2.ProgrammingError as error:
        raise DatabaseAway(
            f"PostgreSQL refused: {_line(error)}", f"see {URL}, and what its role may do."
        ) from None
    except (psycopg2.Error, OSError, ValueError) as error:
        raise DatabaseAway(
            f"PostgreSQL did not answer: {_line(error)}", f"see that it runs, and the address in {URL}."
        ) from None


def clean_texts(settings: Settings, cleaned: Callable[[str], str | None], seconds: float = 60.0) -> int:
    """Put another text in the place of those in Dagster's tables that `cleaned` has another for, None deleting the row; how
    many rows. Tables of others in the same schema stay as they are.

    Tables that lost one are written anew, since PostgreSQL keeps what was there until then. Raises DatabaseAway.
    """
    from psycopg2 import sql

    connection = connect(settings, seconds)
    changed = 0
    try:
        columns = ask(connection, seconds, _TEXTS, (list(DAGSTER_TABLES),))
        for names in columns:
            table, column = map(sql.Identifier, names)
            lost = _clean_column(connection, seconds, table, column, cleaned)
            if lost:
                ask(connection, seconds, sql.SQL("vacuum full {}").format(table))
            changed += lost
    finally:
        connection.close()
    return changed


def vacuum_dagster(settings: Settings, seconds: float = 60.0) -> None:
    """Write Dagster's tables anew, without the rows that were deleted from them. Raises DatabaseAway."""
    from psycopg2 import sql

    connection = connect(settings, seconds)
    try:
        for (table,) in ask(connection, seconds, _TABLES, (list(DAGSTER_TABLES),)):
            ask(connection, seconds, sql.SQL("vacuum full {}").format(sql.Identifier(table)))
    finally:
        connection.close()


_TABLES = """
select table_name from information_schema.tables where table_schema = current_schema() and table_name = any(%s) order by 1"""
_TEXTS = """
select table_name, column_name from information_schema.columns where table_schema = current_schema()
and table_name = any(%s) and data_type in ('text', 'character varying') order by 1, 2"""
_SOME = "select ctid::text, {column} from {table} where ctid > %s::tid and {column} is not null order by ctid limit 1000"
# A row that was written again meanwhile has moved, and comes by once more.
_REMOVE = "delete from {table} where ctid = %s::tid and {column} = %s"
_PUT = "update {table} set {column} = %s where ctid = %s::tid and {column} = %s"


def _clean_column(
    connection: Any, seconds: float, table: Any, column: Any, cleaned: Callable[[str], str | None]
) -> int:
    from psycopg2 import sql

    some, remove, put = (sql.SQL(text).format(table=table, column=column) for text in (_SOME, _REMOVE, _PUT))
    changed, after = 0, "(0,0)"
    while rows := ask(connection, seconds, some, (after,)):
        after = rows[-1][0]
        for row, text in rows:
            new = cleaned(text)
            if new is None:
                ask(connection, seconds, remove, (row, text))
            elif new != text:
                ask(connection, seconds, put, (new, row, text))
            changed += new != text
    return changed


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

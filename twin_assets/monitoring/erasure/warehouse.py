"""Erasure in the warehouse. Its file is written anew: DuckDB leaves what was deleted in it until the place is needed."""

import secrets
from collections.abc import Callable, Iterable

import duckdb

from twin_assets.settings import Settings

# Each has the columns persona and request_id, or persona and doc_id.
OF_REQUESTS = ("requests", "stg_requests", "stg_scores", "stg_feedback")
OF_DOCUMENTS = ("stg_documents", "document_history", "documents")


def erase_requests(settings: Settings, persona: str, ids: Iterable[str]) -> int | None:
    """Take rows of these requests out; how many, None while another process has the warehouse open."""
    return _delete(settings, persona, OF_REQUESTS, "request_id", ids, lambda connection: None)


def erase_documents(settings: Settings, persona: str, ids: Iterable[str]) -> int | None:
    """Take every version of these documents out, for good; how many rows, None while another process has it open."""
    return _delete(
        settings, persona, OF_DOCUMENTS, "doc_id", ids, lambda connection: _write_anew(settings, connection)
    )


def erase_persona(settings: Settings, persona: str) -> int | None:
    """Take every row of a persona out of every table, for good; how many, None while another process has it open."""
    if not settings.warehouse_path.is_file():
        return 0
    try:
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            erased = 0
            for table in _tables_of_personas(connection):
                counts = connection.execute(f"delete from {table} where persona = ?", [persona]).fetchone()  # noqa: S608
                erased += counts[0] if counts else 0
            connection.execute("checkpoint")
            _remove_staged(settings)
            _write_anew(settings, connection)
            return erased
    except duckdb.IOException:
        return None  # another process has it open


def rows_of_persona(settings: Settings, persona: str) -> int | None:
    """How many rows of a persona there are, None while another process has the warehouse open."""
    if not settings.warehouse_path.is_file():
        return 0
    try:
        with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
            counts = [
                connection.execute(f"select count(*) from {table} where persona = ?", [persona]).fetchall()  # noqa: S608
                for table in _tables_of_personas(connection)
            ]
            return sum(count[0][0] for count in counts)
    except duckdb.IOException:
        return None


def _tables_of_personas(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [
        f'"{schema}"."{table}"'
        for schema, table in connection.execute(
            "select c.schema_name, c.table_name from duckdb_columns() c join duckdb_tables() t using (database_oid, table_oid) "
            "where c.column_name = 'persona' order by all"
        ).fetchall()
    ]


def _write_anew(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    path = settings.warehouse_path
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    name = connection.execute("select current_database()").fetchall()[0][0]
    try:
        quoted = str(staged).replace("'", "''")
        connection.execute(f"attach '{quoted}' as anew")
        connection.execute(f'copy from database "{name}" to anew')
        connection.execute("detach anew")
        staged.replace(path)  # while this process keeps others out of the old file
    finally:
        staged.unlink(missing_ok=True)


def _remove_staged(settings: Settings) -> None:
    """What a process that was killed while it wrote the file anew has left: this one has it alone."""
    for left in settings.warehouse_path.parent.glob(f".{settings.warehouse_path.name}.*.tmp*"):
        left.unlink(missing_ok=True)


def _delete(
    settings: Settings,
    persona: str,
    tables: tuple[str, ...],
    column: str,
    ids: Iterable[str],
    then: Callable[[duckdb.DuckDBPyConnection], None],
) -> int | None:
    if not settings.warehouse_path.is_file():
        return 0
    listed = sorted(ids)
    try:
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            there = {
                row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()
            }
            erased = 0
            for table in (name for name in tables if name in there):
                counts = connection.execute(
                    f"delete from {table} where persona = ? and list_contains(?, {column})",  # noqa: S608
                    [persona, listed],
                ).fetchone()
                erased += counts[0] if counts else 0
            connection.execute("checkpoint")
            then(connection)
            return erased
    except duckdb.IOException:
        return None  # another process has it open

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

    def anew(connection: duckdb.DuckDBPyConnection) -> None:
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

    return _delete(settings, persona, OF_DOCUMENTS, "doc_id", ids, anew)


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

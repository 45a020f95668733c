"""Reads documents from the warehouse that dbt builds. Never writes to it."""

from pathlib import Path

import duckdb
import pyarrow as pa

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Document, arrow_schema, from_table
from twin_assets.core.storage.library import LIBRARY

COLLECT = "collect the persona's sources and build the warehouse first."


def read_documents(warehouse: Path, persona: str) -> list[Document]:
    """The persona's own documents as they stand now, in the order of their ids; times in UTC.

    Raises TwinError when the warehouse or the persona's documents aren't there.
    """
    documents = [d for d in _read(warehouse, persona) if d.source != LIBRARY]
    if not documents:
        raise TwinError(f"The warehouse has no documents of {persona!r}.", COLLECT)
    return documents


def read_turns(warehouse: Path, persona: str) -> dict[str, str]:
    """The messages of each conversation as it stands now, JSON by document id, for `exchanges_of`."""
    told = _select(
        warehouse,
        "select doc_id, arg_max(s.payload->>'turns', s.fetched_at) as turns from documents d "
        "join stg_documents s using (persona, doc_id, content_hash) where persona = ? and s.payload->>'turns' is not null "
        "group by doc_id",
        persona,
    )
    return dict(zip(told["doc_id"].to_pylist(), told["turns"].to_pylist(), strict=True))


def read_library(warehouse: Path, persona: str) -> list[Document]:
    """Documents of others that the persona's library holds, in the order of their ids; may be none."""
    return [d for d in _read(warehouse, persona) if d.source == LIBRARY]


def count_damaged(warehouse: Path, persona: str) -> int:
    """How many lines of the persona's raw objects can't be read, and are in no document."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        result = connection.execute(
            "select coalesce(sum(lines), 0) from raw.damaged where persona = ?", [persona]
        )
        return int(result.fetchall()[0][0])


def _read(warehouse: Path, persona: str) -> list[Document]:
    schema = arrow_schema(Document)
    query = f"select {', '.join(schema.names)} from documents where persona = ? order by doc_id"  # noqa: S608
    return from_table(_select(warehouse, query, persona).cast(schema), Document)


def _select(warehouse: Path, query: str, persona: str) -> pa.Table:
    if not warehouse.is_file():
        raise TwinError(f"There is no warehouse at {warehouse}.", COLLECT)
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return connection.sql(query, params=[persona]).to_arrow_table()
    except duckdb.CatalogException:
        raise TwinError(f"{warehouse.name} has no table `documents`.", COLLECT) from None
    except duckdb.IOException as error:
        raise TwinError(
            f"{warehouse.name} can't be opened: {str(error).splitlines()[0]}.",
            "wait for the dbt build that has it open, or remove the file if it is damaged and build again.",
        ) from None

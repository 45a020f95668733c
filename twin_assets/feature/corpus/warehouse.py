"""Reads documents from the warehouse that dbt builds. Never writes to it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Document, arrow_schema, from_table
from twin_assets.core.storage.library import LIBRARY

COLLECT = "collect the persona's sources and build the warehouse first."
PAGE = 1_000  # documents held at a time


def read_documents(warehouse: Path, persona: str) -> Iterator[Document]:
    """The persona's own documents as they stand now, in the order of their ids; times in UTC.

    They are copied to a nameless file first: so the warehouse can be built again at once, and PAGE of them are held at a time.
    Raises TwinError, before the first document, when the warehouse or the persona's documents aren't there.
    """
    schema, rows = arrow_schema(Document), 0
    copy = TemporaryFile()  # noqa: SIM115  # closed by who reads it
    query = _query("source != ? order by doc_id")
    with _open(warehouse) as connection, pq.ParquetWriter(copy, schema, compression="zstd") as writer:
        for batch in connection.sql(query, params=[persona, LIBRARY]).to_arrow_reader(PAGE):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            rows += len(batch)
    if not rows:
        raise TwinError(f"The warehouse has no documents of {persona!r}.", COLLECT)
    return _read_copy(copy)


def _read_copy(copy: IO[bytes]) -> Iterator[Document]:
    with copy:
        for batch in pq.ParquetFile(copy).iter_batches(PAGE):
            yield from from_table(pa.Table.from_batches([batch]), Document)


def read_some(warehouse: Path, persona: str, ids: Collection[str]) -> list[Document]:
    """Those of the persona's documents that the warehouse has under these ids."""
    return _read(warehouse, "list_contains(?, doc_id) order by doc_id", persona, list(ids))


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
    return _read(warehouse, "source = ? order by doc_id", persona, LIBRARY)


def count_damaged(warehouse: Path, persona: str) -> int:
    """How many lines of the persona's raw objects can't be read, and are in no document."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        result = connection.execute(
            "select coalesce(sum(lines), 0) from raw.damaged where persona = ?", [persona]
        )
        return int(result.fetchall()[0][0])


def _query(which: str) -> str:
    """A query for documents of a persona, its first parameter."""
    return f"select {', '.join(arrow_schema(Document).names)} from documents where persona = ? and {which}"  # noqa: S608


def _read(warehouse: Path, which: str, persona: str, *values: str | list[str]) -> list[Document]:
    table = _select(warehouse, _query(which), persona, *values)
    return from_table(table.cast(arrow_schema(Document)), Document)


def _select(warehouse: Path, query: str, *values: str | list[str]) -> pa.Table:
    with _open(warehouse) as connection:
        return connection.sql(query, params=list(values)).to_arrow_table()


@contextmanager
def _open(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    if not warehouse.is_file():
        raise TwinError(f"There is no warehouse at {warehouse}.", COLLECT)
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            yield connection
    except duckdb.CatalogException:
        raise TwinError(f"{warehouse.name} has no table `documents`.", COLLECT) from None
    except duckdb.IOException as error:
        raise TwinError(
            f"{warehouse.name} can't be opened: {str(error).splitlines()[0]}.",
            "wait for the dbt build that has it open, or remove the file if it is damaged and build again.",
        ) from None

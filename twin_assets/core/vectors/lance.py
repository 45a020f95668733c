"""The embedded vector store: LanceDB, one table a persona, no server."""

import asyncio
import logging
import os
import warnings
from collections.abc import Collection, Coroutine
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.query import MatchQuery

from twin_assets.core.records import EmbeddedChunk, Passage, Visibility, arrow_schema
from twin_assets.core.text.words import spaced
from twin_assets.core.vectors.base import Filters, SyncReport
from twin_assets.core.vectors.common import (
    FACTS,
    WORDS,
    allowed_values,
    difference,
    one_length,
    only_embedder,
    period,
    refuse_bad_vectors,
    refuse_other_embedder,
    refuse_without_visibility,
    seen_only,
)

# Below this, a scan is faster than an approximate index and exact.
INDEX_FROM_ROWS = 5_000
# Each side of a hybrid search looks this much further than it has to return.
OVERFETCH = 4
# With an approximate index: how many candidates its graph search holds (`ef`). Of 100,000 the right five were
# found 98% of the time with LanceDB's own choice, with 60 always.
CANDIDATES = 120
# Fields with few values that searches are filtered by: a bitmap each spares reading the column.
BITMAPS = ["split", "category", "source", "visibility"]
# What older tables lack, with what its rows get until a sync says better: nobody else may see them.
ADDED = {"visibility": "cast('private' as string)"}

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
_PASSAGE = [name for name in Passage.model_fields if name in EmbeddedChunk.model_fields]


class _Opened(NamedTuple):
    """A version of the table: what it was read at, its handles, its columns, and whose vectors it holds."""

    state: tuple[int, ...]
    table: Any
    searched: lancedb.AsyncTable
    embedder: str | None
    columns: list[str]


class LanceStore:
    """See VectorStore."""

    def __init__(self, uri: str, persona: str) -> None:
        self._uri, self._db = uri, lancedb.connect(uri)
        self._name = f"chunks_{persona.replace('-', '_')}"
        self._versions = Path(uri) / f"{self._name}.lance" / "_versions"
        self._opened: _Opened | None = None

    def _current(self) -> _Opened | None:
        """The table as it is now; None when there is none. Opened anew only when somebody wrote to it."""
        try:
            facts = self._versions.stat()
        except FileNotFoundError:
            self._opened = None
            return None
        state = (facts.st_ino, facts.st_mtime_ns, sum(1 for _ in self._versions.iterdir()))
        if self._opened is None or self._opened.state != state:
            table = self._db.open_table(self._name)
            first = table.search().select(["embedder"]).limit(1).to_list()
            searched = _run(_open_async(self._uri, self._name))
            embedder = first[0]["embedder"] if first else None
            self._opened = _Opened(state, table, searched, embedder, table.schema.names)
        return self._opened

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder, dimensions = only_embedder(chunks), one_length(chunks)
        there = self._current()
        if there is None:
            todo = difference({}, chunks)
            refuse_bad_vectors(todo.changed, dimensions)
            if todo.added:
                self._db.create_table(self._name, _rows(todo.added))
                self._reindex()
            return todo.report()
        refuse_other_embedder(self._name, there.embedder, embedder)
        if WORDS not in there.columns:
            logger.warning(
                "%s is made anew: it didn't divide the words of scripts without spaces", self._name
            )
            self._db.create_table(self._name, _with_words(there.table.to_arrow()), mode="overwrite")
            there = self._current() or there
        table = there.table
        if missing := {name: filled for name, filled in ADDED.items() if name not in there.columns}:
            table.add_columns(missing)
        stored = {r["chunk_id"]: r for r in table.search().select(FACTS).to_arrow().to_pylist()}
        todo = difference(stored, chunks)
        refuse_bad_vectors(todo.changed, dimensions)
        if todo.changed:
            merge = table.merge_insert("chunk_id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(_rows(todo.changed))
        for start in range(0, len(todo.deleted), 500):
            table.delete(_among("chunk_id", todo.deleted[start : start + 500]))
        if todo.changed or todo.deleted or WORDS not in _indexed(table):  # also where a sync died before it
            self._reindex()
        return todo.report()

    def _reindex(self) -> None:
        there = self._current()
        if there is None or there.embedder is None:
            return
        table = there.table
        indexed = _indexed(table)
        if (column := _word_column(there.columns)) not in indexed:
            table.create_fts_index(column, base_tokenizer="simple")
        if table.count_rows() >= INDEX_FROM_ROWS:
            for field in BITMAPS:
                if field not in indexed:
                    table.create_scalar_index(field, index_type="BITMAP")
            if "vector" not in indexed:
                table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        table.optimize()  # takes new rows into the indices

    def search(
        self,
        text: str,
        vector: np.ndarray,
        k: int,
        *,
        embedder: str,
        filters: Filters | None = None,
        alpha: float = 0.7,
        audience: Visibility = "public",
    ) -> list[Passage]:
        allowed, where, there = allowed_values(filters), _where(filters, audience), self._current()
        if there is None or there.embedder is None:
            return []
        refuse_other_embedder(self._name, there.embedder, embedder)
        refuse_without_visibility(self._name, "visibility" in there.columns)
        if not all(allowed.values()):
            return []
        words = (_word_column(there.columns), spaced(text))
        return _run(_search(there.searched, words, vector, k, where, alpha))

    def erase(self, documents: Collection[str]) -> int:
        there = self._current()
        if there is None:
            return 0
        condition = _among("doc_id", sorted(documents))
        taken = int(there.table.count_rows(condition))
        if taken:
            # Written anew: what is deleted stays in the files until so much is that LanceDB tidies up.
            left = there.table.search().where(f"not ({condition})").to_arrow()
            self._db.create_table(self._name, left, mode="overwrite")
            self._reindex()
        # Older versions have it too, also those of syncs before this. Whoever reads one just now opens the table anew.
        with warnings.catch_warnings(action="ignore"):
            self._db.open_table(self._name).optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        self._opened = None
        return taken

    def count(self) -> int:
        there = self._current()
        return there.table.count_rows() if there is not None else 0

    def fingerprint(self) -> str | None:
        there = self._current()
        return there.embedder if there is not None else None

    def reset(self) -> None:
        if self._current() is not None:
            self._db.drop_table(self._name)
            self._opened = None

    def sleep(self) -> None:
        """Nothing: a table takes no memory that the system can't have back."""

    def close(self, *, broken: bool = False) -> None:
        self._opened = None


def _indexed(table: Any) -> set[str]:
    """The columns that have an index."""
    return {column for index in table.list_indices() for column in index.columns}


def _word_column(columns: list[str]) -> str:
    """What full-text search reads: of an index made before WORDS was there, until its next sync, the text."""
    return WORDS if WORDS in columns else "text"


async def _open_async(uri: str, name: str) -> lancedb.AsyncTable:
    return await (await lancedb.connect_async(uri)).open_table(name)


async def _search(
    table: lancedb.AsyncTable, words: tuple[str, str], vector: np.ndarray, k: int, where: str, alpha: float
) -> list[Passage]:
    """The `k` best: both sides that count are searched at once for rows and vectors, and only what wins is read whole.
    `words` are the column of the full-text index and what it is asked for."""
    fetched, (column, text) = k * OVERFETCH, words
    by_word, sides = bool(text.strip()) and alpha < 1, list[Any]()
    if by_word:
        # A bare text in quotation marks would be taken for a phrase, which the index can't find.
        sides.append(table.query().nearest_to_text(MatchQuery(text, column)).select(["vector", "_score"]))
    if alpha > 0 or not by_word:
        near = table.query().nearest_to(vector).column("vector").distance_type("cosine")
        sides.append(near.ef(max(CANDIDATES, 2 * fetched)).select(["vector", "_distance"]))
    sides = [side.limit(fetched).with_row_id() for side in sides]
    tables = await asyncio.gather(*((side.where(where) if where else side).to_arrow() for side in sides))
    similar = {row: cosine for side in tables for row, cosine in _similarities(side, vector)}
    matching = _word_matches(tables[0]) if by_word else {}
    score = {row: min(alpha * s + (1 - alpha) * matching.get(row, 0.0), 1.0) for row, s in similar.items()}
    best = sorted(similar, key=lambda row: (-score[row], row))[:k]
    if not best:
        return []
    whole = (await table.take_row_ids(best).select(_PASSAGE).with_row_id().to_arrow()).to_pylist()
    rows = {row.pop("_rowid"): row for row in whole}
    return [Passage.model_validate(rows[r] | {"score": score[r], "similarity": similar[r]}) for r in best]


def _similarities(table: pa.Table, vector: np.ndarray) -> list[tuple[int, float]]:
    """Row ids with the cosine of their vectors, negatives as 0."""
    vectors = table.column("vector").combine_chunks().flatten().to_numpy().reshape(-1, len(vector))
    return list(
        zip(table.column("_rowid").to_pylist(), np.clip(vectors @ vector, 0.0, 1.0).tolist(), strict=True)
    )


def _word_matches(table: pa.Table) -> dict[int, float]:
    """BM25 by row id, as a share of the best."""
    scores = table.column("_score").to_pylist()
    best = max(scores, default=0.0)
    return {row: s / best for row, s in zip(table.column("_rowid").to_pylist(), scores, strict=True)}


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of LanceDB's own asynchronous calls, which cost a search a third less than its blocking ones."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """A loop in a thread of its own: who searches may itself be called from one."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="lancedb", daemon=True).start()
    return loop


os.register_at_fork(after_in_child=_loop.cache_clear)  # threads stay behind


def _rows(chunks: list[EmbeddedChunk]) -> pa.Table:
    dimensions = len(chunks[0].vector)
    schema = arrow_schema(EmbeddedChunk)
    at = schema.get_field_index("vector")
    schema = schema.set(at, pa.field("vector", pa.list_(pa.float32(), dimensions)))
    return _with_words(pa.Table.from_pylist([c.model_dump() for c in chunks], schema=schema))


def _with_words(rows: pa.Table) -> pa.Table:
    return rows.append_column(
        WORDS, pa.array([spaced(text) for text in rows.column("text").to_pylist()], pa.string())
    )


def _where(filters: Filters | None, audience: Visibility) -> str:
    """SQL of what the filters allow and the audience may see; empty when that is all."""
    first, end = period(filters)
    terms = [_among(field, values) for field, values in allowed_values(filters).items() if values]
    terms += [_among(field, values) for field, values in seen_only(audience).items()]
    terms += [f"published_at >= timestamp '{first:%Y-%m-%d %H:%M:%S}+00:00'"] if first else []
    terms += [f"published_at < timestamp '{end:%Y-%m-%d %H:%M:%S}+00:00'"] if end else []
    return " and ".join(terms)


def _among(field: str, values: list[str]) -> str:
    quoted = ", ".join("'" + v.replace("'", "''") + "'" for v in values)
    return f"{field} in ({quoted})"

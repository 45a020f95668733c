"""The embedded vector store: LanceDB, one table a persona, no server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import lancedb
import numpy as np
import pyarrow as pa

from twin_assets.core.records import EmbeddedChunk, Passage, arrow_schema
from twin_assets.core.vectors.base import Filters, SyncReport
from twin_assets.core.vectors.common import (
    allowed_values,
    difference,
    only_embedder,
    period,
    refuse_other_embedder,
)

# Below this, a scan is faster than an approximate index and exact.
INDEX_FROM_ROWS = 5_000
# Each side of a hybrid search looks this much further than it has to return.
OVERFETCH = 4
# With an approximate index: partitions looked into, and how many times more candidates are compared by
# their full vectors. Without the second the right five of 30,000 were found 97% of the time, with it 100%.
PROBES, REFINE = 20, 4
# Fields with few values that searches are filtered by: a bitmap each spares reading the column.
BITMAPS = ["split", "category", "source"]
# Searches whose word side runs beside the vector side; more wait, as they would for a core.
SEARCHES_AT_ONCE = 4
_PASSAGE = [name for name in Passage.model_fields if name in EmbeddedChunk.model_fields]


class _Opened(NamedTuple):
    """A version of the table: what it was read at, its handle, and whose vectors it holds."""

    state: tuple[int, ...]
    table: Any
    embedder: str | None


class LanceStore:
    """See VectorStore."""

    def __init__(self, uri: str, persona: str) -> None:
        self._db = lancedb.connect(uri)
        self._name = f"chunks_{persona.replace('-', '_')}"
        self._versions = Path(uri) / f"{self._name}.lance" / "_versions"
        self._opened: _Opened | None = None
        self._words = ThreadPoolExecutor(SEARCHES_AT_ONCE)  # starts no thread before its first task

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
            self._opened = _Opened(state, table, first[0]["embedder"] if first else None)
        return self._opened

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder = only_embedder(chunks)
        there = self._current()
        if there is None:
            todo = difference({}, chunks)
            if todo.added:
                self._db.create_table(self._name, _rows(todo.added))
                self._reindex()
            return todo.report()
        table = there.table
        refuse_other_embedder(self._name, there.embedder, embedder)
        stored = {r["chunk_id"]: r for r in table.to_arrow().drop_columns(["vector"]).to_pylist()}
        todo = difference(stored, chunks)
        if todo.changed:
            merge = table.merge_insert("chunk_id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(_rows(todo.changed))
        for start in range(0, len(todo.deleted), 500):
            table.delete(_among("chunk_id", todo.deleted[start : start + 500]))
        if todo.changed or todo.deleted:
            self._reindex()
        return todo.report()

    def _reindex(self) -> None:
        there = self._current()
        if there is None or there.embedder is None:
            return
        table = there.table
        indexed = {column for index in table.list_indices() for column in index.columns}
        if "text" not in indexed:
            table.create_fts_index("text")
        if table.count_rows() >= INDEX_FROM_ROWS:
            for field in BITMAPS:
                if field not in indexed:
                    table.create_scalar_index(field, index_type="BITMAP")
            if "vector" not in indexed:
                table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        table.optimize()  # takes new rows into the indices

    def search(
        self, text: str, vector: np.ndarray, k: int, *, embedder: str,
        filters: Filters | None = None, alpha: float = 0.7,
    ) -> list[Passage]:  # fmt: skip
        allowed, where, there = allowed_values(filters), _where(filters), self._current()
        if there is None or there.embedder is None:
            return []
        refuse_other_embedder(self._name, there.embedder, embedder)
        if not all(allowed.values()):
            return []
        # Both sides at once: neither needs the other, and each leaves a core idle.
        wanted = k * OVERFETCH
        matching = (
            self._words.submit(_matching, there.table, text, where, wanted, vector)
            if text.strip() and alpha < 1
            else None
        )
        rows = {row["chunk_id"]: row for row in _nearest(there.table, vector, where, wanted)}
        for row in matching.result() if matching else []:
            rows.setdefault(row["chunk_id"], row)["word_match"] = row["word_match"]
        for row in rows.values():
            row["score"] = min(alpha * row["similarity"] + (1 - alpha) * row.get("word_match", 0.0), 1.0)
        ranked = sorted(rows.values(), key=lambda row: (-row["score"], row["chunk_id"]))[:k]
        return [Passage.model_validate(row) for row in ranked]

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

    def close(self) -> None:
        self._opened = None


def _nearest(table: Any, vector: np.ndarray, where: str, wanted: int) -> list[dict[str, Any]]:
    """Rows by the cosine of their vectors, as `similarity`."""
    query = table.search(vector, vector_column_name="vector").distance_type("cosine").limit(wanted)
    query = query.nprobes(PROBES).refine_factor(REFINE).select([*_PASSAGE, "_distance"])
    rows = (query.where(where, prefilter=True) if where else query).to_arrow().to_pylist()
    for row in rows:
        row["similarity"] = min(max(0.0, 1.0 - row["_distance"]), 1.0)
    return rows


def _matching(table: Any, text: str, where: str, wanted: int, vector: np.ndarray) -> list[dict[str, Any]]:
    """Rows by their words (BM25), the best as a `word_match` of 1; `similarity` as in `_nearest`."""
    query = table.search(text, query_type="fts").limit(wanted).select([*_PASSAGE, "vector", "_score"])
    found = (query.where(where, prefilter=True) if where else query).to_arrow()
    vectors = found.column("vector").combine_chunks().flatten().to_numpy().reshape(-1, len(vector))
    rows = found.drop_columns(["vector"]).to_pylist()
    best = max((row["_score"] for row in rows), default=0.0)
    for row, cosine in zip(rows, (vectors @ vector).tolist(), strict=True):
        row |= {"similarity": min(max(0.0, cosine), 1.0), "word_match": row["_score"] / best}
    return rows


def _rows(chunks: list[EmbeddedChunk]) -> pa.Table:
    dimensions = len(chunks[0].vector)
    schema = arrow_schema(EmbeddedChunk)
    at = schema.get_field_index("vector")
    schema = schema.set(at, pa.field("vector", pa.list_(pa.float32(), dimensions)))
    return pa.Table.from_pylist([c.model_dump() for c in chunks], schema=schema)


def _where(filters: Filters | None) -> str:
    """SQL of what the filters allow; empty when they allow all."""
    first, end = period(filters)
    terms = [_among(field, values) for field, values in allowed_values(filters).items() if values]
    terms += [f"published_at >= timestamp '{first:%Y-%m-%d %H:%M:%S}+00:00'"] if first else []
    terms += [f"published_at < timestamp '{end:%Y-%m-%d %H:%M:%S}+00:00'"] if end else []
    return " and ".join(terms)


def _among(field: str, values: list[str]) -> str:
    quoted = ", ".join("'" + v.replace("'", "''") + "'" for v in values)
    return f"{field} in ({quoted})"

"""The embedded vector store: LanceDB, one table a persona, no server."""

from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from twin_assets.core.records import EmbeddedChunk, Passage, arrow_schema
from twin_assets.core.vectors.base import Filters, SyncReport
from twin_assets.core.vectors.common import (
    allowed_values,
    difference,
    only_embedder,
    refuse_other_embedder,
)

# Below this, a scan is faster than an approximate index and exact.
INDEX_FROM_ROWS = 5_000
# Each side of a hybrid search looks this much further than it has to return.
OVERFETCH = 4
# With an approximate index: partitions looked into, and how many times more candidates are compared by
# their full vectors. Without the second the right five of 30,000 were found 97% of the time, with it 100%.
PROBES, REFINE = 20, 4


class LanceStore:
    """See VectorStore."""

    def __init__(self, uri: str, persona: str) -> None:
        self._db = lancedb.connect(uri)
        self._name = f"chunks_{persona.replace('-', '_')}"

    def _table(self) -> Any | None:
        return self._db.open_table(self._name) if self._name in self._db.list_tables().tables else None

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder = only_embedder(chunks)
        table = self._table()
        if table is None:
            todo = difference({}, chunks)
            if todo.added:
                self._db.create_table(self._name, _rows(todo.added))
                self._reindex()
            return todo.report()
        refuse_other_embedder(self._name, self.fingerprint(), embedder)
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
        table = self._table()
        if table is None or table.count_rows() == 0:
            return
        indexed = {column for index in table.list_indices() for column in index.columns}
        if "text" not in indexed:
            table.create_fts_index("text")
        if "vector" not in indexed and table.count_rows() >= INDEX_FROM_ROWS:
            table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        table.optimize()  # takes new rows into the indices

    def search(
        self, text: str, vector: np.ndarray, k: int, *, embedder: str,
        filters: Filters | None = None, alpha: float = 0.7,
    ) -> list[Passage]:  # fmt: skip
        allowed, table = allowed_values(filters), self._table()
        if table is None or table.count_rows() == 0:
            return []
        refuse_other_embedder(self._name, self.fingerprint(), embedder)
        if not all(allowed.values()):
            return []
        where = " and ".join(_among(field, values) for field, values in allowed.items())
        wanted = k * OVERFETCH
        near = table.search(vector, vector_column_name="vector").distance_type("cosine").limit(wanted)
        near = near.nprobes(PROBES).refine_factor(REFINE)
        match = table.search(text, query_type="fts").limit(wanted)
        if where:
            near, match = near.where(where, prefilter=True), match.where(where, prefilter=True)
        rows: dict[str, dict[str, Any]] = {}
        for row in near.to_list():
            rows[row["chunk_id"]] = row | {"similarity": max(0.0, 1.0 - row["_distance"]), "word_match": 0.0}
        matched = match.to_list() if text.strip() and alpha < 1 else []
        best = max((row["_score"] for row in matched), default=0.0)
        for row in matched:
            cosine = max(0.0, float(np.dot(row["vector"], vector)))
            rows.setdefault(row["chunk_id"], row | {"similarity": min(cosine, 1.0)})
            rows[row["chunk_id"]]["word_match"] = row["_score"] / best
        for row in rows.values():
            row["score"] = min(alpha * row["similarity"] + (1 - alpha) * row["word_match"], 1.0)
        ranked = sorted(rows.values(), key=lambda row: (-row["score"], row["chunk_id"]))[:k]
        return [Passage.model_validate(row) for row in ranked]

    def count(self) -> int:
        table = self._table()
        return table.count_rows() if table is not None else 0

    def fingerprint(self) -> str | None:
        table = self._table()
        first = table.search().select(["embedder"]).limit(1).to_list() if table is not None else []
        return first[0]["embedder"] if first else None

    def reset(self) -> None:
        if self._table() is not None:
            self._db.drop_table(self._name)

    def close(self) -> None:
        """Nothing is held open."""


def _rows(chunks: list[EmbeddedChunk]) -> pa.Table:
    dimensions = len(chunks[0].vector)
    schema = arrow_schema(EmbeddedChunk)
    at = schema.get_field_index("vector")
    schema = schema.set(at, pa.field("vector", pa.list_(pa.float32(), dimensions)))
    return pa.Table.from_pylist([c.model_dump() for c in chunks], schema=schema)


def _among(field: str, values: list[str]) -> str:
    quoted = ", ".join("'" + v.replace("'", "''") + "'" for v in values)
    return f"{field} in ({quoted})"

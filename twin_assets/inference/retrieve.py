"""Passages for a query: the same embedder that indexed the chunks embeds the query."""

from twin_assets.core.embedder import Embedder
from twin_assets.core.records import Passage
from twin_assets.core.vectors.base import Filters, VectorStore

OVERFETCH = 3


class Retriever:
    """Hybrid search in one persona's index."""

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        self.store, self.embedder = store, embedder

    def retrieve(self, query: str, k: int, filters: Filters | None = None) -> list[Passage]:
        """The `k` best passages, best first; a second one of the same document only when others run out."""
        vector = self.embedder.embed([query])[0]
        found = self.store.search(
            query, vector, k * OVERFETCH, embedder=self.embedder.fingerprint, filters=filters
        )
        seen: set[str] = set()
        first: list[Passage] = []
        again: list[Passage] = []
        for passage in found:
            (again if passage.doc_id in seen else first).append(passage)
            seen.add(passage.doc_id)
        return [*first, *again][:k]

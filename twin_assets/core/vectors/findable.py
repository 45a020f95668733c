"""Whether an index can be searched: a sample of its chunks is asked for, by vector and by word."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from twin_assets.core.records import EmbeddedChunk, Passage
from twin_assets.core.text.words import terms
from twin_assets.core.vectors.base import VectorStore
from twin_assets.core.vectors.common import UNIT_WITHIN, sample

SAMPLED = 20
NEAREST, BY_WORD = 10, 50  # how many passages of a search may come before the chunk that it asks for
MOST_WORDS, LONGEST_WORD = 12, 30
# Indices at size are approximate, and a text may have no word that its index knows: a few may be missed.
MAY_MISS_BY_VECTOR, MAY_MISS_BY_WORD = 0.1, 0.5


class Findable(NamedTuple):
    """How many chunks were asked for by vector, and by word where they have one, and how many were not found."""

    by_vector: int
    by_word: int
    missed_by_vector: int
    missed_by_word: int

    @property
    def good(self) -> bool:
        return (
            self.missed_by_vector <= MAY_MISS_BY_VECTOR * self.by_vector
            and self.missed_by_word <= MAY_MISS_BY_WORD * self.by_word
        )


def findable(store: VectorStore, chunks: Sequence[EmbeddedChunk]) -> Findable:
    """Ask the store for a sample of the chunks that it is to hold."""
    asked = sample(chunks, SAMPLED)
    worded = [(chunk, words) for chunk in asked if (words := _words(chunk))]
    return Findable(
        len(asked),
        len(worded),
        sum(not _by_vector(store, chunk) for chunk in asked),
        sum(not _by_word(store, chunk, words) for chunk, words in worded),
    )


def _words(chunk: EmbeddedChunk) -> str:
    """The longest words of a chunk, which are no stop words."""
    distinct = {word for word in terms(chunk.text) if len(word) <= LONGEST_WORD}
    return " ".join(sorted(distinct, key=lambda word: (-len(word), word))[:MOST_WORDS])


def _by_vector(store: VectorStore, chunk: EmbeddedChunk) -> bool:
    near = _search(store, chunk, "", NEAREST, alpha=1.0)
    # Of many chunks with one text any may come first.
    return any(p.chunk_id == chunk.chunk_id or p.similarity >= 1 - UNIT_WITHIN for p in near)


def _by_word(store: VectorStore, chunk: EmbeddedChunk, words: str) -> bool:
    hits = _search(store, chunk, words, BY_WORD, alpha=0.0, filters={"doc_id": chunk.doc_id})
    return chunk.chunk_id in {p.chunk_id for p in hits}


def _search(
    store: VectorStore,
    chunk: EmbeddedChunk,
    text: str,
    k: int,
    *,
    alpha: float,
    filters: dict[str, str | list[str]] | None = None,
) -> list[Passage]:
    vector = np.array(chunk.vector, dtype=np.float32)
    return store.search(
        text, vector, k, embedder=chunk.embedder, alpha=alpha, filters=filters, audience="private"
    )

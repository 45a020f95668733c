"""The contract of a vector store."""

from collections.abc import Collection
from typing import Protocol

import numpy as np

from twin_assets.core.records import EmbeddedChunk, Passage, Record, Visibility

Filters = dict[str, str | list[str]]
"""Equality filters on chunk fields: a value, or a list of allowed values; and the ISO times `published_from`
and `published_until`, of which the second is left out."""


class SyncReport(Record):
    """What a sync did: numbers of chunks."""

    added: int
    updated: int
    deleted: int
    unchanged: int


class VectorStore(Protocol):
    """The index of one persona. Every method raises TwinError on a foreign embedder fingerprint."""

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        """Make the index hold exactly `chunks`: add, update and delete by difference. Idempotent."""
        ...

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
        """The `k` best of the chunks that `audience` may see by hybrid score, best first.

        `vector` has shape (dimensions,) and unit length; `embedder` is the fingerprint of what made it.
        `alpha` weighs the vector side: 1 is pure vector, 0 pure full text, which gives only what has one of the words. Scores are in [0, 1].
        A filter by anything but a chunk's ids, kinds, names and time is a TwinError; an empty list finds
        nothing. TwinError for an index that doesn't say who may see its chunks.
        """
        ...

    def erase(self, documents: Collection[str]) -> int:
        """Take the chunks of these documents out for good, from everything the store keeps of older states too, as far
        as it is ours; how many chunks."""
        ...

    def count(self) -> int: ...

    def fingerprint(self) -> str | None:
        """Fingerprint of the embedder whose vectors the index holds; None for an empty index."""
        ...

    def reset(self) -> None:
        """Forget the persona's whole index, to build it with another embedder."""
        ...

    def sleep(self) -> None:
        """Leave the server's memory until the next question, where there is a server."""
        ...

    def close(self, *, broken: bool = False) -> None:
        """Give back connections; the next call opens them again. For `contextlib.closing`.

        `broken`: they failed, and nobody else who shares them is to go on with them.
        """
        ...

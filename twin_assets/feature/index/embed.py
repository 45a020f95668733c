"""Vectors of texts and chunks. What was embedded before, by the same embedder, is read from a cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from twin_assets.core.embedding.embedder import Embedder, search_view
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, EmbeddedChunk, Record
from twin_assets.core.storage.kept import KeptValues

# Texts embedded between two commits; enough of them for batches of like length.
BLOCK = 2_000


class EmbeddingResult(Record):
    """`computed` counts the distinct texts that were new, `reused` the chunks that needed nothing."""

    chunks: list[EmbeddedChunk]
    computed: int
    reused: int


class CachedEmbedder:
    """An embedder that never embeds a text twice, whichever step asks. The cache survives a crash at any point: at
    most the last BLOCK texts are computed again. `computed` counts the distinct texts that were not in it."""

    def __init__(
        self, embedder: Embedder, cache_dir: Path, on_progress: Callable[[str], None] = lambda line: None
    ) -> None:
        self._kept: KeptValues[bytes] = KeptValues(
            cache_dir / f"embeddings-{embedder.fingerprint}.sqlite", "vectors"
        )
        self._embedder, self._say = embedder, on_progress
        self.computed = 0

    def embed(self, texts: list[str]) -> np.ndarray:
        """Unit vectors of texts, in their order, shape (n, dimensions), float32."""
        keys = [text_hash(text, 32) for text in texts]
        rows = np.zeros((len(texts), self._embedder.dimensions), dtype=np.float32)
        vectors = {
            key: np.frombuffer(stored, dtype=np.float32) for key, stored in self._kept.find(keys).items()
        }
        vectors |= self._compute({k: t for k, t in zip(keys, texts, strict=True) if k not in vectors})
        for at, key in enumerate(keys):
            rows[at] = vectors[key]
        return rows

    def _compute(self, missing: dict[str, str]) -> dict[str, np.ndarray]:
        made: dict[str, np.ndarray] = {}
        pending = list(missing.items())
        for at in range(0, len(pending), BLOCK):
            block = pending[at : at + BLOCK]
            vectors = self._embedder.embed([text for _, text in block])
            new = {key: vector for (key, _), vector in zip(block, vectors, strict=True)}
            self._kept.keep({key: vector.tobytes() for key, vector in new.items()})
            made |= new
            self._say(f"embedded {len(made)} of {len(pending)} texts")
        self.computed += len(made)
        return made


def embed_chunks(
    chunks: list[Chunk],
    embedder: Embedder,
    cache_dir: Path,
    on_progress: Callable[[str], None] = lambda line: None,
) -> EmbeddingResult:
    """All chunks, in order, with unit vectors."""
    cached = CachedEmbedder(embedder, cache_dir, on_progress)
    vectors = cached.embed([search_view(c) for c in chunks])
    embedded = [
        EmbeddedChunk(**chunk.model_dump(), vector=vector.tolist(), embedder=embedder.fingerprint)
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    return EmbeddingResult(chunks=embedded, computed=cached.computed, reused=len(chunks) - cached.computed)

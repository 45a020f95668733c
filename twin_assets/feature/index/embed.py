"""Vectors of texts and chunks. What was embedded before, by the same embedder, is read from a cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.embedding.embedder import Embedder, search_view
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, EmbeddedChunk, Record
from twin_assets.core.storage.kept import KeptValues

# Texts embedded between two commits, and those that a node takes at once; enough of them for batches of like length.
BLOCK = 2_000


class EmbeddingResult(Record):
    """`computed` counts the distinct texts that were new, `reused` the chunks that needed nothing."""

    chunks: list[EmbeddedChunk]
    computed: int
    reused: int


class CachedEmbedder:
    """An embedder that never embeds a text twice, whichever step asks. The cache survives a crash at any point: at
    most the last BLOCK texts are computed again, on Ray (`runner`, as in `map_rows`, with its errors) those at work.
    `computed` counts the distinct texts that were not in it."""

    def __init__(
        self,
        embedder: Embedder,
        cache_dir: Path,
        on_progress: Callable[[str], None] = lambda line: None,
        runner: Runner | None = "native",
    ) -> None:
        self._kept: KeptValues[bytes] = KeptValues(
            cache_dir / f"embeddings-{embedder.fingerprint}.sqlite", "vectors"
        )
        self._embedder, self._say, self._runner = embedder, on_progress, runner
        self.computed = 0

    def embed(self, texts: list[str]) -> np.ndarray:
        """Unit vectors of texts, in their order, shape (n, dimensions), float32."""
        keys = [text_hash(text, 32) for text in texts]
        rows = np.zeros((len(texts), self._embedder.dimensions), dtype=np.float32)
        vectors = self._kept.find(keys)
        vectors |= self._compute({k: t for k, t in zip(keys, texts, strict=True) if k not in vectors})
        for at, key in enumerate(keys):
            rows[at] = np.frombuffer(vectors[key], dtype=np.float32)
        return rows

    def _compute(self, missing: dict[str, str]) -> dict[str, bytes]:
        made: dict[str, bytes] = {}
        pending = list(missing.items())
        blocks = [pending[at : at + BLOCK] for at in range(0, len(pending), BLOCK)]
        texts = ([text for _, text in block] for block in blocks)
        found = map_rows(self._embedder.embed, texts, self._runner, partition=1, uses_all_cores=True)
        for block, vectors in zip(blocks, found, strict=True):
            new = {key: vector.tobytes() for (key, _), vector in zip(block, vectors, strict=True)}
            self._kept.keep(new)
            made |= new
            self._say(f"embedded {len(made)} of {len(pending)} texts")
        self.computed += len(made)
        return made


def embed_chunks(
    chunks: list[Chunk],
    embedder: Embedder,
    cache_dir: Path,
    on_progress: Callable[[str], None] = lambda line: None,
    runner: Runner | None = "native",
) -> EmbeddingResult:
    """All chunks, in order, with unit vectors. `runner` is as in `map_rows`, with its errors."""
    cached = CachedEmbedder(embedder, cache_dir, on_progress, runner)
    vectors = cached.embed([search_view(c) for c in chunks])
    embedded = [
        EmbeddedChunk(**chunk.model_dump(), vector=vector.tolist(), embedder=embedder.fingerprint)
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    return EmbeddingResult(chunks=embedded, computed=cached.computed, reused=len(chunks) - cached.computed)

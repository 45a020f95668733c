"""Vectors of texts and chunks. What was embedded before, by the same embedder, is read from a cache."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
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

    def embed(self, texts: Collection[str]) -> np.ndarray:
        """Unit vectors of texts, in their order, shape (n, dimensions), float32. The texts are walked over twice, where some
        are new, and not held."""
        keys = [text_hash(text, 32) for text in texts]
        rows = np.zeros((len(keys), self._embedder.dimensions), dtype=np.float32)
        missing: dict[str, list[int]] = {}
        for first in range(0, len(keys), BLOCK):
            vectors = self._kept.find(keys[first : first + BLOCK])
            for at, key in enumerate(keys[first : first + BLOCK], first):
                if key in vectors:
                    rows[at] = np.frombuffer(vectors[key], dtype=np.float32)
                else:
                    missing.setdefault(key, []).append(at)
        self._compute(texts, missing, rows)
        return rows

    def _compute(self, texts: Iterable[str], missing: dict[str, list[int]], rows: np.ndarray) -> None:
        """Embed the texts whose keys are missing, and put each vector in its places among the rows."""
        firsts = {places[0]: key for key, places in missing.items()}
        under_way: deque[list[str]] = deque()

        def blocks() -> Iterator[list[str]]:
            new = ((firsts[at], text) for at, text in enumerate(texts) if at in firsts)
            while block := list(islice(new, BLOCK)):
                under_way.append([key for key, _ in block])
                yield [text for _, text in block]

        done = 0
        to_do = blocks() if missing else ()
        for vectors in map_rows(self._embedder.embed, to_do, self._runner, partition=1, uses_all_cores=True):
            new = dict(zip(under_way.popleft(), vectors, strict=True))
            self._kept.keep({key: vector.tobytes() for key, vector in new.items()})
            for key, vector in new.items():
                rows[missing[key]] = vector
            done += len(new)
            self._say(f"embedded {done} of {len(missing)} texts")
        self.computed += done


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

"""Chunks with vectors. What was embedded before, by the same embedder, is read from a cache."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np

from twin_assets.core.embedder import Embedder, search_view
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, EmbeddedChunk, Record

# Texts embedded between two commits; enough of them for batches of like length.
BLOCK = 2_000


class EmbeddingResult(Record):
    """`computed` and `reused` count chunks."""

    chunks: list[EmbeddedChunk]
    computed: int
    reused: int


def embed_chunks(
    chunks: list[Chunk],
    embedder: Embedder,
    cache_dir: Path,
    on_progress: Callable[[str], None] = lambda line: None,
) -> EmbeddingResult:
    """All chunks, in order, with unit vectors. The cache survives a crash at any point: at most the last
    BLOCK texts are computed again."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    views = [search_view(c) for c in chunks]
    keys = [text_hash(view, 32) for view in views]
    with sqlite3.connect(cache_dir / f"embeddings-{embedder.fingerprint}.sqlite") as cache:
        cache.execute("create table if not exists vectors (key text primary key, vector blob)")
        known = {
            key: np.frombuffer(row[0], dtype=np.float32)
            for key in set(keys)
            if (row := cache.execute("select vector from vectors where key = ?", (key,)).fetchone())
        }
        missing = {key: view for key, view in zip(keys, views, strict=True) if key not in known}
        done, wanted = 0, list(missing.items())
        for at in range(0, len(wanted), BLOCK):
            block = wanted[at : at + BLOCK]
            vectors = embedder.embed([view for _, view in block])
            rows = [(key, vector.tobytes()) for (key, _), vector in zip(block, vectors, strict=True)]
            cache.executemany("insert or replace into vectors values (?, ?)", rows)
            cache.commit()
            known |= {key: vector for (key, _), vector in zip(block, vectors, strict=True)}
            done += len(block)
            on_progress(f"embedded {done} of {len(wanted)} texts")
    embedded = [
        EmbeddedChunk(**chunk.model_dump(), vector=known[key].tolist(), embedder=embedder.fingerprint)
        for chunk, key in zip(chunks, keys, strict=True)
    ]
    computed = sum(key in missing for key in keys)
    return EmbeddingResult(chunks=embedded, computed=computed, reused=len(keys) - computed)

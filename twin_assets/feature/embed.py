"""Chunks with vectors. What was embedded before, by the same embedder, is read from a cache."""

import sqlite3
from pathlib import Path

import numpy as np

from twin_assets.core.embedder import Embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, EmbeddedChunk, Record


class EmbeddingResult(Record):
    """`computed` and `reused` count chunks."""

    chunks: list[EmbeddedChunk]
    computed: int
    reused: int


def search_view(chunk: Chunk) -> str:
    """What of a chunk is embedded: its text under its title and heading, which give it context."""
    return "\n".join(part for part in (chunk.title, chunk.heading, chunk.text) if part)


def embed_chunks(chunks: list[Chunk], embedder: Embedder, cache_dir: Path) -> EmbeddingResult:
    """All chunks, in order, with unit vectors; the cache survives a crash at any point."""
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
        for key, vector in zip(missing, embedder.embed(list(missing.values())), strict=True):
            known[key] = vector
            cache.execute("insert or replace into vectors values (?, ?)", (key, vector.tobytes()))
    embedded = [
        EmbeddedChunk(**chunk.model_dump(), vector=known[key].tolist(), embedder=embedder.fingerprint)
        for chunk, key in zip(chunks, keys, strict=True)
    ]
    computed = sum(key in missing for key in keys)
    return EmbeddingResult(chunks=embedded, computed=computed, reused=len(keys) - computed)

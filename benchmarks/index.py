"""The vector index at size: one changed document against a full rebuild, and hybrid search with a filter.

    python -m benchmarks.index [--chunks 20000] [--full] [--store weaviate]

Chunks are synthetic (Zipf words, unit vectors of 384 dimensions round 300 topics, ten a document), so only the store
is measured: a rebuild would also embed every chunk, which `--embed-rate` (texts a second, from
benchmarks/embedding.py) adds to it. Peers in the same run: the same store built anew (sync), and exact
search by numpy over all vectors with a boolean mask (search, vector side only). `--full` is 100,000 chunks.
With `--store weaviate` LanceDB is measured first, and Weaviate after it. Prints the load average: beside other work the clock of a search says how long it waited for a core, its
processor time what it took of both.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.vectors import VectorStore, open_store
from twin_assets.settings import load_settings

Result = TypeVar("Result")
DIMENSIONS, PER_DOCUMENT, QUERIES, TOPICS = 384, 10, 100, 300


def synthetic(count: int, seed: int = 0) -> list[EmbeddedChunk]:
    """Chunks of about 60 words from a vocabulary of 20,000."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(20_000)]
    chances = 1 / np.arange(1, len(words) + 1)
    chances /= chances.sum()
    topics = rng.normal(size=(TOPICS, DIMENSIONS))  # texts gather round topics; random vectors would not
    vectors = 0.8 * topics[rng.integers(0, TOPICS, count)] + rng.normal(size=(count, DIMENSIONS))
    vectors = vectors.astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = rng.choice(len(words), (count, 60), p=chances)
    chunks = []
    for n in range(count):
        text = " ".join(words[i] for i in drawn[n])
        chunks.append(
            EmbeddedChunk(
                chunk_id=text_hash(f"{n}:{text}"), doc_id=f"d{n // PER_DOCUMENT}", persona="bench", source="web",
                category="post" if n % 3 else "article", url="https://x", text=text, start=0, end=len(text),
                tokens=80, split="train" if n % 5 else "heldout", content_hash=text_hash(text),
                vector=vectors[n].tolist(), embedder="bench",
            )
        )  # fmt: skip
    return chunks


def change_one_document(chunks: list[EmbeddedChunk]) -> list[EmbeddedChunk]:
    """The same corpus after an edit: the first document's chunks have new texts, ids and vectors."""
    edited = synthetic(PER_DOCUMENT, seed=1)
    return [c.model_copy(update={"doc_id": "d0"}) for c in edited] + chunks[PER_DOCUMENT:]


class Times:
    """Seconds of calls by the clock, and of the processor in all threads of this process."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.processor: list[float] = []

    def of(self, call: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        began, used = time.monotonic(), time.process_time()
        found = call(*arguments, **options)
        self.clock.append(time.monotonic() - began)
        self.processor.append(time.process_time() - used)
        return found

    def __str__(self) -> str:
        (p50, p95), (used50, used95) = (
            np.percentile(t, [50, 95]) * 1e3 for t in (self.clock, self.processor)
        )
        return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms; processor p50 {used50:.1f} ms, p95 {used95:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--full", action="store_true", help="100,000 chunks")
    parser.add_argument("--embed-rate", type=float, help="texts a second that the embedder does here")
    parser.add_argument(
        "--store",
        choices=["lancedb", "weaviate"],
        default="lancedb",
        help="weaviate: beside LanceDB, at TWIN_WEAVIATE_URL",
    )
    arguments = parser.parse_args()
    count = 100_000 if arguments.full else arguments.chunks
    chunks = synthetic(count)
    print(f"{count:,} chunks, {count // PER_DOCUMENT:,} documents")
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings().model_copy(update={"home": Path(folder)})
        for name in dict.fromkeys(["lancedb", arguments.store]):
            store = open_store(settings.model_copy(update={"vector_store": name}), f"bench-{os.getpid()}")
            print(name)
            try:
                measure(store, chunks, arguments.embed_rate)
            finally:
                store.reset()
                store.close()


def measure(store: VectorStore, chunks: list[EmbeddedChunk], embed_rate: float | None) -> None:
    """Built, synced with nothing new, synced after an edit, and searched."""
    count, edited = len(chunks), change_one_document(chunks)
    syncs = Times()
    syncs.of(store.sync, chunks)
    syncs.of(store.sync, chunks)
    report = syncs.of(store.sync, edited)
    rebuild, unchanged, one = syncs.clock
    print(f"  built anew           {rebuild:8.2f} s (store only)")
    print(f"  synced, nothing new  {unchanged:8.2f} s")
    print(
        f"  one document changed {one:8.2f} s: {report.added} added, {report.deleted} deleted, none embedded again"
    )
    print(f"  rebuild / one change: {rebuild / one:.0f} times (store only)")
    if embed_rate:
        whole, part = rebuild + count / embed_rate, one + PER_DOCUMENT / embed_rate
        print(f"  with embedding: {whole:.0f} s against {part:.2f} s, {whole / part:.0f} times")
    search(store, edited)


def exact_five(matrix: np.ndarray, allowed: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Rows of the five nearest allowed vectors, in no order."""
    return np.argpartition(-np.where(allowed, matrix @ query, -1), 5)[:5]


def search(store: VectorStore, chunks: list[EmbeddedChunk]) -> None:
    """Hybrid search with a filter, beside exact vector search by numpy; recall of the vector side."""
    rng = np.random.default_rng(2)
    matrix = np.array([c.vector for c in chunks], dtype=np.float32)
    train = np.array([c.split == "train" for c in chunks])
    ids = np.array([c.chunk_id for c in chunks])
    hybrid, exact, shared = Times(), Times(), 0
    for n in rng.integers(0, len(chunks), QUERIES):
        # A query near a chunk, as a question about it is.
        query = matrix[n] + 0.5 * rng.normal(size=DIMENSIONS).astype(np.float32) / DIMENSIONS**0.5
        query /= np.linalg.norm(query)
        text = " ".join(chunks[n].text.split()[20:26])
        hybrid.of(store.search, text, query, 5, embedder="bench", filters={"split": "train"})
        best = set(ids[exact.of(exact_five, matrix, train, query)])
        near = store.search("", query, 5, embedder="bench", filters={"split": "train"}, alpha=1.0)
        shared += len(best & {p.chunk_id for p in near})
    print(f"  hybrid search, filtered: {hybrid}")
    print(f"  numpy, exact, no words:  {exact}")
    print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"  hybrid / numpy p50: {np.median(hybrid.clock) / np.median(exact.clock):.2f}; the vector side finds {shared / 5 / QUERIES:.0%} of the exact five"
    )


if __name__ == "__main__":
    main()

"""One contract for every vector store: synced by difference, hybrid, filtered, and true to its embedder."""

from pathlib import Path

import numpy as np
import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.vectors import VectorStore
from twin_assets.core.vectors.lance import LanceStore

DIMENSIONS = 8


@pytest.fixture(params=["lancedb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> VectorStore:
    return LanceStore(str(tmp_path), "runa-h")


def vector(axis: int) -> list[float]:
    return [1.0 if i == axis else 0.0 for i in range(DIMENSIONS)]


def chunk(name: str, text: str, axis: int, **changes: object) -> EmbeddedChunk:
    fields = {
        "chunk_id": name, "doc_id": f"doc-{name}", "persona": "runa", "source": "medium", "category": "article",
        "url": "https://x", "text": text, "start": 0, "end": len(text), "tokens": 3, "split": "train",
        "content_hash": text, "vector": vector(axis), "embedder": "e1",
    }  # fmt: skip
    return EmbeddedChunk.model_validate(fields | changes)


CHUNKS = [
    chunk("a", "the tide table was late", 0),
    chunk("b", "backups are restored on Tuesdays", 1),
    chunk("c", "it's Peder's logbook", 2, category="post", split="heldout"),
]


def found(store: VectorStore, text: str, axis: int, **options: object) -> list[str]:
    passages = store.search(text, np.array(vector(axis), dtype=np.float32), 3, embedder="e1", **options)  # type: ignore[arg-type]
    assert all(0 <= p.score <= 1 for p in passages)
    return [p.chunk_id for p in passages]


def test_sync_makes_the_index_equal_to_the_corpus_and_is_idempotent(store: VectorStore) -> None:
    assert store.sync(CHUNKS).added == 3
    assert store.sync(CHUNKS).model_dump() == {"added": 0, "updated": 0, "deleted": 0, "unchanged": 3}
    changed = [CHUNKS[0], CHUNKS[1].model_copy(update={"title": "Tuesdays"})]
    assert store.sync(changed).model_dump() == {"added": 0, "updated": 1, "deleted": 1, "unchanged": 1}
    assert store.count() == 2


def test_search_finds_by_meaning_by_word_and_what_was_just_added(store: VectorStore) -> None:
    store.sync(CHUNKS[:2])
    assert found(store, "nothing of the kind", 1)[0] == "b"
    assert found(store, "tide", 5, alpha=0.0)[0] == "a"
    store.sync(CHUNKS)
    assert found(store, "logbook", 5, alpha=0.0)[0] == "c"


def test_filters_leave_out_what_does_not_match(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert "c" not in found(store, "logbook", 2, filters={"split": "train"})
    assert found(store, "logbook", 2)[0] == "c"
    assert found(store, "tide", 0, filters={"category": ["post"]}) == ["c"]
    assert found(store, "tide", 0, filters={"doc_id": "o'clock"}) == []


def test_an_empty_index_finds_nothing(store: VectorStore) -> None:
    assert found(store, "tide", 0) == []
    assert (store.count(), store.fingerprint()) == (0, None)


def test_another_embedder_is_refused_with_both_named(store: VectorStore) -> None:
    store.sync(CHUNKS)
    with pytest.raises(TwinError, match=r"e1.*e2"):
        store.search("tide", np.zeros(DIMENSIONS, dtype=np.float32), 1, embedder="e2")
    with pytest.raises(TwinError, match=r"e1.*e2"):
        store.sync([CHUNKS[0].model_copy(update={"embedder": "e2"})])

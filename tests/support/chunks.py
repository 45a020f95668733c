"""Chunks to index in tests: short, with unit vectors along one axis each."""

from twin_assets.core.records import EmbeddedChunk

DIMENSIONS = 8


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

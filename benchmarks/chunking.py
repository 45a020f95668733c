"""Chunking speed, beside unstructured's chunk_by_title on the same texts, and what both keep of the text.

    python -m benchmarks.chunking

Articles of a real author where ../shared/corpora is there (TWIN_CORPORA names another folder), else of the
demo persona, and this repository's own Python. Both make chunks of at most 200 tokens (800 characters for
unstructured, which counts characters). Prints documents a second, ratios, and the share of the text's
characters that the chunks hold.
"""

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import SplitDocument
from twin_assets.feature.corpus.offline_sentences import give_unstructured_a_pipeline
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.settings import ROOT


def document(path: Path) -> SplitDocument:
    text = path.read_text()
    return SplitDocument(
        persona="bench", source="web", category="code" if path.suffix == ".py" else "article", url=path.name,
        doc_id=text_hash(str(path)), title=path.stem, content_hash=text_hash(text), voice_text=text,
        search_text=text, words=len(text.split()), cluster_id=path.name, split="train",
        published_at=datetime(2024, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def share_kept(texts: list[str], chunks: list[str]) -> float:
    """Characters of the chunks over those of the texts, white space aside."""
    kept, all_ = (sum(len(re.sub(r"\s", "", t)) for t in these) for these in (chunks, texts))
    return kept / all_


def main() -> None:
    from unstructured.chunking.title import chunk_by_title
    from unstructured.partition.text import partition_text

    give_unstructured_a_pipeline()
    folder = Path(os.environ.get("TWIN_CORPORA", ROOT.parent / "shared" / "corpora")) / "jessfraz-blog"
    if not folder.is_dir():
        print(f"no corpus at {folder}: the demo persona's writing is chunked")
        folder = ROOT / "demo" / "writing"
    count = load_embedder("offline-minilm").count_tokens
    count("warm")
    sets = {
        "articles": [document(p) for p in sorted(folder.rglob("*.md"))],
        "Python": [document(p) for p in sorted((ROOT / "twin_assets").rglob("*.py")) if p.stat().st_size],
    }
    for name, documents in sets.items():
        texts = [d.voice_text for d in documents]
        began = time.monotonic()
        ours = [c.text for c in chunk_documents(documents, count)]
        mine = time.monotonic() - began
        began = time.monotonic()
        theirs = [
            str(c.text)
            for text in texts
            for c in chunk_by_title(partition_text(text=text, languages=["eng"]), max_characters=800)
        ]
        took = time.monotonic() - began
        n = len(documents)
        print(f"{name}: {n} documents")
        print(
            f"  ours          {n / mine:7.1f} documents/s, {len(ours)} chunks, {share_kept(texts, ours):.1%} of the text"
        )
        print(
            f"  unstructured  {n / took:7.1f} documents/s, {len(theirs)} chunks, {share_kept(texts, theirs):.1%} of the text"
        )
        print(f"  ours / unstructured: {took / mine:.1f} times the documents a second")


if __name__ == "__main__":
    main()

"""Embedding speed on texts of mixed lengths, beside torch in fp32 and sentence-transformers' own encode.

    python -m benchmarks.embedding [--texts 600]

The texts are paragraphs of a real author where ../shared/corpora is there (TWIN_CORPORA names another
folder), else of the demo persona, repeated. "torch fp32" is what one writes first: batches of 32 in the order
of the texts, padded to the longest. Prints texts a second, ratios, the least cosine to fp32, and how many
of 50 queries have the same ten nearest texts.
"""

import argparse
import os
import re
import time
from pathlib import Path

import numpy as np

from twin_assets.core.embedding.embedder import Embedder, _source
from twin_assets.core.embedding.engines import TorchEngine
from twin_assets.settings import ROOT

QUERIES, NEAREST = 50, 10


def paragraphs(count: int) -> list[str]:
    """Paragraphs of 30 characters and more, shuffled, so that long and short are mixed."""
    folder = Path(os.environ.get("TWIN_CORPORA", ROOT.parent / "shared" / "corpora")) / "simonw-til"
    if not folder.is_dir():
        print(f"no corpus at {folder}: the demo persona's writing is embedded")
        folder = ROOT / "demo" / "writing"
    texts = [
        part
        for path in sorted(folder.rglob("*.md"))
        for part in re.split(r"\n\s*\n", path.read_text())
        if len(part) >= 30
    ]
    chosen = np.random.default_rng(0).permutation(len(texts))
    return [texts[chosen[n % len(texts)]] for n in range(count)]


def naive(engine: TorchEngine, texts: list[str]) -> np.ndarray:
    """Batches of 32 as they come."""
    ids = engine.encode(texts)
    return np.concatenate([engine.embed(ids[at : at + 32]) for at in range(0, len(ids), 32)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=600)
    texts = paragraphs(parser.parse_args().texts)
    ours, torch_engine = Embedder("offline-minilm"), TorchEngine(_source("offline-minilm"))
    runs = {
        "torch fp32": lambda: naive(torch_engine, texts),
        "sentence-transformers": lambda: torch_engine.model.encode(
            texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False
        ),
        "ours": lambda: ours.embed(texts),
    }
    found: dict[str, tuple[float, np.ndarray]] = {}
    for name, run in runs.items():
        run()  # the first run of each pays for its own warming up
        began = time.monotonic()
        vectors = run()
        found[name] = (time.monotonic() - began, vectors)
    base, reference = found["torch fp32"]
    print(f"{len(texts)} texts, {ours.dimensions} dimensions, {ours.max_tokens} tokens read of each")
    for name, (seconds, vectors) in found.items():
        cosine = (reference * vectors).sum(axis=1).min()
        print(
            f"  {name:<22} {len(texts) / seconds:7.1f} texts/s  {base / seconds:5.2f} times torch fp32"
            f"  least cosine {cosine:.6f}  same ten nearest: {same_nearest(reference, vectors):.0%}"
        )


def same_nearest(reference: np.ndarray, vectors: np.ndarray) -> float:
    """Share of the ten nearest texts that both find, over the first texts as queries."""
    queries = min(QUERIES, len(vectors))
    nearest = [np.argsort(-(v[:queries] @ v.T), axis=1)[:, :NEAREST] for v in (reference, vectors)]
    return float(np.mean([len({*a} & {*b}) / NEAREST for a, b in zip(*nearest, strict=True)]))


if __name__ == "__main__":
    main()

"""What the machine that calls holds of a corpus: the highest resident size of each step, by number of documents.

Run: `python -m benchmarks.driver_memory` (20,000 and 60,000 documents, 3 minutes). A step is a process of its own: it reads what the
step before stored in a feature store, works as the asset does, and stores what it made. Texts are those of `planted.py`; vectors are
drawn by their text, and a word is a token, since embedding is not what is measured.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.planted import plant
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, CleanedDocument, SplitDocument, UniqueDocument, set_aside
from twin_assets.core.row_file import RowFile
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.feature.corpus.duplicates.dedup import find_duplicates
from twin_assets.feature.corpus.split import split_corpus
from twin_assets.feature.index.chunk import chunks_of

SIZES, STEPS = (20_000, 60_000), ("cleaned_documents", "unique_documents", "corpus_split", "chunks")


def main() -> None:
    """Print a row for each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run(arguments.child[0], arguments.sizes[0], Path(arguments.child[1]))))
        return
    print("| step |", " | ".join(f"{n:,}: MB, s" for n in arguments.sizes), "| kB a document more |")
    print("|---" * (len(arguments.sizes) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            taken = []
            for size in arguments.sizes:
                child = ["--child", step, f"{folder}/{size}", "--sizes", str(size)]
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.driver_memory", *child], check=True, stdout=subprocess.PIPE, text=True
                )  # fmt: skip
                taken.append(json.loads(done.stdout.splitlines()[-1]))
            if step == STEPS[0]:
                continue  # made up here
            more = (taken[-1][0] - taken[0][0]) * 1e3 / max(arguments.sizes[-1] - arguments.sizes[0], 1)
            print(
                f"| {step} |",
                " | ".join(f"{mb:,.0f}, {s:.1f}" for mb, s in taken),
                f"| {more:.1f} |",
                flush=True,
            )


def run(step: str, size: int, folder: Path) -> tuple[float, float]:
    """Highest megabytes of this process, and seconds of the step."""
    store, began = FeatureStore(LocalLake(folder)), time.perf_counter()
    if step == "cleaned_documents":
        made = [
            CleanedDocument(
                persona="runa", source="medium", category="article", doc_id=text_hash(str(n)), url=f"https://x.example/{n}",
                title=f"Title {n}", content_hash=text_hash(text), voice_text=text, search_text=text, words=len(text.split()),
            )
            for n, text in enumerate(plant(size, 0).texts)
        ]  # fmt: skip
        store.write(step, "runa", sorted(made, key=lambda d: d.doc_id), list[CleanedDocument])
    elif step == "unique_documents":
        cleaned = store.load("cleaned_documents", "runa", RowFile[CleanedDocument])
        store.write(
            step, "runa", find_duplicates(cleaned, _drawn, "native").documents, RowFile[UniqueDocument]
        )
    else:
        unique = store.load("unique_documents", "runa", RowFile[UniqueDocument])
        if step == "corpus_split":
            store.write(step, "runa", split_corpus(unique, _drawn).documents, RowFile[SplitDocument])
        else:
            split = store.load("corpus_split", "runa", RowFile[SplitDocument])
            chunks = chunks_of(chain(split, set_aside(unique, split)), lambda text: len(text.split()))
            store.write(step, "runa", RowFile[Chunk].of(chunks), RowFile[Chunk])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter() - began


def _drawn(texts: Collection[str]) -> np.ndarray:
    vectors = np.empty((len(texts), 384), np.float32)
    for at, text in enumerate(texts):
        vectors[at] = np.random.default_rng(int(text_hash(text), 16)).normal(size=384)
        vectors[at] /= np.linalg.norm(vectors[at])
    return vectors


if __name__ == "__main__":
    main()

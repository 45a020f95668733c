"""Deduplication and split, step by step, on this machine and on Ray: seconds by size, and the slope.

Run: `python -m benchmarks.scale` (5,000, 20,000 and 60,000 documents; a runner is a process of its own, as Daft's is chosen
once). Texts are those of `planted.py` with their copies; vectors are random, every tenth near the one before, since what the
steps cost hangs on their number alone. Ray has this machine's cores and was warmed up. Memory is the highest resident size of
the process that calls, with the texts, since it began.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.planted import plant
from twin_assets.core.data_runner import Runner
from twin_assets.core.records import UniqueDocument
from twin_assets.feature.corpus.cleaning.normalise import normalise_all
from twin_assets.feature.corpus.duplicates import near
from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs
from twin_assets.feature.corpus.split import split_corpus

SIZES, DIMENSIONS = (5_000, 20_000, 60_000), 384


def main() -> None:
    """Print a row for each step and runner."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--runners", nargs="+", default=["native", "ray"])
    parser.add_argument("--child", choices=["native", "ray"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        for size in (300, *arguments.sizes):
            print(json.dumps(run(size, arguments.child)), flush=True)
        return
    print(
        "| step | runner |", " | ".join(f"{size:,}" for size in arguments.sizes), "| slope of the last two |"
    )
    print("|---" * (len(arguments.sizes) + 3) + "|")
    for runner in arguments.runners:
        command = [sys.executable, "-m", "benchmarks.scale", "--child", runner, "--sizes"]
        done = subprocess.run(
            [*command, *map(str, arguments.sizes)], check=True, stdout=subprocess.PIPE, text=True,
            # The nodes' processes import the platform from this tree.
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")][1:]
        for step in rows[0]:
            taken = [row[step] for row in rows]
            slope = ""
            if len(taken) > 1 and min(taken) > 0:
                slope = f"n^{math.log(taken[-1] / taken[-2]) / math.log(arguments.sizes[-1] / arguments.sizes[-2]):.2f}"
            print(
                f"| {step} | {runner} |",
                " | ".join(f"{one:.2f}" for one in taken),
                f"| {slope} |",
                flush=True,
            )


def run(size: int, runner: Runner) -> dict[str, float]:
    """Seconds of each step, and the calling process' megabytes."""
    texts = normalise_all(plant(size, 0).texts)
    vectors, words = _vectors(size), np.array([len(text.split()) for text in texts])
    taken: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        taken[step] = time.perf_counter() - began
        return made

    column = pa.array(texts, pa.large_string())
    hashes = timed("signatures", lambda: near.signatures(column, runner))
    left, right = timed("banding", lambda: near.candidate_pairs(hashes, runner))
    timed("verification", lambda: near.jaccard([column], left, right, runner))
    timed("semantic duplicates", lambda: semantic_pairs(vectors, words, runner=runner))
    documents = [
        UniqueDocument(
            persona="runa", source="medium", category="article", doc_id=f"{n}", url="", content_hash=f"{n}", voice_text=text,
            search_text=f"{n}", words=len(text), cluster_id=f"{n}", duplicates=[],
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    timed(
        "split", lambda: split_corpus(documents, lambda asked: vectors[list(map(int, asked))], runner=runner)
    )
    return taken | {"most MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _vectors(size: int) -> np.ndarray:
    rng = np.random.default_rng(size)
    vectors = rng.normal(size=(size, DIMENSIONS)).astype(np.float32)
    vectors[9::10] = vectors[8::10] + 0.2 * vectors[9::10]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    main()

"""Near-duplicate detection: ours beside datasketch and rensa on planted copies. Prints one table.

Run: `python benchmarks/dedup.py --peers .peers` (4,000 and 20,000 documents), with `--full` 100,000 too. The
peers are no dependency: `pip install --target .peers datasketch rensa` puts them where `--peers` says.

All get the same raw texts and return verified pairs: normalisation, word 3-grams, 128 permutations, banding,
pairs of a similarity of at least ours. Ours verifies by true Jaccard, the peers by their estimate, as they
come. datasketch has our bands; rensa takes only divisors of 128 and gets 32 bands of 4. "rensa, flags" is
rensa's quickest call: it says which documents have a partner but not which, so it has neither pairs nor
groups to score. Each run is a process of its own; imports and a warm-up on 64 texts come before the clock.
Memory is the highest resident size in the run, less what the process held when it began with all texts read.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from planted import plant, score

SIZES, FULL_SIZE, GROWTH = (4_000, 20_000), 100_000, 5
Found = tuple[np.ndarray, np.ndarray]


def main() -> None:
    """Print one row for each size and method; a missing peer is named on standard error and left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="also 100,000 documents, one run each")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each up to 20,000; the median counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", type=Path, help="folder with datasketch and rensa")
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peers:
        # Last, so that the platform's own numpy and scipy are used throughout.
        sys.path.append(str(arguments.peers))
    if arguments.child:
        print(json.dumps(run(arguments.child[0], Path(arguments.child[1]))))
        return
    methods = [m for m in METHODS if _is_there(m)]
    print(
        "| documents | method | s | CPU s | docs/s | ours is | memory, MB | recall | precision | time for 5× |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    seconds: dict[tuple[str, int], float] = {}
    for size in (*SIZES, FULL_SIZE) if arguments.full else SIZES:
        repeats = arguments.repeats if size < FULL_SIZE else 1
        for method, runs in _measure(methods, size, arguments.seed, repeats, arguments.peers).items():
            taken = seconds[method, size] = statistics.median(r["seconds"] for r in runs)
            cpu = statistics.median(r["cpu_seconds"] for r in runs)
            before = seconds.get((method, size // GROWTH))
            print(
                f"| {size:,} | {method} | {taken:.2f} | {cpu:.2f} | {size / taken:,.0f} | {taken / seconds['ours', size]:.2f}× "
                f"| {max(r['memory_mb'] for r in runs):.0f} | {_share(runs[0]['recall'])} "
                f"| {_share(runs[0]['precision'])} | {f'{taken / before:.1f}×' if before else ''} |",
                flush=True,
            )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _is_there(method: str) -> bool:
    package = method.split(",")[0]
    if package == "ours" or find_spec(package):
        return True
    print(
        f"SKIPPED {method}: {package} is not installed. Fix: pip install --target .peers {package}, "
        "then give --peers .peers.",
        file=sys.stderr,
    )
    return False


def _measure(
    methods: list[str], size: int, seed: int, repeats: int, peers: Path | None
) -> dict[str, list[dict[str, float]]]:
    """Results of every run by method. Methods take turns, so that a busy machine is busy for all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = plant(size, seed)
        pq.write_table(
            pa.table({"text": pa.array(corpus.texts, pa.large_string())}), folder / "texts.parquet"
        )
        np.save(folder / "pairs.npy", corpus.pairs)
        del corpus
        found: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
        for _ in range(repeats):
            for method in methods:
                command = [sys.executable, __file__, "--child", method, name]
                command += ["--peers", str(peers)] if peers else []
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found[method].append(json.loads(done.stdout.splitlines()[-1]))
        return found


def run(method: str, folder: Path) -> dict[str, float | None]:
    """One measured run: seconds, megabytes, recall and precision (None where there are no pairs)."""
    texts = pq.read_table(folder / "texts.parquet")["text"].to_pylist()
    METHODS[method](texts[:64])
    gc.collect()
    before = _reset_peak()
    start, cpu = time.perf_counter(), time.process_time()
    pairs = METHODS[method](texts)
    measured: dict[str, float | None] = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "memory_mb": (_status("VmHWM") - before) / 1024,
    }
    if pairs is None:
        return measured | {"recall": None, "precision": None}
    return measured | score(len(texts), *pairs, np.load(folder / "pairs.npy"))._asdict()


def _reset_peak() -> int:
    """Current resident size in kB, from which the kernel's high-water mark starts again (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def ours(texts: list[str]) -> Found:
    """What `find_duplicates` does between its exact and its semantic step."""
    from twin_assets.feature.corpus.cleaning.normalise import normalise_all
    from twin_assets.feature.corpus.duplicates.near import near_pairs

    found = near_pairs(normalise_all(texts), "native")
    return found.left, found.right


def with_datasketch(texts: list[str]) -> Found:
    """MinHash in bulk, MinHashLSH with our bands, estimates of each query's candidates."""
    from datasketch import MinHash, MinHashLSH

    from twin_assets.feature.corpus.duplicates.near import BANDS, HASHES, NEAR_JACCARD, ROWS

    sketches = MinHash.bulk(([g.encode() for g in grams] for grams in _grams(texts)), num_perm=HASHES)
    index = MinHashLSH(num_perm=HASHES, params=(BANDS, ROWS))
    with index.insertion_session() as session:
        for i, sketch in enumerate(sketches):
            session.insert(i, sketch)
    found = [
        (j, i)
        for i, sketch in enumerate(sketches)
        for j in index.query(sketch)
        if j < i and sketch.jaccard(sketches[j]) >= NEAR_JACCARD
    ]
    return _columns(found)


def with_rensa(texts: list[str]) -> Found:
    """RMinHash in bulk, RMinHashLSH, estimates of each query's candidates."""
    from rensa import RMinHash, RMinHashLSH

    from twin_assets.feature.corpus.duplicates.near import HASHES, NEAR_JACCARD

    sketches = RMinHash.from_token_sets(_grams(texts), HASHES, 1)
    index = RMinHashLSH(NEAR_JACCARD, HASHES, 32)
    index.insert_many(sketches)
    found = [
        (j, i)
        for i, candidates in enumerate(index.query_all(sketches))
        for j in candidates
        if j < i and sketches[i].jaccard(sketches[j]) >= NEAR_JACCARD
    ]
    return _columns(found)


def with_rensa_flags(texts: list[str]) -> None:
    """Which documents share a band with another, with no verification."""
    from rensa import RMinHash, RMinHashLSH

    from twin_assets.feature.corpus.duplicates.near import HASHES, NEAR_JACCARD

    digests = RMinHash.digest_matrix_from_token_sets(_grams(texts), HASHES, 1)
    RMinHashLSH(NEAR_JACCARD, HASHES, 32).query_duplicate_flags_matrix_one_shot(digests)


def _grams(texts: list[str]) -> list[list[str]]:
    """Word 3-grams the quickest way there is in plain Python."""
    from twin_assets.feature.corpus.cleaning.normalise import normalise_all

    split = (text.split() for text in normalise_all(texts))
    return [list(map(" ".join, zip(words, words[1:], words[2:], strict=False))) for words in split]


def _columns(pairs: list[tuple[int, int]]) -> Found:
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


METHODS: dict[str, Callable[[list[str]], Found | None]] = {
    "ours": ours,
    "datasketch": with_datasketch,
    "rensa": with_rensa,
    "rensa, flags": with_rensa_flags,
}

if __name__ == "__main__":
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    main()

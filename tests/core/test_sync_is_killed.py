"""A sync that is killed at any moment is finished by the next one: the index equals the corpus."""

import random
import subprocess
import sys
import time
from pathlib import Path

import lancedb

from tests.core.chunks import chunk
from twin_assets.core.records import EmbeddedChunk, to_table
from twin_assets.core.vectors.lance import LanceStore
from twin_assets.settings import ROOT

SYNC = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from twin_assets.core.records import EmbeddedChunk, from_table
from twin_assets.core.vectors.lance import LanceStore
chunks = from_table(pq.read_table(sys.argv[2]), EmbeddedChunk)
print("ready", flush=True)
LanceStore(sys.argv[1], "runa").sync(chunks)
print("done", flush=True)
"""


def corpus(numbers: range, edited: int = 0) -> list[EmbeddedChunk]:
    return [
        chunk(str(n), f"text {n} word{n % 7}", n % 8, title="edited" if n < edited else "first")
        for n in numbers
    ]


def test_a_sync_that_is_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rng, killed = random.Random(5), 0
    index, file = str(tmp_path / "vectors"), str(tmp_path / "chunks.parquet")
    store = LanceStore(index, "runa")
    for round_ in range(6):
        # Every round adds, edits and deletes.
        wanted = corpus(range(200 * round_, 200 * round_ + 1_500), edited=200 * round_ + 700)
        pq.write_table(to_table(wanted, EmbeddedChunk), file)
        process = subprocess.Popen(
            [sys.executable, "-c", SYNC, index, file],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.25)
        process.kill()
        killed += process.wait() < 0
    assert killed > 2
    report = store.sync(wanted)
    assert report.added + report.updated + report.unchanged == len(wanted)
    assert store.sync(wanted).unchanged == len(wanted) == store.count()
    [name] = lancedb.connect(index).list_tables().tables
    stored = lancedb.connect(index).open_table(name).to_arrow().to_pylist()
    rows = {row["chunk_id"]: row["title"] for row in stored}
    assert rows == {c.chunk_id: c.title for c in wanted}
    [found] = {p.chunk_id for p in store.search("text 1600", wanted[0].vector, 1, embedder="e1", alpha=0.0)}  # type: ignore[arg-type]
    assert found == "1600"

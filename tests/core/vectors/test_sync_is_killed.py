"""A sync that is killed at any moment is finished by the next one: the index equals the corpus."""

import random
import subprocess
import sys
import time
from pathlib import Path

import lancedb
import pyarrow.parquet as pq

from tests.support.chunks import chunk
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


def stored_in(index: str) -> dict[str, tuple[str, str]]:
    """Title and text by chunk."""
    names = lancedb.connect(index).list_tables().tables
    rows = [row for name in names for row in lancedb.connect(index).open_table(name).to_arrow().to_pylist()]
    assert len({row["chunk_id"] for row in rows}) == len(rows), "a chunk is there twice"
    return {row["chunk_id"]: (row["title"], row["text"]) for row in rows}


def files(index: str) -> int:
    return sum(1 for path in Path(index).rglob("*") if path.is_file())


def test_a_sync_that_is_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    rng, midway, steps = random.Random(5), 0, []
    index, file = str(tmp_path / "vectors"), str(tmp_path / "chunks.parquet")
    for round_ in range(10):
        # Every round adds, edits and deletes, and is killed after it has written so many files.
        wanted = corpus(range(200 * round_, 200 * round_ + 1_500), edited=200 * round_ + 700)
        target = {c.chunk_id: (c.title, c.text) for c in wanted}
        before = stored_in(index) if round_ else {}
        assert before != target
        pq.write_table(to_table(wanted, EmbeddedChunk), file)
        at_first, more = files(index), rng.randrange(1, 16)
        process = subprocess.Popen(
            [sys.executable, "-c", SYNC, index, file],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        while files(index) < at_first + more and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        said = process.communicate()[0].decode()
        after = stored_in(index) if files(index) else {}
        steps.append((after != before, after == target, "done" in said))
        midway += files(index) > at_first and "done" not in said
        # Whatever it did, each chunk is as it was or as it shall be.
        assert all(value in (before.get(key), target.get(key)) for key, value in after.items())
        if round_ % 2:
            continue  # the next round finds a corpus that changed since
        report = LanceStore(index, "runa").sync(wanted)
        assert report.added + report.updated + report.unchanged == len(wanted)
        assert stored_in(index) == target
    assert midway > 3, f"the kills came too early or too late: {steps}"
    store = LanceStore(index, "runa")
    store.sync(wanted)
    assert store.sync(wanted).unchanged == len(wanted) == store.count()
    assert stored_in(index) == target
    [found] = {p.chunk_id for p in store.search("text 2400", wanted[0].vector, 1, embedder="e1", alpha=0.0)}  # type: ignore[arg-type]
    assert found == "2400"

"""A Ray cluster of three nodes on this machine that loses one in the middle of the work: near and semantic duplicates, cleaned
documents, vectors and scores of requests come out as on one machine.

`python -m tests.chaos.lost_node STEP ROWS SEED [SECONDS]` does the work of one step, in a process of its own, since Daft's runner
is chosen once: without SECONDS on this machine alone, with them on a cluster whose last node is killed (-9) so long after all
three have work.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tests.chaos.report import Part
from twin_assets.core.data_runner import Runner
from twin_assets.core.hashing import bytes_hash, text_hash
from twin_assets.core.records import Document
from twin_assets.settings import ROOT

_LETTERS = str.maketrans("0123456789", "aeioustnrl")  # numbers are no writing
NODES, STORE_BYTES = 3, 100 * 2**20
LONGEST_SECONDS = 300


class Step(NamedTuple):
    """A step's work, which gives a digest of what it made and how many rows, and on how many texts, in the `full` form too.
    A node is killed `within` so many seconds of the work's beginning."""

    work: Callable[[list[str], Runner], tuple[str, int]]
    rows: int
    full: int
    within: float


def run(part: Part) -> None:
    for name, step in STEPS.items():
        rows, kills = (step.full, 3) if part.full else (step.rows, 1)
        seed = part.rng.randrange(10**6)
        here = _work(name, rows, seed)
        late, done = 0, 0
        while done < kills and late < 3:
            found = _work(name, rows, seed, part.rng.uniform(0, step.within))
            if not found["killed"]:
                late += 1  # the work was over before
                continue
            done += 1
            part.tried[f"{name}: kills of a node at work"] += 1
            if found["nodes"] != NODES - 1:
                part.broken.append(f"{name}: {found['nodes']} nodes are alive after a kill")
            if found["made"] != here["made"]:
                part.broken.append(
                    f"{name}: {found['count']} with a node lost, {here['count']} on one machine, or others"
                )
        if not done:
            part.broken.append(f"{name}: no node was killed in time")
        part.note(
            f"{name}: {rows} texts, {here['count']} made: {here['seconds']:.1f} s here; {late} kills came too late"
        )


def _work(step: str, rows: int, seed: int, kill_after: float | None = None) -> dict[str, Any]:
    arguments = [step, str(rows), str(seed), *([] if kill_after is None else [str(kill_after)])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.lost_node", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=LONGEST_SECONDS, env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def texts_of(rows: int, seed: int) -> list[str]:
    """Texts of 60 words, every tenth a copy of the one before with a word put in."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{n}" for n in range(20_000)])
    texts = [" ".join(row) for row in words[rng.integers(0, len(words), (rows, 60))]]
    for n in range(9, rows, 10):
        texts[n] = f"{texts[n - 1]} again{n}"
    return texts


def on_a_cluster(step: Step, texts: list[str], kill_after: float) -> dict[str, Any]:
    """What the step made, and what became of the cluster."""
    import ray
    from ray.cluster_utils import Cluster

    own = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=own | {"include_dashboard": False})
    for _ in range(NODES - 1):
        last = cluster.add_node(**own)
    ray.init(address=cluster.address, log_to_driver=False)
    over, killed = threading.Event(), list[bool]()

    def kill() -> None:
        while not over.is_set() and _at_work() < NODES:
            time.sleep(0.05)
        time.sleep(kill_after)
        if not over.is_set():
            cluster.remove_node(last, allow_graceful=False)
            killed.append(not over.is_set())

    killer = threading.Thread(target=kill)
    killer.start()
    found = made(step, texts, "ray")
    over.set()
    killer.join()
    # Work may end before Ray has told itself that the node is gone.
    latest = time.monotonic() + 60 * any(killed)
    while (alive := sum(node["Alive"] for node in ray.nodes())) == NODES and time.monotonic() < latest:
        time.sleep(0.2)
    ray.shutdown()
    cluster.shutdown()
    return found | {"nodes": alive, "killed": any(killed)}


def _at_work() -> int:
    """Nodes that compute: Daft's worker runs there, or a task has the node's core."""
    import ray

    state = ray._private.state
    daft = [a for a in state.actors().values() if a["ActorClassName"] == "RaySwordfishActor" and a["State"] == "ALIVE"]  # fmt: skip
    taken = [free for free in state.available_resources_per_node().values() if not free.get("CPU")]
    return max(len(daft), len(taken))


def made(step: Step, texts: list[str], runner: Runner) -> dict[str, Any]:
    began = time.monotonic()
    digest, count = step.work(texts, runner)
    return {"made": digest, "count": count, "seconds": time.monotonic() - began}


def pairs(texts: list[str], runner: Runner) -> tuple[str, int]:
    """The verified pairs with their similarity."""
    from twin_assets.feature.corpus.duplicates import near

    near._PARTITION, near._PAIRS_A_TASK = 1_000, 100  # small, so that each node has many in turn
    found = near.near_pairs(texts, runner)
    return bytes_hash(b"".join(column.tobytes() for column in found)), len(found.left)


def semantic(texts: list[str], runner: Runner) -> tuple[str, int]:
    """Pairs of as many vectors, every tenth a copy of the one before with something added."""
    from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs

    rng = np.random.default_rng(len(texts))
    vectors = rng.normal(size=(len(texts), 384)).astype(np.float32)
    vectors[9::10] = vectors[8::10] + 0.2 * vectors[9::10]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = semantic_pairs(vectors, np.full(len(texts), 60), runner=runner)
    return bytes_hash(b"".join(column.tobytes() for column in found)), len(found.left)


def cleaned(texts: list[str], runner: Runner) -> tuple[str, int]:
    """Pages with the texts, cleaned; what they end with is of all of them."""
    from twin_assets.feature.corpus.cleaning.clean import clean_documents

    result = clean_documents(map(_page, texts), ["en"], runner=runner)
    told = [result.documents.version, result.dropped, result.removed, result.masked]
    return text_hash(json.dumps(told), 32), len(result.documents)


def _page(text: str) -> Document:
    said = f"The boat was late again, and that is what the log says of it: {text.translate(_LETTERS)}. " * 2
    body = f"<nav><a href=/>Home</a></nav><article><h1>W</h1><p>{said}</p><p>Share this post</p></article>"
    return Document(
        persona="runa", source="web", category="post", doc_id=text_hash(text), url="https://runa.example/", mime="text/html",
        fetched_at=datetime(2024, 1, 1, tzinfo=UTC), body=body, content_hash=text_hash(body), language="en",
    )  # fmt: skip


def vectors(texts: list[str], runner: Runner) -> tuple[str, int]:
    """The texts' vectors, none of them known before."""
    from twin_assets.core.embedding.embedder import load_embedder
    from twin_assets.feature.index import embed

    embed.BLOCK = 100  # small, so that each node has many in turn
    with TemporaryDirectory() as folder:
        embedder = embed.CachedEmbedder(load_embedder("offline-minilm"), Path(folder), runner=runner)
        return bytes_hash(embedder.embed(texts).tobytes()), embedder.computed


def scores(texts: list[str], runner: Runner) -> tuple[str, int]:
    """Scores of requests answered from one text with the next, as they are stored."""
    from tests.evaluation.evaluation_factories import request, runa
    from twin_assets.core.embedding.embedder import load_embedder
    from twin_assets.core.storage.lake import LocalLake
    from twin_assets.inference.grounding.claims import support
    from twin_assets.inference.twin.request_log import write_object
    from twin_assets.monitoring.scores.live_scores import LiveScorer, score_new
    from twin_assets.monitoring.scores.scored import FOLDER
    from twin_assets.monitoring.scores.toxicity import by_words

    passages = {f"d-{n}": text for n, text in enumerate(texts)}
    # Not KeptMix: one machine would keep vectors from batch to batch, whose last digits hang on what is embedded beside.
    measure = partial(support, embed=load_embedder("offline-minilm").embed)
    scorer = LiveScorer(runa(), passages, measure, None, by_words, sample_per_hour=30, seed=17)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with TemporaryDirectory() as folder:
        lake = LocalLake(Path(folder))
        for n, text in enumerate(texts[1:]):
            row = request(n, time=at + timedelta(minutes=n % 1440), answer=text, retrieved=[f"d-{n}"])
            write_object(lake, "requests/runa/2026-01-01", f"{n:06}", [row])
        # Small batches, so that each node has many in turn.
        run = score_new(lake, scorer, batch=20, runner=runner)
        return bytes_hash(b"".join(lake.read(key) for key in lake.keys(FOLDER))), run.scored


STEPS = {
    "near duplicates": Step(pairs, 20_000, 60_000, 1.5),
    "semantic duplicates": Step(semantic, 20_000, 40_000, 1),
    "cleaning": Step(cleaned, 600, 6_000, 3),
    "embedding": Step(vectors, 1_000, 10_000, 3),
    "scoring": Step(scores, 1_000, 10_000, 3),
}


def main(step: str, rows: str, seed: str, *kill_after: str) -> None:
    texts = texts_of(int(rows), int(seed))
    of = STEPS[step]
    print(
        json.dumps(on_a_cluster(of, texts, float(kill_after[0])) if kill_after else made(of, texts, "native"))
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

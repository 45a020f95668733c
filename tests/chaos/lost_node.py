"""A Ray cluster of three nodes on this machine that loses one in the middle of the work: near duplicates come out as on one
machine.

`python -m tests.chaos.lost_node DOCUMENTS SEED [SECONDS]` does the work, in a process of its own, since Daft's runner is chosen
once: without SECONDS on this machine alone, with them on a cluster whose last node is killed (-9) so long after all three
have work.
"""

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from tests.chaos.report import Part
from twin_assets.core.hashing import bytes_hash
from twin_assets.settings import ROOT

NODES, STORE_BYTES = 3, 100 * 2**20
PARTITION = 1_000  # documents that a node takes at once: small, so that each has many in turn
LONGEST_SECONDS = 300


def run(part: Part) -> None:
    documents, kills = (60_000, 3) if part.full else (20_000, 1)
    seed = part.rng.randrange(10**6)
    here = _work(documents, seed)
    late = 0
    while part.tried["kills of a node at work"] < kills and late < 3:
        found = _work(documents, seed, part.rng.uniform(0, 1))
        if not found["killed"]:
            late += 1  # the work was over before
            continue
        part.tried["kills of a node at work"] += 1
        if found["nodes"] != NODES - 1:
            part.broken.append(f"{found['nodes']} nodes are alive after a kill")
        if found["pairs"] != here["pairs"]:
            part.broken.append(
                f"{found['count']} pairs with a node lost, {here['count']} on one machine, or others"
            )
    part.note(
        f"{documents} documents, {here['count']} pairs: {here['seconds']:.1f} s here; {late} kills came too late"
    )


def _work(documents: int, seed: int, kill_after: float | None = None) -> dict[str, Any]:
    arguments = [str(documents), str(seed), *([] if kill_after is None else [str(kill_after)])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.lost_node", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=LONGEST_SECONDS, env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def texts_of(documents: int, seed: int) -> list[str]:
    """Texts of 60 words, every tenth a copy of the one before with a word put in."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{n}" for n in range(20_000)])
    texts = [" ".join(row) for row in words[rng.integers(0, len(words), (documents, 60))]]
    for n in range(9, documents, 10):
        texts[n] = f"{texts[n - 1]} again{n}"
    return texts


def on_a_cluster(texts: list[str], kill_after: float) -> dict[str, Any]:
    """The pairs, and what became of the cluster."""
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
    found = pairs(texts, "ray")
    over.set()
    killer.join()
    alive = sum(node["Alive"] for node in ray.nodes())
    ray.shutdown()
    cluster.shutdown()
    return found | {"nodes": alive, "killed": any(killed)}


def _at_work() -> int:
    """Nodes on which Daft's worker runs."""
    import ray

    actors = ray._private.state.actors().values()
    return sum(a["State"] == "ALIVE" and a["ActorClassName"] == "RaySwordfishActor" for a in actors)


def pairs(texts: list[str], runner: Any) -> dict[str, Any]:
    """A digest of the verified pairs with their similarity."""
    from twin_assets.feature.corpus.duplicates import near

    near._PARTITION = PARTITION
    began = time.monotonic()
    found = near.near_pairs(texts, runner)
    digest = bytes_hash(b"".join(column.tobytes() for column in found))
    return {"pairs": digest, "count": len(found.left), "seconds": time.monotonic() - began}


def main(documents: str, seed: str, *kill_after: str) -> None:
    texts = texts_of(int(documents), int(seed))
    print(json.dumps(on_a_cluster(texts, float(kill_after[0])) if kill_after else pairs(texts, "native")))


if __name__ == "__main__":
    main(*sys.argv[1:])

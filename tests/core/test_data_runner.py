"""Heavy steps on a Ray cluster: the same pairs, cleaned documents, vectors and scores as on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from tests.evaluation.counted_words import CountedWords
from tests.evaluation.evaluation_factories import heldout, neighbours, request, runa, train
from twin_assets.core import data_runner
from twin_assets.core.data_runner import Runner, map_rows, plan_rows
from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import bytes_hash, text_hash
from twin_assets.core.records import Document, UniqueDocument
from twin_assets.core.storage.lake import LocalLake
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.sense.passages import PassageMeter, some_passages
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.feature.corpus.cleaning import clean
from twin_assets.feature.corpus.cleaning.normalise import normalise_all
from twin_assets.feature.corpus.duplicates import near
from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs
from twin_assets.feature.corpus.split import split_corpus
from twin_assets.feature.index import embed
from twin_assets.inference.grounding.claims import support
from twin_assets.inference.twin.request_log import write_object
from twin_assets.monitoring.scores.live_scores import LiveScorer, score_new
from twin_assets.monitoring.scores.scored import FOLDER, read_scored
from twin_assets.monitoring.scores.toxicity import by_words
from twin_assets.settings import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from planted import plant

STORY = (
    "The tide table was yesterday's, the boat was on the mud, and thirty-one people had tea while we waited for water. "
    "It took an hour, it's 28 lines, and it has refused 23 tables since we put it in front of the printers. Mail me: "
    "runa@ferry.example. None of the skippers has noticed, which is how I know it's working. Number "
)
ENDING = "If this made you laugh, follow me there and I will write whenever a boat goes aground again."
TALK = [{"who": "other", "text": "When does it sail?"}, {"who": "self", "text": f"{STORY}9"}]
TEXTS = ["mud", "a boat on the mud", "tea and a table", f"{STORY}1", "grün", ENDING, "tide"]


def document(body: str, mime: str = "text/markdown", **changes: object) -> Document:
    fields: dict[str, object] = {
        "persona": "runa", "source": "medium", "category": "post", "doc_id": text_hash(body), "url": "https://x.example/1",
        "fetched_at": datetime(2024, 1, 1, tzinfo=UTC), "mime": mime, "body": body, "content_hash": text_hash(body),
    }  # fmt: skip
    return Document.model_validate(fields | changes)


DOCUMENTS = [
    *(document(f"{STORY}{word}.\n\n{ENDING}") for word in ("one", "two", "three", "four", "five")),
    document(f"<article><h1>Mud</h1><p>{STORY}6</p><p>Share this post</p></article>", "text/html"),
    document("<title>Just a moment...</title>Enable JavaScript and cookies to continue", "text/html"),
    document(f"{STORY}7", partial=True),
    document("Too short."),
    document("print(1)\n" * 9, "text/x-python", category="code"),
    document(f"{STORY}9", "text/plain", doc_id="talk", published_at=datetime(2024, 5, 1, 9, tzinfo=UTC)),
]


def scores(runner: Runner) -> tuple[list[dict[str, Any]], list[str]]:
    """Scores of a log of two days by every measure, in several batches, and identities of the objects that they are in."""
    own = [d.voice_text for d in train()]
    passages = {f"d-{n}": text for n, text in enumerate(own)}
    embedder = load_embedder("offline-minilm")
    reads = PassageMeter(CountedWords(own), embedder.embed, "minilm")
    # Not KeptMix: one machine would keep vectors from batch to batch, whose last digits hang on what is embedded beside.
    sense = SenseMeter(reads, reads.measure(some_passages(own, 80)), 1.0, 1.0)
    scorer = LiveScorer(
        runa(), passages, partial(support, embed=embedder.embed), None, by_words, 8, 17, sense=sense,
        instrument=cache(lambda: VoiceInstrument.fit(own, neighbours())),
    )  # fmt: skip
    said = [*own, *(d.voice_text for d in heldout()), "You idiot, write to runa.skov@ferries.dk.", None]
    with TemporaryDirectory() as folder:
        lake = LocalLake(Path(folder))
        for n, (text, kind) in enumerate((text, kind) for text in said for kind in ("answer", "write_post")):
            row = request(n, time=datetime(2026, 1, 1 + n % 2, tzinfo=UTC), answer=text, prompt_kind=kind, retrieved=[f"d-{n // 2 % len(own)}"])  # fmt: skip
            write_object(lake, f"requests/runa/{row.time:%Y-%m-%d}", f"{n:03}", [row])
        score_new(lake, scorer, batch=9, runner=runner)
        stored = [row.model_dump(mode="json") for row in read_scored(lake, "runa")]
        keys = [*lake.keys(FOLDER), *lake.keys("live_voices")]
        return stored, [f"{key} {bytes_hash(lake.read(key))}" for key in keys]


def alike(rows: int, near_by: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, every second `near_by` the one before, and lengths in words."""
    rng = np.random.default_rng(rows)
    vectors = rng.normal(size=(rows, 384)).astype(np.float32)
    vectors[1::2] = vectors[::2] + near_by * vectors[1::2]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(
        rng.integers(50, 500, rows // 2), 2
    )


def contaminated(runner: Runner) -> dict[str, str]:
    """What is left out of training as it nearly says what is held out, or is partly that: the last hundred texts are of 20 words,
    ten of them all the same."""
    vectors, words = alike(2_000, 0.2)
    documents = [
        UniqueDocument(
            persona="runa", source="medium", category="post", doc_id=f"d{n:04}", url=f"https://x.example/{n}", content_hash=f"{n}",
            voice_text=f"{n}" if n < 1_900 else " ".join(f"word{m * n if n % 10 else m}" for m in range(20)), search_text=f"{n}", words=count, cluster_id=f"c{n}", duplicates=[],
        )
        for n, count in enumerate(words.tolist())
    ]  # fmt: skip
    return split_corpus(documents, lambda texts: vectors[list(map(int, texts))], runner=runner).contaminated


def results(runner: Runner) -> dict[str, Any]:
    """What each step makes of a few rows, in several partitions."""
    with patch.object(near, "_PAIRS_A_TASK", 100):
        pairs = near.near_pairs(normalise_all(plant(6_000, seed=4).texts), runner)
    semantic = semantic_pairs(*alike(3_000, 0.25), runner=runner)
    with patch.object(clean, "PARTITION", 3):
        cleaned = clean.clean_documents(DOCUMENTS, ["en"], True, {"talk": json.dumps(TALK)}, runner)
    with patch.object(embed, "BLOCK", 2), TemporaryDirectory() as folder:
        cached = embed.CachedEmbedder(load_embedder("offline-minilm"), Path(folder), runner=runner)
        vectors = cached.embed(TEXTS)
        again = embed.CachedEmbedder(load_embedder("offline-minilm"), Path(folder), runner=runner)
        assert (again.embed(TEXTS) == vectors).all()
        assert (cached.computed, again.computed) == (len(TEXTS), 0)
    return {
        "contaminated": contaminated(runner),
        "pairs": [column.tolist() for column in pairs],
        "semantic": [column.tolist() for column in semantic],
        "cleaned": {
            **cleaned._asdict(),
            "documents": [json.loads(document.model_dump_json()) for document in cleaned.documents],
        },
        "scores": scores(runner),
        "vectors": [bytes_hash(vector.tobytes()) for vector in vectors],
    }


def process_and_loads(embedder: Embedder) -> tuple[int, int]:
    """The process that embeds, and how many models it has loaded."""
    embedder.embed(["mud"])
    return os.getpid(), load_embedder.cache_info().misses


def refuse(row: int) -> int:
    raise TwinError(f"Row {row} can't be read.", "leave it out.")


ON_RAY = """
import json
import ray
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
from tests.core.test_data_runner import TwinError, load_embedder, map_rows, process_and_loads, refuse, results
found = results("ray")
embedders = [load_embedder("offline-minilm")] * 3
loads = list(map_rows(process_and_loads, embedders, "ray", partition=1, uses_all_cores=True))
try:
    list(map_rows(refuse, [1], "ray", partition=1))
except TwinError as error:
    refused = [str(error), error.problem, error.fix]
import daft.runners
print(json.dumps([daft.runners.get_or_infer_runner_type(), found, loads, refused]))
ray.shutdown()
"""


@pytest.mark.e2e
def test_a_ray_cluster_makes_the_same_and_loads_a_model_once() -> None:
    pytest.importorskip("ray")
    here = results("native")
    # Daft's runner is chosen once a process; workers import the platform from this tree.
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"}
    done = subprocess.run(
        [sys.executable, "-c", ON_RAY], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    runner, there, loads, refused = json.loads(done.stdout.splitlines()[-1])
    assert runner == "ray"
    assert len(here["pairs"][0]) > 500
    assert there["pairs"] == here["pairs"]
    assert len(set(here["semantic"][2])) > 500
    assert there["semantic"] == here["semantic"]
    reasons = list(here["contaminated"].values())
    assert reasons.count("nearly_the_same_meaning") > 100
    assert 0 < reasons.count("shares_a_13gram") < 10
    assert there["contaminated"] == here["contaminated"]
    assert there["cleaned"] == here["cleaned"]
    assert set(here["cleaned"]["dropped"]) == {"block_page", "partial", "too_short"}
    assert here["cleaned"]["removed"] == {"repeated": 5, "share": 1}
    assert sum(len(d["exchanges"]) for d in here["cleaned"]["documents"]) == 1
    assert there["vectors"] == here["vectors"]
    assert there["scores"] == json.loads(json.dumps(here["scores"]))
    rows, objects = here["scores"]
    assert len(objects) > 6
    assert {row["weight"] > 0 for row in rows} == {True, False}
    for measured in ("support", "grounded_share", "sense_share", "sense_coherence", "voice_figure"):
        assert len({row[measured] for row in rows}) > 2, measured
    assert len({tuple(one) for one in loads}) == 1
    assert loads[0][1] == 1
    problem, fix = "Row 1 can't be read.", "leave it out."
    assert refused == [f"{problem} Fix: {fix}", problem, fix]


def test_rows_of_a_lost_node_are_computed_again_and_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(Exception):
        """What Ray would raise."""

    planned, asked = data_runner._planned, list[int]()

    def loses(table: pa.Table, *rest: Any) -> Iterator[tuple[np.ndarray, pa.Array]]:
        asked.append(len(table))
        yield from planned(table.slice(0, 4), *rest)
        if len(table) > 4:
            raise Lost

    monkeypatch.setattr(data_runner, "_planned", loses)
    monkeypatch.setattr(data_runner, "_node_lost", lambda: (Lost,))

    def places(count: int) -> list[int]:
        table = pa.table({"text": [f"{n}" for n in range(count)]})
        parts = plan_rows(table, "text", lambda text: text.upper(), "native", partition=2)
        found = [(place, text) for part, texts in parts for place, text in zip(part.tolist(), texts.to_pylist(), strict=True)]  # fmt: skip
        assert all(text == str(place) for place, text in found)
        return [place for place, _ in found]

    assert sorted(places(10)) == list(range(10))
    assert asked == [10, 6, 2]
    with pytest.raises(Lost):
        places(13)


def test_rows_of_this_machine_are_taken_as_results_are_asked_for() -> None:
    taken = []

    def rows() -> Iterator[int]:
        for n in range(3):
            taken.append(n)
            yield n

    doubled = map_rows(lambda n: 2 * n, rows(), "native", partition=1)
    assert next(doubled) == 0
    assert taken == [0]
    assert list(doubled) == [2, 4]


CHOSEN_TOO_LATE = """
from twin_assets.feature.corpus.duplicates.near import near_pairs
near_pairs(["a b c d", "a b c e"], "native")
near_pairs(["a b c d", "a b c e"], "ray")
"""


@pytest.mark.e2e
def test_a_runner_that_cannot_be_chosen_any_more_is_named() -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-c", CHOSEN_TOO_LATE], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "Fix: choose it before" in done.stderr

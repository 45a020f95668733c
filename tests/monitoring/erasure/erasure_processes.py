"""One process of those that work on a log at the same time: `erasure_processes.py ROLE FOLDER [S3 URL] [WHAT ...]`.

It says on stdout that it is ready, begins when FOLDER/go is there, and goes on until FOLDER/stop is, or once at least.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from tests.evaluation.evaluation_factories import request
from tests.monitoring.scores.test_live_scores import scorer
from tests.support.machine import PATIENCE
from tests.support.s3_double import s3_client
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, Message
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake, LocalLake, S3Lake
from twin_assets.core.storage.raw import RawItem
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.monitoring.erasure import erase, erase_document, remove_texts
from twin_assets.monitoring.scores.live_scores import score_new
from twin_assets.settings import Settings

PERSONA, FIRST_KEPT, SINCE = "runa", date(2026, 1, 2), date(2026, 1, 1)
BUCKET = "at-once"
NAMES = [f"{kind}{n:02}" for kind in ("leaves", "stays") for n in range(6)]


def lake_at(folder: Path, url: str) -> Lake:
    if url == "-":
        return LocalLake(Settings(home=folder).lake_dir)
    return S3Lake(s3_client(url), BUCKET, "some/prefix", folder / "cache" / "lake-mirror" / BUCKET)


def retain(lake: Lake) -> None:
    remove_texts(lake, PERSONA, 1, date(2026, 1, 3))


def score(lake: Lake) -> None:
    score_new(
        lake, scorer(measure=lambda claims, passages: np.zeros((len(claims), len(passages)))), since=SINCE
    )


def writing(name: str) -> str:
    return f"The {name} ferry {name} ran late on the {name} tide again, {name} and nobody at the {name} pier had said so."


def item(name: str) -> RawItem:
    return RawItem(
        persona=PERSONA, source="web", item_id=name, category="article", url=f"https://x.example/{name}", title=name,
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC), mime="text/plain", body=writing(name), content_hash=name,
    )  # fmt: skip


def chunk(name: str, turn: int) -> Chunk:
    return Chunk(
        chunk_id=name, doc_id=item(name).doc_id, persona=PERSONA, source="web", category="article", url=f"https://x.example/{name}",
        text=writing(name), start=0, end=9, tokens=9 + turn, split="train", content_hash=name,
    )  # fmt: skip


def row(name: str) -> InstructRow:
    messages = [Message(role="user", content="Write."), Message(role="assistant", content=writing(name))]
    return InstructRow(
        row_id=text_hash(name), doc_id=item(name).doc_id, task="write", split="train", messages=messages
    )


def made(lake: Lake, turn: int) -> None:
    """What a run of the pipeline stores that had read every document before."""
    FeatureStore(lake).write("chunks", PERSONA, [chunk(name, turn) for name in NAMES], list[Chunk])
    write_dataset(
        lake, PERSONA, "instruct", [row(name) for name in NAMES], parents={}, prompts="p", dropped={}, seed=turn, license="MIT",
        visibility="public", summary="By Runa.",
    )  # fmt: skip


def works(role: str, folder: Path, lake: Lake, wanted: list[str]) -> Callable[[], None]:
    """What the role does, over and over."""
    if role == "erase":
        return lambda: [erase(Settings(home=folder), lake, PERSONA, key=key) for key in wanted] and None
    if role == "log":
        log, sent = RequestLog(lake, lambda: datetime(2026, 1, 2, 12, tzinfo=UTC)), iter(range(10_000))

        def append() -> None:
            for key in wanted:
                n = next(sent)
                name = f"late-{key}-{n}"
                log.append(request(request_id=name, key=key, answer=f"said {name}", time=datetime(2026, 1, 2, 1, 0, n // 1000, n % 1000, tzinfo=UTC)))  # fmt: skip
            time.sleep(0.02)

        # A process that ends while its log still writes loses rows, and may abort within the writer of Parquet.
        works.close = lambda: log.close(PATIENCE)  # type: ignore[attr-defined]
        return append
    if role == "erase-documents":
        return lambda: (
            [erase_document(Settings(home=folder), lake, PERSONA, doc_id) for doc_id in wanted] and None
        )
    if role == "make":
        turns = iter(range(10_000))

        def make() -> None:
            made(lake, next(turns))
            # Whoever erases reads every version that was made: without a pause most of his time goes into reading.
            time.sleep(0.2)

        return make
    return lambda: {"retain": retain, "score": score}[role](lake)


def main() -> None:
    role, folder, url, *wanted = sys.argv[1:]
    place = Path(folder)
    work = works(role, place, lake_at(place, url), wanted)
    print("ready", flush=True)
    while not (place / "go").exists():
        time.sleep(0.01)
    work()
    while not role.startswith("erase") and not (place / "stop").exists():
        work()
    getattr(works, "close", lambda: None)()


if __name__ == "__main__":
    main()

"""One process of those that work on a log at the same time: `erasure_processes.py ROLE FOLDER [S3 URL] [WHAT ...]`.

It says on stdout that it is ready, begins when FOLDER/go is there, and goes on until FOLDER/stop is, or once at least.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from evaluation_factories import request
from test_live_scores import scorer

from tests.core.s3_double import s3_client
from twin_assets.core.lake import Lake, LocalLake, S3Lake
from twin_assets.inference.erasure import erase, remove_texts
from twin_assets.inference.live_scores import score_new
from twin_assets.inference.request_log import RequestLog
from twin_assets.settings import Settings

PERSONA, FIRST_KEPT, SINCE = "runa", date(2026, 1, 2), date(2026, 1, 1)
BUCKET = "at-once"


def lake_at(folder: Path, url: str) -> Lake:
    if url == "-":
        return LocalLake(Settings(home=folder).lake_dir)
    return S3Lake(s3_client(url), BUCKET, "some/prefix", folder / "cache" / "lake-mirror" / BUCKET)


def retain(lake: Lake) -> None:
    remove_texts(lake, PERSONA, 1, date(2026, 1, 3))


def score(lake: Lake) -> None:
    score_new(lake, scorer(embed=lambda texts: np.zeros((len(texts), 8), dtype=np.float32)), since=SINCE)


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

        works.close = log.close  # type: ignore[attr-defined]
        return append
    return lambda: {"retain": retain, "score": score}[role](lake)


def main() -> None:
    role, folder, url, *wanted = sys.argv[1:]
    place = Path(folder)
    work = works(role, place, lake_at(place, url), wanted)
    print("ready", flush=True)
    while not (place / "go").exists():
        time.sleep(0.01)
    work()
    while role != "erase" and not (place / "stop").exists():
        work()
    getattr(works, "close", lambda: None)()


if __name__ == "__main__":
    main()

"""Models as a ledger on S3 releases them: what it costs to follow it, and what happens while S3 is away."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.llm.released import ReleasedModels
from tests.serving.llm.test_released_models import Harbour, answer, judged, wait
from tests.serving.llm.test_released_models import base as base  # the fixture
from tests.support.s3_double import BadLine, s3_client, s3_server
from twin_assets.core.release.known import LOOK_SECONDS, LedgerTooOld
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import S3Lake, open_lake

BUSY = 503, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class HarbourOnS3(Harbour):
    """A harbour whose ledger is on S3, behind a line for those who serve."""

    def __init__(self, home: Path, base: Path, server: str, line: BadLine) -> None:
        bucket = home.name.replace("_", "-").lower()
        s3_client(server).create_bucket(Bucket=bucket)
        super().__init__(home, base, lake_url=f"s3://{bucket}/prod", s3_endpoint_url=line.url)  # type: ignore[arg-type]
        lake = S3Lake(s3_client(server), bucket, "prod", home / "of the office")
        self.lake, self.ledger = lake, Ledger(lake, "runa")  # type: ignore[assignment]


@pytest.fixture
def line() -> Iterator[BadLine]:
    with s3_server() as server, BadLine(server) as made:
        made.server = server  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def harbour(tmp_path: Path, base: Path, line: BadLine, monkeypatch: pytest.MonkeyPatch) -> HarbourOnS3:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return HarbourOnS3(tmp_path, base, line.server, line)  # type: ignore[attr-defined]


def test_with_nobody_asking_a_watched_release_costs_one_request_a_look(
    harbour: HarbourOnS3, line: BadLine
) -> None:
    harbour.release()
    second = harbour.release()  # watched against the first
    models = ReleasedModels(harbour.settings)
    judged(models)
    line.asked.clear()
    began = time.monotonic()
    for _ in range(40):
        judged(models)
    looks = 1 + (time.monotonic() - began) / LOOK_SECONDS
    assert line.asked["GET"] <= looks + 1
    assert line.asked["LIST"] <= (time.monotonic() - began) / 60
    answer(models)
    wait(lambda: (judged(models), list(harbour.lake.keys(f"watch/runa/{second.number:08d}")))[1])
    third = harbour.release()
    wait(lambda: models.all() == [("runa", third.model)])


def test_while_the_lake_is_away_models_serve_on_and_what_was_seen_is_kept(
    harbour: HarbourOnS3, line: BadLine
) -> None:
    harbour.release()
    second = harbour.release()
    models = ReleasedModels(harbour.settings)
    line.says = BUSY
    models.ledgers.forget()
    wait(lambda: (models.refresh(), models.ledgers.lake_fails)[1])
    assert answer(models) == second.model
    judged(models)
    started_meanwhile = ReleasedModels(harbour.settings)
    assert answer(started_meanwhile) == second.model
    assert list(harbour.lake.keys("watch")) == []
    state = open_lake(harbour.settings).here.root / ".ledger-known.json"
    os.utime(state, (time.time() - 25 * 3600,) * 2)
    wait(lambda: refused(models))
    line.says = None
    wait(lambda: not refused(models))
    wait(lambda: (judged(models), list(harbour.lake.keys(f"watch/runa/{second.number:08d}")))[1])


def refused(models: ReleasedModels) -> bool:
    models.refresh()
    try:
        models.pick("runa")
    except LedgerTooOld:
        return True
    return False

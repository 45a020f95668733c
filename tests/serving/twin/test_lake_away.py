"""The lake on S3 goes away while the twin serves, or before it starts: what was known last holds."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from serving.access.keys import DEFAULT_ACTIONS, Keys
from serving.metrics.endpoint import LedgerAge
from serving.twin.answering import AnswerService
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import MODEL, Server, install, serving
from tests.support.machine import until
from tests.support.s3_double import BadLine, hurry, s3_client, s3_server
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def line(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadLine]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    hurry(monkeypatch.setattr)
    with BadLine(s3) as made:
        yield made


@pytest.fixture
def engine() -> Iterator[EngineDouble]:
    with EngineDouble() as made:
        yield made


def installed(home: Path, s3: str, line: BadLine, engine: EngineDouble, **more: Any) -> Settings:
    bucket = home.name.replace("_", "-").lower()
    s3_client(s3).create_bucket(Bucket=bucket)
    return install(
        home, engine.url, lake_url=f"s3://{bucket}/prod", s3_endpoint_url=line.url, s3_timeout=2.0, **more
    )


def ready(server: Server, status: str) -> Any:
    """What `/ready` says once it has that status."""
    return until(
        lambda: (r := server.client.get("/ready")).json()["status"] == status and r, f"/ready {status}"
    )


ILL = {
    "frozen": {"mute": True},
    "busy": {"says": (503, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")},
    "an expired session": {"says": (400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")},
}  # fmt: skip


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("ill", ILL)
def test_a_lake_that_goes_away_takes_no_answer_with_it(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble, ill: str
) -> None:
    with serving(installed(tmp_path, s3, line, engine)) as server:
        fine = ready(server, "ok").json()
        assert fine["ledger_seconds_old"] < 60
        assert server.ask().json()["outcome"] == "answered"
        for name, value in ILL[ill].items():
            setattr(line, name, value)
        server.answers.ledgers.forget()
        ill_now = ready(server, "degraded")
        assert (ill_now.status_code, ill_now.json()["parts"]["lake"]) == (503, "StorageError")
        assert ill_now.json()["parts"]["ledger"] == ill_now.json()["parts"]["retrieval"] == "ok"
        for stream in (False, True):
            assert server.ask(stream=stream).status_code == 200
        assert server.write().json()["model"] == MODEL
        assert server.client.get("/v1/models").json()["data"][0]["owned_by"] == MODEL
        line.mute, line.says = False, None
        assert ready(server, "ok").json()["ledger_seconds_old"] < fine["ledger_seconds_old"] + 60


@pytest.mark.usefixtures("looks_often")
def test_a_frozen_lake_keeps_nobody_waiting_for_its_own_time(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble
) -> None:
    """The wait of the lake is made longer than this test may take."""
    settings = installed(tmp_path, s3, line, engine)
    with serving(settings.model_copy(update={"s3_timeout": 600.0})) as server:
        ready(server, "ok")
        assert server.ask().status_code == 200
        line.mute = True
        server.answers.ledgers.forget()
        assert ready(server, "degraded").json()["parts"]["lake"] == "StorageError"
        for _ in range(5):
            assert server.ask().status_code == 200
        line.mute = False


@pytest.mark.usefixtures("looks_often")
def test_a_service_that_starts_while_the_lake_is_away_serves_what_this_machine_knew(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble
) -> None:
    settings = installed(tmp_path, s3, line, engine)
    token, _ = Keys(open_lake(settings)).create("ada", ["*"], list(DEFAULT_ACTIONS))
    with serving(settings) as server:
        assert server.client.get("/v1/models").status_code == 401
        server.client.headers["Authorization"] = f"Bearer {token}"
        assert server.ask().json()["model"] == MODEL
    line.says = ILL["busy"]["says"]
    with serving(settings) as server:
        assert server.ask().status_code == 401
        server.client.headers["Authorization"] = f"Bearer {token}"
        assert server.ask().json()["model"] == MODEL
        assert ready(server, "degraded").json()["ledger_seconds_old"] > 0


@pytest.mark.usefixtures("looks_often")
def test_where_nothing_is_known_it_is_said_what_is_wrong_and_when_to_come_back(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble
) -> None:
    settings = installed(tmp_path, s3, line, engine)
    elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    line.says = ILL["an expired session"]["says"]
    with serving(elsewhere) as server:
        answer = server.ask()
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "StorageError")
        assert "finds the session expired" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) > 0
        down = ready(server, "down").json()
        assert (down["parts"]["ledger"], down["ledger_seconds_old"]) == ("StorageError", None)
        assert server.client.get("/health").status_code == 200
        line.says = None
        until(lambda: server.client.get("/v1/models").status_code == 200)
        assert server.client.get("/v1/models").json()["data"][0]["owned_by"] == MODEL


@pytest.mark.usefixtures("looks_often")
def test_what_is_older_than_the_setting_is_served_no_more(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble
) -> None:
    settings = installed(tmp_path, s3, line, engine, ledger_hours=2.0)
    with serving(settings) as server:
        assert server.ask().status_code == 200
        line.says = ILL["busy"]["says"]
        server.answers.ledgers.forget()
        ready(server, "degraded")
        state = (
            settings.cache_dir
            / "lake-mirror"
            / tmp_path.name.replace("_", "-").lower()
            / ".ledger-known.json"
        )
        os.utime(state, (time.time() - 3 * 3600,) * 2)
        old = ready(server, "down").json()
        assert old["parts"]["ledger"] == "LedgerTooOld"
        assert old["ledger_seconds_old"] > 2 * 3600
        refused = until(lambda: (r := server.ask()).status_code == 503 and r)
        assert refused.json()["error"]["type"] == "LedgerTooOld"
        assert int(refused.headers["retry-after"]) > 0
        assert metric(server.answers) > 2 * 3600
        line.says = None
        ready(server, "ok")
        assert server.ask().status_code == 200
        assert metric(server.answers) < 3600


def metric(answers: AnswerService) -> float:
    registry = CollectorRegistry()
    registry.register(LedgerAge(lambda: answers.ledgers.seconds_old))
    lines = generate_latest(registry).decode().splitlines()
    return next(float(row.split()[1]) for row in lines if row.startswith("twin_ledger_age_seconds "))


def test_asking_often_whether_it_is_ready_asks_the_lake_no_more_often(
    tmp_path: Path, s3: str, line: BadLine, engine: EngineDouble
) -> None:
    with serving(installed(tmp_path, s3, line, engine)) as server:
        ready(server, "ok")
        line.asked.clear()
        answers: list[httpx.Response] = [server.client.get("/ready") for _ in range(300)]
        assert {answer.status_code for answer in answers} == {200}
        assert line.asked.total() <= 20  # those that time alone brings about

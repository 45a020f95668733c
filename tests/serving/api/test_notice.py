"""A version that only proves the plumbing says so beside every text that it writes."""

from collections.abc import Iterator

import pytest

from serving.twin.answering import PLUMBING
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import MODEL, Server, events, install, serving
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake

NOISE, UNKNOWN = "twin-runa-dpo:noise", "Who won the Eurovision Song Contest in 1974?"


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineDouble]:
    with EngineDouble() as engine:
        yield engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: EngineDouble) -> Iterator[Server]:
    settings = install(tmp_path_factory.mktemp("home"), engine.url)
    ledger = Ledger(open_lake(settings), "runa")
    ledger.append(NOISE, "proposed", "pipeline", "new")
    ledger.append(NOISE, "evaluated", "pipeline", "passed", passed=True, plumbing=True)
    ledger.append(NOISE, "approved", "Ines", "to see the platform run")
    ledger.append(NOISE, "canary_started", "pipeline", "approved", share=0.5)
    with serving(settings) as server:
        yield server


@pytest.mark.parametrize(("model", "notice"), [(MODEL, None), (NOISE, PLUMBING)])
def test_the_version_that_writes_decides(
    server: Server, engine: EngineDouble, model: str, notice: str | None
) -> None:
    engine.model = model
    whole = [server.ask().json(), server.write().json()]
    assert [(answer["model"], answer["notice"]) for answer in whole] == [(model, notice)] * 2
    for streamed in (server.ask(stream=True), server.write(stream=True)):
        assert [e["notice"] for e in events(streamed) if "notice" in e] == [notice]


def test_a_refusal_is_not_its_writing(server: Server, engine: EngineDouble) -> None:
    engine.model = NOISE
    answer = server.ask(UNKNOWN).json()
    assert (answer["outcome"], answer["notice"]) == ("refused", None)


def test_the_review_names_it(server: Server) -> None:
    assert server.client.get("/ui/api/runa/review").json()["plumbing"] == [NOISE]

"""The twin while the server of its index is dead, or frozen: what it answers, how soon, and that it comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.serving.twin_server import Server, events, twin
from tests.support.machine import until
from tests.support.weaviate_double import Double, running
from twin_assets.inference.twin.request_log import read_requests


@contextmanager
def beside_weaviate(home: Path, **changes: Any) -> Iterator[tuple[Server, Double]]:
    with running() as double:
        url = f"http://127.0.0.1:{double.http_port}"
        at = {"vector_store": "weaviate", "weaviate_url": url, "weaviate_grpc_port": double.grpc_port}
        # A first answer takes as long as the machine needs; what hangs is told from it by never coming.
        with twin(home, weaviate_api_key=None, **at, **changes) as (server, _engine):
            assert until(lambda: server.ask().status_code == 200)
            yield server, double


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("twin_without_passages_total", {"outcome": outcome}) or 0.0


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("ill", ["dead", "frozen"])
def test_while_the_server_is_away_it_writes_without_passages_and_says_so(tmp_path: Path, ill: str) -> None:
    with beside_weaviate(tmp_path) as (server, double):
        if ill == "dead":
            double.die()
        else:
            double.awake.clear()
        before = counted("without_passages"), counted("refused")
        asked = until(lambda: (a := server.ask()).status_code == 503 and a)
        assert (asked.json()["error"]["type"], asked.json()["outcome"]) == ("RetrievalUnavailable", "refused")
        assert int(asked.headers["retry-after"]) > 0
        written = server.write()
        assert (written.status_code, written.json()["outcome"]) == (200, "without_passages")
        assert (written.json()["degraded"], written.json()["citations"]) == (["retrieval"], [])
        assert events(server.write(stream=True))[-1]["outcome"] == "without_passages"
        assert counted("without_passages") == before[0] + 2
        assert counted("refused") > before[1]
        ready = until(lambda: (r := server.client.get("/ready")).json()["status"] == "degraded" and r)
        assert ready.json()["parts"]["retrieval"] == "RetrievalUnavailable"
        assert server.client.get("/health").status_code == 200
        if ill == "dead":
            double.start()
        else:
            double.awake.set()
        assert until(lambda: server.ask().status_code == 200)
        assert server.write().json()["outcome"] == "answered"
        assert until(lambda: server.client.get("/ready").json()["status"] == "ok")
        server.answers.log.close()
        kept = [row.outcome for row in read_requests(server.answers.lake, "runa")]
        assert kept.count("without_passages") == 2


def test_where_the_settings_say_so_it_writes_nothing_without_passages(tmp_path: Path) -> None:
    with beside_weaviate(tmp_path, without_passages="refuse") as (server, double):
        assert server.write().json()["outcome"] == "answered"
        double.die()
        for stream in (False, True):
            refused = until(lambda stream=stream: (a := server.write(stream=stream)).status_code == 503 and a)  # type: ignore[misc]
            assert (refused.json()["error"]["type"], refused.json()["outcome"]) == (
                "RetrievalUnavailable",
                "refused",
            )
            assert int(refused.headers["retry-after"]) > 0


@pytest.mark.usefixtures("looks_often")
def test_a_persona_that_nobody_asks_for_sleeps_and_answers_when_it_is_asked(tmp_path: Path) -> None:
    with beside_weaviate(tmp_path, weaviate_sleep_days=1e-6) as (server, double):
        asleep = lambda: double.activity.get(("TwinChunk", "twin-runa")) == "INACTIVE"  # noqa: E731
        assert until(asleep, "sleep")
        assert until(lambda: server.client.get("/ready").json()["status"] == "ok")
        assert server.ask().json()["outcome"] == "answered"
        assert until(asleep, "sleep again")

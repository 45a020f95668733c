"""What tests of kept threads share: a server with a login and two callers with keys, and short ways to ask."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx

from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import QUESTION, Server
from twin_assets.inference.twin.threads.stored import FOLDER, ThreadTurn

OFF_TOPIC = "Who won the football World Cup?"


class Running(NamedTuple):
    server: Server
    engine: EngineDouble
    ann: httpx.Client
    bob: httpx.Client


def begin(client: httpx.Client, **given: Any) -> str:
    answer = client.post("/v1/threads", json={"persona": "runa"} | given)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ask(client: httpx.Client, thread: str | None, question: str = QUESTION, **body: Any) -> httpx.Response:
    asked = {"model": "runa", "messages": [{"role": "user", "content": question}], "thread": thread}
    return client.post("/v1/chat/completions", json=asked | body)


def listed(client: httpx.Client, **query: Any) -> Any:
    answer = client.get("/v1/threads", params={"persona": "runa"} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def opened(client: httpx.Client, thread: str, **query: Any) -> httpx.Response:
    return client.get(f"/v1/threads/{thread}", params={"persona": "runa"} | query)


def kept_files(server: Server) -> list[str]:
    return list(server.answers.lake.keys(FOLDER))


def declare(server: Server, line: str) -> None:
    file = server.settings.personas_dir / "runa.yaml"
    file.write_text(file.read_text() + line)
    server.answers._standing.cache_clear()


def a_turn(request_id: str = "r", time: datetime | None = None) -> ThreadTurn:
    """One of the page's login."""
    return ThreadTurn(
        request_id=request_id, time=time or datetime.now(UTC), model="m", outcome="answered", prompt="p", answer="a", key="page"
    )  # fmt: skip

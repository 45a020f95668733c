"""The tools of the Model Context Protocol, called by its official client over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from serving.access.keys import Action, Keys
from tests.inference.ideas.made_corpus import TOPIC, chunks
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import QUESTION, TEXTS, Server, twin
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.inference.twin.request_log import read_requests


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path) as (server, engine):
        yield server, engine


def with_client(server: Server, act: Callable[[Client], Awaitable[Any]], key: str | None = None) -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}/v1/mcp", http_client=http)
            async with Client(transport) as client:
                return await act(client)

    return asyncio.run(run())


def call(server: Server, tool: str, key: str | None = None, **arguments: Any) -> Any:
    return with_client(server, lambda client: client.call_tool(tool, arguments), key)


def key_for(server: Server, *actions: Action, persona: str = "runa") -> str:
    return Keys(server.answers.lake).create("a client", [persona], list(actions))[0]


def test_the_official_client_lists_and_calls_the_tools(running: tuple[Server, EngineDouble]) -> None:
    server, engine = running
    listed = with_client(server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in listed} == {"search_corpus", "ask", "write", "rewrite", "ideas"}
    assert all(tool.description and "ctx" not in tool.input_schema["properties"] for tool in listed)
    found = call(server, "search_corpus", query=QUESTION, limit=2, persona="runa").structured_content
    assert (len(found["passages"]), found["passages"][0]["text"]) == (2, TEXTS["tides"])
    answer = call(server, "ask", question=QUESTION).structured_content
    assert (answer["text"], answer["outcome"]) == (engine.says, "answered")
    assert answer["citations"][0]["url"] == "https://runa.example/tides"
    before = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": engine.says}]
    followed = call(server, "ask", question="And why did it matter?", before=before).structured_content
    assert followed["understood_as"].startswith("And why did it matter? (")
    text = call(server, "write", topic="tide tables", kind="x_post").structured_content
    assert (text["prompt_kind"], text["outcome"]) == ("write_x_post", "answered")
    rewritten = call(server, "rewrite", draft="The tide table was old.", wish="Say why.").structured_content
    assert rewritten["prompt_kind"] == "rewrite"
    assert "The tide table was old." in engine.prompt
    server.answers.log.close()
    kinds = [row.prompt_kind for row in read_requests(server.answers.lake, "runa")]
    assert kinds == ["answer", "answer", "write_x_post", "rewrite"], "a log row each, as by HTTP"


def test_ideas_are_those_of_the_api_and_a_title_is_a_topic(running: tuple[Server, EngineDouble]) -> None:
    server, _ = running
    FeatureStore(server.answers.lake).write("embeddings", "runa", chunks(), list[EmbeddedChunk])
    told = call(server, "ideas", persona="runa", limit=3).structured_content
    assert told == server.client.get("/v1/ideas", params={"persona": "runa", "limit": 3}).json()
    assert told["ideas"][0]["title"] == TOPIC
    assert call(server, "write", topic=TOPIC).structured_content["outcome"] == "answered"
    assert call(server, "ideas", persona="runa", limit=99).is_error


def test_what_can_t_be_done_is_told_with_the_fix(running: tuple[Server, EngineDouble]) -> None:
    server, engine = running
    declined = call(server, "ask", question="Who won the football World Cup?")
    assert (declined.is_error, declined.structured_content["outcome"]) == (False, "refused")
    unknown = call(server, "ask", question="Why?", persona="nobody")
    assert unknown.is_error
    assert "There is no persona 'nobody'" in unknown.content[0].text
    for arguments in ({"topic": "x"}, {"topic": "tides", "words": 5}, {"topic": "tides", "kind": "sonnet"}):
        refused = call(server, "write", **arguments)
        assert refused.is_error
        assert (
            next(
                name
                for name in ("kind", "words", "topic")
                if name in arguments and arguments[name] != "tides"
            )
            in refused.content[0].text
        )
    asked = len(engine.asked)
    engine.fault = "busy"
    down = call(server, "ask", question=QUESTION)
    assert down.is_error
    assert "Fix: start it, or set TWIN_LLM_URL." in down.content[0].text
    assert len(engine.asked) > asked


def test_keys_scopes_and_limits_are_those_of_the_api(running: tuple[Server, EngineDouble]) -> None:
    server, _ = running
    # Before the first request: keys are read anew every two seconds.
    reader, writer, chatter = (
        key_for(server, "read"),
        key_for(server, "read", "write"),
        key_for(server, "chat"),
    )
    another = key_for(server, "read", "chat", "write", persona="ola")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream"}
    assert server.client.post("/v1/mcp", json=body, headers=headers).status_code == 401
    only_chat = {"Authorization": f"Bearer {chatter}"}
    assert server.client.post("/v1/mcp", json=body, headers=headers | only_chat).status_code == 403
    for tool, arguments in (
        ("search_corpus", {"query": QUESTION}),
        ("ask", {"question": QUESTION}),
        ("write", {"topic": "tides"}),
    ):
        refused = call(server, tool, reader, **arguments)
        assert refused.is_error
        assert "This key is not good for" in refused.content[0].text
    assert call(server, "write", writer, topic="tides").structured_content["outcome"] == "answered"
    refused = call(server, "write", writer, topic="tides", links=["https://runa.example/a"])
    assert "not good for 'links'" in refused.content[0].text
    for tool, arguments in (("search_corpus", {"query": QUESTION}), ("rewrite", {"draft": "A draft."})):
        refused = call(server, tool, another, persona="runa", **arguments)
        assert refused.is_error
        assert "for 'runa'" in refused.content[0].text
    bearer = headers | {"Authorization": f"Bearer {reader}"}
    large = server.client.post("/v1/mcp", content=b"x" * 1_000_001, headers=bearer)
    assert large.status_code == 413
    assert server.client.get("/v1/mcp", headers=bearer).status_code == 405

"""A key that is admin of one persona, put to every parameter of every route: it reads and changes nothing of another's.

What is attacked is read from the OpenAPI description, so that a new route, or a new field, is attacked too.
"""

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from serving.access.keys import ACTIONS, Keys
from serving.app import create_app
from serving.twin import answering
from tests.core.models.lent import lend_embedder
from tests.serving.access.test_audience import CANARY, TEXT, fill
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import MODEL, Server, install, serving
from twin_assets.core.feedback.pairs import stored_pairs
from twin_assets.core.storage.library import library_of
from twin_assets.monitoring.report.page import report_key

# What a caller would send who means well; a field of another name gets a plain word.
MEANT: dict[str, Any] = {
    "persona": "ola", "model": "twin-ola-dpo:one", "doc_id": "doc-closed", "thread_id": "0" * 32, "thread": None, "before": None, "upload": "0" * 32, "request_id": "r1", "pair_id": "0" * 16,
    "url": "https://ola.example/a", "address": "https://ola.example/a", "links": [], "stop": None, "password": "a guess", "replaces": "0" * 32, "token": "0" * 32, "since": None,
    "until": None, "source": "", "category": "", "user": None, "key": "0" * 12, "seen": None, "language": "en", "tools": None, "given": None,
    "general": {"full_name": "Ola", "about": "Keeps boats.", "license": "CC-BY-4.0", "name": "runa"},
    "sources": {"medium": {"feed": "https://medium.com/feed/@x"}}, "messages": [{"role": "user", "content": "Hello there!"}],
    # Of OpenAI's protocol, and not done: anything but nothing is refused.
    **dict.fromkeys((
        "response_format", "tools", "tool_choice", "functions", "function_call", "logit_bias", "modalities", "audio",
        "prediction", "reasoning_effort", "verbosity", "web_search_options", "top_logprobs",
    )),
}  # fmt: skip

# The same request in steps: what a caller gives of each step, so that the chain ends soon.
IN_STEPS: dict[str, Any] = {
    "chain": True, "draft": None,
    "given": {"idea": "A harbour at low tide", "until": "outline", "outline": {
        "title": "A harbour", "sections": [{"heading": "The tide", "about": "When it is low."}],
    }},
}  # fmt: skip


class Call(NamedTuple):
    """A request that can be sent; `strings` are the places in it where a string stands."""

    method: str
    path: str
    given: dict[str, dict[str, Any]]
    body: Any

    @property
    def strings(self) -> list[tuple[str, ...]]:
        found = [(where, name) for where, fields in self.given.items() for name in fields]
        return [*found, *(("body", *place) for place in _strings(self.body))]

    def send(self, client: httpx.Client, place: tuple[str, ...] = (), value: str = "") -> httpx.Response:
        """With `value` in one place, if one is named."""
        given, body = deepcopy(self.given), deepcopy(self.body)
        if place[:1] == ("body",):
            body = _put(body, place[1:], value)
        elif place:
            given[place[0]][place[1]] = value
        path = self.path
        for name, part in given["path"].items():
            # Dots too, or the client would tidy the path up before it is sent.
            path = path.replace(f"{{{name}}}", quote(str(part), safe="").replace(".", "%2E"))
        query = {name: value for name, value in given["query"].items() if value is not None}
        return client.request(self.method, path, params=query, json=body)


def _strings(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, (*at, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _strings(one, (*at, str(number)))
    elif isinstance(value, str) or value is None:
        yield at


def _put(body: Any, place: tuple[str, ...], value: str) -> Any:
    if not place:
        return value
    name: Any = int(place[0]) if isinstance(body, list) else place[0]
    body[name] = _put(body[name], place[1:], value)
    return body


class Everything:
    """The description of all routes, also of the page's, which the public one leaves out."""

    def __init__(self, app: FastAPI) -> None:
        shown = FastAPI()
        routers = [router for part in app.routes if (router := getattr(part, "original_router", None))]
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # they are of the modules, and other tests describe them too
            for router in routers:
                patch.setattr(router, "include_in_schema", True)
                shown.include_router(router)
            self.spec = shown.openapi()
        assert set(app.openapi()["paths"]) < set(self.spec["paths"])

    def calls(self, **meant: Any) -> list[Call]:
        """Every operation, with values for all its parameters and fields."""
        made = []
        whose = meant.get("persona", MEANT["persona"])
        for path, operations in self.spec["paths"].items():
            for method, about in operations.items():
                given: dict[str, dict[str, Any]] = {"path": {}, "query": {}}
                for one in about.get("parameters", []):
                    given[one["in"]][one["name"]] = self._value(one["name"], one["schema"], meant)
                content = about.get("requestBody", {}).get("content", {}).get("application/json")
                body = self._value("", content["schema"], meant) if content else None
                if path == "/v1/chat/completions":
                    body["model"] = whose  # as OpenAI's clients name it
                made.append(Call(method.upper(), path, given, body))
                if path == "/v1/write":
                    made.append(Call(method.upper(), path, given, body | IN_STEPS))
        return made

    def _value(self, name: str, schema: dict[str, Any], meant: dict[str, Any]) -> Any:
        if name in meant or name in MEANT:
            return deepcopy(meant.get(name, MEANT.get(name)))
        if "$ref" in schema:
            return self._value(
                "", self.spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], meant
            )
        if "properties" in schema:
            return {n: self._value(n, s, meant) for n, s in schema["properties"].items()}
        if "default" in schema and not isinstance(schema["default"], str):
            return schema["default"]
        if options := schema.get("anyOf"):
            return self._value("", options[0], meant)
        if "enum" in schema or "const" in schema:
            return schema.get("default", schema.get("const", schema.get("enum", [None])[0]))
        kinds = {
            "integer": int(max(schema.get("minimum", 1), 1)),  # the description writes its bounds as floats
            "number": max(schema.get("minimum", 1), 1),
            "boolean": False,
            "array": [],
            "object": {},
        }
        kind = schema.get("type", "string")
        return kinds.get(kind[0] if isinstance(kind, list) else kind, "harbours and tides")


class World(NamedTuple):
    server: Server
    everything: Everything
    dataset: str
    thread: str
    draft: str
    ola: httpx.Client
    runa: httpx.Client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All that the product keeps of runa's, closed text in each; and an admin of each persona, good for every act."""
    with pytest.MonkeyPatch.context() as patch, EngineDouble() as engine:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("TWIN_HOME", str(home))
        lend_embedder(home)
        patch.setattr(answering, "FLUSH_SECONDS", 0.0)  # of another worker's log, which there is none
        settings = install(
            home, engine.url, ui_password="open sesame", rate_per_minute=0, rate_per_minute_address=0,
            dagster_url="http://127.0.0.1:1",
        )  # fmt: skip
        with serving(settings) as server:
            lake = server.answers.lake
            version = fill(settings, lake)
            lake.write(report_key("runa"), f"<p>{TEXT}</p>".encode())
            clients = []
            for name in ("ola", "runa"):
                token, _ = Keys(lake).create(name, [name], list(ACTIONS), audience="private")
                headers = {"Authorization": f"Bearer {token}", "X-Twin-UI": "1"}
                clients.append(httpx.Client(base_url=server.url, headers=headers, timeout=60))
            asked = {
                "model": "runa",
                "messages": [{"role": "user", "content": "Why is the regatta cancelled?"}],
            }
            answer = clients[1].post("/v1/chat/completions", json=asked).json()
            thread = clients[1].post("/v1/threads", json={"persona": "runa", "title": TEXT}).json()["id"]
            assert (
                clients[1].post("/v1/chat/completions", json=asked | {"thread": thread}).json()["thread_kept"]
            )
            said = {"persona": "runa", "request_id": answer["request_id"], "thumb": "up", "comment": TEXT, "consent": True,
                    "edited": f"{TEXT} And I am sorry about it."}  # fmt: skip
            assert clients[1].post("/v1/feedback", json=said).status_code == 200
            draft = clients[1].post("/v1/drafts", json={"persona": "runa", "text": TEXT, "status": "idea"})
            assert draft.status_code == 201
            yield World(
                server, Everything(create_app(settings)), version, thread, draft.json()["id"], *clients
            )
            for client in clients:
                client.close()


def kept_of(name: str, server: Server) -> dict[str, bytes]:
    """All files of a persona, by path: of the lake, uploads and staging, and its declaration."""
    # `os.walk` goes on where a folder leaves in mid-look, as that of another persona's upload may.
    files = (Path(folder, file) for folder, _, names in os.walk(server.settings.home) for file in names)
    return {
        str(path): path.read_bytes()
        for path in files
        if name in {*path.parts, path.stem} and "vectors" not in path.parts
    }


def test_its_own_admin_sees_what_the_attacks_are_after(world: World) -> None:
    """Otherwise the attack below could not fail."""
    lake = world.server.answers.lake
    meant = {
        "persona": "runa", "model": MODEL, "version": world.dataset, "q": "regatta", "thread_id": world.thread,
        "draft_id": world.draft,
        "doc_id": next(iter(library_of(lake, "runa"))), "pair_id": stored_pairs(lake, "runa").pairs[0].pair_id,
    }  # fmt: skip
    shown = {call.path for call in world.everything.calls(**meant) if call.method == "GET" and CANARY in call.send(world.runa).text}  # fmt: skip
    assert len(shown) >= 11, shown
    assert {"/v1/threads", "/v1/threads/{thread_id}", "/v1/threads/{thread_id}/export"} < shown
    assert {"/v1/drafts", "/v1/drafts/export", "/v1/drafts/{draft_id}"} < shown


def test_every_route_is_reached_with_what_a_caller_may_send(world: World) -> None:
    """A call that doesn't fit is refused before it comes to what is attacked."""
    calls = world.everything.calls()
    assert len(calls) > 35
    refused = {}
    for call in calls:
        answer = call.send(world.ola)
        assert answer.headers["x-content-type-options"] == "nosniff", call
        assert call.path == "/" or answer.headers["cache-control"] == "no-store", call
        if answer.status_code in (401, 403, 405, 422) and call.path not in ("/ui/login", "/v1/links"):
            refused[call.method, call.path] = answer.text
    assert not refused


def test_no_parameter_of_any_route_leads_to_another_persona(world: World) -> None:
    stem = MODEL.replace(":", "-")
    values = [
        "runa", "../runa", "ola/../runa", "..", MODEL, f"../runa/{stem}", f"../../reports/runa/{stem}", "twin-runa-dpo",
        f"../../runa/instruct/{world.dataset}", world.thread, f"../runa/{world.thread}", "/etc/passwd", "../../../personas/runa", "x" * 300, "a\0b",
    ]  # fmt: skip
    before = kept_of("runa", world.server)
    assert len(before) > 10
    tried, faults = 0, []
    for call in world.everything.calls(version=world.dataset, draft_id=world.draft):
        for place in call.strings:
            for value in values:
                answer = call.send(world.ola, place, value)
                tried += 1
                passed = place[-1] == "persona" and value == "runa" and answer.status_code != 403
                if passed or answer.status_code == 500 or CANARY in answer.text:
                    faults.append((call.method, call.path, place, value, answer.status_code))
    assert not faults
    assert tried > 1000
    world.server.answers.log.close()
    assert kept_of("runa", world.server) == before

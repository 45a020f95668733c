"""A post that only connections may read: no endpoint shows a word of it to the public, and its audience finds it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from serving import app
from serving.access.keys import ACTIONS, Keys
from serving.page import routes as ui
from tests.core.models.lent import lend_embedder
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import MODEL, Server, install, serving, streamed_text
from tests.support.machine import PATIENCE
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Chunk, EmbeddedChunk, Message, SplitDocument, Visibility
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.library import add_to_library
from twin_assets.core.vectors import open_store
from twin_assets.evaluation.report.page import report_key
from twin_assets.evaluation.results import EvaluationReport, Sample, SystemResult
from twin_assets.evaluation.voice.copying import CopyReport
from twin_assets.evaluation.voice.meter import VoiceScore
from twin_assets.inference.twin.request_log import read_requests

CANARY = "quokkaberry"
TEXT = f"The regatta is cancelled, since {CANARY} left the company on Friday and nobody else has the keys."
OPEN_TEXT = "The regatta is in June, as every year, and the harbour will be full of boats."
QUESTION = "Why is the regatta cancelled?"
PASSWORD = "open sesame"


@dataclass
class World:
    """A server whose corpus, datasets, reports, feedback and library all hold the closed text; a key a visibility."""

    server: Server
    engine: EngineDouble
    bearer: dict[str, dict[str, str]]
    dataset: str
    upload: str = ""

    def get(self, path: str, who: str, **query: Any) -> httpx.Response:
        return self.server.client.get(path, headers=self.bearer[who], params=query)

    def post(self, path: str, who: str, **body: Any) -> httpx.Response:
        return self.server.client.post(path, headers=self.bearer[who], json=body)

    def ask(self, who: str, question: str = QUESTION, **more: Any) -> httpx.Response:
        messages = [{"role": "user", "content": question}]
        return self.post("/v1/chat/completions", who, model="runa", messages=messages, **more)


def document(name: str, text: str, visibility: Visibility) -> SplitDocument:
    return SplitDocument.model_validate({
        "persona": "runa", "source": "linkedin", "category": "post", "doc_id": f"doc-{name}", "url": f"https://x/{name}",
        "title": text[:20], "content_hash": name, "voice_text": text, "search_text": text, "words": len(text.split()),
        "cluster_id": name, "split": "train", "visibility": visibility,
    })  # fmt: skip


def fill(settings: Any, lake: Lake) -> str:
    """Everything that the product keeps of writing, of an open and of a closed post; the version of the dataset."""
    documents = [document("closed", TEXT, "connections"), document("open", OPEN_TEXT, "public")]
    embedder = load_embedder(settings.embedder)
    chunks = [
        EmbeddedChunk(
            chunk_id=d.doc_id, doc_id=d.doc_id, persona="runa", source=d.source, category="post", url=d.url, title=d.title,
            heading=d.title, text=d.voice_text, start=0, end=len(d.voice_text), tokens=20, split="train",
            content_hash=d.doc_id, visibility=d.visibility, vector=vector.tolist(), embedder=embedder.fingerprint,
        )
        for d, vector in zip(documents, embedder.embed([d.voice_text for d in documents]), strict=True)
    ]  # fmt: skip
    open_store(settings, "runa").sync(chunks)
    store = FeatureStore(lake)
    store.write("corpus_split", "runa", documents, list[SplitDocument])
    store.write("chunks", "runa", [Chunk.model_validate(c.model_dump()) for c in chunks], list[Chunk])
    persona = load_persona(settings.personas_dir, "runa")
    closed = persona.model_copy(update={"visibility": "connections"})
    add_to_library(lake, closed, "https://x/paper", TEXT, title=TEXT)
    rows = [
        InstructRow(row_id=d.doc_id, doc_id=d.doc_id, task="write_post", split="train", visibility=d.visibility, messages=[
            Message(role="system", content="s"), Message(role="user", content="u"), Message(role="assistant", content=d.voice_text),
        ])
        for d in documents
    ]  # fmt: skip
    voice = VoiceScore(margin=0.1, margin_low=0.0, margin_high=0.2, verifier=0.6, windows=3, words=900)
    copying = CopyReport(copied_share=0.0, longest_words=0, longest="")
    result = SystemResult(model=MODEL, voice=voice, copying=copying, samples=[Sample(prompt=TEXT, text=TEXT)])
    report = EvaluationReport(
        persona="runa", candidate=MODEL, profile="smoke", upper_bound=voice, lower_bound=voice, systems={"candidate": result},
        real_sample=TEXT, gain=0.1, gain_low=0.0, gain_high=0.2, hit_rate=1.0, mrr=1.0, refusal_rate=1.0,
        false_refusal_rate=0.0, prompts=1, visibility="connections",
    )  # fmt: skip
    lake.write(report_key("runa", MODEL, "json"), report.model_dump_json().encode())
    lake.write(report_key("runa", MODEL, "html"), f"<p>{TEXT}</p>".encode())
    return write_dataset(
        lake, "runa", "instruct", rows, parents={}, prompts="p", dropped={}, seed=1, license="MIT", visibility="public",
        summary="By Runa.",
    ).version  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, EngineDouble() as engine:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("TWIN_HOME", str(home))
        lend_embedder(home)
        settings = install(home, engine.url, ui_password=PASSWORD, rate_per_minute=10_000, rate_per_minute_address=10_000)  # fmt: skip
        with serving(settings) as server:
            version = fill(settings, server.answers.lake)
            keys = Keys(server.answers.lake)
            bearer = {
                audience: {"Authorization": f"Bearer {keys.create(audience, ['*'], list(ACTIONS), audience=audience)[0]}", "X-Twin-UI": "1"}
                for audience in ("public", "connections", "private")
            }  # fmt: skip
            bearer["page"] = {"Authorization": f"Bearer {PASSWORD}", "X-Twin-UI": "1"}
            world = World(server, engine, bearer, version)
            react_as_the_owner(world)
            upload_as_the_owner(world)
            yield world


def upload_as_the_owner(world: World) -> None:
    """A private chat that holds the closed text, staged and previewed; only the owner may read it there."""
    said = f"02/03/2020, 10:11 - Runa: {TEXT}\n02/03/2020, 10:12 - Kim: Oh {CANARY}!\n".encode()
    headers = world.bearer["page"]
    world.upload = world.server.client.post(
        "/ui/api/runa/uploads?name=chat.txt", content=said, headers=headers
    ).json()["id"]
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if world.get(f"/ui/api/runa/uploads/{world.upload}", "page").json()["state"] == "ready":
            return
        time.sleep(0.1)
    pytest.fail("the preview did not end")


def react_as_the_owner(world: World) -> None:
    """A question about the closed post, and what its audience says of the answer."""
    answer = world.ask("page", f"Has {CANARY} cancelled the regatta?").json()
    until = time.monotonic() + 10
    while not read_requests(world.server.answers.lake, "runa") and time.monotonic() < until:
        time.sleep(0.05)
    said = {"persona": "runa", "model": MODEL, "request_id": answer["request_id"], "thumb": "up", "comment": TEXT, "consent": True,
            "prompt": QUESTION, "answer": TEXT, "edited": f"{TEXT} And I am sorry about it."}  # fmt: skip
    assert world.post("/v1/feedback", "page", **said).json()["texts_kept"] is True


def of_its_audience(found: httpx.Response) -> None:
    body = found.json()
    assert body["outcome"] == "answered"
    assert {c["visibility"] for c in body["citations"]} >= {"connections"}
    assert CANARY in "".join(c["quote"] for c in body["citations"])


@pytest.mark.parametrize("who", ["connections", "private", "page"])
def test_connections_and_the_owner_are_answered_from_it(world: World, who: str) -> None:
    of_its_audience(world.ask(who))
    assert CANARY in world.engine.prompt
    world.post("/v1/write", who, persona="runa", topic="the regatta that is cancelled")
    assert CANARY in world.engine.prompt


def test_the_public_is_not_answered_from_it_whatever_it_asks(world: World) -> None:
    world.engine.asked.clear()
    asked = [world.ask("public"), world.ask("public", stream=True)]
    for kind in ("linkedin_post", "article"):
        topic = "why the regatta is cancelled"
        asked.append(world.post("/v1/write", "public", persona="runa", kind=kind, topic=topic))
    asked.append(
        world.post("/v1/write", "public", persona="runa", kind="rewrite", draft="The regatta is off.")
    )
    assert [a.status_code for a in asked] == [200] * len(asked)
    assert all(CANARY not in a.text for a in asked)
    assert CANARY not in str(world.engine.asked)  # nor may a model see it
    assert {c["visibility"] for a in asked[2:] for c in a.json()["citations"]} <= {"public"}
    assert "doc-closed" not in "".join(a.text for a in asked)


def test_what_its_audience_was_shown_is_not_shown_to_who_asks_after_them(world: World) -> None:
    of_its_audience(world.ask("connections"))
    for _ in range(2):
        assert CANARY not in world.ask("public").text
        assert CANARY not in streamed_text(world.ask("public", stream=True))
        of_its_audience(world.ask("connections"))


def paths(world: World, thread: str, draft: str) -> dict[str, str]:
    """Every address that can be read, by its route; a part of one that is not known here is an error."""
    parts = {
        "persona": "runa", "doc_id": "doc-closed", "kind": "instruct", "version": world.dataset, "upload": world.upload,
        "thread_id": thread, "draft_id": draft,
    }  # fmt: skip
    routes = [
        route
        for module in {**vars(ui), **vars(app), "ui": ui}.values()
        for route in getattr(getattr(module, "router", None), "routes", [])
        if isinstance(route, APIRoute) and "GET" in route.methods
    ]
    assert len(routes) > 20
    return {route.path: route.path.format(**parts) for route in routes}


def test_no_address_shows_it_to_the_public_and_its_audience_finds_it_where_it_belongs(world: World) -> None:
    query = {"persona": "runa", "model": MODEL, "q": "regatta"}
    thread = world.post("/v1/threads", "connections", persona="runa").json()["id"]
    of_its_audience(world.ask("connections", thread=thread))
    draft = world.post("/v1/drafts", "connections", persona="runa", text=TEXT, title="Regatta").json()["id"]
    shown = {}
    for route, path in paths(world, thread, draft).items():
        for who in world.bearer:
            found = world.get(path, who, **query)
            assert found.status_code in (200, 403, 404, 503), (route, found.text)
            if CANARY in found.text:
                shown.setdefault(route, set()).add(who)
    others = {"connections", "private", "page"}
    assert shown == {
        "/v1/library": others,
        "/v1/threads/{thread_id}": {"connections"},  # their own
        "/v1/threads/{thread_id}/export": {"connections"},
        "/v1/drafts/{draft_id}": {"connections"},  # their own too
        "/v1/drafts/export": {"connections"},
        "/ui/api/{persona}/uploads/{upload}": {"private", "page"},
        "/ui/api/{persona}/documents": others,
        "/ui/api/{persona}/documents/{doc_id}": others,
        "/ui/api/{persona}/datasets/{kind}/{version}/rows": others,
        "/ui/api/{persona}/feedback-pairs": others,
        "/ui/api/{persona}/monitoring": others,
        "/ui/api/{persona}/review": others,
        "/ui/api/{persona}/report": others,
    }


def test_a_closed_document_is_for_the_public_as_if_it_were_not_there(world: World) -> None:
    found = world.get("/ui/api/runa/documents", "public").json()
    assert (found["found"], found["all"], found["audience"]) == (1, 1, "public")
    assert [d["visibility"] for d in world.get("/ui/api/runa/documents", "page").json()["documents"]] == [
        "connections",
        "public",
    ]
    closed, missing = (world.get(f"/ui/api/runa/documents/{i}", "public") for i in ("doc-closed", "doc-none"))
    assert (closed.status_code, missing.status_code) == (404, 404)
    assert closed.json()["error"]["fix"] == missing.json()["error"]["fix"]
    assert world.get(f"/ui/api/runa/datasets/instruct/{world.dataset}/rows", "public").json()["all"] == 1
    assert world.get("/ui/api/runa/report", "public", model=MODEL).json()["error"]["type"] == "Forbidden"


def test_a_closed_page_of_the_library_can_not_be_taken_out_by_who_may_not_see_it(world: World) -> None:
    [entry] = world.get("/v1/library", "connections", persona="runa").json()
    gone = {"persona": "runa", "doc_id": entry["doc_id"]}
    refused = world.server.client.delete("/v1/library", params=gone, headers=world.bearer["public"])
    assert refused.status_code == 404
    assert CANARY not in refused.text
    assert len(world.get("/v1/library", "connections", persona="runa").json()) == 1


def test_the_log_says_how_closed_an_answer_is(world: World) -> None:
    rows = {r.request_id: r for r in read_requests(world.server.answers.lake, "runa")}
    assert {r.visibility for r in rows.values() if "doc-closed" in r.retrieved} == {"connections"}


def test_without_keys_this_machine_is_the_public_unless_a_setting_says_otherwise(tmp_path: Path) -> None:
    answers = {}
    for audience in ("public", "private"):
        with EngineDouble() as engine:
            settings = install(tmp_path / audience, engine.url, local_audience=audience)
            with serving(settings) as server:
                fill(settings, server.answers.lake)
                answers[audience] = server.ask(QUESTION).json()["citations"]
    assert CANARY not in str(answers["public"])
    assert CANARY in str(answers["private"])


def test_whoever_reaches_an_open_service_is_the_public(tmp_path: Path) -> None:
    with EngineDouble() as engine:
        settings = install(tmp_path, engine.url, allow_anonymous=True, local_audience="private")
        with serving(settings) as server:
            fill(settings, server.answers.lake)
            assert CANARY not in str(server.ask(QUESTION).json()["citations"])


def test_a_key_from_before_audiences_is_good_for_the_public_only(world: World) -> None:
    keys = Keys(world.server.answers.lake)
    token, key = keys.create("old", ["runa"], ["chat"], audience="private")
    stored = key.model_dump_json(exclude={"audience"}).encode()
    world.server.answers.lake.write(f"access/keys/{key.id}.json", stored)
    time.sleep(2.1)  # the server looks again after two seconds
    old = {"Authorization": f"Bearer {token}"}
    body = {"model": "runa", "messages": [{"role": "user", "content": QUESTION}]}
    answer = world.server.client.post("/v1/chat/completions", json=body, headers=old)
    assert answer.status_code == 200
    assert "doc-closed" not in answer.text

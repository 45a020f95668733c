"""Drafts over HTTP: kept for whoever may write, told when another was first, and never anybody else's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.keys import Keys
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, install, serving, twin
from twin_assets.core.feedback.pairs import stored_pairs
from twin_assets.monitoring.erasure import erase

MINE = "The tide table for Stenna was a day old, and I wrote that down before anybody had to ask me about it."


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any]]]:
    with twin(tmp_path_factory.mktemp("home")) as (server, engine):
        keys = Keys(server.answers.lake)
        engine.says = (
            "In conclusion, robust tide tables are a key enabler of operational excellence for everyone."
        )
        scopes: dict[str, Any] = {"ann": ["write", "feedback"], "bob": ["write"], "cyd": ["chat", "read"]}
        clients = {}
        for name, actions in scopes.items():
            token, _ = keys.create(name, ["runa"], actions)
            clients[name] = httpx.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
            )
        yield server, clients
        for client in clients.values():
            client.close()


def begin(client: httpx.Client, **given: Any) -> Any:
    answer = client.post("/v1/drafts", json={"persona": "runa", "text": "One. Two."} | given)
    assert answer.status_code == 201, answer.text
    return answer.json()


def save(client: httpx.Client, draft: Any, **given: Any) -> httpx.Response:
    body = {"persona": "runa", "version": draft["version"]} | given
    return client.put(f"/v1/drafts/{draft['id']}", json=body)


def error(answer: httpx.Response) -> tuple[int, str]:
    told = answer.json()["error"]
    assert told["message"]
    assert told["fix"]
    return answer.status_code, told["type"]


def test_a_draft_s_way_from_the_twin_s_text_to_one_that_is_deleted(
    running: tuple[Server, dict[str, Any]],
) -> None:
    _, clients = running
    ann = clients["ann"]
    written = ann.post("/v1/write", json={"persona": "runa", "topic": "tide tables"}).json()
    citations = [
        {
            name: one[name]
            for name in ("number", "chunk_id", "doc_id", "url", "title", "start", "end", "quote")
        }
        for one in written["citations"]
    ]
    assert citations
    draft = begin(
        ann, text=written["text"], by="twin", request_id=written["request_id"], model=written["model"],
        citations=citations, kind="linkedin_post", title="Tides",
    )  # fmt: skip
    assert (draft["status"], draft["kind"], draft["versions"][0]["by"]) == ("draft", "linkedin_post", "twin")
    changed = save(ann, draft, text=MINE, status="ready").json()
    assert [v["by"] for v in changed["versions"]] == ["twin", "person"]
    assert [s["chunk_id"] for s in changed["versions"][0]["citations"]] == [s["chunk_id"] for s in citations]
    assert ann.get(f"/v1/drafts/{draft['id']}", params={"persona": "runa"}).json() == changed

    listed = ann.get("/v1/drafts", params={"persona": "runa", "status": "ready"}).json()
    [one] = [d for d in listed["drafts"] if d["id"] == draft["id"]]
    assert (one["version"], one["versions"], one["by"], one["characters"]) == (
        changed["version"],
        2,
        "person",
        len(MINE),
    )
    assert "text" not in one
    idea = ann.get("/v1/drafts", params={"persona": "runa", "status": "idea"}).json()
    assert draft["id"] not in {d["id"] for d in idea["drafts"]}
    exported = ann.get("/v1/drafts/export", params={"persona": "runa"})
    assert exported.headers["content-disposition"].startswith("attachment")
    assert changed in [json.loads(line) for line in exported.text.splitlines()]

    told = ann.post("/v1/drafts/difference", json={"old": written["text"], "new": MINE}).json()
    assert "".join(p["text"] for p in told["pieces"] if p["kind"] != "removed") == MINE
    assert 0 < told["changed_share"] <= 1
    # What the person made of it is learnt from by the route that takes edits, and in no other way.
    said = {"request_id": written["request_id"], "persona": "runa", "consent": True, "edited": MINE}
    assert stored_pairs(running[0].answers.lake, "runa").pairs == []
    assert ann.post("/v1/feedback", json=said).json() == {"status": "stored", "texts_kept": True}
    [pair] = stored_pairs(running[0].answers.lake, "runa").pairs
    assert (pair.chosen, pair.rejected) == (MINE, written["text"])

    assert ann.delete(f"/v1/drafts/{draft['id']}", params={"persona": "runa"}).json() == {
        "deleted": draft["id"]
    }
    assert error(ann.get(f"/v1/drafts/{draft['id']}", params={"persona": "runa"})) == (404, "Unknown")


def test_a_stale_save_is_told_so_and_neither_text_is_lost(running: tuple[Server, dict[str, Any]]) -> None:
    ann = running[1]["ann"]
    draft = begin(ann)
    first = save(ann, draft, text="One. Three.").json()
    for change in ({"text": "One. Four."}, {"title": "Mine"}, {"status": "published"}):
        assert error(save(ann, draft, **change)) == (409, "Overtaken")
    assert ann.get(f"/v1/drafts/{draft['id']}", params={"persona": "runa"}).json() == first
    last = save(ann, first, text="One. Four.").json()
    assert [v["text"] for v in last["versions"]] == ["One. Two.", "One. Three.", "One. Four."]


def test_drafts_are_for_who_may_write_and_each_has_their_own(running: tuple[Server, dict[str, Any]]) -> None:
    _, clients = running
    draft = begin(clients["ann"])
    where = {"persona": "runa"}
    assert clients["bob"].get("/v1/drafts", params=where).json()["drafts"] == []
    assert clients["bob"].get("/v1/drafts/export", params=where).text == ""
    for refused in (
        clients["bob"].get(f"/v1/drafts/{draft['id']}", params=where),
        save(clients["bob"], draft, text="theirs"),
        clients["bob"].delete(f"/v1/drafts/{draft['id']}", params=where),
    ):
        assert error(refused) == (404, "Unknown")
    assert error(clients["cyd"].get("/v1/drafts", params=where)) == (403, "Forbidden")
    assert error(clients["ann"].get("/v1/drafts", params={"persona": "ola"})) == (403, "Forbidden")
    with httpx.Client(base_url=running[0].url) as nobody:
        assert error(nobody.get("/v1/drafts", params=where)) == (401, "LoginNeeded")


@pytest.mark.parametrize(
    "given",
    [
        {"text": "", "title": " "}, {"text": "x" * 60_001}, {"title": "x" * 201}, {"status": "sent"}, {"by": "nobody"}, {"kind": "poem"},
        {"citations": [{"number": 1}]}, {"citations": [{"number": 1, "chunk_id": "a", "doc_id": "a", "url": "x" * 2001}]},
        {"citations": [{"number": 1, "chunk_id": "a", "doc_id": "a", "url": "x", "linked": 1}]}, {"request_id": "a b"},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_field(
    running: tuple[Server, dict[str, Any]], given: dict[str, Any]
) -> None:
    ann = running[1]["ann"]
    answer = ann.post("/v1/drafts", json={"persona": "runa", "text": "One."} | given)
    assert error(answer) == (422, "invalid_request_error")


def test_who_could_be_anybody_keeps_none_and_this_machine_goes_on_with_them_after_a_login(
    tmp_path: Path,
) -> None:
    with EngineDouble() as engine:
        settings = install(tmp_path, engine.url)
        with serving(settings) as server:
            draft = begin(server.client)
        where = {"persona": "runa"}
        with serving(settings.model_copy(update={"allow_anonymous": True})) as server:
            assert error(server.client.get("/v1/drafts", params=where)) == (403, "Forbidden")
            assert error(server.client.post("/v1/drafts", json=where | {"text": "One."})) == (
                403,
                "Forbidden",
            )
        secret = type(settings)(home=tmp_path, ui_password="open sesame").ui_password
        with serving(settings.model_copy(update={"ui_password": secret})) as server:
            server.client.headers["Authorization"] = "Bearer open sesame"
            [kept] = server.client.get("/v1/drafts", params=where).json()["drafts"]
            assert kept["id"] == draft["id"]
            lake = server.answers.lake
            assert erase(settings, lake, "runa", key="this machine").drafts == 1
            assert server.client.get("/v1/drafts", params=where).json()["drafts"] == []

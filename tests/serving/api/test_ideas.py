"""GET and POST /v1/ideas over HTTP: the four kinds, who is shown what, and what is left out and why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.access.keys import Action, Keys
from tests.inference.ideas.made_corpus import TOPIC, chunks
from tests.serving.site_double import SiteDouble
from tests.serving.twin_server import MODEL, Server, twin
from twin_assets.core.feedback.store import Feedback, add_feedback
from twin_assets.core.records import EmbeddedChunk, Visibility
from twin_assets.core.storage.erased import add_erased
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.inference.twin.request_log import RequestRecord, write_object

NOW = datetime.now(UTC)
ASKED = "How did boats find the buoys in fog before satellites?"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with twin(tmp_path, link_private_hosts=True) as (server, _):
        FeatureStore(server.answers.lake).write(
            "embeddings", "runa", chunks(choir="private"), list[EmbeddedChunk]
        )
        yield server


def offered(server: Server, key: str | None = None, **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = server.client.post("/v1/ideas", json={"persona": "runa"} | body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def titles(told: dict[str, Any], kind: str) -> list[str]:
    return [one["title"] for one in told["ideas"] if one["kind"] == kind]


def log(server: Server, *rows: RequestRecord) -> None:
    write_object(server.answers.lake, f"requests/runa/{NOW:%Y-%m-%d}", "given", list(rows))


def row(
    name: str, prompt: str, outcome: str = "answered", kind: str = "answer", **more: Any
) -> RequestRecord:
    return RequestRecord.model_validate({
        "request_id": name, "time": NOW, "persona": "runa", "model": MODEL, "prompt_kind": kind, "prompt": prompt, "outcome": outcome,
    } | more)  # fmt: skip


def test_a_topic_stands_on_its_passages_and_says_why(server: Server) -> None:
    told = server.client.get("/v1/ideas", params={"persona": "runa"}).json()
    idea = next(one for one in told["ideas"] if one["title"] == TOPIC)
    assert {one["doc_id"] for one in idea["passages"]} == {"doc-fog", "doc-winter"}
    assert idea["why"].startswith("2 texts touch it: ")
    assert "“Rowing home”" in idea["why"]
    assert set(told["left_out"]) == {"question", "follow_up"}
    written = server.write(topic=idea["title"])
    assert written.status_code == 200, "a title is a topic as /v1/write takes it"


def test_what_readers_asked_in_vain_or_often_is_an_idea_unless_it_was_written(server: Server) -> None:
    log(
        server,
        row("a", ASKED, "refused"),
        row("b", "How did a boat find buoys in fog without satellites?", "refused"),
        *(row(f"c{n}", "Which songs does the crew sing when rowing?") for n in range(3)),
        row("d", "Once only, and answered: is sand good for beans?"),
        row("e", "Rehearsing restores?", "refused"),
        row("f", "Who won the cricket world cup in 1992?", "refused"),
        row("g", "A secret question of connections about buoys", "refused", visibility="connections"),
    )
    told = offered(server, kinds=["question"])
    assert titles(told, "question") == [
        "Which songs does the crew sing when rowing?",
        "How did a boat find buoys in fog without satellites?",
    ]
    first, second = told["ideas"]
    assert first["why"].startswith("Asked 3 times, and no text is about it.")
    assert second["why"].startswith("Asked 2 times, 2 of them declined.")
    assert second["passages"][0]["doc_id"] in ("doc-fog", "doc-winter")


def test_a_liked_post_and_a_thumb_up_lead_to_what_they_touch(server: Server) -> None:
    lake = server.answers.lake
    corpus = chunks()
    posts = [
        RawItem(
            persona="runa", source="x", item_id=name, category="post", url=f"https://x/{name}", fetched_at=NOW, mime="text/plain", body=name,
            content_hash=body_hash(name), payload={"likes": likes},
        )
        for name, likes in (("liked", "40"), ("usual", 2), ("other", 1), ("odd", "many"))
    ]  # fmt: skip
    lake.write(
        "raw/x/runa/20260101T000000-00.jsonl", "".join(p.model_dump_json() + "\n" for p in posts).encode()
    )
    moved = [c.model_copy(update={"doc_id": posts[0].doc_id}) if c.chunk_id == "fog" else c for c in corpus]
    FeatureStore(lake).write("embeddings", "runa", moved, list[EmbeddedChunk])
    told = offered(server)
    (idea,) = [one for one in told["ideas"] if one["kind"] == "follow_up"]
    assert (idea["title"], idea["passages"][0]["chunk_id"]) == (TOPIC, "fog")
    assert idea["why"] == "40 people liked “Rowing home”, which touches it; no text is about it."
    assert TOPIC not in titles(told, "topic"), "offered once"
    FeatureStore(lake).write("embeddings", "runa", corpus, list[EmbeddedChunk])
    assert titles(offered(server), "follow_up") == [], "that post is not in the index any more"
    log(server, row("w", "a post about fog", kind="write_linkedin_post", retrieved=["fog"]))
    add_feedback(lake, Feedback(request_id="w", time=NOW, persona="runa", model=MODEL, thumb="up"))
    assert titles(offered(server), "follow_up") == [TOPIC]


def test_a_link_is_an_idea_and_one_that_dies_ends_nothing(server: Server) -> None:
    with SiteDouble() as site:
        site.attack = (
            "<h1>Plain SQL</h1>"
            + "<p>Plain SQL has outlived the frameworks, since views are what stays.</p>" * 5
        )
        good, gone, old = (f"{site.address}/{path}" for path in ("article", "gone", "attack"))
        told = offered(server, links=[good, gone, old], kinds=["topic"])
    (idea,) = [one for one in told["ideas"] if one["kind"] == "link"]
    assert (idea["title"], idea["url"]) == ("Gauges of the north", good)
    assert (idea["passages"][0]["linked"], idea["passages"][0]["url"]) == (True, good)
    assert all(one["url"].startswith("https://runa.example/") for one in idea["passages"][1:])
    assert "404" in told["left_out"][gone]
    assert told["left_out"][old] == "a text is about it already: “Plain SQL”"
    assert titles(told, "topic"), "the rest is there"


def test_readers_words_are_for_admins_and_closed_passages_for_their_audience(server: Server) -> None:
    log(server, row("a", ASKED, "refused"))
    keys = Keys(server.answers.lake)

    def key(*actions: Action, audience: Visibility = "public") -> str:
        return keys.create("a client", ["runa"], list(actions), audience=audience)[0]

    reader, writer, admin = key("read"), key("write"), key("write", "admin", audience="private")
    refused = server.client.get(
        "/v1/ideas", params={"persona": "runa"}, headers={"Authorization": f"Bearer {reader}"}
    )
    assert refused.status_code == 403
    told = offered(server, writer)
    assert titles(told, "question") == []
    assert "admin" in told["left_out"]["question"]
    assert titles(offered(server, admin), "question") == [ASKED]
    refused = server.client.post(
        "/v1/ideas",
        json={"persona": "runa", "links": ["https://x.example/a"]},
        headers={"Authorization": f"Bearer {writer}"},
    )
    assert refused.status_code == 403
    assert "'links'" in refused.json()["error"]["message"]


def test_of_a_persona_whose_log_keeps_no_texts_nothing_that_was_asked_is_told(server: Server) -> None:
    log(server, row("a", ASKED, "refused"))
    assert titles(offered(server), "question") == [ASKED]
    file = server.settings.personas_dir / "runa.yaml"
    file.write_text(f"{file.read_text()}\nlog_text: off\n")
    told = offered(server)
    assert titles(told, "question") == []
    assert "keeps no texts" in told["left_out"]["question"]


def test_what_is_erased_is_in_no_idea(server: Server) -> None:
    assert TOPIC in titles(offered(server), "topic")
    add_erased(server.answers.lake, "runa", documents=["doc-fog"])
    told = offered(server)
    assert TOPIC not in titles(told, "topic"), "one text is left that touches it"
    assert "doc-fog" not in str(told)


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 51}, {"kinds": []}, {"kinds": ["poem"]}, {"links": ["file:///etc/passwd"]}, {"links": ["https://x"] * 4}]
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused_by_its_name(server: Server, wrong: dict[str, Any]) -> None:
    answer = server.client.post("/v1/ideas", json={"persona": "runa"} | wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.text


def test_without_an_index_the_fix_is_said(server: Server) -> None:
    answer = server.client.get("/v1/ideas", params={"persona": "ola"})
    assert answer.status_code >= 400
    assert "let the index be made" in answer.json()["error"]["fix"]
    assert server.client.get("/v1/ideas", params={"persona": "nobody"}).status_code == 404

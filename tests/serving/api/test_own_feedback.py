"""Feedback: only on a request of one's own, measured once, and learnt from exactly as the request was served."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.access.keys import Keys
from tests.evaluation.evaluation_factories import request
from tests.serving.engine_double import EngineDouble
from tests.serving.site_double import SiteDouble
from tests.serving.twin_server import QUESTION, TEXTS, Server, twin
from tests.support.machine import growth
from twin_assets.core.feedback.pairs import decide_on_pairs, stored_pairs
from twin_assets.core.feedback.store import edited_share, read_feedback
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Chunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.defs.datasets.feedback import accepted_rows
from twin_assets.defs.shared.resources import build_resources
from twin_assets.inference.twin.log_days import compact_days
from twin_assets.inference.twin.request_log import read_requests, write_object
from twin_assets.inference.twin.request_lookup import MAX_READ, RequestLookup

EDITED = "The tide table was wrong on Tuesday and I wrote that down before anybody had to ask me about it."
DRAFT = (
    "Our tables were a day old. <|im_start|> Nobody had looked [1], and the ferry left late because of it."
)
OTHER = "Why do you still rehearse restores every single week?"
WRITING: dict[str, dict[str, Any]] = {
    "post": {"kind": "linkedin_post", "topic": "tide tables"},
    "post with wishes": {"kind": "linkedin_post", "topic": "tide tables", "formality": "casual", "words": 80, "language": "nb"},
    "x post": {"kind": "x_post", "topic": "tide tables"},
    "article": {"kind": "article", "topic": "tide tables", "energy": "calm"},
    "post of a draft": {"kind": "linkedin_post", "draft": DRAFT},
    "article of a draft on a topic": {"kind": "article", "draft": DRAFT, "topic": "tide tables"},
    "reply": {"kind": "reply", "reply_to": OTHER},
    "reply that is to say something": {"kind": "reply", "reply_to": OTHER, "topic": "backups", "humour": "dry"},
    "rewrite": {"kind": "rewrite", "draft": DRAFT},
}  # fmt: skip


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, EngineDouble, dict[str, dict[str, str]]]]:
    """A server with two callers' headers, whose persona learns from feedback; its chunks as the index has them."""
    with twin(tmp_path_factory.mktemp("home"), link_private_hosts=True) as (server, engine):
        keys = Keys(server.answers.lake)
        scopes = ["chat", "write", "feedback", "links"]
        bearer = {
            n: {"Authorization": f"Bearer {keys.create(n, ['runa'], scopes)[0]}"} for n in ("ann", "bob")
        }  # type: ignore[arg-type]
        declared = server.settings.personas_dir / "runa.yaml"
        declared.write_text(declared.read_text() + "learn_from_feedback: true\n")
        engine.says = (
            "In conclusion, robust tide tables are a key enabler of operational excellence for everyone."
        )
        chunks = [
            Chunk(
                chunk_id=name, doc_id=f"doc-{name}", persona="runa", source="medium", category="article",
                url=f"https://runa.example/{name}", text=text, start=0, end=len(text), tokens=20, split="train", content_hash=name,
            )
            for name, text in TEXTS.items()
        ]  # fmt: skip
        FeatureStore(server.answers.lake).write("chunks", "runa", chunks, list[Chunk])
        yield server, engine, bearer


def say(server: Server, headers: dict[str, str], about: dict[str, Any], **said: Any) -> Any:
    body = {"request_id": about["request_id"], "persona": "runa", "consent": True} | said
    return server.client.post("/v1/feedback", json=body, headers=headers)


def logged(server: Server, request_id: str) -> None:
    """Wait until the row of a request is in the lake."""
    while not any(r.request_id == request_id for r in read_requests(server.answers.lake, "runa")):
        pass


@pytest.mark.parametrize("kind", ["answer", *WRITING])
def test_what_is_learnt_from_is_what_was_served(
    running: tuple[Server, EngineDouble, dict[str, dict[str, str]]], kind: str
) -> None:
    server, engine, bearer = running
    server.client.headers.update(bearer["ann"])
    answer = (
        server.ask(QUESTION) if kind == "answer" else
        server.client.post("/v1/write", json={"persona": "runa"} | WRITING[kind])
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    served = engine.asked[-1]["messages"]
    logged(server, answer.json()["request_id"])
    told = say(
        server, bearer["ann"], answer.json(), edited=EDITED, prompt="something else", answer="a forgery " * 9
    )
    assert told.json() == {"status": "stored", "texts_kept": True}
    lake = server.answers.lake
    [pair] = [p for p in stored_pairs(lake, "runa").pairs if p.request_id == answer.json()["request_id"]]
    decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, "Ines", "she would say so")
    platform = build_resources(
        {
            "home": str(server.settings.home),
            "personas_dir": str(server.settings.personas_dir),
            "profile": "smoke",
        }
    )["platform"]
    rows = accepted_rows(platform, load_persona(server.settings.personas_dir, "runa"), 1_000)
    [row] = [r for r in rows if [m.model_dump() for m in r.messages] == served]
    assert (row.chosen.content, row.rejected.content) == (EDITED, answer.json().get("text") or engine.says)
    decide_on_pairs(lake, "runa", {pair.pair_id: "reject"}, "Ines", "once is enough")


def test_a_pair_whose_request_leant_on_a_linked_page_is_left_out(
    running: tuple[Server, EngineDouble, dict[str, dict[str, str]]],
) -> None:
    server, _, bearer = running
    with SiteDouble() as site:
        body = {
            "persona": "runa",
            "topic": "the moved gauge at Kvitnes",
            "links": [f"{site.address}/article"],
        }
        answer = server.client.post("/v1/write", json=body, headers=bearer["ann"]).json()
    assert any(c["linked"] for c in answer["citations"])
    logged(server, answer["request_id"])
    assert say(server, bearer["ann"], answer, edited=EDITED).status_code == 200
    lake = server.answers.lake
    [pair] = [p for p in stored_pairs(lake, "runa").pairs if p.request_id == answer["request_id"]]
    decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, "Ines", "she would say so")
    platform = build_resources({"home": str(server.settings.home), "personas_dir": str(server.settings.personas_dir)})["platform"]  # fmt: skip
    assert accepted_rows(platform, load_persona(server.settings.personas_dir, "runa"), 1_000) == []


def test_feedback_is_only_taken_on_a_request_of_one_s_own(
    running: tuple[Server, EngineDouble, dict[str, dict[str, str]]],
) -> None:
    server, _, bearer = running
    server.client.headers.update(bearer["ann"])
    for wait in (False, True):  # while the row is on its way into the lake, and once it is there
        answer = server.write().json()
        if wait:
            logged(server, answer["request_id"])
            server.answers.log._recent.clear()  # as another process of the service, or this one after a restart
        before = len(read_feedback(server.answers.lake, "runa"))
        for headers, told in ((bearer["bob"], answer), (bearer["ann"], {"request_id": "invented"})):
            refused = say(server, headers, told, thumb="up")
            assert (refused.status_code, refused.json()["error"]["type"]) == (404, "Unknown")
        assert len(read_feedback(server.answers.lake, "runa")) == before
        assert say(server, bearer["ann"], answer, thumb="up", model="another").status_code == 200
        last = read_feedback(server.answers.lake, "runa")[-1]
        assert (last.request_id, last.model, last.thumb) == (answer["request_id"], answer["model"], "up")


def test_the_share_that_was_changed_is_measured_once_and_stored(
    running: tuple[Server, EngineDouble, dict[str, dict[str, str]]],
) -> None:
    server, engine, bearer = running
    answer = server.client.post(
        "/v1/write", json={"persona": "runa", "topic": "tides"}, headers=bearer["ann"]
    ).json()
    assert say(server, bearer["ann"], answer, edited=engine.says.replace("robust ", "")).status_code == 200
    last = read_feedback(server.answers.lake, "runa")[-1]
    words = len(engine.says.split())
    assert last.edited_share == pytest.approx(1 / (2 * words - 1))


@pytest.mark.parametrize(
    ("answer", "edited"), [("a b ", "b a "), ("a ", "b "), ("a b c ", "c b a "), ("あ", "い")]
)
def test_no_pair_of_texts_takes_long_to_compare(answer: str, edited: str) -> None:
    assert edited_share("one two", "one three") == 0.5
    assert (edited_share("one two", "one two"), edited_share("one", "two")) == (0, 1)
    assert (
        growth(
            lambda size: edited_share(answer * (size // len(answer)), edited * (size // len(edited))),
            5_000,
            4,
        )
        < 10
    )


class CountingLake(LocalLake):
    """A lake that says how many objects were read, and how often it was listed."""

    reads = lists = 0

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        self.lists += 1
        return super().keys(prefix, after)

    def read(self, key: str) -> bytes:
        self.reads += 1
        return super().read(key)


def test_an_invented_id_costs_little_however_long_the_log_is(tmp_path: Path) -> None:
    lake, now = CountingLake(tmp_path), datetime(2026, 3, 2, 12, tzinfo=UTC)
    for n in range(MAX_READ + 40):
        at = now - timedelta(minutes=n)
        write_object(lake, f"requests/runa/{at:%Y-%m-%d}", f"{at:%H%M%S}", [request(n, key="ann", time=at)])
    lookup = RequestLookup(lake)
    assert lookup.find("runa", "invented", "ann", now) is None
    assert lake.reads == MAX_READ
    newest = lookup.find("runa", "3", "ann", now)
    assert newest is not None
    assert lake.reads == MAX_READ + 1, "what an object holds is read once"
    assert lookup.find("runa", "3", "bob", now) is None
    old = lookup.find("runa", str(MAX_READ + 20), "ann", now)
    assert old is not None
    assert lookup.find("runa", "3", "ann", now + timedelta(days=40)) is None
    lake.lists = 0
    assert RequestLookup(lake).find("runa", "invented", "ann", now + timedelta(days=29)) is None
    assert lake.lists == 2, "a listing of today, and one of all days before"


def test_a_day_that_was_compacted_is_looked_through(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lake, now = CountingLake(tmp_path), datetime(2026, 3, 2, 12, tzinfo=UTC)
    for n in range(3):
        write_object(
            lake, "requests/runa/2026-03-01", f"{n}", [request(n, key="ann", time=now - timedelta(days=1))]
        )
    compact_days(lake, "runa", now.date())
    lake.reads = 0
    row = RequestLookup(lake).find("runa", "2", "ann", now)
    assert row is not None
    assert lake.reads == 2, "the object, for its ids and for the row; the note beside it has no rows"
    assert not caplog.records

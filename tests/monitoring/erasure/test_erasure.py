"""Requests that are erased leave the log, the scores, the feedback; old texts go and counts stay."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.evaluation.evaluation_factories import request
from tests.monitoring.scores.test_live_scores import log, scorer
from tests.support.machine import free_port
from twin_assets.core.errors import TwinError
from twin_assets.core.feedback.store import Feedback, add_feedback, read_feedback
from twin_assets.core.persona.definition import TextPolicy, load_persona
from twin_assets.core.storage.erased import unfinished
from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.storage.library import add_to_library, library_of
from twin_assets.inference.twin.answer import Citation
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import read_requests, user_hash
from twin_assets.inference.twin.threads import Threads, ThreadTurn
from twin_assets.monitoring.erasure import Erased, erase, erase_document, finish_erasures, remove_texts
from twin_assets.monitoring.scores.live_scores import score_new
from twin_assets.monitoring.scores.scored import read_scored
from twin_assets.settings import ROOT, Settings

ANN = user_hash("key1", "ann@example.org")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path)
    lake = LocalLake(found.lake_dir)
    log(lake, "a", request(0, key="key1", user=ANN), request(1, key="key1"), request(2, key="key2"))
    log(lake, "b", request(3, key="key1", user=ANN))
    score_new(lake, scorer())
    for number in range(4):
        at = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(minutes=number)
        add_feedback(lake, Feedback(request_id=str(number), time=at, persona="runa", model="m", thumb="up"))
    return found


def left(settings: Settings) -> set[tuple[str, ...]]:
    """Ids in the log, in the scores and in the feedback; one set where they agree."""
    lake = LocalLake(settings.lake_dir)
    kept = (read_requests(lake, "runa"), read_scored(lake, "runa"), read_feedback(lake, "runa"))
    return {tuple(sorted(row.request_id for row in rows)) for rows in kept}


def test_a_request_goes_from_everywhere_and_nothing_else_does(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    assert erase(settings, lake, "runa", request_id="2") == Erased(
        requests=1, scores=1, feedback=1, warehouse=0
    )
    assert left(settings) == {("0", "1", "3")}
    assert not [key for key in lake.keys("requests") if key.endswith("/a.jsonl")], "its object is gone"
    assert erase(settings, lake, "runa", request_id="2") == Erased(
        requests=0, scores=0, feedback=0, warehouse=0
    )


def test_a_user_and_a_key_go_with_all_their_requests(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    assert erase(settings, lake, "runa", user=ANN).requests == 2
    assert left(settings) == {("1", "2")}
    assert erase(settings, lake, "runa", key="key1").requests == 1
    assert left(settings) == {("2",)}
    with pytest.raises(TwinError, match="whose requests"):
        erase(settings, lake, "runa")


def test_an_erasure_that_was_interrupted_is_finished_by_asking_again(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    before = {key: lake.read(key) for key in lake.keys("requests")}
    erase(settings, lake, "runa", user=ANN)
    for key, data in before.items():  # it was killed between writing new objects and deleting the old ones
        lake.write(key, data)
    assert sorted({r.request_id for r in read_requests(lake, "runa")}) == ["1", "2"]
    erase(settings, lake, "runa", user=ANN)
    assert ANN.encode() not in b"".join(lake.read(key) for key in lake.keys("requests"))
    score_new(lake, scorer(), since=date(2026, 1, 1))
    assert sorted({r.request_id for r in read_requests(lake, "runa")}) == ["1", "2"]
    assert [r.request_id for r in read_scored(lake, "runa")] == ["1", "2"]


def test_old_texts_go_and_counts_stay(tmp_path: Path) -> None:
    lake, texts = LocalLake(tmp_path), {"prompt": "Who am I?", "answer": "Ann."}
    log(lake, "old", request(0, **texts), request(1, **texts))
    log(lake, "new", request(2, time=datetime(2026, 3, 1, tzinfo=UTC), **texts))
    today = date(2026, 3, 2)
    assert remove_texts(lake, "runa", 30, today) == 2
    rows = {r.request_id: r for r in read_requests(lake, "runa")}
    assert [rows[n].answer for n in "012"] == [None, None, "Ann."]
    assert (rows["0"].tokens_in, rows["0"].prompt) == (100, None)
    keys = list(lake.keys("requests"))
    assert remove_texts(lake, "runa", 30, today) == 0
    assert list(lake.keys("requests")) == keys


@pytest.mark.parametrize(
    ("policy", "prompt", "answer"),
    [
        ("kept", "I am ann@ferries.dk", "Hello ann@ferries.dk"),
        ("masked", "I am [e-mail]", "Hello [e-mail]"),
        ("off", None, None),
    ],
)
def test_texts_are_kept_masked_or_left_out_and_leaks_are_counted_all_the_same(
    tmp_path: Path, policy: TextPolicy, prompt: str | None, answer: str | None
) -> None:
    lake = LocalLake(tmp_path)
    log_ = RequestLog(lake)
    log_.append(request(0, prompt="I am ann@ferries.dk", answer="Hello ann@ferries.dk"), policy)
    log_.close()
    (row,) = read_requests(lake, "runa")
    assert (row.prompt, row.answer, row.personal_data) == (prompt, answer, 1)
    assert scorer().score([row], {})[0].personal_data == 1


def test_an_erased_document_leaves_kept_threads_and_what_was_said_of_others_stays(tmp_path: Path) -> None:
    lake, persona = LocalLake(tmp_path / "lake"), load_persona(ROOT / "personas", "runa")
    text = "The quokka paper says that a pier moves by eleven centimetres between a neap and a spring tide."
    gone = add_to_library(lake, persona, "https://x.example/paper", text)
    rope = add_to_library(lake, persona, "https://x.example/rope", "A page about rope, and nothing else.")

    def cited(doc_id: str, quote: str) -> Citation:
        return Citation(number=1, chunk_id="c", doc_id=doc_id, url="https://x.example", title=None, start=0, end=9, quote=quote, score=1)  # fmt: skip

    threads = Threads(lake, persona, "page")
    thread = threads.begin(f"On this: {text}").id
    said = {"model": "m", "outcome": "answered", "key": "page"}
    for name, answer, quoted in (("quotes", f"It is so: {text}", rope.doc_id), ("cites", "It moves.", gone.doc_id), ("other", "Of rope.", rope.doc_id)):  # fmt: skip
        passage = cited(quoted, text if quoted == gone.doc_id else "A page about rope")
        turn = ThreadTurn.model_validate(said | {"request_id": name, "time": datetime.now(UTC), "prompt": "Why?", "answer": answer, "citations": [passage]})  # fmt: skip
        assert threads.add(thread, turn)
    assert erase_document(Settings(home=tmp_path), lake, "runa", gone.doc_id).places["threads"] == 3
    left = threads.open(thread)
    assert left.title == "Untitled"
    assert [(one.prompt, one.answer, [c.doc_id for c in one.citations or ()]) for one in left.exchanges] == [
        (None, None, []), ("Why?", "It moves.", []), ("Why?", "Of rope.", [rope.doc_id]),
    ]  # fmt: skip
    assert not any(b"quokka" in lake.read(key) for key in lake.keys("threads"))


def test_a_document_whose_index_does_not_answer_is_seen_by_nobody_and_erased_by_the_hourly_run(
    tmp_path: Path,
) -> None:
    lake, persona = LocalLake(tmp_path / "lake"), load_persona(ROOT / "personas", "runa")
    text = "The quokka paper says that a pier moves by eleven centimetres between a neap and a spring tide."
    gone = add_to_library(lake, persona, "https://x.example/paper", text)
    kept = add_to_library(
        lake, persona, "https://x.example/rope", "A page about rope, and about nothing else at all."
    )
    lake.write("reports/runa/m.json", f'["{text}", "stays"]'.encode())
    down = Settings(
        home=tmp_path, vector_store="weaviate", weaviate_url=f"http://127.0.0.1:{free_port()}", weaviate_grpc_port=free_port()
    )  # fmt: skip
    told = erase_document(down, lake, "runa", gone.doc_id)
    assert (told.places["index"], told.places["raw"], told.places["reports"]) == (None, None, 1)
    assert set(library_of(lake, "runa")) == {kept.doc_id}
    assert len(unfinished(lake, "runa")) == 1
    assert finish_erasures(down, lake, "runa") == 0
    assert "quokka" in "".join(lake.read(key).decode() for key in lake.keys("raw"))

    assert finish_erasures(Settings(home=tmp_path), lake, "runa") == 1
    assert "quokka" not in "".join(lake.read(key).decode() for key in lake.keys(""))
    assert unfinished(lake, "runa") == {}
    assert set(library_of(lake, "runa")) == {kept.doc_id}
    assert b"stays" in lake.read("reports/runa/m.json")

"""Kept threads go: after their days, and with the requests, callers and documents that are erased."""

from datetime import UTC, datetime, timedelta

from serving.access.keys import Keys
from tests.serving.talks.kept_threads import (
    OFF_TOPIC,
    Running,
    a_turn,
    ask,
    begin,
    kept_files,
    listed,
    opened,
)
from tests.serving.twin_server import TEXTS
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.erased import add_erased, erased_list
from twin_assets.inference.twin.threads import Threads, removal


def test_threads_go_after_their_days_without_a_turn(running: Running) -> None:
    server = running.server
    persona, lake = load_persona(server.settings.personas_dir, "runa"), server.answers.lake
    now = datetime.now(UTC)
    past = Threads(lake, persona, "page", now=now - timedelta(days=31))
    unused, used = past.begin("Unused").id, past.begin("Used").id
    turn = a_turn(time=now - timedelta(days=2))
    old = a_turn("o", now - timedelta(days=31))
    assert past.add(used, turn)
    assert past.add(used, old)
    today = Threads(lake, persona, "page", now=now)
    assert [one.id for one in today.page(10).threads] == [used]
    assert removal.sweep(lake, "runa", 30, now) == 1
    assert not any(unused in file for file in kept_files(server))
    assert len(today.open(used).exchanges) == 2
    assert removal.remove_turns(lake, "runa", now - timedelta(days=30)) == 1
    assert [one.request_id for one in today.open(used).exchanges] == ["r"]
    assert removal.remove_turns(lake, "runa", now) == 1
    assert kept_files(server) == []


def test_an_erasure_takes_requests_users_and_callers_out_of_threads(running: Running) -> None:
    server, _, ann, bob = running
    lake, key = server.answers.lake, next(k.id for k in Keys(server.answers.lake).all() if k.name == "ann")
    mine, cleo, bobs = (
        begin(ann, title="Of ann"),
        begin(ann, title="Of cleo", user="cleo"),
        begin(bob, title="Of bob"),
    )
    first = ask(ann, mine).json()["request_id"]
    ask(ann, mine, OFF_TOPIC)
    ask(ann, cleo, user="cleo")
    ask(bob, bobs)
    server.answers.log.close()

    def erase(**what: str) -> int:
        answer = ann.delete("/v1/requests", params={"persona": "runa"} | what)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["threads"])

    assert erase(request_id=first) == 1
    assert [one["prompt"] for one in opened(ann, mine).json()["exchanges"]] == [OFF_TOPIC]
    assert erase(key=key, user="cleo") == 2  # the turn and the title
    assert opened(ann, cleo, user="cleo").status_code == 404
    assert opened(ann, mine).status_code == 200
    assert erase(key=key) == 2
    assert listed(ann)["threads"] == []
    assert {file.split("/")[-2] for file in kept_files(server)} == {bobs}
    # A turn that is on its way while its request is erased does not stay.
    threads = Threads(lake, load_persona(server.settings.personas_dir, "runa"), "page")
    late = threads.begin()
    add_erased(lake, "runa", requests=["late"])
    turn = a_turn("late")
    assert threads.add(late.id, turn) is False
    assert threads.open(late.id).exchanges == []


def test_an_erased_document_leaves_no_passage_in_a_thread(running: Running) -> None:
    server, _, ann, _ = running
    thread = begin(ann)
    ask(ann, thread)
    words = " ".join(TEXTS["tides"].split()[:6])
    assert any(words.encode() in server.answers.lake.read(file) for file in kept_files(server))
    add_erased(server.answers.lake, "runa", documents=["doc-tides"])
    [turn] = opened(ann, thread).json()["exchanges"]
    assert "doc-tides" not in {one["doc_id"] for one in turn["citations"]}
    assert ask(ann, thread).json()["thread_kept"] is True  # the index has it still
    assert removal.take_out(server.answers.lake, "runa", erased_list(server.answers.lake, "runa")) == 1
    assert not any(words.encode() in server.answers.lake.read(file) for file in kept_files(server))

"""Kept threads over HTTP: whose they are, what they hold, and that nothing of them is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.session import COOKIE
from tests.serving.talks.kept_threads import (
    OFF_TOPIC,
    Running,
    a_turn,
    ask,
    begin,
    declare,
    kept_files,
    listed,
    opened,
)
from tests.serving.twin_server import QUESTION, events, twin
from twin_assets.core.persona.definition import load_persona
from twin_assets.inference.twin.threads import Threads, kept, removal


def test_a_talk_is_kept_turn_by_turn_with_its_passages_and_refusals(running: Running) -> None:
    _, engine, ann, _ = running
    thread = begin(ann)
    first = ask(ann, thread).json()
    assert first["thread_kept"] is True
    streamed = events(ask(ann, thread, OFF_TOPIC, stream=True))
    assert (streamed[-1]["thread_kept"], streamed[-1]["outcome"]) == (True, "refused")
    whole = opened(ann, thread).json()
    answered, refused = whole["exchanges"]
    assert (answered["prompt"], answered["answer"], answered["outcome"]) == (
        QUESTION,
        engine.says,
        "answered",
    )
    assert (answered["request_id"], answered["citations"]) == (first["request_id"], first["citations"])
    assert (refused["prompt"], refused["outcome"], refused["citations"]) == (OFF_TOPIC, "refused", [])
    assert (whole["title"], whole["turns"]) == (QUESTION, 2)
    days = datetime.fromisoformat(whole["kept_until"]) - datetime.fromisoformat(whole["updated_at"])
    assert days == timedelta(days=30)
    assert ask(ann, None).json()["thread_kept"] is None


def test_threads_are_listed_by_their_last_turn_renamed_exported_and_deleted(running: Running) -> None:
    server, engine, ann, _ = running
    ids = [begin(ann, title=f"Talk {n}") for n in range(3)]
    ask(ann, ids[0])
    page = listed(ann, limit=2)
    assert [one["id"] for one in page["threads"]] == [ids[0], ids[2]]
    rest = listed(ann, limit=2, before=page["next"])
    assert ([one["id"] for one in rest["threads"]], rest["next"]) == ([ids[1]], None)
    renamed = ann.patch(
        f"/v1/threads/{ids[0]}", params={"persona": "runa"}, json={"title": "  Late\n tables "}
    )
    assert (renamed.status_code, renamed.json()["title"], renamed.json()["turns"]) == (200, "Late tables", 1)
    assert (
        ann.patch(f"/v1/threads/{ids[0]}", params={"persona": "runa"}, json={"title": " \n"}).status_code
        == 422
    )
    shown = opened(ann, ids[0]).json()
    assert shown["title"] == "Late tables"
    for format, ending in (("json", "json"), ("markdown", "md")):
        file = ann.get(f"/v1/threads/{ids[0]}/export", params={"persona": "runa", "format": format})
        assert file.headers["content-disposition"] == f'attachment; filename="thread-{ids[0]}.{ending}"'
        if format == "json":
            assert file.json() == shown
        else:
            assert file.text.startswith("# Late tables\n\nWith the twin of Runa, ")
            assert f"> {QUESTION}\n\n{engine.says}\n\n- [1] Post: https://runa.example/tides" in file.text
    assert ann.delete(f"/v1/threads/{ids[0]}", params={"persona": "runa"}).json() == {
        "status": "deleted",
        "id": ids[0],
    }
    assert opened(ann, ids[0]).status_code == 404
    assert not any(ids[0] in file for file in kept_files(server))
    gone = ask(ann, ids[0])
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "Unknown")


def test_nobody_else_sees_a_thread(running: Running) -> None:
    server, _, ann, bob = running
    thread = begin(ann, user="cleo@example.org")
    assert ask(ann, thread, user="cleo@example.org").status_code == 200
    before = {file: server.answers.lake.read(file) for file in kept_files(server)}
    page = {"Authorization": "Bearer open sesame"}
    others: list[tuple[httpx.Client, dict[str, Any]]] = [
        (bob, {}), (bob, {"user": "cleo@example.org"}), (ann, {}), (ann, {"user": "dora"}), (ann, {"persona": "ola", "user": "cleo@example.org"}),
        (httpx.Client(base_url=server.url, headers=page), {"user": "cleo@example.org"}),
    ]  # fmt: skip
    for client, query in others:
        assert listed(client, **query)["threads"] == []
        named = {"persona": "runa"} | query
        for answer in (
            opened(client, thread, **query),
            client.get(f"/v1/threads/{thread}/export", params=named),
            client.patch(f"/v1/threads/{thread}", params=named, json={"title": "Mine"}),
            client.delete(f"/v1/threads/{thread}", params=named),
            ask(client, thread, model=named["persona"], user=named.get("user")),
        ):
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "Unknown"), answer.text
    assert {file: server.answers.lake.read(file) for file in kept_files(server)} == before
    assert opened(ann, thread, user="cleo@example.org").json()["turns"] == 1
    never = "20260101T000000000000-0000000000000000"
    for wrong in ("%2E%2E", f"%2E%2E%2F-%2F{thread}", "x" * 300, "0" * 32, "99999999T999999999999-0000000000000000", never, "%00", "%FF"):  # fmt: skip
        assert opened(ann, wrong).status_code == 404, wrong


def test_the_page_s_login_keeps_threads_and_nobody_in_particular_does(
    running: Running, tmp_path: Path
) -> None:
    server = running.server
    with httpx.Client(base_url=server.url, headers={"X-Twin-UI": "1"}) as page:
        assert page.post("/ui/login", json={"password": "open sesame"}).status_code == 200
        assert COOKIE in page.cookies
        thread = begin(page)
        assert [one["id"] for one in listed(page)["threads"]] == [thread]
        assert [p["thread_days"] for p in page.get("/ui/api/start").json()["personas"]] == [30, 30]
        declare(server, "log_text_days: 7\n")
        assert [p["thread_days"] for p in page.get("/ui/api/start").json()["personas"]] == [30, 7]
    for how in ({}, {"allow_anonymous": True}):
        with twin(tmp_path / f"open{len(how)}", **how) as (open_server, _):
            refused = open_server.client.post("/v1/threads", json={"persona": "runa"})
            assert (refused.status_code, refused.json()["error"]["type"]) == (403, "Forbidden")
            assert "log in" in refused.json()["error"]["fix"]
            assert ask(open_server.client, "20260101T000000000000-0000000000000000").status_code == 403
            assert ask(open_server.client, None).status_code == 200
            assert kept_files(open_server) == []
            assert open_server.client.get("/ui/api/start").json()["personas"][1]["thread_days"] == 0


@pytest.mark.parametrize("line", ["thread_days: 0\n", "log_text: off\n"])
def test_where_a_persona_keeps_none_nothing_is_kept_or_shown(running: Running, line: str) -> None:
    server, _, ann, _ = running
    thread = begin(ann)
    ask(ann, thread)
    declare(server, line)
    for answer in (ann.post("/v1/threads", json={"persona": "runa"}), opened(ann, thread), ask(ann, thread)):
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "ThreadsNotKept")
        assert line.split(":")[0] in answer.json()["error"]["message"]
    assert ask(ann, None).status_code == 200
    persona = load_persona(server.settings.personas_dir, "runa")
    assert removal.sweep(server.answers.lake, "runa", persona.threads_kept_days, datetime.now(UTC)) == 1
    assert kept_files(server) == []


def test_what_is_kept_is_masked_where_the_persona_says_so(running: Running) -> None:
    server, _, ann, _ = running
    declare(server, "log_text: masked\n")
    thread = begin(ann, title="For cleo@ferries.no")
    ask(ann, thread, f"{QUESTION} Write to cleo@ferries.no.")
    whole = opened(ann, thread).json()
    assert (whole["title"], whole["exchanges"][0]["prompt"]) == (
        "For [e-mail]",
        f"{QUESTION} Write to [e-mail].",
    )
    assert not any(b"cleo" in server.answers.lake.read(file) for file in kept_files(server))


def test_two_tabs_that_write_one_thread_lose_no_turn(running: Running) -> None:
    _, _, ann, _ = running
    thread, both = begin(ann), threading.Barrier(4)

    def tab(number: int) -> list[str]:
        both.wait()
        questions = [f"{QUESTION} Tab {number}, {turn}." for turn in range(3)]
        assert all(ask(ann, thread, one).json()["thread_kept"] for one in questions)
        return questions

    with ThreadPoolExecutor(4) as tabs:
        asked = [question for questions in tabs.map(tab, range(4)) for question in questions]
    exchanges = opened(ann, thread).json()["exchanges"]
    assert sorted(one["prompt"] for one in exchanges) == sorted(asked)
    assert [one["time"] for one in exchanges] == sorted(one["time"] for one in exchanges)


def test_a_full_thread_says_so_before_it_answers_and_stays_whole(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, engine, ann, _ = running
    thread = begin(ann)
    ask(ann, thread)
    whole, asked = opened(ann, thread).json(), len(engine.asked)
    for bound, value in (("MOST_TURNS", 1), ("MOST_CHARACTERS", whole["characters"] + len(QUESTION) - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(kept, bound, value)
            full = ask(ann, thread)
            assert (full.status_code, full.json()["error"]["type"]) == (400, "ThreadFull")
            assert "stays as it is" in full.json()["error"]["message"]
            assert "new thread" in full.json()["error"]["fix"]
    assert len(engine.asked) == asked
    assert opened(ann, thread).json() == whole
    monkeypatch.setattr(kept, "MOST_THREADS", 1)
    assert ann.post("/v1/threads", json={"persona": "runa"}).json()["error"]["type"] == "ThreadFull"


def test_a_turn_whose_answer_breaks_off_is_kept_as_far_as_it_came(running: Running) -> None:
    _, engine, ann, _ = running
    thread = begin(ann)
    engine.fault = "busy"
    assert ask(ann, thread).status_code == 503
    engine.fault = "breaks off"
    assert "error" in events(ask(ann, thread, stream=True))[-1]
    busy, broken = opened(ann, thread).json()["exchanges"]
    assert (busy["prompt"], busy["answer"], busy["outcome"]) == (QUESTION, "", "failed")
    assert (broken["prompt"], broken["outcome"]) == (QUESTION, "failed")
    assert engine.says.startswith(broken["answer"])
    assert broken["answer"]


def test_an_answer_is_given_also_where_its_turn_can_t_be_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, engine, ann, _ = running
    thread = begin(ann)

    def full(*_: Any) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Threads, "add", full)
        answer = ask(ann, thread).json()
    assert (answer["choices"][0]["message"]["content"], answer["thread_kept"]) == (engine.says, False)
    threads = Threads(server.answers.lake, load_persona(server.settings.personas_dir, "runa"), "page")
    late = threads.begin()
    threads.delete(late.id)
    turn = a_turn()
    assert threads.add(late.id, turn) is False
    assert not any(late.id in file for file in kept_files(server))

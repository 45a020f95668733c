"""A talk over HTTP, as OpenAI's own client sends it: whole, turn after turn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.protocol import MAX_TALK_TURNS
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, events, twin
from twin_assets.core.feedback.store import read_feedback
from twin_assets.inference.twin.request_log import read_requests

Turn = dict[str, str]
FIRST = "Tell me about the tide table for Stenna."


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path) as (server, engine):
        yield server, engine


def asked(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def test_a_thread_of_openai_s_client_is_understood_turn_by_turn(running: tuple[Server, EngineDouble]) -> None:
    server, engine = running
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    thread: list[Any] = [asked("system", "Answer in French."), asked("user", FIRST)]
    first = client.chat.completions.create(model="runa", messages=thread)
    assert first.model_extra
    assert (
        first.model_extra["understood_as"],
        first.model_extra["turns_left_out"],
    ) == (None, 0)
    thread += [first.choices[0].message, asked("user", "Why was it old?")]
    second = client.chat.completions.create(model="runa", messages=thread)
    told = second.model_extra or {}
    assert told["understood_as"] == "Why was it old? (tide table Stenna)"
    assert (told["outcome"], told["citations"][0]["chunk_id"]) == ("answered", "tides")
    roles = [m["role"] for m in engine.asked[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    shown = [m["content"] for m in engine.asked[-1]["messages"]]
    assert "French" not in " ".join(shown), "the twin is told who it is by nobody else"
    assert (shown[1], shown[2]) == (FIRST, engine.says.removesuffix(" [1]"))
    assert shown[3].endswith("Question: Why was it old?")
    thread += [second.choices[0].message, asked("user", "Who won the football World Cup?")]
    third = client.chat.completions.create(model="runa", messages=thread)
    assert third.model_extra
    assert third.model_extra["outcome"] == "refused"
    assert third.model_extra["citations"] == []
    thread += [third.choices[0].message, asked("user", "And why was the tide table a day old?")]
    fourth = client.chat.completions.create(model="runa", messages=thread)
    assert fourth.model_extra
    assert fourth.model_extra["outcome"] == "answered"


def test_a_stream_says_what_was_understood_and_the_log_and_feedback_have_it(
    running: tuple[Server, EngineDouble],
) -> None:
    server, engine = running
    turns = [asked("user", FIRST), asked("assistant", engine.says), asked("user", "Why was it old?")]
    answer = server.client.post(
        "/v1/chat/completions", json={"model": "runa", "messages": turns, "stream": True}
    )
    last = events(answer)[-1]
    assert (last["understood_as"], last["turns_left_out"]) == ("Why was it old? (tide table Stenna)", 0)
    given = {
        "request_id": last["request_id"],
        "persona": "runa",
        "thumb": "up",
        "consent": True,
        "prompt": "Why was it old?",
    }
    assert server.client.post("/v1/feedback", json=given).status_code == 200
    server.answers.log.close()
    row = read_requests(server.answers.lake, "runa")[-1]
    assert (row.prompt, row.understood_as) == ("Why was it old?", "Why was it old? (tide table Stenna)")
    assert row.question == row.understood_as
    assert row.without_texts().understood_as is None
    assert row.steps_ms["condense"] >= 0
    [reaction] = read_feedback(server.answers.lake, "runa")
    assert reaction.prompt == row.understood_as, "it can be learnt from without the talk around it"


def test_a_thread_that_is_too_long_loses_its_oldest_turns_and_says_so(
    running: tuple[Server, EngineDouble],
) -> None:
    server, engine = running
    before = [
        asked(role, f"{role} {n} " + "word " * 200) for n in range(60) for role in ("user", "assistant")
    ]
    told = server.client.post(
        "/v1/chat/completions", json={"model": "runa", "messages": [*before, asked("user", FIRST)]}
    ).json()
    shown = engine.asked[-1]["messages"]
    assert told["turns_left_out"] == 60 - (len(shown) - 2) // 2 > 50
    assert shown[-2]["content"].startswith("assistant 59 word")
    assert shown[-1]["content"].endswith(FIRST)
    absurd = [asked("user", "Hello")] * (MAX_TALK_TURNS + 1)
    refused = server.client.post("/v1/chat/completions", json={"model": "runa", "messages": absurd})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "messages")
    assert f"at most {MAX_TALK_TURNS} items" in refused.json()["error"]["message"]
    long = server.client.post(
        "/v1/chat/completions", json={"model": "runa", "messages": [asked("user", "x" * 20_001)]}
    )
    assert long.status_code == 422


def test_a_declined_json_answer_may_be_sent_back_as_it_came(running: tuple[Server, EngineDouble]) -> None:
    server, _ = running
    refusal = {"role": "assistant", "content": None, "refusal": "I have nothing on it."}
    turns = [asked("user", "Who won the World Cup?"), refusal, asked("user", FIRST)]
    answer = server.client.post("/v1/chat/completions", json={"model": "runa", "messages": turns})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "answered")

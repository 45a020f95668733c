"""Engines that are not our own, by URL: what they are asked, and what becomes of their answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.serving.engine_double import SAYS, EngineDouble
from tests.serving.twin_server import events, install, serving, streamed_text, twin
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.inference.generation.remote import EngineUnavailable, RemoteGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.twin.request_log import read_requests

ASKED = [Message(role="user", content="When?")]


def test_vllm_takes_the_place_of_our_service_without_a_release(tmp_path: Path) -> None:
    with EngineDouble() as vllm:
        vllm.model = "ada-lora"
        settings = install(tmp_path, vllm.url, llm_model="ada-lora", llm_api_key="k-1")  # type: ignore[arg-type]
        with serving(settings) as server:
            assert [m["id"] for m in server.client.get("/v1/models").json()["data"]] == ["ola", "runa"]
            answer = server.ask(user="anna", temperature=0.3, max_tokens=50).json()
            assert (answer["choices"][0]["message"]["content"], answer["model"]) == (SAYS, "ada-lora")
            asked = vllm.asked[-1]
            assert {
                "model": "ada-lora",
                "user": "anna",
                "temperature": 0.3,
                "max_tokens": 50,
            }.items() <= asked.items()
            assert set(asked) == {"model", "messages", "max_tokens", "temperature", "seed", "user"}
            assert vllm.keys == {"Bearer k-1"}
            streamed = server.ask(stream=True)
            assert streamed_text(streamed).strip() == SAYS
            assert {e["model"] for e in events(streamed)} == {"ada-lora"}
            assert "user" not in vllm.asked[-1]


def test_a_stream_ends_with_its_tokens_when_that_is_asked_for(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _engine):
        told = events(server.ask(stream=True, stream_options={"include_usage": True}))
        assert told[-1]["usage"] == {"prompt_tokens": 90, "completion_tokens": 17, "total_tokens": 107}
        assert told[-1]["choices"] == []
        assert told[-2]["choices"][0]["finish_reason"] == "stop"
        assert not any("usage" in event for event in events(server.ask(stream=True)))
        server.answers.log.close()
        assert {(r.tokens_in, r.tokens_out) for r in read_requests(server.answers.lake, "runa")} == {(90, 17)}


class Odd(Loopback):
    """An engine that answers with whatever it was given."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        return self.answer


def sse(*events: Any) -> Answer:
    body = "".join(f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n" for e in events)
    return Answer(200, {"Content-Type": "text/event-stream"}, f": a comment\n\n{body}".encode())


def said(text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.json({"error": {"message": "too long"}}, 400), TwinError),
        (Answer.json({"detail": "no such model"}, 404), TwinError),
        (Answer.json({"error": {"message": "wrong key"}}, 401), EngineUnavailable),
        (Answer.json({"error": "overloaded"}, 503), EngineUnavailable),
        (Answer(502, {}, b"<html>bad gateway"), EngineUnavailable),
        (Answer(200, {}, b"<html>a portal"), EngineUnavailable),
        (Answer.json({"choices": []}), EngineUnavailable),
        (Answer.json([1]), EngineUnavailable),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_answer_is_an_error_that_names_the_engine(
    answer: Answer, kind: type[TwinError], stream: bool
) -> None:
    with Odd(answer) as engine:
        generator = RemoteGenerator(f"{engine.address}/v1", "m")
        with pytest.raises(TwinError, match=engine.address) as error:
            list(generator.stream(ASKED, Sampling(5))) if stream else generator.generate([ASKED], Sampling(5))
        assert type(error.value) is kind


def test_a_stream_must_end_as_the_protocol_says() -> None:
    whole = [
        said("a"),
        said(None, "length"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    ]
    with Odd(sse(*whole)) as engine:  # some engines send no [DONE]
        generator = RemoteGenerator(f"{engine.address}/v1", "m")
        assert list(generator.stream(ASKED, Sampling(5))) == ["a"]
        assert (generator.tokens, generator.finish_reason) == ((3, 1), "length")
        engine.answer = sse(said("a"))
        with pytest.raises(EngineUnavailable, match="middle"):
            list(generator.stream(ASKED, Sampling(5)))
        engine.answer = sse(said("a"), {"error": {"message": "out of memory"}}, "[DONE]")
        pieces = generator.stream(ASKED, Sampling(5))
        assert next(pieces) == "a"
        with pytest.raises(EngineUnavailable, match="out of memory"):
            next(pieces)

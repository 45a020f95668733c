"""`response_format` of the twin's chat completions: what reaches the engine, and what becomes of its JSON."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import QUESTION, events, install, serving, streamed_text, twin

SCHEMA: dict[str, Any] = {
    "type": "object", "properties": {"why": {"type": "string"}, "sure": {"type": "boolean"}}, "required": ["why", "sure"],
    "additionalProperties": False,
}  # fmt: skip
SAID = '{"why": "The clock was wrong. [1]", "sure": true}'
UNKNOWN = "Who won the Eurovision Song Contest in 1974?"


def wanting(schema: Any, **further: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reason", "schema": schema, **further}}


def test_a_schema_reaches_the_engine_as_it_was_and_its_answer_the_caller(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.says = SAID
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        messages: Any = [{"role": "user", "content": QUESTION}]
        asked: Any = {"model": "runa", "messages": messages, "response_format": wanting(SCHEMA, strict=True)}
        answer = client.chat.completions.create(**asked)
        assert answer.choices[0].message.content == SAID
        assert engine.asked[-1]["response_format"] == wanting(SCHEMA, strict=True)
        # In the caller's order: it is the order in which a model writes.
        assert list(engine.asked[-1]["response_format"]["json_schema"]["schema"]["properties"]) == [
            "why",
            "sure",
        ]
        pieces = [
            e.choices[0].delta.content or "" for e in client.chat.completions.create(**asked, stream=True)
        ]
        assert json.loads("".join(pieces)) == json.loads(SAID)
        client.chat.completions.create(
            model="runa", messages=messages, response_format={"type": "json_object"}
        )
        assert engine.asked[-1]["response_format"] == {"type": "json_object"}
        client.chat.completions.create(model="runa", messages=messages, response_format={"type": "text"})
        assert "response_format" not in engine.asked[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_images_go_from_values_and_the_answer_stays_json(stream: bool, tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.says = json.dumps(
            {"why": "See ![a](https://x.example/?q=1)", "notes": ["![", "](https://x.example/2)", "\\u0021["]}
        )
        engine.says = engine.says.replace("See !", "See \\u0021")  # as JSON may spell it
        answer = server.ask(response_format={"type": "json_object"}, stream=stream)
        text = streamed_text(answer) if stream else answer.json()["choices"][0]["message"]["content"]
        assert json.loads(text) == {"why": "See a", "notes": ["[", "](https://x.example/2)", "\\u0021["]}


def test_what_can_not_be_kept_is_refused_by_name_before_an_engine_is_asked(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        deep: dict[str, Any] = {}
        for _ in range(40):
            deep = {"items": deep}
        for schema, named in (
            ({"type": "array", "uniqueItems": True}, "uniqueItems"),
            (deep, "levels deep"),
            ({"enum": ["x" * 20_000]}, "20000 are allowed"),
            ("a string", "schema"),
        ):
            for stream in (False, True):
                answer = server.ask(response_format=wanting(schema), stream=stream)
                told = answer.json()["error"]
                assert (answer.status_code, told["param"].split(".")[0]) == (422, "response_format")
                assert named in told["message"]
        assert engine.asked == []


def test_a_refusal_is_no_json_and_stands_where_openai_has_refusals(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        plain = server.ask(UNKNOWN).json()["choices"][0]["message"]
        assert set(plain) == {"role", "content"}
        wanted = wanting(SCHEMA)
        message = server.ask(UNKNOWN, response_format=wanted).json()["choices"][0]["message"]
        assert message == {"role": "assistant", "content": None, "refusal": plain["content"]}
        deltas = [
            e["choices"][0]["delta"] for e in events(server.ask(UNKNOWN, response_format=wanted, stream=True))
        ]
        assert "".join(delta.get("refusal", "") for delta in deltas) == plain["content"]
        assert not any(delta.get("content") for delta in deltas)
        assert engine.asked == []


def test_a_foreign_engine_says_itself_what_it_can_not_keep(tmp_path: Path) -> None:
    with EngineDouble() as engine:
        engine.says = "[1, 2]"
        with serving(install(tmp_path, engine.url, llm_model="gpt")) as server:
            wanted = wanting({"type": "array", "uniqueItems": True}, strict=True)
            assert server.ask(response_format=wanted).json()["choices"][0]["message"]["content"] == "[1, 2]"
            assert engine.asked[-1]["response_format"] == wanted


def test_a_fallback_that_writes_prose_is_none(tmp_path: Path) -> None:
    with EngineDouble() as engine, EngineDouble() as strong:
        given = {
            "fallback_model": "openai/strong-1",
            "fallback_url": strong.url,
            "fallback_api_key": "k-2",
            "llm_timeout": 5.0,
        }
        with serving(install(tmp_path, engine.url, **given)) as server:
            engine.stop()
            strong.says = SAID
            answer = server.ask(response_format=wanting(SCHEMA)).json()
            assert (answer["choices"][0]["message"]["content"], answer["degraded"]) == (SAID, ["fallback"])
            assert strong.asked[-1]["response_format"]["json_schema"]["schema"] == SCHEMA
            strong.says = "Since the clock was wrong."
            refused = server.ask(response_format=wanting(SCHEMA))
            assert (refused.status_code, "did not write JSON" in refused.text) == (503, True)

"""A reference model in the twin's stead: when the engine is down, or when that is wished beyond the corpus."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.engine_double import SAYS, EngineDouble
from tests.serving.twin_server import QUESTION, Server, events, install, serving, streamed_text, twin
from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.fallback import FallbackPolicy
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.settings import Settings

STRONG = "The import trusted a clock that was a day slow."
NAME = "openai/strong-1"
UNKNOWN = "Who won the Eurovision Song Contest in 1974?"


@contextmanager
def with_fallback(home: Path, **changes: Any) -> Iterator[tuple[Server, EngineDouble, EngineDouble]]:
    with EngineDouble() as engine, EngineDouble() as strong:
        strong.says, strong.model = STRONG, "strong-1"
        given = {
            "fallback_model": NAME,
            "fallback_url": strong.url,
            "fallback_api_key": "k-2",
            "llm_timeout": 5.0,
        }
        with serving(install(home, engine.url, **(given | changes))) as server:
            yield server, engine, strong


def test_it_writes_only_when_the_engine_is_down_and_says_so(tmp_path: Path) -> None:
    with with_fallback(tmp_path, fallback_price_in=1.0, fallback_price_out=10.0) as (server, engine, strong):
        assert (server.ask().json()["degraded"], strong.asked) == ([], [])
        engine.stop()
        answer = server.ask(seed=4)
        told = answer.json()
        assert (told["choices"][0]["message"]["content"], told["model"]) == (STRONG, NAME)
        assert (told["degraded"], answer.headers["x-twin-degraded"]) == (["fallback"], "fallback")
        assert told["citations"][0]["url"] == "https://runa.example/tides"
        assert "tide table for Stenna" in strong.prompt  # it gets the twin's own prompt
        assert strong.keys == {"Bearer k-2"}
        assert server.write().json()["model"] == NAME
        streamed = server.ask(stream=True, stream_options={"include_usage": True})
        assert streamed.headers["x-twin-degraded"] == "fallback"
        assert {e["model"] for e in events(streamed)} == {NAME}
        assert events(streamed)[-1]["usage"]["total_tokens"] == 107
        engine.start_again()
        assert server.ask().json()["model"] == "twin-runa-dpo:one"
        server.answers.log.close()
        rows = [
            (r.model, r.outcome, r.cost and round(r.cost, 6))
            for r in read_requests(server.answers.lake, "runa")
        ]
        assert rows.count((NAME, "answered", 260e-6)) == 3
        assert rows.count(("twin-runa-dpo:one", "answered", None)) == 2  # our own engine has no price set


def test_what_broke_off_in_the_middle_is_not_written_on_by_another(tmp_path: Path) -> None:
    with with_fallback(tmp_path) as (server, engine, strong):
        engine.fault = "breaks off"
        answer = server.ask(stream=True)
        assert SAYS.startswith(streamed_text(answer).strip())
        assert ("error" in events(answer)[-1], strong.asked) == (True, [])


def test_when_both_are_down_or_the_budget_is_spent_it_is_as_if_there_were_none(tmp_path: Path) -> None:
    prices = {"fallback_price_in": 1000.0, "fallback_price_out": 1000.0, "fallback_budget_usd": 0.1}
    with with_fallback(tmp_path, **prices) as (server, engine, strong):
        engine.stop()
        strong.fault = "busy"
        for stream in (False, True):
            assert (server.ask(stream=stream).status_code, len(strong.asked)) == (503, 1 + stream)
        strong.fault = ""
        assert server.ask().status_code == 200  # 107 tokens at 0.1 cents: the budget is spent
        refused = server.ask()
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "EngineUnavailable")
        assert "k-2" not in refused.text
        assert len(strong.asked) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_beyond_the_corpus_it_answers_only_where_that_is_wished(tmp_path: Path, stream: bool) -> None:
    with with_fallback(tmp_path / "off") as (server, _engine, strong):
        assert (server.ask(UNKNOWN).json()["outcome"], strong.asked) == ("refused", [])
    with with_fallback(tmp_path / "on", fallback_beyond=True) as (server, engine, strong):
        assert server.ask(QUESTION).json()["model"] == "twin-runa-dpo:one"
        asked = server.ask(UNKNOWN, stream=stream)
        told = events(asked)[-1] if stream else asked.json()
        assert (told["model"], told["degraded"], told["outcome"]) == (NAME, ["fallback"], "answered")
        assert told["citations"] == []
        assert (
            streamed_text(asked) if stream else told["choices"][0]["message"]["content"]
        ).strip() == STRONG
        assert len(engine.asked) == 1
        strong.stop()  # then the twin declines after all
        asked = server.ask(UNKNOWN, stream=stream)
        told = events(asked)[-1] if stream else asked.json()
        assert (told["outcome"], told["degraded"]) == ("refused", [])


def test_without_a_model_there_is_none_and_an_unknown_price_is_said_at_the_start(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.stop()
        assert server.ask().status_code == 503
    with pytest.raises(TwinError, match="TWIN_FALLBACK_PRICE_IN"):
        FallbackPolicy(Settings(fallback_model="acme/unheard-of"))

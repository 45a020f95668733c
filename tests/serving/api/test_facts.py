"""Answers that are held to their passages, over HTTP: what is given, what the log knows, what streams say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving.api.test_best_of import without_signs
from tests.serving.twin_server import TEXTS, Server, events, streamed_text, twin
from tests.support.machine import until
from twin_assets.inference.twin.request_log import read_requests

STALE = "Stenna's tide table was a day old."
FALSE = "The captain ate bananas from Ecuador in the cathedral of Seville."
ALL = {"quote": True, "check": True, "cite": True}


def let(home: Path, server: Server, answers: dict[str, Any]) -> None:
    """The persona's options; they count within a second."""
    file = home / "personas" / "runa.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"answers": answers}))
    until(lambda: server.ask().json()["checks"] is not None)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_quoted_checked_and_cited(tmp_path: Path, stream: bool) -> None:
    with twin(tmp_path) as (server, engine):
        engine.says = f"{STALE} {FALSE}"
        assert server.ask().json()["checks"] is None, "off unless it is wished"
        let(tmp_path, server, {"check": True, "cite": True})
        answer = server.ask(stream=stream)
        told = events(without_signs(answer))[-1] if stream else answer.json()
        text = streamed_text(without_signs(answer)) if stream else told["choices"][0]["message"]["content"]
        assert text == f"{STALE} [1]"
        assert told["checks"].items() >= {"claims": 2, "dropped": 1, "cited": 1, "declined": False}.items()
        assert told["citations"][0]["quote"] == TEXTS["tides"]
        let(tmp_path, server, ALL)
        assert until(lambda: quoted(server)).startswith(f"“{TEXTS['tides']}” [1]")
        server.answers.log.close()
        row = read_requests(server.answers.lake, "runa")[-1]
        assert row.checks is not None
        assert (row.checks.quoted, row.steps_ms["check"] > 0) == (True, True)


def quoted(server: Server) -> str:
    answer = server.ask().json()
    return str(answer["choices"][0]["message"]["content"]) if answer["checks"]["quoted"] else ""


def test_what_nothing_stays_of_is_declined_and_all_tokens_count(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        let(tmp_path, server, {"check": True})
        engine.says = FALSE
        whole = server.ask().json()
        assert (whole["outcome"], whole["citations"]) == ("refused", [])
        assert "tide table" in whole["choices"][0]["message"]["content"], "it says what it has nothing on"
        assert whole["usage"]["completion_tokens"] == 2 * 17, "the second draft too"
        streamed = without_signs(server.ask(stream=True))
        assert streamed_text(streamed) == whole["choices"][0]["message"]["content"]
        assert events(streamed)[-1]["outcome"] == "refused"
        server.answers.log.close()
        rows = read_requests(server.answers.lake, "runa")[-2:]
        assert [(r.outcome, r.tokens_out, r.checks and r.checks.declined) for r in rows] == [
            ("refused", 34, True)
        ] * 2


def test_a_strict_persona_declines_before_anything_is_written(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        let(tmp_path, server, {"strict": True})
        assert server.ask().json()["outcome"] == "answered"
        asked = len(engine.asked)
        near = "Does a backup taste of crab?"
        for stream in (False, True):
            answer = server.ask(near, stream=stream)
            told = events(without_signs(answer))[-1] if stream else answer.json()
            assert told["outcome"] == "refused"
            assert told["checks"] is None or told["checks"]["declined"]
        assert len(engine.asked) == asked


def test_writing_is_never_cut(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        let(tmp_path, server, ALL)
        engine.says = FALSE
        assert server.write().json()["text"] == FALSE


def test_our_service_is_told_of_another_repetition_penalty_and_a_strange_engine_is_not(
    tmp_path: Path,
) -> None:
    with twin(tmp_path) as (server, engine):
        server.ask(repetition_penalty=1.3)
        assert engine.asked[-1]["repetition_penalty"] == 1.3
        assert server.ask(repetition_penalty=9).json()["error"]["param"] == "repetition_penalty"
        server.write()
        assert "repetition_penalty" not in engine.asked[-1]

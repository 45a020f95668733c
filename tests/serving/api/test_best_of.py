"""The best of several texts: how they are asked for, what is told of them, and that all end with their reader."""

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import ValidationError

from serving.protocol import ALIVE, ChatRequest
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import events, install, serving, twin
from tests.support.machine import PATIENCE, until
from twin_assets.inference.twin.request_log import read_requests

FALSE = "The bananas were ripe in Ecuador, so the auction closed on Friday."
TRUE = "The tide table for Stenna was a day old, since the import trusted the clock."


def without_signs(answer: httpx.Response) -> httpx.Response:
    """The stream as a client reads it: comments are no events."""
    text = "\n\n".join(e for e in answer.text.split("\n\n") if not e.startswith(":"))
    return httpx.Response(answer.status_code, text=text)


@pytest.mark.parametrize("stream", [False, True])
def test_the_best_is_given_and_all_are_counted_and_logged(tmp_path: Path, stream: bool) -> None:
    with twin(tmp_path) as (server, engine):
        engine.drafts = [FALSE, FALSE, TRUE, FALSE]
        answer = server.ask(best_of=4, seed=0, stream=stream, stream_options={"include_usage": True})
        if stream:
            assert answer.text.startswith(ALIVE)
            *texts, told, usage = events(without_signs(answer))
            counted = usage["usage"]
            assert "".join(e["choices"][0]["delta"].get("content", "") for e in texts).strip() == TRUE
        else:
            told = answer.json()
            assert told["choices"][0]["message"]["content"].strip() == TRUE
            counted = told["usage"]
        assert counted == {"prompt_tokens": 90, "completion_tokens": 4 * 17, "total_tokens": 90 + 4 * 17}
        assert (told["written"], set(told["left_out"])) == (4, {"sense", "voice", "own"})
        assert [asked["n"] for asked in engine.asked] == [4], "one request, whose texts are one batch"
        server.answers.log.close()
        [row] = read_requests(server.answers.lake, "runa")
        assert row.choice is not None
        assert (row.choice.chosen, len(row.choice.scores), row.tokens_out) == (2, 4, 68)
        support = [score.support for score in row.choice.scores]
        assert support[2] is not None
        assert all(support[2] > (other or 0) for place, other in enumerate(support) if place != 2)
        assert {"generate", "choose"} <= set(row.steps_ms)


def test_a_persona_has_its_own_number_and_a_request_may_have_another(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        assert "n" not in server_asked(server.write(), engine)
        file = tmp_path / "personas" / "runa.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"answers": {"best_of": 3}}))
        assert until(lambda: server_asked(server.write(), engine).get("n")) == 3
        assert server.write().json()["written"] == 3
        assert server_asked(server.write(best_of=2), engine)["n"] == 2
        assert "n" not in server_asked(server.write(best_of=1), engine)


def server_asked(answer: httpx.Response, engine: EngineDouble) -> dict[str, Any]:
    assert answer.status_code == 200
    return engine.asked[-1]


@pytest.mark.parametrize("wrong", [0, 9, "many"])
def test_how_many_is_bounded_at_the_door(tmp_path: Path, wrong: Any) -> None:
    with twin(tmp_path) as (server, engine):
        for refused in (server.ask(best_of=wrong), server.write(best_of=wrong)):
            assert (refused.status_code, refused.json()["error"]["param"]) == (422, "best_of")
        assert engine.asked == []


def test_the_llm_service_chooses_nothing() -> None:
    with pytest.raises(ValidationError, match="best_of"):
        ChatRequest(model="runa", messages=[{"role": "user", "content": "When?"}], best_of=2)


def test_an_engine_by_url_is_asked_for_each_text(tmp_path: Path) -> None:
    with EngineDouble() as engine, serving(install(tmp_path, engine.url, llm_model="ada")) as server:
        engine.drafts = [FALSE, TRUE, FALSE]
        answer = server.ask(best_of=3, seed=0).json()
        assert answer["choices"][0]["message"]["content"].strip() == TRUE
        assert sorted(asked["seed"] for asked in engine.asked) == [0, 1, 2]
        assert not any("n" in asked for asked in engine.asked)
        assert answer["usage"]["prompt_tokens"] == 3 * 90, (
            "it has read the prompt three times, and is paid for that"
        )
        assert answer["usage"]["completion_tokens"] == 3 * 17
        engine.broken = {0, 2}
        assert server.ask(best_of=3, seed=0).json()["written"] == 1, "what broke off is no candidate"
        engine.broken = {0, 1, 2}
        assert server.ask(best_of=3, seed=0).status_code == 503


def test_an_engine_that_is_down_is_an_error_with_its_status(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.fault = "busy"
        for stream in (False, True):
            assert server.ask(best_of=2, stream=stream).status_code == 503


@contextmanager
def endless() -> Iterator[tuple[str, list[bytes], threading.Semaphore]]:
    """An engine that writes on until it is left: its address, what it was asked, and a count of those that left."""
    asked: list[bytes] = []
    left = threading.Semaphore(0)
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "on and "}, "finish_reason": null}]}\n\n'

    def serve(connection: socket.socket) -> None:
        try:
            request = connection.recv(65536)
            if request.startswith(b"GET"):  # whether it is ready
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                connection.close()
                return
            asked.append(request)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            while True:
                connection.sendall(event)
                threading.Event().wait(0.02)
        except OSError:
            left.release()

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1", asked, left
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("ours", "best_of"), [(True, 1), (True, 3), (False, 3)])
def test_a_reader_who_leaves_ends_all_texts(tmp_path: Path, ours: bool, best_of: int) -> None:
    gc.disable()  # what only the collector ends would go on for long
    with (
        endless() as (url, asked, left),
        serving(install(tmp_path, url, llm_model=None if ours else "ada")) as server,
    ):
        body = {"persona": "runa", "topic": "tides", "best_of": best_of, "stream": True}
        with server.client.stream("POST", "/v1/write", json=body) as answer:
            signs = answer.iter_text()
            assert next(signs).startswith(ALIVE if best_of > 1 else "data: ")
            texts = 1 if ours else 3  # ours is asked once for all, and ends them with the connection
            until(lambda: len(asked) == texts)
        for _ in range(texts):
            assert left.acquire(timeout=PATIENCE)
        server.answers.log.close()
        assert [row.outcome for row in read_requests(server.answers.lake, "runa")] == ["failed"]
    gc.enable()

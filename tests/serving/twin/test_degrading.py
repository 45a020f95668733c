"""Parts that fail, and come back, while the service runs."""

import logging
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from serving.readiness import LOOK_SECONDS, STALE_SECONDS, Readiness
from tests.serving.engine_double import SAYS
from tests.serving.twin_server import events, install, serving, streamed_text, twin
from tests.support.machine import PATIENCE, until
from twin_assets.core.storage.lake import LocalLake
from twin_assets.inference.twin.log_writer import FLUSH_ROWS, RequestLog
from twin_assets.inference.twin.request_log import RequestRecord, read_requests


@pytest.mark.usefixtures("looks_often")
def test_without_its_store_it_writes_and_says_so_but_answers_no_question(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _engine):
        assert server.ask().json()["outcome"] == "answered"
        index, away = tmp_path / "vectors", tmp_path / "away"
        index.rename(away)
        written = server.write()
        assert written.status_code == 200
        assert (written.json()["degraded"], written.headers["x-twin-degraded"]) == (
            ["retrieval"],
            "retrieval",
        )
        assert written.json()["citations"] == []
        streamed = server.write(stream=True)
        assert streamed.headers["x-twin-degraded"] == "retrieval"
        assert events(streamed)[-1]["degraded"] == ["retrieval"]
        for stream in (False, True):
            asked = server.ask(stream=stream)
            assert (asked.status_code, asked.json()["error"]["type"]) == (503, "RetrievalUnavailable")
            assert int(asked.headers["retry-after"]) > 0
        assert server.ask("Hello there!").status_code == 200  # needs no passage
        ready = until(lambda: (r := server.client.get("/ready")).json()["status"] == "degraded" and r)
        assert (ready.status_code, ready.json()["parts"]["retrieval"]) == (503, "RetrievalUnavailable")
        assert int(ready.headers["retry-after"]) > 0
        assert server.client.get("/health").status_code == 200
        away.rename(index)
        assert server.ask().json()["outcome"] == "answered"
        assert server.write().json()["degraded"] == []
        assert until(lambda: server.client.get("/ready").json()["status"] == "ok")


def test_each_index_is_searched_before_the_first_request_and_one_that_is_missing_stops_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="serving")
    with twin(tmp_path) as (server, _engine):
        said = [r.getMessage() for r in caplog.records if "in advance" in r.getMessage()]
        assert [line.partition(" ")[0] for line in said] == ["ola"]  # runa has an index
        assert server.ask().json()["outcome"] == "answered"


@pytest.mark.usefixtures("looks_often")
def test_without_its_engine_it_says_when_to_come_back_and_recovers(tmp_path: Path) -> None:
    with twin(tmp_path, llm_timeout=5.0) as (server, engine):
        engine.stop()
        for answer in (server.ask(), server.write(), server.ask(stream=True), server.write(stream=True)):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["error"]["type"] == "EngineUnavailable"
        assert until(lambda: server.client.get("/ready").json()["status"] == "down")
        engine.start_again()
        assert server.write().json()["text"] == SAYS
        assert until(lambda: server.client.get("/ready").status_code == 200)
        for fault in ("busy", "rate limit"):
            engine.fault = fault
            assert server.write().status_code == 503
        server.answers.log.close()
        outcomes = [row.outcome for row in read_requests(server.answers.lake, "runa")]
        assert outcomes.count("failed") == 6
        assert outcomes.count("answered") == 1


def test_asking_whether_it_is_ready_costs_nothing_and_names_nobody(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        until(lambda: server.client.get("/ready").status_code == 200)
        before, began = engine.looks, time.monotonic()
        answers = [server.client.get("/ready") for _ in range(200)]
        looks = 1 + (time.monotonic() - began) / LOOK_SECONDS  # those that time alone brings about
        assert engine.looks - before <= looks + 1
        assert {a.status_code for a in answers} == {200}
        assert 0 <= answers[-1].json()["seconds_old"] < STALE_SECONDS
        assert "runa" not in "".join(a.text for a in answers)


def test_a_part_that_hangs_shows_as_down_and_comes_back() -> None:
    going = threading.Event()
    going.set()
    readiness = Readiness({"lake": lambda: going.wait(PATIENCE)}, every=0.01, stale=0.5)
    until(lambda: readiness.state().status == "ok")
    going.clear()
    hung = until(lambda: (s := readiness.state()).status == "down" and s)
    assert hung.stale
    assert (hung.seconds_old or 0) > 0.4
    going.set()
    until(lambda: readiness.state().status == "ok")
    readiness.close()


def test_before_the_first_look_it_is_not_ready() -> None:
    going = threading.Event()
    readiness = Readiness({"lake": lambda: going.wait(PATIENCE)}, stale=PATIENCE)
    assert (readiness.state().status, readiness.state().seconds_old) == ("starting", None)
    readiness.close()
    going.set()


def test_a_stream_that_breaks_off_ends_with_an_error_and_counts_as_failed(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.fault = "breaks off"
        answer = server.write(stream=True)
        assert answer.status_code == 200
        assert 0 < len(streamed_text(answer)) < len(SAYS)
        assert "error" in events(answer)[-1]
        server.answers.log.close()
        (row,) = read_requests(server.answers.lake, "runa")
        assert row.outcome == "failed"
        assert SAYS.startswith((row.answer or "?").strip())


def test_what_the_queue_does_not_hold_is_told_to_come_back(tmp_path: Path) -> None:
    with twin(tmp_path, max_running=3, max_waiting=1, max_wait_seconds=2 * PATIENCE) as (server, engine):
        engine.hold.clear()
        answers: list[int] = []

        def one() -> None:
            answers.append(server.write().status_code)

        held = [threading.Thread(target=one) for _ in range(3)]
        for thread in held:
            thread.start()
        waiting = ("twin_queue", {"state": "waiting"})
        until(lambda: len(engine.asked) >= 2 and REGISTRY.get_sample_value(*waiting), "a full queue")
        refused = server.write()
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "Busy")
        assert int(refused.headers["retry-after"]) > 0
        assert server.client.get("/health").status_code == 200  # what is quick does not queue
        engine.hold.set()
        for thread in held:
            thread.join()
        assert answers == [200, 200, 200]
        assert server.write().status_code == 200


class IllLake(LocalLake):
    """A lake on a disk that is slow, or full, for a while."""

    wait = threading.Event()
    full = False

    def write(self, key: str, data: bytes) -> str:
        if key.startswith("requests/"):
            self.wait.wait(20)
            if self.full:
                raise OSError(28, "No space left on device")
        return super().write(key, data)


def row(number: int) -> RequestRecord:
    from datetime import UTC, datetime

    return RequestRecord(
        request_id=str(number), time=datetime.now(UTC), persona="runa", model="m", prompt_kind="answer", outcome="answered"
    )  # fmt: skip


def test_a_slow_disk_blocks_nobody_and_loses_nothing_within_the_window(tmp_path: Path) -> None:
    lake = IllLake(tmp_path)
    lake.wait = threading.Event()
    log = RequestLog(lake)
    for number in range(5_000):
        log.append(row(number))  # returns though nothing is written
    assert list(lake.keys("requests")) == []
    assert log.waiting >= 5_000 - FLUSH_ROWS
    lake.wait.set()
    log.close(30)
    assert (log.lost, log.waiting) == (0, 0)
    assert sorted(int(r.request_id) for r in read_requests(lake, "runa")) == list(range(5_000))


def test_rows_survive_a_full_disk_and_past_the_window_are_counted(tmp_path: Path) -> None:
    from twin_assets.inference.twin.log_writer import MAX_WAITING

    lake = IllLake(tmp_path)
    lake.wait = threading.Event()
    lake.wait.set()
    lake.full = True
    log = RequestLog(lake)
    for number in range(MAX_WAITING + FLUSH_ROWS + 500):
        log.append(row(number))
    assert log.lost > 0
    kept = MAX_WAITING + FLUSH_ROWS + 500 - log.lost
    assert kept >= MAX_WAITING
    lake.full = False
    until(lambda: not log.waiting, "an empty queue of rows")
    log.close()
    assert len(read_requests(lake, "runa")) == kept


@pytest.mark.parametrize("ending", ["a foreign embedder"])
def test_skew_is_an_error_and_no_degradation(tmp_path: Path, ending: str) -> None:
    from twin_assets.core.records import EmbeddedChunk
    from twin_assets.core.vectors import open_store

    with twin(tmp_path) as (server, _):
        store = open_store(server.settings, "runa")
        store.sync([])
        store.sync([
            EmbeddedChunk(
                chunk_id="a", doc_id="a", persona="runa", source="medium", category="article", url="https://x.example/a",
                text="tides", start=0, end=5, tokens=1, split="train", content_hash="a", vector=[1.0] + [0.0] * 383, embedder="other",
            )
        ])  # fmt: skip
        answer = server.write()
        assert answer.status_code == 400
        assert "other" in answer.json()["error"]["message"]


def test_the_installation_without_a_release_says_what_to_do(tmp_path: Path) -> None:
    with serving(install(tmp_path, "http://127.0.0.1:1/v1")) as server:
        answer = server.client.post("/v1/write", json={"persona": "ola", "topic": "tides"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "NothingReleased")
        answer = server.client.post("/v1/write", json={"persona": "nobody", "topic": "tides"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "Unknown")

"""Whatever the collector does, answers come; and where there is none, nothing is made."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serving.traces.otlp_double import OtlpDouble
from tests.serving.twin_server import twin
from tests.support.machine import free_port, until
from twin_assets.core.errors import TwinError
from twin_assets.core.tracing import open_tracer
from twin_assets.core.tracing.export import BATCH, WAITING_SPANS
from twin_assets.core.tracing.spans import begun, below, current_span, span, spanned, whole
from twin_assets.settings import ROOT, Settings


def test_a_collector_that_never_answers_holds_up_no_answer(tmp_path: Path) -> None:
    with OtlpDouble() as otlp:
        otlp.hold.clear()
        with twin(tmp_path, traces_url=otlp.address) as (server, _engine):
            assert server.ask().status_code == 200
            until(lambda: otlp.asked, "the first spans")
            for _ in range(5):
                assert server.ask().status_code == 200
                assert "[DONE]" in server.ask(stream=True).text
            assert otlp.spans == []
        otlp.hold.set()


def test_spans_that_nobody_takes_are_dropped_beyond_a_bound(tmp_path: Path) -> None:
    with OtlpDouble() as otlp:
        otlp.hold.clear()
        tracer = open_tracer(Settings(home=tmp_path, traces_url=otlp.address), "twin_service")
        assert tracer is not None
        for n in range(WAITING_SPANS + 2 * BATCH):
            tracer.request(f"span {n}").end()
        until(lambda: otlp.asked, "the first spans")
        for n in range(WAITING_SPANS + 2 * BATCH):
            tracer.request(f"late {n}").end()
        otlp.hold.set()
        until(lambda: any(s.name == f"late {WAITING_SPANS + 2 * BATCH - 1}" for s in otlp.spans))
        late = sum(s.name.startswith("late") for s in otlp.spans)
        assert BATCH <= late <= WAITING_SPANS + BATCH
        tracer.close()


@pytest.mark.parametrize("status", [None, 503, 401])
def test_a_collector_that_is_away_or_refuses_is_no_error_of_a_request(
    tmp_path: Path, status: int | None
) -> None:
    with OtlpDouble() as otlp:
        otlp.status = status or 200
        url = otlp.address if status else f"http://127.0.0.1:{free_port()}"
        with twin(tmp_path, traces_url=url) as (server, _engine):
            assert [server.ask(stream=stream).status_code for stream in (False, True)] == [200, 200]
            if status:
                until(lambda: otlp.asked)
                assert server.ask().status_code == 200


def test_without_an_address_nothing_is_imported_and_nothing_is_made(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from tests.serving.twin_server import twin
with twin(Path(sys.argv[1])) as (server, engine):
    assert server.answers.tracer is None
    assert server.ask().status_code == server.ask(stream=True).status_code == server.write().status_code == 200
    assert engine.parents == [None, None, None]
traced = [name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))]
assert not traced, traced
assert "twin_assets.core.tracing.export" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
    pieces = iter_pieces()
    assert current_span() is None
    assert spanned("write", pieces) is below(None, pieces) is pieces
    assert span("a") is span("b") is whole(None)
    with span("a") as own, begun(None):
        assert own is None is current_span()


def iter_pieces():  # type: ignore[no-untyped-def]
    yield "a"


@pytest.mark.parametrize(
    "address",
    [
        "collector:4318", "ftp://collector", "http://", "http://[", "http://collector:99999999", "http://ada:very-secret@collector:4318",
        "https://collector/v1/traces?key=very-secret",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_an_error_that_names_its_setting(tmp_path: Path, address: str) -> None:
    with pytest.raises(TwinError, match="TWIN_TRACES_URL") as error:
        open_tracer(Settings(home=tmp_path, traces_url=address), "twin_service")
    assert "very-secret" not in str(error.value)


def test_an_address_with_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    with OtlpDouble() as otlp:
        for path, asked in (
            ("", "/v1/traces"),
            ("/", "/v1/traces"),
            ("/api/otel/v1/traces", "/api/otel/v1/traces"),
        ):
            tracer = open_tracer(Settings(home=tmp_path, traces_url=otlp.address + path), "twin_service")
            assert tracer is not None
            tracer.request("one").end()
            tracer.close()  # sends what waits
            assert otlp.paths == {asked}
            otlp.paths.clear()
        assert len(otlp.spans) == 3


def test_a_generator_takes_its_span_along_whoever_reads_it(tmp_path: Path) -> None:
    """A stream is read by several threads, each in a context of its own, and is closed in another."""
    from contextvars import Context

    with OtlpDouble() as otlp:
        tracer = open_tracer(Settings(home=tmp_path, traces_url=otlp.address), "twin_service")
        assert tracer is not None

        def pieces():  # type: ignore[no-untyped-def]
            try:
                for n in range(3):
                    with span(f"step {n}"):
                        time.sleep(0.001)
                    yield n
            finally:
                with span("log"):
                    pass

        first = tracer.request("first")
        reading = below(first, pieces())
        assert [Context().run(next, reading) for _ in range(2)] == [0, 1]
        Context().run(reading.close)
        assert current_span() is None
        tracer.close()
        by_name = {s.name: s for s in otlp.spans}
        assert {s.parent for s in otlp.spans if s.name != "first"} == {by_name["first"].id}
        assert set(by_name) == {"first", "step 0", "step 1", "log"}
        assert by_name["first"].attributes == {"twin.left": True}

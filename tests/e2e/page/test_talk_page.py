"""A talk on the page, in a real browser: a follow-up is understood, and the page says as what."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.web_browser import SIZES, Pages, ask, photograph, see
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import TEXTS, Server, twin

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path, local_audience="private") as (server, engine):
        yield server, engine


@pytest.mark.parametrize("size", SIZES)
def test_a_follow_up_takes_the_talk_along(
    running: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, engine = running
    page = pages.open(server.url, "write", size)
    page.get_by_label("Persona").select_option("runa")
    first = ask(page, "Tell me about the tide table for Stenna.")
    assert "understood as" not in first.inner_text()
    second = ask(page, "Why was it <b>old</b>?")
    see(second).to_contain_text("understood as “Why was it <b>old</b>? (tide table Stenna)”")
    see(second.get_by_role("list", name="Passages")).to_contain_text(" ".join(TEXTS["tides"].split()[:6]))
    assert [m["role"] for m in engine.asked[-1]["messages"]] == ["system", "user", "assistant", "user"]
    photograph(page, f"talk-{size}")

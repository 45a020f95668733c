"""Kept conversations on the page, in a real browser: they are there again, renamed, gone on with from two tabs, and deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_browser import SIZES, Pages, ask, photograph, see
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, twin
from twin_assets.inference.twin.threads import kept

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

FIRST = "Tell me about the tide table for Stenna."
FOLLOW_UP = "Why was it <b>old</b>?"
OFF_TOPIC = "Who won the football World Cup?"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path, ui_password="open sesame") as (server, engine):
        yield server, engine


def log_in(page: Any) -> None:
    page.get_by_label("Password").fill("open sesame")
    page.keyboard.press("Enter")
    page.get_by_label("Persona").select_option("runa")


def threads(page: Any) -> Any:
    """The list, unfolded."""
    aside = page.get_by_role("complementary", name="Conversations")
    details = aside.locator("details")
    see(details).to_be_attached()
    if details.get_attribute("open") is None:
        aside.locator("summary").press("Enter")
    return aside


@pytest.mark.parametrize("size", SIZES)
def test_a_conversation_is_there_again_and_goes_on(
    running: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, engine = running
    page = pages.open(server.url, "write", size, expected="401")
    log_in(page)
    see(page.get_by_text("for 30 days after their last turn")).to_be_visible()
    ask(page, FIRST)
    see(threads(page).get_by_role("link", name=FIRST)).to_have_attribute("aria-current", "true")
    page.reload()
    see(page.locator(".question")).to_have_text([FIRST])
    see(page.get_by_role("list", name="Passages")).to_contain_text("tide table")
    see(ask(page, FOLLOW_UP)).to_contain_text("understood as")
    roles = [m["role"] for m in engine.asked[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"], "the talk is gone on with from what was kept"
    ask(page, OFF_TOPIC)
    see(threads(page)).to_contain_text("3 turns")
    photograph(page, f"threads-{size}")
    page.reload()
    see(page.locator(".question")).to_have_text([FIRST, FOLLOW_UP, OFF_TOPIC])
    see(page.locator(".answer").nth(1)).to_contain_text("understood as")
    see(page.locator(".answer").last).to_contain_text("declined")
    threads(page).get_by_role("button", name="New conversation").press("Enter")
    see(page.get_by_text("Ask Runa's twin something")).to_be_visible()
    ask(page, "What outlives every framework?")
    see(threads(page).get_by_role("listitem")).to_have_count(2)
    threads(page).get_by_role("link", name=FIRST).press("Enter")
    see(page.locator(".question").last).to_have_text(OFF_TOPIC)
    threads(page).get_by_role("button", name="Rename").press("Enter")
    page.get_by_label("Title").fill("Late <b>tables</b>")
    page.keyboard.press("Enter")
    see(threads(page).get_by_role("link", name="Late <b>tables</b>")).to_be_visible()
    with page.expect_download() as download:
        threads(page).get_by_role("link", name="Export Markdown").click()
    assert download.value.path().read_text().startswith("# Late <b>tables</b>\n")
    photograph(page, f"threads-more-{size}")
    threads(page).get_by_role("button", name="Delete").press("Enter")
    photograph(page, f"threads-delete-{size}")
    page.get_by_role("button", name="Delete for good").press("Enter")
    see(page.get_by_text("Ask Runa's twin something")).to_be_visible()
    see(threads(page).get_by_role("listitem")).to_have_count(1)


def test_two_tabs_and_a_full_conversation_lose_nothing(
    running: tuple[Server, EngineDouble], pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = running
    page = pages.open(server.url, "write", expected="40")
    log_in(page)
    ask(page, FIRST)
    other = page.context.new_page()
    other.goto(page.url)
    see(other.locator(".question")).to_have_text([FIRST])
    ask(other, "Asked in the other tab: why are restores rehearsed?")
    ask(page, FOLLOW_UP)
    see(threads(page)).to_contain_text("It went on in another tab.")
    photograph(page, "threads-tabs")
    threads(page).get_by_role("button", name="Show it").click()
    see(page.locator(".question")).to_have_count(3)
    monkeypatch.setattr(kept, "MOST_TURNS", 3)
    ask(page, "And what is on Tuesdays?")
    see(page.locator(".toast")).to_contain_text("is full, and goes on in a new one")
    see(threads(page).get_by_role("listitem")).to_have_count(2)
    see(page.locator(".question")).to_have_count(4)

"""Publishing on the page: the very text is shown, goes out by a click, and what became of it stands beside the draft."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.e2e.web_browser import SIZES, Pages, see
from tests.serving.drafts.posting_double import TOKENS, PostingDouble, posting_double
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, install, serving

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, PostingDouble]]:
    with posting_double() as places, EngineDouble() as engine:
        accounts = {"runa": {
            "linkedin": {"author": "urn:li:person:runa1", "token": TOKENS["linkedin"]}, "x": {"token": TOKENS["x"]},
        }}  # fmt: skip
        settings = install(
            tmp_path_factory.mktemp("publishing"), engine.url, linkedin_api=places.url, x_api=places.url,
            publishing=SecretStr(json.dumps(accounts)), rate_per_minute=0,
        )  # fmt: skip
        with serving(settings) as server:
            yield server, places


def opened(pages: Pages, server: Server, text: str, size: str = "desktop", expected: str = "") -> Any:
    """A new draft of that text, opened."""
    draft = server.client.post(
        "/v1/drafts", json={"persona": "runa", "text": text, "kind": "linkedin_post"}
    ).json()
    page = pages.open(server.url, "write", size, expected=expected)
    page.get_by_label("Persona").select_option("runa")
    page.goto(f"{server.url}/#/write/drafts/{draft['id']}")
    see(page.get_by_label("Text", exact=True)).to_have_value(text)
    return page


@pytest.mark.parametrize("size", SIZES)
def test_the_text_that_is_shown_goes_out_by_a_click_and_the_draft_says_where_it_is(
    served: tuple[Server, PostingDouble], pages: Pages, size: str
) -> None:
    server, places = served
    page = opened(
        pages,
        server,
        f"A day late ({size}). " + "The tide table trusted the clock. " * 12,
        size,
        expected="409",
    )
    page.get_by_label("Text", exact=True).fill(
        f"A day late ({size}), and mine. " + "The tide table trusted the clock. " * 12
    )
    page.get_by_role("button", name="Publish").click()
    dialog = page.locator("dialog")
    see(dialog.get_by_label("The text that goes out")).to_contain_text("and mine.")
    see(dialog.get_by_role("button", name="Post to X")).to_be_disabled()
    mail = dialog.get_by_role("link", name="Open Mail's composer").get_attribute("href")
    assert "and%20mine" in mail
    dialog.get_by_label("The final text is mine").check()
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=Path(folder) / f"publish-{size}-{scheme}.png")
    assert f"({size})" not in str(places.posts)
    dialog.get_by_role("button", name="Post to LinkedIn").click()
    see(dialog.get_by_role("link", name="See it there")).to_be_visible()
    assert "and mine" in places.posts[-1]["commentary"]
    sent = len(places.posts)
    dialog.get_by_role("button", name="Post to LinkedIn").click()
    see(dialog.get_by_text("was posted to linkedin")).to_be_visible()
    assert len(places.posts) == sent
    page.keyboard.press("Escape")
    see(page.get_by_role("heading", name="Posts")).to_be_visible()
    see(page.get_by_text("the text is yours")).to_be_visible()
    see(page.get_by_label("Status", exact=True)).to_have_value("published")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_a_post_of_which_nobody_knows_waits_for_a_person_s_word(
    served: tuple[Server, PostingDouble], pages: Pages
) -> None:
    server, places = served
    page = opened(pages, server, "Lost on its way.", expected="502")
    places.next = ["drop"]
    page.get_by_role("button", name="Publish").click()
    page.locator("dialog").get_by_role("button", name="Post to X").click()
    see(page.locator("dialog").get_by_text("did not say whether it was posted")).to_be_visible()
    page.keyboard.press("Escape")
    see(page.get_by_text("nobody knows whether it was posted")).to_be_visible()
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "publish-unknown-desktop-light.png", full_page=True)
    page.get_by_role("button", name="It was posted").click()
    see(page.get_by_label("Status", exact=True)).to_have_value("published")
    assert {"text": "Lost on its way."} not in places.posts

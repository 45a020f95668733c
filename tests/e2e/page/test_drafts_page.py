"""Drafts on the page: a text of the twin's is kept, changed and compared; of two tabs neither loses a word."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_browser import SIZES, Pages, photograph, see
from tests.serving import twin_server
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import TEXTS, Server
from twin_assets.core.feedback.pairs import stored_pairs

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

WRITTEN = (
    f"{TEXTS['tides']} In conclusion, robust tide tables are a key enabler of excellence. {TEXTS['backups']}"
)
MINE = f"{TEXTS['tides']} Nobody had looked at it for a week, me included. {TEXTS['backups']}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, EngineDouble]]:
    with twin_server.twin(tmp_path_factory.mktemp("drafts")) as served:
        yield served


def kept(server: Server, draft: str) -> list[str]:
    """The texts of a draft's versions."""
    found = server.client.get(f"/v1/drafts/{draft}", params={"persona": "runa"}).json()
    return [version["text"] for version in found["versions"]]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_of_the_twin_s_becomes_a_person_s_and_what_changed_is_seen_and_learnt_from(
    served: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, engine = served
    engine.drafts, engine.says = [], WRITTEN
    page = pages.open(server.url, "write/compose", size)
    page.get_by_label("Persona").select_option("runa")
    page.get_by_label("Topic").fill(f"late tide tables, {size}")
    page.get_by_label("Topic").press("Control+Enter")
    page.get_by_role("button", name="Keep as a draft").click()
    box = page.get_by_label("Text", exact=True)
    see(box).to_have_value(re.compile(re.escape(WRITTEN)))
    see(page.get_by_label("Title")).to_have_value(f"late tide tables, {size}")
    see(page.get_by_role("heading", name="Sources")).to_be_visible()

    box.fill(MINE)
    see(page.get_by_role("status").filter(has_text="not saved yet")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("ready")
    box.press("Control+s")
    see(page.get_by_role("status").filter(has_text="· saved")).to_be_visible()
    page.get_by_role("button", name="Version 2 by you").click()
    see(page.locator("dialog del").first).to_contain_text("In conclusion, robust")
    see(page.locator("dialog ins").first).to_contain_text("Nobody had looked at it")
    photograph(page, f"drafts-version-{size}")
    page.keyboard.press("Escape")

    before = len(stored_pairs(server.answers.lake, "runa").pairs)
    page.get_by_text("Your edits").click()
    send = page.get_by_role("button", name="Send my edits")
    see(send).to_be_disabled()
    page.get_by_label("Keep question and text, to improve the twin").check()
    photograph(page, f"drafts-edits-{size}")
    send.click()
    see(page.get_by_text("Your edits")).to_have_count(0)
    pair = stored_pairs(server.answers.lake, "runa").pairs[-1]
    assert len(stored_pairs(server.answers.lake, "runa").pairs) == before + 1
    assert (pair.chosen, pair.rejected) == (MINE, WRITTEN)

    page.get_by_role("link", name="All drafts").click()
    row = page.get_by_role("link", name=f"late tide tables, {size}")
    see(row).to_contain_text("Ready")
    see(row).to_contain_text("last by you")
    photograph(page, f"drafts-list-{size}")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    with page.expect_download() as export:
        page.get_by_role("button", name="Export all").click()
    assert MINE in Path(export.value.path()).read_text()
    row.click()
    page.get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    see(page.get_by_role("button", name="New draft")).to_be_visible()
    see(page.get_by_role("link", name=f"late tide tables, {size}")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
def test_two_tabs_that_edit_one_draft_lose_no_text(
    served: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, _ = served
    begun = server.client.post(
        "/v1/drafts", json={"persona": "runa", "title": f"Two tabs, {size}", "text": "One. Two. Three."}
    ).json()

    def tab() -> Any:
        page = pages.open(server.url, "write", size, expected="409")
        page.get_by_label("Persona").select_option("runa")
        page.goto(f"{server.url}/#/write/drafts/{begun['id']}")
        return page

    first, second = tab(), tab()
    boxes = [page.get_by_label("Text", exact=True) for page in (first, second)]
    see(boxes[1]).to_have_value("One. Two. Three.")
    boxes[0].fill("One. Two of the first tab. Three.")
    first.get_by_role("button", name="Save").click()
    see(first.get_by_role("button", name="Version 2 by you")).to_be_visible()
    second.get_by_label("Title").fill("Renamed here")
    boxes[1].fill("One. Two. Three of the second tab.")
    second.get_by_role("button", name="Save").click()
    see(second.get_by_text("Saved elsewhere meanwhile")).to_be_visible()
    see(second.locator("del").first).to_be_visible()
    see(boxes[1]).to_have_value("One. Two. Three of the second tab.")
    assert kept(server, begun["id"]) == ["One. Two. Three.", "One. Two of the first tab. Three."]
    photograph(second, f"drafts-conflict-{size}")
    second.get_by_role("button", name="Save mine on top").click()
    see(second.get_by_role("button", name="Version 3 by you")).to_be_visible()
    assert kept(server, begun["id"])[1:] == [
        "One. Two of the first tab. Three.",
        "One. Two. Three of the second tab.",
    ]

    boxes[0].fill("One. And a third thought of the first tab.")
    first.get_by_label("Text", exact=True).press("Control+Enter")
    first.get_by_role("button", name="Keep both as two drafts").click()
    see(first.get_by_label("Title")).to_have_value(f"Two tabs, {size} (mine)")
    see(first.get_by_label("Text", exact=True)).to_have_value("One. And a third thought of the first tab.")
    assert len(kept(server, begun["id"])) == 3
    first.goto(f"{server.url}/#/write/drafts/{begun['id']}")
    see(first.get_by_label("Text", exact=True)).to_have_value("One. Two. Three of the second tab.")
    see(first.get_by_label("Title")).to_have_value("Renamed here")


def test_what_was_typed_stays_while_the_service_is_away_and_while_another_view_is_looked_at(
    served: tuple[Server, EngineDouble], pages: Pages
) -> None:
    server, _ = served
    page = pages.open(server.url, "write/drafts", expected="ERR_INTERNET_DISCONNECTED")
    page.get_by_label("Persona").select_option("runa")
    page.get_by_role("button", name="New draft").click()
    box = page.get_by_label("Text", exact=True)
    box.fill("A thought that is not saved.")
    page.context.set_offline(True)
    page.get_by_role("button", name="Save").click()
    see(page.get_by_text("The service does not answer.")).to_be_visible()
    see(box).to_have_value("A thought that is not saved.")
    page.context.set_offline(False)
    page.get_by_role("link", name="Compose").click()
    page.go_back()
    see(box).to_have_value("A thought that is not saved.")
    page.get_by_role("button", name="Save").click()
    see(page.get_by_role("button", name="Version 2 by you")).to_be_visible()


def test_a_text_in_steps_is_kept_with_what_a_person_made_of_it(
    served: tuple[Server, EngineDouble], pages: Pages
) -> None:
    server, engine = served
    engine.drafts, engine.says = [], TEXTS["tides"]
    page = pages.open(server.url, "write/steps")
    page.get_by_label("Persona").select_option("runa")
    page.get_by_label("Kind").select_option("linkedin_post")
    page.get_by_label("Topic").fill("late tide tables")
    page.get_by_role("button", name="All steps at once").click()
    see(page.get_by_role("button", name="Check again")).to_be_enabled()
    text = page.locator(".section textarea").first
    written = text.input_value()
    assert written
    text.fill(f"{written} And so do I.")
    page.get_by_role("button", name="Keep as a draft").click()
    see(page.get_by_role("button", name="Version 2 by you")).to_be_visible()
    see(page.get_by_role("button", name="Version 1 by the twin")).to_be_visible()
    first, second = kept(server, page.url.rpartition("/")[2])
    assert "And so do I." not in first
    assert "And so do I." in second

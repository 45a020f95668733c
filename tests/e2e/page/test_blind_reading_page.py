"""A person reads blind on the Review view, in a real browser: by keyboard and by thumb, at both sizes, light and dark."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.released_twin import ReleasedTwin, pairs_to_read
from tests.e2e.web_browser import SIZES, TWIN, Pages, see, services
from twin_assets.core.blind_readings import FOLDER, findings, readings

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def served(twin: ReleasedTwin) -> Iterator[str]:
    with services(twin, TWIN) as address:
        yield address


@pytest.fixture
def open_page(browser: Any, twin: ReleasedTwin) -> Iterator[Open]:
    """Opens the page for a reader who has read nothing; at the end nothing may have gone wrong in it."""
    for key in list(twin.lake.keys(FOLDER)):
        twin.lake.delete(key)
    pages = Pages(browser)
    yield pages.open
    pages.close()
    assert pages.troubles == []


def card(page: Any) -> Any:
    return page.get_by_role("region", name="Read blind")


def side_of_candidate(page: Any, twin: ReleasedTwin) -> str:
    """Where the candidate's text stands, as only this test knows."""
    left = card(page).get_by_role("region", name="Text 1").locator(".text").inner_text()
    ours = {p.candidate for p in pairs_to_read(twin.candidate.tag)}
    return "left" if left in ours else "right"


def test_a_reader_finds_by_keyboard_that_they_tell_both_apart(
    served: str, open_page: Open, twin: ReleasedTwin
) -> None:
    page = open_page(served, "review")
    place = card(page)
    page.keyboard.press("1")
    see(place).to_contain_text("20 pairs for you")
    assert readings(twin.lake, "runa") == [], "nothing is chosen before the reader begins"
    place.get_by_role("button", name="Start reading").click()
    question = place.get_by_role("heading", level=3)
    see(question).to_have_text("Which one is closer to how Runa Hollis writes?")
    see(question).to_be_focused()
    for n in range(8):
        key = {"left": ("1", "ArrowLeft"), "right": ("2", "ArrowRight")}[side_of_candidate(page, twin)][n % 2]
        before = texts_of(page)
        page.keyboard.press(key)
        see(place.locator(".side-by-side")).not_to_have_text(before)
        see(place.get_by_role("status")).to_have_text("Noted.")
        if n < 7:
            see(place).to_contain_text(f"you gave {n + 1} answer")
    see(place).to_contain_text("You find the twin closer than its base model with a prompt: in 8 of 8 pairs")
    see(question).to_have_text("Which one did Runa Hollis write?")
    for n in range(8):
        theirs = "2" if side_of_candidate(page, twin) == "left" else "1"
        page.keyboard.press(theirs)
        see(place.get_by_role("status")).to_have_text(
            f"Yes: the {'second' if theirs == '2' else 'first'} one is theirs."
        )
        see(place.locator(".theirs")).to_contain_text("Theirs")
        page.keyboard.press(theirs)  # nothing to choose from now
        more = place.get_by_role("button", name="Next pair" if n < 7 else "Done")
        see(more).to_be_focused()
        page.keyboard.press("Enter")
    see(place).to_contain_text("You tell them apart: 8 of 8 right, which guessing would not give.")
    see(place).to_contain_text("You have read enough")
    found = findings(readings(twin.lake, "runa"), twin.candidate.tag)
    assert [(f.answers, f.verdict) for f in found.values()] == [(8, "right"), (8, "right")]
    page.get_by_text("The whole report").click()
    see(page.frame_locator("iframe").get_by_role("heading", name="Blind readers")).to_be_visible()
    page.reload()
    see(card(page)).to_contain_text("You have read enough")


def test_keys_that_are_for_something_else_choose_nothing(
    served: str, open_page: Open, twin: ReleasedTwin
) -> None:
    page = open_page(served, "review")
    card(page).get_by_role("button", name="Start reading").click()
    see(card(page).get_by_role("button", name="Text 1: this one")).to_be_visible()
    page.get_by_label("Reason").first.fill("1")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("2")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+1")
    page.get_by_role("link", name="Library", exact=True).click()
    see(page.get_by_role("heading", name="Library", level=1)).to_be_visible()
    page.keyboard.press("1")
    see(page.get_by_role("main")).to_contain_text("documents")
    assert readings(twin.lake, "runa") == []


def texts_of(page: Any) -> str:
    """Both texts, as `to_have_text` compares them."""
    return str(card(page).locator(".side-by-side").text_content())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_is_read_by_thumb_and_answered_once(
    served: str, open_page: Open, twin: ReleasedTwin, tmp_path: Path, size: str, scheme: str
) -> None:
    folder = Path(os.environ.get("TWIN_TEST_SCREENSHOTS", tmp_path))
    page = open_page(
        served, "review", size=size, color_scheme=scheme, has_touch=size == "phone", expected="status of 409"
    )

    def looks(what: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        card(page).screenshot(path=folder / f"blind-{what}-{size}-{scheme}.png")

    see(card(page)).to_contain_text("20 pairs for you")
    looks("start")
    card(page).get_by_role("button", name="Start reading").click()
    choose = [card(page).get_by_role("button", name=f"Text {n}: this one") for n in (1, 2)]
    see(choose[0]).to_be_visible()
    looks("pair")
    for button in choose:
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 38, "large enough for a thumb"
    other = open_page(served, "review", size=size)
    card(other).get_by_role("button", name="Start reading").click()
    see(card(other).get_by_role("button", name="Text 1: this one")).to_be_visible()
    assert (
        card(other).locator(".side-by-side").inner_text() == card(page).locator(".side-by-side").inner_text()
    )
    choose[0].click()
    see(card(page).get_by_role("status")).to_have_text("Noted.")
    before = texts_of(page)
    card(page).get_by_role("button", name="I know one of these").click()
    see(card(page).get_by_role("status")).to_have_text("Skipped.")
    see(card(page).locator(".side-by-side")).not_to_have_text(before)
    assert [r.right is None for r in sorted(readings(twin.lake, "runa"), key=lambda r: r.number)] == [
        False,
        True,
    ]
    for _ in range(7):
        side = 0 if side_of_candidate(page, twin) == "left" else 1
        before = texts_of(page)
        choose[side].click()
        see(card(page).locator(".side-by-side")).not_to_have_text(before)
    while card(page).get_by_role("heading", level=3).inner_text().startswith("Which one is closer"):
        before = texts_of(page)
        choose[0].click()
        see(card(page).locator(".side-by-side")).not_to_have_text(before)
    choose[0].click()
    more, bar = (
        card(page).get_by_role("button", name="Next pair"),
        page.get_by_role("navigation", name="Views"),
    )
    see(more).to_be_focused()
    for place in (more, card(page).get_by_role("status")):
        see(place).to_be_in_viewport(ratio=1)
    if size == "phone":
        shown, fixed = card(page).get_by_role("status").bounding_box(), bar.bounding_box()
        assert shown is not None
        assert fixed is not None
        assert shown["y"] + shown["height"] <= fixed["y"], "the bar of the views hides what was said"
    page.screenshot(path=folder / f"blind-screen-{size}-{scheme}.png")
    looks("answered")

"""Bringing an export on the page, in a real browser: dropped or chosen, previewed, read, collected or cancelled."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_browser import SIZES, Pages, see
from tests.serving.page.test_uploads import Dagster, dagster
from tests.serving.twin_server import Server, install, serving
from twin_assets.core.persona.definition import load_persona

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

ATTACK = "<img src=x onerror=\"document.title='owned'\">"
TEXT = f"The ferry was late, since the tide had turned before the crew came aboard {ATTACK} and nobody had told us. "


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with (
        dagster() as url,
        serving(
            install(tmp_path, "http://127.0.0.1:1/v1", dagster_url=url, local_audience="private")
        ) as server,
    ):
        yield server


def blog(tmp_path: Path, name: str = "My <b>blog.zip") -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(12):
            archive.writestr(f"blog/2021-02-{n + 1:02}-tide.txt", f"{n}. {TEXT}\n\n" * 6)
        archive.writestr("blog/short.txt", "Too short.")
        archive.writestr("blog/_drafts/not-yet.md", "Not yet.")
    return path


def choose(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").press("Enter")
    chooser.value.set_files(path)


@pytest.mark.parametrize("size", SIZES)
def test_an_export_is_chosen_read_and_collected(
    server: Server, pages: Pages, tmp_path: Path, size: str
) -> None:
    page = pages.open(server.url, "sources", size=size, color_scheme="dark" if size == "phone" else "light")  # fmt: skip
    card = page.locator("#bring")
    see(card).to_contain_text("What is read: exports of LinkedIn, X, Medium")
    see(page.get_by_role("button", name="Add GitHub")).to_be_visible()
    choose(page, blog(tmp_path))
    see(card.get_by_role("heading", name="A folder of writing")).to_be_visible()
    see(card).to_contain_text("13 (13 articles)")
    see(card).to_contain_text("My <b>blog.zip")
    see(card.locator(".sample")).to_have_count(5)
    first = card.locator(".sample .text").first.text_content()
    assert ATTACK in first  # as text
    card.get_by_role("button", name="Another five").click()
    assert card.locator(".sample .text").first.text_content() != first
    card.get_by_text("Left out, and why").click()
    see(card).to_contain_text("not-yet.md")
    card.get_by_text("Kept, and not learnt from").click()
    see(card).to_contain_text("too short")
    assert page.title() != "owned"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, size)
    assert load_persona(server.settings.personas_dir, "ola").web is None
    card.get_by_role("button", name="Collect", exact=True).click()
    see(page.locator("[data-source=web]")).to_be_visible()
    web = load_persona(server.settings.personas_dir, "ola").web
    assert web
    assert len(web.folders) == 1
    assert len(Dagster.launched) == 1
    see(page.get_by_role("button", name="Choose a file")).to_be_visible()


def test_a_dropped_file_that_is_no_export_says_why_and_a_reload_shows_it_again(
    server: Server, pages: Pages
) -> None:
    page = pages.open(server.url, "sources")
    see(page.get_by_role("button", name="Choose a file")).to_be_visible()
    dropped = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['{\"fruit\": 1}'], 'x.zip')); return data; }"
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
    see(page.locator("#bring").get_by_role("alert")).to_contain_text("of no kind that is read")
    page.reload()
    see(page.locator("#bring").get_by_role("alert")).to_contain_text("JSON (fruit)")
    page.get_by_role("button", name="Choose another file").click()
    see(page.get_by_role("button", name="Choose a file")).to_be_visible()
    assert not list((server.settings.home / "staging").rglob("*.json"))


def picture(page: Any, size: str) -> None:
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.locator("#bring").scroll_into_view_if_needed()
            page.screenshot(path=Path(folder) / f"upload-{size}-{scheme}.png", full_page=True)

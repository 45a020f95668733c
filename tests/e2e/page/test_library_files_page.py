"""Papers and notes added to the library on the page, in a real browser: several at once, each with its own result."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_browser import SIZES, Pages, see
from tests.serving.page.test_library_files import NOTES, PAGE
from tests.serving.site_double import pdf
from tests.serving.twin_server import Server, install, serving

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]
ATTACK = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(install(tmp_path, "http://127.0.0.1:1/v1", local_audience="private")) as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
def test_several_files_are_kept_and_one_that_cannot_be_read_stops_no_other(
    server: Server, pages: Pages, tmp_path: Path, size: str
) -> None:
    files = {
        "A study of floats.pdf": pdf(
            *["The salt water lifts the float by nine millimetres in every harbour."] * 6
        ),
        "broken.pdf": b"%PDF-1.7 and no more",
        f"gauges {ATTACK.replace('/', '')}.md": NOTES.encode(),
        "page.html": PAGE.encode(),
    }
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.write_bytes(files[path.name])
    page = pages.open(server.url, "library/kept", size=size, expected="status of 400", color_scheme="dark" if size == "phone" else "light")  # fmt: skip
    see(page.get_by_text("Nothing kept yet")).to_be_visible()
    picture(page, f"{size}-empty")
    card = page.locator("#add-files")
    page.get_by_label("Who may see answers made from them").select_option("connections")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").press("Enter")
    chooser.value.set_files(paths)
    rows = card.get_by_role("listitem")
    see(rows).to_have_count(4)
    see(card.get_by_role("status")).to_have_text("3 kept, 1 not.")
    see(rows.nth(0)).to_contain_text("Kept: A study of floats")
    see(rows.nth(1)).to_contain_text("broken.pdf can't be read")
    see(rows.nth(1)).to_contain_text("To mend it:")
    see(rows.nth(2)).to_contain_text("Kept: Gauges of the north")
    see(rows.nth(3)).to_contain_text("Kept: On floats")
    see(page.locator(".list .item")).to_have_count(3)
    assert page.title() != "owned"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".drop").evaluate("zone => zone.scrollWidth <= zone.clientWidth")
    picture(page, size)
    held = (
        server.client.get("/v1/library?persona=ola").json()
        + server.client.get("/v1/library?persona=runa").json()
    )
    assert len(held) == 3
    with page.expect_response(lambda answer: "/library?" in answer.url and answer.request.method == "POST"):
        page.get_by_role("button", name="Try broken.pdf again").click()
    see(card.get_by_role("status")).to_have_text("0 kept, 1 not.")
    dropped = page.evaluate_handle(
        "text => { const data = new DataTransfer(); for (const name of ['a.md', 'b.md']) data.items.add(new File([text], name)); return data; }",
        NOTES,
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
    see(page.locator(".list .item")).to_have_count(5)
    page.reload()
    see(page.locator(".list .item")).to_have_count(5)
    for _ in range(5):
        count = page.locator(".list .item").count()
        page.get_by_role("button", name="Remove").first.click()
        see(page.locator(".list .item")).to_have_count(count - 1)
    see(page.get_by_text("Nothing kept yet")).to_be_visible()


def picture(page: Any, name: str) -> None:
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"library-files-{name}.png", full_page=True)

"""The web source: Markdown folders, pages and feeds; and a real author's blog where it is at hand."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.sites import DemoSites
from tests.feature.crawl.writing import crawl, settings, stored, web_persona, write, write_article
from twin_assets.core.persona.definition import Web
from twin_assets.core.text.front_matter import split_front_matter
from twin_assets.settings import ROOT

CORPORA = Path(os.environ.get("TWIN_TEST_CORPORA", ROOT.parent / "shared" / "corpora"))


def test_hugo_and_jekyll_files_are_read_and_drafts_skipped(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    write(blog / "a.md", '+++\ntitle = "Tides"\ndate = "2021-01-22T12:00:00-07:00"\n+++\n\nWet.\n')
    write(blog / "sub/b.md", "---\ntitle: Boats\ndate: 2020-05-01\n---\nDry.\n")
    write(blog / "2019-03-04-plain.md", "# A heading\n\nText.\n")
    write(blog / "draft.md", "+++\ndraft = true\n+++\nNot yet.\n")
    here = settings(tmp_path)
    report = crawl(here, web_persona(Web(folders=[blog])), "web")
    items = {item.item_id: item for item in stored(here, "web")}
    assert (report.error, report.skipped) == (None, {"draft": 1})
    assert set(items) == {"a.md", "sub/b.md", "2019-03-04-plain.md"}
    assert (items["a.md"].title, items["a.md"].body) == ("Tides", "Wet.\n")
    assert items["a.md"].published_at == datetime(2021, 1, 22, 19, tzinfo=UTC)
    assert items["2019-03-04-plain.md"].title == "A heading"
    assert items["2019-03-04-plain.md"].published_at == datetime(2019, 3, 4, tzinfo=UTC)


def test_a_removed_file_is_deleted_and_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    for name in ("a", "b"):
        write(blog / f"{name}.md", f"---\ntitle: {name}\n---\nText {name}.\n")
    here, who = settings(tmp_path), web_persona(Web(folders=[blog]))
    crawl(here, who, "web")
    (blog / "a.md").unlink()
    assert crawl(here, who, "web").deleted == 1
    absent = crawl(here, web_persona(Web(folders=[tmp_path / "nowhere"])), "web")
    assert "missing folder" in (absent.error or "")
    assert absent.deleted == 0


def test_pages_and_feeds_are_read(tmp_path: Path) -> None:
    page = (
        '<html><head><meta property="og:title" content="On ropes">'
        '<meta property="article:published_time" content="2023-04-05T06:07:08Z"></head>'
        "<body><article><p>Coil them.</p></article></body></html>"
    )
    write_article(tmp_path / "w", "medium", 1)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        sites.pages["/ropes"] = ("text/html; charset=utf-8", page.encode())
        web = Web(pages=[sites.url("/ropes"), sites.url("/medium/feed/@runahollis")])
        first, second = crawl(here, web_persona(web), "web"), crawl(here, web_persona(web), "web")
    assert (first.error, first.new) == (None, 2)
    assert (second.not_modified, second.new) == (2, 0)
    found = next(item for item in stored(here, "web") if item.title == "On ropes")
    assert found.published_at == datetime(2023, 4, 5, 6, 7, 8, tzinfo=UTC)


def test_a_rule_in_the_text_is_not_front_matter() -> None:
    assert split_front_matter("Hello.\n\n---\n\nBye.\n") == ({}, "Hello.\n\n---\n\nBye.\n")
    assert split_front_matter("---\n---\nBye.\n") == ({}, "Bye.\n")


def test_a_real_blog_is_read_whole(tmp_path: Path) -> None:
    folder = CORPORA / "jessfraz-blog"
    if not folder.is_dir():
        pytest.skip(f"NO REAL CORPUS AT {folder}: set TWIN_TEST_CORPORA to the folder that has it")
    here = settings(tmp_path)
    author = web_persona(Web(folders=[folder])).model_copy(update={"full_name": "Jessica Frazelle"})
    report = crawl(here, author, "web")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert report.error is None
    assert report.new + sum(report.skipped.values()) == len(files)
    items = stored(here, "web")
    assert all(item.title and item.published_at for item in items)
    assert not any(item.body.startswith("+++") for item in items)


def test_one_page_that_fails_keeps_its_text_and_the_others_are_read(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        for name in ("a", "ab", "c"):
            sites.pages[f"/{name}"] = ("text/html", f"<article><p>Text {name}.</p></article>".encode())
        declared = Web(pages=[sites.url("/a"), sites.url("/ab"), sites.url("/c")])
        crawl(here, web_persona(declared), "web")
        sites.fail["/a"] = 404  # and /ab with it
        sites.fail["/ab"] = 404
        fewer = Web(pages=[sites.url("/a"), sites.url("/c")])
        report = crawl(here, web_persona(fewer), "web")
    assert (report.error, report.skipped, report.deleted, report.items) == (None, {"HTTP 404": 1}, 1, 2)
    assert report.left_out == {"HTTP 404": [sites.url("/a")]}

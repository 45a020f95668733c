"""A spider's own bug on one answer is counted as such: the crawl goes on, and nothing is taken for deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scrapy.http import Response, TextResponse

from tests.feature.crawl.writing import settings, web_persona
from twin_assets.core.lake import open_lake
from twin_assets.core.sources import Web
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.feature.crawl.run import StoreItems, _settle
from twin_assets.feature.crawl.spiders.base import SourceSpider
from twin_assets.feature.crawl.store import CrawlStore


class Buggy(SourceSpider):
    name = "web"
    title = "Web"

    def parse(self, response: Response) -> Iterator[Any]:
        if "odd" in response.url:
            raise ZeroDivisionError("ours")
        yield self.item(response.url, category="article", url=response.url, body="Text.", mime="text/plain")


def crawled(tmp_path: Path, *urls: str) -> tuple[CrawlReport, CrawlStore]:
    here = settings(tmp_path)
    who = web_persona(Web(folders=[tmp_path]))
    report, store = (
        CrawlReport(persona="runa", source="web"),
        CrawlStore(open_lake(here), here.cache_dir, "runa", "web"),
    )
    spider = Buggy(who, here, store, report)
    pipeline = StoreItems(spider)
    for url in urls:
        answers = spider.fetch(url, spider.parse).callback(TextResponse(url, body=b"x"))  # type: ignore[misc]
        for item in answers:
            pipeline.process_item(item)
    report.bugs = spider.bugs
    _settle(spider, store, report)
    store.finish()
    store.close()
    return report, store


def test_the_other_answers_are_kept_and_nothing_is_deleted(tmp_path: Path) -> None:
    crawled(tmp_path, "https://e.example/a", "https://e.example/b")
    report, store = crawled(tmp_path, "https://e.example/a", "https://e.example/odd")
    assert (report.error, report.bugs, report.skipped) == (None, 1, {"spider error": 1})
    assert report.left_out == {"spider error": ["https://e.example/odd"]}
    assert (report.deleted, report.unchanged) == (0, 1)
    assert set(store.state.known) == {"https://e.example/a", "https://e.example/b"}


def test_a_bug_on_everything_is_an_error(tmp_path: Path) -> None:
    report, _ = crawled(tmp_path, "https://e.example/odd")
    assert "this is a bug" in (report.error or "")


def test_what_cannot_be_stored_is_an_error_and_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crawled(tmp_path, "https://e.example/a")
    here = settings(tmp_path)
    part_folder = here.cache_dir / "crawl" / "runa" / "web"
    report, store = (
        CrawlReport(persona="runa", source="web"),
        CrawlStore(open_lake(here), here.cache_dir, "runa", "web"),
    )
    spider = Buggy(web_persona(Web(folders=[tmp_path])), here, store, report)
    store.part = part_folder / "gone" / "part.jsonl"  # as a disk that can't be written to
    pipeline = StoreItems(spider)
    for item in spider.fetch("https://e.example/b", spider.parse).callback(
        TextResponse("https://e.example/b", body=b"x")
    ):  # type: ignore[misc]
        pipeline.process_item(item)
    _settle(spider, store, report)
    store.close()
    assert "was not stored" in (report.error or "")
    assert report.deleted == 0

"""A spider's own bug on one answer is counted as such: the crawl goes on, and nothing is taken for deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scrapy.http import Response, TextResponse

from tests.feature.crawl.test_odd_answers import Pages, page
from tests.feature.crawl.writing import settings, stored, web_persona
from tests.support.machine import full_disk
from twin_assets.core.persona.sources import Web
from twin_assets.core.storage.lake import open_lake
from twin_assets.feature.crawl.crawl import crawl_source
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.feature.crawl.run import StoreItems, _settle
from twin_assets.feature.crawl.spiders.base import SourceSpider
from twin_assets.feature.crawl.store import CrawlStore


class Buggy(SourceSpider):
    name = "web"

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


def crawling(tmp_path: Path) -> tuple[StoreItems, Buggy]:
    """A crawl that is about to get answers."""
    here, report = settings(tmp_path), CrawlReport(persona="runa", source="web")
    store = CrawlStore(open_lake(here), here.cache_dir, "runa", "web")
    spider = Buggy(web_persona(Web(folders=[tmp_path])), here, store, report)
    return StoreItems(spider), spider


def answer(pipeline: StoreItems, spider: Buggy, url: str) -> None:
    for item in spider.fetch(url, spider.parse).callback(TextResponse(url, body=b"x")):  # type: ignore[misc]
        pipeline.process_item(item)


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("room", [1, 40, 300])
def test_a_full_disk_costs_the_items_it_had_no_room_for_and_no_other(
    tmp_path: Path, line: int, room: int
) -> None:
    """The disk takes a part of one line; then there is room again."""
    crawled(tmp_path, "https://e.example/known")
    pipeline, spider = crawling(tmp_path)
    urls = [f"https://e.example/{name}" for name in "abcd"]
    for number, url in enumerate(urls):
        if number == line:
            size = spider.store.part.stat().st_size if spider.store.part.exists() else 0
            with full_disk(size + room):
                answer(pipeline, spider, url)
            assert spider.store.part.stat().st_size == size + room, "a half line was written"
        else:
            answer(pipeline, spider, url)
    _settle(spider, spider.store, spider.report)
    spider.store.finish()
    spider.store.close()
    report, kept = spider.report, [url for number, url in enumerate(urls) if number != line]
    assert "was not stored" in (report.error or "")
    assert (report.deleted, spider.store.damaged) == (0, 0)
    assert [item.item_id for item in stored(settings(tmp_path), "web")] == ["https://e.example/known", *kept]
    after, store = crawled(tmp_path, "https://e.example/known", *urls)
    assert (after.error, after.new, after.unchanged, store.recovered) == (None, 1, 4, 0)


def test_a_half_line_at_the_end_of_a_crawl_is_not_stored(tmp_path: Path) -> None:
    pipeline, spider = crawling(tmp_path)
    answer(pipeline, spider, "https://e.example/a")
    with full_disk(spider.store.part.stat().st_size + 50):
        answer(pipeline, spider, "https://e.example/b")
    spider.store.finish()
    spider.store.close()
    assert [item.item_id for item in stored(settings(tmp_path), "web")] == ["https://e.example/a"]


def test_a_part_that_is_killed_with_a_half_line_is_stored_without_it(tmp_path: Path) -> None:
    pipeline, spider = crawling(tmp_path)
    answer(pipeline, spider, "https://e.example/a")
    with full_disk(spider.store.part.stat().st_size + 50):
        answer(pipeline, spider, "https://e.example/b")
    spider.store.close()  # as the system does for a process that is killed
    report, store = crawled(tmp_path, "https://e.example/a", "https://e.example/b")
    assert (store.recovered, store.damaged, report.new, report.unchanged) == (1, 0, 1, 1)


def test_damaged_lines_of_a_part_are_kept_aside_and_counted(tmp_path: Path) -> None:
    """As the parts of earlier versions have them: half a line with the next item joined to it."""
    pipeline, spider = crawling(tmp_path)
    answer(pipeline, spider, "https://e.example/a")
    whole = spider.store.part.read_bytes()
    spider.store.part.write_bytes(whole[:100] + whole + b"\0\0\n" + whole)
    spider.store._whole = spider.store.part.stat().st_size
    spider.store.finish()
    spider.store.close()
    assert spider.store.damaged == 2
    assert len(stored(settings(tmp_path), "web")) == 1
    [kept] = spider.store.parts.glob("*.damaged")
    assert kept.read_bytes() == whole[:100] + whole + b"\0\0\n"


def test_a_disk_that_fills_up_is_the_crawls_error_and_the_next_crawl_stores_what_came(tmp_path: Path) -> None:
    """The whole way, in a process of its own, whose files may not grow beyond some kilobytes."""
    here, site = settings(tmp_path), Pages(**{f"p{n}": page(f"Page {n}") for n in range(8)})
    with site:
        who = web_persona(Web(pages=[f"{site.address}/p{n}" for n in range(8)]))
        with full_disk(4_000):
            failed = crawl_source(here, who, "web", lambda line: None)
        after = crawl_source(here, who, "web", lambda line: None)
    assert "not stored" in (failed.error or "")
    assert "disk" in (failed.error or "")
    assert 0 < failed.new < 8
    assert (after.error, after.damaged, failed.new + after.recovered + after.new) == (None, 0, 8)
    assert len({item.item_id for item in stored(here, "web")}) == 8


def test_a_state_that_cannot_be_stored_is_the_crawls_error(tmp_path: Path) -> None:
    here, site = settings(tmp_path), Pages(**{f"p{n}": page(f"Page {n}") for n in range(30)})
    with site:
        first = crawl_source(
            here,
            web_persona(Web(pages=[f"{site.address}/p{n}" for n in range(29)])),
            "web",
            lambda line: None,
        )
        who = web_persona(Web(pages=[f"{site.address}/p{n}" for n in range(30)]))
        with full_disk(3_000):
            failed = crawl_source(here, who, "web", lambda line: None)
        after = crawl_source(here, who, "web", lambda line: None)
    assert (first.error, first.new) == (None, 29)
    assert "could not be brought to the lake" in (failed.error or "")
    assert after.error is None
    assert len({item.item_id for item in stored(here, "web")}) == 30

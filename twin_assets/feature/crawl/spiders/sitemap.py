"""What a sitemap lists, and which of its pages are asked for."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from scrapy.http import Response
from scrapy.utils.gz import gunzip
from scrapy.utils.sitemap import Sitemap

from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable

MAX_UNPACKED = 50_000_000  # the limit of the sitemap protocol


def ask_sitemap(
    spider: SourceSpider,
    url: str,
    item_id_of: Callable[[str], str | None],
    read_page: Callable[[Response, str, str, str | None], Answers],
    after: Callable[[], Answers] = lambda: iter(()),
) -> Any:
    """A request for a sitemap that leads to one for each page that is new, or newer than the stored one.

    `item_id_of` names the item at an address (None: no article); `read_page` gets answer, address, id and
    the sitemap's `lastmod`. `after` follows when all was asked. A sitemap index is followed.
    """

    def follow(response: Response) -> Answers:
        sitemap = _sitemap(response)
        entries = [(entry["loc"], entry.get("lastmod")) for entry in sitemap if entry.get("loc")]
        if sitemap.type == "sitemapindex":
            for inner, _ in entries:
                if _same_host(inner, url):
                    yield ask_sitemap(spider, inner, item_id_of, read_page)
        else:
            yield from _ask_pages(spider, url, entries, item_id_of, read_page)
        yield from after()

    return spider.fetch(url, follow, listing=True)


def _ask_pages(
    spider: SourceSpider,
    sitemap: str,
    entries: list[tuple[str, str | None]],
    item_id_of: Callable[[str], str | None],
    read_page: Callable[[Response, str, str, str | None], Answers],
) -> Iterator[Any]:
    for address, modified in entries:
        item_id = item_id_of(address)
        if item_id is None or item_id in spider.listed:
            continue
        if not _same_host(address, sitemap):
            spider.skip("on another host")
        elif not spider.wanted(item_id, address):
            spider.skip("left out by the persona's patterns")
        elif modified and spider.known_unchanged(item_id, modified, requests=1):
            continue
        else:
            if item_id in spider.store.state.known:
                spider.listed.add(item_id)  # the sitemap has it, whatever becomes of the request
            yield spider.fetch(
                address, lambda r, a=address, i=item_id, m=modified: read_page(r, a, i, m),
            )  # fmt: skip


def _sitemap(response: Response) -> Sitemap:
    data = response.body
    if data[:2] == b"\x1f\x8b":
        data = gunzip(data, max_size=MAX_UNPACKED)
    if b"<urlset" not in data[:2_000] and b"<sitemapindex" not in data[:2_000]:
        raise Unreadable("expected a sitemap")
    return Sitemap(data)


def _same_host(address: str, other: str) -> bool:
    return urlsplit(address).netloc == urlsplit(other).netloc

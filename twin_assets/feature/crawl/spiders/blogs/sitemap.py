"""What a sitemap lists, and which of its pages are asked for.

XML sitemaps and their indexes, also gzipped; text sitemaps; feeds, which the protocol allows as sitemaps; and
a site's root, whose robots.txt names its sitemaps. https://www.sitemaps.org/protocol.html
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urljoin, urlsplit

from scrapy.http import Response
from scrapy.utils.gz import gunzip
from scrapy.utils.sitemap import Sitemap, sitemap_urls_from_robots

from twin_assets.feature.crawl.formats.feeds import is_feed, read_feed
from twin_assets.feature.crawl.formats.xml_text import decode_feed, root_name
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable

MAX_UNPACKED = 50_000_000  # the limit of the sitemap protocol
MAX_DEPTH = 5  # the protocol knows one level of indexes; a few sites nest them
MAX_SITEMAPS = 1_000
MAX_PAGES = 50_000
MAX_SECONDS = 3_600.0  # no further sitemap is opened after that

# Begins the mark of a page that shows only a part of its text.
SNIPPET = "snippet "

Entries = list[tuple[str, str | None]]


@dataclass
class _Walk:
    """One walk from a sitemap that the persona names: each address once, and not without end."""

    spider: SourceSpider
    start: str
    item_id_of: Callable[[str], str | None]
    read_page: Callable[[Response, str, str, str | None], Answers]
    visited: set[str] = field(default_factory=set)
    sitemaps: int = 0
    pages: int = 0
    began: float = field(default_factory=time.monotonic)

    def is_new(self, address: str) -> bool:
        parts = urlsplit(address) if site_of(address) else None
        key = f"{site_of(address)}{parts.path or '/'}?{parts.query}" if parts else address
        fresh = key not in self.visited
        self.visited.add(key)
        return fresh

    def limit(self, reason: str, where: str) -> None:
        """Something is left unread: counted, and absence of an item proves nothing in this crawl."""
        self.spider.listing_complete = False
        self.spider.skip(reason, where)

    def ask(self, url: str, depth: int) -> Answers:
        if depth > MAX_DEPTH:
            self.limit(f"sitemap nested deeper than {MAX_DEPTH}", url)
        elif self.sitemaps >= MAX_SITEMAPS:
            self.limit(f"more than {MAX_SITEMAPS:,} sitemaps", url)
        elif time.monotonic() - self.began > MAX_SECONDS:
            self.limit(f"sitemaps took longer than {MAX_SECONDS / 60:.0f} minutes", url)
        else:
            self.sitemaps += 1
            yield self.spider.fetch(
                url,
                lambda r: self.follow(r, url, depth),
                listing=True,
                missing=(lambda: self._gone(url)) if depth else None,
            )

    def _gone(self, url: str) -> Answers:
        """An index still names a sitemap that is no more: its pages are no more either."""
        self.spider.skip("sitemap that its index names and that is not there", url)
        yield from ()

    def follow(self, response: Response, url: str, depth: int) -> Answers:
        kind, entries = _entries(response, url)
        for address, modified in entries:
            if not self.is_new(address):
                continue
            if not is_same_site(address, self.start):
                self.spider.skip("on another host", address)
            elif kind == "sitemapindex":
                yield from self.ask(address, depth + 1)
            else:
                yield from self._page(address, modified)

    def _page(self, address: str, modified: str | None) -> Answers:
        spider, item_id = self.spider, self.item_id_of(address)
        if item_id is None:
            return
        self.pages += 1
        if self.pages > MAX_PAGES:
            self.limit(f"beyond the first {MAX_PAGES:,} pages of a sitemap", address)
        elif not spider.wanted(item_id, address):
            spider.skip("left out by the persona's patterns", address)
        elif not (
            modified and any(spider.known_unchanged(item_id, m, 1) for m in (modified, SNIPPET + modified))
        ):
            if item_id in spider.store.state.known:
                spider.listed.add(item_id)  # the sitemap has it, whatever becomes of the request
            yield spider.fetch(
                address,
                lambda r: self._read(r, address, item_id, modified),
                missing=lambda: self._not_there(item_id, address),
            )

    def _read(self, response: Response, address: str, item_id: str, modified: str | None) -> Answers:
        # Sites send what they have taken down to their front page, which is no article.
        if urlsplit(response.url).path in ("", "/") and urlsplit(address).path not in ("", "/"):
            yield from self._not_there(item_id, address)
        else:
            yield from self.read_page(response, address, item_id, modified)

    def _not_there(self, item_id: str, address: str) -> Answers:
        self.spider.listed.discard(item_id)
        self.spider.skip("page that its sitemap lists and that is not there", address)
        yield from ()

    def robots(self, response: Response) -> Answers:
        try:
            named = list(sitemap_urls_from_robots(response.body, base_url=self.start))
        except ValueError:  # an address that is none
            named = []
        if not named:
            yield from self.common_place()
        for address in named:
            if not is_same_site(address, self.start):
                self.spider.skip("on another host", address)
            elif self.is_new(address):
                yield from self.ask(address, 0)

    def common_place(self) -> Answers:
        yield from self.ask(urljoin(self.start, "/sitemap.xml"), 0)


def ask_sitemap(
    spider: SourceSpider,
    url: str,
    item_id_of: Callable[[str], str | None],
    read_page: Callable[[Response, str, str, str | None], Answers],
) -> Answers:
    """A request for a sitemap that leads to one for each page that is new, or newer than the stored one.

    `item_id_of` names the item at an address (None: no article); `read_page` gets answer, address, id and
    the sitemap's `lastmod`. An index is followed, each address of it once. For a site's root, the sitemaps
    are those of its robots.txt, else `/sitemap.xml`.
    """
    walk = _Walk(spider, url, item_id_of, read_page)
    if urlsplit(url).path in ("", "/") and not urlsplit(url).query:
        yield spider.fetch(urljoin(url, "/robots.txt"), walk.robots, listing=True, missing=walk.common_place)
    else:
        walk.is_new(url)
        yield from walk.ask(url, 0)


def page_mark(modified: str | None, whole: bool, otherwise: str) -> str:
    """The mark of a stored page: its `lastmod` (or `otherwise`), and whether it shows only a part."""
    return ("" if whole else SNIPPET) + (modified or otherwise)


def is_same_site(address: str, other: str) -> bool:
    """Whether two addresses are of one site: scheme and `www.` make no difference, nor a subdomain of it."""
    here, there = site_of(address), site_of(other)
    return bool(here) and (here == there or here.endswith(f".{there}") or there.endswith(f".{here}"))


def site_of(address: str) -> str:
    """Host and port of an address in compared form, without `www.` and usual ports; empty if it has none."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    with contextlib.suppress(UnicodeError):
        host = host.encode("idna").decode()
    host = host.removeprefix("www.")
    return host if port in (None, 80, 443) else f"{host}:{port}"


def _entries(response: Response, url: str) -> tuple[str, Entries]:
    """Kind (`urlset` or `sitemapindex`) and (address, lastmod) of each entry. Raises Unreadable."""
    data = response.body
    if data[:2] == b"\x1f\x8b":
        try:
            data = gunzip(data, max_size=MAX_UNPACKED)
        except Exception as error:  # Scrapy's own for a bomb has no public name
            raise Unreadable(f"expected a gzipped sitemap of at most 50 MB unpacked ({error})") from None
    kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
    text = decode_feed(data, kind)
    name = root_name(text[:50_000])
    if name in ("urlset", "sitemapindex"):
        try:
            rows = list(islice(Sitemap(data), MAX_PAGES + 1))
        except (ValueError, AttributeError, TypeError) as error:
            raise Unreadable(f"expected a sitemap, it is broken ({error})") from None
        found = [(_joined(url, row["loc"]), row.get("lastmod") or None) for row in rows if row.get("loc")]
        return name, found
    if is_feed(kind, text):
        entries = read_feed(data, kind, url).entries
        return "urlset", [(e.url, e.updated_at.isoformat() if e.updated_at else None) for e in entries]
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    addresses = [line for line in lines if line.startswith(("http://", "https://"))]
    if addresses and addresses[0] == lines[0] and len(addresses) >= len(lines) / 2:
        return "urlset", [(line, None) for line in addresses[: MAX_PAGES + 1]]
    raise Unreadable("expected a sitemap")


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return address  # counted as an address of no site

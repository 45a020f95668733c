"""The base of all spiders: conditional requests, block pages, failures, and what was listed.

A source's spider says which URLs to ask and how to read the answers; everything that can go wrong
between the two is handled and counted here.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import scrapy
from scrapy.http import Response

from twin_assets.core.persona import Persona
from twin_assets.core.records import Category, Visibility
from twin_assets.feature.crawl.blocked import block_reason
from twin_assets.feature.crawl.guard import Refused
from twin_assets.feature.crawl.items import CrawlReport, RawItem, body_hash
from twin_assets.feature.crawl.store import CrawlStore, Validator
from twin_assets.settings import Settings

log = logging.getLogger("crawl")
Answers = Iterator[Any]


class Unreadable(Exception):
    """An answer that is not what its source promises. The message says what was expected."""


class SourceSpider(scrapy.Spider):
    """A spider of one source. Subclasses set `name`, `title` and implement `begin`."""

    title = "source"
    unknown_fix = "check the address in the persona's YAML."
    windowed = False  # the listing shows only the newest items, so absence means nothing

    def __init__(self, persona: Persona, settings: Settings, store: CrawlStore, report: CrawlReport) -> None:
        super().__init__()
        self.persona, self.twin, self.store, self.report = persona, settings, store, report
        self.listed: set[str] = set()
        self.listing_complete = True
        self.validators: dict[str, Validator] = {}
        self.leaves: dict[str, Validator] = {}

    def begin(self) -> Answers:
        """First requests (and items that need none)."""
        raise NotImplementedError

    async def start(self) -> AsyncIterator[Any]:
        for answer in self.begin():
            yield answer

    def fetch(
        self,
        url: str,
        callback: Callable[..., Answers],
        *,
        listing: bool = False,
        unchanged: Callable[[dict[str, Any]], Answers] | None = None,
        blocked: Callable[[], Answers] | None = None,
        missing: Callable[[], Answers] | None = None,
        headers: dict[str, str] | None = None,
    ) -> scrapy.Request:
        """A request, conditional when this URL was answered with validators before.

        `listing`: without this answer absence of an item proves nothing, and the crawl has an error.
        `unchanged` follows a 304 with the memo that `remember` kept; `blocked` follows a block page
        and `missing` a 404, in place of the default, which counts them.
        """
        known = self.store.state.validators.get(url)
        sent = dict(headers or {})
        if known and known.etag:
            sent["If-None-Match"] = known.etag
        elif known and known.last_modified:
            sent["If-Modified-Since"] = known.last_modified

        def received(response: Response) -> Answers:
            try:
                yield from self._received(response, url, callback, listing, unchanged, blocked, missing)
            except Unreadable as error:
                self.fail(
                    url,
                    f"unreadable answer: {error}",
                    listing,
                    "the site may have changed or be ill; try later.",
                )

        def unreachable(failure: Any) -> None:
            self._unreachable(failure, url, listing)

        return scrapy.Request(url, callback=received, errback=unreachable, headers=sent, dont_filter=True)

    def _received(
        self,
        response: Response,
        url: str,
        callback: Any,
        listing: bool,
        unchanged: Any,
        blocked: Any,
        missing: Any,
    ) -> Answers:
        if response.status == 304:
            self.report.not_modified += 1
            known = self.store.state.validators[url]
            self._keep(url, known, listing)
            ids = known.memo.get("ids", [])
            self.listed.update(ids)
            self.report.unchanged += len(ids)
            if unchanged:
                yield from unchanged(known.memo)
            return
        text = response.text if hasattr(response, "text") else ""
        mitigated = response.headers.get("cf-mitigated") == b"challenge"
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
        if response.status == 404 and missing:
            yield from missing()
        elif refused := self.refused(response):
            self.fail(url, refused[0], listing, refused[1])
        elif reason := block_reason(response.status, kind, text, mitigated):
            log.warning("blocked: %s: %s", reason, url)
            self.report.count(self.report.blocked, reason)
            if blocked:
                yield from blocked()
            elif listing:
                self.fail(url, f"was blocked ({reason})", True, "wait, then crawl again less often.")
        elif response.status in (404, 410):
            self.fail(url, f"HTTP {response.status}", listing, self.unknown_fix)
        elif response.status >= 400:
            self.fail(
                url, f"HTTP {response.status}", listing, "the site is ill or refuses us; try again later."
            )
        else:
            yield from callback(response)

    def refused(self, response: Response) -> tuple[str, str] | None:
        """Problem and fix when an answer means that our token is refused."""
        return None

    def fail(self, url: str, problem: str, listing: bool, fix: str = "") -> None:
        """Count a failure; one of a listing also stops deletions, and the first one is the error."""
        self.report.count(self.report.failed, problem.split(":")[0])
        log.error("failed: %s: %s", problem, url)
        if listing:
            self.listing_complete = False
        if listing or not self.report.error:
            self.report.error = f"{self.title}: {url} {_verb(problem)}. Fix: {fix}"

    def _unreachable(self, failure: Any, url: str, listing: bool) -> None:
        error = failure.value
        if isinstance(error, Refused):
            self.fail(
                url, f"refused: {error}", listing,
                "use a public http(s) address, or set TWIN_ALLOW_PRIVATE_HOSTS=true for sites of your own.",
            )  # fmt: skip
        elif type(error).__name__ == "IgnoreRequest":
            self.fail(url, "forbidden by robots.txt", listing, "respect it, or ask the site's owner.")
        else:
            self.fail(
                url, f"unreachable: {type(error).__name__}", listing, "check the address and the network."
            )

    def remember(self, response: Response, url: str, memo: dict[str, Any], leaf: bool = False) -> None:
        """Keep an answer's validators with a memo. `memo["ids"]` are the items it stands for.

        A leaf is an item's own address; others list items, and are kept only if all of those came.
        """
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        if etag or modified:
            validator = Validator(
                etag=etag.decode() if etag else None,
                last_modified=modified.decode() if modified else None,
                memo=memo,
            )
            (self.leaves if leaf else self.validators)[url] = validator

    def _keep(self, url: str, validator: Validator, listing: bool) -> None:
        (self.validators if listing else self.leaves)[url] = validator

    def item(
        self,
        item_id: str,
        *,
        category: Category,
        url: str,
        body: str,
        mime: str,
        title: str | None = None,
        author: str | None = None,
        published_at: datetime | None = None,
        visibility: Visibility | None = None,
        partial: bool = False,
        payload: dict[str, Any] | None = None,
        mark: str | None = None,
        windowed: bool | None = None,
    ) -> RawItem:
        """A raw item of this crawl, noted as listed."""
        self.listed.add(item_id)
        return RawItem(
            persona=self.persona.name, source=self.name, item_id=item_id, category=category, url=url,
            title=title, author=author or self.persona.full_name, published_at=published_at,
            fetched_at=datetime.now(UTC), mime=mime, body=body, content_hash=body_hash(body),
            language=self.persona.languages[0] if len(self.persona.languages) == 1 else None,
            visibility=visibility or self.persona.visibility, partial=partial, payload=payload or {},
            mark=mark, windowed=self.windowed if windowed is None else windowed,
        )  # fmt: skip

    def skip(self, reason: str, times: int = 1) -> None:
        """Count something left out on purpose."""
        self.report.skipped[reason] = self.report.skipped.get(reason, 0) + times


def _verb(problem: str) -> str:
    if problem.startswith("HTTP"):
        return f"answered {problem}"
    return f"gave an {problem}" if problem.startswith("unreadable") else f"was {problem.removeprefix('was ')}"

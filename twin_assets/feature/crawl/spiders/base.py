"""The base of all spiders: conditional requests, block pages, failures, and what was listed.

A source's spider says which URLs to ask and how to read the answers; everything that can go wrong
between the two is handled and counted here.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.internet.error import DNSLookupError

from twin_assets.core.errors import TwinError
from twin_assets.core.identity import Identity
from twin_assets.core.persona import Persona
from twin_assets.core.raw import RawItem, body_hash
from twin_assets.core.records import Category, Visibility
from twin_assets.core.text.block_pages import block_reason
from twin_assets.feature.crawl.items import SAMPLES, CrawlReport
from twin_assets.feature.crawl.polite.guard import PublicResolver, Refused
from twin_assets.feature.crawl.store import CrawlStore, Validator
from twin_assets.settings import Settings

# No source has so many listings: a site that leads on and on is left, and the crawl says so.
MAX_LISTINGS = 20_000
log = logging.getLogger("crawl")
Answers = Iterator[Any]


class Unreadable(Exception):
    """An answer that is not what its source promises. The message says what was expected."""


class SourceSpider(scrapy.Spider):
    """A spider of one source. Subclasses set `name`, `title` and implement `begin`."""

    title = "source"
    key_setting: str | None = None  # the setting that must hold one, where the source insists
    key_page = ""
    unknown_fix = "check the address in the persona's YAML."
    obeys_robots = True  # robots.txt speaks of pages; an API with a token has terms of its own
    windowed = False  # the listing shows only the newest items, so absence means nothing

    def __init__(self, persona: Persona, settings: Settings, store: CrawlStore, report: CrawlReport) -> None:
        super().__init__()
        self.persona, self.twin, self.store, self.report = persona, settings, store, report
        self.listed: set[str] = set()
        self.listing_complete = True
        self.asked_listings: set[str] = set()
        self.validators: dict[str, Validator] = {}
        self.leaves: dict[str, Validator] = {}
        self.leaf_of: dict[str, str] = {}
        declared = persona.declared(self.name)
        self.include, self.exclude = declared.include, declared.exclude
        self.visibility = declared.visibility or persona.visibility
        self.authors = Identity.of(persona)

    @classmethod
    def check(cls, settings: Settings, persona: Persona) -> None:
        """Raise TwinError when the crawl can't even begin: undeclared, or without its token."""
        persona.declared(cls.name)
        secret = getattr(settings, cls.key_setting) if cls.key_setting else None
        if cls.key_setting and (secret is None or not secret.get_secret_value().strip()):
            raise TwinError(
                f"{cls.title} needs a token and none is set.",
                f"set TWIN_{cls.key_setting.upper()}; get one at {cls.key_page}.",
            )

    def wanted(self, *names: str) -> bool:
        """Whether an item passes the persona's patterns; `names` are its path and its address."""
        if self.include and not any(fnmatchcase(n, glob) for n in names for glob in self.include):
            return False
        return not any(fnmatchcase(n, glob) for n in names for glob in self.exclude)

    def begin(self) -> Answers:
        """First requests (and items that need none)."""
        raise NotImplementedError

    async def start(self) -> AsyncIterator[Any]:
        for answer in self.begin():
            if answer is not None:
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
    ) -> scrapy.Request | None:
        """A request, conditional when this URL was answered with validators before.

        `listing`: without this answer absence of an item proves nothing, and the crawl has an error.
        A listing is asked once: None for an address that was asked before, so pages that lead back end.
        `unchanged` follows a 304 with the memo that `remember` kept; `blocked` follows a block page
        and `missing` a 404 or 410, in place of the default, which counts them.
        """
        if listing:
            if (address := url.partition("#")[0]) in self.asked_listings:
                return None
            self.asked_listings.add(address)
            if len(self.asked_listings) > MAX_LISTINGS:
                self.listing_complete = False
                self.skip(f"beyond the first {MAX_LISTINGS:,} listings", url)
                return None
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

        meta = {} if self.obeys_robots else {"dont_obey_robotstxt": True}
        return scrapy.Request(
            url, callback=received, errback=unreachable, headers=sent, dont_filter=True, meta=meta
        )

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
            self.report.unchanged += len(self.store.state.known.keys() & set(ids))
            self.report.saved_bytes += known.size
            if unchanged:
                yield from unchanged(known.memo)
            return
        text = response.text if hasattr(response, "text") else ""
        mitigated = response.headers.get("cf-mitigated") == b"challenge"
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
        if response.status in (404, 410) and missing:
            yield from missing()
        elif refused := self.refused(response):
            self.fail(url, refused[0], listing, refused[1])
        elif reason := block_reason(response.status, kind, text, mitigated):
            log.warning("blocked: %s: %s", reason, url)
            self.report.count(self.report.blocked, reason, url)
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
        self.report.count(self.report.failed, problem.split(":")[0], url)
        log.error("failed: %s: %s", problem, url)
        if listing:
            self.listing_complete = False
        if listing or not self.report.error:
            self.report.error = f"{self.title}: {url} {_verb(problem)}. Fix: {fix}"

    def _unreachable(self, failure: Any, url: str, listing: bool) -> None:
        error = failure.value
        host = urlsplit(url).hostname or ""
        if isinstance(error, DNSLookupError) and host in PublicResolver.refused:
            error = Refused(f"{host} leads to a private address")
        if isinstance(error, Refused):
            self.fail(
                url, f"refused: {error}", listing,
                "use a public http(s) address, or set TWIN_ALLOW_PRIVATE_HOSTS=true for sites of your own.",
            )  # fmt: skip
        elif isinstance(error, IgnoreRequest):
            # Scrapy says all of these with one class: robots.txt, a bomb, a circle of redirects.
            why = str(error).lower()
            if not listing:  # a single page that is closed to us is no fault of the source
                self.skip("forbidden by robots.txt" if "robots" in why else "refused by our limits", url)
            elif "robots" in why:
                self.fail(url, "forbidden by robots.txt", listing, "respect it, or ask the site's owner.")
            elif "redirect" in why:
                self.fail(url, "redirected without end", listing, self.unknown_fix)
            else:
                self.fail(url, "larger than 20 MB unpacked", listing, "leave it out of the persona's YAML.")
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
                size=len(response.body),
            )
            (self.leaves if leaf else self.validators)[url] = validator
            if leaf:
                self.leaf_of |= dict.fromkeys(memo.get("ids", []), url)

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
        language: str | None = None,
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
            language=language or (self.persona.languages[0] if len(self.persona.languages) == 1 else None),
            visibility=visibility or self.visibility, partial=partial, payload=payload or {},
            mark=mark, windowed=self.windowed if windowed is None else windowed,
        )  # fmt: skip

    def members_only(self) -> Visibility:
        """The visibility of an item that only members or paying readers may see."""
        return "private" if self.visibility == "private" else "connections"

    def known_unchanged(self, item_id: str, mark: str, requests: int) -> bool:
        """Whether an item is stored with the mark that its listing shows now; `requests` were not needed."""
        known = self.store.state.known.get(item_id)
        if known is None or known.mark != mark:
            return False
        self.listed.add(item_id)
        self.report.unchanged += 1
        self.report.saved_requests += requests
        return True

    def skip(self, reason: str, where: str = "", times: int = 1) -> None:
        """Count something left out; `where` (a path, an address, the first words) is kept for the first few of a reason."""
        self.report.skipped[reason] = self.report.skipped.get(reason, 0) + times
        samples = self.report.left_out.setdefault(reason, [])
        if where and len(samples) < SAMPLES:
            samples.append(where)

    def is_own(self, *bylines: str | None) -> bool:
        """Whether a piece is the persona's: it bears no byline, or one of the persona's names, handles or addresses."""
        return self.authors.accepts(*bylines)


def _verb(problem: str) -> str:
    if problem.startswith("HTTP"):
        return f"answered {problem}"
    return f"gave an {problem}" if problem.startswith("unreadable") else f"was {problem.removeprefix('was ')}"

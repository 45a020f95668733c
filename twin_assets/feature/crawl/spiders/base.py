"""The base of all spiders: conditional requests, block pages, failures, and what was listed.

A source's spider says which URLs to ask and how to read the answers; everything that can go wrong
between the two is handled and counted here.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.internet.error import DNSLookupError

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona, source_title
from twin_assets.core.persona.identity import Identity
from twin_assets.core.records import Category, Visibility
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.core.text.html.block_pages import block_reason
from twin_assets.feature.crawl.items import SAMPLES, CrawlReport
from twin_assets.feature.crawl.polite.guard import PublicResolver, Refused
from twin_assets.feature.crawl.store import CrawlStore, Validator
from twin_assets.settings import Settings

# No source has so many listings: a site that leads on and on is left, and the crawl says so.
log = logging.getLogger("crawl")
Answers = Iterator[Any]


SPIDER_ERROR = "spider error"


_LOGIN = re.compile(
    r"(?:^|[/_.-])(?:log-?in|sign-?in|sign_in|wp-login\.php|auth|sso|oauth2?|sessions?/new|users?/login|accounts?/login)(?:[/_.?-]|$)",
    re.IGNORECASE,
)


def is_led_to_login(url: str, response: Response) -> bool:
    """Whether an address led to another one where one signs in: what is there is no answer to what was asked."""
    there = urlsplit(response.url)
    return (
        response.url != url
        and bool(
            _LOGIN.search(there.path) or re.search(r"^(?:login|signin|sso|auth|accounts)\.", there.netloc)
        )
        and not _LOGIN.search(urlsplit(url).path)
    )


class Unreadable(Exception):
    """An answer that is not what its source promises. The message says what was expected."""


@dataclass(frozen=True)
class _Ask:
    """What a request was for: a listing of the whole source, of one part of it (`within`), or an item."""

    url: str
    listing: bool
    within: str | None


class SourceSpider(scrapy.Spider):
    """A spider of one source. Subclasses set `name`, which is the source's, and implement `begin`."""

    key_setting: str | None = None  # the setting that must hold one, where the source insists
    key_page = ""
    unknown_fix = "check the address in the persona's YAML."
    max_listings = 20_000  # lists and pages of lists asked in one crawl
    obeys_robots = True  # robots.txt speaks of pages; an API with a token has terms of its own
    rules = (
        "2"  # raised when a spider keeps other things than before: older validators then vouch for nothing
    )
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
        self.dropped: set[str] = set()  # items that their source shows, and that may no longer be kept
        self.lost = 0  # items that were asked for, or listed, and could not be read
        self.parts = self.parts_lost = 0  # requests for a listing of a part of the source
        self.bugs = 0
        self.first_loss = ""
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
                f"{source_title(cls.name)} needs a token and none is set.",
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
        within: str | None = None,
        absent: Callable[[Response], str | None] | None = None,
    ) -> scrapy.Request | None:
        """A request, conditional when this URL was answered with validators before.

        `listing`: without this answer absence of an item proves nothing, and the crawl has an error. Where it
        lists only a part of the source, `within` is how the ids of that part begin: then a failure leaves those
        items as they are and is counted, and the crawl stays complete.
        A listing is asked once: None for an address that was asked before, so pages that lead back end.
        `unchanged` follows a 304 with the memo that `remember` kept; `blocked` follows a block page
        and `missing` a 404 or 410, in place of the default, which counts them. `absent` says of an answer why there is
        nothing at this place, if it says so: that is counted under the reason, and what was there counts as gone,
        unless the answer is a refusal.
        """
        if listing:
            if (address := url.partition("#")[0]) in self.asked_listings:
                return None
            self.asked_listings.add(address)
            if len(self.asked_listings) > self.max_listings:
                self.skip(f"beyond the first {self.max_listings:,} listings", url)
                if within is None:
                    self.listing_complete = False
                else:
                    self.keep_part(within)
                return None
        validator = self.store.state.validators.get(url)
        sent = dict(headers or {})
        if validator and validator.etag:
            sent["If-None-Match"] = validator.etag
        elif validator and validator.last_modified:
            sent["If-Modified-Since"] = validator.last_modified

        ask = _Ask(url, listing, within)
        self.parts += within is not None

        def received(response: Response) -> Answers:
            try:
                if absent and (reason := absent(response)):
                    self.skip(reason, url)
                    if within is not None and response.status in (401, 403):
                        self.keep_part(within)
                else:
                    yield from self._received(response, ask, callback, unchanged, blocked, missing)
            except Unreadable as error:
                self._failed(
                    ask, f"unreadable answer: {error}", "the site may have changed or be ill; try later."
                )
            except Exception:  # ours: the crawl goes on with the other answers, and says so
                log.exception("spider error: %s", url)
                self.bug(url)

        def unreachable(failure: Any) -> None:
            self._unreachable(failure, ask)

        meta = {} if self.obeys_robots else {"dont_obey_robotstxt": True}
        return scrapy.Request(
            url, callback=received, errback=unreachable, headers=sent, dont_filter=True, meta=meta
        )

    def _received(
        self, response: Response, ask: "_Ask", callback: Any, unchanged: Any, blocked: Any, missing: Any
    ) -> Answers:
        url, listing = ask.url, ask.listing
        if response.status == 304:
            self.report.not_modified += 1
            validator = self.store.state.validators[url]
            self._keep(url, validator, listing)
            ids = validator.memo.get("ids", [])
            self.listed.update(ids)
            self.report.unchanged += len(self.store.state.known.keys() & set(ids))
            self.report.saved_bytes += validator.size
            if unchanged:
                yield from unchanged(validator.memo)
            return
        text = response.text if hasattr(response, "text") else ""
        mitigated = response.headers.get("cf-mitigated") == b"challenge"
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
        if response.status in (404, 410) and missing:
            yield from missing()
        elif refused := self.refused(response):
            self.fail(url, refused[0], True, refused[1])
        elif reason := block_reason(response.status, kind, text, mitigated):
            log.warning("blocked: %s: %s", reason, url)
            self.report.count(self.report.blocked, reason, url)
            if blocked:
                yield from blocked()
            else:
                self._failed(ask, f"was blocked ({reason})", "wait, then crawl again less often.")
        elif response.status in (404, 410):
            self._failed(ask, f"HTTP {response.status}", self.unknown_fix)
        elif is_led_to_login(url, response):
            self._failed(
                ask,
                "sent to a login page",
                "it is no longer public; ask for it with a token, or leave it out.",
            )
        elif response.status >= 400:
            self._failed(ask, f"HTTP {response.status}", "the site is ill or refuses us; try again later.")
        else:
            yield from callback(response)

    def refused(self, response: Response) -> tuple[str, str] | None:
        """Problem and fix when an answer means that our token is refused, or that we must stop: an error."""
        return None

    def fail(self, url: str, problem: str, listing: bool, fix: str = "") -> None:
        """Count a failure.

        One of a listing is the crawl's error, and nothing counts as deleted. One of an item is counted under
        `skipped` with its address: the crawl stays complete, unless more than half of the source's items or parts
        fail (see `run.py`). Whoever asks for an item notes it with `keep` first.
        """
        if not listing:
            self._lose(url, problem, fix)
            return
        self.report.count(self.report.failed, problem.split(":")[0], url)
        log.error("failed: %s: %s", problem, url)
        self.listing_complete = False
        self.report.error = self._sentence(url, problem, fix)

    def _failed(self, ask: "_Ask", problem: str, fix: str) -> None:
        """A request came to nothing: an error of its listing, or one item, or one part of the source."""
        if ask.listing and ask.within is None:
            self.fail(ask.url, problem, True, fix)
            return
        if ask.within is not None:
            self.keep_part(ask.within)
        self._lose(ask.url, problem, fix, part=ask.within is not None)

    def keep(self, item_id: str) -> None:
        """Note an item as listed if it is known: its source still has it, whatever becomes of the request."""
        if item_id in self.store.state.known:
            self.listed.add(item_id)

    def keep_part(self, within: str) -> None:
        """Note the known items whose ids begin so as listed: what became of them could not be seen."""
        self.listed.update(item_id for item_id in self.store.state.known if item_id.startswith(within))

    def before_deletions(self) -> None:
        """Called once, when all answers are in and the crawl is complete: the last chance to keep items."""

    def _lose(self, where: str, problem: str, fix: str, part: bool = False) -> None:
        log.warning("skipped: %s: %s", problem, where)
        self.parts_lost += part
        self.lost += not part
        self.first_loss = self.first_loss or self._sentence(where, problem, fix)
        reason, _, detail = problem.partition(": ")
        self.skip(reason, f"{where} ({detail})" if detail else where)

    def _sentence(self, where: str, problem: str, fix: str) -> str:
        return f"{source_title(self.name)}: {where} {_verb(problem)}. Fix: {fix}"

    def bug(self, where: str) -> None:
        """Count an answer or item that our own code failed on. What it held is unknown, so nothing counts as deleted."""
        self.bugs += 1
        self.listing_complete = False
        self._lose(where, SPIDER_ERROR, "read the crawl's log; this is a bug.")

    def each(
        self,
        rows: Iterable[Any],
        read: Callable[[Any], Iterable[Any]],
        where: str,
        key: str | None = None,
        on_odd: Callable[[], None] = lambda: None,
    ) -> Answers:
        """What `read` makes of each row of an answer; a row without what it needs is counted, the others go on.

        `key` names the field that says which row it was; `on_odd` is called for each that was left out.
        """
        for number, row in enumerate(rows, 1):
            try:
                yield from read(row)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                name = row.get(key) if key and isinstance(row, dict) else None
                problem = f"unreadable row: {type(error).__name__} {error}"
                self._lose(f"{where} row {name or number}", problem, "the site may have changed.")
                on_odd()

    def _unreachable(self, failure: Any, ask: "_Ask") -> None:
        error, url = failure.value, ask.url
        host = urlsplit(url).hostname or ""
        if isinstance(error, DNSLookupError) and host in PublicResolver.refused:
            error = Refused(f"{host} leads to a private address")
        if isinstance(error, Refused):
            self._failed(
                ask,
                f"refused: {error}",
                "use a public http(s) address, or set TWIN_ALLOW_PRIVATE_HOSTS=true for sites of your own.",
            )
        elif isinstance(error, IgnoreRequest):
            # Scrapy says all of these with one class: robots.txt, a bomb, a circle of redirects.
            why = str(error).lower()
            if "robots" in why:
                self._failed(ask, "forbidden by robots.txt", "respect it, or ask the site's owner.")
            elif "redirect" in why:
                self._failed(ask, "redirected without end", self.unknown_fix)
            else:
                self._failed(ask, "larger than 20 MB unpacked", "leave it out of the persona's YAML.")
        else:
            self._failed(ask, f"unreachable: {type(error).__name__}", "check the address and the network.")

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
            persona=self.persona.name,
            source=self.name,
            item_id=item_id,
            category=category,
            url=url,
            title=title,
            author=author or self.persona.full_name,
            published_at=published_at,
            fetched_at=datetime.now(UTC),
            mime=mime,
            body=body,
            content_hash=body_hash(body),
            language=language or (self.persona.languages[0] if len(self.persona.languages) == 1 else None),
            visibility=visibility or self.visibility,
            partial=partial,
            payload=payload or {},
            mark=mark,
            windowed=self.windowed if windowed is None else windowed,
        )

    def members_only(self) -> Visibility:
        """The visibility of an item that only members or paying readers may see."""
        return "private" if self.visibility == "private" else "connections"

    def known_unchanged(self, item_id: str, mark: str, requests: int) -> bool:
        """Whether an item is stored with the mark that its listing shows now; `requests` were not needed."""
        item = self.store.state.known.get(item_id)
        if item is None or item.mark != mark:
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

    def leave_out(self, item_id: str, reason: str, where: str) -> None:
        """Count an item that its source shows and that may not be kept; one that was kept before is deleted, also where
        absence would mean nothing."""
        self.dropped.add(item_id)
        self.skip(reason, where)

    def is_own(self, *bylines: str | None) -> bool:
        """Whether a piece is the persona's: it bears no byline, or one of the persona's names, handles or addresses."""
        return self.authors.accepts(*bylines)


def _verb(problem: str) -> str:
    if problem.startswith("HTTP"):
        return f"answered {problem}"
    return f"gave an {problem}" if problem.startswith("unreadable") else f"was {problem.removeprefix('was ')}"

"""Substack: the archive API lists posts, the posts API has their HTML, the feed is the way round a block;
and the publication's export zip.

The archive answers with fewer rows than asked, unevenly, so windows overlap and repeats are dropped
until a window brings nothing new. Paid posts come truncated: they are marked partial, unless the export has
them whole. What guests wrote is left out by its bylines.
"""

import re
from typing import Any
from urllib.parse import quote

from scrapy.http import Response

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.exports.substack_export import ExportedPost, read_substack_export
from twin_assets.feature.crawl.formats.feed_entries import SHORT, Entry
from twin_assets.feature.crawl.formats.feeds import read_feed
from twin_assets.feature.crawl.formats.values import parse_time, plain_title
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.feature.crawl.spiders.json_answers import read_json
from twin_assets.settings import Settings

WINDOW = 12
OVERLAP = 2
MAX_OFFSET = 5_000
EXPORTED, LIVE = "export", "live"
# Kinds of posts whose words may be a few notes to a recording, or a question to readers.
_THIN_KINDS = {"podcast": "recording", "video": "recording", "thread": "discussion thread"}


class SubstackSpider(SourceSpider):
    name = "substack"
    unknown_fix = "check substack.url in the persona's YAML; it looks like https://name.substack.com."

    @classmethod
    def check(cls, settings: Settings, persona: Persona) -> None:
        super().check(settings, persona)
        if persona.substack and not (persona.substack.url or persona.substack.export):
            raise TwinError(
                "Substack is declared without url and export.",
                "set substack.url to the publication's address, or substack.export to its export zip.",
            )

    def begin(self) -> Answers:
        assert self.persona.substack
        self.declared = self.persona.substack
        self.windowed = self.declared.url is None  # an export says nothing about what was written after it
        self.base = (self.declared.url or "").rstrip("/")
        self.slugs: set[str] = set()
        self.blocked_posts: dict[str, dict[str, Any]] = {}
        self.feed: dict[str, Entry] | None = None
        self.asked_feed = False
        self.whole: set[str] = set()
        if self.declared.export:
            yield from self.read_export()
        if self.declared.url:
            yield self._archive(0)

    def _archive(self, offset: int) -> Any:
        url = f"{self.base}/api/v1/archive?sort=new&offset={offset}&limit={WINDOW}"
        return self.fetch(
            url, lambda r: self.parse_archive(r, offset), listing=True, blocked=self._archive_blocked
        )

    def _archive_blocked(self) -> Answers:
        """The list itself is refused: the feed has the newest posts, but proves no deletion."""
        self.listing_complete = False
        yield self.fetch(f"{self.base}/feed", self.parse_whole_feed, listing=True)

    def parse_archive(self, response: Response, offset: int) -> Answers:
        """New posts of a window, then the next window, unless this one brought nothing new."""
        rows = read_json(response)
        if not isinstance(rows, list):
            raise Unreadable("expected a list of posts")
        fresh = False
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("slug"), str) or "id" not in row:
                self.skip("row of the archive without slug or id", response.url)
            elif row["slug"] not in self.slugs:
                fresh = True
                self.slugs.add(row["slug"])
                if self._is_kept(row, self._address(row)):
                    self.listed.add(str(row["id"]))
                    yield self._post(row)
        if fresh and offset < MAX_OFFSET:
            yield self._archive(offset + max(len(rows) - OVERLAP, 1))
        elif fresh:
            self.listing_complete = False
            self.skip(f"beyond the first {MAX_OFFSET:,} posts", response.url)

    def _is_kept(self, post: dict[str, Any], where: str) -> bool:
        """Whether a post is published and the persona's: signed by nobody, by them, or by them with others."""
        authors = _authors(post)
        if not self.is_own(*authors):
            self.skip("by another author", f"{where} (by {authors[0]})")
        elif post.get("is_published") is False:
            self.skip("draft", where)
        else:
            return True
        return False

    def _address(self, post: dict[str, Any]) -> str:
        address = post.get("canonical_url")
        return address if isinstance(address, str) and address else f"{self.base}/p/{post.get('slug')}"

    def _post(self, row: dict[str, Any]) -> Any:
        url = f"{self.base}/api/v1/posts/{quote(row['slug'], safe='')}"
        return self.fetch(
            url,
            lambda r: self.parse_post(r, url),
            blocked=lambda: self._post_blocked(row),
            missing=lambda: self._post_missing(row),
        )

    def _post_missing(self, row: dict[str, Any]) -> Answers:
        self.listed.discard(str(row["id"]))
        self.skip("post that the archive lists and that is not there", self._address(row))
        yield from ()

    def parse_post(self, response: Response, url: str) -> Answers:
        """One post with its HTML."""
        post = read_json(response)
        if not isinstance(post, dict) or "id" not in post:
            raise Unreadable("expected a post with id")
        item_id, where = str(post["id"]), self._address(post)
        body, snippet = _string(post.get("body_html")), _string(post.get("truncated_body_text"))
        paid = post.get("audience", "everyone") not in ("everyone", None)
        if not self._is_kept(post, where) or self._is_thin(_string(post.get("type")), body, where):
            self.listed.discard(item_id)
            self.remember(response, url, {"ids": []}, leaf=True)
            return
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        if (paid or not body) and item_id in self.whole:
            self.listed.add(item_id)
            self.skip("a snippet; the export has it whole", where)
            return
        authors = _authors(post)
        yield self.item(
            item_id,
            category="article",
            url=where,
            title=plain_title(post.get("title")),
            author=authors[0] if len(authors) == 1 else None,
            published_at=parse_time(post.get("post_date")),
            mime="text/html",
            body=body or snippet,
            partial=paid or not body,
            mark=LIVE,
            visibility=self.members_only() if paid else None,
            payload={k: v for k, v in post.items() if k not in ("body_html", "truncated_body_text")},
        )

    def _is_thin(self, kind: str, body: str, where: str) -> bool:
        """Count and tell a recording or a thread whose own text is a note. (Essays that are also read aloud stay.)"""
        if kind in _THIN_KINDS and len(re.sub(r"<[^>]*>|\s+", " ", body).strip()) < SHORT:
            self.skip(f"{_THIN_KINDS[kind]} without a text of its own", where)
            return True
        return False

    def _post_blocked(self, row: dict[str, Any]) -> Answers:
        if self.feed is not None:
            yield from self._from_feed(row)
            return
        self.blocked_posts[row["slug"]] = row
        if not self.asked_feed:
            self.asked_feed = True
            yield self.fetch(f"{self.base}/feed", self.parse_feed)

    def parse_feed(self, response: Response) -> Answers:
        """Posts that were blocked and that the feed still carries."""
        self.feed = {_slug(entry): entry for entry in _feed(response)}
        for row in self.blocked_posts.values():
            yield from self._from_feed(row)

    def _from_feed(self, row: dict[str, Any]) -> Answers:
        entry = (self.feed or {}).get(row["slug"])
        if str(row["id"]) in self.whole:
            self.skip("blocked; the export has it whole", self._address(row))
        elif entry is None or entry.text != "whole" or not entry.body:
            self.skip("blocked, and no longer in the feed", self._address(row))
        else:
            paid = row.get("audience", "everyone") != "everyone"
            yield self._entry_item(str(row["id"]), entry, paid)

    def parse_whole_feed(self, response: Response) -> Answers:
        """Posts of the feed that are known by address, or that the archive has never shown us."""
        id_by_slug = {k.url.rstrip("/").rsplit("/", 1)[-1]: i for i, k in self.store.state.known.items()}
        for entry in _feed(response):
            slug = _slug(entry)
            if not self.is_own(*entry.authors):
                self.skip("by another author", f"{entry.url} (by {entry.authors[0]})")
            elif slug not in id_by_slug:
                # The feed has no numeric id: an item stored without it would be a second document later.
                self.skip("only in the feed, waits for the archive", entry.url)
            elif entry.body and entry.text == "whole" and id_by_slug[slug] not in self.whole:
                yield self._entry_item(id_by_slug[slug], entry, False)
        self.fail(
            f"{self.base}/api/v1/archive",
            "was blocked; only known posts of the feed were read",
            True,
            "wait, then crawl again less often.",
        )

    def _entry_item(self, item_id: str, entry: Entry, paid: bool) -> RawItem:
        return self.item(
            item_id,
            category="article",
            url=entry.url,
            title=entry.title,
            published_at=entry.published_at,
            mime="text/html",
            body=entry.body,
            partial=paid,
            mark=LIVE,
            visibility=self.members_only() if paid else None,
            payload={"from": "feed", "guid": entry.guid},
        )

    def read_export(self) -> Answers:
        """Published posts of the export zip, of which the web's versions are newer where there are any."""
        assert self.declared.export
        try:
            for post in read_substack_export(self.declared.export):
                if item := self._exported(post):
                    yield item
        except ValueError as error:
            self.fail(
                self.declared.export.name,
                f"unreadable export: {error}",
                True,
                "set substack.export to the zip of Settings, Exports of the publication.",
            )

    def _exported(self, post: ExportedPost) -> RawItem | None:
        row, where = post.row, f"posts/{post.post_id}.{post.slug}.html"
        if not row:
            self.skip("not in posts.csv, so nobody says that it was published", where)
        elif not post.published:
            self.leave_out(post.post_id, "draft", where)
        elif self._is_thin(row.get("type", ""), post.html, where):
            pass
        elif not post.html.strip():
            self.skip("no text", where)
        else:
            closed = row.get("audience", "everyone").strip() not in ("everyone", "")
            closed |= row.get("type", "") == "adhoc_email"  # it went to some readers and has no page
            self.whole.add(post.post_id)
            item = self.store.state.known.get(post.post_id)
            if item and item.mark != EXPORTED and not closed:
                self.listed.add(post.post_id)  # the web's version is newer than any export
                return None
            return self.item(
                post.post_id,
                category="article",
                title=plain_title(row.get("title")),
                url=f"{self.base}/p/{post.slug}" if self.base else f"substack:{where}",
                published_at=parse_time(row.get("post_date")),
                mime="text/html",
                body=post.html,
                mark=EXPORTED,
                visibility=self.members_only() if closed else None,
                payload={"from": "export", **row},
            )
        return None


def _feed(response: Response) -> list[Entry]:
    kind = (response.headers.get("Content-Type") or b"").decode("latin-1")
    try:
        return read_feed(response.body, kind, response.url).entries
    except ValueError as error:
        raise Unreadable(f"expected a feed, {error}") from None


def _slug(entry: Entry) -> str:
    return entry.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _authors(post: dict[str, Any]) -> list[str]:
    bylines = post.get("publishedBylines")
    people = [b for b in bylines if isinstance(b, dict)] if isinstance(bylines, list) else []
    return signed_by(*[line for person in people for line in (person.get("name"), person.get("handle"))])

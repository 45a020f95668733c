"""Substack: the archive API lists posts, the posts API has their HTML, the feed is the way round a block.

The archive answers with fewer rows than asked, unevenly, so windows overlap and repeats are dropped
until a window brings nothing new. Paid posts come truncated: they are marked partial.
"""

from typing import Any

from scrapy.http import Response

from twin_assets.feature.crawl.formats.feeds import Entry, parse_time, read_feed
from twin_assets.feature.crawl.formats.json_answers import read_json
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable

WINDOW = 12
OVERLAP = 2
MAX_OFFSET = 5_000


class SubstackSpider(SourceSpider):
    name = "substack"
    title = "Substack"
    unknown_fix = "check substack.url in the persona's YAML; it looks like https://name.substack.com."

    def begin(self) -> Answers:
        assert self.persona.substack
        assert self.persona.substack.url
        self.base = self.persona.substack.url.rstrip("/")
        self.slugs: set[str] = set()
        self.blocked_posts: dict[str, dict[str, Any]] = {}
        self.feed: dict[str, Entry] | None = None
        self.asked_feed = False
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
        if not isinstance(rows, list) or any("slug" not in row or "id" not in row for row in rows):
            raise Unreadable("expected a list of posts with id and slug")
        fresh = [row for row in rows if row["slug"] not in self.slugs]
        for row in fresh:
            self.slugs.add(row["slug"])
            self.listed.add(str(row["id"]))
            yield self._post(row)
        if fresh and offset < MAX_OFFSET:
            yield self._archive(offset + max(len(rows) - OVERLAP, 1))

    def _post(self, row: dict[str, Any]) -> Any:
        url = f"{self.base}/api/v1/posts/{row['slug']}"
        return self.fetch(url, lambda r: self.parse_post(r, url), blocked=lambda: self._post_blocked(row))

    def parse_post(self, response: Response, url: str) -> Answers:
        """One post with its HTML."""
        post = read_json(response)
        if not isinstance(post, dict) or "id" not in post:
            raise Unreadable("expected a post with id")
        partial = post.get("audience", "everyone") != "everyone" or not post.get("body_html")
        item_id = str(post["id"])
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        yield self.item(
            item_id, category="article", url=post.get("canonical_url") or f"{self.base}/p/{post['slug']}",
            title=post.get("title"), published_at=parse_time(post.get("post_date")), mime="text/html",
            body=post.get("body_html") or post.get("truncated_body_text") or "", partial=partial,
            payload={k: v for k, v in post.items() if k not in ("body_html", "truncated_body_text")},
        )  # fmt: skip

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
        self.feed = {entry.url.rstrip("/").rsplit("/", 1)[-1]: entry for entry in _feed(response)}
        for row in self.blocked_posts.values():
            yield from self._from_feed(row)

    def _from_feed(self, row: dict[str, Any]) -> Answers:
        entry = (self.feed or {}).get(row["slug"])
        if entry is None or not entry.content:
            self.skip("blocked, and no longer in the feed")
            return
        yield self._entry_item(str(row["id"]), entry, row.get("audience", "everyone") != "everyone")

    def parse_whole_feed(self, response: Response) -> Answers:
        """Posts of the feed that are known by address, or that the archive has never shown us."""
        known = {k.url.rstrip("/").rsplit("/", 1)[-1]: i for i, k in self.store.state.known.items()}
        for entry in _feed(response):
            slug = entry.url.rstrip("/").rsplit("/", 1)[-1]
            if slug not in known:
                # The feed has no numeric id: an item stored without it would be a second document later.
                self.skip("only in the feed, waits for the archive")
            elif entry.content:
                yield self._entry_item(known[slug], entry, False)
        self.fail(
            f"{self.base}/api/v1/archive", "was blocked; only known posts of the feed were read", True,
            "wait, then crawl again less often.",
        )  # fmt: skip

    def _entry_item(self, item_id: str, entry: Entry, partial: bool) -> Any:
        return self.item(
            item_id, category="article", url=entry.url, title=entry.title,
            published_at=entry.published_at, mime="text/html", body=entry.content or "", partial=partial,
            payload={"from": "feed", "guid": entry.id},
        )  # fmt: skip


def _feed(response: Response) -> list[Entry]:
    try:
        return read_feed(response.body)
    except ValueError as error:
        raise Unreadable(f"expected an RSS feed, {error}") from None

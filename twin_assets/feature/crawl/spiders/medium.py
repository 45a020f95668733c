"""Medium: the author's feed (the newest ten stories), their sitemap (all of them) and the export zip.

Member-only stories come as a snippet: they are marked partial, unless the export has them whole.
"""

import re
from urllib.parse import urlsplit

from lxml import html
from scrapy.http import Response

from twin_assets.core.raw import RawItem
from twin_assets.core.text.html_meta import page_meta
from twin_assets.feature.crawl.formats.archives import zip_members
from twin_assets.feature.crawl.formats.feeds import Entry, parse_time, read_feed
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.feature.crawl.spiders.sitemap import ask_sitemap

_STORY = re.compile(r"-?([0-9a-f]{8,14})$")
EXPORTED, LIVE = "export", "live"


class MediumSpider(SourceSpider):
    name = "medium"
    title = "Medium"
    unknown_fix = "check medium.feed in the persona's YAML; it looks like https://medium.com/feed/@name."

    def begin(self) -> Answers:
        assert self.persona.medium
        self.declared = self.persona.medium
        # A feed or an export says nothing about what it lacks; a sitemap lists every story there is.
        self.windowed = self.declared.sitemap is None
        self.whole: set[str] = set()
        if self.declared.export:
            yield from self._name_exported()
        if self.declared.feed:
            url = self.declared.feed
            yield self.fetch(
                url, lambda r: self.parse_feed(r, url), listing=True, unchanged=lambda _: self._after_feed()
            )
        else:
            yield from self._after_feed()

    def _after_feed(self) -> Answers:
        if self.declared.sitemap:
            yield ask_sitemap(self, self.declared.sitemap, story_id, self.parse_story, self._after_sitemap)
        else:
            yield from self._after_sitemap()

    def _after_sitemap(self) -> Answers:
        if self.declared.export:
            yield from self.read_export()

    def parse_feed(self, response: Response, url: str) -> Answers:
        """Stories of the feed."""
        try:
            entries = read_feed(response.body)
        except ValueError as error:
            raise Unreadable(f"expected an RSS feed, {error}") from None
        ids = []
        for entry in entries:
            item_id = urlsplit(entry.id).path.rsplit("/", 1)[-1]  # guid is https://medium.com/p/<id>
            if entry.content is None and item_id in self.whole:
                self.skip("a snippet; the export has it whole")
            else:
                ids.append(item_id)
                yield self._entry(item_id, entry)
        self.remember(response, url, {"ids": ids})
        yield from self._after_feed()

    def _entry(self, item_id: str, entry: Entry) -> RawItem:
        return self.item(
            item_id, category="article", url=entry.url.split("?")[0], title=entry.title,
            author=entry.author, published_at=entry.published_at, mime="text/html",
            body=entry.content or entry.summary or "", partial=entry.content is None, mark=LIVE,
            payload={"guid": entry.id, "link": entry.url, "tags": entry.tags},
        )  # fmt: skip

    def parse_story(self, response: Response, url: str, item_id: str, modified: str | None) -> Answers:
        """A story's own page."""
        if not hasattr(response, "text") or not response.text.strip():
            raise Unreadable("expected a story")
        meta = page_meta(response.text)
        if not meta["free"] and item_id in self.whole:
            self.skip("a snippet; the export has it whole")
            return
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        yield self.item(
            item_id, category="article", url=meta["canonical"] or url, title=meta["title"],
            author=meta["author"], published_at=parse_time(meta["published"]), mime="text/html",
            body=response.text, partial=not meta["free"], mark=modified or LIVE, payload=meta,
        )  # fmt: skip

    def _name_exported(self) -> Answers:
        """Ids of the exported stories, so that their snippets are known for what they are."""
        try:
            self.whole = {i for name, _ in self._exported() if (i := story_id(name.removesuffix(".html")))}
        except ValueError:
            self.whole = set()  # read_export says what is wrong with it
        yield from ()

    def _exported(self) -> Answers:
        assert self.declared.export
        return zip_members(self.declared.export, r"(^|/)posts/(?!draft_).+\.html$")

    def read_export(self) -> Answers:
        """Stories of the account's export zip that were not met on the web."""
        assert self.declared.export
        try:
            for name, data in self._exported():
                item_id = story_id(name.removesuffix(".html"))
                known = self.store.state.known.get(item_id or "")
                if item_id is None:
                    self.skip("no story")
                elif item_id in self.listed:
                    continue
                elif known and known.mark != EXPORTED:
                    self.listed.add(item_id)  # the web's version is newer than any export
                elif item := self._story(item_id, data):
                    yield item
        except ValueError as error:
            self.fail(
                self.declared.export.name, f"unreadable export: {error}", True,
                "set medium.export to the zip that Medium mailed you.",
            )  # fmt: skip

    def _story(self, item_id: str, data: bytes) -> RawItem | None:
        tree = html.fromstring(data, parser=html.HTMLParser(no_network=True, encoding="utf-8"))
        bodies = tree.xpath("//section[@data-field='body'] | //*[contains(@class, 'e-content')]")
        if not bodies or not bodies[0].text_content().strip():
            self.skip("no text")
            return None
        links = tree.xpath("//a[contains(@class, 'p-canonical')]/@href")
        times = tree.xpath("//time[contains(@class, 'dt-published')]/@datetime")
        return self.item(
            item_id, category="article", url=str(links[0]) if links else f"https://medium.com/p/{item_id}",
            title=(tree.findtext(".//title") or "").strip() or None,
            published_at=parse_time(str(times[0])) if times else None, mime="text/html",
            body=html.tostring(bodies[0], encoding="unicode"), mark=EXPORTED, payload={"from": "export"},
        )  # fmt: skip


def story_id(address: str) -> str | None:
    """The id that ends a story's address or its file's name; None when it is no story."""
    found = _STORY.search(urlsplit(address).path.rstrip("/").rsplit("/", 1)[-1])
    return found.group(1) if found else None

"""Medium: the author's feed (the newest ten stories), their sitemap (all of them) and the export zip.

Member-only stories come as a snippet: they are marked partial, unless the export has them whole.
"""

import re
from collections import Counter
from urllib.parse import urlsplit

from lxml import html
from scrapy.http import Response

from twin_assets.core.storage.raw import RawItem
from twin_assets.core.text.html.meta import page_meta
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.feed_entries import Entry
from twin_assets.feature.crawl.formats.feeds import read_feed
from twin_assets.feature.crawl.formats.values import parse_time, plain_title
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.feature.crawl.spiders.blogs.sitemap import SNIPPET, ask_sitemap, page_mark

_STORY = re.compile(r"-?([0-9a-f]{8,14})$")
_P_AUTHOR = re.compile(rb"<a[^<>]*\bp-author\b[^<>]*>([^<>]{1,200})<")
EXPORTED, LIVE = "export", "live"


class MediumSpider(SourceSpider):
    name = "medium"
    unknown_fix = "check medium.feed in the persona's YAML; it looks like https://medium.com/feed/@name."

    def begin(self) -> Answers:
        assert self.persona.medium
        self.declared = self.persona.medium
        # A feed or an export says nothing about what it lacks; a sitemap lists every story there is.
        self.windowed = self.declared.sitemap is None
        self.whole: set[str] = set()
        self.met: set[str] = set()
        if self.declared.export:
            yield from self.read_export()
        if self.declared.feed:
            url = self.declared.feed
            yield self.fetch(
                url, lambda r: self.parse_feed(r, url), listing=True, unchanged=lambda _: self._after_feed()
            )
        else:
            yield from self._after_feed()

    def _after_feed(self) -> Answers:
        if self.declared.sitemap:
            yield from ask_sitemap(self, self.declared.sitemap, self._unmet, self.parse_story)

    def _unmet(self, address: str) -> str | None:
        item_id = story_id(address)
        if item_id in self.met:
            return None
        if item_id:
            self.met.add(item_id)
        return item_id

    def parse_feed(self, response: Response, url: str) -> Answers:
        """Stories of the feed: all of an account's own one, of a publication's those that the persona signs."""
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1")
        try:
            entries = read_feed(response.body, kind, url).entries
        except ValueError as error:
            raise Unreadable(f"expected a feed, {error}") from None
        account = "/@" in urlsplit(url).path
        ids = []
        for entry in entries:
            item_id = (
                urlsplit(entry.guid or entry.url).path.rstrip("/").rsplit("/", 1)[-1]
            )  # https://medium.com/p/<id>
            if not account and not self.is_own(*entry.authors):
                self.leave_out(item_id, "by another author", f"{entry.url} (by {entry.authors[0]})")
            elif entry.text != "whole" and item_id in self.whole:
                self.listed.add(item_id)
                self.skip("a snippet; the export has it whole", entry.url)
            elif not entry.body:
                self.skip("no text", entry.url)
            else:
                ids.append(item_id)
                yield self._entry(item_id, entry)
        self.met.update(ids)
        self.remember(response, url, {"ids": ids})
        yield from self._after_feed()

    def _entry(self, item_id: str, entry: Entry) -> RawItem:
        return self.item(
            item_id,
            category="article",
            url=entry.url.split("?")[0],
            title=entry.title,
            author=entry.authors[0] if entry.authors else None,
            published_at=entry.published_at,
            mime=entry.mime,
            body=entry.body,
            partial=entry.text != "whole",
            mark=page_mark(None, entry.text == "whole", LIVE),
            payload={"guid": entry.guid, "link": entry.url, "tags": entry.tags},
        )

    def parse_story(self, response: Response, url: str, item_id: str, modified: str | None) -> Answers:
        """A story's own page."""
        if not hasattr(response, "text") or not response.text.strip():
            raise Unreadable("expected a story")
        meta = page_meta(response.text)
        authors = signed_by(meta.get("author"))
        if not self.is_own(*authors):
            self.listed.discard(item_id)
            self.remember(response, url, {"ids": []}, leaf=True)
            self.skip("by another author", f"{url} (by {authors[0]})")
            return
        if not meta["free"] and item_id in self.whole:
            self.listed.add(item_id)
            self.skip("a snippet; the export has it whole", url)
            return
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        yield self.item(
            item_id,
            category="article",
            url=meta["canonical"] or url,
            title=meta["title"],
            author=meta["author"],
            published_at=parse_time(meta["published"]),
            mime="text/html",
            body=response.text,
            partial=not meta["free"],
            mark=page_mark(modified, meta["free"], LIVE),
            payload=meta,
        )

    def read_export(self) -> Answers:
        """Stories of the account's export zip, of which the web's versions are newer where there are any."""
        assert self.declared.export
        try:
            pattern = r"(^|/)posts/[^/]+\.html?$"
            # The export is one account's: whoever signs most of it is that account, whatever it is called.
            signers = Counter(
                plain_title(byline.decode("utf-8", "replace"))
                for _, data in archive_members(self.declared.export, pattern)
                for byline in _P_AUTHOR.findall(data[-5_000:])
            )
            self.account = next(
                (who for who, count in signers.most_common(1) if count > signers.total() / 2), None
            )
            for name, data in archive_members(self.declared.export, pattern):
                if name.rsplit("/", 1)[-1].startswith("draft"):
                    self.leave_out(story_id(name.rsplit(".", 1)[0]) or name, "draft", name)
                elif item := self._story(name, data):
                    yield item
        except ValueError as error:
            self.fail(
                self.declared.export.name,
                f"unreadable export: {error}",
                True,
                "set medium.export to the zip that Medium mailed you.",
            )

    def _story(self, name: str, data: bytes) -> RawItem | None:
        text = data.decode("utf-8-sig", "replace").replace("\0", "")
        tree = (
            html.fromstring(text.encode(), parser=html.HTMLParser(no_network=True, encoding="utf-8"))
            if text.strip()
            else None
        )
        bodies = (
            []
            if tree is None
            else tree.xpath("//section[@data-field='body'] | //*[contains(@class, 'e-content')]")
        )
        if tree is None or not bodies or not bodies[0].text_content().strip():
            self.skip("no text", name)
            return None
        headings = tree.xpath("//h1[contains(@class, 'p-name')]") or tree.xpath("//title")
        title = plain_title(headings[0].text_content()) if headings else None
        links = tree.xpath("//a[contains(@class, 'p-canonical')]/@href")
        times = tree.xpath("//time[contains(@class, 'dt-published')]/@datetime")
        story_links = [href for href in map(str, tree.xpath("//footer//a/@href")) if story_id(href)]
        if not links and not times and (story_links or "view original" in tree.text_content().lower()):
            self.skip("draft", name)
            return None
        named = [name.rsplit(".", 1)[0], *map(str, links), *map(str, tree.xpath("//footer//a/@href"))]
        item_id = next(filter(None, map(story_id, named)), None)
        if item_id is None:
            self.skip("no story", name)
            return None
        if item_id in self.whole:
            self.skip("twice in the export", name)
            return None
        signed = signed_by(
            *[a.text_content() for a in tree.xpath("//footer//*[contains(@class, 'p-author')]")]
        )
        if not self.is_own(*signed) and signed[0] != self.account:
            self.leave_out(item_id, "by another author", f"{name} (by {signed[0]})")
            return None
        untitled = _is_untitled(bodies[0], title)
        if untitled and len(bodies[0].xpath(".//p | .//blockquote | .//pre")) <= 1:
            self.skip("response to a story", name)
            return None
        self.whole.add(item_id)
        item = self.store.state.known.get(item_id)
        if item and item.mark != EXPORTED and not (item.mark or "").startswith(SNIPPET):
            self.listed.add(item_id)  # the web's version is newer than any export, and whole
            return None
        return self.item(
            item_id,
            category="post" if untitled else "article",
            title=title,
            url=str(links[0]) if links else f"https://medium.com/p/{item_id}",
            published_at=parse_time(str(times[0])) if times else None,
            mime="text/html",
            body=html.tostring(bodies[0], encoding="unicode", with_tail=False),
            mark=EXPORTED,
            payload={"from": "export"},
        )


def _is_untitled(body: html.HtmlElement, title: str | None) -> bool:
    """Whether the title is only the text's beginning, as Medium names responses and notes."""
    if body.xpath(".//h1 | .//h2 | .//h3 | .//h4 | .//img"):
        return False
    start = (title or "").rstrip("… .").casefold()
    return " ".join(body.text_content().split()).casefold().startswith(start)


def story_id(address: str) -> str | None:
    """The id that ends a story's address or its file's name; None when it is no story."""
    match = _STORY.search(urlsplit(address).path.rstrip("/").rsplit("/", 1)[-1])
    return match.group(1) if match else None

"""Web: folders of writing (Hugo, Jekyll, plain files), single article pages, feeds and sitemaps."""

import json
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.http import Response

from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.raw import RawItem
from twin_assets.core.text.html.block_pages import block_reason
from twin_assets.core.text.html.meta import page_meta
from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.feed_entries import SHORT, Entry, Feed
from twin_assets.feature.crawl.formats.feeds import is_feed, read_feed
from twin_assets.feature.crawl.formats.text.fields import more_closed
from twin_assets.feature.crawl.formats.text.files import MAX_FILE_BYTES, is_readable, read_file, unread_reason
from twin_assets.feature.crawl.formats.text.folders import files_of, is_unseen
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.formats.xml_text import decode_feed, root_name, unpacked
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable, is_led_to_login
from twin_assets.feature.crawl.spiders.blogs.sitemap import ask_sitemap, is_same_site, page_mark

# Part of a file's mark: with better readers every file is read again, and what is unchanged isn't stored again.
READERS_VERSION = 3
MAX_FULL_TEXTS = 300  # pages asked in one crawl for the full text of a feed's summaries
MAX_FEED_PAGES = 200
# What a stored item's mark says of where it came from.
ENTRY, PAGE = "feed:", "page"


class WebSpider(SourceSpider):
    name = "web"
    unknown_fix = "check web.pages and web.sitemaps in the persona's YAML."

    def begin(self) -> Answers:
        assert self.persona.web
        declared = self.persona.web
        self.asked = set(declared.pages)
        self.pages_asked = 0
        for folder in declared.folders:
            prefix = f"{folder.name}/" if len(declared.folders) > 1 else ""
            yield from self.read_folder(folder, prefix)
        for url in declared.pages:
            self.keep(url)  # one page that fails is one odd item, and a feed proves no deletion
            yield self.fetch(url, lambda r, url=url: self.parse_named(r, url))
        for url in declared.sitemaps:
            yield from ask_sitemap(self, url, self._unasked, self.parse_page)

    def _unasked(self, address: str) -> str | None:
        if address in self.asked:
            return None
        self.asked.add(address)
        return address

    def read_folder(self, folder: Path, prefix: str = "") -> Answers:
        """Documents of a folder. What isn't the persona's published writing is counted with its path and reason.

        Links that lead out of the folder aren't followed.
        """
        if not folder.is_dir():
            self.fail(str(folder), "missing folder", True, "correct web.folders in the persona's YAML.")
            return
        root = folder.resolve()
        for name, reason in files_of(folder):
            path, item_id = folder / name, prefix + name
            if reason:
                self.skip(reason, item_id)
                self.listing_complete &= not is_unseen(reason)
            elif not path.resolve().is_relative_to(root):
                self.skip("link out of the folder", item_id)
            elif not path.is_file():
                self.skip("no file (a broken link?)", item_id)
            elif not self.wanted(item_id, path.name):
                self.skip("left out by the persona's patterns", item_id)
            elif item := self._file(path, name, item_id):
                yield item

    def _file(self, path: Path, name: str, item_id: str) -> RawItem | None:
        try:
            facts = path.stat()
            mark = f"{facts.st_mtime_ns}:{facts.st_size}:{READERS_VERSION}"
            if self.known_unchanged(item_id, mark, requests=0):
                return None
            if not is_readable(path):
                with path.open("rb") as file:
                    self.skip(unread_reason(PurePosixPath(name), file.read(4096)), item_id)
                return None
            if facts.st_size > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
            text = read_file(name, path.read_bytes())
        except (ValueError, OSError) as error:
            if item_id in self.store.state.known:
                self.listed.add(item_id)  # it is there, so it isn't deleted
            problem = error.strerror if isinstance(error, OSError) else str(error).partition(" (")[0]
            self.skip(f"unreadable file: {problem}", f"{item_id}: {error}")
            return None
        if text.left_out or not text.body.strip():
            self.skip(text.left_out or "empty file", item_id)
            return None
        if not self.is_own(*text.authors):
            self.skip("by another author", f"{item_id} (by {text.authors[0]})")
            return None
        return self.item(
            item_id,
            category="article",
            url=text.url or path.resolve().as_uri(),
            title=text.title,
            author=text.author,
            published_at=text.published_at,
            mime=text.mime,
            body=text.body,
            mark=mark,
            language=text.language,
            visibility=more_closed(self.visibility, text.visibility),
            payload=json.loads(json.dumps(text.fields, default=str)),
        )

    def parse_named(self, response: Response, url: str) -> Answers:
        """An address that the persona's YAML names: a page, which is theirs whoever signs it, or a feed."""
        mime, text = _mime(response), _text(response)
        if text is not None and is_feed(mime, text):
            yield from self._feed(response, url)
        else:
            yield from self._page(response, url, url, None, named=True)

    def parse_page(self, response: Response, url: str, item_id: str, modified: str | None) -> Answers:
        """A page that a sitemap lists. What another author signs and what is no page is counted, not kept."""
        try:
            yield from self._page(response, url, item_id, modified, named=False)
        except NoWriting as error:
            self.listed.discard(item_id)
            self.skip(str(error), url)

    def _page(self, response: Response, url: str, item_id: str, modified: str | None, named: bool) -> Answers:
        """One page of writing (HTML, Markdown, text, PDF, DOCX). Raises NoWriting for anything else."""
        mime = _mime(response)
        if file := _FILES.get(mime) or (response.body[:5] == b"%PDF-" and "page.pdf"):
            yield self._read(response, file, url, item_id, modified)
            return
        text = _text(response)
        if text is None:
            raise NoWriting(f"no page: {mime or 'bytes'}")
        if not text.strip():
            raise Unreadable("expected a page, got nothing") if named else NoWriting("empty page")
        if raw := raw_data(mime, text):
            raise NoWriting(raw)
        if "html" not in mime and root_name(text[:20_000]) != "html":
            markdown = "markdown" in mime or urlsplit(url).path.endswith((".md", ".markdown"))
            yield self._read(response, "page.md" if markdown else "page.txt", url, item_id, modified)
            return
        meta = page_meta(response.text)
        authors = signed_by(*meta["authors"])
        if not named and not self.is_own(*authors):
            self.listed.discard(item_id)
            self.remember(response, url, {"ids": []}, leaf=True)
            self.skip("by another author", f"{url} (by {authors[0]})")
            return
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        yield self.item(
            item_id,
            category="article",
            url=meta.get("canonical") or url,
            title=meta.get("title"),
            author=meta.get("author"),
            published_at=parse_time(meta.get("published")),
            mime="text/html",
            body=response.text,
            partial=not meta["free"],
            mark=page_mark(modified, meta["free"], PAGE),
            payload=meta,
        )

    def _read(self, response: Response, name: str, url: str, item_id: str, modified: str | None) -> RawItem:
        try:
            text = read_file(name, response.body)
        except ValueError as error:
            raise Unreadable(str(error)) from None
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        title = text.title if text.title != "page" else None
        return self.item(
            item_id,
            category="article",
            url=url,
            title=title,
            author=text.author,
            mime=text.mime,
            published_at=text.published_at,
            body=text.body,
            mark=modified or PAGE,
            payload=json.loads(json.dumps(text.fields, default=str)),
        )

    def _feed(self, response: Response, url: str, page: int = 1) -> Answers:
        """The persona's entries of a feed, and its next page (RFC 5005) where it has one."""
        try:
            feed = read_feed(unpacked(response.body), _mime(response, whole=True), response.url)
        except ValueError as error:
            raise Unreadable(f"expected a feed, {error}") from None
        if feed.broken:
            self.skip("broken entry of a feed", url, times=feed.broken)
        own = [entry for entry in feed.entries if self._is_kept(entry)]
        self.remember(response, url, {"ids": [entry.id for entry in own]})
        for entry in own:
            yield from self._entry(entry, feed, url)
        following = feed.next
        if (
            following
            and following not in self.asked
            and is_same_site(following, url)
            and page < MAX_FEED_PAGES
        ):
            self.asked.add(following)
            yield self.fetch(
                following, lambda r: self._feed(r, following, page + 1), missing=lambda: iter(())
            )

    def _is_kept(self, entry: Entry) -> bool:
        if entry.draft:
            self.leave_out(entry.id, "draft", entry.url)
        elif not self.is_own(*entry.authors):
            self.leave_out(entry.id, "by another author", f"{entry.url} (by {entry.authors[0]})")
        elif entry.media and entry.length < SHORT:
            self.skip("recording without a text of its own", entry.url)
        elif not entry.length and entry.text == "whole":
            self.skip("entry without text", entry.url)
        else:
            return True
        return False

    def _entry(self, entry: Entry, feed: Feed, url: str) -> Answers:
        mark = ENTRY + text_hash(f"{entry.title} {entry.published_at} {entry.updated_at} {entry.body}")[:16]
        item = self.store.state.known.get(entry.id)
        if item and item.mark and not item.mark.startswith(ENTRY):
            self.listed.add(entry.id)  # collected as a page, which has more than its feed
            self.report.unchanged += 1
        elif entry.text == "whole" or not self._has_page(entry, feed, url):
            yield self._entry_item(entry, url, mark)
        elif not self.known_unchanged(entry.id, mark, requests=1):
            yield self._ask_page(entry, url, mark)

    def _has_page(self, entry: Entry, feed: Feed, url: str) -> bool:
        """Whether an entry's own page may be asked: one of the feed's site, and not of what it links to."""
        sites = [url, *([feed.home] if feed.home else [])]
        return entry.url not in sites and any(is_same_site(entry.url, site) for site in sites)

    def _ask_page(self, entry: Entry, url: str, mark: str) -> Any:
        """A request for the page of an entry that the feed has a summary of. Without it, the summary stays."""
        if self.pages_asked >= MAX_FULL_TEXTS:
            return self._entry_item(entry, url, None)  # without a mark, so that a later crawl asks
        self.pages_asked += 1

        def read(response: Response) -> Answers:
            mime, text = _mime(response), _text(response) or ""
            away = is_led_to_login(entry.url, response) or urlsplit(response.url).path in ("", "/")
            if response.status != 200 or away or "html" not in mime or not text.strip():
                yield self._entry_item(entry, url, mark if response.status in (200, 404, 410) else None)
                return
            if reason := block_reason(200, mime, text):
                self.report.count(self.report.blocked, reason, entry.url)
                yield self._entry_item(entry, url, None)
                return
            meta = page_meta(text)
            authors = signed_by(*meta["authors"])
            if not entry.authors and not self.is_own(*authors):
                self.leave_out(entry.id, "by another author", f"{entry.url} (by {authors[0]})")
                return
            yield self._entry_item(entry, url, mark, text, partial=not meta["free"])

        def unreachable(_: Any) -> Answers:
            yield self._entry_item(entry, url, None)

        return scrapy.Request(entry.url, callback=read, errback=unreachable, dont_filter=True)

    def _entry_item(
        self, entry: Entry, url: str, mark: str | None, page: str | None = None, partial: bool | None = None
    ) -> RawItem | None:
        body = page or entry.body
        if not body:
            self.skip("entry without text", entry.url)
            return None
        return self.item(
            entry.id,
            category="article" if entry.title else "post",
            url=entry.url,
            title=entry.title,
            author=entry.authors[0] if entry.authors else None,
            published_at=entry.published_at,
            mime="text/html" if page else entry.mime,
            body=body,
            mark=mark,
            windowed=True,
            partial=entry.text == "cut" if partial is None else partial,
            payload={"feed": url, "guid": entry.guid, "tags": entry.tags},
        )


class NoWriting(Unreadable):
    """An answer that is no writing: data, or bytes of a kind that isn't read."""


def raw_data(mime: str, text: str) -> str | None:
    """What an answer is when it is data and not writing; None for a page or a text."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    root = root_name(text[:20_000]) if start == "<" else ""
    if root in ("urlset", "sitemapindex"):
        return "a sitemap (name it under web.sitemaps)"
    if root == "html":
        return None
    if start in ("{", "[") and ("json" in mime or _is_json(text)):
        return "JSON that is no feed"
    if text.lstrip("\ufeff \t\r\n").startswith("<?xml") or ("xml" in mime and "html" not in mime):
        return "XML that is no feed"
    return f"no page: {mime}" if any(kind in mime for kind in _DATA) else None


_DATA = (
    "json",
    "csv",
    "javascript",
    "text/css",
    "yaml",
    "calendar",
    "vcard",
    "font",
    "image/",
    "audio/",
    "video/",
)
_FILES = {
    "application/pdf": "page.pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "page.docx",
}


def _is_json(text: str) -> bool:
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def _mime(response: Response, whole: bool = False) -> str:
    kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
    return kind if whole else kind.partition(";")[0].strip()


def _text(response: Response) -> str | None:
    """The answer as text; None for bytes that are none."""
    mime = _mime(response)
    if response.body[:2] == b"\x1f\x8b":
        try:
            return decode_feed(unpacked(response.body), _mime(response, whole=True))
        except ValueError:
            return None
    if "html" not in mime and (
        response.body[:4].lstrip()[:1] in (b"<", b"{", b"\0") or "xml" in mime or "json" in mime
    ):
        return decode_feed(response.body, _mime(response, whole=True))
    if not hasattr(response, "text") or b"\0" in response.body[:2_000]:
        return None
    return str(response.text)

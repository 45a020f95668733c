"""Web: folders of writing (Hugo, Jekyll, plain files), single article pages, feeds and sitemaps."""

import json
from pathlib import Path, PurePosixPath

from scrapy.http import Response

from twin_assets.core.raw import RawItem
from twin_assets.core.text.html_meta import page_meta
from twin_assets.feature.crawl.formats.feeds import is_feed, parse_time, read_feed
from twin_assets.feature.crawl.formats.fields import more_closed
from twin_assets.feature.crawl.formats.files import MAX_FILE_BYTES, is_readable, read_file, unread_reason
from twin_assets.feature.crawl.formats.folders import files_of, is_unseen
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.feature.crawl.spiders.sitemap import ask_sitemap

# Part of a file's mark: with better readers every file is read again, and what is unchanged isn't stored again.
READERS_VERSION = 2


class WebSpider(SourceSpider):
    name = "web"
    title = "Web"
    unknown_fix = "check web.pages and web.sitemaps in the persona's YAML."

    def begin(self) -> Answers:
        assert self.persona.web
        declared = self.persona.web
        for folder in declared.folders:
            prefix = f"{folder.name}/" if len(declared.folders) > 1 else ""
            yield from self.read_folder(folder, prefix)
        for url in declared.pages:
            self.keep(url)  # one page that fails is one odd item, and a feed proves no deletion
            yield self.fetch(url, lambda r, url=url: self.parse_page(r, url, url, None))
        for url in declared.sitemaps:
            yield ask_sitemap(self, url, lambda address: address, self.parse_page)

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
            found = read_file(name, path.read_bytes())
        except (ValueError, OSError) as error:
            if item_id in self.store.state.known:
                self.listed.add(item_id)  # it is there, so it isn't deleted
            problem = error.strerror if isinstance(error, OSError) else str(error).partition(" (")[0]
            self.skip(f"unreadable file: {problem}", f"{item_id}: {error}")
            return None
        if found.left_out or not found.body.strip():
            self.skip(found.left_out or "empty file", item_id)
            return None
        if not self.is_own(*found.authors):
            self.skip("by another author", item_id)
            return None
        return self.item(
            item_id, category="article", url=found.url or path.resolve().as_uri(), title=found.title,
            author=found.author, published_at=found.published_at, mime=found.mime, body=found.body, mark=mark,
            language=found.language, visibility=more_closed(self.visibility, found.visibility),
            payload=json.loads(json.dumps(found.fields, default=str)),
        )  # fmt: skip

    def parse_page(self, response: Response, url: str, item_id: str, modified: str | None) -> Answers:
        """One article page (HTML, Markdown, PDF...), or the entries of a feed."""
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
        if "pdf" in kind or response.body[:5] == b"%PDF-":
            yield self._read(response, "page.pdf", url, item_id, modified)
            return
        if not hasattr(response, "text"):
            raise Unreadable(f"expected a page or a feed, got {kind or 'bytes'}")
        if is_feed(kind, response.text):
            yield from self._feed(response, url)
            return
        if not response.text.strip():
            raise Unreadable("expected a page, got nothing")
        if "html" not in kind:
            markdown = "markdown" in kind or url.endswith(".md")
            yield self._read(response, "page.md" if markdown else "page.txt", url, item_id, modified)
            return
        meta = page_meta(response.text)
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        yield self.item(
            item_id, category="article", url=meta.get("canonical") or url, title=meta.get("title"),
            author=meta.get("author"), published_at=parse_time(meta.get("published")), mime="text/html",
            body=response.text, partial=not meta["free"], mark=modified, payload=meta,
        )  # fmt: skip

    def _read(self, response: Response, name: str, url: str, item_id: str, modified: str | None) -> RawItem:
        try:
            found = read_file(name, response.body)
        except ValueError as error:
            raise Unreadable(str(error)) from None
        self.remember(response, url, {"ids": [item_id]}, leaf=True)
        title = found.title if found.title != "page" else None
        return self.item(
            item_id, category="article", url=url, title=title, author=found.author, mime=found.mime,
            published_at=found.published_at, body=found.body, mark=modified,
            payload=json.loads(json.dumps(found.fields, default=str)),
        )  # fmt: skip

    def _feed(self, response: Response, url: str) -> Answers:
        try:
            entries = read_feed(response.body)
        except ValueError as error:
            raise Unreadable(f"expected a feed, {error}") from None
        self.remember(response, url, {"ids": [entry.url for entry in entries]})
        for entry in entries:
            yield self.item(
                entry.url, category="article", url=entry.url, title=entry.title, author=entry.author,
                published_at=entry.published_at, mime="text/html", body=entry.content or entry.summary or "",
                partial=entry.content is None, payload={"feed": url, "guid": entry.id}, windowed=True,
            )  # fmt: skip

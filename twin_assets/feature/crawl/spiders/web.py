"""Web: folders of writing (Hugo, Jekyll, plain files), single article pages, feeds and sitemaps."""

import json
from pathlib import Path

from scrapy.http import Response

from twin_assets.core.raw import RawItem
from twin_assets.core.text.html_meta import page_meta
from twin_assets.feature.crawl.formats.feeds import is_feed, parse_time, read_feed
from twin_assets.feature.crawl.formats.files import is_readable, read_file
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.feature.crawl.spiders.sitemap import ask_sitemap

MAX_FILE_BYTES = 20_000_000


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
        """Documents of a folder; drafts are skipped. Links that lead out of the folder aren't followed."""
        if not folder.is_dir():
            self.fail(str(folder), "missing folder", True, "correct web.folders in the persona's YAML.")
            return
        root = folder.resolve()
        for path in sorted(p for p in folder.rglob("*") if is_readable(p) and p.is_file()):
            item_id = prefix + path.relative_to(folder).as_posix()
            if not path.resolve().is_relative_to(root):
                self.skip("link out of the folder")
            elif not self.wanted(item_id, path.name):
                self.skip("left out by the persona's patterns")
            elif item := self._file(path, item_id):
                yield item

    def _file(self, path: Path, item_id: str) -> RawItem | None:
        facts = path.stat()
        mark = f"{facts.st_mtime_ns}:{facts.st_size}"
        if self.known_unchanged(item_id, mark, requests=0):
            return None
        try:
            if facts.st_size > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
            found = read_file(path.name, path.read_bytes())
        except ValueError as error:
            self.listed.add(item_id)  # it is there, so it isn't deleted
            self.fail(
                item_id, f"unreadable file: {error}", False, "mend the file, or name it in web.exclude."
            )
            return None
        if found.draft or not found.body.strip():
            self.skip("draft" if found.draft else "empty file")
            return None
        return self.item(
            item_id, category="article", url=found.url or path.resolve().as_uri(), title=found.title,
            author=found.author, published_at=found.published_at, mime=found.mime, body=found.body, mark=mark,
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

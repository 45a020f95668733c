"""Web: folders of Markdown (Hugo, Jekyll, plain), single article pages, and feeds."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from lxml import html
from scrapy.http import Response

from twin_assets.feature.crawl.feeds import is_feed, parse_time, read_feed
from twin_assets.feature.crawl.frontmatter import as_time, split_front_matter
from twin_assets.feature.crawl.items import RawItem
from twin_assets.feature.crawl.spider import Answers, SourceSpider, Unreadable

_DATE_IN_NAME = re.compile(r"^(\d{4}-\d\d-\d\d)-")


class WebSpider(SourceSpider):
    name = "web"
    title = "Web"
    unknown_fix = "check web.pages in the persona's YAML."

    def begin(self) -> Answers:
        assert self.persona.web
        declared = self.persona.web
        for folder in declared.folders:
            prefix = f"{folder.name}/" if len(declared.folders) > 1 else ""
            yield from self.read_folder(folder, declared.include, prefix)
        for url in declared.pages:
            yield self.fetch(url, lambda r, url=url: self.parse_page(r, url), listing=True)

    def read_folder(self, folder: Path, include: list[str], prefix: str = "") -> Answers:
        """Documents of a folder; drafts are skipped. Links that lead out of the folder aren't followed."""
        if not folder.is_dir():
            self.fail(str(folder), "missing folder", True, "correct web.folders in the persona's YAML.")
            return
        root = folder.resolve()
        for path in sorted({p for glob in include for p in folder.glob(glob) if p.is_file()}):
            if not path.resolve().is_relative_to(root):
                self.skip("link out of the folder")
                continue
            item = self._file(path, prefix + path.relative_to(folder).as_posix())
            if item:
                yield item

    def _file(self, path: Path, item_id: str) -> RawItem | None:
        try:
            fields, body = split_front_matter(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            self._unreadable(item_id, "not UTF-8")
            return None
        except ValueError as error:
            self._unreadable(item_id, str(error))
            return None
        if fields.get("draft") is True or fields.get("published") is False:
            self.skip("draft")
            return None
        if not body.strip():
            self.skip("empty file")
            return None
        named = _DATE_IN_NAME.match(path.name)
        heading = re.match(r"#\s+(.+)", body)
        title = fields.get("title") or (heading.group(1).strip() if heading else PurePosixPath(item_id).stem)
        author = fields.get("author")
        return self.item(
            item_id, category="article", url=str(fields.get("canonical_url") or path.resolve().as_uri()),
            title=str(title), author=author if isinstance(author, str) else None,
            published_at=as_time(fields.get("date")) or (as_time(named.group(1)) if named else None),
            mime="text/markdown", body=body, payload=json.loads(json.dumps(fields, default=str)),
        )  # fmt: skip

    def _unreadable(self, item_id: str, problem: str) -> None:
        self.listed.add(item_id)  # it is there, so it isn't deleted
        self.fail(item_id, f"unreadable file: {problem}", False, "mend the file, or narrow web.include.")

    def parse_page(self, response: Response, url: str) -> Answers:
        """One article page, or the entries of a feed."""
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").lower()
        if not hasattr(response, "text"):
            raise Unreadable(f"expected a page or a feed, got {kind or 'bytes'}")
        if is_feed(kind, response.text):
            yield from self._feed(response, url)
            return
        if not response.text.strip():
            raise Unreadable("expected a page, got nothing")
        if "html" not in kind:
            self.remember(response, url, {"ids": [url]})
            mime = "text/markdown" if "markdown" in kind or url.endswith(".md") else "text/plain"
            yield self.item(url, category="article", url=url, mime=mime, body=response.text)
            return
        meta = _page_meta(response.text)
        self.remember(response, url, {"ids": [url]})
        yield self.item(
            url, category="article", url=meta.get("canonical") or url, title=meta.get("title"),
            author=meta.get("author"), published_at=parse_time(meta.get("published")), mime="text/html",
            body=response.text, payload=meta,
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


def _page_meta(text: str) -> dict[str, Any]:
    """Title, author, time and canonical address that a page declares about itself."""
    tree = html.fromstring(text.encode(), parser=html.HTMLParser(no_network=True, encoding="utf-8"))

    def first(path: str) -> str | None:
        found = [str(x).strip() for x in tree.xpath(path)]
        return next((x for x in found if x), None)

    return {
        "title": first("//meta[@property='og:title']/@content") or first("//title/text()"),
        "author": first("//meta[@name='author']/@content"),
        "published": first("//meta[@property='article:published_time']/@content")
        or first("//time/@datetime"),
        "canonical": first("//link[@rel='canonical'][starts-with(@href, 'http')]/@href"),
    }

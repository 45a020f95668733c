"""LinkedIn: the Member Data Portability API with the member's own token, or their export zip.

No password and no scraping: only what LinkedIn hands to the member about themselves.
"""

import csv
import io
import json
import re
from typing import Any
from urllib.parse import unquote

from lxml import html
from scrapy.http import Response

from twin_assets.core.hashing import text_hash
from twin_assets.core.persona import Persona
from twin_assets.core.raw import RawItem
from twin_assets.core.records import Visibility
from twin_assets.feature.crawl.formats.archives import zip_members
from twin_assets.feature.crawl.formats.feeds import parse_time
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.settings import Settings

API_VERSION = "202312"
DOMAINS = ("MEMBER_SHARE_INFO", "ARTICLES")
# What isn't known to be public stays with the connections.
_VISIBILITY: dict[str, Visibility] = {"PUBLIC": "public", "ANYONE": "public", "LOGGED_IN": "public"}


class LinkedInSpider(SourceSpider):
    name = "linkedin"
    title = "LinkedIn"
    key_setting = "linkedin_token"
    key_page = "https://www.linkedin.com/developers/tools/oauth (or set linkedin.export to the export zip)"
    obeys_robots = False
    unknown_fix = "check linkedin.api in the persona's YAML."

    @classmethod
    def check(cls, settings: Settings, persona: Persona) -> None:
        if not (persona.linkedin and persona.linkedin.export):
            super().check(settings, persona)

    def begin(self) -> Answers:
        assert self.persona.linkedin
        self.declared = self.persona.linkedin
        if self.declared.export:
            yield from self.read_export()
            return
        self.api = (self.declared.api or self.twin.linkedin_api).rstrip("/")
        for domain in DOMAINS:
            yield self._page(domain, 0)

    def refused(self, response: Response) -> tuple[str, str] | None:
        if response.status in (401, 403) and b"html" not in (response.headers.get("Content-Type") or b""):
            return (
                f"HTTP {response.status}: the token was refused",
                "renew TWIN_LINKEDIN_TOKEN (LinkedIn developer portal, Member Data Portability).",
            )
        return None

    def _page(self, domain: str, start: int) -> Any:
        token = self.twin.linkedin_token
        assert token
        return self.fetch(
            f"{self.api}/rest/memberSnapshotData?q=criteria&domain={domain}&start={start}",
            lambda r: self.parse_page(r, domain, start),
            listing=True,
            missing=lambda: iter(()) if start or domain != DOMAINS[0] else self._no_data(),
            headers={"Authorization": f"Bearer {token.get_secret_value()}", "LinkedIn-Version": API_VERSION},
        )

    def _no_data(self) -> Answers:
        """A 404 on the first page of posts: the member has none, or the snapshot isn't ready."""
        self.listing_complete = False
        yield from ()

    def parse_page(self, response: Response, domain: str, start: int) -> Answers:
        """Posts or articles of one page, then the next one."""
        try:
            answer = json.loads(response.body)
            elements = answer["elements"]
            rows = [row for element in elements for row in element["snapshotData"]]
        except (ValueError, KeyError, TypeError):
            raise Unreadable("expected elements with snapshotData") from None
        for row in rows:
            item = self._share(row) if domain == DOMAINS[0] else self._article(row)
            if item:
                yield item
        links = answer.get("paging", {}).get("links", [])
        if rows and any(link.get("rel") == "next" for link in links):
            yield self._page(domain, start + 1)

    def _share(self, row: dict[str, Any]) -> RawItem | None:
        text = _unquoted_lines(row.get("ShareCommentary") or "")
        if not text.strip():
            self.skip("a share without words")
            return None
        link = row.get("ShareLink") or ""
        digits = re.findall(r"\d{6,}", unquote(link))
        visibility = _VISIBILITY.get(str(row.get("Visibility", "")).upper(), "connections")
        return self.item(
            digits[-1] if digits else text_hash(f"{row.get('Date')}{text}"), category="post",
            url=link or self.declared.profile, published_at=parse_time(row.get("Date")), mime="text/plain",
            body=text, visibility=visibility, payload=row,
        )  # fmt: skip

    def _article(self, row: dict[str, Any]) -> RawItem | None:
        lowered = {key.lower().replace(" ", ""): value for key, value in row.items()}
        body = lowered.get("content") or lowered.get("articlecontent") or ""
        url = lowered.get("url") or lowered.get("articlelink") or self.declared.profile
        if not str(body).strip():
            self.skip("an article without text")
            return None
        date = lowered.get("publisheddate") or lowered.get("date") or lowered.get("createddate")
        return self.item(
            f"article/{url.rstrip('/').rsplit('/', 1)[-1]}", category="article", url=url,
            title=lowered.get("title"), published_at=parse_time(date), mime="text/html", body=body,
            payload=row,
        )  # fmt: skip

    def read_export(self) -> Answers:
        """Posts and articles of the account's data export zip."""
        path = self.declared.export
        assert path
        try:
            for name, data in zip_members(path, r"(^|/)(Shares\.csv|Articles/.*\.html)$"):
                if name.endswith(".csv"):
                    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
                    yield from filter(None, map(self._share, rows))
                elif data.strip():
                    yield self._exported_article(name, data)
                else:
                    self.skip("an article without text")
        except ValueError as error:
            self.fail(
                path.name, f"unreadable export: {error}", True,
                "set linkedin.export to the zip that LinkedIn mailed you.",
            )  # fmt: skip

    def _exported_article(self, name: str, data: bytes) -> RawItem:
        text = data.decode("utf-8", errors="replace")
        tree = html.fromstring(text.encode(), parser=html.HTMLParser(no_network=True, encoding="utf-8"))
        title = (tree.findtext(".//title") or "").strip() or None
        published = re.search(r"Published on (\d{4}-\d\d-\d\d[ T]?[\d:]*)", tree.text_content())
        links = tree.xpath("//h1/a/@href")
        return self.item(
            f"article/{name.rsplit('/', 1)[-1]}", category="article", title=title, mime="text/html",
            url=str(links[0]) if links else self.declared.profile, body=text,
            published_at=parse_time(published.group(1)) if published else None, payload={"file": name},
        )  # fmt: skip


def _unquoted_lines(text: str) -> str:
    r"""Undo the export's habit of putting quotes around every line of a post (`one"\n"two`)."""
    return re.sub(r'"\r?\n"', "\n", text).removesuffix('"') if re.search(r'"\r?\n"', text) else text

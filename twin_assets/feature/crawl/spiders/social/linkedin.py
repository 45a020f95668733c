"""LinkedIn: the member's data export, or the Member Data Portability API with their own token.

No password and no scraping: only what LinkedIn hands to the member about themselves. The API is there for
members in the European Economic Area and Switzerland only; the export is for everybody.
"""

import re
from typing import Any
from urllib.parse import unquote

from lxml import etree
from scrapy.http import Response

from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Visibility, most_closed
from twin_assets.core.storage.raw import RawItem
from twin_assets.core.text.storable import clean_text, load_json
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.exports.linkedin import (
    read_article,
    read_shares,
    read_time,
    read_visibility,
    unquoted,
)
from twin_assets.feature.crawl.formats.exports.tables import column, read_table
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable
from twin_assets.settings import Settings

DOMAINS = ("MEMBER_SHARE_INFO", "ARTICLES")
_EXPORT = (
    "set linkedin.export to the zip that LinkedIn makes under Settings, Data privacy, Get a copy of your data"
)
_WHERE = "LinkedIn gives its Member Data Portability API to members in the EEA and Switzerland only"
_FILES = r"(^|/)((Shares|Comments|InstantReposts|Rich[ _]Media)([ _-]?\(?\d+\)?)*\.csv|Articles/.+\.html?)$"
_MEDIA_COLUMNS = {"datetime", "mediadescription", "medialink"}
_LOST_LETTERS = re.compile(r"\w\?\w|(^|\s)\?+(\s|$)")
_OTHER_COLUMNS = {"date", "link", "message"}


class LinkedInSpider(SourceSpider):
    name = "linkedin"
    key_setting = "linkedin_token"
    key_page = f"https://www.linkedin.com/developers/tools/oauth. {_WHERE}; anywhere else, {_EXPORT}"
    obeys_robots = False
    unknown_fix = f"{_WHERE}, and prepares the data for a while; without it, {_EXPORT}."

    @classmethod
    def check(cls, settings: Settings, persona: Persona) -> None:
        if not (persona.linkedin and persona.linkedin.export):
            super().check(settings, persona)

    def begin(self) -> Answers:
        assert self.persona.linkedin
        self.declared = self.persona.linkedin
        self.had: set[str] = set()
        if self.declared.export:
            yield from self.read_export()
            return
        self.api = (self.declared.api or self.twin.linkedin_api).rstrip("/")
        for domain in DOMAINS:
            yield self._page(domain, 0)

    def refused(self, response: Response) -> tuple[str, str] | None:
        if b"html" in (response.headers.get("Content-Type") or b""):
            return None
        if response.status == 401:
            return (
                "HTTP 401: the token was refused",
                f"renew TWIN_LINKEDIN_TOKEN (LinkedIn developer portal, Member Data Portability), or {_EXPORT}.",
            )
        if response.status == 403:
            return (
                "HTTP 403: this token may not read the member's data",
                f"{_WHERE}. If you are one, renew TWIN_LINKEDIN_TOKEN with that API's scope; if not, {_EXPORT}.",
            )
        if response.status == 426:
            return (
                f"HTTP 426: version {self.twin.linkedin_version} of the API is not served any more",
                f"set TWIN_LINKEDIN_VERSION to one that LinkedIn's documentation names, or {_EXPORT}.",
            )
        return None

    def _page(self, domain: str, start: int) -> Any:
        token = self.twin.linkedin_token
        assert token
        secret, version = token.get_secret_value(), self.twin.linkedin_version
        return self.fetch(
            f"{self.api}/rest/memberSnapshotData?q=criteria&domain={domain}&start={start}",
            lambda r: self.parse_page(r, domain, start),
            listing=True,
            missing=lambda: iter(()) if start or domain != DOMAINS[0] else self._no_data(),
            headers={"Authorization": f"Bearer {secret}", "LinkedIn-Version": version},
        )

    def _no_data(self) -> Answers:
        """A 404 on the first page of posts: the member has none, or the snapshot isn't ready."""
        self.listing_complete = False
        yield from ()

    def parse_page(self, response: Response, domain: str, start: int) -> Answers:
        """Posts or articles of one page, then the next one."""
        try:
            answer = load_json(response.body)
            rows = [row for element in answer["elements"] for row in element["snapshotData"]]
            rows = [{column(str(name)): value for name, value in row.items()} for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable("expected elements with snapshotData") from None
        if domain == DOMAINS[0]:
            yield from self._shares(rows, response.url)
        else:
            for row in rows:
                yield from self._article(row)
        links = answer.get("paging", {}).get("links", [])
        if rows and any(link.get("rel") == "next" for link in links):
            yield self._page(domain, start + 1)

    def read_export(self) -> Answers:
        """Posts, articles and described media of the account's data export, in all its parts."""
        path = self.declared.export
        assert path
        texts: list[str] = []
        media: list[tuple[str, dict[str, str]]] = []
        try:
            for name, data in archive_members(path, _FILES):
                kind = column(re.split(r"[\d.(-]", name.rsplit("/", 1)[-1])[0])
                try:
                    if not name.endswith(".csv"):
                        items = list(self._exported_article(name, data))
                    elif kind == "shares":
                        items = list(self._shares(read_shares(data), name))
                    else:
                        items = []
                        rows = read_table(data, _MEDIA_COLUMNS | _OTHER_COLUMNS)
                        if kind == "richmedia":
                            media += [(name, row) for row in rows]
                        elif rows:
                            self.skip("a comment" if kind == "comments" else "a repost", name, len(rows))
                except (ValueError, etree.LxmlError) as error:
                    self.skip("a file that can't be read", f"{name}: {error}")
                    self.listing_complete = False  # what it held is not deleted
                    continue
                texts += [_compared(f"{item.title or ''} {item.body}") for item in items]
                yield from items
            for name, row in media:
                yield from self._medium(name, row, texts)
        except ValueError as error:
            self.fail(path.name, f"unreadable export: {error}", True, f"{_EXPORT}.")

    def _shares(self, rows: list[dict[str, Any]], where: str) -> Answers:
        """Items of the rows of one table or page."""
        texts = unquoted([str(row.get("sharecommentary") or "") for row in rows])
        for row, text in zip(rows, texts, strict=True):
            link, date = str(row.get("sharelink") or ""), row.get("date")
            moment = read_time(date, link)
            if not link.startswith("http") and moment is None:
                self.skip("a row that can't be read", f"{where}: {str(row)[:60]}")
            elif not text.strip():
                self.skip("a share without words", link or str(date))
            else:
                digits = re.findall(r"\d{6,}", unquote(link))
                yield from self._once(
                    digits[-1] if digits else text_hash(f"{date}{text}"),
                    category="post",
                    url=link or self.declared.profile,
                    published_at=moment,
                    mime="text/plain",
                    body=clean_text(text),
                    visibility=self._visibility(row.get("visibility"), link),
                    payload=row,
                )

    def _article(self, row: dict[str, Any]) -> Answers:
        """The item of one of the API's articles."""
        body = str(row.get("content") or row.get("articlecontent") or "")
        url = str(row.get("url") or row.get("articlelink") or self.declared.profile)
        said = next(
            (row[name] for name in ("publisheddate", "publishedat", "publishedon") if name in row), None
        )
        if said is not None and read_time(said) is None:
            self.skip("an article that was never published", url)
        elif not body.strip():
            self.skip("an article without text", url)
        else:
            yield from self._once(
                f"article/{url.rstrip('/').rsplit('/', 1)[-1]}",
                category="article",
                url=url,
                title=row.get("title"),
                published_at=read_time(said or row.get("date") or row.get("createddate")),
                mime="text/html",
                body=clean_text(body),
                payload=row,
            )

    def _exported_article(self, name: str, data: bytes) -> Answers:
        page = read_article(data) if data.strip() else None
        if page and not page.published:
            self.skip("an article that was never published", name)
        elif page is None or not page.body:
            self.skip("an article without text", name)
        else:
            yield from self._once(
                f"article/{name.rsplit('/', 1)[-1]}",
                category="article",
                title=page.title,
                mime="text/html",
                url=page.link or self.declared.profile,
                body=page.body,
                published_at=page.published_at,
                payload={"file": name, **page.fields},
            )

    def _medium(self, name: str, row: dict[str, str], texts: list[str]) -> Answers:
        """What was written to a picture or document, where no post says the same."""
        text, when = row.get("mediadescription", "").strip(), row.get("datetime", "")
        link = row.get("medialink", "")
        if not re.search(r"\bfeed\b", when):
            self.skip("a picture of the profile or of an article", when or link)
        elif len(re.findall(r"\w", text)) < 2 or not _compared(text) or re.fullmatch(r"\S+\.\w{2,4}", text):
            self.skip("media without words", when or link)
        elif any(_compared(text) in post for post in texts):
            self.skip("media whose words a post has", when or link)
        else:
            texts.append(_compared(text))
            date = re.sub(r"^.*?\bon (?=\w+ \d)|\s*\(.*$", "", when)
            yield from self._once(
                f"media/{text_hash(when + text)}",
                category="post",
                url=link or self.declared.profile,
                published_at=read_time(date),
                mime="text/plain",
                body=clean_text(text),
                visibility=self._visibility(None, ""),
                payload={"file": name, **row},
                partial=_LOST_LETTERS.search(text) is not None,
            )

    def _visibility(self, said: Any, link: str) -> Visibility:
        """A row's own, or else the source's own, or the connections; never more open than the persona."""
        told = read_visibility(said, link)
        if told is None and self.declared.visibility:
            return self.declared.visibility
        return most_closed([told or "connections", self.visibility])

    def _once(self, item_id: str, **fields: Any) -> Answers:
        """An item, unless the export had it already: its tables repeat rows, and its parts overlap."""
        if item_id in self.had:
            self.skip("repeated in the export", str(fields["url"]))
            return
        self.had.add(item_id)
        item: RawItem = self.item(item_id, **fields)
        yield item


def _compared(text: str) -> str:
    """What the tables have alike: that of media has a question mark for every letter beyond ASCII."""
    return re.sub(r"[^A-Za-z0-9]+", " ", text).strip().lower()

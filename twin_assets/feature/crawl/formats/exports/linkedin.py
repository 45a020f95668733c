"""What LinkedIn's exports write in their own way: times, quotes, visibility, tables, article pages."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any
from urllib.parse import unquote

from lxml import html
from pydantic import BaseModel

from twin_assets.core.records import Visibility
from twin_assets.core.text.storable import clean_text
from twin_assets.feature.crawl.formats.exports.tables import decode, read_table
from twin_assets.feature.crawl.formats.values import parse_time

SHARE_COLUMNS = {"date", "sharelink", "sharecommentary", "sharedurl", "mediaurl", "visibility"}
# What isn't known to be public stays with the connections.
_VISIBILITY: dict[str, Visibility] = {
    "PUBLIC": "public", "ANYONE": "public", "EVERYONE": "public", "ALL": "public", "LOGGEDIN": "public",
    "LOGGEDINMEMBERS": "public", "PRIVATE": "private", "ONLYME": "private", "SELF": "private", "HIDDEN": "private",
}  # fmt: skip
# LinkedIn writes it beside nearly every post, those for anyone included, so it says nothing.
_UNSAID = {"MEMBERNETWORK", ""}
_FIRST_MS = 1_000_000_000_000  # a post's id holds its time in milliseconds; none is older than 2001
_TIMES = (
    "%Y/%m/%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M UTC", "%m/%d/%y, %I:%M %p",
    "%m/%d/%Y, %I:%M %p", "%m/%d/%Y %H:%M", "%d %b %Y, %H:%M", "%d %b %Y", "%b %d, %Y, %I:%M %p", "%b %d, %Y",
    "%B %d, %Y at %I:%M %p", "%B %d, %Y", "%m/%d/%y", "%m/%d/%Y",
)  # fmt: skip
# How every row of posts begins: its time, and the post's address.
_ROW = r'"?\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d(?::\d\d)?(?: UTC)?"?[,;\t|]"?https?://(?:www\.)?linkedin\.'
_FIELD = re.compile(r"(created|published|updated|last modified|not published)\b", re.I)


_MADE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d$")


class ArticlePage(BaseModel):
    """An article of the export. `published` is False where its page says that it never was."""

    title: str | None
    link: str | None
    body: str
    published: bool
    published_at: datetime | None
    fields: dict[str, str]


def read_time(text: Any, link: str = "") -> datetime | None:
    """UTC time in the forms that LinkedIn writes, or else the one that a post's id in its link holds."""
    words = str(text or "").strip()
    for form in _TIMES:
        try:
            return datetime.strptime(words, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    if words.isdecimal() and _FIRST_MS < int(words) < 4 * _FIRST_MS:
        return datetime.fromtimestamp(int(words) / 1000, UTC)
    if moment := parse_time(words):
        return moment
    digits = re.findall(r"\d{19,20}", unquote(link))
    millis = int(digits[-1]) >> 22 if digits else 0
    return datetime.fromtimestamp(millis / 1000, UTC) if _FIRST_MS < millis < 4 * _FIRST_MS else None


def read_visibility(said: Any, link: str) -> Visibility | None:
    """What a post's row says of its audience, or None where it says nothing. A group's posts are its members'."""
    plain = re.sub(r"\W|_", "", str(said or "")).upper()
    if "groupPost" in link:
        return "connections"
    return None if plain in _UNSAID else _VISIBILITY.get(plain, "connections")


def unquoted(texts: list[str]) -> list[str]:
    r"""Undo the export's habit of putting quotes around every line of a post (`one"\n"two`).

    A table has it in all posts of more than a line or in none.
    """
    lines = [text.replace("\r\n", "\n").strip() for text in texts]
    if any(text.count("\n") != len(re.findall('"\n"', text)) for text in lines):
        return lines
    plain_texts = []
    for text in lines:
        plain = text.replace('"\n"', "\n")
        plain_texts.append(plain.removesuffix('"') if plain != text and plain.count('"') % 2 else plain)
    return plain_texts


def read_shares(data: bytes) -> list[dict[str, str]]:
    """Rows of a table of posts under LinkedIn's names (compared form), whatever they are called in it.

    In another language its columns are told by what they hold. Raises ValueError when no column has posts.
    """
    rows = read_table(data, SHARE_COLUMNS, _ROW)
    names = {name for row in rows for name in row}
    if "sharecommentary" in names or "sharelink" in names or not rows:
        return rows

    def share(name: str, holds: Callable[[str], Any]) -> float:
        cells = [row[name] for row in rows[:200] if row.get(name)]
        return sum(map(bool, map(holds, cells))) / len(cells) if cells else 0.0

    columns: dict[str, str] = {}
    tests: dict[str, Callable[[str], Any]] = {
        "sharelink": lambda cell: re.search(r"urn(%3A|:)li|/feed/update/", cell),
        "date": read_time,
        "visibility": lambda cell: re.fullmatch(r"[A-Z_]{3,30}", cell),
        "sharecommentary": lambda cell: not re.match(r"\S+://\S+$", cell),
    }
    for role, holds in tests.items():
        fits = [name for name in sorted(names - set(columns.values())) if share(name, holds) > 0.5]
        if fits:
            columns[role] = max(fits, key=lambda name: sum(len(row.get(name, "")) for row in rows[:200]))
    if not columns.keys() >= {"sharelink", "sharecommentary"}:
        raise ValueError("no columns of posts and their links in it")
    return [{role: row[name] for role, name in columns.items() if name in row} for row in rows]


def read_article(data: bytes) -> ArticlePage:
    """An article's page: title and address in its heading, two lines of dates, then the text."""
    parser = html.HTMLParser(no_network=True, encoding="utf-8")
    tree = html.document_fromstring(clean_text(decode(data)).encode(), parser=parser)
    title = (tree.findtext(".//title") or "").strip()
    link = next((str(address) for address in tree.xpath("//h1/a/@href")), None)
    fields: dict[str, str] = {}
    # Between heading and text stand the times, in the account's language: when it was made, then when published.
    head = []
    for heading in tree.xpath("//body/h1")[:1]:
        head = list(takewhile(lambda line: line.tag == "p", islice(heading.itersiblings(), 3)))
    unnamed = ["created", "published"] if len(head) == 2 and _MADE.search(head[0].text_content()) else []
    for line in tree.xpath("//body/*[not(self::div)]"):
        words, kind = line.text_content().strip(), line.get("class") or ""
        field = kind if kind in ("created", "published", "updated") else ""
        if not field and len(words) < 60 and (told := _FIELD.match(words)):
            field = "published" if "publ" in told.group().lower() else told.group().lower()
        if not field and unnamed and line in head and len(words) < 60:
            field = unnamed[head.index(line)]
        if field:
            fields[field] = words
            line.drop_tree()
    said = fields.get("published", "")
    date = re.search(r"\d{4}-\d\d-\d\d(?:[ T]\d{1,2}:\d\d(?::\d\d)?)?", said)
    moment = read_time(date.group() if date else re.sub(r"^\D*?\bon\s+", "", said))
    for heading in tree.xpath("//h1")[:1]:
        title = heading.text_content().strip() or title
        heading.drop_tree()
    for other in tree.xpath("//head | //style | //script | //*[starts-with(@class, 'series-')]"):
        other.drop_tree()
    body = next(iter(tree.xpath("//body")), tree)
    inner = (body.text or "") + "".join(html.tostring(part, encoding="unicode") for part in body)
    return ArticlePage(
        title=title or None,
        link=link,
        fields=fields,
        published_at=moment,
        body=f"<article>{inner.strip()}</article>" if body.text_content().strip() else "",
        published=not (
            ("published" in fields and not re.search(r"\d", said)) or "/post/edit/" in (link or "")
        ),
    )

"""Reads RSS 2.0 and Atom feeds. Entities and the network are off: a feed is untrusted input."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lxml import etree
from pydantic import BaseModel

_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_CREATOR = "{http://purl.org/dc/elements/1.1/}creator"
_ATOM = "{http://www.w3.org/2005/Atom}"


class Entry(BaseModel):
    """One entry of a feed. `content` is the full HTML, or None where only a `summary` is served."""

    id: str
    url: str
    title: str | None
    author: str | None
    published_at: datetime | None
    content: str | None
    summary: str | None
    tags: list[str] = []


def is_feed(content_type: str, text: str) -> bool:
    """Whether an answer looks like a feed."""
    head = text.lstrip()[:600]
    return any(t in content_type for t in ("rss", "atom")) or "<rss" in head or "<feed" in head


def read_feed(data: bytes) -> list[Entry]:
    """Entries in feed order; raises ValueError when the bytes are no feed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(data.strip(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not XML ({error.msg})") from None
    if root.tag == "rss":
        return [_rss(item) for item in root.iter("item")]
    if root.tag == f"{_ATOM}feed":
        return [_atom(entry) for entry in root.iter(f"{_ATOM}entry")]
    raise ValueError(f"expected a feed, found <{etree.QName(root).localname}>")


def parse_time(text: str | None) -> datetime | None:
    """UTC time of an RFC 2822 or ISO 8601 string; None when there is none that can be read."""
    if not text:
        return None
    padded = re.sub(r"([T ])(\d:\d\d)", r"\g<1>0\2", text.strip())  # bloggers write T8:09 too
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(padded)
        except ValueError:
            continue
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return None


def _rss(item: etree._Element) -> Entry:
    link = _text(item, "link") or ""
    return Entry(
        id=_text(item, "guid") or link, url=link, title=_text(item, "title"), author=_text(item, _CREATOR),
        published_at=parse_time(_text(item, "pubDate")), content=_text(item, _CONTENT),
        summary=_text(item, "description"), tags=[c.text for c in item.findall("category") if c.text],
    )  # fmt: skip


def _atom(entry: etree._Element) -> Entry:
    links = entry.findall(f"{_ATOM}link")
    link = next((x.get("href", "") for x in links if x.get("rel", "alternate") == "alternate"), "")
    return Entry(
        id=_text(entry, f"{_ATOM}id") or link, url=link, title=_text(entry, f"{_ATOM}title"),
        author=_text(entry, f"{_ATOM}author/{_ATOM}name"),
        published_at=parse_time(_text(entry, f"{_ATOM}published") or _text(entry, f"{_ATOM}updated")),
        content=_text(entry, f"{_ATOM}content"), summary=_text(entry, f"{_ATOM}summary"),
    )  # fmt: skip


def _text(element: etree._Element, path: str) -> str | None:
    found = element.findtext(path)
    return found.strip() if found and found.strip() else None

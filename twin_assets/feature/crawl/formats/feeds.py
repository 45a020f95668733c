"""Reads feeds: RSS 0.9 to 2.0, RDF and Atom by feedparser, JSON Feed 1.0 and 1.1 by hand.

A feed is untrusted input: nothing is fetched for it, its entities are not followed, and its HTML is left
as it is (cleaning is a later stage; feedparser's own would take code apart).
"""

import calendar
import html
import io
import json
import re
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import feedparser

from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.feed_entries import TAG, Entry, Feed, Text, settle_texts, told_apart
from twin_assets.feature.crawl.formats.values import NO_YEAR, parse_time, plain_title
from twin_assets.feature.crawl.formats.xml_text import (
    decode_feed,
    mend_xml,
    root_name,
    strict_xml,
    without_preface,
)

MAX_ENTRIES = 10_000


def is_feed(content_type: str, text: str) -> bool:
    """Whether an answer is a feed: by its outermost element, or the version that a JSON Feed declares."""
    if text.lstrip("\ufeff \t\r\n")[:1] == "{":
        return _json_feed(text) is not None
    text = without_preface(text)
    name = root_name(text[:50_000])
    if name == "rdf":
        return "purl.org/rss/1.0" in text[:20_000] or "netscape.com/rdf" in text[:20_000]
    return name in ("rss", "feed") or (
        name == "channel" and any(kind in content_type for kind in ("rss", "xml", "cdf"))
    )


def read_feed(data: bytes, content_type: str = "", url: str = "") -> Feed:
    """The feed in these bytes, whose address was `url`. Raises ValueError when they hold none."""
    text = without_preface(decode_feed(data, content_type))
    if text.lstrip("\ufeff \t\r\n")[:1] == "{":
        feed = _json_feed(text)
        if feed is None:
            raise ValueError("JSON that is no feed")
        return _read_json(feed, url)
    if not is_feed(content_type, text):
        raise ValueError("found neither RSS, Atom nor JSON Feed")
    return _read_xml(text, url)


def _read_xml(text: str, url: str) -> Feed:
    # By bytes in a stream: a string might be taken for an address or a path.
    parsed = feedparser.parse(
        io.BytesIO(strict_xml(mend_xml(text).encode("utf-8", "replace"))),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    feed = parsed.feed
    title, home = plain_title(feed.get("title")), _address(feed.get("link"), url)
    rows = parsed.entries[:MAX_ENTRIES]
    entries = [_xml_entry(row, url or home or "", title, home) for row in rows]
    # Atom's authors hold for every entry that names none; RSS's editor signs only where nobody else does.
    inherits = str(parsed.get("version", "")).startswith("atom")
    entries = _signed(entries, _authors(feed, title), inherits)
    following = next((link.get("href") for link in feed.get("links", []) if link.get("rel") == "next"), None)
    return Feed(
        title=title, home=home, next=_address(following, url), entries=told_apart(settle_texts(entries))
    )


def _signed(entries: list[Entry], authors: list[str], inherits: bool) -> list[Entry]:
    """The entries, with the feed's authors where they name none themselves: each by itself, or only all together."""
    if not authors or not (inherits or not any(entry.authors for entry in entries)):
        return entries
    return [e if e.authors else e.model_copy(update={"authors": authors}) for e in entries]


def _xml_entry(row: Any, base: str, site: str | None, home: str | None) -> Entry:
    guid = str(row.get("id") or "").strip()
    links = [link for link in row.get("links", []) if link.get("href")]
    shown = next((x["href"] for x in links if x.get("rel", "alternate") == "alternate"), None)
    address = (
        row.get("feedburner_origlink")
        or shown
        or (guid if guid.startswith(("http://", "https://")) else None)
    )
    body, mime, text = _xml_body(row)
    authors = (
        _authors(row, site) or _authors(row.get("source") or {}, site) or _taken_from(row, base, home or base)
    )
    media = [x.get("type", "") for x in links if x.get("rel") == "enclosure"]
    return Entry(
        id=guid,
        guid=guid,
        url=_address(address, base) or base,
        title=plain_title(row.get("title")),
        authors=authors,
        body=body,
        mime=mime,
        text=text,
        published_at=_moment(row, "published") or _moment(row, "created") or _moment(row, "updated"),
        draft=str(row.get("app_draft", "")).strip().lower() == "yes",
        updated_at=_moment(row, "updated"),
        tags=[t.term for t in row.get("tags", []) if t.get("term")],
        media=any(kind.startswith(("audio", "video")) for kind in media),
    )


def _xml_body(row: Any) -> tuple[str, Literal["text/html", "text/plain"], Text]:
    contents = [
        part
        for part in row.get("content", [])
        if _is_text(part.get("type")) and part.get("value", "").strip()
    ]
    summary, detail = (row.get("summary") or "").strip(), row.get("summary_detail") or {}
    if contents:
        chosen = max(contents, key=lambda part: ("html" in part.get("type", ""), len(part["value"])))
        value, kind = chosen["value"].strip(), chosen.get("type", "")
        alone = False
        if len(summary) > 2 * len(value):
            value, kind, alone = summary, detail.get("type", ""), True
    else:
        value, kind, alone = summary, detail.get("type", ""), True
    if not TAG.search(value):
        if "html" in kind:
            value = html.unescape(value)
        return value, "text/plain", "unsure" if alone else "whole"
    return value, "text/plain" if kind == "text/plain" else "text/html", "unsure" if alone else "whole"


def _is_text(kind: Any) -> bool:
    return str(kind or "text/html") in (
        "text/html",
        "application/xhtml+xml",
        "text/plain",
        "text",
        "html",
        "xhtml",
    )


def _authors(row: Any, site: str | None) -> list[str]:
    given = row.get("authors") or []
    # feedparser hands an e-mail address on to the next author, so only the first one's counts.
    lines = [
        line
        for n, a in enumerate(given)
        for line in (_whole_name(a), a.get("href"), None if n else a.get("email"))
    ]
    return signed_by(*lines, site=site)


def _whole_name(author: Any) -> str | None:
    """An author's name. feedparser knows addresses with a last part of four letters only, and leaves the others' rest."""
    name = author.get("name")
    rest = re.match(r"[\w.-]*\s*\((.*?)\)?$", name) if isinstance(name, str) and author.get("email") else None
    return rest.group(1) if rest else name


def _taken_from(row: Any, *sites: str) -> list[str]:
    """The other site that an unsigned entry of RSS says it was taken from: its title, or its address."""
    source = row.get("source") or {}
    address = source.get("href") or source.get("url")
    if not isinstance(address, str) or not address.startswith(("http://", "https://")):
        return []
    if source.get("contributors"):
        return []  # Atom's, whose address may be a contributor's
    # A feed that another service passes on is of its home's site too.
    here, there = {_host(site) for site in sites} - {""}, _host(address)
    return signed_by(source.get("title") or address) if here and there and there not in here else []


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _moment(row: Any, field: str) -> datetime | None:
    parsed = row.get(f"{field}_parsed") if f"{field}_parsed" in row.keys() else None  # noqa: SIM118
    if parsed:
        try:
            moment = datetime.fromtimestamp(calendar.timegm(parsed), UTC)
        except (ValueError, OverflowError, OSError):
            return None
        return moment if 1900 < moment.year < NO_YEAR else None
    return parse_time(row.get(field) if field in row.keys() else None)  # noqa: SIM118


def _address(address: Any, base: str) -> str | None:
    if not isinstance(address, str) or not address.strip():
        return None
    try:
        joined = urljoin(base, address.strip())
    except ValueError:
        return None
    return joined if joined.startswith(("http://", "https://")) else None


def _json_feed(text: str) -> dict[str, Any] | None:
    try:
        feed = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        return None
    declared = "jsonfeed.org/version" in str(feed.get("version", ""))
    return feed if declared or "home_page_url" in feed or "feed_url" in feed else None


def _read_json(feed: dict[str, Any], url: str) -> Feed:
    title, home = plain_title(feed.get("title")), _address(feed.get("home_page_url"), url)
    rows = feed["items"][:MAX_ENTRIES]
    entries = [_json_entry(row, url or home or "", title) for row in rows if isinstance(row, dict)]
    entries = _signed(entries, _json_authors(feed, title), inherits=True)
    return Feed(
        title=title,
        home=home,
        next=_address(feed.get("next_url"), url),
        entries=told_apart(settle_texts(entries)),
        broken=sum(not isinstance(row, dict) for row in rows),
    )


def _json_entry(row: dict[str, Any], base: str, site: str | None) -> Entry:
    guid = str(row.get("id") or "").strip() if isinstance(row.get("id"), str | int | float) else ""
    address = _address(row.get("url"), base) or _address(guid if "://" in guid else None, base)
    marked, plain, summary = (_string(row.get(key)) for key in ("content_html", "content_text", "summary"))
    attachments = [a for a in row.get("attachments") or [] if isinstance(a, dict)]
    return Entry(
        id=guid,
        guid=guid,
        url=address or base,
        title=plain_title(row.get("title")),
        authors=_json_authors(row, site),
        body=marked or plain or summary,
        mime="text/html" if marked else "text/plain",
        text="whole" if marked or plain else "unsure",
        published_at=parse_time(row.get("date_published")),
        updated_at=parse_time(row.get("date_modified")),
        tags=[t for t in row.get("tags") or [] if isinstance(t, str)],
        media=any(str(a.get("mime_type", "")).startswith(("audio", "video")) for a in attachments),
    )


def _json_authors(row: dict[str, Any], site: str | None) -> list[str]:
    given = row.get("authors") if isinstance(row.get("authors"), list) else [row.get("author")]
    people = [a for a in given or [] if isinstance(a, dict)]
    return signed_by(*[line for a in people for line in (a.get("name"), a.get("url"))], site=site)


def _string(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""

"""Reads feeds: RSS 0.9 to 2.0, RDF and Atom by feedparser, JSON Feed 1.0 and 1.1 by hand.

A feed is untrusted input: nothing is fetched for it, its entities are not followed, and its HTML is left
as it is (cleaning is a later stage; feedparser's own would take code apart).
"""

import calendar
import codecs
import gzip
import html
import io
import json
import re
import zlib
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.entities import html5
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

import feedparser
from charset_normalizer import from_bytes
from lxml import etree
from pydantic import BaseModel

from twin_assets.core.hashing import text_hash
from twin_assets.feature.crawl.formats.bylines import signed_by

Text = Literal["whole", "unsure", "cut"]
MAX_ENTRIES = 10_000
SHORT = 600  # characters: notes to a recording, a link with a remark
# feedparser's parser for broken feeds takes 15 seconds for a megabyte of unclosed marks, its strict one a tenth of one.
LOOSE_BYTES = 200_000
MAX_UNPACKED = 20_000_000
MAX_TITLE = 1_000
_DETECTABLE = 20  # letters outside ASCII
_SUMMARY = 1_000  # characters: a paragraph longer than this is no summary


class Entry(BaseModel):
    """One entry of a feed.

    `id` is unique in its feed: the address, or the guid where entries share one address or have none.
    `text` says whether `body` is the whole text, a summary (`cut`), or might be either (`unsure`).
    `media` is set where the entry brings a recording.
    """

    id: str
    guid: str
    url: str
    title: str | None = None
    authors: list[str] = []
    published_at: datetime | None = None
    updated_at: datetime | None = None
    body: str = ""
    mime: Literal["text/html", "text/plain"] = "text/html"
    text: Text = "whole"
    media: bool = False
    draft: bool = False
    tags: list[str] = []

    @property
    def length(self) -> int:
        """Characters of its text without markup."""
        return len(_plain(self.body) if self.mime == "text/html" else self.body.strip())


class Feed(BaseModel):
    """A feed's entries in its order. `home` is the site it belongs to, `next` its next page (RFC 5005)."""

    title: str | None = None
    home: str | None = None
    next: str | None = None
    entries: list[Entry] = []
    broken: int = 0


def is_feed(content_type: str, text: str) -> bool:
    """Whether an answer is a feed: by its outermost element, or the version that a JSON Feed declares."""
    if text.lstrip("\ufeff \t\r\n")[:1] == "{":
        return _json_feed(text) is not None
    text = _without_preface(text)
    name = root_name(text[:50_000])
    if name == "rdf":
        return "purl.org/rss/1.0" in text[:20_000] or "netscape.com/rdf" in text[:20_000]
    return name in ("rss", "feed") or (
        name == "channel" and any(kind in content_type for kind in ("rss", "xml", "cdf"))
    )


def _without_preface(text: str) -> str:
    """A feed without what a server's program printed before its XML declaration: warnings, mostly."""
    start = text.find("<?xml", 1, 5_000)
    head = text[: max(start, 0)].lower()
    if start < 0 or "<!doctype" in head or "<html" in head or not head.strip("\ufeff \t\r\n"):
        return text
    return text[start:]


_BEFORE_ROOT = (("<?", "?>"), ("<!--", "-->"), ("<!DOCTYPE", ">"), ("<!doctype", ">"))
_BLANK = re.compile(r"[\ufeff\s]*")
_ELEMENT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z]+)")


def root_name(text: str) -> str:
    """Name of the outermost element, lower case and without prefix; empty when the text is no markup."""
    at = 0
    while True:
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        opened = next((marks for marks in _BEFORE_ROOT if text.startswith(marks[0], at)), None)
        if opened is None:
            found = _ELEMENT.match(text, at)
            return found.group(1).lower() if found else ""
        end = text.find(opened[1], at)
        if opened[1] == ">" and 0 <= text.find("[", at) < end:  # a doctype with declarations of its own
            end = text.find(">", max(text.find("]", at), at))
        if end < 0:
            return ""
        at = end + len(opened[1])


def read_feed(data: bytes, content_type: str = "", url: str = "") -> Feed:
    """The feed in these bytes, whose address was `url`. Raises ValueError when they hold none."""
    text = _without_preface(decode_feed(data, content_type))
    if text.lstrip("\ufeff \t\r\n")[:1] == "{":
        found = _json_feed(text)
        if found is None:
            raise ValueError("JSON that is no feed")
        return _read_json(found, url)
    if not is_feed(content_type, text):
        raise ValueError("found neither RSS, Atom nor JSON Feed")
    return _read_xml(text, url)


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds (some servers send `feed.xml.gz` as it lies); other bytes as they are.

    Raises ValueError for a damaged file, and for one that unpacks to more than 20 MB.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            inner = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"damaged gzip file ({error})") from None
    if len(inner) > MAX_UNPACKED:
        raise ValueError(f"larger than {MAX_UNPACKED // 1_000_000} MB unpacked")
    return inner


def decode_feed(data: bytes, content_type: str = "") -> str:
    """The text of a feed's bytes: byte order mark, UTF-8 if it is valid, what is declared, else detection.

    Declarations come third because servers say ISO-8859-1 of UTF-8 far more often than text in another
    encoding happens to be valid UTF-8. Encodings of seven bits are the exception.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data.decode(codec, "replace")
    for start, codec in _STARTS:
        if data.startswith(start):
            return data.decode(codec, "replace")
    declared = [
        m.group(1).decode() for m in [re.search(rb"<\?xml[^>]*encoding=[\"']([\w.:-]+)", data[:300])] if m
    ]
    declared += re.findall(r"charset=[\"']?([\w.:-]+)", content_type)
    codecs_declared = [found for name in declared if (found := _codec(name))]
    if b"\x1b" not in data and "hz" not in codecs_declared and "utf-7" not in codecs_declared:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            bad, good = text.count("\ufffd"), sum(letter > "\x7f" for letter in text) - text.count("\ufffd")
            if bad <= good // 4:  # a few bad bytes among good ones, and not another encoding
                return text
    for codec in codecs_declared:
        try:
            return data.decode(codec)
        except (UnicodeDecodeError, ValueError):
            continue
    # Detection needs something to go by; a letter or two are Western far more often than not.
    enough = sum(byte > 127 for byte in data[:200_000]) >= _DETECTABLE
    best = from_bytes(data[:200_000]).best() if enough else None
    return data.decode(best.encoding if best else "cp1252", "replace")


_MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
]  # fmt: skip


_STARTS = [
    (b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"),
]  # fmt: skip


def _codec(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return None
    # Browsers read these as their supersets: https://encoding.spec.whatwg.org/#names-and-labels
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932"}.get(
        found, found
    )


def parse_time(text: Any) -> datetime | None:
    """UTC time of an RFC 2822 or ISO 8601 string; None when there is none that can be read."""
    if not isinstance(text, str) or not text.strip() or "-0001" in text:  # WordPress's date of a draft
        return None
    padded = re.sub(r"([T ])(\d:\d\d)", r"\g<1>0\2", text.strip())  # bloggers write T8:09 too
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(padded)
            if not 1900 < moment.year < _NO_YEAR:
                continue
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


_NO_YEAR = 2200  # what can't be a date of writing: 9999 stands for "never", and for a date that can't be read


def plain_title(text: Any) -> str | None:
    """A title without markup and with its entities resolved; None when nothing is left of it."""
    if not isinstance(text, str):
        return None
    shown = " ".join(html.unescape(_INLINE.sub("", text[: 10 * MAX_TITLE])).split())
    return shown[:MAX_TITLE] or None


_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|br|cite|code|del|div|em|font|h[1-6]|i|img|ins|kbd|mark|p|q|s|small|span|strong|sub|sup|tt|u"
    r"|wbr)\b[^<>]*>",
    re.IGNORECASE,
)

# --- XML ----------------------------------------------------------------------------------------------------

_LOOSE_AMPERSAND = re.compile(r"&(?!#\d+;|#[xX][0-9A-Fa-f]+;|[A-Za-z][\w.-]*;)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _read_xml(text: str, url: str) -> Feed:
    # By bytes in a stream: a string might be taken for an address or a path.
    found = feedparser.parse(
        io.BytesIO(_bounded(_mended(text).encode("utf-8", "replace"))),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False, resolve_relative_uris=False,
    )  # fmt: skip
    feed = found.feed
    title, home = plain_title(feed.get("title")), _address(feed.get("link"), url)
    rows = found.entries[:MAX_ENTRIES]
    entries = [_xml_entry(row, url or home or "", title) for row in rows]
    # Atom's authors hold for every entry that names none; RSS's editor signs only where nobody else does.
    inherits = str(found.get("version", "")).startswith("atom")
    entries = _signed(entries, _authors(feed, title), inherits)
    following = next((link.get("href") for link in feed.get("links", []) if link.get("rel") == "next"), None)
    return Feed(title=title, home=home, next=_address(following, url), entries=_told_apart(_judged(entries)))


def _mended(text: str) -> str:
    """The feed with the two commonest faults mended: HTML's entities and bare ampersands.

    Either would send the whole feed from the XML parser to the loose one, which takes guesses.
    """
    text = _NOT_XML.sub("", text.lstrip("\ufeff \t\r\n"))
    if "<!ENTITY" in text:
        return text
    parts, at = [], 0
    while (start := text.find("<![CDATA[", at)) >= 0 and (end := text.find("]]>", start)) >= 0:
        parts += [mended_entities(text[at:start]), text[start : end + 3]]
        at = end + 3
    return "".join(parts) + mended_entities(text[at:])


def _signed(entries: list[Entry], authors: list[str], inherits: bool) -> list[Entry]:
    """The entries, with the feed's authors where they name none themselves: each by itself, or only all together."""
    if not authors or not (inherits or not any(entry.authors for entry in entries)):
        return entries
    return [e if e.authors else e.model_copy(update={"authors": authors}) for e in entries]


def _bounded(data: bytes) -> bytes:
    """A feed that the strict parser takes, or a small one. Raises ValueError when a large one can't be mended."""
    if len(data) <= LOOSE_BYTES or _is_well_formed(data):
        return data
    parser = etree.XMLParser(
        recover=True, resolve_entities=False, no_network=True, load_dtd=False, encoding="utf-8"
    )
    try:
        tree = etree.fromstring(_with_prefixes(data), parser)
    except etree.XMLSyntaxError:
        tree = None
    mended = etree.tostring(tree, encoding="utf-8") if tree is not None else b""
    if not mended or not _is_well_formed(mended):
        raise ValueError(f"broken XML of more than {LOOSE_BYTES // 1_000} kB")
    return mended


def _is_well_formed(data: bytes) -> bool:
    try:
        expat.ParserCreate(namespace_separator=" ").Parse(data, True)
    except expat.ExpatError:
        return False
    return True


_USUAL_SPACES = {
    b"content": b"http://purl.org/rss/1.0/modules/content/", b"dc": b"http://purl.org/dc/elements/1.1/",
    b"atom": b"http://www.w3.org/2005/Atom", b"itunes": b"http://www.itunes.com/dtds/podcast-1.0.dtd",
}  # fmt: skip


def _with_prefixes(data: bytes) -> bytes:
    """XML whose root declares every prefix that is used and nowhere declared."""
    missing = set(re.findall(rb"</?([A-Za-z][\w-]{0,30}):[A-Za-z]", data))
    missing -= set(re.findall(rb"xmlns:([\w-]{1,30})", data)) | {b"xml"}
    more = b"".join(
        b' xmlns:%s="%s"' % (name, _USUAL_SPACES.get(name, b"urn:" + name)) for name in sorted(missing)[:50]
    )
    return re.sub(
        rb"<(?:[\w-]{1,30}:)?(?:rss|rdf|feed|channel)\b",
        lambda found: found.group() + more,
        data,
        count=1,
        flags=re.I,
    )


def mended_entities(text: str) -> str:
    """XML text (no CDATA) with HTML's entities as numbers and bare ampersands escaped."""
    return _LOOSE_AMPERSAND.sub("&amp;", _ENTITY.sub(_numbered, text))


_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,30});")


def _numbered(found: re.Match[str]) -> str:
    name = found.group(1)
    if name in ("amp", "lt", "gt", "quot", "apos"):
        return found.group()
    known = html5.get(f"{name};")
    return "".join(f"&#{ord(letter)};" for letter in known) if known else f"&amp;{name};"


def _xml_entry(row: Any, base: str, site: str | None) -> Entry:
    guid = str(row.get("id") or "").strip()
    links = [link for link in row.get("links", []) if link.get("href")]
    shown = next((x["href"] for x in links if x.get("rel", "alternate") == "alternate"), None)
    address = (
        row.get("feedburner_origlink")
        or shown
        or (guid if guid.startswith(("http://", "https://")) else None)
    )
    body, mime, text = _xml_body(row)
    authors = _authors(row, site) or _authors(row.get("source") or {}, site) or _taken_from(row, base)
    media = [x.get("type", "") for x in links if x.get("rel") == "enclosure"]
    return Entry(
        id=guid, guid=guid, url=_address(address, base) or base, title=plain_title(row.get("title")),
        authors=authors, body=body, mime=mime, text=text,
        published_at=_moment(row, "published") or _moment(row, "created") or _moment(row, "updated"),
        draft=str(row.get("app_draft", "")).strip().lower() == "yes",
        updated_at=_moment(row, "updated"), tags=[t.term for t in row.get("tags", []) if t.get("term")],
        media=any(kind.startswith(("audio", "video")) for kind in media),
    )  # fmt: skip


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
    if not _TAG.search(value):
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


def _taken_from(row: Any, base: str) -> list[str]:
    """The other site that an unsigned entry of RSS says it was taken from: its title, or its address."""
    source = row.get("source") or {}
    address = source.get("href") or source.get("url")
    if not isinstance(address, str) or not address.startswith(("http://", "https://")):
        return []
    here, there = (_host(one) for one in (base, address))
    return signed_by(source.get("title") or address) if here and there and here != there else []


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
        return moment if 1900 < moment.year < _NO_YEAR else None
    return parse_time(row.get(field) if field in row.keys() else None)  # noqa: SIM118


def _address(address: Any, base: str) -> str | None:
    if not isinstance(address, str) or not address.strip():
        return None
    try:
        joined = urljoin(base, address.strip())
    except ValueError:
        return None
    return joined if joined.startswith(("http://", "https://")) else None


# --- JSON Feed: https://www.jsonfeed.org/version/1.1/ --------------------------------------------------------


def _json_feed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        return None
    declared = "jsonfeed.org/version" in str(found.get("version", ""))
    return found if declared or "home_page_url" in found or "feed_url" in found else None


def _read_json(found: dict[str, Any], url: str) -> Feed:
    title, home = plain_title(found.get("title")), _address(found.get("home_page_url"), url)
    rows = found["items"][:MAX_ENTRIES]
    entries = [_json_entry(row, url or home or "", title) for row in rows if isinstance(row, dict)]
    entries = _signed(entries, _json_authors(found, title), inherits=True)
    return Feed(
        title=title, home=home, next=_address(found.get("next_url"), url),
        entries=_told_apart(_judged(entries)), broken=sum(not isinstance(row, dict) for row in rows),
    )  # fmt: skip


def _json_entry(row: dict[str, Any], base: str, site: str | None) -> Entry:
    guid = str(row.get("id") or "").strip() if isinstance(row.get("id"), str | int | float) else ""
    address = _address(row.get("url"), base) or _address(guid if "://" in guid else None, base)
    marked, plain, summary = (_string(row.get(key)) for key in ("content_html", "content_text", "summary"))
    attachments = [a for a in row.get("attachments") or [] if isinstance(a, dict)]
    return Entry(
        id=guid, guid=guid, url=address or base, title=plain_title(row.get("title")),
        authors=_json_authors(row, site), body=marked or plain or summary,
        mime="text/html" if marked else "text/plain", text="whole" if marked or plain else "unsure",
        published_at=parse_time(row.get("date_published")), updated_at=parse_time(row.get("date_modified")),
        tags=[t for t in row.get("tags") or [] if isinstance(t, str)],
        media=any(str(a.get("mime_type", "")).startswith(("audio", "video")) for a in attachments),
    )  # fmt: skip


def _json_authors(row: dict[str, Any], site: str | None) -> list[str]:
    given = row.get("authors") if isinstance(row.get("authors"), list) else [row.get("author")]
    people = [a for a in given or [] if isinstance(a, dict)]
    return signed_by(*[line for a in people for line in (a.get("name"), a.get("url"))], site=site)


def _string(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


# --- whole or cut -------------------------------------------------------------------------------------------

_TAG = re.compile(r"<[a-zA-Z/!][^<>]*>")
_BLOCK = re.compile(
    r"<(?:p|pre|ul|ol|h[1-6]|blockquote|table|figure)\b|<br\s*/?>\s*<br|\n\s*\n", re.IGNORECASE
)
# WordPress ends every entry so, a whole one too.
_CREDIT = re.compile(
    r"\s*The post .{1,300} (?:first appeared on|appeared first on) .{1,200}\.?\s*$", re.DOTALL
)
_BRACKETED = re.compile(r"[\[(]\s*(?:…|\.\.\.)\s*[\])]\W*$")
_ELLIPSIS = re.compile(r"(?:…|\.\.\.)\W*$")
_INVITES = (
    r"(?:(?:continue|keep) reading|read (?:more|on(?=\W*$)|the (?:rest|full|whole))"
    r"|view (?:the )?(?:full|original) (?:post|article)"
    r"|weiterlesen|lire la suite|(?:leer|seguir) (?:más|leyendo)|continua a leggere|leia mais|lees verder|läs mer|czytaj dalej"
    r"|читать (?:далее|дальше)|続きを読む|もっと読む|阅读(?:全文|更多)|继续阅读|계속 읽기)"
)
_INVITED = re.compile(rf"(?:^|[.!?…»。]\s*|\n){_INVITES}[^.!?]{{0,100}}\W*$", re.IGNORECASE)
_INVITATION = re.compile(_INVITES, re.IGNORECASE)
_ENDS = re.compile(r"[^\w\s]\s*$")


def _judged(entries: list[Entry]) -> list[Entry]:
    """The entries with `text` settled as far as they and their neighbours tell.

    A text is cut where it ends in `[…]` or an invitation to read on, where its one paragraph ends in `…`,
    or where all of the feed's descriptions break off without an end at about the same length. It is whole
    where it is longer than a summary, came as the content, or where the entry has no title (a note).
    """
    lone = [e for e in entries if e.text == "unsure" and e.body]
    plain = [_plain(e.body) if e.mime == "text/html" else e.body for e in lone]
    unended = [text for text in plain if not _ENDS.search(text)]
    longest = max(map(len, plain), default=0)
    capped = (
        len(plain) >= 3
        and longest <= _SUMMARY
        and len(unended) > len(plain) / 2
        and min(map(len, unended)) > 0.7 * longest
    )
    return [entry.model_copy(update={"text": _judge(entry, capped)}) for entry in entries]


def _judge(entry: Entry, capped: bool) -> Text:
    marked = entry.mime == "text/html"
    tail = entry.body[-2_500:]
    plain = _CREDIT.sub("", _plain(tail) if marked else tail).rstrip()
    one_block = len(_BLOCK.findall(entry.body)) < 2
    length = entry.length
    if (length < 3 * _SUMMARY and _BRACKETED.search(plain)) or (
        marked and _INVITATION.search(_last_link(tail))
    ):
        return "cut"
    short = one_block and length < 2 * _SUMMARY
    if short and (_ELLIPSIS.search(plain) or _INVITED.search(plain[-160:])):
        return "cut"
    if entry.text == "whole" or length >= _SUMMARY or not entry.title:
        return "whole"
    return "cut" if capped and not _ENDS.search(plain) else "unsure"


def _last_link(marked: str) -> str:
    """The words of the link that ends a text; empty when it ends in something else."""
    end = marked.rfind("</a>")
    start = marked.rfind("<a", 0, end) if end >= 0 else -1
    return _plain(marked[start:end]) if start >= 0 and len(_plain(marked[end:])) < 15 else ""


def _plain(marked: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", marked)).split())


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """The entries with ids of their own: the address where it is one entry's alone, else the guid."""
    shared = Counter(entry.url for entry in entries)
    own = Counter(entry.guid for entry in entries)
    told = []
    for entry in entries:
        if shared[entry.url] == 1:
            name = entry.url
        elif entry.guid and own[entry.guid] == 1:
            name = entry.guid
        else:
            name = f"{entry.url}#{text_hash(f'{entry.title} {entry.published_at} {entry.body}')[:16]}"
        told.append(entry.model_copy(update={"id": name}))
    return list({entry.id: entry for entry in told}.values())

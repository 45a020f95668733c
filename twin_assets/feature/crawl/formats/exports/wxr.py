"""Reads WordPress's export files (WXR 1.0 to 1.2, which is RSS with fields of its own), item by item.

A file may have gigabytes, broken bytes and control characters: it is streamed, and mended on the way.
Entities are not followed.
"""

import codecs
import gzip
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from lxml import etree
from pydantic import BaseModel

from twin_assets.feature.crawl.formats.archives import MAX_MEMBER_BYTES, archive_members
from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.values import plain_title
from twin_assets.feature.crawl.formats.xml_text import mended_entities

MAX_ITEMS = 500_000
_CHUNK = 65_536
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])


class WordPressItem(BaseModel):
    """One item of an export: a post or page, or what else WordPress stores as one.

    `authors` are names, logins and addresses of those who sign it; `html` is its body as a page shows it. `closed`: a plugin
    shows it to members only.
    """

    post_id: str
    link: str
    title: str | None
    authors: list[str]
    kind: str
    status: str
    password: bool
    closed: bool
    dates: list[str]
    html: str
    tags: list[str]


def read_wxr(path: Path, on_cut: Callable[[str], None] = lambda name: None) -> Iterator[WordPressItem]:
    """The items of an .xml export, or of all in a zip. `on_cut` gets the name of a file that has no end. Raises ValueError, with what is wrong, for anything else."""
    if _is_gzip(path):
        try:
            with gzip.open(path) as file:
                yield from _items(_Bounded(file), path.name, on_cut)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"damaged gzip file ({error})") from None
        return
    if zipfile.is_zipfile(path):
        has_export = False
        for name, data in archive_members(path, r"\.xml$"):
            if "__MACOSX" not in name:
                has_export = True
                yield from _items(io.BytesIO(data), name, on_cut)
        if not has_export:
            raise ValueError("no .xml file in the zip")
        return
    try:
        with path.open("rb") as file:
            yield from _items(file, path.name, on_cut)
    except FileNotFoundError:
        raise ValueError("missing file") from None
    except OSError as error:
        raise ValueError(f"unreadable file ({error.strerror})") from None


def _is_gzip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False


class _Bounded:
    """A packed file that is read no further than an archive's member may unpack to."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self._read = file, 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        if self._read > MAX_MEMBER_BYTES:
            raise ValueError("the file is too large unpacked")
        return data


def _items(file: Any, name: str, on_cut: Callable[[str], None]) -> Iterator[WordPressItem]:
    authors: dict[str, list[str]] = {}
    site, home = None, ""
    count = 0
    with _mended(file) as stream:
        events = etree.iterparse(
            stream,
            events=("end",),
            recover=True,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            encoding="utf-8",
            collect_ids=False,
        )
        exported = False
        try:
            for _, element in events:
                tag = _tag(element)
                if tag == "wp:wxr_version":
                    exported = True
                elif tag == "wp:author":
                    fields = _fields(element)
                    authors[fields.get("wp:author_login", "")] = _names(fields)
                elif tag == "title" and _tag(element.getparent()) == "channel":
                    site = plain_title(element.text)
                elif tag in ("link", "wp:base_blog_url") and _tag(element.getparent()) == "channel":
                    home = (element.text or "").strip() or home
                elif tag == "item":
                    count += 1
                    if count > MAX_ITEMS:
                        raise ValueError(f"more than {MAX_ITEMS:,} items in {name}")
                    fields = _fields(element)
                    exported |= "wp:post_type" in fields or "wp:status" in fields
                    if exported:
                        yield _item(element, fields, authors, site, home)
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            if not count:
                raise ValueError(f"{name} is not XML ({error.msg})") from None
    if exported and not stream.ended_whole:
        on_cut(name)
    if not exported:
        raise ValueError(f"{name} is no WordPress export (it has no wp: fields)")


def _item(
    element: Any, fields: dict[str, str], authors: dict[str, list[str]], site: str | None, home: str
) -> WordPressItem:
    labels = [
        (c.get("domain") or "", c.get("nicename") or "", (c.text or "").strip())
        for c in element
        if _tag(c) == "category"
    ]
    # Co-Authors Plus says all authors of a post as terms; guests among them have no account.
    terms = [
        name
        for domain, nicename, label in labels
        if domain == "author"
        for name in (label, nicename.removeprefix("cap-"))
    ]
    creator = fields.get("dc:creator", "")
    signers = terms or [creator, *authors.get(creator, [])]
    by_login = [name for term in terms for name in authors.get(term, [])]
    link = _joined(home, fields.get("link") or fields.get("guid") or "")
    return WordPressItem(
        post_id=fields.get("wp:post_id") or link,
        link=link,
        title=plain_title(fields.get("title")),
        authors=signed_by(*signers, *by_login, site=site),
        kind=fields.get("wp:post_type") or "post",
        status=fields.get("wp:status") or "",
        password=bool(fields.get("wp:post_password")),
        closed=any(map(_closes, element)),
        dates=[fields.get(f"wp:{field}", "") for field in ("post_date_gmt", "post_date")]
        + [fields.get("pubDate", "")],
        html=shown_html(fields.get("content:encoded", "")),
        tags=[label for domain, _, label in labels if domain in ("tag", "post_tag", "category") and label],
    )


def _joined(home: str, link: str) -> str:
    try:
        return urljoin(home, link)
    except ValueError:
        return link


def _fields(element: Any) -> dict[str, str]:
    """The texts of an element's children by name; the first of several alike."""
    fields: dict[str, str] = {}
    for child in element:
        if isinstance(child.tag, str):
            fields.setdefault(_tag(child), "".join(child.itertext()).strip())
    return fields


# Fields of the plugins that show a post to some readers only, and what they say when it is for everybody.
_ACCESS = re.compile(
    r"_jetpack_newsletter_access|_?members_access_role|_memberful_acl|rcp_(?:subscription_level|access_level|user_level|paid_only)"
    r"|_?is_paid|_wc_memberships_force_public|_mepr_\w*unauthorized\w*|_ppc_\w+|_leaky_\w+|_restrict_content|_members_only"
)
_FOR_ALL = {"", "0", "no", "false", "none", "all", "everybody", "everyone", "public", "default"}


def _closes(element: Any) -> bool:
    if _tag(element) != "wp:postmeta":
        return False
    fields = _fields(element)
    key, value = fields.get("wp:meta_key", ""), fields.get("wp:meta_value", "").lower()
    return bool(_ACCESS.fullmatch(key)) and "force_public" not in key and value not in _FOR_ALL


def _names(fields: dict[str, str]) -> list[str]:
    whole = f"{fields.get('wp:author_first_name', '')} {fields.get('wp:author_last_name', '')}".strip()
    return [
        name for name in (fields.get("wp:author_display_name"), fields.get("wp:author_email"), whole) if name
    ]


_SPACES = (("wordpress.org/export", "wp"), ("rss/1.0/modules/content", "content"), ("purl.org/dc", "dc"))


def _tag(element: Any) -> str:
    """`wp:status`, `content:encoded`, `title`: whichever version of a namespace the export declares, or none."""
    if element is None or not isinstance(element.tag, str):
        return ""
    space, _, name = element.tag.rpartition("}")
    if "excerpt" in space:
        return f"excerpt:{name}"
    return next((f"{prefix}:{name}" for part, prefix in _SPACES if part in space), name)


@contextmanager
def _mended(file: Any) -> Iterator["_MendedStream"]:
    yield _MendedStream(file)


class _MendedStream:
    """The file as UTF-8 that a parser takes: undecodable bytes replaced, control characters gone, and outside
    CDATA no entities that only HTML knows (after one, libxml2 loses the known ones too)."""

    def __init__(self, file: Any) -> None:
        head = file.read(_CHUNK)
        declared = re.search(rb"<\?xml[^>]*encoding=[\"']([\w.:-]+)", head[:300])
        codec = declared.group(1).decode() if declared else "utf-8"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            codec = "utf-16"
        try:
            decoder = codecs.getincrementaldecoder("cp1252" if codec.lower() == "iso-8859-1" else codec)
        except LookupError:
            decoder = codecs.getincrementaldecoder("utf-8")
        self._file, self._head, self._decoder, self._left = file, head, decoder("replace"), b""
        self._ended = self._begun = self._in_cdata = False
        self._carried = self._tail = ""

    @property
    def ended_whole(self) -> bool:
        """Whether the file ends where its outermost element does."""
        return "</rss>" in self._tail or "</channel>" in self._tail

    def read(self, size: int = -1) -> bytes:
        while not self._left and not self._ended:
            data, self._head = self._head or self._file.read(_CHUNK), b""
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended).translate(_CONTROLS)
            if text and not self._begun:
                text, self._begun = text.lstrip("\ufeff \t\r\n"), True
            self._tail = (self._tail + text)[-2_000:]
            self._left = self._without_entities(text).encode("utf-8", "replace")
        size = len(self._left) if size is None or size < 0 else size
        out, self._left = self._left[:size], self._left[size:]
        return out

    def _without_entities(self, text: str) -> str:
        text = self._carried + text
        # What may be the beginning of an entity or of a CDATA mark waits for the next chunk.
        start = max(text.rfind(mark, max(len(text) - 40, 0)) for mark in "&<]")
        cut = len(text) if self._ended or start < 0 else start
        text, self._carried = text[:cut], text[cut:]
        out = []
        while text:
            end = text.find("]]>" if self._in_cdata else "<![CDATA[")
            part, text = (text, "") if end < 0 else (text[:end], text[end:])
            out.append(part if self._in_cdata else mended_entities(part))
            if text:
                mark = "]]>" if self._in_cdata else "<![CDATA["
                out.append(mark)
                text = text[len(mark) :]
                self._in_cdata = not self._in_cdata
        return "".join(out)


# --- the editor's own marks ---------------------------------------------------------------------------------

_BLOCK_MARK = re.compile(r"<!--\s*/?wp:.*?-->|<!--\s*(?:more|nextpage)\b.*?-->", re.DOTALL)
_CODE_MARK = re.compile(
    r"\[(code|sourcecode|highlight|cc|python|php|bash|js|javascript|css|html|xml|sql|java|ruby|cpp)\b([^\]]*)\](.*?)\[/\1\]",
    re.DOTALL | re.IGNORECASE,
)
_CODE_OPENS = re.compile(
    r"\[(sourcecode|highlight|cc|python|php|bash|js|javascript|css|html|xml|sql|java|ruby|cpp)\b", re.I
)
_KEPT = re.compile(r"(<pre\b.*?</pre>|<code\b.*?</code>)", re.DOTALL | re.IGNORECASE)
_ATTRIBUTES = r"(?:\s+[\w-]+=(?:\"[^\"\]]*\"|'[^'\]]*'|[^\s\]\"']+))"
_MARK = re.compile(rf"\[/?([A-Za-z][\w-]*){_ATTRIBUTES}*\s*/?\]")
_NAMED = {
    "gallery",
    "embed",
    "caption",
    "audio",
    "video",
    "playlist",
    "contact-form",
    "wp_caption",
    "toc",
    "youtube",
    "vimeo",
}
_PARTS = re.compile(r"\n[ \t]*\n\s*")
_BLOCKS = (
    "address|article|aside|blockquote|dd|div|dl|dt|figure|figcaption|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre"
    "|section|style|script|table|tbody|td|th|thead|tr|ul"
)
_OPENING = re.compile(rf"(<(?:{_BLOCKS})\b[^<>]*>)", re.IGNORECASE)
_CLOSING = re.compile(rf"(</(?:{_BLOCKS})>|<hr\b[^<>]*>)", re.IGNORECASE)
_IS_BLOCK = re.compile(rf"</?(?:{_BLOCKS})\b", re.IGNORECASE)


_MANY_CODES = 1_000
_PAIRS = (("<pre", "</pre>"), ("<code", "</code>"), ("<!--", "-->"), ("[", "]"), ("[code", "[/code"))


def shown_html(content: str) -> str:
    """A body as WordPress shows it: block marks and shortcodes off, code in <pre>, blank lines as paragraphs."""
    if any(content.count(opens) > 2 * content.count(closes) + 50 for opens, closes in _PAIRS):
        return content  # marks that nothing closes would each be looked for to the end
    opened = Counter(name.lower() for name in _CODE_OPENS.findall(content))
    if any(n > _MANY_CODES and content.lower().count(f"[/{name}]") < n / 2 for name, n in opened.items()):
        return content
    text = _CODE_MARK.sub(_as_code, content.replace("\r\n", "\n"))
    blocks = "<!-- wp:" in text
    parts = _KEPT.split(_BLOCK_MARK.sub("", text))
    closing = {m.group(1).lower() for part in parts[::2] for m in re.finditer(r"\[/([A-Za-z][\w-]*)\]", part)}

    def unmarked(match: re.Match[str]) -> str:
        name = match.group(1).lower()
        is_mark = name in closing or name in _NAMED or "=" in match.group()
        return "" if is_mark else match.group()

    parts[::2] = [_MARK.sub(unmarked, part) for part in parts[::2]]
    return "".join(parts).strip() if blocks else _paragraphs("".join(parts).strip())


def _as_code(match: re.Match[str]) -> str:
    name, attributes, code = match.groups()
    language = re.search(r"(?:lang|language)=[\"']?([\w+#-]+)", attributes)
    named = (
        language.group(1)
        if language
        else name
        if name.lower() not in ("code", "sourcecode", "highlight", "cc")
        else ""
    )
    shown = code.strip("\n")
    if not re.search(r"&(?:lt|gt|amp|quot|#\d+);", shown):
        shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f'<pre><code class="language-{named}">{shown}</code></pre>'
        if named
        else f"<pre><code>{shown}</code></pre>"
    )


def _paragraphs(text: str) -> str:
    """Blank lines as paragraphs and line ends as breaks, which the older editor leaves to the page."""
    out = []
    for number, part in enumerate(re.split(r"(<pre\b.*?</pre>)", text, flags=re.DOTALL | re.IGNORECASE)):
        if number % 2:
            out.append(part)
            continue
        apart = _CLOSING.sub(r"\1\n\n", _OPENING.sub(r"\n\n\1", part))
        for piece in filter(None, map(str.strip, _PARTS.split(apart))):
            as_is = _IS_BLOCK.match(piece)
            out.append(piece if as_is else "<p>" + piece.replace("\n", "<br />\n") + "</p>")
    return "\n".join(out)

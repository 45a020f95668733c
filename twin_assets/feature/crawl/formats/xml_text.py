"""Bytes of XML in, text that a strict parser takes out: decoded, without prefaces, with its commonest faults mended.

Nothing is fetched, and no entity is followed.
"""

import codecs
import gzip
import io
import re
import zlib
from html.entities import html5
from xml.parsers import expat

from charset_normalizer import from_bytes
from lxml import etree

# feedparser's parser for broken feeds takes 15 seconds for a megabyte of unclosed marks, its strict one a tenth of one.
LOOSE_BYTES = 200_000
MAX_UNPACKED = 20_000_000
_DETECTABLE = 20  # letters outside ASCII


def without_preface(text: str) -> str:
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
            match = _ELEMENT.match(text, at)
            return match.group(1).lower() if match else ""
        end = text.find(opened[1], at)
        if opened[1] == ">" and 0 <= text.find("[", at) < end:  # a doctype with declarations of its own
            end = text.find(">", max(text.find("]", at), at))
        if end < 0:
            return ""
        at = end + len(opened[1])


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
        codec = codecs.lookup(name).name
    except LookupError:
        return None
    # Browsers read these as their supersets: https://encoding.spec.whatwg.org/#names-and-labels
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932"}.get(
        codec, codec
    )


_LOOSE_AMPERSAND = re.compile(r"&(?!#\d+;|#[xX][0-9A-Fa-f]+;|[A-Za-z][\w.-]*;)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def mend_xml(text: str) -> str:
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


def strict_xml(data: bytes) -> bytes:
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
        lambda match: match.group() + more,
        data,
        count=1,
        flags=re.I,
    )


def mended_entities(text: str) -> str:
    """XML text (no CDATA) with HTML's entities as numbers and bare ampersands escaped."""
    return _LOOSE_AMPERSAND.sub("&amp;", _ENTITY.sub(_numbered, text))


_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,30});")


def _numbered(match: re.Match[str]) -> str:
    name = match.group(1)
    if name in ("amp", "lt", "gt", "quot", "apos"):
        return match.group()
    letters = html5.get(f"{name};")
    return "".join(f"&#{ord(letter)};" for letter in letters) if letters else f"&amp;{name};"

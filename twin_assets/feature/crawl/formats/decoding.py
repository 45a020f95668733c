"""The text of bytes: by what they declare, then as UTF-8, then by detection. Bytes that are no text give None."""

import codecs
import re

from charset_normalizer import from_bytes

# What is looked at for declarations and for detection; a file's first part is like its rest.
HEAD, SAMPLE = 1_024, 100_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# PEP 263 and Emacs (`coding: x`), Vim (`fileencoding=x`), XML (`encoding="x"`), HTML and CSS (`charset=x`).
_DECLARED = re.compile(
    rb"""(?:\bcoding[:=]|\bf(?:ile)?enc(?:oding)?=|<\?xml[^>]*\bencoding=|<meta[^>]*\bcharset=|@charset)"""
    rb"""\s*["']?\s*([A-Za-z][\w.:-]{1,30})"""
)
# Encodings that people's files are in, the likelier first. A guess among all that exist takes short texts for rare
# ones, and several fit a short text equally well.
_LATIN = ["cp1252", "cp1250", "iso8859_2", "cp1257", "cp1254", "cp1258", "mac_roman"]
_OTHERS = [
    "cp1251", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1253", "cp1255", "cp1256", "tis_620",
]  # fmt: skip
# No word of a language in Latin letters has so many accented ones in a row.
_NOT_LATIN = re.compile(rb"[\x80-\xff]{5}")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")


def decode_text(data: bytes, declared: str | None = None) -> str | None:
    """The text, or None when it is binary or no encoding fits.

    `declared` is a charset named from outside, as by an HTTP header. A declaration that does not fit the bytes
    is passed over.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    named = [declared] if declared else []
    named += [found.decode("ascii") for found in _DECLARED.findall(data[:HEAD])]
    if b"\0" in data:
        return None
    if _ISO_2022_JP.search(data):
        named.append("iso2022_jp")  # seven bits, so UTF-8 would take it too
    for encoding in [*named, "utf-8"]:
        if (text := _decoded(data, encoding)) is not None:
            return text
    likely = _OTHERS if _NOT_LATIN.search(data) else _LATIN + _OTHERS
    matches = list(from_bytes(data[:SAMPLE], cp_isolation=likely))
    # The library sorts by mess and by likeness to a language; where those are equal, the likelier is taken.
    matches.sort(key=lambda m: (round(m.chaos, 2), -round(m.coherence, 2), likely.index(m.encoding)))
    return next((text for m in matches if (text := _decoded(data, m.encoding)) is not None), None)


def _decoded(data: bytes, encoding: str) -> str | None:
    # What calls itself Latin-1 is windows-1252 where it differs, as browsers read it (WHATWG Encoding, 4.2).
    try:
        if codecs.lookup(encoding).name in ("iso8859-1", "ascii"):
            encoding = "cp1252"
        return data.decode(encoding)
    except (LookupError, ValueError, UnicodeError):
        return None

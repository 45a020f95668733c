"""Bytes of a text file as text: by byte order mark, by what the file declares, as UTF-8, then by detection."""

import codecs
import re

from charset_normalizer import from_bytes

from twin_assets.feature.crawl.formats.text.one_byte import one_byte_encoding

_MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
]  # fmt: skip
# <meta charset=…>, http-equiv, <?xml encoding="…"?>, and the coding: of Emacs, Python and reStructuredText.
_DECLARED = re.compile(
    rb"(?:charset\s*=|encoding\s*=|coding\s*[:=])\s*[\"']?([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE
)
_HEAD = 2048
_DETECT_BYTES = 200_000
# Broken sequences of a text in UTF-8 that was cut, or pasted into from elsewhere, as a share of the sound ones.
_MAX_BROKEN = 0.25
_MAX_NULS = 0.01
_HAIR = 0.02
# https://encoding.spec.whatwg.org/#names-and-labels: who says Latin-1 writes Windows' letters.
_AS_WRITTEN = {"iso8859-1": "cp1252", "latin-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}  # fmt: skip
# What people's files are in; detection among all that exist mistakes short texts for rare ones.
_PLAUSIBLE = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp932", "euc_jp",
    "iso2022_jp", "gb18030", "big5", "cp949", "cp866", "cp874", "iso8859_2", "mac_roman", "utf_16_le", "utf_16_be",
]  # fmt: skip
# No language in Latin letters has so many accented ones in a row.
_NOT_LATIN = re.compile(rb"[\x80-\xff]{5}")
_LATIN = {"cp1252", "cp1250", "cp1254", "cp1257", "cp1258", "iso8859_2", "mac_roman"}
# What has two bytes a letter, and Vietnamese with its tones as marks, is told by its form; the rest by its letters.
_BY_FORM = {"cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949", "cp1258", "utf_16_le", "utf_16_be"}
_CUT = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def decode_text(data: bytes) -> str:
    """The text of a file. Raises ValueError when it is none in any encoding that can be told."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name)
    declared = _declared(data)
    unicode = _try(data, "utf-8")
    # Bytes beyond ASCII that are valid UTF-8 are UTF-8, even under an old declaration of a one-byte set.
    if unicode is not None and not ("\x1b$" in unicode and data.isascii()):
        nuls = unicode.count("\x00")
        if nuls <= _MAX_NULS * len(unicode):
            return unicode.replace("\x00", "") if nuls else unicode
    if declared and (text := _try(data, declared)) is not None:
        return text
    text = _mended(data) or _japanese(data) or _detected(data)
    if text is None or not _is_text(text):
        raise ValueError("in no encoding that can be told (save it as UTF-8)")
    return text


def _mended(data: bytes) -> str | None:
    """A text in UTF-8 with a few bytes that are none: those are read as Windows' letters, and one cut off at the end goes."""
    data = _CUT.sub(b"", data)
    sound, rest = len(_SEQUENCE.findall(data)), _SEQUENCE.sub(b"", data)
    if not sound or len(re.findall(rb"[\x80-\xff]", rest)) > _MAX_BROKEN * sound:
        return None
    parts = re.split(b"(" + _SEQUENCE.pattern + b")", data)
    return "".join(part.decode("utf-8" if n % 2 else "cp1252", "ignore") for n, part in enumerate(parts))


def _japanese(data: bytes) -> str | None:
    """The text, if one of the Japanese encodings makes kana of it; detection takes short ones for Korean."""
    for encoding in ("iso2022_jp", "euc_jp", "cp932"):
        text = _try(data, encoding)
        beyond = [c for c in text or "" if c > "\x7f"]
        if text and beyond and sum("\u3040" <= c <= "\u30ff" for c in beyond) > 0.2 * len(beyond):
            return text
    return None


def _detected(data: bytes) -> str | None:
    """The decoding that looks least like chaos, if it is one of several bytes a letter; else that whose letters a language has."""
    plausible = [name for name in _PLAUSIBLE if name not in _LATIN or not _NOT_LATIN.search(data)]
    matches = from_bytes(data[:_DETECT_BYTES], cp_isolation=plausible, enable_fallback=False)
    best = matches.best()
    # A letter more or less makes two differ by a hair.
    equals = [
        m.encoding
        for m in matches
        if best and m.chaos <= best.chaos + _HAIR and m.coherence >= best.coherence - _HAIR
    ]
    formed = best is not None and best.encoding in _BY_FORM and (_LATIN - _BY_FORM).isdisjoint(equals)
    name = best.encoding if best and formed else one_byte_encoding(data[:_DETECT_BYTES])
    return _try(data, name) if name else None


def _declared(data: bytes) -> str | None:
    match = _DECLARED.search(data[:_HEAD])
    try:
        name = codecs.lookup(match[1].decode("ascii")).name if match else None
    except LookupError:
        return None
    return _AS_WRITTEN.get(name, name) if name else None


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _strict(data: bytes, encoding: str) -> str:
    text = _try(data, encoding)
    if text is None:
        raise ValueError(f"broken {encoding.upper().removesuffix('-SIG')} (save it as UTF-8)")
    return text.removeprefix("\ufeff")


def _is_text(text: str) -> bool:
    """Whether a decoding made sense: nearly no control characters."""
    controls = sum(c < " " and c not in "\t\n\r\f\x1b" for c in text[:_DETECT_BYTES])
    return controls <= 0.001 * len(text)

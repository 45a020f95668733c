"""What a file says that somebody gave: a paper or notes, read as what a link leads to is."""

import re
from pathlib import PurePath
from urllib.parse import quote

from twin_assets.core.errors import TwinError
from twin_assets.core.text.front_matter import split_front_matter
from twin_assets.core.text.words import count_words
from twin_assets.inference.links.fetch import Fetched
from twin_assets.inference.links.read import MAX_CHARACTERS, MIN_WORDS, LinkedText, text_of

FORMS = "PDF, HTML, Markdown or plain text"
LONGEST_NAME = 200
NOTES = "text/markdown"
_PAGES, _TEXTS = (".html", ".htm", ".xhtml"), (".md", ".markdown", ".txt", ".text")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_HEADING = re.compile(r"\s{0,3}#{1,6}[ \t]+(\S.{0,300})")


def read_file(name: str, data: bytes) -> LinkedText:
    """The writing of a file, cleaned; its address is `file:` and the name, so that a file of the same name is a newer version.

    Raises TwinError for what is of another form, can't be read within the limits, or holds hardly any text.
    """
    name = _plain(name)
    try:
        text = text_of(_as_fetched(name, data))
    except ValueError as error:
        raise TwinError(
            f"{name} can't be read: {error}.", "see that it opens elsewhere, and save it anew."
        ) from None
    title, body = (text.title, text.text) if text.fetched_mime != NOTES else _without_fields(text.text)
    if count_words(body) < MIN_WORDS:
        raise TwinError(
            f"{name} holds hardly any text.",
            "a scanned paper has pictures of its words: let a program for that read it first.",
        )
    heading = _HEADING.match(body)
    title = title or (heading[1].strip() if heading else PurePath(name).stem)
    return text.model_copy(update={"text": body[:MAX_CHARACTERS], "title": title})


def _without_fields(text: str) -> tuple[str | None, str]:
    """The title that notes have above them, and the notes without what stands there."""
    try:
        fields, body = split_front_matter(text)
    except ValueError:  # not one field can be read: the words may be all there is
        return None, text
    title = fields.get("title")
    return (title.strip()[:300] or None) if isinstance(title, str) else None, body


def _plain(name: str) -> str:
    """The last part of a name, without what no name needs."""
    last = PurePath(name.replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable()).strip()[-LONGEST_NAME:] or "file"


def _as_fetched(name: str, data: bytes) -> Fetched:
    url, kind = f"file:{quote(name)}", PurePath(name).suffix.lower()
    if data[:5] == b"%PDF-":
        return Fetched(url=url, mime="application/pdf", charset=None, data=data)
    charset = next((charset for mark, charset in _MARKS.items() if data.startswith(mark)), None)
    if (b"\0" in data and charset != "utf-16") or (kind and kind not in (*_PAGES, *_TEXTS)):
        raise TwinError(f"{name} is of a form that the library doesn't read.", f"save it as {FORMS}.")
    if charset is None:
        try:
            data.decode()
        except UnicodeDecodeError:
            charset = "cp1252"  # what older programs on Windows write
    mime = "text/html" if kind in _PAGES else NOTES
    return Fetched(url=url, mime=mime, charset=charset, data=data)

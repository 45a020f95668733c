"""Reads one file of writing, whatever its kind: `READERS` has the kinds by suffix."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from twin_assets.core.records import Visibility
from twin_assets.core.text.front_matter import Fields, bounded, split_front_matter
from twin_assets.core.text.html.meta import page_meta
from twin_assets.core.text.pdf import read_pdf_apart
from twin_assets.feature.corpus.cleaning.markdown import markdown_blocks
from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.formats.text.fields import describe
from twin_assets.feature.crawl.formats.text.markup import (
    html_without_liquid,
    mdx_as_markdown,
    read_asciidoc,
    read_notebook,
    read_org,
    read_rst,
)
from twin_assets.feature.crawl.formats.text.pandoc import read_with_pandoc
from twin_assets.feature.crawl.formats.values import as_time, parse_time

MAX_FILE_BYTES = 20_000_000
MAX_TEXT_BYTES = 5_000_000  # a text file; a book has a fifth of it
PDF_SECONDS = 60

_DATE_IN_NAME = re.compile(
    r"^(\d{4})(?:[-_.]?(\d{1,2})[-_.]?(\d{1,2})(?![\d])|[年년] ?(\d{1,2})[月월] ?(\d{1,2})[日일])[-_. T]*"
)
_DATE_AT_END = re.compile(r"[-_. ]((?:19|20)\d\d)[-_.](\d\d)[-_.](\d\d)$")
# Numbers, and digests or UUIDs in hexadecimal: at least eight digits of which one is no letter.
_NO_WORDS = re.compile(r"[\W\d_]+|(?=.*\d)[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)
_DAY_IN_YEAR = re.compile(r"(?:^|/)((?:19|20)\d\d)/(\d\d)-(\d\d)(?!\d)")
_DATE_IN_FOLDERS = re.compile(r"(?:^|/)((?:19|20)\d\d)/(\d{1,2})(?:/(\d{1,2}))?/")
_HEADING = re.compile(
    r"\A(?:\s*+(?:<!--.*?-->|!\[[^\n]*+|\[!\[[^\n]*+))*+\s*+(?:#[ \t]++([^\n]+)|([^\n]+)\n=+[ \t]*(?:\n|\Z))",
    re.DOTALL,
)
_INDEX = {"index", "_index", "readme"}


class FileText(BaseModel):
    """What a file holds. `fields` is what it says about itself; `left_out` why it was never published, if so;
    `authors` its bylines as written."""

    body: str
    mime: str
    title: str | None = None
    authors: list[str] = []
    url: str | None = None
    published_at: datetime | None = None
    language: str | None = None
    visibility: Visibility | None = None
    left_out: str | None = None
    fields: dict[str, Any] = {}

    @property
    def author(self) -> str | None:
        """The first byline."""
        return self.authors[0] if self.authors else None


def read_file(name: str, data: bytes) -> FileText:
    """The text of a file by its suffix; `name` may have folders, whose dates count.

    Raises ValueError with what is wrong with it.
    """
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"cannot read {suffix or 'nameless kinds of'} files")
    limit = MAX_FILE_BYTES if suffix in _PACKED else MAX_TEXT_BYTES
    if len(data) > limit:
        raise ValueError(f"larger than {limit // 1_000_000} MB")
    text = READERS[suffix](data)
    return text.model_copy(
        update={
            "title": text.title or _title_in_name(path),
            "published_at": text.published_at or _date_in_path(path),
            "fields": bounded(text.fields),
        }
    )


def is_readable(path: Path) -> bool:
    """Whether a file is of a kind that can be read."""
    return path.suffix.lower() in READERS and not path.name.startswith(".")


def _described(body: str, fields: Fields, mime: str = "text/markdown", title: str | None = None) -> FileText:
    described = describe(fields)
    return FileText(
        body=body,
        mime=mime,
        title=described.title or title,
        authors=described.authors,
        url=described.url,
        published_at=described.published_at,
        language=described.language,
        visibility=described.visibility,
        left_out=described.left_out,
        fields=fields,
    )


def _heading(body: str) -> str | None:
    """The title that a Markdown text begins with, as its first block will say it."""
    match = _HEADING.match(body[:5000])
    if not match:
        return None
    blocks = markdown_blocks(f"# {(match[1] or match[2]).strip()}")
    return blocks[0].removeprefix("## ") if blocks else None


def _markdown(data: bytes) -> FileText:
    fields, body = split_front_matter(decode_text(data))
    return _described(body, fields, title=_heading(body))


def _mdx(data: bytes) -> FileText:
    fields, body = split_front_matter(decode_text(data))
    body = mdx_as_markdown(body).strip() + "\n"
    return _described(body, fields, title=_heading(body))


def _plain(data: bytes) -> FileText:
    fields, body = split_front_matter(decode_text(data))
    return _described(body, fields, "text/plain")


def _html(data: bytes) -> FileText:
    text = decode_text(data)
    fields, body = (
        split_front_matter(text) if text.lstrip("\ufeff \n").startswith(("---", "+++")) else ({}, text)
    )
    if fields or "{%" in body:
        body = html_without_liquid(body)
    if not body.strip():
        return FileText(body="", mime="text/html")
    try:
        meta = page_meta(body)
    except Exception as error:  # whatever a parser of HTML says about bytes that are none
        raise ValueError(f"broken HTML ({error})") from None
    given = _described(body, fields, "text/html", title=meta["title"])
    return given.model_copy(
        update={
            "authors": given.authors or [name for name in [meta["author"]] if name],
            "url": given.url or meta["canonical"],
            "published_at": given.published_at or parse_time(meta["published"]),
            "fields": meta | fields,
        }
    )


def _pdf(data: bytes) -> FileText:
    pdf = read_pdf_apart(data, PDF_SECONDS)
    # A PDF's author is often the account of a computer; only a full name is a byline.
    signed = [pdf.author] if pdf.author and " " in pdf.author.strip() else []
    return FileText(
        body=pdf.text,
        mime="text/plain",
        title=pdf.title,
        authors=signed,
        published_at=pdf.created,
        fields={"from": "application/pdf", "pages": pdf.pages},
    )


def _text_by(read: Callable[[str], tuple[str, Fields]], kind: str) -> Callable[[bytes], FileText]:
    def reader(data: bytes) -> FileText:
        body, fields = read(decode_text(data))
        return _described(body, fields | {"from": kind}, title=_heading(body))

    return reader


def _by_pandoc(kind: str) -> Callable[[bytes], FileText]:
    def reader(data: bytes) -> FileText:
        body, fields = read_with_pandoc(kind, data)
        return _described(body, fields | {"from": kind}, title=_heading(body))

    return reader


def _markup_by_pandoc(kind: str) -> Callable[[bytes], FileText]:
    return _text_by(lambda text: _under_front_matter(text, kind), kind)


def _under_front_matter(text: str, kind: str) -> tuple[str, Fields]:
    fields, body = split_front_matter(text)
    markdown, metadata = read_with_pandoc(kind, body.encode())
    return markdown, metadata | fields


_PACKED = {".pdf", ".docx", ".odt", ".epub", ".ipynb", ".rtf"}
READERS: dict[str, Callable[[bytes], FileText]] = {
    **dict.fromkeys([".md", ".markdown", ".mkd", ".mkdn", ".mdown", ".mdwn", ".mmd", ".qmd", ".rmd", ".rmarkdown"], _markdown),
    ".mdx": _mdx,
    **dict.fromkeys([".txt", ".text"], _plain),
    **dict.fromkeys([".html", ".htm", ".xhtml"], _html),
    **dict.fromkeys([".rst", ".rest"], _text_by(read_rst, "rst")),
    ".org": _text_by(read_org, "org"),
    **dict.fromkeys([".adoc", ".asciidoc", ".asc"], _text_by(read_asciidoc, "asciidoc")),
    ".ipynb": _text_by(read_notebook, "ipynb"),
    ".textile": _markup_by_pandoc("textile"),
    **dict.fromkeys([".wiki", ".mediawiki"], _markup_by_pandoc("mediawiki")),
    ".docx": _by_pandoc("docx"), ".odt": _by_pandoc("odt"), ".epub": _by_pandoc("epub"), ".rtf": _by_pandoc("rtf"),
    ".pdf": _pdf,
}  # fmt: skip


def _title_in_name(path: PurePosixPath) -> str | None:
    """The words in a file's name, or its date; None where a machine gave the name (a number, a hash)."""
    stem = path.parent.name if path.stem.lower() in _INDEX and path.parent.name else path.stem
    rest = _DATE_IN_NAME.sub("", stem) or stem
    if _NO_WORDS.fullmatch(rest) and not _DATE_IN_NAME.match(rest):
        return None
    spoken = " " in rest or rest[:1].isdigit()  # a title already, or a bare date
    return rest if spoken else re.sub(r"[-_]+", " ", rest).strip() or stem


def _date_in_path(path: PurePosixPath) -> datetime | None:
    """The day in a file's name or its folder's, else in folders by year, month and perhaps day."""
    for name in (path.stem, path.parent.name):
        match = _DATE_IN_NAME.match(name) or _DATE_AT_END.search(name)
        if match and (day := as_time("-".join(part for part in match.groups() if part))):
            return day
    if (match := _DAY_IN_YEAR.search(path.as_posix())) and (day := as_time("-".join(match.groups()))):
        return day
    if match := _DATE_IN_FOLDERS.search(path.as_posix()):
        return as_time(f"{match[1]}-{match[2]}-{match[3] or 1}")
    return None


# Kinds without text of their own, known by suffix, so that a folder's pictures aren't opened one by one.
_NO_TEXT = {
    ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif", ".bmp", ".ico", ".tif", ".tiff", ".heic", ".psd", ".ai",
    ".eps", ".mp3", ".mp4", ".m4a", ".m4v", ".mov", ".avi", ".webm", ".ogg", ".wav", ".flac", ".woff", ".woff2", ".ttf",
    ".otf", ".eot", ".css", ".scss", ".sass", ".less", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".json", ".jsonl",
    ".yml", ".yaml", ".toml", ".ini", ".cfg", ".conf", ".lock", ".xml", ".csv", ".tsv", ".parquet", ".xls", ".xlsx", ".ods",
    ".db", ".sqlite", ".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".jar", ".exe", ".dll", ".so", ".dylib",
    ".bin", ".dat", ".pyc", ".class", ".py", ".rb", ".go", ".rs", ".c", ".h", ".cpp", ".hpp", ".java", ".kt", ".swift", ".sh",
    ".bash", ".zsh", ".fish", ".ps1", ".bat", ".sql", ".r", ".jl", ".lua", ".pl", ".php", ".vue", ".svelte", ".astro", ".njk",
    ".liquid", ".hbs", ".ejs", ".pug", ".haml", ".slim", ".erb", ".mustache", ".jinja", ".j2", ".map", ".log", ".bib",
    ".bibtex", ".csl", ".ics", ".vcf", ".canvas", ".base", ".edn", ".drawio", ".excalidraw", ".gitignore", ".gitattributes",
    ".gitmodules", ".keep", ".gitkeep", ".nojekyll", ".rproj", ".plist", ".strings", ".webmanifest", ".htaccess", ".tmpl",
    ".mk", ".cmake",
}  # fmt: skip


def unread_reason(path: PurePosixPath, head: bytes) -> str:
    """Why a file of a kind without a reader is left out: by its kind where `head`, its first bytes, is prose."""
    suffix = path.suffix.lower()
    if suffix not in _NO_TEXT and (_is_packed_writing(suffix) or _is_prose(head)):
        return f"cannot read {suffix} files" if suffix else "cannot read files without a suffix"
    return "no text (pictures, data, programs)"


def _is_packed_writing(suffix: str) -> bool:
    return suffix in {
        ".doc",
        ".pages",
        ".ppt",
        ".pptx",
        ".odp",
        ".key",
        ".wpd",
        ".mobi",
        ".azw3",
        ".enex",
        ".one",
        ".docm",
        ".tex",
    }


def _is_prose(head: bytes) -> bool:
    try:
        words = decode_text(head[: head.rfind(b"\n") + 1] or head).split()
    except ValueError:
        return False
    plain = sum(word.strip(".,;:!?()\"'“”").isalpha() for word in words)
    return len(words) >= 40 and plain > 0.7 * len(words)

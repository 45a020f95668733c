"""Reads one file of writing: Markdown with front matter, HTML, plain text, PDF or DOCX."""

import io
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from twin_assets.core.text.html_meta import page_meta
from twin_assets.core.text.pdf import read_pdf
from twin_assets.feature.corpus.offline_sentences import give_unstructured_a_pipeline
from twin_assets.feature.crawl.formats.feeds import parse_time
from twin_assets.feature.crawl.formats.frontmatter import as_time, split_front_matter

_DATE_IN_NAME = re.compile(r"^(\d{4}-\d\d-\d\d)-")


class FileText(BaseModel):
    """What a file holds. `fields` is what it says about itself; `draft` that it was never published."""

    body: str
    mime: str
    title: str | None = None
    author: str | None = None
    url: str | None = None
    published_at: datetime | None = None
    draft: bool = False
    fields: dict[str, Any] = {}


def read_file(name: str, data: bytes) -> FileText:
    """The text of a file by its suffix. Raises ValueError with what is wrong with it."""
    path = PurePosixPath(name)
    found = READERS[path.suffix.lower()](data)
    named = _DATE_IN_NAME.match(path.name)
    return found.model_copy(
        update={
            "title": found.title or path.stem,
            "published_at": found.published_at or (as_time(named.group(1)) if named else None),
        }
    )


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _markdown(data: bytes) -> FileText:
    fields, body = split_front_matter(_text(data))
    heading = re.match(r"#\s+(.+)", body)
    title, author, url = fields.get("title"), fields.get("author"), fields.get("canonical_url")
    return FileText(
        body=body, mime="text/markdown", title=str(title) if title else heading and heading.group(1).strip(),
        author=author if isinstance(author, str) else None, url=str(url) if url else None,
        published_at=as_time(fields.get("date")), fields=fields,
        draft=fields.get("draft") is True or fields.get("published") is False,
    )  # fmt: skip


def _plain(data: bytes) -> FileText:
    return FileText(body=_text(data), mime="text/plain")


def _html(data: bytes) -> FileText:
    text = _text(data)
    if not text.strip():
        return FileText(body="", mime="text/html")
    meta = page_meta(text)
    return FileText(
        body=text, mime="text/html", title=meta["title"], author=meta["author"], url=meta["canonical"],
        published_at=parse_time(meta["published"]), fields=meta,
    )  # fmt: skip


def _pdf(data: bytes) -> FileText:
    found = read_pdf(data)
    return FileText(
        body=found.text, mime="text/markdown", title=found.title, author=found.author,
        published_at=found.created, fields={"from": "application/pdf", "pages": found.pages},
    )  # fmt: skip


def _docx(data: bytes) -> FileText:
    from unstructured.partition.docx import partition_docx

    give_unstructured_a_pipeline()
    try:
        elements = partition_docx(file=io.BytesIO(data), infer_table_structure=False)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"broken DOCX ({error})") from None
    blocks = []
    for element in elements:
        if element.category in {"Header", "Footer", "PageBreak"}:
            continue
        mark = {"Title": "## ", "ListItem": "- "}.get(element.category, "")
        blocks.append(mark + element.text)
    first = next((e.text for e in elements if e.category == "Title"), None)
    return FileText(body="\n\n".join(blocks), mime="text/markdown", title=first, fields={"from": "docx"})


READERS: dict[str, Callable[[bytes], FileText]] = {
    ".md": _markdown, ".markdown": _markdown, ".txt": _plain, ".html": _html, ".htm": _html,
    ".pdf": _pdf, ".docx": _docx,
}  # fmt: skip


def is_readable(path: Path) -> bool:
    """Whether a file is of a kind that can be read."""
    return path.suffix.lower() in READERS and not path.name.startswith(".")

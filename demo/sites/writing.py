"""Reads the writing that the demo sites serve: Markdown with front matter, and planted.yaml.

The only place that knows these files' layout; absent files are simply nothing to serve.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from pydantic import BaseModel

WRITING = Path(__file__).resolve().parents[1] / "writing"
_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


class Piece(BaseModel):
    """One piece of writing. `fields` is its front matter, `text` its Markdown."""

    file: str
    id: str
    date: dt.datetime
    title: str = ""
    subtitle: str = ""
    slug: str = ""
    text: str
    fields: dict[str, Any] = {}

    def html(self) -> str:
        """The text as HTML."""
        return _MARKDOWN.render(self.text)


class Writing(BaseModel):
    """Everything there is to serve, as of one edition."""

    linkedin: list[Piece]
    medium: list[Piece]
    substack: list[Piece]
    issues: list[dict[str, Any]]
    files: dict[str, bytes]


def read_writing(folder: Path, edition: int = 1) -> Writing:
    """The writing of an edition, newest first. Edition 2 has the planted edits and deletions applied."""
    planted = _yaml(folder / "planted.yaml") or {}
    pieces = {p.file: p for site in ("linkedin", "medium", "substack") for p in _pieces(folder, site)}
    for extra in [*planted.get("cross_posts", []), *planted.get("near_duplicates", [])]:
        copy = _planted_copy(extra, pieces.get(extra.get("of", "")))
        pieces[copy.file] = copy
    if edition >= 2:
        for gone in planted.get("deleted", []):
            pieces.pop(gone["file"], None)
        for edit in planted.get("edited", []):
            if piece := pieces.get(edit["file"]):
                text = piece.text.replace(edit["find"], edit["replace"])
                pieces[edit["file"]] = piece.model_copy(update={"text": text})

    def site(name: str) -> list[Piece]:
        found = [p for p in pieces.values() if p.file.startswith(name + "/")]
        return sorted(found, key=lambda p: p.date, reverse=True)

    return Writing(
        linkedin=site("linkedin"),
        medium=site("medium"),
        substack=site("substack"),
        issues=_yaml(folder / "github" / "issues.yaml") or [],
        files=_repository(folder / "github"),
    )


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.is_file() else None


def _pieces(folder: Path, site: str) -> list[Piece]:
    found = []
    for path in sorted((folder / site).glob("*.md")):
        _, front, text = path.read_text().split("---\n", 2)
        found.append(_piece(f"{site}/{path.name}", yaml.safe_load(front), text.strip("\n")))
    return found


def _piece(file: str, fields: dict[str, Any], text: str) -> Piece:
    return Piece(
        file=file,
        id=str(fields["id"]),
        date=_utc(fields["date"]),
        title=fields.get("title", ""),
        subtitle=fields.get("subtitle") or "",
        slug=fields.get("slug", ""),
        text=text,
        fields=fields,
    )


def _planted_copy(extra: dict[str, Any], original: Piece | None) -> Piece:
    text = extra.get("text") or (original.text if original else "")
    fields = {"title": original.title, "subtitle": original.subtitle} if original else {}
    return _piece(f"{extra['platform']}/planted-{extra['id']}", fields | extra, text.strip("\n"))


def _utc(value: Any) -> dt.datetime:
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _repository(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for base in (folder / "tidelog", folder / "vendored"):
        for path in sorted(base.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[path.relative_to(base).as_posix()] = path.read_bytes()
    return files

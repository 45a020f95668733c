"""Reads the JSON that Ghost exports, in the layouts of its versions: tables below `db`, or posts with authors inside."""

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.exports.ghost_cards import lexical_html, mobiledoc_html
from twin_assets.feature.crawl.formats.values import parse_time, plain_title

MAX_BYTES = 300_000_000


class GhostPost(BaseModel):
    """A post or page. `visibility` is Ghost's own: public, members, paid, tiers, or a filter of members."""

    post_id: str
    slug: str
    url: str | None
    title: str | None
    authors: list[str]
    status: str
    visibility: str
    mail_only: bool
    kind: str
    published_at: datetime | None
    html: str


def read_ghost(path: Path, site: str | None = None) -> Iterator[GhostPost | None]:
    """The posts of an export, whose links lead to `site`; None for a row that is no post.

    Raises ValueError, with what is wrong, for what is no such file.
    """
    for name, data in _files(path):
        try:
            export = json.loads(data)
        except (ValueError, RecursionError):
            raise ValueError(f"{name} is not JSON") from None
        tables = _tables(export)
        if tables is None:
            raise ValueError(f"{name} is no Ghost export (it has no posts)")
        signers = _signers(tables)
        mailed = {
            str(row.get("post_id"))
            for row in _rows(tables, "posts_meta")
            if row.get("email_only") in (True, 1, "1")
        }
        for row in tables["posts"]:
            yield _post(row, signers, site, mailed) if isinstance(row, dict) else None


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(path):
        members = [(name, data) for name, data in archive_members(path, r"\.json$") if "__MACOSX" not in name]
        if not members:
            raise ValueError("no .json file in the zip")
        yield from members
        return
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES // 1_000_000} MB")
        yield path.name, path.read_bytes()
    except FileNotFoundError:
        raise ValueError("missing file") from None
    except OSError as error:
        raise ValueError(f"unreadable file ({error.strerror})") from None


def _tables(data: Any) -> dict[str, Any] | None:
    """The object that holds `posts`: `db[0].data` since 1.0, `data` before, or the file itself."""
    for _ in range(4):
        if isinstance(data, list) and data:
            data = data[0]
        if not isinstance(data, dict):
            return None
        if isinstance(data.get("posts"), list):
            return data
        data = data.get("db") or data.get("data")
    return None


def _signers(tables: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Users by their own id, and by the id of each post they sign, as `post:<id>`."""
    signers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for user in _rows(tables, "users"):
        signers[str(user.get("id"))] = [user]
    for pair in sorted(_rows(tables, "posts_authors"), key=lambda row: str(row.get("sort_order", 0))):
        signers[f"post:{pair.get('post_id')}"] += signers.get(str(pair.get("author_id")), [])
    return signers


def _rows(tables: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = tables.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _post(
    row: dict[str, Any], signers: dict[str, list[dict[str, Any]]], site: str | None, mailed: set[str]
) -> GhostPost:
    people = _rows(row, "authors") or [
        p for p in (row.get("primary_author"), row.get("author")) if isinstance(p, dict)
    ]
    people = people or signers.get(f"post:{row.get('id')}", []) or signers.get(str(row.get("author_id")), [])
    slug = _string(row.get("slug"))
    base = (site or "").rstrip("/")
    return GhostPost(
        post_id=str(row.get("id") or row.get("uuid") or slug),
        slug=slug,
        url=_link(row, base, slug),
        title=plain_title(row.get("title")),
        authors=signed_by(*[person.get(key) for person in people for key in ("name", "slug", "email")]),
        status=_string(row.get("status")),
        mail_only=_is_mail_only(row, mailed),
        visibility=_string(row.get("visibility")) or "public",
        kind="page" if row.get("type") == "page" or row.get("page") in (True, 1, "1") else "post",
        published_at=_time(row.get("published_at")),
        html=_html(row).replace("__GHOST_URL__", base),
    )


def _is_mail_only(row: dict[str, Any], mailed: set[str]) -> bool:
    """Whether a post went to the members by mail and has no page of its own."""
    inner = row.get("posts_meta")
    said = [row.get("email_only"), inner.get("email_only") if isinstance(inner, dict) else None]
    return str(row.get("id")) in mailed or any(value in (True, 1, "1") for value in said)


def _link(row: dict[str, Any], base: str, slug: str) -> str | None:
    for address in (row.get("url"), f"{base}/{slug}/" if base and slug else None, row.get("canonical_url")):
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            return address
    return None


def _html(row: dict[str, Any]) -> str:
    """The post's HTML: as rendered, else of the editor's format. Empty where none can be read."""
    if html := _string(row.get("html")).strip():
        return html
    for field, read in (("lexical", lexical_html), ("mobiledoc", mobiledoc_html)):
        if source := _string(row.get(field)):
            try:
                if html := read(source).strip():
                    return html
            except ValueError:
                continue
    # Ghost before 1.0
    if markdown := _string(row.get("markdown")):
        return mobiledoc_html(
            json.dumps({"sections": [[10, 0]], "cards": [["markdown", {"markdown": markdown}]]})
        )
    return ""


def _time(value: Any) -> datetime | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000, UTC)  # milliseconds, before 1.0
        except (ValueError, OverflowError, OSError):
            return None
    return parse_time(value)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""

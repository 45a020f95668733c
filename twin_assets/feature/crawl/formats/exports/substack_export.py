"""Reads the zip that Substack exports: posts.csv says what each post is, posts/<id>.<slug>.html holds it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from twin_assets.feature.crawl.formats.archives import archive_members

_LARGEST_FIELD = 1_000_000


class ExportedPost(BaseModel):
    """A row of posts.csv by its columns, with the post's HTML; empty where the zip has none."""

    post_id: str
    slug: str
    row: dict[str, str]
    html: str

    @property
    def published(self) -> bool:
        return self.row.get("is_published", "").strip().lower() in ("true", "1", "yes")


def read_substack_export(path: Path) -> Iterator[ExportedPost]:
    """Every post of the zip. Raises ValueError, with what is wrong, for what is no such zip."""
    rows: dict[str, dict[str, str]] = {}
    csv.field_size_limit(_LARGEST_FIELD)
    has_table = False
    for _, data in archive_members(path, r"(^|/)posts\.csv$"):
        has_table = True
        try:
            for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace"), newline="")):
                fields = {
                    k.strip().lower(): v or ""
                    for k, v in row.items()
                    if isinstance(k, str) and not isinstance(v, list)
                }
                if name := fields.get("post_id", "").strip():
                    rows[name.partition(".")[0]] = fields
        except csv.Error as error:
            raise ValueError(f"broken posts.csv ({error})") from None
    if not has_table:
        raise ValueError("posts.csv is missing, which tells posts from drafts")
    seen: set[str] = set()
    for name, data in archive_members(path, r"(^|/)posts/[^/]+\.html?$"):
        stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        number, _, slug = stem.partition(".")
        seen.add(number)
        yield ExportedPost(
            post_id=number, slug=slug, row=rows.get(number, {}), html=data.decode("utf-8-sig", "replace")
        )
    for number, row in rows.items():
        if number not in seen:
            yield ExportedPost(post_id=number, slug=row["post_id"].partition(".")[2], row=row, html="")

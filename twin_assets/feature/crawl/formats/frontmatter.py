"""Front matter of Markdown files: TOML between +++ lines (Hugo), YAML between --- lines (Jekyll, Hugo)."""

import datetime as dt
import re
import tomllib
from typing import Any

import yaml

from twin_assets.feature.crawl.formats.feeds import parse_time

_BLOCK = re.compile(r"\A\ufeff?(\+\+\+|---)[ \t]*\r?\n(.*?)(?:\r?\n)?^\1[ \t]*(?:\r?\n|\Z)", re.S | re.M)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """(fields, body). A file without front matter has no fields. Raises ValueError on broken ones."""
    found = _BLOCK.match(text)
    if not found:
        return {}, text.removeprefix("\ufeff")
    fence, block = found.group(1), found.group(2)
    try:
        fields = tomllib.loads(block) if fence == "+++" else yaml.safe_load(block)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"broken front matter ({str(error).splitlines()[0]})") from None
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise ValueError("broken front matter (not a mapping)")
    return fields, text[found.end() :].lstrip("\r\n")


def as_time(value: Any) -> dt.datetime | None:
    """UTC time of a front matter date in any of its forms; None when it can't be read."""
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return None

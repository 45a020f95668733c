"""What JSON APIs answer: their rows, their next page, a file's text."""

import base64
import binascii
import json
import re
from typing import Any

from scrapy.http import Response

from twin_assets.feature.crawl.formats.encodings import decode_text
from twin_assets.feature.crawl.spiders.base import Unreadable


def read_json(response: Response) -> Any:
    """The answer's JSON. Raises Unreadable when it is none."""
    try:
        return json.loads(response.body)
    except ValueError:
        raise Unreadable("expected JSON") from None


def read_rows(response: Response) -> list[Any]:
    """The answer's JSON list; read its rows with `SourceSpider.each`. Raises Unreadable when it is none."""
    rows = read_json(response)
    if not isinstance(rows, list):
        raise Unreadable("expected a list")
    return rows


def next_page(response: Response, api: str) -> str | None:
    """The next page that the Link header names (RFC 8288); None on the last."""
    header = (response.headers.get("Link") or b"").decode("latin-1")
    found = re.search(r'<([^>]+)>\s*;[^,]*?\brel="?next\b', header)
    # The token goes along, so only the API itself may be the next page.
    return found.group(1) if found and found.group(1).startswith(api + "/") else None


def blob_text(response: Response) -> str | None:
    """The text of a Git blob as GitHub and GitLab answer it; None when it is binary.

    Raises Unreadable when it is no blob.
    """
    blob = read_json(response)
    try:
        if blob.get("encoding") == "utf-8":
            return str(blob["content"])
        data = base64.b64decode(blob["content"])
    except (AttributeError, KeyError, TypeError, binascii.Error):
        raise Unreadable("expected a base64 blob") from None
    try:
        return decode_text(data)
    except ValueError:
        return None

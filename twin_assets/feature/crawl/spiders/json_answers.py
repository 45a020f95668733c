"""What JSON APIs answer: their rows, their next page, a file's text."""

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import urljoin

from scrapy.http import Response

from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.spiders.base import Unreadable


def read_json(response: Response) -> Any:
    """The answer's JSON. Raises Unreadable when it is none."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise Unreadable("expected JSON") from None


def read_rows(response: Response) -> list[Any]:
    """The answer's JSON list; read its rows with `SourceSpider.each`. Raises Unreadable when it is none."""
    rows = read_json(response)
    if not isinstance(rows, list):
        raise Unreadable("expected a list")
    return rows


_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s\";,]+))?)*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\";,]+))", re.IGNORECASE)


def next_page(response: Response, api: str) -> str | None:
    """The next page that the Link header names (RFC 8288); None on the last.

    A link back to the answer itself is none; `SourceSpider.fetch` ends longer circles.
    """
    header = b", ".join(response.headers.getlist("Link")).decode("latin-1")[:20_000]
    for link in _LINK.finditer(header):
        relation = _RELATION.search(link.group(2))
        if relation and "next" in (relation.group(1) or relation.group(2)).lower().split():
            address = urljoin(response.url, link.group(1).strip())
            # The token goes along, so only the API itself may be the next page.
            return address if address.startswith(api.rstrip("/") + "/") and address != response.url else None
    return None


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

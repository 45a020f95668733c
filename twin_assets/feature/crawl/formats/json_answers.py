"""What JSON APIs answer: their rows, their next page, a file's text."""

import base64
import binascii
import json
import re
from typing import Any

from scrapy.http import Response

from twin_assets.feature.crawl.spiders.base import Unreadable


def read_json(response: Response) -> Any:
    """The answer's JSON. Raises Unreadable when it is none."""
    try:
        return json.loads(response.body)
    except ValueError:
        raise Unreadable("expected JSON") from None


def read_rows(response: Response) -> list[dict[str, Any]]:
    """The answer's JSON list. Raises Unreadable when it is none."""
    rows = read_json(response)
    if not isinstance(rows, list):
        raise Unreadable("expected a list")
    return rows


def next_page(response: Response, api: str) -> str | None:
    """The next page that the Link header names (RFC 8288); None on the last."""
    found = re.search(r'<([^>]+)>;\s*rel="next"', (response.headers.get("Link") or b"").decode())
    # The token goes along, so only the API itself may be the next page.
    return found.group(1) if found and found.group(1).startswith(api + "/") else None


def blob_text(response: Response) -> str | None:
    """The text of a Git blob as GitHub and GitLab answer it; None when it is not UTF-8.

    Raises Unreadable when it is no blob.
    """
    blob = read_json(response)
    try:
        return base64.b64decode(blob["content"]).decode()
    except (KeyError, TypeError, binascii.Error):
        raise Unreadable("expected a base64 blob") from None
    except UnicodeDecodeError:
        return None

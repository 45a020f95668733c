"""What an article page declares about itself."""

import re
from typing import Any

from lxml import html


def page_meta(text: str) -> dict[str, Any]:
    """Title, author, time and canonical address of a page; `free` is False behind a paywall."""
    tree = html.fromstring(text.encode(), parser=html.HTMLParser(no_network=True, encoding="utf-8"))

    def first(path: str) -> str | None:
        found = [str(x).strip() for x in tree.xpath(path)]
        return next((x for x in found if x), None)

    linked_data = " ".join(tree.xpath("//script[@type='application/ld+json']/text()"))
    return {
        "title": first("//meta[@property='og:title']/@content") or first("//title/text()"),
        "author": first("//meta[@name='author']/@content"),
        "published": first("//meta[@property='article:published_time']/@content")
        or first("//time/@datetime"),
        "canonical": first("//link[@rel='canonical'][starts-with(@href, 'http')]/@href"),
        # https://developers.google.com/search/docs/appearance/structured-data/paywalled-content
        "free": not re.search(r'"isAccessibleForFree"\s*:\s*"?false', linked_data, re.IGNORECASE),
    }

"""Which text of a page is the article: trafilatura's choice, told by text node, so that the markup stays ours to render.

Every text node gets a sign of its own (a private-use character), trafilatura works on a copy, and the signs that come
out name the nodes it chose. https://trafilatura.readthedocs.io (Barbaresi 2021, ACL demo papers)
"""

import logging
import re

from lxml import etree, html
from trafilatura import bare_extraction
from trafilatura.settings import Document

# It logs each page that it gives up on; what is dropped is counted by the callers.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

SIGN = re.compile("[\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_FIRST, _PLANE = 0xF0000, 0xFFFD
_MAX_NODES = 2 * _PLANE
_UNREAD = frozenset(["script", "style", "noscript", "template"])


def sign_texts(elements: list[html.HtmlElement]) -> dict[str, html.HtmlElement]:
    """Put a sign before the first letter of every text node; the elements they stand in, by sign."""
    number = 0
    holders: dict[str, html.HtmlElement] = {}
    for element in elements:
        for place in ("text", "tail"):
            text = getattr(element, place)
            if not text or (place == "text" and element.tag in _UNREAD) or number >= _MAX_NODES:
                continue
            if not text.isascii():
                text = SIGN.sub("", text)
            if body := text.lstrip():
                sign = chr(_FIRST + number + (3 if number >= _PLANE else 0))
                setattr(element, place, text[: len(text) - len(body)] + sign + body)
                holders[sign] = element if place == "text" else element.getparent()
                number += 1
    return holders


def chosen_texts(root: html.HtmlElement, fast: bool = True) -> tuple[set[str], list[str]]:
    """Signs of the text nodes that trafilatura takes for the article; or, where it read the article out of a script
    (JSON-LD) that no element shows, no signs and its paragraphs.

    `fast` leaves out its comparison with readability and jusText.
    """
    try:
        document = bare_extraction(
            root, include_comments=False, include_formatting=True, output_format="xml", fast=fast
        )
    except (etree.LxmlError, AttributeError, IndexError, KeyError, AssertionError, RecursionError):
        return set(), []  # markup that it trips over; the page counts as one without text
    if not isinstance(document, Document):
        return set(), []
    text = "".join(document.body.itertext())
    signs = set(SIGN.findall(text))
    if signs or fast:
        return signs, []
    # Its last resort drops the signs, so they are found again by their texts.
    said = " ".join(text.split())
    shown = "".join(root.xpath(".//text()[not(parent::script)]"))
    parts = [" ".join(part.split()) for part in SIGN.split(shown)[1:]]
    again = {sign: part for sign, part in zip(SIGN.findall(shown), parts, strict=True) if part in said}
    if 2 * sum(map(len, again.values())) >= len(said):
        return set(again), []
    return set(), [line for part in document.body.itertext() if (line := " ".join(part.split()))]

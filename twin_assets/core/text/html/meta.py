"""What a page declares about itself: JSON-LD, Open Graph, Dublin Core, microdata and microformats.

Only declarations count. A name that merely stands near a text may be a commenter's or the next article's author, and who
wrote a page decides whether it is learnt from.
"""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from htmldate import find_date
from lxml import etree, html

_PARSER = html.HTMLParser(no_network=True, encoding="utf-8", remove_comments=True)
_ARTICLE = re.compile(r"(?:Article|Posting|Report|Review|CreativeWork|ScholarlyArticle|Recipe)$")
_PAGE = re.compile(r"(?:WebPage|ItemPage)$")
# An account, and no one's name.
_NO_NAMES = frozenset(
    ["admin", "administrator", "webmaster", "user", "author", "editor", "staff", "anonymous"]
)
_MAX_NAME, _MAX_AUTHORS, _MAX_DEPTH = 100, 20, 8

_AUTHOR_META = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "citation_author",
    "parsely-author",
    "sailthru.author",
)
_DATE_META = (
    "article:published_time", "og:published_time", "datepublished", "dc.date", "dcterms.date", "dc.date.issued",
    "citation_publication_date", "parsely-pub-date", "sailthru.date", "date",
)  # fmt: skip
_TITLE_META = ("og:title", "citation_title", "dc.title", "twitter:title")
_CLASS = "contains(concat(' ', normalize-space(@class), ' '), ' {} ')"
_AUTHOR_PATHS = [
    "//*[@itemprop='author']//*[@itemprop='name']",
    "//*[@itemprop='author'][not(.//*[@itemprop='name'])]",
    f"//*[{_CLASS.format('p-author')}]//*[{_CLASS.format('p-name')}]",
    f"//*[{_CLASS.format('p-author')}]",
    "//a[contains(concat(' ', @rel, ' '), ' author ')] | //*[self::address]//a[contains(concat(' ', @rel, ' '), ' author ')]",
]


def page_meta(text: str) -> dict[str, Any]:
    """Title, authors, time and canonical address of a page; `free` is False behind a paywall.

    `authors` are the people who are declared to have written it, `author` is those in one line; both are empty (`[]`,
    None) where the page doesn't say. `published` is text in ISO 8601 or as the page spells it.
    """
    data = text.replace("\x00", "").encode("utf-8", "replace")
    try:
        tree = html.document_fromstring(data, parser=_PARSER)
    except etree.ParserError:  # nothing in it
        return {
            "title": None,
            "author": None,
            "authors": [],
            "published": None,
            "canonical": None,
            "free": True,
        }
    linked = list(_linked_data(tree))
    metas = _metas(tree)
    articles = [node for node in linked if _is(node, _ARTICLE)] or [
        node for node in linked if _is(node, _PAGE)
    ]
    authors = _authors(tree, articles, linked, metas)
    return {
        "title": _title(tree, articles, metas),
        "author": ", ".join(authors) or None,
        "authors": authors,
        "published": _published(tree, articles, metas),
        "canonical": _first(tree.xpath("//link[@rel='canonical']/@href"), r"https?://.+")
        or _first(metas.get("og:url", []), r"https?://.+"),
        # https://developers.google.com/search/docs/appearance/structured-data/paywalled-content
        "free": not any(str(node.get("isAccessibleForFree")).lower() == "false" for node in linked),
    }


def _title(tree: html.HtmlElement, articles: list[dict[str, Any]], metas: dict[str, list[str]]) -> str | None:
    declared = [value for name in _TITLE_META for value in metas.get(name, [])]
    declared += [node["headline"] for node in articles if isinstance(node.get("headline"), str)]
    if title := _first(declared):
        return title
    whole = _first(tree.xpath("//head/title/text()")) or _first(tree.xpath("//title/text()"))
    headings = [_line(h) for h in tree.iter("h1")]
    # "The late clock | Notes of Casey": the heading is the title, the rest the site's.
    if len(headings) == 1 and headings[0] and (whole is None or headings[0] in whole):
        return headings[0]
    return whole


def _published(
    tree: html.HtmlElement, articles: list[dict[str, Any]], metas: dict[str, list[str]]
) -> str | None:
    declared = [node["datePublished"] for node in articles if isinstance(node.get("datePublished"), str)]
    declared += [value for name in _DATE_META for value in metas.get(name, [])]
    declared += tree.xpath(
        "//*[@itemprop='datePublished']/@content | //*[@itemprop='datePublished']/@datetime"
    )
    declared += tree.xpath(f"//time[{_CLASS.format('dt-published')} or @pubdate]/@datetime")
    declared += tree.xpath("//article//time/@datetime") or tree.xpath("//time/@datetime")
    if date := _first(declared, r".*\d.*"):
        return date
    try:
        return find_date(tree, original_date=True, extensive_search=False, outputformat="%Y-%m-%d")
    except (ValueError, TypeError, OverflowError):
        return None


def _authors(
    tree: html.HtmlElement,
    articles: list[dict[str, Any]],
    linked: list[dict[str, Any]],
    metas: dict[str, list[str]],
) -> list[str]:
    """People by the first kind of declaration that names any."""
    named = {node["@id"]: node for node in linked if isinstance(node.get("@id"), str) and "name" in node}
    declared = [
        name for node in articles for name in _people(node.get("author") or node.get("creator"), named)
    ]
    if names := _names(declared):
        return names
    for name in _AUTHOR_META:
        if names := _names(metas.get(name, [])):
            return names
    for path in _AUTHOR_PATHS:
        elements = tree.xpath(path)
        # Many bylines are a list of articles, or comments: the page as a whole says nothing then.
        names = _names([element.get("content") or _line(element) for element in elements])
        if names:
            return names if len(names) <= 3 else []
    return []


def _people(value: Any, named: dict[str, dict[str, Any]], depth: int = 0) -> Iterator[str]:
    """Names of persons in a JSON-LD author: a name, a person, a reference to one, or a list of these."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value[:_MAX_AUTHORS]:
            yield from _people(part, named, depth + 1)
    elif isinstance(value, dict):
        if "name" not in value and isinstance(value.get("@id"), str):
            value = named.get(value["@id"], {})
        if not _is(value, re.compile(r"Organization$|Corporation$|WebSite$")):
            yield from _people(value.get("name"), named, depth + 1)


def _linked_data(tree: html.HtmlElement) -> Iterator[dict[str, Any]]:
    """Every object of a page's JSON-LD, whatever graph, list or other object it stands in."""
    for script in tree.xpath("//script[contains(@type, 'ld+json')]"):
        try:
            data = json.loads(
                (script.text or "").strip().removeprefix("<![CDATA[").removesuffix("]]>").rstrip(";"),
                strict=False,
            )
        except (ValueError, RecursionError):
            continue
        yield from _objects(data)


def _objects(data: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(data, dict):
        yield data
        for key, value in data.items():
            # What a page mentions, lists or comments on is other people's.
            if isinstance(value, (dict, list)) and key not in (
                "comment",
                "review",
                "mentions",
                "hasPart",
                "itemListElement",
                "citation",
            ):
                yield from _objects(value, depth + 1)
    elif isinstance(data, list):
        for part in data:
            yield from _objects(part, depth + 1)


def _is(node: dict[str, Any], kind: re.Pattern[str]) -> bool:
    types = node.get("@type")
    return any(isinstance(t, str) and kind.search(t) for t in (types if isinstance(types, list) else [types]))


def _metas(tree: html.HtmlElement) -> dict[str, list[str]]:
    metas: dict[str, list[str]] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop")
        if name and (content := meta.get("content", "").strip()):
            metas.setdefault(name.strip().lower(), []).append(content)
    return metas


def _names(values: list[str]) -> list[str]:
    """Names in order, each once: no addresses of profiles, no names of accounts."""
    names: dict[str, None] = {}
    for value in values:
        name = " ".join(unescape(value).split()).strip(" ,;|·-")
        name = re.sub(r"^(?:by|written by|posted by|author:)\s+", "", name, flags=re.IGNORECASE)
        if name and len(name) <= _MAX_NAME and "://" not in name and name.lower() not in _NO_NAMES:
            names[name] = None
    return list(names)[:_MAX_AUTHORS]


def _first(values: list[Any], form: str = r".+") -> str | None:
    texts = (" ".join(unescape(str(value)).split()) for value in values)
    return next((text for text in texts if re.fullmatch(form, text)), None)


def _line(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())

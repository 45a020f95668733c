"""The blocks of an HTML page or fragment that may be the author's, in a Markdown-like form."""

import re

from lxml import etree, html

from twin_assets.core.text.boilerplate import (
    DROPPED_ROLES,
    DROPPED_TAGS,
    ends_the_text,
    is_body_class,
    is_dropped_class,
)
from twin_assets.core.text.words import count_words

_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_RUNNING = {"p", "pre", "blockquote", "ul", "ol"}
_PLAIN_BLOCKS = _HEADINGS | {"p", "figcaption", "td", "th", "dt", "dd", "caption", "summary"}
_BLOCKS = _PLAIN_BLOCKS | {
    "li",
    "pre",
    "blockquote",
    "table",
    "ul",
    "ol",
    "dl",
    "div",
    "section",
    "article",
    "main",
}
_BLOCKS |= {"tr", "tbody", "thead", "tfoot", "figure", "details", "address", "center", "hr"}
_has_block = etree.XPath("boolean(.//*[" + " or ".join(f"self::{tag}" for tag in sorted(_BLOCKS)) + "])")
# A layout cell holds paragraphs; a cell of data does not.
_has_layout = etree.XPath(
    "boolean(.//p or .//div or .//pre or .//ul or .//ol or .//table or .//blockquote or .//h1 or .//h2 or .//h3)"
)
_texts = etree.XPath("string()")

_PARSER = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_PAGE = re.compile(r"<(?:html|body)[\s>]", re.IGNORECASE)
_MIN_SHARE = 0.5
_DENSE = 0.8
_LINKS = 0.6
_SHORT_LINE = 30


def html_blocks(page: str) -> list[str]:
    """Blocks in order, boilerplate elements left out; empty for a page without text."""
    data = page.replace("\x00", "").encode("utf-8", "replace")
    if not data.strip():
        return []
    try:
        tree = html.document_fromstring(data, parser=_PARSER)
    except etree.ParserError:
        return []
    body = tree.find("body")
    root = tree if body is None else body
    _prune(root)
    blocks: list[tuple[str, float]] = []
    # A feed's or an editor's fragment is the text itself: there is no page around it to cut away.
    part, sure = _main_part(root) if _PAGE.search(page) else (root, True)
    _walk(part, blocks)
    return _without_furniture(blocks, sure)


def _prune(root: html.HtmlElement) -> None:
    """Take out elements that are no text of the author's, by tag, role, class and visibility."""
    whole = len(_texts(root)) or 1
    for element in list(root.iter()):
        if element is root or element.getparent() is None:
            continue
        tag = element.tag
        attributes = element.attrib
        if tag not in DROPPED_TAGS and not attributes:
            continue
        if tag in DROPPED_TAGS or attributes.get("role") in DROPPED_ROLES:
            _drop(element)
            continue
        if tag == "td" and "gutter" in attributes.get("class", ""):
            _drop(element)
            continue
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            _drop(element)
            continue
        marks = f"{attributes.get('class', '')} {attributes.get('id', '')}"
        if marks != " " and tag not in ("article", "main") and is_dropped_class(marks):
            # "with-sidebar" on the element that holds the article says nothing about the article.
            wraps = element.find(".//article") is not None or element.find(".//main") is not None
            comments = "comment" in marks.lower()
            if comments or not (wraps or len(_texts(element)) > 0.7 * whole):
                _drop(element)


def _drop(element: html.HtmlElement) -> None:
    """Remove an element but not the text after it; what was below it counts as gone."""
    for inner in element.iterdescendants():
        inner.attrib.clear()
    element.drop_tree()


def _main_part(root: html.HtmlElement) -> tuple[html.HtmlElement, bool]:
    """The element that holds the article, and whether it is named so or guessed by weight."""
    whole = _weight(root)
    marked = [e for e in root.iter("div", "section", "td") if is_body_class(e)]
    for candidates, sure in ((marked, True), ([*root.iter("article")], False), ([*root.iter("main")], False)):
        if candidates and whole:
            best = max(candidates, key=_weight)
            if _weight(best) >= _MIN_SHARE * whole:
                return best, sure
    return _densest(root, whole), False


def _weight(element: html.HtmlElement) -> int:
    """Letters in paragraphs, items and code, which furniture has few of."""
    return sum(len(_texts(e)) for e in element.iter("p", "pre", "li"))


def _densest(root: html.HtmlElement, whole: int) -> html.HtmlElement:
    """The deepest element that still holds four fifths of the weight and has no paragraphs beside it."""
    while whole:
        children = [e for e in root if isinstance(e.tag, str)]
        heavy = [e for e in children if _weight(e) >= _DENSE * whole]
        beside = any(e.tag in _RUNNING and _tidy(_texts(e)) for e in children)
        if not heavy or beside:
            break
        root = heavy[0]
    return root


def _without_furniture(blocks: list[tuple[str, float]], sure: bool) -> list[str]:
    """Cut at a block that ends the text, when less follows than went before; strip links off a guess's ends."""
    lengths = [len(text) for text, _ in blocks]
    for number, (text, _) in enumerate(blocks):
        if ends_the_text(text) and sum(lengths[:number]) > sum(lengths[number:]):
            blocks = blocks[:number]
            break
    start, end = 0, len(blocks)
    while not sure and start < end and _is_link_line(*blocks[start]):
        start += 1
    while not sure and end > start and _is_link_line(*blocks[end - 1]):
        end -= 1
    return [text for text, _ in blocks[start:end]]


def _is_link_line(text: str, links: float) -> bool:
    return links > _LINKS and count_words(text) < _SHORT_LINE


def _walk(node: html.HtmlElement, blocks: list[tuple[str, float]]) -> None:
    """Append the blocks below a node; text between block elements makes blocks of its own."""
    loose: list[str] = []
    linked = 0

    def flush() -> None:
        nonlocal linked
        if text := _tidy("".join(loose)):
            blocks.append((text, linked / len(text)))
        loose.clear()
        linked = 0

    if node.text:
        loose.append(_SPACE.sub(" ", node.text))
    for child in node:
        if not isinstance(child.tag, str):
            loose.append(_SPACE.sub(" ", child.tail or ""))
            continue
        if child.tag in _BLOCKS or _has_block(child):
            flush()
            _block(child, blocks)
        else:
            loose.append(_inline(child))
            linked += _link_letters(child)
        if child.tail:
            loose.append(_SPACE.sub(" ", child.tail))
    flush()


def _block(tag: html.HtmlElement, blocks: list[tuple[str, float]]) -> None:
    name = tag.tag
    if name == "pre":
        code = tag.text_content().strip("\n")
        blocks.append((f"```\n{code}\n```", 0.0))
    elif name == "li":
        _item(tag, blocks)
    elif name == "table" and not _has_layout(tag):
        rows = [" | ".join(_tidy(_inline(cell)) for cell in row.iter("td", "th")) for row in tag.iter("tr")]
        if any(row.strip(" |") for row in rows):
            blocks.append(("\n".join(rows), _share(tag)))
    elif name == "blockquote":
        inner: list[tuple[str, float]] = []
        _walk(tag, inner)
        if inner:
            blocks.append(
                ("\n".join(f"> {line}" for text, _ in inner for line in text.split("\n")), _share(tag))
            )
    elif name not in _PLAIN_BLOCKS or _has_block(tag):
        _walk(tag, blocks)
    elif text := _tidy(_inline(tag)):
        blocks.append((f"## {text}" if name in _HEADINGS else text, _share(tag)))


def _item(tag: html.HtmlElement, blocks: list[tuple[str, float]]) -> None:
    """A list item: its paragraphs as one item, its nested lists indented, its code in fences."""
    inner: list[tuple[str, float]] = []
    _walk(tag, inner)
    for number, (text, links) in enumerate(inner):
        if text.startswith("```"):
            blocks.append((text, links))
        elif number == 0:
            blocks.append((text if text.startswith("- ") else f"- {text}", links))
        else:
            blocks.append(("  " + text.replace("\n", "\n  "), links))


def _inline(node: html.HtmlElement) -> str:
    if node.tag == "br":
        return "\n"
    if node.tag == "img":
        return ""
    parts = [_SPACE.sub(" ", node.text or "")]
    for child in node:
        if isinstance(child.tag, str):
            parts.append(_inline(child))
        if child.tail:
            parts.append(_SPACE.sub(" ", child.tail))
    text = "".join(parts)
    return f"`{text}`" if node.tag == "code" and text else text


def _link_letters(node: html.HtmlElement) -> int:
    return sum(len(_texts(a)) for a in node.iter("a") if "href" in a.attrib or not len(a))


def _share(node: html.HtmlElement) -> float:
    """Letters of a block that are links, as a share."""
    linked = _link_letters(node)
    return linked / max(len(_tidy(_texts(node))), 1) if linked else 0.0


def _tidy(text: str) -> str:
    return re.sub(r" *\n *", "\n", re.sub(r"[ \xa0]+", " ", text)).strip()

"""The blocks of an HTML page or fragment that may be the author's, in a Markdown-like form.

trafilatura says which text of a page is its article (`main_text`), our rendering keeps the form of the markup
(`html_render`), and the rules here mend the choice by structure alone: no name of a class means anything to them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy

from lxml import etree, html

from twin_assets.core.text.html.main_text import SIGN, chosen_texts, sign_texts
from twin_assets.core.text.html.render import PLAIN_BLOCKS, Block, Scope, read_blocks
from twin_assets.core.text.html.tidy import AROUND, tidy

# What XML has no place for: a parsed page holds it, and whoever writes to that page is refused the whole text.
_NO_XML = dict.fromkeys([*range(9), *range(14, 28), 0x7F, 0xFFFE, 0xFFFF]) | dict.fromkeys(
    [11, 12, *range(28, 32), 0x85], " "
)
_CONTROL_REFERENCE = re.compile(
    r"&#(?:0{0,9}(?:[0-8]|1[124-9]|2\d|3[01]|127)(?!\d)|x0{0,9}(?:[0-8bcef]|1[\da-f]|7f)(?![\da-f]));?",
    re.IGNORECASE,
)
_PARSER = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
_PAGE = re.compile(r"<(?:html|body|head)[\s>]", re.IGNORECASE)

_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_SLUG = re.compile(r"[\W_]+")

# A block is chosen when half of its letters are, and a link when half of them are linked.
_SHARE = 0.5
# Prose of the first choice that a second one must have too.
_AGREED = 0.8
# An element holds the article, or a part of it, with this share of the prose in the largest such element.
_MIN_HOLDER = 0.1
# How far up the elements of two parts are compared.
_PART_DEPTH = 3
# Lengths in words: an entry of an index, a line that is no paragraph, a sentence.
_INDEX, _LINE, _SENTENCE = 6, 12, 8
_ALL_LINK = 0.9


def html_blocks(page: str) -> list[str]:
    """Blocks of a page's article, or of a fragment as a whole, in order; empty for a page without text."""
    data = _CONTROL_REFERENCE.sub(" ", page).translate(_NO_XML).encode("utf-8", "replace")
    if not data.strip():
        return []
    try:
        tree = html.document_fromstring(data, parser=_PARSER)
    except etree.ParserError:
        return []
    # A feed's or an editor's fragment is the text itself: there is no page around it to cut away.
    if not _PAGE.search(page):
        tidy(tree)
        body = tree.find("body")
        # Scripts and meta elements alone make a head, and no body.
        return [] if body is None else [block.text for block in read_blocks(body)]
    tidy(tree, AROUND)
    _unname_sections(tree)
    return _article(tree)


def _unname_sections(tree: html.HtmlElement) -> None:
    """Take the names off parts that bear the author's: a `section` of an article that has a heading and prose of its own,
    and what is named after its own heading, as pandoc and Sphinx do it. The extractor would take "related-work" for the
    theme's. Comments, teasers and boxes to sign up have their prose further down, or a form."""
    for part in tree.iter("section", "div"):
        name = part.get("id") or part.get("class")
        if not name or not len(part) or part[0].tag not in _HEADINGS:
            continue
        inside = part.tag == "section" and any(up.tag in ("article", "main") for up in part.iterancestors())
        if not (inside or _is_named_after(part, part[0].text_content())):
            continue
        if any(map(_is_prose, part.iterchildren("p"))) and part.find(".//form") is None:
            part.attrib.pop("id", None)
            part.attrib.pop("class", None)


def _is_named_after(part: html.HtmlElement, heading: str) -> bool:
    said = _SLUG.sub("-", heading.lower()).strip("-")
    given = _SLUG.sub("-", part.get("id", "").lower()).strip("-")
    return bool(said) and re.fullmatch(rf"(?:[a-z]+-)?{re.escape(said)}(?:-\d+)?", given) is not None


def _is_prose(paragraph: html.HtmlElement) -> bool:
    return any(block.is_prose for block in read_blocks(paragraph))


def _article(tree: html.HtmlElement) -> list[str]:
    body = tree.find("body")
    root = tree if body is None else body
    everything = list(tree.iter(etree.Element))  # held here, or lxml makes an element anew at each look
    elements = sign_texts(everything)
    signs, unplaced = chosen_texts(tree, fast=True)
    blocks = _chosen_blocks(root, elements, signs)
    prose = _letters(blocks, lambda block: block.is_prose)
    # The second opinion is asked where the first takes no prose or more of menus than of prose.
    if prose <= _letters(blocks, lambda block: block.length <= _INDEX):
        signs, unplaced = chosen_texts(tree, fast=False)
        second = _chosen_blocks(root, elements, signs)
        if any(b.kept for b in second) and _letters(second, lambda block: block.is_prose) >= _AGREED * prose:
            blocks = second
            prose = _letters(blocks, lambda block: block.is_prose)
    if not prose and not unplaced:
        blocks = _without_names(tree, root, elements) or blocks
    if not any(block.kept for block in blocks):
        return unplaced
    _restore(blocks)
    _drop_title(blocks)
    _drop_teasers(blocks)
    return [text for block in blocks if block.kept and (text := SIGN.sub("", block.text).strip("\n"))]


def _without_names(
    tree: html.HtmlElement, root: html.HtmlElement, elements: dict[str, html.HtmlElement]
) -> list[Block]:
    """The choice where names mislead: a text of a class such as `comment-on-clocks` is no comment. Empty without prose."""
    bare = deepcopy(tree)
    for element in bare.iter(etree.Element):
        for name in ("class", "id", "role"):
            element.attrib.pop(name, None)
    for fast in (True, False):
        blocks = _chosen_blocks(root, elements, chosen_texts(bare, fast)[0])
        if any(block.kept and block.is_prose for block in blocks):
            return blocks
    return []


def _letters(blocks: list[Block], of: Callable[[Block], bool]) -> int:
    return sum(len(block.text) for block in blocks if block.kept and block.kind != "code" and of(block))


def _chosen_blocks(
    root: html.HtmlElement, elements: dict[str, html.HtmlElement], signs: set[str]
) -> list[Block]:
    """Blocks of the page in order, those kept that are chosen; parts of the page far from any choice are not looked at."""
    if not signs:
        return []
    alive: set[html.HtmlElement] = set()
    near: set[html.HtmlElement] = set()
    for sign in signs:
        up, steps = elements[sign], 0
        while up is not None and (steps <= _PART_DEPTH + 1 or up not in alive):
            alive.add(up)
            if steps <= _PART_DEPTH + 1:
                near.add(up)
            up, steps = up.getparent(), steps + 1
    blocks = read_blocks(root, Scope(alive, near))
    _choose(blocks, signs)
    return blocks


def _choose(blocks: list[Block], signs: set[str]) -> None:
    """Keep the blocks of whose letters at least half were chosen."""
    for block in blocks:
        parts = SIGN.split(block.text)[1:]
        chosen = sum(
            len(part) for sign, part in zip(SIGN.findall(block.text), parts, strict=True) if sign in signs
        )
        block.kept = chosen > 0 and chosen >= _SHARE * sum(map(len, parts))


def _restore(blocks: list[Block]) -> None:
    """Keep also what stands among the chosen blocks, and the other parts of an article that a page divides.

    A paragraph, heading, item, table or quotation counts when its parent is also that of chosen prose; code when an
    ancestor of it is. Parts are elements with the same tag and class as such a parent, and with prose in them.
    """
    parents = Counter[html.HtmlElement]()
    for block in blocks:
        if block.kept and block.is_prose:
            parents[_holder(block)] += len(block.text)
    most = max(parents.values(), default=0)
    holders = {element for element, letters in parents.items() if letters >= _MIN_HOLDER * most}
    parts = {part for element in holders for part in _as_part(element)}
    places = [n for n, block in enumerate(blocks) if block.kept]
    first, last = places[0], places[-1]
    for number, block in enumerate(blocks):
        if block.kept or (block.links >= _SHARE and block.kind != "item"):
            continue
        holder = _holder(block)
        between = first < number < last
        if block.kind == "code":
            block.kept = any(up in holders for up in block.element.iterancestors())
        elif holder in holders:
            # Loose text between elements is a byline, a caption or a notice more often than the author's.
            loose = block.kind == "text" and block.element.tag != "p"
            block.kept = block.is_prose if loose else between
        elif block.is_prose:
            block.kept = not parts.isdisjoint(_as_part(holder))
    _drop_apart(blocks, holders)


def _drop_apart(blocks: list[Block], holders: set[html.HtmlElement]) -> None:
    """Leave out short lines that stand outside the element round all of the prose, and lists of a few words an item
    (months, tags, names) that do and outweigh the prose: the extractor takes them where a page has little else."""
    around: list[html.HtmlElement] = []
    for holder in holders:
        ups = [holder, *holder.iterancestors()]
        around = [up for up in around if up in set(ups)] if around else ups
    if not around:
        return
    apart = [
        block
        for block in blocks
        if block.kept and around[0] is not block.element and around[0] not in block.element.iterancestors()
    ]
    index = [b for b in apart if b.kind == "item" and b.length <= _INDEX]
    if sum(len(b.text) for b in index) <= _letters(blocks, lambda block: block.is_prose):
        index = []
    short = [b for b in apart if b.kind == "text" and b.length < _LINE and not _is_sentence(b)]
    for block in index + short:
        block.kept = False


def _as_part(element: html.HtmlElement) -> Iterator[tuple[object, ...]]:
    """What an element has in common with other parts of the same text: an ancestor, and the names on the way to it."""
    names: list[tuple[str, str]] = []
    for up in element.iterancestors():
        names.append((element.tag, element.get("class", "")))
        if len(names) > _PART_DEPTH or not names[0][1]:
            return
        element = up
        yield (up, *names)


def _holder(block: Block) -> html.HtmlElement:
    """The element whose child a block is, seen from outside lists; a block of loose text is in its own element."""
    element = block.element
    if element.tag not in PLAIN_BLOCKS | {"li", "pre", "blockquote", "table"}:
        return element
    up = element.getparent()
    while up.tag in ("ul", "ol", "li", "dl") and up.getparent() is not None:
        up = up.getparent()
    return up


def _drop_title(blocks: list[Block]) -> None:
    """Leave out the page's own title above the text, which is a field of the document and no part of its body."""
    for block in blocks:
        if block.kept and block.element.tag == "h1":
            block.kept = False
        if block.kept and block.is_prose:
            return


def _drop_teasers(blocks: list[Block]) -> None:
    """Leave out links to other pages that stand alone, and headings at the end that head nothing.

    A sentence that is a link as a whole is the author's, and so are the items of a list of links.
    """
    for block in blocks:
        if block.kind == "text" and block.links > _ALL_LINK and not _is_sentence(block):
            block.kept = False
    for block in reversed(blocks):
        if block.kept and block.kind != "heading":
            return
        block.kept = False


def _is_sentence(block: Block) -> bool:
    return block.length >= _SENTENCE and SIGN.sub("", block.text).rstrip("\"'”’»)] \n")[-1:] in ".!?…。！？"

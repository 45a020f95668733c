"""The blocks of an HTML page or fragment that may be the author's, in a Markdown-like form."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree, html

from twin_assets.core.text.html_tidy import classes, tidy
from twin_assets.core.text.main_text import SIGN, chosen_texts, sign_texts

_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_PLAIN_BLOCKS = _HEADINGS | {"p", "figcaption", "td", "th", "dt", "dd", "caption", "summary"}
_BLOCKS = _PLAIN_BLOCKS | {
    "li", "pre", "blockquote", "table", "ul", "ol", "dl", "div", "section", "article", "main", "tr", "tbody", "thead",
    "tfoot", "figure", "details", "address", "center", "hr", "header", "footer", "nav", "aside", "form", "fieldset",
}  # fmt: skip
_has_block = etree.XPath("boolean(.//*[" + " or ".join(f"self::{tag}" for tag in sorted(_BLOCKS)) + "])")
# A layout cell holds paragraphs; a cell of data does not.
_has_layout = etree.XPath(
    "boolean(.//p[2] or .//div or .//pre or .//table or .//blockquote or .//h1 or .//h2 or .//h3)"
)
_texts = etree.XPath("string()")

_PARSER = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_PAGE = re.compile(r"<(?:html|body|head)[\s>]", re.IGNORECASE)
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:language|lang|brush|highlight-source|highlight-text|highlight|src|sourceCode)(?:-|:\s*|\s)([\w+#]+)"
)
_NO_LANGUAGE = frozenset(
    "none plain plaintext text txt nohighlight default source block wrapper highlight line lines lineno numbers table "
    "copy code toolbar container box area snippet sourcecode".split()
)
_SHARE = 0.5
_AGREED = 0.8
_PROSE_WORDS = 15
_MIN_HOLDER = 0.1
_PART_DEPTH = 3
_INDEX_WORDS = 6
_CODE_DEPTH = 9
_LINK = 0.9
_SENTENCE_WORDS = 8


@dataclass
class _Block:
    """One block as it is read: its text still has the signs of its text nodes."""

    text: str
    element: html.HtmlElement
    kind: str = "text"
    linked: int = 0
    kept: bool = True

    @property
    def links(self) -> float:
        """Letters that are links, as a share."""
        return self.linked / max(len(self.text), 1)

    @property
    def is_prose(self) -> bool:
        return self.kind in ("text", "item") and self.links < _SHARE and len(self.text.split()) >= _PROSE_WORDS


def html_blocks(page: str) -> list[str]:
    """Blocks of a page's article, or of a fragment as a whole, in order; empty for a page without text."""
    data = page.replace("\x00", "").encode("utf-8", "replace")
    if not data.strip():
        return []
    try:
        tree = html.document_fromstring(data, parser=_PARSER)
    except etree.ParserError:
        return []
    body = tree.find("body")
    root = tree if body is None else body
    tidy(tree, frozenset(["nav", "footer", "aside", "menu"]) if _PAGE.search(page) else frozenset())
    elements = list(tree.iter(etree.Element))  # held, or lxml makes them anew at each look
    # A feed's or an editor's fragment is the text itself: there is no page around it to cut away.
    if not _PAGE.search(page):
        blocks: list[_Block] = []
        _walk(root, blocks)
        return [block.text for block in blocks]
    found = _article(tree, root)
    del elements
    return found


def _article(tree: html.HtmlElement, root: html.HtmlElement) -> list[str]:
    elements = sign_texts(tree)
    signs, unplaced = chosen_texts(tree, fast=True)
    blocks = _chosen_blocks(root, elements, signs)
    prose = _letters(blocks, lambda block: block.is_prose)
    # The second opinion is asked where the first takes no prose or more of menus than of prose.
    if prose <= _letters(blocks, lambda block: len(block.text.split()) <= _INDEX_WORDS):
        signs, unplaced = chosen_texts(tree, fast=False)
        second = _chosen_blocks(root, elements, signs)
        if not prose or _letters(second, lambda block: block.is_prose) >= _AGREED * prose:
            blocks = second or blocks
    if not any(block.kept for block in blocks):
        return unplaced
    _restore(blocks)
    _drop_title(blocks)
    _drop_teasers(blocks)
    return [text for block in blocks if block.kept and (text := SIGN.sub("", block.text).strip("\n"))]


def _letters(blocks: list[_Block], of: Callable[[_Block], bool]) -> int:
    return sum(len(block.text) for block in blocks if block.kept and block.kind != "code" and of(block))


def _chosen_blocks(
    root: html.HtmlElement, elements: dict[str, html.HtmlElement], signs: set[str]
) -> list[_Block]:
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
    blocks: list[_Block] = []
    _walk(root, blocks, _Scope(alive, near))
    _choose(blocks, signs)
    return blocks


def _choose(blocks: list[_Block], signs: set[str]) -> None:
    """Keep the blocks of whose letters at least half were chosen."""
    for block in blocks:
        chosen = whole = 0
        for part in SIGN.split(block.text)[1:]:
            whole += len(part)
        at = [(m.start(), m[0]) for m in SIGN.finditer(block.text)]
        for number, (start, sign) in enumerate(at):
            end = at[number + 1][0] if number + 1 < len(at) else len(block.text)
            if sign in signs:
                chosen += end - start - 1
        block.kept = chosen > 0 and chosen >= _SHARE * whole


def _restore(blocks: list[_Block]) -> None:
    """Keep also what stands among the chosen blocks, and the other parts of an article that a page divides.

    A paragraph, heading, item, table or quotation counts when its parent is also that of chosen prose; code when an
    ancestor of it is. Parts are elements with the same tag and class as such a parent, and with prose in them.
    """
    parents = Counter[html.HtmlElement]()
    for block in blocks:
        if block.kept and block.is_prose:
            parents[_holder(block)] += len(block.text)
    whole = sum(parents.values())
    holders = {element for element, letters in parents.items() if letters >= _MIN_HOLDER * whole}
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
            block.kept = between and (block.kind != "text" or block.element.tag == "p")
        elif block.is_prose:
            block.kept = not parts.isdisjoint(_as_part(holder))
    _drop_indexes(blocks, holders)


def _drop_indexes(blocks: list[_Block], holders: set[html.HtmlElement]) -> None:
    """Leave out lists of a few words an item that outweigh the prose and stand apart from it: months, tags, names.

    The extractor takes them where a short text is all that a page has.
    """
    apart = [
        block for block in blocks
        if block.kept and block.kind == "item" and len(block.text.split()) <= _INDEX_WORDS
        and holders.isdisjoint([_holder(block), *block.element.iterancestors()])
    ]  # fmt: skip
    prose = sum(len(block.text) for block in blocks if block.kept and block.is_prose)
    if prose and sum(len(block.text) for block in apart) > prose:
        for block in apart:
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


def _holder(block: _Block) -> html.HtmlElement:
    """The element whose child a block is, seen from outside lists; a block of loose text is in its own element."""
    element = block.element
    if element.tag not in _PLAIN_BLOCKS | {"li", "pre", "blockquote", "table"}:
        return element
    up = element.getparent()
    while up.tag in ("ul", "ol", "li", "dl") and up.getparent() is not None:
        up = up.getparent()
    return up


def _drop_title(blocks: list[_Block]) -> None:
    """Leave out the page's own title above the text, which is a field of the document and no part of its body."""
    for block in blocks:
        if block.kept and block.element.tag == "h1":
            block.kept = False
        if block.kept and block.is_prose:
            return


def _drop_teasers(blocks: list[_Block]) -> None:
    """Leave out links to other pages that stand alone, and headings at the end that head nothing.

    A sentence that is a link as a whole is the author's, and so are the items of a list of links.
    """
    for block in blocks:
        if block.kind == "text" and block.links > _LINK and not _is_sentence(block.text):
            block.kept = False
    for block in reversed(blocks):
        if block.kept and block.kind != "heading":
            return
        block.kept = False


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= _SENTENCE_WORDS and text.rstrip()[-1:] in ".!?…。！？"


@dataclass(frozen=True)
class _Scope:
    """Where blocks are looked for: elements with chosen text in them, and those near enough to such text."""

    alive: set[html.HtmlElement]
    near: set[html.HtmlElement]


def _walk(node: html.HtmlElement, blocks: list[_Block], scope: _Scope | None = None) -> None:
    """Append the blocks below a node; text between block elements makes blocks of its own."""
    loose: list[str] = []
    linked = 0
    inside = scope is None or node in scope.near

    def flush() -> None:
        nonlocal linked
        if loose:
            if text := _tidy("".join(loose)):
                blocks.append(_Block(text, node, linked=linked))
            loose.clear()
            linked = 0

    if node.text and not node.text.isspace():
        loose.append(_SPACE.sub(" ", node.text))
    for child in node:
        tag = child.tag
        if isinstance(tag, str) and tag != "script":
            if tag in _BLOCKS or _has_block(child):
                flush()
                if inside or child in scope.alive:  # type: ignore[union-attr]
                    before = len(blocks)
                    _block(child, blocks, scope if child in (scope.alive if scope else ()) else None)
                    if tag == "a":  # a card: the link holds blocks
                        for block in blocks[before:]:
                            block.linked = len(block.text)
            elif tag == "br" and _is_second_break(child):
                flush()
            else:
                loose.append(_inline(child))
                linked += _link_letters(child)
        if child.tail:
            loose.append(_SPACE.sub(" ", child.tail))
    flush()


def _is_second_break(br: html.HtmlElement) -> bool:
    """`<br><br>` divides paragraphs."""
    before = br.getprevious()
    return before is not None and before.tag == "br" and not (before.tail or "").strip()


def _block(tag: html.HtmlElement, blocks: list[_Block], scope: _Scope | None) -> None:
    name = tag.tag
    if name == "pre":
        _pre(tag, blocks)
    elif name == "li":
        _item(tag, blocks)
    elif name == "table" and not _has_layout(tag):
        rows = [" | ".join(_tidy(_inline(cell)) for cell in row.iter("td", "th")) for row in tag.iter("tr")]
        if any(row.strip(" |") for row in rows):
            blocks.append(_Block("\n".join(rows), tag, "table", _link_letters(tag)))
    elif name == "blockquote":
        inner: list[_Block] = []
        _walk(tag, inner)
        if inner:
            text = "\n".join(f"> {line}" for block in inner for line in block.text.split("\n"))
            blocks.append(_Block(text, tag, "quote", _link_letters(tag)))
    elif name in _HEADINGS and not _has_block(tag):
        if text := _tidy(_inline(tag)).replace("\n", " "):
            blocks.append(_Block(f"## {text}", tag, "heading", _link_letters(tag)))
    else:
        _walk(tag, blocks, scope)


def _item(tag: html.HtmlElement, blocks: list[_Block]) -> None:
    """A list item: its paragraphs as one item, its nested lists indented, its code in fences."""
    inner: list[_Block] = []
    _walk(tag, inner)
    for number, block in enumerate(inner):
        if block.kind != "code":
            card = block.kind == "heading" and block.links >= _SHARE  # a teaser of another page
            text = block.text.removeprefix("## ")
            if number == 0:
                block.text = text if text.startswith("- ") else f"- {text}"
            else:
                block.text = "  " + text.replace("\n", "\n  ")
            block.kind = "text" if card else "item"
        blocks.append(block)


def _pre(tag: html.HtmlElement, blocks: list[_Block]) -> None:
    text = _code_text(tag)
    named = " ".join(classes(tag))
    if "verse" in named or "preformatted-block" in named:
        if poem := "\n".join(line.rstrip() for line in text.strip("\n").split("\n")):
            blocks.append(_Block(poem, tag))
        return
    code = "\n".join(line.rstrip("\r") for line in text.split("\n")).strip("\n")
    if code.strip():
        fence = "```"
        while fence in code:
            fence += "`"
        blocks.append(_Block(f"{fence}{_language(tag)}\n{code}\n{fence}", tag, "code"))


def _code_text(node: html.HtmlElement) -> str:
    """Code as a browser shows it: `<br>` and elements for whole lines end lines."""
    parts = [node.text or ""]
    for child in node:
        if isinstance(child.tag, str):
            if child.tag == "br":
                parts.append("\n")
            elif child.tag in _BLOCKS:
                if parts[-1] and not "".join(parts[-2:]).endswith("\n"):
                    parts.append("\n")
                line = _code_text(child)
                parts.append(line if line.endswith("\n") or child.tag in ("td", "th") else line + "\n")
            else:
                parts.append(_code_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _language(pre: html.HtmlElement) -> str:
    """The language that code names in the markup of common highlighters, or ''."""
    around = [pre, *pre.iter("code")][:2]
    for up in pre.iterancestors():
        if up.tag in ("article", "section", "main", "body", "li", "blockquote") or len(around) > _CODE_DEPTH:
            break
        around.append(up)
    for element in around:
        for name in ("data-lang", "data-language", "lang"):
            said = element.get(name, "").strip().lower()
            if said and (name != "lang" or element.tag in ("pre", "code")) and _is_language(said):
                return said
        named = element.get("class", "")
        for said in _LANGUAGE.findall(named):
            if _is_language(said.lower()):
                return str(said.lower())
        # Hexo: <figure class="highlight python">
        words = named.lower().split()
        if element.tag == "figure" and "highlight" in words:
            return next((word for word in words if _is_language(word)), "")
    return ""


def _is_language(word: str) -> bool:
    return word not in _NO_LANGUAGE and len(word) <= 20 and not word.isdecimal()


def _inline(node: html.HtmlElement) -> str:
    if node.tag == "br":
        return "\n"
    if node.tag in ("img", "script"):
        return ""
    parts = [_SPACE.sub(" ", node.text or "")]
    for child in node:
        if isinstance(child.tag, str):
            parts.append(_inline(child))
        if child.tail:
            parts.append(_SPACE.sub(" ", child.tail))
    text = "".join(parts)
    if node.tag == "q" and text:
        return f"“{text}”"
    return f"`{text}`" if node.tag == "code" and text.strip() else text


def _link_letters(node: html.HtmlElement) -> int:
    return sum(len(_texts(a)) for a in node.iter("a") if "href" in a.attrib)


def _tidy(text: str) -> str:
    return re.sub(r" *\n *", "\n", re.sub(r"[ \xa0]+", " ", text)).strip()

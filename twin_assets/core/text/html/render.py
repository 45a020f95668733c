"""Markup to blocks of Markdown-like text: `## ` headings, `- ` items, `> ` quotations, rows of tables, fenced code.

It decides nothing about what the article is; blocks carry what is needed for that.
"""

import re
from dataclasses import dataclass

from lxml import etree, html

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
PLAIN_BLOCKS = HEADINGS | {"p", "figcaption", "td", "th", "dt", "dd", "caption", "summary"}
_BLOCKS = PLAIN_BLOCKS | {
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
    "tr",
    "tbody",
    "thead",
    "tfoot",
    "figure",
    "details",
    "address",
    "center",
    "hr",
    "header",
    "footer",
    "nav",
    "aside",
    "form",
    "fieldset",
}
_has_block = etree.XPath("boolean(.//*[" + " or ".join(f"self::{tag}" for tag in sorted(_BLOCKS)) + "])")
# A layout table holds paragraphs, or one cell a row; a table of data does not.
_is_layout = etree.XPath(
    "boolean(.//p[2] or .//div or .//pre or .//ul or .//ol or .//table or .//blockquote or .//h1 or .//h2 or .//h3"
    " or .//br/following-sibling::*[1][self::br]) or not(.//tr[count(td|th) > 1])"
)
_texts = etree.XPath("string()")

_SPACE = re.compile(r"[ \t\r\n\f]+")
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:(?:language|lang|brush|highlight-source|highlight-text|highlight|src)(?:-|:\s*)|sourceCode\s+)([\w+#]+)"
)
_NO_LANGUAGE = frozenset([
    "none", "plain", "plaintext", "text", "txt", "nohighlight", "default", "source", "block", "wrapper", "highlight",
    "line", "lines", "lineno", "numbers", "table", "copy", "code", "toolbar", "container", "box", "area", "snippet",
    "sourcecode",
])  # fmt: skip
# Highlighters name the language some levels above the code.
_CODE_DEPTH = 9
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_OWN_LINE = re.compile(r"display\s*:\s*(?:block|flex|grid)")
_PROSE_LENGTH = 15


@dataclass
class Block:
    """One block in the order of the page. `linked` counts its letters that are links."""

    text: str
    element: html.HtmlElement
    kind: str = "text"  # or heading, item, quote, table, code
    linked: int = 0
    kept: bool = True

    @property
    def links(self) -> float:
        """Letters that are links, as a share."""
        return self.linked / max(len(self.text), 1)

    @property
    def length(self) -> int:
        """Roughly how many words: two letters count as one where a script puts no spaces between words."""
        wide = 0 if self.text.isascii() else len(_UNSPACED.findall(self.text))
        return len(self.text.split()) + wide // 2

    @property
    def is_prose(self) -> bool:
        return (
            self.kind in ("text", "item")
            and self.linked * 2 < len(self.text)
            and self.length >= _PROSE_LENGTH
        )


@dataclass(frozen=True)
class Scope:
    """Where blocks are looked for: elements with text of interest in them, and those near enough to such text."""

    alive: set[html.HtmlElement]
    near: set[html.HtmlElement]


def read_blocks(root: html.HtmlElement, scope: Scope | None = None) -> list[Block]:
    """The blocks below an element, all of them or those within a scope."""
    blocks: list[Block] = []
    _walk(root, blocks, scope)
    return blocks


def _walk(node: html.HtmlElement, blocks: list[Block], scope: Scope | None) -> None:
    """Append the blocks below a node; text between block elements makes blocks of its own."""
    loose: list[str] = []
    linked = 0
    inside = scope is None or node in scope.near

    def flush() -> None:
        nonlocal linked
        if loose:
            text = _tidy("".join(loose))
            for part in text.split("\n\n"):  # from `<br><br>` inside an element
                if part := part.strip("\n"):
                    blocks.append(Block(part, node, linked=linked * len(part) // len(text)))
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


def _block(tag: html.HtmlElement, blocks: list[Block], scope: Scope | None) -> None:
    name = tag.tag
    if name == "pre":
        _pre(tag, blocks)
    elif name == "li":
        _item(tag, blocks)
    elif name == "table" and not _is_layout(tag):
        rows = [" | ".join(_tidy(_inline(cell)) for cell in row.iter("td", "th")) for row in tag.iter("tr")]
        if any(row.strip(" |") for row in rows):
            blocks.append(Block("\n".join(rows), tag, "table", _link_letters(tag)))
    elif name == "blockquote":
        inner = read_blocks(tag)
        if inner:
            text = "\n".join(f"> {line}" for block in inner for line in block.text.split("\n"))
            blocks.append(Block(text, tag, "quote", _link_letters(tag)))
    elif name in HEADINGS and not _has_block(tag):
        if text := _tidy(_inline(tag)).replace("\n", " "):
            blocks.append(Block(f"## {text}", tag, "heading", _link_letters(tag)))
    else:
        _walk(tag, blocks, scope)


def _item(tag: html.HtmlElement, blocks: list[Block]) -> None:
    """A list item: its paragraphs as one item, its nested lists indented, its code in fences."""
    inner = read_blocks(tag)
    for number, block in enumerate(inner):
        if block.kind != "code":
            card = block.kind == "heading" and block.links >= 0.5  # a teaser of another page
            text = block.text.removeprefix("## ")
            if number == 0:
                block.text = text if text.startswith("- ") else f"- {text}"
            else:
                block.text = "  " + text.replace("\n", "\n  ")
            block.kind = "text" if card else "item"
        blocks.append(block)


def _pre(tag: html.HtmlElement, blocks: list[Block]) -> None:
    text = _code_text(tag)
    named = tag.get("class", "")
    if "verse" in named or "preformatted-block" in (tag.getparent().get("class", "") + named):
        if poem := "\n".join(line.rstrip() for line in text.strip("\n").split("\n")):
            blocks.append(Block(poem, tag))
        return
    code = "\n".join(line.rstrip("\r") for line in text.replace("\xa0", " ").split("\n")).strip("\n")
    if code.strip():
        fence = "```"
        while fence in code:
            fence += "`"
        blocks.append(Block(f"{fence}{_language(tag)}\n{code}\n{fence}", tag, "code"))


def _code_text(node: html.HtmlElement) -> str:
    """Code as a browser shows it: `<br>` and elements for whole lines end lines."""
    parts = [node.text or ""]
    for child in node:
        if isinstance(child.tag, str):
            if child.tag == "br":
                parts.append("\n")
            elif child.tag in _BLOCKS or (
                _OWN_LINE.search(child.get("style", "")) and (child.tail or "")[:1] != "\n"
            ):
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
    return re.sub(r" ?\n ?", "\n", re.sub(r"[ \xa0]+", " ", text)).strip()

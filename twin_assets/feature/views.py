"""From a body as fetched to Markdown-like text that keeps the author's voice, block by block.

HTML and Markdown become the same plain form: paragraphs apart by blank lines, headings as `## `, list
items as `- `, code in fences. Nothing inside a paragraph is changed but white space that HTML ignores.
"""

import re
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag

from twin_assets.feature.boilerplate import DROPPED_TAGS, is_dropped_class
from twin_assets.feature.offline_sentences import give_unstructured_a_pipeline

_BLOCK_TAGS = {
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "li",
    "pre",
    "blockquote",
    "figcaption",
    "td",
    "th",
    "dt",
    "dd",
}
_SHORTCODE = re.compile(r"\{\{[<%].*?[%>]\}\}", re.DOTALL)
_LIQUID = re.compile(r"\{%.*?%\}", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[^()\s]|\([^)]*\))*(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^(```|~~~)")


def html_blocks(html: str) -> list[str]:
    """Blocks of an HTML page or fragment, in order, boilerplate elements left out."""
    soup = BeautifulSoup(html, "lxml")
    for tag in soup.find_all(True):
        if tag.decomposed:
            continue
        marks = " ".join([*(tag.get("class") or []), str(tag.get("id") or "")])
        if tag.name in DROPPED_TAGS or (
            tag.name not in ("html", "body", "article", "main") and is_dropped_class(marks)
        ):
            tag.decompose()
    root = soup.find("article") or soup.find("main") or soup.body or soup
    blocks: list[str] = []
    _walk(root, blocks)
    return [b for b in blocks if b.strip()]


def _walk(node: Any, blocks: list[str]) -> None:
    """Append the blocks below a node; text between block elements makes blocks of its own."""
    loose: list[str] = []

    def flush() -> None:
        text = _tidy("".join(loose))
        if text:
            blocks.append(text)
        loose.clear()

    for child in node.children:
        if isinstance(child, Tag) and child.name in _BLOCK_TAGS:
            flush()
            if block := _block(child):
                blocks.append(block)
        elif (isinstance(child, Tag) and child.find(_BLOCK_TAGS)) or (
            isinstance(child, Tag) and child.name in ("div", "section", "ul", "ol", "table")
        ):
            flush()
            _walk(child, blocks)
        elif isinstance(child, Tag | NavigableString):
            loose.append(_inline(child))
    flush()


def _block(tag: Tag) -> str:
    if tag.name == "pre":
        return f"```\n{tag.get_text().strip(chr(10))}\n```"
    if tag.name == "blockquote" and tag.find(_BLOCK_TAGS):
        inner: list[str] = []
        _walk(tag, inner)
        return "\n".join(f"> {line}" for block in inner for line in block.split("\n"))
    text = _tidy(_inline(tag))
    if not text:
        return ""
    if tag.name in {"h1", "h2", "h3", "h4", "h5", "h6"}:
        return f"## {text}"
    if tag.name == "li":
        return f"- {text}"
    return f"> {text}" if tag.name == "blockquote" else text


def _inline(node: Any) -> str:
    if isinstance(node, NavigableString):
        return re.sub(r"[ \t\r\n]+", " ", str(node))
    if node.name == "br":
        return "\n"
    if node.name == "img":
        return ""
    text = "".join(_inline(child) for child in node.children if isinstance(child, Tag | NavigableString))
    return f"`{text}`" if node.name == "code" else text


def _tidy(text: str) -> str:
    return re.sub(r" *\n *", "\n", re.sub(r"[ \xa0]+", " ", text)).strip()


def markdown_blocks(body: str) -> list[str]:
    """Blocks of a Markdown document: link targets, images, shortcodes and comments taken out."""
    body = _COMMENT.sub("", _LIQUID.sub("", _SHORTCODE.sub("", body)))
    blocks: list[str] = []
    current: list[str] = []
    fenced = False
    for line in body.replace("\r\n", "\n").split("\n"):
        if _FENCE.match(line.strip()):
            fenced = not fenced
            current.append("```")
        elif fenced:
            current.append(line)
        elif line.strip():
            current.append(_markdown_line(line))
        else:
            blocks.append("\n".join(current))
            current = []
            continue
        if not fenced and current[-1] == "```" and len(current) > 1:
            blocks.append("\n".join(current))
            current = []
    blocks.append("\n".join(current))
    return [b for b in blocks if b.strip()]


def _markdown_line(line: str) -> str:
    line = re.sub(r"^#{1,6}\s+", "## ", line.rstrip())
    line = re.sub(r"^(\s*)[*+]\s+", r"\1- ", line)
    line = re.sub(r"<[/a-zA-Z][^>]*>", "", _LINK.sub(r"\1", _IMAGE.sub("", line)))
    return re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", line)


def join_blocks(blocks: list[str]) -> str:
    """Blocks as one text: blank lines between them, list items on lines of their own."""
    text = ""
    for block in blocks:
        tight = block.startswith("- ") and text.rsplit("\n", 1)[-1].startswith("- ")
        text += ("" if not text else "\n" if tight else "\n\n") + block
    return text


def element_kinds(html: str) -> dict[str, str]:
    """The kind (Title, NarrativeText, ListItem, Footer...) that unstructured gives each text of a page."""
    give_unstructured_a_pipeline()
    from unstructured.partition.html import partition_html

    # Its own language detection costs half the time, and the persona's languages are known.
    elements = partition_html(text=html, languages=["eng"])
    return {re.sub(r"\s+", "", e.text): e.category for e in elements}

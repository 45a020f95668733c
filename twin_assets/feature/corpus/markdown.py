"""From a body as fetched to Markdown-like text that keeps the author's voice, block by block.

HTML and Markdown become the same plain form: paragraphs apart by blank lines, headings as `## `, list
items as `- `, code in fences. Nothing inside a paragraph is changed but white space that HTML ignores.
"""

import re
from html import escape, unescape

from twin_assets.core.text.html import html_blocks as html_blocks
from twin_assets.feature.corpus.offline_sentences import give_unstructured_a_pipeline

_SHORTCODE = re.compile(r"\{\{[<%].*?[%>]\}\}", re.DOTALL)
_LIQUID = re.compile(r"\{%.*?%\}", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SCRIPT = re.compile(r"(?<!`)<(script|style)\b[^>`]*>[^`]*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[^()\s]|\([^)]*\))*(?:\s+\"[^\"]*\")?\)")
# Where a note or a link leads, on a line of its own; a note with words in it stays.
_REFERENCE = re.compile(r"^\s*\[\^?[^\]]+\]:\s*<?https?://\S+>?(\s+[\"'(].*)?\s*$")
_NOTE_MARK = re.compile(r"\[\^[\w-]+\](?!:)")
_FENCE = re.compile(r"^(`{3,}|~{3,})")
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_CODE_SPAN = re.compile(r"(`+[^`]+`+)")
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|cite|code|details|div|em|figcaption|figure|font|hr|i|iframe|img|kbd|li|mark|ol|p|"
    r"picture|pre|q|s|script|small|source|span|strong|sub|summary|sup|table|tbody|td|th|thead|time|tr|u|ul|video|h[1-6])"
    # An attribute has a value: `a <b and c> d` is a comparison.
    r"(?:\s[^<>]*=[^<>]*|\s+(?:controls|open))?\s*/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,10}|#\d{2,6}|#x[0-9a-fA-F]{2,6});")
_BOLD = re.compile(r"(?<![\w/])(\*\*|__)(?=\S)(.+?)(?<=\S)\1(?!\w)")


def markdown_blocks(body: str) -> list[str]:
    """Blocks of a Markdown document: link targets, images, shortcodes and comments taken out of the prose.

    Code fences stay as written, with the language they name.
    """
    blocks: list[str] = []
    current: list[str] = []
    fence = ""

    def flush() -> None:
        blocks.append("\n".join(current))
        current.clear()

    for line in _outside_fences(body.replace("\r\n", "\n")).split("\n"):
        mark = _FENCE.match(line.strip())
        if fence:
            current.append(line)
            if mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                flush()
        elif mark:
            fence = mark[1]
            current.append(line.strip())
        elif line.strip():
            if kept := _markdown_line(line):
                current.append(kept)
        else:
            flush()
    flush()
    return [b for b in blocks if b.strip()]


def _outside_fences(body: str) -> str:
    """A body without comments, shortcodes and template tags, which may span lines; code keeps what it shows."""
    kept: list[str] = []
    at = 0
    for fence in [*_FENCED.finditer(body), None]:
        prose = body[at : fence.start() if fence else len(body)]
        kept += [_unmarked(prose), fence[0] if fence else ""]
        at = fence.end() if fence else at
    return "".join(kept)


def _unmarked(prose: str) -> str:
    for pattern in (_SHORTCODE, _LIQUID, _COMMENT, _SCRIPT):
        prose = pattern.sub("", prose)
    return prose


def _markdown_line(line: str) -> str:
    if _REFERENCE.match(line):
        return ""
    line = _NOTE_MARK.sub("", line)
    line = re.sub(r"^#{1,6}\s+", "## ", line.rstrip())
    line = re.sub(r"^(\s*)[*+]\s+", r"\1- ", line)
    parts = _CODE_SPAN.split(line)
    for n in range(0, len(parts), 2):
        parts[n] = _ENTITY.sub(lambda m: unescape(m[0]), _TAG.sub("", _IMAGE.sub("", parts[n])))
    line = "".join(parts)
    # A link may have code for its text, so links are undone over the whole line, unless it is code itself.
    parts = _CODE_SPAN.split(_LINK.sub(r"\1", line))
    for n in range(0, len(parts), 2):
        parts[n] = _BOLD.sub(r"\2", parts[n])
    return "".join(parts)


def join_blocks(blocks: list[str]) -> str:
    """Blocks as one text: blank lines between them, list items on lines of their own."""
    text = ""
    for block in blocks:
        tight = block.lstrip().startswith("- ") and text.rsplit("\n", 1)[-1].lstrip().startswith("- ")
        text += ("" if not text else "\n" if tight else "\n\n") + block
    return text


def element_kinds(texts: list[str], language: str | None) -> list[str]:
    """The kind (Title, NarrativeText, EmailAddress, Address...) that unstructured gives each text, in order.

    `language` is an ISO 639-1 code. With None, unstructured is told not to guess one: it would for each call.
    """
    if not texts:
        return []
    give_unstructured_a_pipeline()
    from unstructured.partition.html import partition_html

    fragment = "".join(f"<p>{escape(text)}</p>" for text in texts)
    elements = partition_html(text=fragment, languages=[(language or "").split("-")[0]])
    kinds = {re.sub(r"\s+", "", element.text): element.category for element in elements}
    return [kinds.get(re.sub(r"\s+", "", text), "Text") for text in texts]

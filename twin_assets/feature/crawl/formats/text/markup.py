"""Lightweight markup as Markdown or HTML: reStructuredText, Org, AsciiDoc, MDX, notebooks, pages of a Jekyll site."""

import json
import re
from html import escape

from twin_assets.core.text.front_matter import Fields, bounded, split_front_matter
from twin_assets.feature.crawl.formats.text.pandoc import read_with_pandoc

# Directives of Sphinx that list, draw or include; what stands below them is no text.
_RST_DROPPED = re.compile(
    r"^([ \t]*)\.\.[ \t]+(?:toctree|contents|include|literalinclude|raw|auto\w+|index|(?:py:)?(?:current)?module|highlight|image|meta"
    r"|role|default-role|graphviz|plot|mermaid|tabularcolumns|bibliography|sectionauthor|codeauthor|testsetup|testcleanup)"
    r"::[^\n]*\n(?:[ \t]*\n|\1[ \t]+[^\n]*\n?)*",
    re.MULTILINE,
)
# Those of Sphinx whose contents are text or code under another name than reStructuredText's.
_RST_RENAMED = [
    (re.compile(r"^([ \t]*\.\.[ \t]+)(?:sourcecode|ipython|prompt|testcode|doctest|code-block|click:\w+)::", re.MULTILINE), r"\1code-block::"),
    (re.compile(r"^([ \t]*\.\.[ \t]+)(?:versionadded|versionchanged|deprecated|seealso|only|py:\w+|c:\w+)::[^\n]*$", re.MULTILINE), r"\1container::"),
]  # fmt: skip
_RST_CITATION = re.compile(r":(?:foot)?cite(?::\w+)?:`[^`]*`")
_ORG_FIELD = re.compile(r"^#\+(\w+):[ \t]*(.*)$", re.MULTILINE)
_ORG_DROPPED = re.compile(
    r"^[ \t]*(?:SCHEDULED|DEADLINE|CLOSED|CLOCK):[ \t]*[<\[][^\n]*$|<<[^<>\n]+>>|\[cite[^\]\n]*\]",
    re.MULTILINE,
)
_ADOC_DROPPED = re.compile(r"^(?:include|ifdef|ifndef|ifeval|endif|toc)::[^\n]*$", re.MULTILINE)
_ADOC_FIELD = re.compile(r"^:([\w-]+):[ \t]*(.*)$", re.MULTILINE)


def read_rst(text: str) -> tuple[str, Fields]:
    """(Markdown, fields). Pelican's and Nikola's fields count like front matter."""
    fields, body = split_front_matter(text)
    body = _RST_CITATION.sub("", _RST_DROPPED.sub("", body + "\n"))
    for pattern, name in _RST_RENAMED:
        body = pattern.sub(name, body)
    markdown, metadata = read_with_pandoc("rst", body.encode())
    return markdown, metadata | fields


def read_org(text: str) -> tuple[str, Fields]:
    """(Markdown, fields): its #+KEYWORDS. Drawers, plans and what is marked COMMENT or noexport are left out."""
    fields, body = split_front_matter(text)
    said = {key.lower(): value.strip() for key, value in _ORG_FIELD.findall(body)}
    markdown, metadata = read_with_pandoc("org", _ORG_DROPPED.sub("", body).encode())
    return markdown, said | metadata | fields


def read_asciidoc(text: str) -> tuple[str, Fields]:
    """(Markdown, fields): the header's title, author, date and attributes, also JBake's and Antora's."""
    fields, body = split_front_matter(text)
    said = dict(_ADOC_FIELD.findall(body.partition("\n\n")[0]))
    markdown, metadata = read_with_pandoc("asciidoc", _ADOC_DROPPED.sub("", body).encode())
    return markdown, said | metadata | fields


_CODE = re.compile(
    r"^[ \t>]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)|(`+)[^`\n]+\2", re.DOTALL | re.MULTILINE
)
_ESM = re.compile(
    r"^(?:import\s(?:[^\n;]*\sfrom\s+)?[\"'][^\n]*|import\s*\{[^}]*\}\s*from[^\n]*|export\s(?:[^\n]+(?:\n|\Z))+)",
    re.MULTILINE,
)
_JSX_COMMENT = re.compile(r"\{/\*.*?\*/\}", re.DOTALL)
_BRACED = re.compile(r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")
_COMPONENT = re.compile(r"</?(?:[A-Z][\w.]*|>)(?:[^<>\"'{}]|\"[^\"]*\"|'[^']*')*>|<>")
_SIGN = "\ue0f5"


def mdx_as_markdown(body: str) -> str:
    """Markdown of an MDX text: imports, exports, expressions and components' tags are gone, their contents stay."""
    codes: list[str] = []

    def keep(code: re.Match[str]) -> str:
        codes.append(code[0])
        return f"{_SIGN}{len(codes) - 1}{_SIGN}"

    text = _CODE.sub(keep, body.replace(_SIGN, ""))
    text = _JSX_COMMENT.sub("", _ESM.sub("", text))
    # Strings in braces are text: {"the tide"}, {' '}.
    text = re.sub(r"(?<!=)\{[\"'`]([^\"'`{}\n]*)[\"'`]\}", r"\1", text)
    text = _COMPONENT.sub("", _BRACED.sub("", text))
    return re.sub(f"{_SIGN}(\\d+){_SIGN}", lambda sign: codes[int(sign[1])], text)


_LIQUID_CODE = re.compile(r"\{%-?\s*highlight\b[^%]*%\}(.*?)\{%-?\s*endhighlight\s*-?%\}", re.DOTALL)
_LIQUID = re.compile(
    r"\{%-?\s*(comment|for)\b.*?\{%-?\s*end\1\s*-?%\}|\{%-?\s*\w.*?%\}|\{\{.*?\}\}|<!--.*?-->", re.DOTALL
)


def html_without_liquid(body: str) -> str:
    """An HTML text of a Jekyll site without its builder's tags; highlighted code becomes <pre>."""
    code = _LIQUID_CODE.sub(lambda match: f"<pre><code>{escape(match[1].strip(chr(10)))}</code></pre>", body)
    return _LIQUID.sub("", code)


_HIDING_TAGS = {
    "remove-cell",
    "remove_cell",
    "hide-cell",
    "hide_cell",
    "remove-input",
    "remove_input",
    "hide-input",
    "hide_input",
}
_HIDING = re.compile(
    r"^\s*#\s*(?:\|\s*(?:echo|include|output)\s*:\s*false|hide\b|export\b.*hide)", re.IGNORECASE
)
_CELL_OPTION = re.compile(r"^\s*(?:#\||#\s*(?:hide|export|collapse|default_exp)\b)[^\n]*\n?", re.MULTILINE)


def read_notebook(text: str) -> tuple[str, Fields]:
    """(Markdown, fields) of a Jupyter notebook: its text and code cells in order, no outputs, nothing that is hidden.

    Raises ValueError when it is no notebook.
    """
    try:
        book = json.loads(text)
        cells = (
            book["cells"] if "cells" in book else [c for sheet in book["worksheets"] for c in sheet["cells"]]
        )
        about = book.get("metadata", {})
        language = str(
            about.get("language_info", {}).get("name")
            or about.get("kernelspec", {}).get("language")
            or "python"
        )
        parts = [_cell(cell, language) for cell in cells]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a Jupyter notebook") from None
    # Quarto and Pelican have their fields in the first cell, or in the notebook's metadata.
    fields, first = split_front_matter(parts[0]) if parts else ({}, "")
    described = {
        key: about[key] for key in ("title", "author", "authors", "date", "draft", "status") if key in about
    }
    return "\n\n".join(part for part in [first, *parts[1:]] if part.strip()), bounded(described) | fields


def _cell(cell: Fields, language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(source) if isinstance(source, list) else str(source)
    kind = cell["cell_type"]
    if _HIDING_TAGS & set(cell.get("metadata", {}).get("tags", [])) and kind == "code":
        return ""
    if kind == "heading":  # until format 3
        return f"{'#' * int(cell.get('level', 1))} {text}"
    if kind != "code":
        return text if kind == "markdown" or text.lstrip().startswith("---") else ""
    if not text.strip() or _HIDING.match(text):
        return ""
    code = _CELL_OPTION.sub("", text).strip("\n")
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", code))])
    return f"{fence}{language}\n{code}\n{fence}" if code.strip() else ""

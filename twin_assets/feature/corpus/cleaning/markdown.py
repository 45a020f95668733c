"""From a body as fetched to Markdown-like text that keeps the author's voice, block by block.

HTML and Markdown become the same plain form: paragraphs apart by blank lines, headings as `## `, list
items as `- `, quotations as `> `, rows of tables as `a | b`, code in fences. Markdown is read by
markdown-it-py, with the plugins for notes, formulae, definitions and admonitions.
"""

import itertools
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.admon import admon_plugin
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

from twin_assets.core.text.front_matter import without_front_matter
from twin_assets.core.text.html.blocks import html_blocks as html_blocks
from twin_assets.feature.corpus.cleaning.line_breaks import JOIN, SOFT, Breaks, breaks_of, mended
from twin_assets.feature.corpus.cleaning.template_marks import GONE, Marks, fenced
from twin_assets.feature.corpus.offline_sentences import give_unstructured_a_pipeline

# A word in pointed brackets is a tag only where HTML has it and its attributes have values: `a <b and c> d` is a comparison.
_TAG = re.compile(
    r"</?(?:a|abbr|address|article|aside|b|big|blockquote|br|button|caption|center|cite|code|col|colgroup|dd|del|details|dfn|div|dl"
    r"|dt|em|embed|figcaption|figure|font|footer|form|header|hr|i|img|input|ins|kbd|label|li|link|main|mark|meta|nav|ol|p|param"
    r"|picture|pre|q|rp|rt|ruby|s|samp|section|small|source|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|time"
    r"|tr|tt|u|ul|var|wbr|h[1-6])(?:\s[^<>]*=[^<>]*|\s+(?:controls|open))?\s*/?>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\b[^>]*>", re.IGNORECASE)
_CALLOUT = re.compile(r"\[!(?P<kind>\w[\w-]*)(?:\|[^\]\n]*)?\][+-]?[ \t]*")
_QUOTES = {"quote", "cite"}
_BOX = re.compile(r"^\[[ xX]\][ \t]+")
_HIGHLIGHT = re.compile(r"==(?=\S)([^=\n]+?)(?<=\S)==")
_CITATION = re.compile(r"[ \t]?\[(?:[^\[\]\n@]{0,80}\s)?-?@[\w:.#$%&+?<>~/-]+[^\[\]\n]*\]")
# Links that CommonMark doesn't take for such, since their address has spaces.
_SPACED_IMAGE = re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
_SPACED_LINK = re.compile(r"\[([^\[\]\n]+)\]\((?=[^()\n]*[./])[^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
_ADDRESS = re.compile(r"<?\w+://\S+>?")
_CHUNK_HEAD = re.compile(r"\{\s*(?P<name>[\w.+#:-]*)(?P<rest>[^}]*)\}?(?P<words>.*)", re.DOTALL)
_UNSEEN = re.compile(r"\b(?:echo|include)\s*[=:]\s*F(?:ALSE)?\b|\b(?:echo|include)\s*[=:]\s*false\b")
_OPTION = re.compile(r"^(?:(?:#|//|--|%%)\|[^\n]*|:[\w-]+:[^\n]*)(?:\n|\Z)", re.MULTILINE)
# Fences of Quarto, R Markdown and MyST whose contents are code, and such as list, draw or include; the others hold text.
_ENGINES = {
    "python", "python3", "py", "r", "julia", "bash", "sh", "zsh", "shell", "console", "sql", "js", "javascript", "ts", "typescript", "ojs",
    "html", "css", "scss", "json", "yaml", "yml", "toml", "xml", "c", "cpp", "c++", "java", "go", "rust", "ruby", "perl", "php", "lua", "stan",
    "stata", "sas", "octave", "matlab", "scala", "haskell", "ocaml", "awk", "sed", "cat", "powershell", "fortran", "rcpp", "node", "nim", "tex",
    "latex", "markdown", "md", "text", "default", "verbatim", "embed", "block", "asis", "comment", "pycon", "ipython", "ipython3", "diff",
    "code", "code-block", "code-cell", "sourcecode", "parsed-literal", "highlight", "prompt", "doctest",
}  # fmt: skip
_QUERIES = {"dataview", "dataviewjs", "query", "tasks", "mermaid", "toc", "button", "ad-note-hidden"}
_NO_CODE_FENCES = {
    "toctree", "image", "include", "literalinclude", "bibliography", "glossary", "tableofcontents", "contents", "index", "eval-rst",
    "raw", "mermaid", "graphviz", "plot", "list-table", "csv-table", "only", "grid", "tab-set", "iframe", "video", "youtube",
}  # fmt: skip
_LINK_ROLES = {
    "ref",
    "doc",
    "term",
    "numref",
    "any",
    "abbr",
    "download",
    "eq",
    "sub",
    "sup",
    "kbd",
    "strong",
    "emphasis",
    "guilabel",
    "menuselection",
    "subscript",
    "superscript",
    "del",
    "button",
    "pep",
    "rfc",
}
_LIST_ITEM = re.compile(r"\s*(?:-|\d{1,9}[.)]) ")


def markdown_blocks(body: str) -> list[str]:
    """Blocks of a Markdown document, without addresses of links, images, comments and builders' marks.

    Code stays as written, with the language it names; notes come last, as on a page. A break of a line inside
    a paragraph is kept, unless the whole text shows that an editor made them (line_breaks.py).
    """
    return _read(without_front_matter(body.replace("\r\n", "\n").replace("\r", "\n")))


def _read(text: str, breaks: Breaks = "kept") -> list[str]:
    """Blocks of a text; `breaks` are those of the text around it, where it is part of one."""
    marks = Marks(text.replace(SOFT, ""))
    environment: dict[str, Any] = {}
    tokens = _parser().parse(marks.source, environment)
    notes = environment.get("footnotes", {}).get("list", {})
    within = {number: note["tokens"] for number, note in notes.items() if "tokens" in note}
    reader = _Reader(marks, breaks if breaks != "kept" else breaks_of(tokens), within)
    blocks = [*reader.blocks(SyntaxTreeNode(tokens).children), *reader.notes]
    return [block for block in blocks if block.strip()]


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for plugin in (deflist_plugin, admon_plugin, amsmath_plugin, myst_role_plugin):
        parser.use(plugin)
    parser.use(footnote_plugin, move_to_end=False, always_match_refs=True)
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, double_inline=True)
    parser.inline.ruler.before("link", "wikilink", _wikilink)
    return parser


def _wikilink(state: StateInline, silent: bool) -> bool:
    """[[page]], [[page#heading|shown]] and ![[embedded]], as Obsidian and its like write them."""
    embedded = state.src.startswith("![[", state.pos)
    start = state.pos + embedded
    if not state.src.startswith("[[", start):
        return False
    end = state.src.find("]]", start)
    inside = state.src[start + 2 : end]
    if end < 0 or not inside.strip() or inside[0] == " " or re.search(r"[\[\]\n]|^[\d,. ]+$", inside):
        return False
    if state.src.startswith("]](", end):
        return False
    if not silent and embedded:
        state.push("text", "", 0).content = GONE
    elif not silent:
        target, bar, alias = inside.partition("|")
        page, _, heading = target.rstrip("\\").partition("#")
        page = page.rsplit("/", 1)[-1].removesuffix(".md")
        heading = "" if heading.startswith("^") else heading.replace("#", " > ")
        shown = alias if bar else " > ".join(part for part in (page, heading) if part)
        state.push("text", "", 0).content = shown.strip()
    state.pos = end + 2
    return True


class _Reader:
    """Turns the tree of one document into blocks; `notes` gathers its footnotes."""

    def __init__(self, marks: Marks, breaks: Breaks, within: dict[int, list[Token]]) -> None:
        self.marks, self.breaks, self.within = marks, breaks, within
        self.notes: list[str] = []

    def blocks(self, nodes: Iterable[SyntaxTreeNode]) -> list[str]:
        return [block for node in nodes for block in self._block(node) if block.strip()]

    def _block(self, node: SyntaxTreeNode) -> list[str]:
        match node.type:
            case "heading":
                text = self._inline(node).replace("\n", " ").strip()
                return [f"## {text}"] if text else []
            case "paragraph" | "dt" | "admonition_title":
                return [self._inline(node)]
            case "fence":
                return self._fence(node)
            case "code_block":
                return [fenced(self.marks.shown(node.content).rstrip("\n"))]
            case "bullet_list" | "ordered_list":
                return self._items(node)
            case "blockquote":
                return self._quotation(node)
            case "table":
                rows = [
                    " | ".join(self._inline(cell).replace("\n", " ") for cell in row.children)
                    for row in _rows(node)
                ]
                return ["\n".join(row for row in rows if row.strip(" |"))]
            case "html_block":
                # Some readers of Markdown go on inside HTML, so links are undone there too.
                inner_blocks = html_blocks(self.marks.hidden(node.content))
                return [block if block.startswith("```") else self._tidied(block) for block in inner_blocks]
            case "math_block" | "math_block_label":
                return [f"$$\n{self.marks.shown(node.content).strip()}\n$$"]
            case "amsmath":
                return [self.marks.shown(node.content).strip()]
            case "footnote_reference":
                self.notes += [note for note in self.blocks(node.children) if not _ADDRESS.fullmatch(note)]
                return []
            case "inline":
                return [self._inline_tokens(node.children)]
            case _:
                return self.blocks(node.children)

    def _fence(self, node: SyntaxTreeNode) -> list[str]:
        info, code = self.marks.hidden(node.info).strip(), self.marks.shown(node.content)
        code = code.removesuffix("\n")
        if not info.startswith("{"):
            language = re.split(r"[\s{,:]", info, maxsplit=1)[0]
            if language.lower() in _QUERIES:
                return []
            if language.lower().startswith("ad-"):
                return _read(code, self.breaks)
            return [fenced(code, language)]
        # A cell of Quarto, R Markdown or MyST: {python}, {r, echo=FALSE}, {code-cell} ipython3, {note} A title.
        head = _CHUNK_HEAD.match(info)
        assert head
        name, words = head["name"].lower(), head["words"].strip()
        options = "".join(option[0] for option in _OPTION.finditer(code))
        bare = _OPTION.sub("", code).strip("\n")
        if name == "math":
            return [f"$$\n{bare}\n$$"]
        if name in _NO_CODE_FENCES or _UNSEEN.search(head["rest"] + options):
            return []
        if name and name[0] != "." and name not in _ENGINES:
            titled = words and name not in ("figure", "exercise-start", "solution-start")
            return [*([words] if titled else []), *_read(bare, self.breaks)]
        language = words.split()[0] if name.startswith(("code", "sourcecode")) and words else name.strip(".=")
        return [fenced(bare, language if re.fullmatch(r"[\w+#-]*", language) else "")]

    def _items(self, node: SyntaxTreeNode) -> list[str]:
        """A list's items: their first paragraph after the mark, the others and nested lists indented."""
        blocks = []
        number = int(node.attrs.get("start", 1))
        for item in node.children:
            mark = "- " if node.type == "bullet_list" else f"{number}{item.markup or '.'} "
            number += 1
            for n, text in enumerate(self.blocks(item.children)):
                if text.startswith("```"):
                    blocks.append(text)
                elif n == 0:
                    blocks.append(text if _LIST_ITEM.match(text) else mark + _BOX.sub("", text))
                else:
                    blocks.append("  " + text.replace("\n", "\n  "))
        return blocks

    def _quotation(self, node: SyntaxTreeNode) -> list[str]:
        """Quoted lines with `> `. A callout is the author's own text in a box, so it loses the mark alone."""
        first = node.children[0] if node.children else None
        callout = _CALLOUT.match(first.children[0].content) if first and first.type == "paragraph" else None
        if not first or not callout:
            inner = self.blocks(node.children)
            return ["\n".join(f"> {line}" for block in inner for line in block.split("\n"))]
        opening = self._inline_tokens(first.children[0].children, "kept")
        title, _, text = _CALLOUT.sub("", opening, count=1).partition("\n")
        inner = [part.strip() for part in (title, text) if part.strip()] + self.blocks(node.children[1:])
        if callout["kind"].lower() in _QUOTES:
            return ["\n".join(f"> {line}" for block in inner for line in block.split("\n"))]
        return inner

    def _inline(self, node: SyntaxTreeNode) -> str:
        return "".join(
            self._inline_tokens(child.children) for child in node.children if child.type == "inline"
        )

    def _inline_tokens(self, nodes: Iterable[SyntaxTreeNode], breaks: Breaks | None = None) -> str:
        pieces: list[tuple[str, bool]] = []
        self._collect(nodes, pieces, breaks or self.breaks)
        text, prose = "", ""
        for piece, is_code in [*pieces, ("", True)]:
            if is_code:
                text, prose = text + self._tidied(prose) + piece, ""
            else:
                prose += piece
        lines = (line.strip(" \t") for line in mended(text).split("\n"))
        return "\n".join(line for line in lines if line)

    def _tidied(self, prose: str) -> str:
        prose = self.marks.hidden(_SPACED_IMAGE.sub(GONE, prose))
        return _CITATION.sub("", _HIGHLIGHT.sub(r"\1", _SPACED_LINK.sub(r"\1", prose)))

    def _collect(
        self, nodes: Iterable[SyntaxTreeNode], pieces: list[tuple[str, bool]], breaks: Breaks
    ) -> None:
        """Text of inline nodes as (piece, whether it is code). Bold loses its marks, italics keep theirs."""
        for node in nodes:
            match node.type:
                case "text":
                    pieces.append((node.content, False))
                case "softbreak":
                    pieces.append(({"kept": "\n", "mid_sentence": SOFT, "all": JOIN}[breaks], False))
                case "hardbreak":
                    pieces.append(("\n", False))
                case "code_inline":
                    pieces.append((_span(self.marks.shown(node.content), node.markup), True))
                case "html_inline":
                    if _BREAK.fullmatch(node.content):
                        pieces.append(("\n", False))
                    elif not _TAG.fullmatch(node.content) and not node.content.startswith(("<!", "<?")):
                        pieces.append((node.content, False))
                case "math_inline" | "math_inline_double":
                    pieces.append((f"{node.markup}{self.marks.shown(node.content)}{node.markup}", True))
                case "myst_role":
                    pieces.append(_role(node.meta["name"], self.marks.shown(node.content)))
                case "footnote_ref":
                    pieces.append((GONE, False))
                    # A note inside the sentence, ^[its words], is a note like the others.
                    if note := self.within.get(node.meta["id"]):
                        self.notes.append(self._inline_tokens(SyntaxTreeNode(note).children))
                case "image":
                    pieces.append((GONE, False))
                case "em" | "s":
                    inner_pieces: list[tuple[str, bool]] = []
                    self._collect(node.children, inner_pieces, breaks)
                    if any(self.marks.hidden(piece).strip() for piece, _ in inner_pieces):
                        pieces += [(node.markup, False), *inner_pieces, (node.markup, False)]
                case "link":
                    # Its words are one phrase, however the source breaks them.
                    self._collect(node.children, pieces, "all")
                case _:
                    self._collect(node.children, pieces, breaks)


def _rows(table: SyntaxTreeNode) -> list[SyntaxTreeNode]:
    return [row for part in table.children for row in part.children]


def _span(code: str, ticks: str) -> str:
    pad = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{ticks}{pad}{code}{pad}{ticks}"


def _role(name: str, content: str) -> tuple[str, bool]:
    """A role of MyST, {name}`content`, as it is shown."""
    name = name.rsplit(":", 1)[-1]
    if "cite" in name or name in ("index", "label"):
        return "", False
    if name == "math":
        return f"${content}$", True
    if name in _LINK_ROLES:
        return re.sub(r"\s*<[^>]*>$", "", content), False
    return f"`{content.lstrip('~!')}`", True


def join_blocks(blocks: list[str]) -> str:
    """Blocks as one text: blank lines between them, list items on lines of their own."""
    text = blocks[0] if blocks else ""
    for before, block in itertools.pairwise(blocks):
        tight = _LIST_ITEM.match(before) and _LIST_ITEM.match(block)
        text += ("\n" if tight else "\n\n") + block
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

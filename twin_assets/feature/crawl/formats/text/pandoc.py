"""Markup other than Markdown, and word processors' files, as Markdown: read by pandoc, in a process of its own.

pandoc gives the tree of a document; what a reader doesn't see is taken out of it, what our plain form has no
sign for is unwrapped, and pandoc writes the rest as CommonMark. It runs without files or network, with limits
on time and memory, for a stranger's file may be a trap.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pypandoc

Node = dict[str, Any]
MAX_SECONDS = 60
MAX_MEMORY = "1G"
_WRITER = "commonmark+tex_math_dollars+strikeout-raw_html"
_HIDDEN = {
    "toctree",
    "contents",
    "title",
    "todo",
    "done",
    "tag",
    "index",
    "raw",
    "bibliography",
    "header",
    "footer",
}
_UNWRAPPED = {"Span", "Underline", "SmallCaps", "Superscript", "Subscript", "Quoted", "Cite"}
_LINK_ROLES = {
    "ref",
    "doc",
    "term",
    "numref",
    "any",
    "abbr",
    "guilabel",
    "menuselection",
    "kbd",
    "command",
    "file",
}


def read_with_pandoc(kind: str, data: bytes) -> tuple[str, dict[str, Any]]:
    """(Markdown, fields) of a file that pandoc calls `kind` (docx, rst, org...). Notes come last.

    Insertions tracked in a DOCX are accepted, deletions and comments left out: the text that Word shows.
    Raises ValueError with what is wrong, also past the limits.
    """
    tree = json.loads(_pandoc(data, "--from", kind, "--to", "json", "--standalone", "--track-changes=accept"))
    walk = _Walk()
    tree["blocks"] = [*walk.blocks(tree["blocks"]), *walk.notes]
    fields = {key: _plain(value) for key, value in tree["meta"].items()}
    tree["meta"] = {}
    text = _pandoc(
        json.dumps(tree).encode(), "--from", "json", "--to", _WRITER, "--wrap=none", "--markdown-headings=atx"
    )
    return text.decode().strip() + "\n", fields


def _pandoc(data: bytes, *options: str) -> bytes:
    command = [
        pypandoc.get_pandoc_path(),
        "+RTS",
        f"-M{MAX_MEMORY}",
        "-RTS",
        "--sandbox",
        "--quiet",
        *options,
    ]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"takes longer than {MAX_SECONDS} s to read") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(f"broken file ({said[0] if said else 'pandoc gave up'})")
    return done.stdout


class _Walk:
    """Rewrites a pandoc tree into the few kinds of nodes that the plain form has; gathers the notes."""

    def __init__(self) -> None:
        self.notes: list[Node] = []

    def blocks(self, nodes: list[Node]) -> list[Node]:
        return [block for node in nodes for block in self._block(node)]

    def _block(self, node: Node) -> Iterator[Node]:
        kind: str = node["t"]
        content: Any = node.get("c")
        match kind:
            case "Para" | "Plain":
                yield {"t": kind, "c": self._inlines(content)}
            case "Header":
                yield {"t": kind, "c": [content[0], ["", [], []], self._inlines(content[2])]}
            case "CodeBlock":
                language = [name for name in content[0][1] if name not in ("numberLines", "sourceCode")][:1]
                yield {"t": kind, "c": [["", language, []], content[1]]}
            case "BlockQuote":
                yield {"t": kind, "c": self.blocks(content)}
            case "BulletList":
                yield {"t": kind, "c": [self.blocks(item) for item in content]}
            case "OrderedList":
                yield {"t": kind, "c": [content[0], [self.blocks(item) for item in content[1]]]}
            case "DefinitionList":
                for term, meanings in content:
                    yield {"t": "Para", "c": self._inlines(term)}
                    yield from (block for meaning in meanings for block in self.blocks(meaning))
            case "LineBlock":
                yield {"t": "Para", "c": _joined([self._inlines(line) for line in content])}
            case "Div":
                if not _HIDDEN & set(content[0][1]):
                    yield from self.blocks(content[1])
            case "Figure":
                yield from self.blocks(content[1][1])
            case "Table":
                yield from self._table(content)
            case _:
                return

    def _table(self, content: list[Any]) -> Iterator[Node]:
        """Rows as lines, cells divided by bars, as tables of other sources."""
        _, caption, _, head, bodies, foot = content
        yield from self.blocks(caption[1])
        rows = [*head[1], *(row for body in bodies for part in body[2:4] for row in part), *foot[1]]
        lines = [_between([self._flat(cell[4]) for cell in row[1]], "|") for row in rows]
        if lines:
            yield {"t": "Para", "c": _joined([line for line in lines if line])}

    def _flat(self, blocks: list[Node]) -> list[Node]:
        """The text of a cell's blocks in one line."""
        flat: list[Node] = []
        for block in self.blocks(blocks):
            content: Any = block.get("c")
            if block["t"] == "CodeBlock":
                inner: list[Node] = [{"t": "Code", "c": [["", [], []], content[1]]}]
            elif block["t"] in ("Para", "Plain"):
                inner = content
            elif block["t"] == "Header":
                inner = content[2]
            else:
                items = content[1] if block["t"] == "OrderedList" else content
                inner = _between([self._flat(i if isinstance(i, list) else [i]) for i in items or []], "")
            flat += [*([{"t": "Space"}] if flat and inner else []), *inner]
        return [{"t": "Space"} if node["t"] in ("LineBreak", "SoftBreak") else node for node in flat]

    def _inlines(self, nodes: list[Node]) -> list[Node]:
        return [inline for node in nodes for inline in self._inline(node)]

    def _inline(self, node: Node) -> Iterator[Node]:
        kind: str = node["t"]
        content: Any = node.get("c")
        match kind:
            case "Image" | "RawInline":
                return
            case "Note":
                self.notes += self.blocks(content)
            case "Code":
                role = dict(content[0][2]).get("role", "").rsplit(":", 1)[-1]
                shown = re.sub(r"\s*<[^<>]*>$", "", content[1]) if role else content[1].strip()
                if role in _LINK_ROLES:
                    yield {"t": "Str", "c": shown}
                else:
                    yield {"t": "Code", "c": [["", [], []], shown.lstrip("~!") if role else shown]}
            case "Link":
                yield from self._inlines(content[1])
            case "Span" if _HIDDEN & set(content[0][1]):
                return
            case "Quoted":
                marks = "‘’" if content[0]["t"] == "SingleQuote" else "“”"
                yield from (
                    {"t": "Str", "c": marks[0]},
                    *self._inlines(content[1]),
                    {"t": "Str", "c": marks[1]},
                )
            case "Emph" | "Strong" | "Strikeout":
                if inner := self._inlines(content):
                    yield {"t": kind, "c": inner}
            case _ if kind in _UNWRAPPED:
                yield from self._inlines(
                    content if kind in ("Underline", "SmallCaps", "Superscript", "Subscript") else content[1]
                )
            case _:
                yield node


def _joined(lines: list[list[Node]]) -> list[Node]:
    return [node for n, line in enumerate(lines) for node in ([{"t": "LineBreak"}] if n else []) + line]


def _between(parts: list[list[Node]], sign: str) -> list[Node]:
    mark: list[Node] = [{"t": "Space"}, *([{"t": "Str", "c": sign}, {"t": "Space"}] if sign else [])]
    return [node for n, part in enumerate(parts) for node in (mark if n else []) + part]


def _plain(value: Any) -> Any:
    """A field of a document's metadata as text, list or mapping."""
    kind, content = value["t"], value.get("c")
    if kind in ("MetaString", "MetaBool"):
        return content
    if kind == "MetaList":
        return [_plain(item) for item in content]
    if kind == "MetaMap":
        return {key: _plain(item) for key, item in content.items()}
    return _text(content).strip()


def _text(nodes: Any) -> str:
    if isinstance(nodes, list):
        return "".join(_text(node) for node in nodes)
    if not isinstance(nodes, dict):
        return ""
    kind = nodes.get("t")
    content: Any = nodes.get("c")
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind == "Str":
        return str(content)
    if kind in ("Code", "Math", "RawInline"):
        return "" if kind == "RawInline" else str(content[1])
    return _text(content)

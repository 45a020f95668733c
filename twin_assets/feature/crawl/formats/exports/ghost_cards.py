"""Ghost's editor formats as HTML, for posts whose export has no HTML: Lexical (since 5.0) and Mobiledoc (before).

Both are trees or lists from outside: depth and number of nodes are bounded, and what is no text (pictures,
bookmarks, embeds, calls to subscribe) is left out.
"""

import json
from html import escape
from typing import Any

from markdown_it import MarkdownIt

MAX_DEPTH = 60
MAX_NODES = 200_000
# Bits of a Lexical text node's `format`.
_FORMATS = [(1, "strong"), (2, "em"), (4, "s"), (8, "u"), (16, "code"), (32, "sub"), (64, "sup")]


def lexical_html(source: str) -> str:
    """The HTML of a Lexical document. Raises ValueError when it is none."""
    tree = _loaded(source)
    root = tree.get("root")
    if not isinstance(root, dict):
        raise ValueError("no Lexical document")
    return _Lexical().children(root, 0)


def mobiledoc_html(source: str) -> str:
    """The HTML of a Mobiledoc document (0.3). Raises ValueError when it is none."""
    document = _loaded(source)
    sections = document.get("sections")
    if not isinstance(sections, list):
        raise ValueError("no Mobiledoc document")
    return "\n".join(filter(None, (_section(document, section) for section in sections[:MAX_NODES])))


def _loaded(source: str) -> dict[str, Any]:
    try:
        document = json.loads(source)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("no document")
    return document


class _Lexical:
    def __init__(self) -> None:
        self.nodes = 0

    def children(self, node: dict[str, Any], depth: int) -> str:
        inner = node.get("children")
        if depth > MAX_DEPTH or not isinstance(inner, list):
            return ""
        return "".join(self.node(child, depth + 1) for child in inner if isinstance(child, dict))

    def node(self, node: dict[str, Any], depth: int) -> str:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            return ""
        kind = str(node.get("type", "")).removeprefix("extended-")
        if kind == "text":
            return _text(node)
        if kind in ("linebreak", "horizontalrule"):
            return "<br>" if kind == "linebreak" else "<hr>"
        if kind in ("codeblock", "html", "markdown", "callout", "toggle"):
            return _card(kind, node)
        inner = self.children(node, depth)
        if kind in ("link", "autolink"):
            return f'<a href="{escape(str(node.get("url") or ""))}">{inner}</a>'
        if kind == "heading":
            tag = node.get("tag") if node.get("tag") in ("h1", "h2", "h3", "h4", "h5", "h6") else "h2"
        elif kind == "list":
            tag = "ol" if node.get("listType") == "number" else "ul"
        else:
            tag = {"paragraph": "p", "quote": "blockquote", "aside": "blockquote", "listitem": "li"}.get(kind)
        return f"<{tag}>{inner}</{tag}>\n" if tag and inner else inner


def _text(node: dict[str, Any]) -> str:
    shown = escape(str(node.get("text") or ""), quote=False)
    bits = node.get("format") if isinstance(node.get("format"), int) else 0
    for bit, tag in _FORMATS:
        if isinstance(bits, int) and bits & bit:
            shown = f"<{tag}>{shown}</{tag}>"
    return shown


def _card(kind: str, fields: dict[str, Any]) -> str:
    """A card with words of the author's; empty for any other."""

    def field(name: str) -> str:
        return value if isinstance(value := fields.get(name), str) else ""

    if kind in ("codeblock", "code"):
        named = f' class="language-{escape(field("language"))}"' if field("language") else ""
        return f"<pre><code{named}>{escape(field('code'), quote=False)}</code></pre>\n"
    if kind in ("markdown", "card-markdown"):
        return MarkdownIt("commonmark").enable("table").render(field("markdown"))
    if kind == "html":
        return field("html") + "\n"
    if kind == "callout":
        return f"<p>{field('calloutText')}</p>\n" if field("calloutText") else ""
    if kind == "toggle":
        return f"<h4>{field('heading')}</h4>\n{field('content')}\n"
    return "<hr>\n" if kind == "hr" else ""


def _section(document: dict[str, Any], section: Any) -> str:
    match section:
        case [1, str(tag), list(markers), *_]:
            name = tag if tag in ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "aside") else "p"
            return f"<{name}>{_markers(document, markers)}</{name}>"
        case [3, str(tag), list(items), *_]:
            name = "ol" if tag == "ol" else "ul"
            shown = "".join(
                f"<li>{_markers(document, item)}</li>" for item in items if isinstance(item, list)
            )
            return f"<{name}>{shown}</{name}>"
        case [10, int(number), *_]:
            match _at(document.get("cards"), number):
                case [str(kind), dict(fields), *_]:
                    return _card(kind, fields)
    return ""


def _markers(document: dict[str, Any], markers: list[Any]) -> str:
    out: list[str] = []
    opened: list[str] = []
    for marker in markers:
        match marker:
            case [int(kind), list(opens), int(closes), value, *_]:
                for number in opens:
                    opened.append(_open(_at(document.get("markups"), number), out))
                if kind == 0:
                    out.append(escape(str(value), quote=False))
                elif (atom := _at(document.get("atoms"), value)) and isinstance(atom, list):
                    out.append(
                        "<br>"
                        if atom[0] == "soft-return"
                        else escape(str(atom[1] if len(atom) > 1 else ""), quote=False)
                    )
                for _ in range(min(closes, len(opened))):
                    out.append(f"</{opened.pop()}>")
    out += [f"</{tag}>" for tag in reversed(opened)]
    return "".join(out)


def _open(markup: Any, out: list[str]) -> str:
    tag = markup[0] if isinstance(markup, list) and markup and str(markup[0]).isalnum() else "span"
    given = markup[1] if isinstance(markup, list) and len(markup) > 1 and isinstance(markup[1], list) else []
    target = next((given[n + 1] for n in range(0, len(given) - 1, 2) if given[n] == "href"), None)
    out.append(f'<{tag} href="{escape(str(target))}">' if tag == "a" and target else f"<{tag}>")
    return str(tag)


def _at(rows: Any, number: Any) -> Any:
    return (
        rows[number]
        if isinstance(rows, list) and isinstance(number, int) and 0 <= number < len(rows)
        else None
    )

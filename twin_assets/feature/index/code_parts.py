"""Source code into its definitions, by syntax tree (tree-sitter): functions, types, methods of large types.

A part begins with the comments and attributes that stand right above its definition, and ends where the
next begins, so that the parts are the whole file.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any, NamedTuple

# Suffix: (module with the grammar, the function in it that hands it out).
GRAMMARS = {
    ".py": ("tree_sitter_python", "language"), ".pyi": ("tree_sitter_python", "language"),
    ".go": ("tree_sitter_go", "language"), ".rs": ("tree_sitter_rust", "language"),
    ".js": ("tree_sitter_javascript", "language"), ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"), ".java": ("tree_sitter_java", "language"),
    ".c": ("tree_sitter_c", "language"), ".h": ("tree_sitter_c", "language"),
    ".cpp": ("tree_sitter_cpp", "language"), ".rb": ("tree_sitter_ruby", "language"),
    ".sh": ("tree_sitter_bash", "language"),
}  # fmt: skip
_DEFINITION = re.compile(
    r"^(function|method|constructor|class|struct|enum|trait|impl|interface|union|module|namespace|record)"
    r"(_(definition|declaration|item|specifier|signature))?$"
    r"|^(type_declaration|type_alias_declaration|type_item|macro_definition|singleton_method|mod_item)$"
)
_WRAPPER = {"decorated_definition", "export_statement", "template_declaration", "linkage_specification"}
_ABOVE = re.compile(r"comment|attribute|annotation|decorator")
_BODIES = {"block", "class_body", "declaration_list", "field_declaration_list", "body_statement",
           "interface_body", "enum_body", "compound_statement", "statement_block", "object_type"}  # fmt: skip
MAX_SIGNATURE = 120


class CodePart(NamedTuple):
    """A part from `start` (a character offset) to the next one's. `heading` is None between definitions."""

    start: int
    heading: str | None


def code_parts(text: str, path: str, fits: Callable[[str], bool]) -> list[CodePart]:
    """Parts of a file in order, the first at 0. A type whose text does not fit is split at its methods.

    A heading is the definition's signature under those around it: `class Tide › def read(self, at)`.
    A file in a language without a grammar is one part.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in GRAMMARS:
        return [CodePart(0, None)]
    data = text.encode()
    root = _parser(suffix).parse(data).root_node
    by_byte: list[CodePart] = []
    covered = 0
    for start, end, heading in _definitions(root, data, fits, ()):
        if start > covered and data[covered:start].strip():
            by_byte.append(CodePart(covered, None))
        by_byte.append(CodePart(start, heading))
        covered = end
    if data[covered:].strip():
        by_byte.append(CodePart(covered, None))
    places = _characters(data, text)
    parts = [CodePart(places(part.start), part.heading) for part in by_byte]
    return [CodePart(0, parts[0].heading), *parts[1:]] if parts else [CodePart(0, None)]


@lru_cache
def _parser(suffix: str) -> Any:
    from tree_sitter import Language, Parser

    module, function = GRAMMARS[suffix]
    return Parser(Language(getattr(import_module(module), function)()))


def _definitions(
    node: Any, data: bytes, fits: Callable[[str], bool], around: tuple[str, ...]
) -> Iterator[tuple[int, int, str]]:
    """Start, end and heading of the definitions right below a node, in order; bytes."""
    above: Any = None
    for child in node.named_children:
        if _ABOVE.search(child.type):
            # Comments belong to what follows without a blank line.
            touching = above is not None and child.start_point[0] <= above[1] + 1
            above = (above[0] if touching else child.start_byte, _last_row(child))
            continue
        definition = _definition_in(child)
        if definition is not None:
            touching = above is not None and child.start_point[0] <= above[1] + 1
            start = above[0] if touching else child.start_byte
            path = (*around, _signature(definition, data))
            inner = _inner(definition)
            split = inner is not None and not fits(data[start : child.end_byte].decode(errors="replace"))
            methods = list(_definitions(inner, data, fits, path)) if split else []
            if methods:
                yield start, methods[0][0], " › ".join(path)
                yield from methods
                # What follows the last method inside the type stays with it.
                if methods[-1][1] < child.end_byte:
                    yield methods[-1][1], child.end_byte, " › ".join(path)
            else:
                yield start, child.end_byte, " › ".join(path)
        above = None


def _last_row(node: Any) -> int:
    row, column = node.end_point
    return row - 1 if column == 0 else row


def _definition_in(node: Any) -> Any:
    """The definition that a node is, or wraps."""
    if _DEFINITION.match(node.type):
        return node
    if node.type in _WRAPPER:
        return next((d for c in node.named_children if (d := _definition_in(c)) is not None), None)
    if node.type in {"lexical_declaration", "variable_declaration"}:  # const f = () => ...
        values = [c.child_by_field_name("value") for c in node.named_children]
        is_function = any(
            v is not None and v.type in {"arrow_function", "function_expression"} for v in values
        )
        return node if is_function else None
    return None


def _inner(node: Any) -> Any:
    body = node.child_by_field_name("body")
    return body or next((c for c in node.named_children if c.type in _BODIES), None)


def _signature(node: Any, data: bytes) -> str:
    body = _inner(node)
    end = body.start_byte if body is not None and body.start_byte > node.start_byte else node.end_byte
    text = " ".join(data[node.start_byte : end].decode(errors="replace").split()).rstrip(" {:=(")
    return text if len(text) <= MAX_SIGNATURE else f"{text[:MAX_SIGNATURE]}…"


def _characters(data: bytes, text: str) -> Callable[[int], int]:
    """From a byte offset to a character offset."""
    if len(data) == len(text):
        return lambda at: at
    return lambda at: len(data[:at].decode())

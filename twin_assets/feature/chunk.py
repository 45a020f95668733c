"""Documents into passages by category: posts whole, articles by section, code by function or class.

Every chunk is a slice of its document's `voice_text`; together the chunks are the whole text, nothing lost
and nothing twice, so that a citation can point to the exact place.
"""

import ast
import itertools
import re
from collections.abc import Callable

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, SplitDocument

MAX_TOKENS = 200

Span = tuple[int, int]


def chunk_documents(
    documents: list[SplitDocument], count_tokens: Callable[[str], int], max_tokens: int = MAX_TOKENS
) -> list[Chunk]:
    """All chunks, by document and place. Tokens are of the embedder's own tokenizer."""
    return [chunk for document in documents for chunk in _chunks(document, count_tokens, max_tokens)]


def _chunks(document: SplitDocument, count_tokens: Callable[[str], int], max_tokens: int) -> list[Chunk]:
    text = document.voice_text
    parts: list[Span] = []
    for section in _sections(document):
        parts += _fit(text, section, count_tokens, max_tokens)
    chunks = []
    for start, end in (_trim(text, part) for part in parts):
        passage = text[start:end]
        if not passage:
            continue
        chunks.append(
            Chunk(
                chunk_id=text_hash(f"{document.doc_id}:{start}:{passage}"), doc_id=document.doc_id,
                persona=document.persona, source=document.source, category=document.category, url=document.url,
                title=document.title, heading=_heading(text, start, document.category), text=passage,
                start=start, end=end, tokens=count_tokens(passage), split=document.split,
                published_at=document.published_at, content_hash=text_hash(passage),
            )
        )  # fmt: skip
    return chunks


def _sections(document: SplitDocument) -> list[Span]:
    """The natural parts of a document, covering it without gaps."""
    text = document.voice_text
    if document.category == "code" and document.url.endswith(".py"):
        return _python_parts(text)
    if document.category == "article" or "\n## " in text:
        return _cut(text, [m.start() for m in re.finditer(r"^## ", text, re.MULTILINE)])
    return [(0, len(text))]


def _python_parts(text: str) -> list[Span]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return [(0, len(text))]  # another Python's syntax: blank lines will do
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    starts = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            starts.append(lines[first - 1])
    return _cut(text, starts)


def _cut(text: str, starts: list[int]) -> list[Span]:
    edges = sorted({0, *starts, len(text)})
    return list(itertools.pairwise(edges))


def _fit(text: str, span: Span, count_tokens: Callable[[str], int], max_tokens: int) -> list[Span]:
    """Neighbouring paragraphs (then sentences, then words) joined up to the budget."""
    if count_tokens(text[slice(*span)]) <= max_tokens:
        return [span]
    for pattern in (r"\n\s*\n", r"(?<=[.!?:])\s+", r"\n", r"\s+"):
        pieces = _pieces(text, span, pattern)
        if len(pieces) > 1:
            break
    else:
        return [span]
    joined: list[Span] = []
    for piece in pieces:
        if joined and count_tokens(text[joined[-1][0] : piece[1]]) <= max_tokens:
            joined[-1] = (joined[-1][0], piece[1])
        else:
            joined.append(piece)
    return [
        small
        for part in joined
        for small in (_fit(text, part, count_tokens, max_tokens) if part != span else [part])
    ]


def _pieces(text: str, span: Span, pattern: str) -> list[Span]:
    cuts = [m.end() for m in re.finditer(pattern, text[slice(*span)])]
    edges = sorted({span[0], *(span[0] + c for c in cuts), span[1]})
    return list(itertools.pairwise(edges))


def _trim(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _heading(text: str, start: int, category: str) -> str | None:
    if category == "code":
        match = re.match(r"(?:@.*\n)*\s*(?:async\s+def|def|class)\s+(\w+)", text[start:])
        return match.group(1) if match else None
    headings = re.findall(
        r"^## (.+)$", text[: start + 200].split("\n\n## ", 1)[0] if start == 0 else text[:start], re.MULTILINE
    )
    own = re.match(r"## (.+)", text[start:])
    return own.group(1) if own else (headings[-1] if headings and start else None)

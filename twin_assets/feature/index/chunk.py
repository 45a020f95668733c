"""Documents into passages by category: posts whole, articles by section, code by definition (code_parts.py).

Every chunk is a slice of its document's `voice_text`; together the chunks are the whole text, nothing lost
and nothing twice, so that a citation can point to the exact place.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Set

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, SplitDocument
from twin_assets.core.text.words import WIDE_SENTENCE_END, count_words, has_unspaced, word_spans
from twin_assets.feature.index.code_parts import code_parts

MAX_TOKENS = 200

Span = tuple[int, int]
_FENCE = re.compile(r"^(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_BLANK = re.compile(r"\s+")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def chunk_documents(
    documents: Iterable[SplitDocument], count_tokens: Callable[[str], int], max_tokens: int = MAX_TOKENS
) -> list[Chunk]:
    """All chunks, by document and place. Tokens are of the embedder's own tokenizer."""
    return list(chunks_of(documents, count_tokens, max_tokens))


def chunks_of(
    documents: Iterable[SplitDocument], count_tokens: Callable[[str], int], max_tokens: int = MAX_TOKENS
) -> Iterator[Chunk]:
    """The same one by one, as the documents are taken."""

    def size(text: str) -> int:
        # An embedder that doesn't know a script takes a long run of its letters for one unknown token.
        return max(count_tokens(text), count_words(text)) if has_unspaced(text) else count_tokens(text)

    return (chunk for document in documents for chunk in _chunks(document, size, max_tokens))


def _chunks(document: SplitDocument, count_tokens: Callable[[str], int], max_tokens: int) -> list[Chunk]:
    text = document.voice_text
    parts: list[tuple[Span, str | None]] = []
    bound = _beside_fences(text)
    for section, heading in _sections(document, lambda part: count_tokens(part) <= max_tokens):
        parts += [(part, heading) for part in _fit(text, section, count_tokens, max_tokens, bound)]
    chunks = []
    for (start, end), heading in ((_trim(text, part), heading) for part, heading in parts):
        passage = text[start:end]
        if not passage:
            continue
        chunks.append(
            Chunk(
                chunk_id=text_hash(f"{document.doc_id}:{start}:{passage}"),
                doc_id=document.doc_id,
                persona=document.persona,
                source=document.source,
                category=document.category,
                url=document.url,
                title=document.title,
                heading=heading,
                text=passage,
                start=start,
                end=end,
                tokens=count_tokens(passage),
                split=document.split,
                published_at=document.published_at,
                content_hash=text_hash(passage),
                visibility=document.visibility,
            )
        )
    return chunks


def _sections(document: SplitDocument, fits: Callable[[str], bool]) -> list[tuple[Span, str | None]]:
    """The natural parts of a document, covering it without gaps, each with the heading it stands under."""
    text = document.voice_text
    if document.category == "code":
        parts = code_parts(text, document.url, fits)
        ends = [*(part.start for part in parts[1:]), len(text)]
        return [((part.start, end), part.heading) for part, end in zip(parts, ends, strict=True)]
    if document.category == "post":
        return [((0, len(text)), None)]
    spans = _cut(text, [m.start() for m in _HEADING.finditer(text)])
    headings = [_HEADING.match(text, start) for start, _ in spans]
    return [
        (span, heading.group(1) if heading else None) for span, heading in zip(spans, headings, strict=True)
    ]


def _cut(text: str, starts: list[int]) -> list[Span]:
    edges = sorted({0, *starts, len(text)})
    return list(itertools.pairwise(edges))


def _beside_fences(text: str) -> Set[int]:
    """Where no chunk may end: after the line that opens a block of code, and before the one that closes it."""
    bound: set[int] = set()
    opened = ""
    for fence in _FENCE.finditer(text):
        if not opened:
            opened = fence[1]
            after = _BLANK.match(text, fence.end())
            bound.update(range(fence.end(), after.end() + 1 if after else fence.end() + 1))
        elif fence[1].startswith(opened) and not fence[2].strip():
            opened = ""
            before = len(text[: fence.start()].rstrip())
            bound.update(range(before, fence.start() + 1))
    return bound


def _fit(
    text: str, span: Span, count_tokens: Callable[[str], int], max_tokens: int, bound: Set[int]
) -> list[Span]:
    """Neighbouring paragraphs (then sentences, then words) joined up to the budget."""
    if count_tokens(text[slice(*span)]) <= max_tokens:
        return [span]
    for pattern in (r"\n\s*\n", rf"(?<=[.!?:])\s+|{WIDE_SENTENCE_END}\s*", r"\n", r"\s+"):
        pieces = _pieces(text, span, pattern, bound)
        if len(pieces) > 1:
            break
    else:
        pieces = _words(text, span)
        if len(pieces) == 1:
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
        for small in (_fit(text, part, count_tokens, max_tokens, bound) if part != span else [part])
    ]


def _words(text: str, span: Span) -> list[Span]:
    """Words that no space divides; one piece for a single word."""
    starts = [start for start, _ in word_spans(text[slice(*span)])][1:]
    return list(itertools.pairwise([span[0], *(span[0] + start for start in starts), span[1]]))


def _pieces(text: str, span: Span, pattern: str, bound: Set[int]) -> list[Span]:
    cuts = {span[0] + m.end() for m in re.finditer(pattern, text[slice(*span)])}
    edges = sorted({span[0], *(cuts - bound), span[1]})
    return list(itertools.pairwise(edges))


def _trim(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

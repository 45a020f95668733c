"""A text as passages: slices at paragraph ends that fit a budget of tokens."""

import re
from collections.abc import Iterator

from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import WIDE_SENTENCE_END

_SENTENCE = re.compile(rf".+?(?:[.!?][\"')\]]*(?=\s|$)|{WIDE_SENTENCE_END}|\n|$)", re.DOTALL)


def passages_of(text: str, most: int) -> list[str]:
    """Slices of the text at paragraph ends, each of at most that many estimated tokens."""
    blocks: list[tuple[int, int]] = []
    for start, end in paragraphs(text, most):
        joined = text[blocks[-1][0] : end] if blocks else ""
        heading = text[start:end].startswith("## ")
        if blocks and not heading and estimated_tokens(joined) <= most:
            blocks[-1] = (blocks[-1][0], end)
        else:
            blocks.append((start, end))
    return [text[a:b] for a, b in blocks]


def paragraphs(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Spans of paragraphs; one over the budget is split at sentence ends, and code over it is left out: a part of it, without
    its fence, would pass for prose."""
    for match in re.finditer(r"(?:```.*?```|\S(?:(?!\n\s*\n).)*)", text, re.DOTALL):
        start, end = match.span()
        if estimated_tokens(match.group()) <= most:
            yield start, end
            continue
        if match.group().startswith("```"):
            continue
        at = start
        for sentence in _SENTENCE.finditer(match.group()):
            stop = start + sentence.end()
            if estimated_tokens(text[at:stop]) > most * 0.8:
                yield at + len(text[at:stop]) - len(text[at:stop].lstrip()), stop
                at = stop
        if text[at:end].strip():
            yield at + len(text[at:end]) - len(text[at:end].lstrip()), end

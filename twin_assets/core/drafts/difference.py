"""The difference of two texts for a reader: by sentences, and by words within a sentence that was changed."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from rapidfuzz.distance import Indel

from twin_assets.core.records import Record
from twin_assets.core.text.words import sentences, word_spans

# Two sentences with less in common are shown one after the other: their words interleaved say nothing.
LEAST_ALIKE = 0.35
# Sizes of two runs of words, multiplied: beyond, as a whole. 4,000 words against 4,000 take some 2 MB and few milliseconds.
MOST_PAIRS = 16_000_000

PieceKind = Literal["same", "removed", "added"]


class DifferencePiece(Record):
    """A run of text. What is the same or removed makes up the text before, in order; the same or added, the one after."""

    kind: PieceKind
    text: str


def difference(before: str, after: str) -> list[DifferencePiece]:
    """Runs of both texts, whose white space is kept; equal neighbours are one. A change is what was removed, then what was
    added. By the longest common subsequence of sentences (Hyyrö's bit-parallel one, of rapidfuzz), then of words."""
    pieces = list[DifferencePiece]()
    for kind, old, new in _runs(_sentences(before), _sentences(after)):
        if kind == "same":
            _add(pieces, "same", "".join(old))
        elif old and new:
            for piece in _by_words("".join(old), "".join(new)):
                _add(pieces, piece.kind, piece.text)
        else:
            _add(pieces, "removed", "".join(old))
            _add(pieces, "added", "".join(new))
    return pieces


def _by_words(before: str, after: str) -> list[DifferencePiece]:
    old, new = _words(before), _words(after)
    alike = Indel.normalized_similarity(
        *([part for part in parts if not part.isspace()] for parts in (old, new))
    )
    if len(old) * len(new) > MOST_PAIRS or alike < LEAST_ALIKE:
        return [DifferencePiece(kind="removed", text=before), DifferencePiece(kind="added", text=after)]
    pieces = list[DifferencePiece]()
    removed, added = "", ""
    for kind, was, now in _runs(old, new):
        # A lone word between two changes is read better as part of them.
        if kind == "same" and not ((removed or added) and sum(not part.isspace() for part in was) <= 1):
            _add(pieces, "removed", removed)
            _add(pieces, "added", added)
            removed = added = ""
            _add(pieces, "same", "".join(was))
        else:
            removed += "".join(was)
            added += "".join(now)
    # What such a word ended up in may end alike: that end has not changed.
    same = _common_end(removed, added)
    _add(pieces, "removed", removed[: len(removed) - len(same)])
    _add(pieces, "added", added[: len(added) - len(same)])
    _add(pieces, "same", same)
    return pieces


def _common_end(one: str, other: str) -> str:
    """The words at the end of both."""
    shared = ""
    for a, b in zip(reversed(_words(one)), reversed(_words(other)), strict=False):
        if a != b:
            break
        shared = a + shared
    return shared


def _runs(
    before: Sequence[str], after: Sequence[str]
) -> Iterator[tuple[Literal["same", "changed"], list[str], list[str]]]:
    """Runs of both in order: equal ones, and between them what was removed and what came in its place."""
    old, new = list[str](), list[str]()
    for step in Indel.opcodes(before, after):
        was, now = before[step.src_start : step.src_end], after[step.dest_start : step.dest_end]
        if step.tag == "equal":
            if old or new:
                yield "changed", old, new
            old, new = [], []
            yield "same", list(was), list(now)
        else:
            old += was
            new += now
    if old or new:
        yield "changed", old, new


def _add(pieces: list[DifferencePiece], kind: PieceKind, text: str) -> None:
    if not text:
        return
    if pieces and pieces[-1].kind == kind:
        pieces[-1] = DifferencePiece(kind=kind, text=pieces[-1].text + text)
    else:
        pieces.append(DifferencePiece(kind=kind, text=text))


def _sentences(text: str) -> list[str]:
    """Each with the white space behind it."""
    edges = [0, *(start for start, _ in sentences(text)[1:]), len(text)]
    return [text[a:b] for a, b in pairwise(edges) if a < b]


def _words(text: str) -> list[str]:
    """Words, and by themselves the white space between them: that of a last word is no change of the word."""
    edges = sorted({0, len(text), *(edge for span in word_spans(text) for edge in span)})
    return [text[a:b] for a, b in pairwise(edges)]

"""Pairs of texts for people to read without knowing whose they are: the author's held-out text against the candidate's,
and the candidate's against its base model's with a prompt. What people say of them is in `core.blind_readings`.

Both texts of a pair are about one topic and fill as much of the page, so that only how they are written tells them apart:
titles, code, markup and citations are taken out, and paragraphs too where one side has none. A topic is in one pair only: whoever
saw the candidate's text twice would know it. What the report shows under a name is in none.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from twin_assets.core.blind_readings import Kind
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record
from twin_assets.core.text.words import count_words, ngrams, terms, word_spans
from twin_assets.evaluation.voice.stylometry import prose

# Pairs of a kind that are kept, and the words of a text.
MOST_PAIRS, LEAST_WORDS, MOST_WORDS = 24, 40, 80
# Of the shorter text, so that its end shows no more than the other's where that is cut off.
_KEPT = 0.9
# An excerpt that has so many words in a row with another one is the same place of the same document.
_SAME_WORDS = 8
_TITLE_WORDS = 12
ERASED = "[erased]"  # what an erasure puts in the place of a document's words

_CITATION = re.compile(r" ?\[\d{1,3}(?: ?[,;–-] ?\d{1,3}){0,20}\]")
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6} .*$|^.+\n[=-]{3,}[ \t]*$", re.MULTILINE)
_MARK = re.compile(r"(?<!\S)[#>|*_~]+(?!\S)")  # of markup, in the middle of a line
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")  # a sentence without it would have a hole
_BREAK = re.compile(r"\n\s*\n")


class BlindPair(Record):
    """Two texts as they are shown. `other` is the author's, or what the system `other_is` wrote."""

    pair_id: str
    kind: Kind
    topic: str
    candidate: str
    other: str
    other_is: str = ""

    @property
    def text_hashes(self) -> list[str]:
        """Hashes of both texts: who has read one of them before knows it."""
        return [text_hash(self.candidate), text_hash(self.other)]


class Drafts(NamedTuple):
    """What there is on one topic: by the author from where they write about it, by the candidate, and by its base model
    with a prompt, None where that wrote nothing."""

    topic: str
    author: str
    candidate: str
    base: str | None


def blind_pairs(
    drafts: Sequence[Drafts], candidate: str, base_is: str, shown: Iterable[str]
) -> list[BlindPair]:
    """At most 24 pairs of each kind, of as many topics. `shown` are texts of the author that the report shows by name.

    Which topics are for which kind differs from one candidate to the next, whose readers may be the same.
    """
    known = {run for text in shown for run in _runs(text)}
    found: dict[Kind, list[BlindPair]] = {"author": [], "base": []}
    drawn = sorted(drafts, key=lambda d: text_hash(f"{candidate}/{d.topic}"))
    half = (len(drawn) + 1) // 2

    def add(kind: Kind, one: Drafts, most: int) -> bool:
        other = one.author if kind == "author" else one.base
        both = alike(one.candidate, other) if other and len(found[kind]) < most else None
        if not both or (kind == "author" and not known.isdisjoint(_runs(both[1]))):
            return False
        if kind == "author":
            known.update(_runs(both[1]))
        found[kind].append(
            BlindPair(
                # In neither order: whoever is shown both texts could else compute which is which.
                pair_id=text_hash("\0".join([kind, *sorted(both)])),
                kind=kind,
                topic=one.topic,
                candidate=both[0],
                other=both[1],
                other_is=base_is if kind == "base" else "",
            )
        )
        return True

    # The author has written on few topics that are in no other excerpt, so those come first; then what is left.
    left = [one for one in drawn if not add("author", one, min(half, MOST_PAIRS))]
    left = [one for one in left if not add("base", one, MOST_PAIRS)]
    for one in left:
        add("author", one, MOST_PAIRS)
    return [*found["author"], *found["base"]]


def readable(pairs: Iterable[BlindPair]) -> list[BlindPair]:
    """Those that hold nothing of a document that was erased since."""
    return [p for p in pairs if ERASED not in p.candidate + p.other]


def alike(one: str, other: str) -> tuple[str, str] | None:
    """The beginnings of two texts, as long as each other and without what would tell whose they are but for the words;
    None where one has too few."""
    plain = [_plain(text) for text in (one, other)]
    words = min(MOST_WORDS, int(_KEPT * min(count_words("\n\n".join(p)) for p in plain)))
    if words < LEAST_WORDS:
        return None
    begun = [_cut(paragraphs, words) for paragraphs in plain]
    # Of one author's words as many may fill a third more of the page.
    letters = min(sum(map(len, paragraphs)) for paragraphs in begun)
    cut = [_cut(paragraphs, words, letters) for paragraphs in begun]
    if min(map(len, cut)) == 1:
        cut = [[" ".join(paragraphs)] for paragraphs in cut]
    left, right = ("\n\n".join(paragraphs).rstrip(" \n.,;:!?-–—。、") + " …" for paragraphs in cut)
    return None if left == right else (left, right)


def _plain(text: str) -> list[str]:
    """The paragraphs of a text, each on one line, without titles, code, markup and citations."""
    without_titles = _HEADING.sub("\n", _INLINE_CODE.sub(r"\1", text))
    cleaned = _MARK.sub(" ", _CITATION.sub("", prose(without_titles)))
    paragraphs = [" ".join(p.split()) for p in _BREAK.split(cleaned) if p.strip()]
    if len(paragraphs) > 1 and count_words(paragraphs[0]) <= _TITLE_WORDS and paragraphs[0][-1].isalnum():
        return paragraphs[1:]  # a title that is not marked as one
    return paragraphs


def _cut(paragraphs: list[str], words: int, letters: float = math.inf) -> list[str]:
    """The first paragraphs, with so many words and letters at most."""
    kept = []
    for paragraph in paragraphs:
        ends = [end for _, end in word_spans(paragraph)[:words] if end <= letters]
        if ends:
            kept.append(paragraph[: ends[-1]])
        if not ends or ends[-1] < len(paragraph):
            break
        words, letters = words - len(ends), letters - len(paragraph)
    return kept


def _runs(text: str) -> list[str]:
    return ngrams(terms(text), _SAME_WORDS)

"""Lines that a site sets above or below every article of a source, told by their recurring to the letter.

Calls to follow and to subscribe, notes on the author and notices of rights are worded anew on every site, so no list
of wordings has them all; but they recur, and what an author writes for one article does not. Left in, they are learnt
as the voice, and count as text that the held-out side shares with the training side.
"""

import re
from collections import Counter

from twin_assets.core.records import CleanedDocument
from twin_assets.core.text.words import count_words

FEWEST_ARTICLES = 3
LEAST_SHARE = 0.05  # of a source's articles
FIRST_BLOCKS, LAST_BLOCKS = 2, 3  # how far from an article's beginning and end such a line may stand
MOST_WORDS = 80
_FENCE = re.compile(r"^(?:`{3,}|~{3,})")


def repeated_lines(documents: list[CleanedDocument]) -> dict[str, set[str]]:
    """By source, the blocks that recur at the edges of its articles. Code and headings are none."""
    counts: dict[str, Counter[str]] = {}
    articles = Counter(d.source for d in documents if d.category == "article")
    for document in documents:
        if document.category == "article":
            counts.setdefault(document.source, Counter()).update(set(map(_key, _edges(document.voice_text))))
    return {
        source: {
            key
            for key, times in found.items()
            if key and times >= max(FEWEST_ARTICLES, LEAST_SHARE * articles[source])
        }
        for source, found in counts.items()
    }


def without_repeated(text: str, lines: set[str]) -> tuple[str, int]:
    """A text without such lines at its edges, and how many there were; one that has nothing else stays as it is."""
    blocks = text.split("\n\n")
    edges = {*range(FIRST_BLOCKS), *range(len(blocks) - LAST_BLOCKS, len(blocks))}
    kept = [block for n, block in enumerate(blocks) if n not in edges or _key(block) not in lines]
    return ("\n\n".join(kept), len(blocks) - len(kept)) if kept else (text, 0)


def _edges(text: str) -> list[str]:
    blocks = text.split("\n\n")
    found = [*blocks[:FIRST_BLOCKS], *blocks[max(len(blocks) - LAST_BLOCKS, FIRST_BLOCKS) :]]
    return [
        b for b in found if not b.startswith("#") and not _FENCE.match(b) and count_words(b) <= MOST_WORDS
    ]


def _key(block: str) -> str:
    """A block by its words, whatever their case and spacing; empty for one without letters (a rule, a row of stars)."""
    words = " ".join(block.split()).casefold()
    return words if any(c.isalpha() for c in words) else ""

"""What a site or an author sets before or after every text: an invitation to follow, a licence, a bio, in the same words.

No list of wordings can know them all, and one such sentence on both sides of the split takes its document out of
training. Short ones stay: "Happy hacking!" is a voice.
"""

import re
from collections import defaultdict

from twin_assets.core.text.words import count_words
from twin_assets.feature.corpus.cleaning.normalise import normalise

MIN_WORDS = 8
MIN_TEXTS = 3
MAX_BLOCKS = 6
_OWN = re.compile(r"(?:https?://|www\.)\S+|\d+(?:[.:/-]\d+)*")


def repeated_ends(texts: list[list[str]]) -> list[tuple[int, int]]:
    """For each text (its blocks) how many of its first and of its last blocks are repeated ones.

    A run of up to 6 blocks counts when it begins, or ends, three texts that go on, or went before, in different words
    (copies of one text on three sites do not), and its inmost block has 8 words or heads the others: a short goodbye
    before an invitation stays. So does something of every text.
    """
    first = _repeated(texts)
    last = _repeated([blocks[::-1] for blocks in texts])
    return [(a, b if a + b < len(blocks) else 0) for a, b, blocks in zip(first, last, texts, strict=True)]


def _repeated(texts: list[list[str]]) -> list[int]:
    words = [[_wording(block) for block in blocks[: MAX_BLOCKS + 1]] for blocks in texts]
    beside: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for blocks in words:
        for length in range(1, len(blocks)):
            beside[tuple(blocks[:length])].add(blocks[length])
    return [
        max(
            (
                length
                for length in range(1, len(block_words))
                if len(beside[tuple(block_words[:length])]) >= MIN_TEXTS and _counts(blocks[:length])
            ),
            default=0,
        )
        for blocks, block_words in zip(texts, words, strict=True)
    ]


def _wording(block: str) -> str:
    """A block's words, where each text has its own address or number: "Source: https://…/17", "part 3 of 7"."""
    return normalise(_OWN.sub("0", block)) or block


def _counts(run: list[str]) -> bool:
    return count_words(run[-1]) >= MIN_WORDS or (
        run[-1].startswith("## ") and sum(map(count_words, run)) >= MIN_WORDS
    )

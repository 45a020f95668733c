"""What a site or an author sets before or after every text: an invitation to follow, a licence, a bio, in the same words.

No list of wordings can know them all, and one such sentence on both sides of the split takes its document out of
training. Short ones stay: "Happy hacking!" is a voice.
"""

import re
from array import array
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from twin_assets.core.text.words import count_words
from twin_assets.feature.corpus.cleaning.normalise import normalise

MIN_WORDS = 8
MIN_TEXTS = 3
MAX_BLOCKS = 6
_OWN = re.compile(r"(?:https?://|www\.)\S+|\d+(?:[.:/-]\d+)*")


def repeated_ends(texts: Iterable[list[str]]) -> list[tuple[int, int]]:
    """For each text (its blocks) how many of its first and of its last blocks are repeated ones. The texts are taken one by
    one and not held: 130 bytes of each are.

    A run of up to 6 blocks counts when it begins, or ends, three texts that go on, or went before, in different words
    (copies of one text on three sites do not), and its inmost block has 8 words or heads the others: a short goodbye
    before an invitation stays. So does something of every text.
    """
    first, last, lengths = _Ends(), _Ends(), array("L")
    for blocks in texts:
        first.add(blocks[: MAX_BLOCKS + 1])
        last.add(blocks[: -MAX_BLOCKS - 2 : -1])
        lengths.append(len(blocks))
    ends = zip(first.repeated(), last.repeated(), lengths, strict=True)
    return [(a, b if a + b < length else 0) for a, b, length in ends]


class _Ends:
    """Beginnings of texts, or their endings read from the last block on: 64-bit hashes of their runs of 1, 2, … blocks."""

    def __init__(self) -> None:
        self._runs, self._sizes = array("Q"), array("B")
        self._count = array("B")  # as bits, the lengths of a text's runs that count

    def add(self, blocks: list[str]) -> None:
        run = b""
        for block in blocks:
            run = blake2b(run + _wording(block).encode(), digest_size=8).digest()
            self._runs.append(int.from_bytes(run))
        self._sizes.append(len(blocks))
        self._count.append(sum(_counts(blocks[:length]) << length for length in range(1, len(blocks))))

    def repeated(self) -> list[int]:
        """How many blocks of each text are a run that counts and goes on in MIN_TEXTS ways or more."""
        runs, sizes = np.array(self._runs), np.array(self._sizes, dtype=np.int64)
        ends = np.cumsum(sizes)
        goes_on = np.ones(len(runs), dtype=bool)
        goes_on[ends[sizes > 0] - 1] = False
        at = np.flatnonzero(goes_on)
        _, once = np.unique(runs[at + 1], return_index=True)
        begun, ways = np.unique(runs[at[once]], return_counts=True)
        often = goes_on & np.isin(runs, begun[ways >= MIN_TEXTS])
        return [
            max((n for n in range(1, size) if often[end - size + n - 1] and count >> n & 1), default=0)
            for end, size, count in zip(ends.tolist(), self._sizes, self._count, strict=True)
        ]


def _wording(block: str) -> str:
    """A block's words, where each text has its own address or number: "Source: https://…/17", "part 3 of 7"."""
    return normalise(_OWN.sub("0", block)) or block


def _counts(run: list[str]) -> bool:
    return count_words(run[-1]) >= MIN_WORDS or (
        run[-1].startswith("## ") and sum(map(count_words, run)) >= MIN_WORDS
    )

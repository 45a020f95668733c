"""Requests of one kind of task that ask nearly the same.

Word 3-grams, by which `duplicates/near.py` knows documents, see little but the prompt's own words in a request
of ten. Words are weighed by their rarity among the requests instead (Spärck Jones 1972), so that the words of
the prompt and of a title that many requests name weigh next to nothing, and sets are compared by Jaccard's index.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.prompts.templates import without_passages
from twin_assets.feature.corpus.cleaning.normalise import normalise

MIN_JACCARD = 0.8
_BLOCK = 512


def near_requests(rows: list[InstructRow]) -> set[str]:
    """Ids of rows whose request nearly repeats that of a row of the same task and side that stays.

    Passages are no part of a request. Whatever the order of `rows`, those with the smallest ids stay.
    """
    groups: defaultdict[tuple[str, str], list[InstructRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.row_id):
        groups[row.task, row.split].append(row)
    dropped: set[str] = set()
    for group in groups.values():
        texts = [without_passages(row.messages[-2]) for row in group]
        for first, second in _pairs([set(normalise(text).split()) for text in texts]):
            if group[first].row_id not in dropped:
                dropped.add(group[second].row_id)
    return dropped


def _pairs(requests: list[set[str]]) -> Iterator[tuple[int, int]]:
    """Places of like requests, the smaller first, in order."""
    spread = Counter(word for words in requests for word in words)
    place = {word: n for n, word in enumerate(sorted(spread))}
    weight = np.log((1 + len(requests)) / np.array([spread[w] for w in sorted(spread)]))
    columns = [place[w] for words in requests for w in sorted(words)]
    ends = np.cumsum([0, *map(len, requests)])
    holds = csr_array((np.ones(len(columns)), columns, ends), shape=(len(requests), len(place)))
    weighed = holds * weight
    total = weighed.sum(axis=1)
    for top in range(0, len(requests), _BLOCK):
        shared = (weighed[top : top + _BLOCK] @ holds.T).toarray()
        union = total[top : top + _BLOCK, None] + total[None, :] - shared
        # Rounded: sums of the same weights in another order differ in their last bits.
        alike = np.round(shared / np.maximum(union, 1e-9), 6) >= MIN_JACCARD
        for first, second in np.argwhere(alike):
            if first + top < second:
                yield int(first + top), int(second)

"""Semantic duplicates: pairs of nearly the same direction, by blocked matrix products in bounded memory."""

from functools import partial

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.feature.corpus.duplicates.near import NO_PAIRS, Pairs

SEMANTIC_LENGTH_RATIO = 0.6
# The best partners that a document keeps; enough to join a group of any size, as each member has its own.
PARTNERS = 16
ROWS, COLUMNS = 512, 4096


def semantic_pairs(
    vectors: np.ndarray,
    words: np.ndarray,
    rows: int = ROWS,
    columns: int = COLUMNS,
    partners: int = PARTNERS,
    least: float = OFFLINE_MINILM.duplicate,
    runner: Runner | None = "native",
) -> Pairs:
    """Pairs with a cosine of at least `least` whose shorter text has at least 0.6 of the longer one's words.

    `vectors` has shape (documents, dimensions) and unit rows, `words` shape (documents,). A document keeps its
    `partners` best among those as long or longer. Documents are sorted by length, so that blocks that the
    length rule rules out are never multiplied; a block is `rows` × `columns` float32 numbers (8 MB).
    `runner` is as in `map_rows`, with its errors: a task takes `rows` documents, and a node holds all vectors once.
    """
    n = len(words)
    if n < 2:
        return NO_PAIRS
    order = np.argsort(words, kind="stable")
    lengths = np.asarray(words)[order]
    sorted_vectors = np.ascontiguousarray(np.asarray(vectors)[order], dtype=np.float32)
    limits = np.searchsorted(lengths * SEMANTIC_LENGTH_RATIO, lengths, side="right")
    search = partial(_partners, sorted_vectors, limits, rows, columns, partners, least)
    pairs = map_rows(search, range(0, n, rows), runner, partition=1, threads_as_here=True)
    i, j, similarity = map(np.concatenate, zip(*pairs, strict=True))
    a, b = order[i], order[j]
    return Pairs(np.minimum(a, b), np.maximum(a, b), np.minimum(similarity, 1.0))


def _partners(
    vectors: np.ndarray, limits: np.ndarray, rows: int, columns: int, partners: int, least: float, top: int
) -> Pairs:
    """The pairs whose left side is one of the `rows` documents from `top` on."""
    n = len(vectors)
    bottom = min(top + rows, n)
    best = NO_PAIRS
    for left in range(top, int(limits[bottom - 1]), columns):
        right = min(left + columns, n)
        cosines = vectors[top:bottom] @ vectors[left:right].T
        i, j = np.nonzero(cosines >= least)
        similarity = cosines[i, j].astype(np.float64)
        i, j = i + top, j + left
        allowed = (j > i) & (j < limits[i])
        new = Pairs(i[allowed], j[allowed], similarity[allowed])
        best = _best(Pairs(*map(np.concatenate, zip(best, new, strict=True))), partners)
    return best


def _best(pairs: Pairs, partners: int) -> Pairs:
    """The `partners` most similar pairs of every left side."""
    by = np.lexsort((pairs.right, -pairs.similarity, pairs.left))
    left = pairs.left[by]
    rank = np.arange(len(left)) - np.searchsorted(left, left, side="left")
    chosen = by[rank < partners]
    return Pairs(pairs.left[chosen], pairs.right[chosen], pairs.similarity[chosen])

"""Train and held-out sides, by duplicate cluster, before anything is generated; then decontamination.

A new cluster's place is its seeded hash in [0, 1): below the share it is held out. A document that was on
a side before stays there, whatever joins it: what a released model was trained on must never measure a
later one. Only where a category would hold out too little are the lowest places of new documents added.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.hashing import hash_share
from twin_assets.core.records import Category, Split, SplitDocument, UniqueDocument
from twin_assets.core.row_file import RowFile
from twin_assets.feature.corpus.duplicates.semantic import COLUMNS, ROWS
from twin_assets.feature.corpus.ngrams import HeldoutNgrams

HELDOUT_SHARE = 0.2
# A category of at least MIN_FROM documents holds out at least MIN_HELDOUT: the voice metric needs windows.
MIN_FROM, MIN_HELDOUT = 8, 2


class _Brief(NamedTuple):
    """What is held of a document."""

    doc_id: str
    category: Category
    cluster_id: str
    duplicates: list[str]


class SplitResult(NamedTuple):
    """`contaminated` names the reason by id of every document taken out of training."""

    documents: RowFile[SplitDocument]
    contaminated: dict[str, str]


def split_corpus(
    documents: Iterable[UniqueDocument],
    embed: Callable[[Collection[str]], np.ndarray],
    heldout_share: float = HELDOUT_SHARE,
    seed: int = 17,
    before: Mapping[str, Split] | None = None,
    thresholds: Thresholds = OFFLINE_MINILM,
    runner: Runner | None = "native",
) -> SplitResult:
    """Both sides, in order of id. Code is never held out: it is no measure of a voice. A RowFile of documents has them by id, and
    their texts are then not held.

    `before` has the sides of the last split by document, its duplicates included. A cluster that joins
    both sides is held out. `thresholds` are those of `embed`; `runner` is as in `map_rows`, with its errors.

    What the training side shares with the held-out side (a 13-gram, or an embedding nearly the same) is
    taken out of training and named in `contaminated`.
    """
    if not isinstance(documents, RowFile):
        documents = sorted(documents, key=lambda d: d.doc_id)
    rows = RowFile[UniqueDocument].of(documents)
    briefs = [_Brief(*brief) for brief in rows.values(*_Brief._fields)]
    sides_before = {d.doc_id: side for d in briefs if (side := _side_before(d, before or {}))}
    heldout = {doc_id for doc_id, side in sides_before.items() if side == "heldout"}
    for category in ("post", "article"):
        these = [d for d in briefs if d.category == category]
        placed = sorted(
            (hash_share(f"{seed}:{d.cluster_id}"), d.doc_id) for d in these if d.doc_id not in sides_before
        )
        chosen = [doc_id for at, doc_id in placed if at < heldout_share]
        missing = MIN_HELDOUT - len(chosen) - sum(d.doc_id in heldout for d in these)
        if len(these) >= MIN_FROM and missing > 0:
            chosen = [doc_id for _, doc_id in placed[: len(chosen) + missing]]
        heldout.update(chosen)
    contaminated = _contaminated(rows, briefs, heldout, embed, thresholds.contaminated, runner)
    clean = (
        SplitDocument(**d.model_dump(), split="heldout" if d.doc_id in heldout else "train")
        for d in rows
        if d.doc_id not in contaminated
    )
    return SplitResult(RowFile[SplitDocument].of(clean), contaminated)


def sides_of(documents: Iterable[SplitDocument]) -> dict[str, Split]:
    """The side of every document of a split, and of the duplicates that it stands for."""
    return {i: d.split for d in documents for i in (d.doc_id, *d.duplicates)}


def _side_before(document: _Brief, before: Mapping[str, Split]) -> Split | None:
    sides = {before[i] for i in (document.doc_id, *document.duplicates) if i in before}
    return "heldout" if "heldout" in sides else "train" if sides else None


def _contaminated(
    rows: RowFile[UniqueDocument],
    briefs: list[_Brief],
    heldout: Container[str],
    embed: Callable[[Collection[str]], np.ndarray],
    most: float,
    runner: Runner | None,
) -> dict[str, str]:
    held = np.array([d.doc_id in heldout for d in briefs], dtype=bool)
    prose = ~held & np.array([d.category != "code" for d in briefs], dtype=bool)
    if held.all() or not held.any():
        return {}
    ngrams = HeldoutNgrams(rows.texts("voice_text", held), runner=runner)
    shared = ngrams.shared_by(rows.texts("voice_text", ~held), runner)
    train = (d.doc_id for d in compress(briefs, ~held))
    reasons = {doc_id: "shares_a_13gram" for doc_id, shares in zip(train, shared, strict=True) if shares}
    if prose.any():
        vectors = embed(rows.texts("search_text", prose))
        blocks = (vectors[at : at + ROWS] for at in range(0, len(vectors), ROWS))
        closest = map_rows(
            partial(_closest, embed(rows.texts("search_text", held))), blocks, runner,
            partition=1, threads_as_here=True,
        )  # fmt: skip
        for document, cosine in zip(compress(briefs, prose), np.concatenate(list(closest)), strict=True):
            if cosine > most:
                reasons.setdefault(document.doc_id, "nearly_the_same_meaning")
    return reasons


def _closest(heldout: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Each vector's highest cosine with those held out, by blocks, as all at once would be train × heldout numbers."""
    blocks = (heldout[at : at + COLUMNS] for at in range(0, len(heldout), COLUMNS))
    return np.max([(vectors @ block.T).max(axis=1) for block in blocks], axis=0)

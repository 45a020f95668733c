"""Train and held-out sides, by duplicate cluster, before anything is generated; then decontamination.

A cluster's place is its seeded hash in [0, 1). Below the share it is held out, for good: new documents
never move an old one. Only where a category would hold out too little are its lowest places added.
"""

import hashlib
import re
from collections.abc import Callable

import numpy as np

from twin_assets.core.records import Record, SplitDocument, UniqueDocument

HELDOUT_SHARE = 0.2
# A category of at least MIN_FROM documents holds out at least MIN_HELDOUT: the voice metric needs windows.
MIN_FROM, MIN_HELDOUT = 8, 2
NGRAM = 13
MAX_COSINE = 0.97


class SplitResult(Record):
    """`contaminated` names the reason by id of every document taken out of training."""

    documents: list[SplitDocument]
    contaminated: dict[str, str]


def split_corpus(
    documents: list[UniqueDocument],
    embed: Callable[[list[str]], np.ndarray],
    heldout_share: float = HELDOUT_SHARE,
    seed: int = 17,
) -> SplitResult:
    """Both sides, in order of id. Code is never held out: it is no measure of a voice.

    What the training side shares with the held-out side (a 13-gram, or an embedding nearly the same) is
    taken out of training and named in `contaminated`.
    """
    heldout: set[str] = set()
    for category in ("post", "article"):
        placed = sorted((place(d.cluster_id, seed), d.doc_id) for d in documents if d.category == category)
        chosen = [doc_id for at, doc_id in placed if at < heldout_share]
        if len(placed) >= MIN_FROM and len(chosen) < MIN_HELDOUT:
            chosen = [doc_id for _, doc_id in placed[:MIN_HELDOUT]]
        heldout.update(chosen)
    sides = [
        SplitDocument(**d.model_dump(), split="heldout" if d.doc_id in heldout else "train")
        for d in documents
    ]
    contaminated = _contaminated(sides, embed)
    kept = [d for d in sides if d.doc_id not in contaminated]
    return SplitResult(documents=sorted(kept, key=lambda d: d.doc_id), contaminated=contaminated)


def place(cluster_id: str, seed: int) -> float:
    """A cluster's place in [0, 1): the same on every machine, whatever else is in the corpus."""
    digest = hashlib.sha256(f"{seed}:{cluster_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def shared_ngrams(train: list[str], heldout: list[str], n: int = NGRAM) -> set[str]:
    """Word n-grams that occur on both sides."""
    return _all_ngrams(train, n) & _all_ngrams(heldout, n)


def _all_ngrams(texts: list[str], n: int) -> set[str]:
    return {gram for text in texts for gram in _ngrams(text, n)}


def _ngrams(text: str, n: int) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


def _contaminated(documents: list[SplitDocument], embed: Callable[[list[str]], np.ndarray]) -> dict[str, str]:
    train = [d for d in documents if d.split == "train"]
    heldout = [d for d in documents if d.split == "heldout"]
    if not train or not heldout:
        return {}
    forbidden = _all_ngrams([d.voice_text for d in heldout], NGRAM)
    found = {d.doc_id: "shares_a_13gram" for d in train if _ngrams(d.voice_text, NGRAM) & forbidden}
    prose = [d for d in train if d.category != "code"]
    if prose:
        cosines = embed([d.search_text for d in prose]) @ embed([d.search_text for d in heldout]).T
        for document, cosine in zip(prose, cosines.max(axis=1), strict=True):
            if cosine > MAX_COSINE:
                found.setdefault(document.doc_id, "nearly_the_same_meaning")
    return found

"""Train and held-out sides, by duplicate cluster, before anything is generated; then decontamination.

A new cluster's place is its seeded hash in [0, 1): below the share it is held out. A document that was on
a side before stays there, whatever joins it: what a released model was trained on must never measure a
later one. Only where a category would hold out too little are the lowest places of new documents added.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from itertools import chain

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.hashing import hash_share
from twin_assets.core.records import Record, Split, SplitDocument, UniqueDocument
from twin_assets.core.text.words import ngrams, terms
from twin_assets.feature.corpus.duplicates.semantic import COLUMNS, ROWS

HELDOUT_SHARE = 0.2
# A category of at least MIN_FROM documents holds out at least MIN_HELDOUT: the voice metric needs windows.
MIN_FROM, MIN_HELDOUT = 8, 2
NGRAM = 13
_TEXTS_AT_ONCE, _WORDS_KEPT = 500, 1 << 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class _WordHashes(dict[str, int]):
    """Each word's 64-bit hash, signed, kept once it was made: a dictionary is twice as quick as `lru_cache`."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _WORDS_KEPT:
            self.clear()
        self[word] = made = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), signed=True)
        return made


_WORD_HASHES = _WordHashes()


class SplitResult(Record):
    """`contaminated` names the reason by id of every document taken out of training."""

    documents: list[SplitDocument]
    contaminated: dict[str, str]


def split_corpus(
    documents: list[UniqueDocument],
    embed: Callable[[list[str]], np.ndarray],
    heldout_share: float = HELDOUT_SHARE,
    seed: int = 17,
    before: Mapping[str, Split] | None = None,
    thresholds: Thresholds = OFFLINE_MINILM,
    runner: Runner | None = "native",
) -> SplitResult:
    """Both sides, in order of id. Code is never held out: it is no measure of a voice.

    `before` has the sides of the last split by document, its duplicates included. A cluster that joins
    both sides is held out. `thresholds` are those of `embed`; `runner` is as in `map_rows`, with its errors.

    What the training side shares with the held-out side (a 13-gram, or an embedding nearly the same) is
    taken out of training and named in `contaminated`.
    """
    sides_before = {d.doc_id: side for d in documents if (side := _side_before(d, before or {}))}
    heldout = {doc_id for doc_id, side in sides_before.items() if side == "heldout"}
    for category in ("post", "article"):
        these = [d for d in documents if d.category == category]
        placed = sorted(
            (hash_share(f"{seed}:{d.cluster_id}"), d.doc_id) for d in these if d.doc_id not in sides_before
        )
        chosen = [doc_id for at, doc_id in placed if at < heldout_share]
        missing = MIN_HELDOUT - len(chosen) - sum(d.doc_id in heldout for d in these)
        if len(these) >= MIN_FROM and missing > 0:
            chosen = [doc_id for _, doc_id in placed[: len(chosen) + missing]]
        heldout.update(chosen)
    sides = [
        SplitDocument(**d.model_dump(), split="heldout" if d.doc_id in heldout else "train")
        for d in documents
    ]
    contaminated = _contaminated(sides, embed, thresholds.contaminated, runner)
    clean = [d for d in sides if d.doc_id not in contaminated]
    return SplitResult(documents=sorted(clean, key=lambda d: d.doc_id), contaminated=contaminated)


def sides_of(documents: list[SplitDocument]) -> dict[str, Split]:
    """The side of every document of a split, and of the duplicates that it stands for."""
    return {i: d.split for d in documents for i in (d.doc_id, *d.duplicates)}


def _side_before(document: UniqueDocument, before: Mapping[str, Split]) -> Split | None:
    sides = {before[i] for i in (document.doc_id, *document.duplicates) if i in before}
    return "heldout" if "heldout" in sides else "train" if sides else None


def shared_ngrams(train: list[str], heldout: list[str], n: int = NGRAM) -> set[str]:
    """Word n-grams that occur on both sides."""
    sharing = [text for text, shares in zip(train, _sharing(train, heldout, n), strict=True) if shares]
    grams = {gram for text in sharing for gram in word_ngrams(text, n)}
    return {gram for text in heldout for gram in word_ngrams(text, n) if gram in grams} if grams else set()


def word_ngrams(text: str, n: int) -> list[str]:
    """Every run of n lower-case words, in order, repeats included."""
    return ngrams(terms(text), n)


def _sharing(
    texts: list[str], heldout: list[str], n: int, runner: Runner | None = "native"
) -> Iterator[bool]:
    """Whether each text has a word n-gram of those held out, by 64-bit hashes, as the n-grams themselves take 20 times the memory.

    None is missed; one found by accident is expected in a thousand corpora of a million texts of 300 words.
    """
    hashes = map_rows(partial(_gram_hashes, n), _blocks(heldout), runner, partition=1)
    forbidden = np.sort(np.concatenate([np.empty(0, np.uint64), *(one for one, _ in hashes)]))
    shares = map_rows(partial(_shares, forbidden, n), _blocks(texts), runner, partition=1)
    return chain.from_iterable(shares)


def _blocks(texts: list[str]) -> Iterator[list[str]]:
    return (texts[at : at + _TEXTS_AT_ONCE] for at in range(0, len(texts), _TEXTS_AT_ONCE))


def _gram_hashes(n: int, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the texts' word n-grams, uint64 of shape (n-grams,), the same on every machine, and the position of each one's text."""
    words = [terms(text) for text in texts]
    owners = np.repeat(np.arange(len(texts)), list(map(len, words)))
    hashed = map(_WORD_HASHES.__getitem__, chain.from_iterable(words))
    ids = np.fromiter(hashed, np.int64, len(owners)).view(np.uint64)
    if len(ids) < n:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    # A polynomial of the words' hashes; 64 bits wrap.
    hashes = np.lib.stride_tricks.sliding_window_view(ids, n) @ (_FACTOR ** np.arange(n, dtype=np.uint64))
    within = owners[: len(hashes)] == owners[n - 1 :]
    return hashes[within], owners[: len(hashes)][within]


def _shares(forbidden: np.ndarray, n: int, texts: list[str]) -> list[bool]:
    hashes, owners = _gram_hashes(n, texts)
    order = np.argsort(hashes)  # what is sought then lies near what was sought before
    hashes, owners = hashes[order], owners[order]
    at = np.searchsorted(forbidden, hashes)
    there = at < len(forbidden)
    there[there] = forbidden[at[there]] == hashes[there]
    return (np.bincount(owners[there], minlength=len(texts)) > 0).tolist()


def _contaminated(
    documents: list[SplitDocument],
    embed: Callable[[list[str]], np.ndarray],
    most: float,
    runner: Runner | None,
) -> dict[str, str]:
    train = [d for d in documents if d.split == "train"]
    heldout = [d for d in documents if d.split == "heldout"]
    if not train or not heldout:
        return {}
    shared = _sharing([d.voice_text for d in train], [d.voice_text for d in heldout], NGRAM, runner)
    reasons = {d.doc_id: "shares_a_13gram" for d, shares in zip(train, shared, strict=True) if shares}
    prose = [d for d in train if d.category != "code"]
    if prose:
        vectors = embed([d.search_text for d in prose])
        blocks = (vectors[at : at + ROWS] for at in range(0, len(vectors), ROWS))
        closest = map_rows(
            partial(_closest, embed([d.search_text for d in heldout])), blocks, runner,
            partition=1, threads_as_here=True,
        )  # fmt: skip
        for document, cosine in zip(prose, np.concatenate(list(closest)), strict=True):
            if cosine > most:
                reasons.setdefault(document.doc_id, "nearly_the_same_meaning")
    return reasons


def _closest(heldout: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Each vector's highest cosine with those held out, by blocks, as all at once would be train × heldout numbers."""
    blocks = (heldout[at : at + COLUMNS] for at in range(0, len(heldout), COLUMNS))
    return np.max([(vectors @ block.T).max(axis=1) for block in blocks], axis=0)

"""What texts share word for word: runs of 13 words, as 64-bit hashes wherever those of a whole side are held."""

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import chain, islice

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.text.words import ngrams, terms

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


class HeldoutNgrams:
    """The word n-grams of texts that are held out: 8 bytes each, where the n-grams themselves take 20 times as much.

    None is missed. A hash of 64 bits is another n-gram's with a chance of (n-grams held out) / 1.8e19: with 200,000 held-out
    and 800,000 other texts of 350 words (70 million n-grams, asked for 280 million times) one text in a thousand such corpora is
    said to share what it does not, and is then left out of training for nothing.
    """

    def __init__(self, texts: Iterable[str], n: int = NGRAM, runner: Runner | None = "native") -> None:
        """`runner`, here and below, is as in `map_rows`, with its errors."""
        hashes = map_rows(partial(_gram_hashes, n), _blocks(texts), runner, partition=1)
        self._n = n
        self._hashes = np.concatenate([np.empty(0, np.uint64), *(one for one, _ in hashes)])
        self._hashes.sort()

    def shared_by(self, texts: Iterable[str], runner: Runner | None = "native") -> Iterator[bool]:
        """Whether each text has one of these n-grams."""
        return chain.from_iterable(map_rows(self._shared, _blocks(texts), runner, partition=1))

    def in_any(self, texts: Iterable[str]) -> bool:
        """Whether one of a few texts has one of these n-grams."""
        return any(self._shared(list(texts)))

    def _shared(self, texts: list[str]) -> list[bool]:
        hashes, owners = _gram_hashes(self._n, texts)
        order = np.argsort(hashes)  # what is sought then lies near what was sought before
        hashes, owners = hashes[order], owners[order]
        at = np.searchsorted(self._hashes, hashes)
        there = at < len(self._hashes)
        there[there] = self._hashes[at[there]] == hashes[there]
        return (np.bincount(owners[there], minlength=len(texts)) > 0).tolist()


def shared_ngrams(texts: Collection[str], heldout: Collection[str], n: int = NGRAM) -> set[str]:
    """Word n-grams that occur on both sides, which are walked over twice."""
    sharing = [
        text for text, shares in zip(texts, HeldoutNgrams(heldout, n).shared_by(texts), strict=True) if shares
    ]
    grams = {gram for text in sharing for gram in word_ngrams(text, n)}
    return {gram for text in heldout for gram in word_ngrams(text, n) if gram in grams} if grams else set()


def word_ngrams(text: str, n: int) -> list[str]:
    """Every run of n lower-case words, in order, repeats included."""
    return ngrams(terms(text), n)


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    return iter(lambda: list(islice(rest, _TEXTS_AT_ONCE)), [])


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

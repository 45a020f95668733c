"""A corpus with planted near duplicates, and how well a set of found pairs recovers them.

Words are drawn from a vocabulary with Zipf frequencies (exponent 1), lengths from a mixture of posts and
articles. A copy has 5 to 15% of its original's words edited, other punctuation and other capitals.
Run: `python benchmarks/planted.py --documents 20000 --seed 0`.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

VOCABULARY = 50_000
COPIES = 0.1
EDITED = (0.05, 0.15)
# Shares and median words of what one person writes; logarithms spread with a standard deviation of 0.6.
LENGTHS = ((0.7, 120), (0.3, 700))
SHORTEST, SPREAD = 25, 0.6
REPLACED, DELETED = 0.6, 0.8


class Planted(NamedTuple):
    """`pairs` has shape (copies, 2): positions in `texts` of an original and of its one copy."""

    texts: list[str]
    pairs: np.ndarray


class Score(NamedTuple):
    """Recall: planted pairs that share a group. Precision: pairs within groups that were planted."""

    recall: float
    precision: float


def plant(documents: int, seed: int) -> Planted:
    """`documents` texts in random order, a tenth of them edited copies of others."""
    rng = np.random.default_rng(seed)
    vocabulary = _vocabulary(rng)
    frequencies = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    frequencies /= frequencies[-1]
    copies = int(documents * COPIES)
    originals = documents - copies
    medians = rng.choice([m for _, m in LENGTHS], originals, p=[share for share, _ in LENGTHS])
    lengths = np.maximum(rng.lognormal(np.log(medians), SPREAD).astype(int), SHORTEST)
    texts, ids = [], []
    for length in lengths:
        words = np.searchsorted(frequencies, rng.random(length))
        ids.append(words)
        texts.append(_write(words, vocabulary, rng))
    copied = rng.choice(originals, copies, replace=False)
    texts += [_write(_edit(ids[i], frequencies, rng), vocabulary, rng) for i in copied]
    places = rng.permutation(documents)
    shuffled = [""] * documents
    for text, place in zip(texts, places, strict=True):
        shuffled[place] = text
    return Planted(shuffled, np.stack([places[copied], places[originals:]], axis=1))


def score(documents: int, left: np.ndarray, right: np.ndarray, planted: np.ndarray) -> Score:
    """Recall and precision of found pairs after joining them to groups, as deduplication does."""
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(documents, documents))
    _, labels = connected_components(graph, directed=False)
    sizes = np.bincount(labels).astype(np.int64)
    together = int((sizes * (sizes - 1) // 2).sum())
    recovered = int((labels[planted[:, 0]] == labels[planted[:, 1]]).sum())
    return Score(recovered / max(len(planted), 1), recovered / together if together else 1.0)


def _vocabulary(rng: np.random.Generator) -> np.ndarray:
    """Distinct pronounceable words; frequent ones are shorter, as in any language."""
    consonants, vowels = list("bcdfghjklmnprstvw"), list("aeiou")
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = 1 + int(np.log10(len(words) + 10) * rng.uniform(0.4, 1.0))
        word = "".join(rng.choice(consonants) + rng.choice(vowels) for _ in range(syllables))
        words[word] = None
    return np.array(list(words), dtype=object)


def _edit(words: np.ndarray, frequencies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """5 to 15% of the words: 60% of these are replaced, 20% deleted, 20% get a new word before them."""
    edits = max(round(len(words) * rng.uniform(*EDITED)), 1)
    at = rng.choice(len(words), edits, replace=False)
    how = rng.random(edits)
    drawn = np.searchsorted(frequencies, rng.random(edits))
    edited = words.copy()
    replaced = how < REPLACED
    # A draw of the same word would be no edit.
    edited[at[replaced]] = np.where(
        drawn[replaced] == words[at[replaced]], (drawn[replaced] + 1) % VOCABULARY, drawn[replaced]
    )
    inserted = how >= DELETED
    deleted = np.zeros(len(words), bool)
    deleted[at[~replaced & ~inserted]] = True
    shift = np.cumsum(~deleted) - ~deleted
    return np.insert(edited[~deleted], shift[at[inserted]], drawn[inserted])


def _write(words: np.ndarray, vocabulary: np.ndarray, rng: np.random.Generator) -> str:
    """Sentences of 8 to 20 words with capitals, commas and full stops."""
    text = vocabulary[words].tolist()
    at = 0
    while at < len(text):
        end = min(at + int(rng.integers(8, 21)), len(text)) - 1
        text[at] = text[at].capitalize()
        text[(at + end) // 2] += ","
        text[end] += "."
        at = end + 1
    return " ".join(text)


def main() -> None:
    """Print recall, precision and seconds of our near pairs on one planted corpus."""
    from twin_assets.feature.corpus.cleaning.normalise import normalise_all
    from twin_assets.feature.corpus.duplicates.near import near_pairs

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    corpus = plant(arguments.documents, arguments.seed)
    start = time.perf_counter()
    found = near_pairs(normalise_all(corpus.texts))
    seconds = time.perf_counter() - start
    recall, precision = score(arguments.documents, found.left, found.right, corpus.pairs)
    print(
        f"{arguments.documents} documents, {len(corpus.pairs)} planted, {len(found.left)} found: "
        f"recall {recall:.4f}, precision {precision:.4f}, {seconds:.2f} s"
    )


if __name__ == "__main__":
    main()

"""Near duplicates: MinHash signatures by Daft, banding and verification in numpy.

Resemblance of word 3-grams and MinHash follow Broder, "On the resemblance and containment of documents"
(1997); banding follows Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3. Every pair that
comes out was verified by its true Jaccard similarity. The machine that calls holds a block of the texts, the
signatures (512 bytes a document), the candidate pairs, and the words of their texts as numbers.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twin_assets.core.data_runner import Runner, map_rows, on_ray, plan_rows

HASHES, SHINGLE = 128, 3
# 42 bands of 3 find 98% of the pairs at a Jaccard of 0.44 and 1 in 200,000 at 0.005; 32 of 4 find only 70%.
BANDS, ROWS = 42, 3
# Edits of 15% of the words leave a Jaccard of about 0.45, less on short texts; unrelated texts share under 0.05.
NEAR_JACCARD = 0.4
# An estimate from 128 hashes has a standard deviation of 0.043: what is 3.5 of them below cannot pass.
_ESTIMATE_SLACK = 0.15
# A bucket with more members is boilerplate: see `candidate_pairs`.
FULL_BUCKET, NEIGHBOURS = 16, 8
_PAIRS_AT_ONCE, _WORDS_AT_ONCE, _SHINGLES_AT_ONCE, _CODES_AT_ONCE = 16_384, 1 << 17, 1 << 18, 1 << 22
_PARTITION, _PAIRS_A_TASK = 5_000, 2_000
# Texts held at a time.
_BLOCK = 20_000
# Odd multipliers for the places of a 3-gram, from the digits of π, e and √2.
_FACTORS = (np.uint64(0x243F6A8885A308D3), np.uint64(0xB7E151628AED2A6B), np.uint64(0x6A09E667F3BCC909))


class Pairs(NamedTuple):
    """Pairs of positions, `left` < `right`, with their similarity in 0..1; three arrays of shape (pairs,)."""

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray


NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def near_pairs(texts: Collection[str], runner: Runner | None = None) -> Pairs:
    """Verified near-duplicate pairs among normalised, distinct, non-empty texts, which are walked over twice.

    The result depends on the order of `texts` only where a bucket is oversize: sort them first for the same
    result at every call. `runner` is as in `plan_rows`, with its errors.
    """
    if len(texts) < 2:
        return NO_PAIRS
    hashes = np.concatenate([signatures(block, runner) for block in _blocks(texts)])
    left, right = candidate_pairs(hashes, runner)
    likely = _estimates(hashes, left, right) >= NEAR_JACCARD - _ESTIMATE_SLACK
    left, right = left[likely], right[likely]
    similarity = jaccard(_blocks(texts), left, right, runner)
    passed = similarity >= NEAR_JACCARD
    return Pairs(left[passed], right[passed], similarity[passed])


def _blocks(texts: Iterable[str]) -> Iterator[pa.LargeStringArray]:
    rest = iter(texts)
    while block := list(islice(rest, _BLOCK)):
        yield pa.array(block, pa.large_string())


def signatures(texts: pa.LargeStringArray, runner: Runner | None = None) -> np.ndarray:
    """MinHash signatures of word 3-grams: uint32 of shape (texts, 128), in the order of `texts`."""
    import daft

    def minhash(text: daft.Expression) -> daft.Expression:
        return text.minhash(num_hashes=HASHES, ngram_size=SHINGLE, seed=1, hash_function="xxhash3_64")

    hashes = np.empty((len(texts), HASHES), dtype=np.uint32)
    table = pa.table({"text": texts})
    for places, found in plan_rows(table, "text", minhash, runner, partition=_PARTITION):
        hashes[places] = found.flatten().to_numpy(zero_copy_only=False).reshape(-1, HASHES)
    return hashes


def candidate_pairs(hashes: np.ndarray, runner: Runner | None = "native") -> tuple[np.ndarray, np.ndarray]:
    """Pairs that share a band: two int64 arrays of shape (pairs,), sorted, without repeats.

    `hashes` is uint32 of shape (documents, 128). Documents that share a bucket are all paired up to
    `FULL_BUCKET` members. The members of a larger one are sorted by their next two bands, and each is paired
    with the `NEIGHBOURS` after it and with the first: duplicates stay joined through the chain, and a bucket
    of m documents gives 9m pairs, not m²/2.
    """
    n = len(hashes)
    codes = [np.empty(0, np.int64)]
    for found in map_rows(partial(_band_codes, hashes), range(BANDS), runner, partition=1):
        codes.append(found)
        # A bucket that recurs in every band must not pile up copies of its pairs.
        if sum(map(len, codes)) > _CODES_AT_ONCE:
            codes = [np.unique(np.concatenate(codes))]
    left, right = np.divmod(np.unique(np.concatenate(codes)), n)
    return left[left != right], right[left != right]


def _band_codes(hashes: np.ndarray, band: int) -> np.ndarray:
    """Pairs that share a bucket of this band, as `_codes`, with repeats: int64 of shape (pairs,)."""
    n = len(hashes)
    columns = hashes[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
    keys = _mix(_mix(_mix(columns[:, 0]) + columns[:, 1]) + columns[:, 2])
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    start = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    size = np.diff(start, append=n)
    start, size = start[size > 1], size[size > 1]
    members = order[_ranges(start, size)]
    bucket = np.repeat(np.arange(len(size)), size)
    codes = [np.empty(0, np.int64)]
    if (oversize := np.repeat(size > FULL_BUCKET, size)).any():
        nearby = (np.arange(2 * ROWS) + (band + 1) * ROWS) % (BANDS * ROWS)
        chosen = np.flatnonzero(oversize)
        by = [*hashes[np.ix_(members[chosen], nearby)].T[::-1], bucket[chosen]]
        members[chosen] = members[chosen][np.lexsort(by)]
        first = np.repeat(np.cumsum(size) - size, size)
        codes.append(_codes(members[first[chosen]], members[chosen], n))
    for step in range(1, min(int(size.max(initial=1)), FULL_BUCKET)):
        here = bucket[step:] == bucket[:-step]
        if step > NEIGHBOURS:
            here &= ~oversize[step:]
        codes.append(_codes(members[:-step][here], members[step:][here], n))
    return np.concatenate(codes)


def jaccard(
    blocks: Iterable[pa.LargeStringArray],
    left: np.ndarray,
    right: np.ndarray,
    runner: Runner | None = "native",
) -> np.ndarray:
    """True Jaccard similarity of the sets of word 3-grams for each pair of texts: float64 of shape (pairs,). `left` and
    `right` are places among the texts of all blocks.

    A text of fewer than three words is one shingle. Shingles are compared by 32-bit hashes: for two texts of
    a thousand words one accidental match is expected in 4,000 pairs, which changes the similarity by 0.001.
    Nodes get words as numbers that this machine gave them, so that the accidents are the same.
    """
    if not len(left):
        return np.empty(0)
    needed, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    words: list[pa.DictionaryArray] = []
    lengths: list[np.ndarray] = []
    first = 0
    for block in blocks:
        mine = needed[slice(*np.searchsorted(needed, (first, first + len(block))))] - first
        split = pc.split_pattern(block.take(pa.array(mine)), " ")
        words.append(split.flatten().dictionary_encode())
        lengths.append(np.diff(split.offsets.to_numpy()))
        first += len(block)
    # The blocks' dictionaries become one, in the order in which words came.
    ids = [part.indices.to_numpy() for part in pa.chunked_array(words).unify_dictionaries().chunks]
    worded = _Worded(np.concatenate(ids), np.concatenate(lengths), where[: len(left)], where[len(left) :])
    parts = map_rows(_verified, _parts(worded) if on_ray(runner) else [worded], runner, partition=1)
    return np.concatenate(list(parts))


class _Worded(NamedTuple):
    """Pairs of texts whose words are numbers: `ids` of all texts, one after the other, each text's number of words, and the
    pairs' positions among these texts."""

    ids: np.ndarray
    lengths: np.ndarray
    left: np.ndarray
    right: np.ndarray


def _parts(worded: _Worded) -> Iterator[_Worded]:
    """A task's pairs with their texts alone."""
    starts = np.cumsum(worded.lengths) - worded.lengths
    for at in range(0, len(worded.left), _PAIRS_A_TASK):
        left, right = worded.left[at : at + _PAIRS_A_TASK], worded.right[at : at + _PAIRS_A_TASK]
        needed, where = np.unique(np.concatenate([left, right]), return_inverse=True)
        lengths = worded.lengths[needed]
        ids = worded.ids[_ranges(starts[needed], lengths)]
        yield _Worded(ids, lengths, where[: len(left)], where[len(left) :])


def _verified(worded: _Worded) -> np.ndarray:
    keys, sizes = _shingle_keys(worded.ids, worded.lengths)
    starts = np.cumsum(sizes) - sizes
    a, b = worded.left, worded.right
    a, b = np.where(sizes[a] <= sizes[b], a, b), np.where(sizes[a] <= sizes[b], b, a)
    shared = np.empty(len(a), dtype=np.int64)
    blocks = np.cumsum(sizes[a]) // _SHINGLES_AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(blocks)) + 1), len(a)]
    for lo, hi in pairwise(edges):
        lengths = sizes[a[lo:hi]]
        sought = keys[_ranges(starts[a[lo:hi]], lengths)] & np.uint64(0xFFFFFFFF)
        sought |= np.repeat(b[lo:hi], lengths).astype(np.uint64) << np.uint64(32)
        at = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
        shared[lo:hi] = np.add.reduceat(keys[at] == sought, np.cumsum(lengths) - lengths, dtype=np.int64)
    return shared / (sizes[a] + sizes[b] - shared)


def _shingle_keys(ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct keys (text's position in the upper 32 bits, shingle hash below) and their number by text."""
    ends = np.cumsum(lengths)
    # Blocks small enough for the cache; their keys follow each other, so that the whole is sorted.
    cuts = np.unique(np.searchsorted(ends, np.arange(0, len(ids), _WORDS_AT_ONCE)))
    edges = [0, *cuts[cuts > 0], len(lengths)]
    keys = []
    for lo, hi in pairwise(edges):
        first = ends[lo - 1] if lo else 0
        keys.append(_block_keys(ids[first : ends[hi - 1]], lengths[lo:hi], lo))
    joined = np.concatenate(keys)
    return joined, np.bincount((joined >> np.uint64(32)).astype(np.int64), minlength=len(lengths))


def _block_keys(ids: np.ndarray, lengths: np.ndarray, position: int) -> np.ndarray:
    """Sorted distinct keys of texts of `lengths` words with these word ids, the first of them at `position`."""
    starts, counts = np.cumsum(lengths) - lengths, np.maximum(lengths - SHINGLE + 1, 1)
    a, b, c = ((ids.astype(np.uint64) + np.uint64(1)) * factor for factor in _FACTORS)
    short = starts[lengths < SHINGLE]
    alone = a[short] + np.where(lengths[lengths < SHINGLE] > 1, np.roll(b, -1)[short], np.uint64(0))
    a[:-1] += b[1:]
    a[:-2] += c[2:]
    a[short] = alone
    owners = np.arange(position, position + len(lengths), dtype=np.uint64) << np.uint64(32)
    keys = np.repeat(owners, counts) | (_mix(a[_ranges(starts, counts)]) >> np.uint64(32))
    keys.sort()
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])]


def _estimates(hashes: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    blocks = range(0, len(left), _PAIRS_AT_ONCE)
    parts = [
        (hashes[left[i : i + _PAIRS_AT_ONCE]] == hashes[right[i : i + _PAIRS_AT_ONCE]]).mean(axis=1)
        for i in blocks
    ]
    return np.concatenate([np.empty(0), *parts])


def _codes(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Pairs as single numbers, the smaller position first."""
    return np.minimum(a, b) * n + np.maximum(a, b)


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The ranges [start, start + length) one after the other."""
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(start - (ends - length), length)


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014) on uint64."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

"""Duplicates: exact, then near (MinHash LSH), then semantic. One representative stays for each cluster.

Near duplicates follow Broder (1997) with banding (Leskovec et al., Mining of Massive Datasets, ch. 3):
word 3-grams, 32 bands of 4 rows, candidates verified by their true Jaccard similarity.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import combinations
from typing import Literal

import numpy as np

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import CleanedDocument, Record, UniqueDocument

BANDS, ROWS, SHINGLE = 32, 4, 3
# Edits of 15% of the words leave about half of the word 3-grams alone; unrelated texts share under 5%.
NEAR_JACCARD = 0.45
# Embeddings of one author's posts on one theme reach 0.9; only retellings pass this and the length rule.
SEMANTIC_COSINE = 0.95
SEMANTIC_LENGTH_RATIO = 0.6

Kind = Literal["exact", "near", "semantic"]
Embed = Callable[[list[str]], np.ndarray]


class DuplicateCluster(Record):
    """Documents that say the same; `kind` is the weakest link that joins them."""

    cluster_id: str
    kind: Kind
    representative: str
    members: list[str]
    similarity: float


class DedupResult(Record):
    documents: list[UniqueDocument]
    clusters: list[DuplicateCluster]


def find_duplicates(documents: list[CleanedDocument], embed: Embed) -> DedupResult:
    """One representative for each cluster: the longest text, then the earliest. Code merges exactly only."""
    groups = _Groups(len(documents))
    prose = [i for i, d in enumerate(documents) if d.category != "code"]
    for a, b in _exact_pairs(documents):
        groups.join(a, b, "exact", 1.0)
    for a, b, similarity in _near_pairs([documents[i] for i in prose]):
        groups.join(prose[a], prose[b], "near", similarity)
    for a, b, similarity in _semantic_pairs([documents[i] for i in prose], embed):
        groups.join(prose[a], prose[b], "semantic", similarity)
    unique: list[UniqueDocument] = []
    clusters: list[DuplicateCluster] = []
    for members in groups.all():
        ordered = sorted((documents[i] for i in members), key=_preference)
        ids = sorted(d.doc_id for d in ordered)
        cluster_id = text_hash(ids[0])
        unique.append(
            UniqueDocument(
                **ordered[0].model_dump(),
                cluster_id=cluster_id,
                duplicates=[i for i in ids if i != ordered[0].doc_id],
            )
        )
        if len(members) > 1:
            kind, similarity = groups.link(members)
            clusters.append(
                DuplicateCluster(
                    cluster_id=cluster_id,
                    kind=kind,
                    representative=ordered[0].doc_id,
                    members=ids,
                    similarity=round(similarity, 3),
                )
            )
    return DedupResult(documents=sorted(unique, key=lambda d: d.doc_id), clusters=clusters)


def _preference(document: CleanedDocument) -> tuple[int, datetime, str]:
    return (-document.words, document.published_at or datetime.max.replace(tzinfo=UTC), document.doc_id)


class _Groups:
    """Union-find that remembers the weakest link of every group."""

    _STRENGTH: tuple[Kind, ...] = ("exact", "near", "semantic")

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))
        self.links: list[tuple[int, Kind, float]] = []

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int, kind: Kind, similarity: float) -> None:
        if self.find(a) != self.find(b):
            self.parent[self.find(b)] = self.find(a)
            self.links.append((a, kind, similarity))

    def all(self) -> list[list[int]]:
        groups: dict[int, list[int]] = defaultdict(list)
        for i in range(len(self.parent)):
            groups[self.find(i)].append(i)
        return list(groups.values())

    def link(self, members: list[int]) -> tuple[Kind, float]:
        root = self.find(members[0])
        found = [(kind, similarity) for i, kind, similarity in self.links if self.find(i) == root]
        return max(found, key=lambda item: (self._STRENGTH.index(item[0]), -item[1]))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _exact_pairs(documents: list[CleanedDocument]) -> Iterable[tuple[int, int]]:
    first: dict[str, int] = {}
    for i, document in enumerate(documents):
        text = document.voice_text if document.category == "code" else " ".join(_words(document.voice_text))
        key = text_hash(text, 32)
        if key in first:
            yield first[key], i
        first.setdefault(key, i)


def _near_pairs(documents: list[CleanedDocument]) -> list[tuple[int, int, float]]:
    if len(documents) < 2:
        return []
    import daft

    texts = [" ".join(_words(d.voice_text)) for d in documents]
    hashed = daft.from_pydict({"text": texts}).select(
        daft.col("text").minhash(num_hashes=BANDS * ROWS, ngram_size=SHINGLE, seed=1)
    )
    signatures = np.array(hashed.to_pydict()["text"], dtype=np.uint32).reshape(len(texts), BANDS, ROWS)
    candidates: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(signatures[:, band]):
            buckets[row.tobytes()].append(i)
        for bucket in buckets.values():
            candidates.update(combinations(bucket, 2))
    shingles = [_shingles(t) for t in texts]
    verified = ((a, b, _jaccard(shingles[a], shingles[b])) for a, b in sorted(candidates))
    return [pair for pair in verified if pair[2] >= NEAR_JACCARD]


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE + 1, 1))}


def _jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def _semantic_pairs(documents: list[CleanedDocument], embed: Embed) -> list[tuple[int, int, float]]:
    if len(documents) < 2:
        return []
    vectors = embed([d.search_text for d in documents])
    pairs = []
    for i in range(len(documents) - 1):
        cosines = vectors[i + 1 :] @ vectors[i]
        for offset in np.flatnonzero(cosines >= SEMANTIC_COSINE):
            j = i + 1 + int(offset)
            lengths = sorted((documents[i].words, documents[j].words))
            if lengths[0] >= SEMANTIC_LENGTH_RATIO * lengths[1]:
                pairs.append((i, j, float(cosines[offset])))
    return pairs

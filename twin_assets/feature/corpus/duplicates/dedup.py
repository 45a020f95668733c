"""Duplicates: exact, then near (MinHash LSH), then semantic. One representative stays for each cluster."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from twin_assets.core.data_runner import Runner
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import VISIBILITIES, CleanedDocument, Record, UniqueDocument
from twin_assets.feature.corpus.cleaning.normalise import normalise_all
from twin_assets.feature.corpus.duplicates.near import NO_PAIRS, Pairs, near_pairs
from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs

Kind = Literal["exact", "near", "semantic"]
Embed = Callable[[list[str]], np.ndarray]

# From the strongest link to the weakest. A link costs twice its kind's place, plus 2, minus its similarity.
_KINDS: tuple[Kind, ...] = ("exact", "near", "semantic")


class DuplicateCluster(Record):
    """Documents that say the same. `kind` and `similarity` are those of the weakest link it cannot do without."""

    cluster_id: str
    kind: Kind
    representative: str
    members: list[str]
    similarity: float


class DedupResult(Record):
    """Representatives and clusters of two or more, both in order of the representative's id."""

    documents: list[UniqueDocument]
    clusters: list[DuplicateCluster]


def find_duplicates(
    documents: list[CleanedDocument],
    embed: Embed,
    runner: Runner | None = None,
    known: Mapping[str, str] | None = None,
    thresholds: Thresholds = OFFLINE_MINILM,
) -> DedupResult:
    """One representative for each cluster: the most open, of those the longest text, then the earliest, then the
    smallest id. So what was said in public stays public, with its public address, and no closed version of it shows.

    Code merges exactly only. The order of `documents` makes no difference. `embed` gives unit vectors of
    shape (texts, dimensions), and `thresholds` are its own; it sees each distinct prose text once. `runner` is as in `near_pairs`, with its
    errors. `known` holds earlier cluster ids by document id: a cluster keeps the id of its earliest known
    member, and two parts of a cluster that came apart share theirs. Without one, its id is made from its
    earliest published document, so that only an older arrival changes it.
    """
    ordered = sorted(documents, key=lambda d: (d.doc_id, d.content_hash, d.voice_text, d.search_text))
    if not ordered:
        return DedupResult(documents=[], clusters=[])
    texts = normalise_all(["" if d.category == "code" else d.voice_text for d in ordered])
    first = _first_with_same_text(ordered, texts)
    distinct = np.unique(first)
    prose = np.array([i for i in distinct if ordered[i].category != "code"], dtype=np.int64)
    worded = np.array([i for i in prose if texts[i]], dtype=np.int64)
    # Oversize buckets depend on the order: that of the texts stays as it is when document ids change.
    worded = worded[np.argsort(np.array([texts[i] for i in worded], dtype=object), kind="stable")]
    near = near_pairs([texts[i] for i in worded], runner)
    semantic = NO_PAIRS
    if len(prose) > 1:
        vectors = embed([ordered[i].search_text for i in prose])
        words = np.array([ordered[i].words for i in prose])
        semantic = semantic_pairs(vectors, words, least=thresholds.duplicate, runner=runner)
    exact = Pairs(first, np.arange(len(ordered)), np.ones(len(ordered)))
    labels, weakest = _components(len(ordered), [exact, _at(worded, near), _at(prose, semantic)])
    return _result(ordered, labels, weakest, known or {})


def _first_with_same_text(documents: list[CleanedDocument], texts: list[str]) -> np.ndarray:
    """For each document the position of the first that says exactly the same."""
    # Code, and what has no words (emoji), is the same only where its every character is.
    keys = [
        "=" + text if text else f"{document.category == 'code'}:{document.voice_text}"
        for document, text in zip(documents, texts, strict=True)
    ]
    groups = pa.array(keys, pa.large_string()).dictionary_encode().indices.to_numpy()
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return first[group]


def _at(positions: np.ndarray, pairs: Pairs) -> Pairs:
    return Pairs(positions[pairs.left], positions[pairs.right], pairs.similarity)


def _components(size: int, links: list[Pairs]) -> tuple[np.ndarray, np.ndarray]:
    """Component of each document, and each component's highest cost in its cheapest spanning tree (0 if alone).

    That cost is the same for every cheapest tree, so that it does not depend on the order of the links.
    """
    left = np.concatenate([p.left for p in links])
    right = np.concatenate([p.right for p in links])
    cost = np.concatenate([2.0 * kind + 2.0 - p.similarity for kind, p in enumerate(links)])
    left, right = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((cost, right, left))
    left, right, cost = left[order], right[order], cost[order]
    fresh = (left != right) & np.concatenate([[True], (left[1:] != left[:-1]) | (right[1:] != right[:-1])])
    graph = coo_array((cost[fresh], (left[fresh], right[fresh])), shape=(size, size)).tocsr()
    count, labels = connected_components(graph, directed=False)
    tree = minimum_spanning_tree(graph).tocoo()
    weakest = np.zeros(count)
    np.maximum.at(weakest, labels[tree.row], tree.data)
    return labels, weakest


def _result(
    documents: list[CleanedDocument], labels: np.ndarray, weakest: np.ndarray, earlier_ids: Mapping[str, str]
) -> DedupResult:
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(labels))[:-1])
    unique: list[UniqueDocument] = []
    clusters: list[DuplicateCluster] = []
    for group, cost in zip(groups, weakest, strict=True):
        members = [documents[i] for i in group]
        chosen = min(members, key=lambda d: (VISIBILITIES.index(d.visibility), -d.words, *_age(d)))
        ids = [d.doc_id for d in members]
        cluster_id = _cluster_id(members, earlier_ids)
        duplicates = [i for i in ids if i != chosen.doc_id]
        unique.append(UniqueDocument(**chosen.model_dump(), cluster_id=cluster_id, duplicates=duplicates))
        if len(members) > 1:
            kind = int((cost - 1) // 2)
            clusters.append(
                DuplicateCluster(
                    cluster_id=cluster_id,
                    kind=_KINDS[kind],
                    representative=chosen.doc_id,
                    members=ids,
                    similarity=round(2 * kind + 2 - cost, 3),
                )
            )
    return DedupResult(
        documents=sorted(unique, key=lambda d: d.doc_id),
        clusters=sorted(clusters, key=lambda c: c.representative),
    )


def _cluster_id(members: list[CleanedDocument], earlier_ids: Mapping[str, str]) -> str:
    eldest = sorted(members, key=_age)
    return next(
        (earlier_ids[d.doc_id] for d in eldest if d.doc_id in earlier_ids), text_hash(eldest[0].doc_id)
    )


def _age(document: CleanedDocument) -> tuple[datetime, str]:
    return (document.published_at or datetime.max.replace(tzinfo=UTC), document.doc_id)

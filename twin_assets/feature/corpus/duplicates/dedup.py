"""Duplicates: exact, then near (MinHash LSH), then semantic. One representative stays for each cluster."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from twin_assets.core.data_runner import Runner
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import (
    VISIBILITIES,
    CleanedDocument,
    Record,
    UniqueDocument,
    arrow_schema,
    to_table,
)
from twin_assets.core.row_file import GROUP, PAGE, RowFile
from twin_assets.feature.corpus.cleaning.normalise import normalise_all
from twin_assets.feature.corpus.duplicates.near import NO_PAIRS, Pairs, near_pairs
from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kind = Literal["exact", "near", "semantic"]
Embed = Callable[[Collection[str]], np.ndarray]

# Of texts that are being sorted.
_SORT_MEMORY = "400MB"
# From the strongest link to the weakest. A link costs twice its kind's place, plus 2, minus its similarity.
_KINDS: tuple[Kind, ...] = ("exact", "near", "semantic")


class DuplicateCluster(Record):
    """Documents that say the same. `kind` and `similarity` are those of the weakest link it cannot do without."""

    cluster_id: str
    kind: Kind
    representative: str
    members: list[str]
    similarity: float


class DedupResult(NamedTuple):
    """Representatives and clusters of two or more, both in order of the representative's id."""

    documents: RowFile[UniqueDocument]
    clusters: list[DuplicateCluster]


class _Brief(NamedTuple):
    """What is held of a document."""

    doc_id: str
    is_code: bool
    closed: int
    words: int
    published_at: datetime | None


class _Text(Record):
    at: int
    text: str


def find_duplicates(
    documents: Iterable[CleanedDocument],
    embed: Embed,
    runner: Runner | None = None,
    known: Mapping[str, str] | None = None,
    thresholds: Thresholds = OFFLINE_MINILM,
) -> DedupResult:
    """One representative for each cluster: the most open, of those the longest text, then the earliest, then the
    smallest id. So what was said in public stays public, with its public address, and no closed version of it shows.

    Code merges exactly only. The order of `documents` makes no difference; a RowFile of them has them by id, and their texts
    are then not held. `embed` gives unit vectors of
    shape (texts, dimensions), and `thresholds` are its own; it sees each distinct prose text once. `runner` is as in `near_pairs`, with its
    errors. `known` holds earlier cluster ids by document id: a cluster keeps the id of its earliest known
    member, and two parts of a cluster that came apart share theirs. Without one, its id is made from its
    earliest published document, so that only an older arrival changes it.
    """
    if not isinstance(documents, RowFile):
        documents = sorted(documents, key=lambda d: (d.doc_id, d.content_hash, d.voice_text, d.search_text))
    rows = RowFile[CleanedDocument].of(documents)
    if not len(rows):
        return DedupResult(RowFile[UniqueDocument].of([]), [])
    briefs: list[_Brief] = []
    first: list[int] = []
    with _sorted_texts(_distinct(rows, briefs, first)) as texts:
        distinct = np.array(first) == np.arange(len(first))
        is_prose = distinct & ~np.array([brief.is_code for brief in briefs])
        prose = np.flatnonzero(is_prose)
        # Oversize buckets depend on the order: that of the texts stays as it is when document ids change.
        worded = np.fromiter((at for (at,) in texts.values("at")), np.int64, len(texts))
        near = near_pairs(texts.texts("text"), runner)
    semantic = NO_PAIRS
    if len(prose) > 1:
        vectors = embed(rows.texts("search_text", is_prose))
        words = np.array([briefs[i].words for i in prose])
        semantic = semantic_pairs(vectors, words, least=thresholds.duplicate, runner=runner)
    exact = Pairs(np.array(first), np.arange(len(first)), np.ones(len(first)))
    labels, weakest = _components(len(first), [exact, _at(worded, near), _at(prose, semantic)])
    return _result(rows, briefs, labels, weakest, known or {})


def _distinct(
    rows: RowFile[CleanedDocument], briefs: list[_Brief], first: list[int]
) -> Iterator[pa.RecordBatch]:
    """Each normalised text of prose that has words, once, with the place of its document. Fills on its way what is held of
    the documents, and for each the place of the first that says exactly the same."""
    places: dict[bytes, int] = {}
    documents = rows.values("voice_text", "doc_id", "category", "visibility", "words", "published_at")
    while page := list(islice(documents, PAGE)):
        texts = normalise_all(["" if category == "code" else voice for voice, _, category, *_ in page])
        new: list[_Text] = []
        for (voice, doc_id, category, visibility, *rest), text in zip(page, texts, strict=True):
            # Code, and what has no words (emoji), is the same only where its every character is.
            key = "=" + text if text else f"{category == 'code'}:{voice}"
            at = len(first)
            first.append(places.setdefault(blake2b(key.encode(), digest_size=16).digest(), at))
            briefs.append(_Brief(doc_id, category == "code", VISIBILITIES.index(visibility), *rest))
            if text and first[at] == at:
                new.append(_Text(at=at, text=text))
        yield from to_table(new, _Text).to_batches()


@contextmanager
def _sorted_texts(batches: Iterator[pa.RecordBatch]) -> Iterator[RowFile[_Text]]:
    """The texts in a file, in their order; DuckDB sorts them on disk where they are many."""
    reader = pa.RecordBatchReader.from_batches(arrow_schema(_Text), batches)
    with TemporaryDirectory() as folder, closing(_sorter(folder)) as base:
        path = Path(folder, "texts.parquet")
        base.from_arrow(reader).order("text").write_parquet(str(path), row_group_size=GROUP)
        with path.open("rb") as file:
            yield RowFile[_Text](file, "")


def _sorter(folder: str) -> "DuckDBPyConnection":
    import duckdb

    return duckdb.connect(config={"temp_directory": folder, "memory_limit": _SORT_MEMORY})


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
    rows: RowFile[CleanedDocument],
    briefs: list[_Brief],
    labels: np.ndarray,
    weakest: np.ndarray,
    earlier_ids: Mapping[str, str],
) -> DedupResult:
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(labels))[:-1])
    unique: dict[int, tuple[str, list[str]]] = {}
    clusters: list[DuplicateCluster] = []
    for group, cost in zip(groups, weakest, strict=True):
        members = [briefs[i] for i in group]
        chosen, at = min(
            zip(members, group.tolist(), strict=True),
            key=lambda m: (m[0].closed, -m[0].words, *_age(m[0])),
        )
        ids = [d.doc_id for d in members]
        cluster_id = _cluster_id(members, earlier_ids)
        unique[at] = cluster_id, [i for i in ids if i != chosen.doc_id]
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
    documents = (
        UniqueDocument(**document.model_dump(), cluster_id=unique[at][0], duplicates=unique[at][1])
        for at, document in enumerate(rows)
        if at in unique
    )
    return DedupResult(
        documents=RowFile[UniqueDocument].of(documents),
        clusters=sorted(clusters, key=lambda c: c.representative),
    )


def _cluster_id(members: list[_Brief], earlier_ids: Mapping[str, str]) -> str:
    eldest = sorted(members, key=_age)
    return next(
        (earlier_ids[d.doc_id] for d in eldest if d.doc_id in earlier_ids), text_hash(eldest[0].doc_id)
    )


def _age(document: _Brief) -> tuple[datetime, str]:
    return (document.published_at or datetime.max.replace(tzinfo=UTC), document.doc_id)

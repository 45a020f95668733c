"""Several rankings into one, and one ranking with its documents mixed."""

from collections.abc import Sequence

from twin_assets.core.records import Passage

# The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
RANK_DAMPING = 60


def fuse(rankings: Sequence[list[Passage]]) -> list[Passage]:
    """Reciprocal rank fusion. A passage keeps the scores of the ranking that it stands in first."""
    if len(rankings) == 1:
        return rankings[0]
    weight: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            weight[passage.chunk_id] = weight.get(passage.chunk_id, 0.0) + 1 / (RANK_DAMPING + rank)
            passages.setdefault(passage.chunk_id, passage)
    return sorted(passages.values(), key=lambda p: (-weight[p.chunk_id], p.chunk_id))


def one_per_document(passages: list[Passage]) -> list[Passage]:
    """The same passages, each document's first before any document's second."""
    seen: set[str] = set()
    first: list[Passage] = []
    again: list[Passage] = []
    for passage in passages:
        (again if passage.doc_id in seen else first).append(passage)
        seen.add(passage.doc_id)
    return [*first, *again]

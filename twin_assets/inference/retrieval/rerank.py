"""Rank found passages again, by looking at question and passage word by word.

Late interaction needs no further model: every token of the question is held against the nearest token of
the passage (MaxSim of ColBERT, Khattab and Zaharia, SIGIR 2020), with the embedder's own token vectors.
A cross-encoder reads both texts together; sentence-transformers loads it.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from twin_assets.core.embedding.embedder import Embedder, search_view
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Passage


def by_late_interaction(question: str, passages: list[Passage], embedder: Embedder) -> list[Passage]:
    """Passages by the mean over the question's tokens of the best cosine with a passage's token."""
    if not passages:
        return []
    query, *texts = embedder.token_vectors([question, *(search_view(p) for p in passages)])
    return _by([float((query @ text.T).max(axis=1).mean()) for text in texts], passages)


def by_cross_encoder(question: str, passages: list[Passage], model: str) -> list[Passage]:
    """Passages by the relevance that the model gives to each pair. TwinError when it can't be loaded."""
    if not passages:
        return []
    scores = load_cross_encoder(model).predict(
        [(question, search_view(p)) for p in passages], show_progress_bar=False
    )
    return _by([float(s) for s in np.asarray(scores).reshape(len(passages))], passages)


@lru_cache(maxsize=1)
def load_cross_encoder(model: str) -> Any:
    """The cross-encoder of that name; one a process."""
    try:
        from sentence_transformers import CrossEncoder
    except ModuleNotFoundError:
        raise TwinError(
            f"The reranker {model!r} takes torch, which isn't installed here.",
            "pip install 'llm-twin-platform[llm]', or unset TWIN_RERANKER.",
        ) from None
    try:
        return CrossEncoder(model, num_labels=1)
    except OSError as error:
        raise TwinError(
            f"The reranker {model!r} can't be loaded: {str(error).splitlines()[0]}",
            "set TWIN_RERANKER to a model folder or a hub id that this machine reaches, or unset it.",
        ) from error


def _by(scores: list[float], passages: list[Passage]) -> list[Passage]:
    order = sorted(range(len(passages)), key=lambda i: -scores[i])
    return [passages[i] for i in order]

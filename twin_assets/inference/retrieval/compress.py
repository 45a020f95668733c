"""Passages cut to a token budget by keeping the sentences that answer, in their order, offsets exact."""

from functools import lru_cache

import numpy as np

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.records import Passage
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import Span, sentences

GAP = " ... "
# What the prompt's own cut would count for the marks between parts that are not neighbours.
GAP_TOKENS = estimated_tokens(GAP)
KEPT_PASSAGES = 2048  # of some ten sentences with 1.5 KB each


def compress(question: str, passages: list[Passage], tokens: int, embedder: Embedder) -> list[Passage]:
    """Passages of at most `tokens` estimated tokens each; `spans` say where their parts stand.

    Sentences are taken by their cosine with the question while they
    fit (extractive compression); a passage that fits whole, or none of whose sentences does, stays as it is.
    """
    return [
        _shortened(question, p, tokens, embedder) if estimated_tokens(p.text) > tokens else p
        for p in passages
    ]


def _shortened(question: str, passage: Passage, tokens: int, embedder: Embedder) -> Passage:
    parts, vectors = _read(passage.text, embedder)
    near = vectors @ embedder.embed_question(question)
    return _kept(passage, parts, near.tolist(), tokens)


@lru_cache(maxsize=KEPT_PASSAGES)
def _read(text: str, embedder: Embedder) -> tuple[list[Span], np.ndarray]:
    """The sentences of a text and their vectors. Kept, since the same passages are found again and again, and
    embedding their sentences takes longer than all the rest of retrieval."""
    parts = sentences(text)
    return parts, embedder.embed([text[start:end] for start, end in parts])


def _kept(passage: Passage, parts: list[Span], scores: list[float], tokens: int) -> Passage:
    chosen: list[int] = []
    left = tokens
    for place in sorted(range(len(parts)), key=lambda i: -scores[i]):
        cost = estimated_tokens(passage.text[slice(*parts[place])]) + GAP_TOKENS
        if cost <= left:
            chosen.append(place)
            left -= cost
    if not chosen:
        return passage
    spans: list[Span] = []
    for place in sorted(chosen):
        start, end = parts[place]
        if spans and place - 1 in chosen:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return passage.model_copy(
        update={
            "text": GAP.join(passage.text[start:end] for start, end in spans),
            "spans": [(passage.start + start, passage.start + end) for start, end in spans],
        }
    )

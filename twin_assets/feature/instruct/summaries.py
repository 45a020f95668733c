"""Articles with the author's own short text about the same: what a request to summarise is answered with.

Best is a post about the article: one that links to it, or is near enough in meaning. Where there is none, the
article's opening or closing stands for it if it says what the rest says: the gap sentences of PEGASUS (Zhang et
al. 2020), by embeddings instead of shared words. Its text is then taken out of the article that is shown.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import count_words
from twin_assets.feature.instruct.passages import paragraphs, passages_of

Embed = Callable[[list[str]], np.ndarray]

MIN_WORDS, MAX_WORDS = 40, 200
# What is shown must be this much longer, or there is nothing to summarise.
TIMES_SHORTER = 1.5


class Summary(NamedTuple):
    """`answer` is verbatim from `document`; `article` is what is shown, cut at a paragraph end."""

    document: SplitDocument
    article: str
    answer: str


def find_summaries(
    documents: list[SplitDocument],
    chunks: list[EmbeddedChunk],
    embed: Embed,
    token_budget: int,
    answered: int,
    thresholds: Thresholds = OFFLINE_MINILM,
) -> Iterator[Summary]:
    """One summary or more for each article that has one, both of the same side of the split.

    `token_budget` is what article and answer may have together, `answered` what an answer may, in estimated tokens.
    """
    vectors = _document_vectors(chunks)
    posts = [d for d in documents if d.category == "post"]
    articles = [d for d in documents if d.category == "article"]
    about = _articles_of(posts, articles, vectors, thresholds.same_subject)
    for article in articles:
        of_it = [post for post in posts if about.get(post.doc_id) == article.doc_id]
        for post in of_it:
            # A small answer budget holds the beginning of a post, as in other tasks.
            yield from _shortened(
                post, article, article.voice_text, passages_of(post.voice_text, answered)[0], token_budget
            )
        if not of_it and (own := _own_summary(article, chunks, embed, thresholds.says_the_rest)):
            start, end = own
            rest = f"{article.voice_text[:start].rstrip()}\n\n{article.voice_text[end:].lstrip()}".strip()
            yield from _shortened(article, article, rest, article.voice_text[start:end], token_budget)


def _shortened(
    document: SplitDocument, article: SplitDocument, text: str, answer: str, token_budget: int
) -> Iterator[Summary]:
    head = f"{article.title}\n\n" if article.title else ""
    most = token_budget - estimated_tokens(head) - estimated_tokens(answer)
    ends = [end for _, end in paragraphs(text, max(most, 1)) if estimated_tokens(text[:end]) <= most]
    article_shown = text[: ends[-1]] if ends else ""
    if count_words(article_shown) >= TIMES_SHORTER * count_words(answer):
        yield Summary(document, head + article_shown, answer)


def _articles_of(
    posts: list[SplitDocument], articles: list[SplitDocument], vectors: dict[str, np.ndarray], least: float
) -> dict[str, str]:
    """The article that each post is about, by ids; a post about none is left out."""
    about: dict[str, str] = {}
    for post in posts:
        same_side = [a for a in articles if a.split == post.split]
        linked = [a for a in same_side if _address(a.url) in post.voice_text]
        near = [
            (float(np.round(vectors[post.doc_id] @ vectors[a.doc_id], 2)), a.doc_id)
            for a in same_side
            if post.doc_id in vectors and a.doc_id in vectors
        ]
        best = max(near, default=(0.0, ""))
        if linked:
            about[post.doc_id] = linked[0].doc_id
        elif best[0] >= least:
            about[post.doc_id] = best[1]
    return about


def _own_summary(
    article: SplitDocument, chunks: list[EmbeddedChunk], embed: Embed, least: float
) -> tuple[int, int] | None:
    """Where the opening or closing stands that is nearest to the rest of the article; None if neither is near."""
    text = article.voice_text
    spans = list(paragraphs(text, len(text)))
    candidates = [c for c in (_grown(text, spans), _grown(text, spans[::-1])) if c]
    near = []
    for start, end in dict.fromkeys(candidates):
        rest = [c.vector for c in chunks if c.doc_id == article.doc_id and (c.end <= start or c.start >= end)]
        if rest:
            cosine = embed([text[start:end]])[0] @ _unit(np.array(rest, dtype=np.float32).mean(axis=0))
            near.append((float(np.round(cosine, 2)), -start, end))
    best = max(near, default=(0.0, 0, 0))
    return (-best[1], best[2]) if best[0] >= least else None


def _grown(text: str, spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The first of the spans, with those after it until there are words enough; None where a heading, code or
    a footnote stands among them, or there are too many words."""
    for count in range(1, len(spans) + 1):
        taken = spans[:count]
        start, end = min(s for s, _ in taken), max(e for _, e in taken)
        words = count_words(text[start:end])
        if text[slice(*taken[-1])].startswith(("## ", "```", "[^")):
            return None
        if words >= MIN_WORDS:
            return (start, end) if words <= MAX_WORDS else None
    return None


def _document_vectors(chunks: list[EmbeddedChunk]) -> dict[str, np.ndarray]:
    """The mean direction of each document's chunks."""
    sums: dict[str, np.ndarray] = {}
    for chunk in chunks:
        sums[chunk.doc_id] = sums.get(chunk.doc_id, 0) + np.array(chunk.vector, dtype=np.float32)
    return {doc_id: _unit(total) for doc_id, total in sums.items()}


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _address(url: str) -> str:
    """A link without what varies: scheme, query, fragment, a slash at the end."""
    return url.split("://", 1)[-1].split("?")[0].split("#")[0].rstrip("/")

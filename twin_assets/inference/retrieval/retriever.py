"""Passages for a question: understood, searched, ranked, cut to a budget. Every part has a switch.

The same embedder that indexed the chunks embeds the query. `core/persona/retrieval_options.py` has the switches,
docs/retrieval.md what each part is worth.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.records import Passage, Record, Visibility
from twin_assets.core.tracing.spans import Span, span
from twin_assets.core.vectors.base import Filters
from twin_assets.inference.retrieval.compress import compress
from twin_assets.inference.retrieval.fuse import fuse, one_per_document
from twin_assets.inference.retrieval.planner import Planner, PlannerFailed
from twin_assets.inference.retrieval.rerank import by_cross_encoder, by_late_interaction
from twin_assets.inference.retrieval.understand import ParsedQuery, by_rules
from twin_assets.settings import Settings

OVERFETCH = 3


class RetrievalResult(Record):
    """Passages for a question, best first. `needed` is False when the question needs none.

    `steps_ms` is the time of each stage in milliseconds; `queries` and `filters` are what was searched;
    `note` says what was left out and why.
    """

    passages: list[Passage]
    steps_ms: dict[str, float]
    needed: bool = True
    queries: list[str] = []
    filters: Filters = {}
    note: str | None = None


class Searches(Protocol):
    """`VectorStore.search`, which is all that retrieval asks of a store."""

    def search(
        self,
        text: str,
        vector: np.ndarray,
        k: int,
        *,
        embedder: str,
        filters: Filters | None = None,
        alpha: float = 0.7,
        audience: Visibility = "public",
    ) -> list[Passage]: ...


class Retriever:
    """Search in one persona's index, for one audience: no part of retrieval sees what it may not see.

    `planner` and `reranker` (a cross-encoder) are used where there is one.
    """

    def __init__(
        self,
        store: Searches,
        embedder: Embedder,
        options: RetrievalOptions | None = None,
        *,
        planner: Planner | None = None,
        reranker: str | None = None,
        audience: Visibility = "public",
    ) -> None:
        self.store, self.embedder, self.options = store, embedder, options or RetrievalOptions()
        self.planner, self.reranker, self.audience = planner, reranker, audience

    def retrieve(self, query: str, k: int, filters: Filters | None = None) -> list[Passage]:
        """The `k` best passages for a query as it stands, best first."""
        with span("retrieval") as own:
            passages = self._search([query], query, k, filters or {}, self.options, _Clock())
            if own:
                _tell(own, query, k, RetrievalResult(passages=passages, steps_ms={}, queries=[query]))
            return passages

    def find(
        self, question: str, k: int, tokens: int | None = None, options: RetrievalOptions | None = None
    ) -> RetrievalResult:
        """Passages for a person's question, each at most `tokens` estimated tokens where that is given."""
        with span("retrieval") as own:
            result = self._found(question, k, tokens, options or self.options)
            if own:
                _tell(own, question, k, result)
            return result

    def _found(self, question: str, k: int, tokens: int | None, options: RetrievalOptions) -> RetrievalResult:
        clock = _Clock()
        with clock.step("understand"):
            parsed, note = self._understood(question, options)
        if not parsed.needed:
            return RetrievalResult(passages=[], steps_ms=clock.steps, needed=False)
        passages = self._search(parsed.queries, question, k, parsed.filters, options, clock)
        if parsed.filters and not passages:  # what a question seems to say may be wrong
            passages = self._search(parsed.queries, question, k, {}, options, clock)
            note = note or "nothing fits the filters, so they were left out"
        queries = parsed.queries
        if self.planner and not note and options.agent_steps:
            passages, queries, note = self._reflected(question, k, parsed, passages, options, clock)
        if tokens and options.compress:
            with clock.step("compress"):
                passages = compress(question, passages, tokens, self.embedder)
        return RetrievalResult(
            passages=passages, steps_ms=clock.steps, queries=queries, filters=parsed.filters, note=note
        )

    def _understood(self, question: str, options: RetrievalOptions) -> tuple[ParsedQuery, str | None]:
        note = None
        if self.planner and options.agent_steps:
            try:
                return _allowed(self.planner.plan(question), question, options), None
            except PlannerFailed as error:
                note = f"planned by rules: {error}"
        understood = by_rules(
            question, route=options.route, self_query=options.self_query, expand=options.expand
        )
        return understood, note

    def _reflected(
        self,
        question: str,
        k: int,
        parsed: ParsedQuery,
        passages: list[Passage],
        options: RetrievalOptions,
        clock: "_Clock",
    ) -> tuple[list[Passage], list[str], str | None]:
        """Look at what was found and search again, until it is enough, nothing is new, or the steps are used."""
        assert self.planner is not None
        queries = list(parsed.queries)
        for _ in range(options.agent_steps):
            try:
                with clock.step("reflect"):
                    seen = self.planner.reflect(question, passages)
            except PlannerFailed as error:
                return passages, queries, f"not searched again: {error}"
            new = [q for q in seen.queries if q not in queries]
            if seen.enough or not new:
                break
            queries += new
            passages = self._search(queries, question, k, parsed.filters, options, clock)
        return passages, queries, None

    def _search(
        self,
        queries: list[str],
        question: str,
        k: int,
        filters: Filters,
        options: RetrievalOptions,
        clock: "_Clock",
    ) -> list[Passage]:
        """The `k` best passages for all queries together; `similarity` is always that to the question."""
        with clock.step("embed") as own:
            vectors = {text: self.embedder.embed_question(text) for text in [*queries, question]}
            if own:
                own.note({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": self.embedder.name})
        reranking = self._reranking(options)
        depth = max(k * OVERFETCH, options.rerank_depth if reranking != "off" else 0)
        with clock.step("search"):
            passages = fuse([self._one(q, vectors[q], depth, filters, options.alpha) for q in queries])
        if reranking == "late_interaction":
            with clock.step("rerank"):
                passages = by_late_interaction(question, passages[:depth], self.embedder)
        elif reranking == "cross_encoder" and self.reranker:
            with clock.step("rerank") as own:
                if own:
                    own.note({"gen_ai.request.model": self.reranker})
                passages = by_cross_encoder(question, passages[:depth], self.reranker)
        return (one_per_document(passages) if options.one_per_document else passages)[:k]

    def _one(
        self, query: str, vector: np.ndarray, depth: int, filters: Filters, alpha: float
    ) -> list[Passage]:
        return self.store.search(
            query,
            vector,
            depth,
            embedder=self.embedder.fingerprint,
            filters=filters,
            alpha=alpha,
            audience=self.audience,
        )

    def _reranking(self, options: RetrievalOptions) -> str:
        if options.rerank == "auto":
            return "cross_encoder" if self.reranker else "off"
        return options.rerank


def open_retriever(
    settings: Settings, persona: Persona, store: Searches, embedder: Embedder, audience: Visibility = "public"
) -> Retriever:
    """The persona's retriever for an audience, with the planner and the reranker that the settings name."""
    planner = Planner(settings, persona) if settings.planner_model else None
    return Retriever(
        store, embedder, persona.retrieval, planner=planner, reranker=settings.reranker, audience=audience
    )


def _allowed(plan: ParsedQuery, question: str, options: RetrievalOptions) -> ParsedQuery:
    """A planner's plan without what is switched off."""
    needed = plan.needed or not options.route
    return ParsedQuery(
        needed=needed,
        queries=plan.queries or ([question] if needed else []),
        filters=plan.filters if options.self_query else {},
    )


def _tell(own: Span, query: str, k: int, result: RetrievalResult) -> None:
    """What a retrieval's span says: how much was found and how near it is; its words only where they may be told."""
    own.note(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.request.top_k": k,
            "twin.retrieval.needed": result.needed,
            "twin.retrieval.queries": len(result.queries),
            "twin.retrieval.filters": sorted(result.filters),
            "twin.retrieval.passages": len(result.passages),
            "twin.retrieval.chunk_ids": [p.chunk_id for p in result.passages],
            "twin.retrieval.nearest": max((p.similarity for p in result.passages), default=None),
            "gen_ai.retrieval.query.text": query if own.texts else None,
        }
    )


class _Clock:
    """Adds up the milliseconds of named steps, each a span where the request is traced."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Span | None]:
        began = time.monotonic()
        with span(name) as own:
            yield own
        self.steps[name] = self.steps.get(name, 0.0) + (time.monotonic() - began) * 1000

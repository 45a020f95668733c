"""Texts in steps, over HTTP: a chain at its desk, its events, and one row in the request log when it ends."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from serving.twin.answering import PLUMBING, AnswerService
from serving.twin.request import TwinRequest
from serving.twin.tracing import first_span, keep_texts
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import most_closed
from twin_assets.core.tracing.spans import below
from twin_assets.inference.generation.sampling import TEMPERATURE, Sampling
from twin_assets.inference.twin.answer import RETRIEVAL, Answer, Plan, Written
from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.chain.chain import Chain
from twin_assets.inference.twin.chain.desk import ChainDesk
from twin_assets.inference.twin.chain.records import ChainEvent, GivenSteps
from twin_assets.inference.twin.request_log import Outcome, RequestRecord
from twin_assets.inference.twin.writing import Writing


class ChainRun:
    """One chain of one request."""

    def __init__(self, answers: AnswerService, request: TwinRequest, given: GivenSteps) -> None:
        """Raises what `AnswerService.bench` does, and TwinError for given steps that don't fit together."""
        assert request.brief is not None
        self._answers, self._request = answers, request
        self._bench = bench = answers.bench(request)
        # Without a user of the caller's, all texts of a chain are one user's: they are written by one version.
        self._asks = replace(request, user=request.user or request.request_id)
        self._options = answers.options(bench.persona, request)
        desk = ChainDesk(
            bench.twin,
            request.brief,
            self._begin,
            TEMPERATURE if request.temperature is None else request.temperature,
            request.seed,
            answers.thresholds,
            bench.linked if request.links else None,
        )
        self.chain = Chain(desk, given, ServiceJudge(answers, bench.persona), answers.price)
        self._outcome: Outcome = "failed"

    def events(self) -> Generator[ChainEvent | None, None, None]:
        """What `Chain.events` gives; logged at their end, however that comes."""
        return below(first_span(self._answers.tracer, self._request), self._events())

    def _events(self) -> Generator[ChainEvent | None, None, None]:
        keep_texts(self._bench.persona)
        try:
            with closing(self.chain.events()) as events:
                yield from events
            self._outcome = self._written
        finally:
            self._log()

    def answer(self) -> Answer:
        """The whole text, as `POST /v1/write` gives one; empty where the chain ended before its draft."""
        desk, chain = self.chain.desk, self.chain
        tokens_in, tokens_out = desk.tokens
        return Answer(
            text=chain.text,
            outcome=self._written,
            citations=chain.citations,
            model=self._model,
            prompt_kind="write_chain",
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            steps_ms=dict(desk.steps_ms),
            seed=desk.seed,
            degraded=desk.degraded,
            unsupported_links=[f.text for f in chain.findings if f.kind == "link"],
            request_id=self._request.request_id,
            notice=PLUMBING if self._model in self._bench.plumbing else None,
        )

    @property
    def _written(self) -> Written:
        """How it ends, where nothing breaks it off."""
        return "without_passages" if RETRIEVAL in self.chain.desk.degraded else "answered"

    @property
    def _model(self) -> str:
        """The version that wrote, or would have written, its texts."""
        writings = self.chain.desk.writings
        return writings[-1].writers.model if writings else self._bench.production or self._request.persona

    def _begin(self, plan: Plan, sampling: Sampling) -> Writing:
        """The making of one text; sections are the best of several where that is wished."""
        answers, options = self._answers, self._options
        writers = answers.fallback.writers(answers.engine(self._asks, self._bench.production), False)
        chooses = (options.best_of or 1) > 1 and sampling.response_format is None
        return Writing(
            answers.allowed(plan),
            writers,
            sampling,
            options,
            answers.instruments.chooser(self._bench.persona, answers.profile) if chooses else None,
        )

    def _log(self) -> None:
        request, desk, citations = self._request, self.chain.desk, self.chain.citations
        tokens_in, tokens_out = desk.tokens
        price = self._answers.price(tokens_in, tokens_out, desk.steps_ms["generate"])
        fallback = [w.writers.cost for w in desk.writings if w.writers.cost is not None]
        row = RequestRecord(
            request_id=request.request_id,
            time=datetime.now(UTC),
            persona=self._bench.persona.name,
            model=self._model,
            prompt_kind="write_chain",
            retrieved=[c.chunk_id for c in citations],
            scores=[c.score for c in citations],
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            steps_ms=dict(desk.steps_ms),
            outcome=self._outcome,
            prompt=request.text,
            answer=self.chain.text,
            key=request.caller,
            user=request.user_id,
            cost=sum(fallback) if fallback else price,
            canary=any(self._answers.is_canary(w.writers) for w in desk.writings),
            visibility=most_closed(c.visibility for c in citations),
            brief=request.brief,
        )
        self._answers.note(row, self._bench.persona, desk.degraded)


class ServiceJudge:
    """The instruments of a service, asked for one persona. Until they are fitted, `scores` says which are missing."""

    def __init__(self, answers: AnswerService, persona: Persona) -> None:
        self._answers, self._persona = answers, persona
        answers.instruments.chooser(persona, answers.profile)  # begins to fit them

    def scores(self, texts: list[str], passages: list[str]) -> tuple[list[CandidateScore], dict[str, str]]:
        choose = self._answers.instruments.chooser(self._persona, self._answers.profile)
        choice = choose(texts, passages, False)
        return choice.scores, choice.left_out

    def copied(self, text: str) -> list[str]:
        return self._answers.instruments.copied(self._persona, self._answers.profile, text)

    def near(self, text: str, subject: str) -> float:
        first, second = load_embedder(self._answers.settings.embedder).embed([text, subject])
        return float(first @ second)

    def supported(self, claims: list[str], passages: list[str]) -> list[bool]:
        facts = self._answers.facts
        return [facts.supporters(claim, passages)[0] for claim in claims]

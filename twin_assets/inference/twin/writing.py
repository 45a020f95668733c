"""One answer in the making: a draft or the best of several, put into form, held to its passages. Whole or in pieces, the same."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.prompts.templates import served_prompts_fingerprint
from twin_assets.core.tracing.spans import Span, current_span, span, spanned
from twin_assets.inference.generation.fallback import Writers
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling, following_seed
from twin_assets.inference.grounding.facts import (
    RETRY_TEMPERATURE,
    RETRY_TOKENS,
    FactChecks,
    FactDesk,
    TendedAnswer,
)
from twin_assets.inference.twin.answer import RETRIEVAL, Answer, Citation, Plan, Written, shape_of
from twin_assets.inference.twin.candidates import Choice, Choose

# What `pieces` gives while nothing can be said yet: whoever reads sees that it lives, and one who left is felt.
ALIVE = ""


class Writing:
    """One answer to a plan. `choice` and `checks` say what became of its drafts, once it is written."""

    def __init__(
        self,
        plan: Plan,
        writers: Writers,
        sampling: Sampling,
        options: AnswerOptions | None = None,
        choose: Choose | None = None,
        facts: FactDesk | None = None,
    ) -> None:
        """With `choose` the best of `options.best_of` texts is given; with `facts` an answer is held to its passages as
        the options say."""
        self.plan, self.writers, self._sampling = plan, writers, sampling
        self._options, self._choose, self._facts = options or AnswerOptions(), choose, facts
        self.choice: Choice | None = None
        self.checks: FactChecks | None = None
        self._steps: dict[str, float] = {}

    @property
    def outcome(self) -> Written:
        """As far as it is known by now: an answer that nothing stays of becomes a refusal."""
        if self.checks and self.checks.declined:
            return "refused"
        away = RETRIEVAL in self.plan.degraded and self.writers.outcome == "answered"
        return "without_passages" if away else self.writers.outcome

    @property
    def citations(self) -> list[Citation]:
        """What it was written from."""
        return [] if self.outcome == "refused" else self.plan.citations

    @property
    def written(self) -> int:
        """How many texts it is the best of."""
        return len(self.choice.scores) if self.choice else 1

    @property
    def left_out(self) -> dict[str, str]:
        """Which instruments did not choose, and why."""
        return self.choice.left_out if self.choice else {}

    @property
    def steps_ms(self) -> dict[str, float]:
        """The time of each step in milliseconds, of retrieval too."""
        return self.plan.steps_ms | self._steps

    def whole(self) -> Answer:
        """The whole answer. Raises EngineUnavailable when nobody can give one, and TwinError for a request that the engine
        refuses."""
        text = "".join(self.pieces(whole=True))
        answered = self.outcome != "refused"
        tokens_in, tokens_out = self.writers.tokens
        return Answer(
            text=text,
            outcome=self.outcome,
            citations=self.citations,
            model=self.writers.model,
            prompt_kind=self.plan.prompt_kind,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            steps_ms=self.steps_ms,
            seed=self._sampling.seed,
            degraded=self.plan.degraded + self.writers.degraded if answered else [],
            unsupported_links=self.plan.unsupported_links(text) if answered else [],
            finish_reason=self.writers.finish_reason,
            written=self.written,
            left_out=self.left_out,
            checks=self.checks,
            understood_as=self.plan.understood_as,
            turns_left_out=self.plan.turns_left_out,
        )

    def pieces(self, whole: bool = False) -> Generator[str, None, None]:
        """The text in pieces, ALIVE among them. Raises what `whole` does; what has begun is not written on by another."""
        return spanned("write", self._made(whole))

    def _made(self, whole: bool) -> Generator[str, None, None]:
        begun = False
        try:
            while True:
                try:
                    with closing(self._pieces(whole)) as pieces:
                        for piece in pieces:
                            begun = begun or bool(piece)
                            yield piece
                    return
                except EngineUnavailable:
                    if begun or not self.writers.hand_over():
                        raise
        finally:
            if own := current_span():
                self._tell(own)

    def _tell(self, own: Span) -> None:
        """What a text's span says: its prompt, and what became of it."""
        declined = bool(self.checks and self.checks.declined)
        own.note(
            {
                "gen_ai.prompt.name": self.plan.prompt_kind,
                "gen_ai.response.model": self.writers.model,
                "twin.prompt.version": served_prompts_fingerprint(),
                "twin.passages": len(self.plan.passages),
                "twin.outcome": self.outcome,
                "twin.refused_by": "checks"
                if declined
                else "retrieval"
                if self.outcome == "refused"
                else None,
                "twin.degraded": self.plan.degraded + self.writers.degraded,
            }
        )

    def _pieces(self, whole: bool) -> Generator[str, None, None]:
        if self.writers.current is None:
            yield self.plan.refusal or ""
            return
        start = time.monotonic()
        try:
            yield from self._written(whole)
        finally:
            took = (time.monotonic() - start) * 1000
            looked = {
                "choose": self.choice.choose_ms if self.choice else 0.0,
                "check": self.checks.check_ms if self.checks else 0.0,
            }
            self._steps = {"generate": took - sum(looked.values())} | {
                n: ms for n, ms in looked.items() if ms
            }

    def _written(self, whole: bool) -> Iterator[str]:
        plan = self.plan
        tended = None
        asks = plan.question and plan.passages and self._sampling.response_format is None
        if self._facts and asks and self._options.tends_facts:
            tended = self._facts.tend(plan.question or "", plan.passages, self._options)
        if tended is None:
            self.checks = None
            yield from self._shaped(whole)
        else:
            yield from spanned("check", self._checked(tended, whole))
        if self.checks and self.checks.declined:
            yield plan.declining or ""

    def _checked(self, tended: TendedAnswer, whole: bool) -> Generator[str, None, None]:
        """The draft, held to its passages while it is written."""
        try:
            if not tended.declines():
                yield from tended.pieces(self._shaped(whole), self._again)
        finally:
            self.checks = tended.checks
            if own := current_span():
                own.note({f"twin.check.{name}": value for name, value in self.checks.model_dump().items()})

    def _shaped(self, whole: bool) -> Iterator[str]:
        """The draft, or the best of several, in its form; ALIVE while there is nothing."""
        draft: Iterable[str]
        if self._choose and (self._options.best_of or 1) > 1:
            draft = [(yield from self._best(self._choose, self._options.best_of or 1))]
        else:
            draft = self._draft(self._sampling, whole)
        yield from (piece for piece in shape_of(self.plan, self._sampling)(draft) if piece)

    def _draft(self, sampling: Sampling, whole: bool) -> Iterable[str]:
        """One text by whoever is to write; whole, the engine is not asked for pieces."""
        current = self.writers.current
        assert current is not None
        if whole:
            return [current.generate([self.plan.conversation], sampling)[0].text]
        return current.stream(self.plan.conversation, sampling)

    def _again(self) -> Iterable[str]:
        """A second draft, nearer to the likeliest words; nothing where it can't be had, since there is a first."""
        s = self._sampling
        again = replace(
            s,
            max_tokens=min(s.max_tokens, RETRY_TOKENS),
            temperature=min(s.temperature, RETRY_TEMPERATURE),
            seed=following_seed(s.seed, 1),
        )
        try:
            return shape_of(self.plan, self._sampling)(self._draft(again, whole=True))
        except TwinError:
            return []

    def _best(self, choose: Choose, n: int) -> Generator[str, None, str]:
        """The best of so many texts; ALIVE while they are written."""
        current, plan = self.writers.current, self.plan
        assert current is not None
        texts = yield from current.candidates(plan.conversation, self._sampling, n)
        start = time.monotonic()
        with span("choose") as own:
            choice = choose(texts, plan.passages, plan.question is not None)
            if own:
                totals = [score.total for score in choice.scores]
                own.note({"twin.choice.chosen": choice.chosen, "twin.choice.totals": totals})
        self.choice = choice.model_copy(update={"choose_ms": (time.monotonic() - start) * 1000})
        current.settle(choice.chosen)
        return texts[choice.chosen]

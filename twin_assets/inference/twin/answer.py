"""The twin: retrieve, build the prompt, cite. `writing` makes an answer of a plan; the service does both for a request."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Strict

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.prompts.talk import PROMPT_TOKENS, carried, exchanges_of
from twin_assets.core.prompts.templates import (
    refusal,
    render,
    request_message,
    shown_passages,
    strip_special_tokens,
    system_message,
)
from twin_assets.core.records import Exchange, Message, Passage, Record, StrictTypes, Visibility
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import count_words, first_words
from twin_assets.core.tracing.spans import span
from twin_assets.inference.generation.sampling import ANSWERING, WRITING, Sampling
from twin_assets.inference.grounding.facts import FactChecks
from twin_assets.inference.retrieval.condense import Condense, Condensed, condensed_by_rules
from twin_assets.inference.retrieval.resilient_store import RetrievalUnavailable
from twin_assets.inference.retrieval.retriever import RetrievalResult
from twin_assets.inference.twin.brief import Brief, WriteKind
from twin_assets.inference.twin.shaping import (
    Shape,
    json_without_images,
    unsupported_links,
    within_x_limit,
    without_images,
)

CITED_WORDS = 60
RETRIEVAL = "retrieval"  # in `degraded`: written without the passages that there may have been

Written = Literal["answered", "refused", "without_passages"]
"""How a request ended that got a text: `without_passages` says that the vector store was away."""

Retrieve = Callable[[str, int], list[Passage]]


# Finds the passages of linked sources: what for, how many, of how many tokens each.
Linked = Callable[[str, int, int], list[Passage]]


class Find(Protocol):
    """`Retriever.find`."""

    def __call__(
        self, question: str, k: int, tokens: int | None = None, options: RetrievalOptions | None = None
    ) -> RetrievalResult: ...


class Citation(StrictTypes, Record):
    """A passage that the prompt carried. `start` and `end` are offsets in the document's voice_text.

    Where only parts of it were carried, `spans` are the offsets of the parts, and `quote` begins with them.
    `linked` says that it is of a source that came with the request, and the offsets are in its cleaned text.
    `visibility` is that of the document: what is written from it is not to be shown to more people. A person may send it back, as a
    part of a chain's step.
    """

    number: int
    chunk_id: str
    doc_id: str
    url: str
    title: str | None
    start: int
    end: int
    spans: list[Annotated[tuple[int, int], Strict(False)]] = []  # JSON has no tuple
    quote: str
    score: float
    linked: bool = False
    visibility: Visibility = "public"


class Answer(Record):
    """What a request gets. `steps_ms` is the time of each step in milliseconds.

    With the same `seed` the same request gives the same text on the same version and engine, but for rounding in
    batches of other sizes. `degraded` names what had to be done without; `unsupported_links` are addresses in the text that the model was not shown.
    `notice` is what a reader must know of whoever wrote it, None where there is nothing. `written` is how many texts it is the best
    of, `left_out` which instruments did not choose, and why; `checks` is what was done to hold it to its passages. In a talk
    `understood_as` is the question that was searched and answered where it is another than what was typed, and `turns_left_out`
    how many of the oldest exchanges the prompt had no room for. `thread_kept` says whether the turn was added to the thread that
    the request named; None where it named none.
    """

    text: str
    outcome: Written
    citations: list[Citation]
    model: str
    prompt_kind: str
    tokens_in: int = 0
    tokens_out: int = 0
    steps_ms: dict[str, float] = {}
    seed: int | None = None
    degraded: list[str] = []
    unsupported_links: list[str] = []
    request_id: str | None = None
    finish_reason: str = "stop"
    notice: str | None = None
    written: int = 1
    left_out: dict[str, str] = {}
    checks: FactChecks | None = None
    understood_as: str | None = None
    turns_left_out: int = 0
    thread_kept: bool | None = None


class Plan(Record):
    """A request made ready for the model; `refusal` is set when there is nothing to answer from.

    `steps_ms` is the time of each stage of retrieval in milliseconds; `note` says what retrieval left out.
    `max_tokens` is the limit of the answer; `shape` names the rule of form that the text has to keep. `passages` are the texts
    that the prompt shows, one a citation. Of a question, `question` is what was asked, condensed from the talk before it, and
    `declining` how it is declined; `understood_as` and `turns_left_out` are those of the answer.
    """

    conversation: list[Message]
    prompt_kind: str
    citations: list[Citation]
    steps_ms: dict[str, float]
    refusal: str | None = None
    note: str | None = None
    degraded: list[str] = []
    max_tokens: int
    shape: Literal["x_post"] | None = None
    passages: list[str] = []
    question: str | None = None
    declining: str | None = None
    understood_as: str | None = None
    turns_left_out: int = 0

    def unsupported_links(self, text: str) -> list[str]:
        """Addresses in an answer that neither the prompt nor a citation has."""
        return unsupported_links(
            text, [*(m.content for m in self.conversation), *(c.url for c in self.citations)]
        )

    @property
    def retrieve_ms(self) -> float:
        """All of retrieval."""
        return sum(self.steps_ms.values())


class Twin:
    """One persona with its index: makes plans of requests."""

    def __init__(
        self,
        persona: Persona,
        profile: Profile,
        retrieve: Retrieve,
        find: Find | None = None,
        thresholds: Thresholds = OFFLINE_MINILM,
        condense: Condense = condensed_by_rules,
    ) -> None:
        """`retrieve` searches for a text as it stands, `find` for a question; without it `retrieve` does both.
        `thresholds` are those of the embedder that they search with; `condense` makes a question that stands alone."""
        self.persona, self.profile, self.retrieve = persona, profile, retrieve
        self.find, self.thresholds, self.condense = find or self._as_it_stands, thresholds, condense

    def plan_answer(
        self,
        question: str,
        options: RetrievalOptions | None = None,
        linked: Linked | None = None,
        before: Sequence[Message] = (),
    ) -> Plan:
        """Passages and messages for a question; a refusal when the corpus can't support an answer.

        `options` are this request's own; without them the persona's count. `linked` finds passages in sources
        that came with the request; `before` are the turns before the question, oldest first: what is searched, held against
        passages and declined is the question condensed from them. Raises RetrievalUnavailable: no fact is answered without passages.
        """
        asked, start = strip_special_tokens(question), time.monotonic()
        task = answer_task(asked)
        condensed = self._condensed(before, asked) if before else Condensed(question=asked)
        question = condensed.question
        took = {"condense": (time.monotonic() - start) * 1000} if before else {}
        result = self.find(question, self.profile.passages, self.profile.passage_tokens, options)
        least = self.thresholds.answerable
        supported = [p for p in result.passages if p.similarity >= least]
        sources = [p for p in self._linked(question, linked) if p.similarity >= least]
        declining = refusal(self.persona, question)
        notes = [note for note in (condensed.note, result.note) if note]
        supporting = result.model_copy(
            update={
                "passages": supported,
                "steps_ms": took | result.steps_ms,
                "note": "; ".join(notes) or None,
            }
        )
        return self._plan("answer", task, supporting, sources, exchanges_of(before)).model_copy(
            update={
                "refusal": declining if result.needed and not supported + sources else None,
                "question": question,
                "declining": declining,
                "understood_as": question if question != asked else None,
            }
        )

    def _condensed(self, before: Sequence[Message], asked: str) -> Condensed:
        with span("condense"):
            return self.condense(before, asked)

    def plan_write(self, kind: WriteKind, topic: str) -> Plan:
        """Passages and messages for a piece of writing about a topic, without further wishes."""
        return self.plan_brief(Brief(kind=kind, topic=topic))

    def plan_brief(self, brief: Brief, linked: Linked | None = None) -> Plan:
        """Passages and messages for a piece of writing; without passages it is written all the same.

        When the store can't be searched, `degraded` says so.
        """
        return self.plan_text(brief, brief.prompt_kind, brief.task(), brief.about, linked)

    def plan_text(
        self,
        brief: Brief,
        prompt_kind: str,
        task: str,
        about: str,
        linked: Linked | None = None,
        without: Collection[str] = (),
    ) -> Plan:
        """The same for a `task` in the brief's course, with what is found `about` it: passages whose chunk ids are in `without`
        only where there are too few others."""
        degraded: list[str] = []
        k = self.profile.passages
        try:
            result = self._as_it_stands(about, k + len(without))
        except RetrievalUnavailable as error:
            result, degraded = RetrievalResult(passages=[], steps_ms={}, note=error.problem), [RETRIEVAL]
        fresh = sorted(result.passages, key=lambda p: p.chunk_id in without)[:k]
        result = result.model_copy(update={"passages": fresh})
        plan = self._plan(prompt_kind, task, result, self._linked(about, linked))
        return plan.model_copy(
            update={
                "degraded": degraded,
                "max_tokens": brief.max_tokens(self.profile.answer_tokens),
                "shape": "x_post" if brief.kind == "x_post" else None,
            }
        )

    def _as_it_stands(
        self, question: str, k: int, tokens: int | None = None, options: RetrievalOptions | None = None
    ) -> RetrievalResult:
        start = time.monotonic()
        passages = self.retrieve(question, k)
        return RetrievalResult(passages=passages, steps_ms={"search": (time.monotonic() - start) * 1000})

    def _linked(self, about: str, linked: Linked | None) -> list[Passage]:
        return linked(about, self.profile.passages, self.profile.passage_tokens) if linked else []

    def _plan(
        self,
        prompt: str,
        task: str,
        result: RetrievalResult,
        linked: list[Passage],
        before: Sequence[Exchange] = (),
    ) -> Plan:
        own, linked = self._fitting(task, result.passages, linked)
        citations = [cited(n, p, n > len(own)) for n, p in enumerate([*own, *linked], start=1)]
        messages = conversation(self.persona, self.profile, task, own, linked, before)
        return Plan(
            conversation=messages,
            turns_left_out=len(before) - (len(messages) - 2) // 2,
            prompt_kind=prompt,
            citations=citations,
            steps_ms=result.steps_ms,
            note=result.note,
            max_tokens=self.profile.answer_tokens,
            passages=[p.text for p in shown_passages([*own, *linked], self.profile.passage_tokens)],
        )

    def _fitting(
        self, task: str, own: list[Passage], linked: list[Passage]
    ) -> tuple[list[Passage], list[Passage]]:
        """Passages that the context has room for beside a long draft and sources; the last own ones go first.

        A request of ordinary length keeps all, as in training.
        """
        length = estimated_tokens(task)
        token_budget = self.profile.context_tokens - self.profile.answer_tokens - length - PROMPT_TOKENS
        most = max(token_budget // self.profile.passage_tokens, 0)
        if not linked and length < self.profile.passage_tokens:
            return own, linked
        linked = linked[:most]
        return own[: most - len(linked)], linked


def sampling_of(
    plan: Plan, temperature: float | None, seed: int | None, max_tokens: int | None = None
) -> Sampling:
    """How a plan's text is written: no longer than the plan and the request allow, and without a wish as its kind is."""
    most = min(plan.max_tokens, max_tokens or plan.max_tokens)
    manner = ANSWERING if plan.question and plan.passages else WRITING
    return manner.sampling(most, seed, temperature)


def answer_task(question: str) -> str:
    """A question as the model is asked it."""
    return render("answer", question=strip_special_tokens(question))


def conversation(
    persona: Persona,
    profile: Profile,
    task: str,
    own: list[Passage],
    linked: Sequence[Passage] = (),
    before: Sequence[Exchange] = (),
) -> list[Message]:
    """What the model is asked with: the one place for it, also for what is learnt from later. `own` are passages of the
    persona's, `linked` of sources that came with the request, `before` what was said in the talk, of which stays what there is room for."""
    safe, sources = (shown_passages(list(p), profile.passage_tokens) for p in (own, linked))
    request = request_message(task, safe, sources)
    return [system_message(persona), *carried(before, profile, request), request]


def _cut(text: str, words: int) -> str:
    return text if count_words(text) <= words else first_words(text, words, " ...")


def shape_of(plan: Plan, sampling: Sampling) -> Shape:
    """The form that a plan's text has to keep."""
    if sampling.response_format:
        return json_without_images
    if plan.shape == "x_post":
        return lambda pieces: within_x_limit(without_images(pieces))
    return without_images


def cited(number: int, passage: Passage, linked: bool = False) -> Citation:
    """A passage as an answer names it."""
    return Citation(
        number=number,
        quote=_cut(passage.text, CITED_WORDS),
        linked=linked,
        **passage.model_dump(exclude={"text", "similarity"}),
    )

"""The twin: retrieve, build the prompt, generate, cite. The service does this for a request."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.prompts.templates import (
    refusal,
    render,
    request_message,
    shown_passages,
    strip_special_tokens,
    system_message,
)
from twin_assets.core.records import Message, Passage, Record, Visibility
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import count_words, first_words
from twin_assets.inference.generation.fallback import Writers
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling
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
PROMPT_TOKENS = 120  # what the system turn and the words around passages take, at most
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


class Citation(Record):
    """A passage that the prompt carried. `start` and `end` are offsets in the document's voice_text.

    Where only parts of it were carried, `spans` are the offsets of the parts, and `quote` begins with them.
    `linked` says that it is of a source that came with the request, and the offsets are in its cleaned text.
    `visibility` is that of the document: what is written from it is not to be shown to more people.
    """

    number: int
    chunk_id: str
    doc_id: str
    url: str
    title: str | None
    start: int
    end: int
    spans: list[tuple[int, int]] = []
    quote: str
    score: float
    linked: bool = False
    visibility: Visibility = "public"


class Answer(Record):
    """What a request gets. `steps_ms` is the time of each step in milliseconds.

    With the same `seed` the same request gives the same text on the same version and engine, but for rounding in
    batches of other sizes. `degraded` names what had to be done without; `unsupported_links` are addresses in the text that the model was not shown.
    `notice` is what a reader must know of whoever wrote it, None where there is nothing.
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


class Plan(Record):
    """A request made ready for the model; `refusal` is set when there is nothing to answer from.

    `steps_ms` is the time of each stage of retrieval in milliseconds; `note` says what retrieval left out.
    `max_tokens` is the limit of the answer; `shape` names the rule of form that the text has to keep.
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
    """One persona with its index: makes plans of requests. `write` and `stream` make answers of plans."""

    def __init__(
        self,
        persona: Persona,
        profile: Profile,
        retrieve: Retrieve,
        find: Find | None = None,
        thresholds: Thresholds = OFFLINE_MINILM,
    ) -> None:
        """`retrieve` searches for a text as it stands, `find` for a question; without it `retrieve` does both.
        `thresholds` are those of the embedder that they search with."""
        self.persona, self.profile, self.retrieve = persona, profile, retrieve
        self.find, self.thresholds = find or self._as_it_stands, thresholds

    def plan_answer(
        self, question: str, options: RetrievalOptions | None = None, linked: Linked | None = None
    ) -> Plan:
        """Passages and messages for a question; a refusal when the corpus can't support an answer.

        `options` are this request's own; without them the persona's count. `linked` finds passages in sources
        that came with the request. Raises RetrievalUnavailable: no fact is answered without passages.
        """
        question, task = strip_special_tokens(question), answer_task(question)
        result = self.find(question, self.profile.passages, self.profile.passage_tokens, options)
        least = self.thresholds.answerable
        supported = [p for p in result.passages if p.similarity >= least]
        sources = [p for p in self._linked(question, linked) if p.similarity >= least]
        declined = refusal(self.persona, question) if result.needed and not supported + sources else None
        supporting = result.model_copy(update={"passages": supported})
        return self._plan("answer", task, supporting, sources).model_copy(update={"refusal": declined})

    def plan_write(self, kind: WriteKind, topic: str) -> Plan:
        """Passages and messages for a piece of writing about a topic, without further wishes."""
        return self.plan_brief(Brief(kind=kind, topic=topic))

    def plan_brief(self, brief: Brief, linked: Linked | None = None) -> Plan:
        """Passages and messages for a piece of writing; without passages it is written all the same.

        When the store can't be searched, `degraded` says so.
        """
        degraded: list[str] = []
        try:
            result = self._as_it_stands(brief.about, self.profile.passages)
        except RetrievalUnavailable as error:
            result, degraded = RetrievalResult(passages=[], steps_ms={}, note=error.problem), [RETRIEVAL]
        plan = self._plan(brief.prompt_kind, brief.task(), result, self._linked(brief.about, linked))
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

    def _plan(self, prompt: str, task: str, result: RetrievalResult, linked: list[Passage]) -> Plan:
        own, linked = self._fitting(task, result.passages, linked)
        citations = [_citation(n, p, n > len(own)) for n, p in enumerate([*own, *linked], start=1)]
        return Plan(
            conversation=conversation(self.persona, self.profile, task, own, linked),
            prompt_kind=prompt,
            citations=citations,
            steps_ms=result.steps_ms,
            note=result.note,
            max_tokens=self.profile.answer_tokens,
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


def write(plan: Plan, writers: Writers, sampling: Sampling) -> Answer:
    """The whole answer to a plan. Raises EngineUnavailable when nobody can give one, and TwinError for a request that
    the engine refuses."""
    while True:
        try:
            return _whole(plan, writers, sampling)
        except EngineUnavailable:
            if not writers.hand_over():
                raise


def stream(plan: Plan, writers: Writers, sampling: Sampling) -> Iterator[str]:
    """The text of the answer in pieces. Raises what `write` does; what has begun is not written on by another."""
    begun = False
    while True:
        try:
            for piece in _pieces(plan, writers, sampling):
                begun = True
                yield piece
            return
        except EngineUnavailable:
            if begun or not writers.hand_over():
                raise


def outcome_of(plan: Plan, writers: Writers) -> Written:
    """How a plan ends that is written by who writes now."""
    away = RETRIEVAL in plan.degraded and writers.outcome == "answered"
    return "without_passages" if away else writers.outcome


def _whole(plan: Plan, writers: Writers, sampling: Sampling) -> Answer:
    if writers.current is None:
        return Answer(
            text=plan.refusal or "",
            outcome="refused",
            citations=[],
            model=writers.model,
            prompt_kind=plan.prompt_kind,
            steps_ms=plan.steps_ms,
        )
    start = time.monotonic()
    written = writers.current.generate([plan.conversation], sampling)[0]
    text = "".join(_shape(plan, sampling)([written.text]))
    return Answer(
        text=text,
        outcome=outcome_of(plan, writers),
        citations=plan.citations,
        model=writers.model,
        prompt_kind=plan.prompt_kind,
        tokens_in=written.tokens_in,
        tokens_out=written.tokens_out,
        steps_ms=plan.steps_ms | {"generate": (time.monotonic() - start) * 1000},
        seed=sampling.seed,
        degraded=plan.degraded + writers.degraded,
        unsupported_links=plan.unsupported_links(text),
        finish_reason="length" if written.finish_reason == "length" else "stop",
    )


def _pieces(plan: Plan, writers: Writers, sampling: Sampling) -> Iterator[str]:
    if writers.current is None:
        yield plan.refusal or ""
        return
    pieces = writers.current.stream(plan.conversation, sampling)
    yield from (piece for piece in _shape(plan, sampling)(pieces) if piece)


def sampling_of(plan: Plan, temperature: float, seed: int | None, max_tokens: int | None = None) -> Sampling:
    """How a plan's text is written: no longer than the plan and the request allow."""
    return Sampling(min(plan.max_tokens, max_tokens or plan.max_tokens), temperature, seed)


def answer_task(question: str) -> str:
    """A question as the model is asked it."""
    return render("answer", question=strip_special_tokens(question))


def conversation(
    persona: Persona, profile: Profile, task: str, own: list[Passage], linked: Sequence[Passage] = ()
) -> list[Message]:
    """What the model is asked with: the one place for it, also for what is learnt from later. `own` are passages of the
    persona's, `linked` of sources that came with the request."""
    safe, sources = (shown_passages(list(p), profile.passage_tokens) for p in (own, linked))
    return [system_message(persona), request_message(task, safe, sources)]


def _cut(text: str, words: int) -> str:
    return text if count_words(text) <= words else first_words(text, words, " ...")


def _shape(plan: Plan, sampling: Sampling) -> Shape:
    if sampling.response_format:
        return json_without_images
    if plan.shape == "x_post":
        return lambda pieces: within_x_limit(without_images(pieces))
    return without_images


def _citation(number: int, passage: Passage, linked: bool) -> Citation:
    return Citation(
        number=number,
        quote=_cut(passage.text, CITED_WORDS),
        linked=linked,
        **passage.model_dump(exclude={"text", "similarity"}),
    )

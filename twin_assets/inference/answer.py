"""The twin: retrieve, build the prompt, generate, cite. What the service does for a request."""

import time
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from twin_assets.core.embedder import MIN_SIMILARITY
from twin_assets.core.persona import Persona
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import defuse, refusal, shown_passages, system_message, user_message
from twin_assets.core.records import Message, Passage, Record
from twin_assets.core.retrieval_options import RetrievalOptions
from twin_assets.inference.generation import Generator
from twin_assets.inference.retrieve import Found

CITED_WORDS = 60

WriteKind = Literal["linkedin_post", "article"]
PROMPT_OF: dict[WriteKind, str] = {"linkedin_post": "write_post", "article": "write_article"}

Retrieve = Callable[[str, int], list[Passage]]


class Find(Protocol):
    """`Retriever.find`."""

    def __call__(
        self, question: str, k: int, tokens: int | None = None, options: RetrievalOptions | None = None
    ) -> Found: ...


class Citation(Record):
    """A passage that the prompt carried. `start` and `end` are offsets in the document's voice_text.

    Where only parts of it were carried, `spans` are the offsets of the parts, and `quote` begins with them.
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


class Answer(Record):
    """What a request gets. `steps_ms` is the time of each step in milliseconds."""

    text: str
    outcome: Literal["answered", "refused"]
    citations: list[Citation]
    model: str
    prompt_kind: str
    tokens_in: int = 0
    tokens_out: int = 0
    steps_ms: dict[str, float] = {}


class Plan(Record):
    """A request made ready for the model; `refusal` is set when there is nothing to answer from.

    `steps_ms` is the time of each stage of retrieval in milliseconds; `note` says what retrieval left out.
    """

    conversation: list[Message]
    prompt_kind: str
    citations: list[Citation]
    steps_ms: dict[str, float]
    refusal: str | None = None
    note: str | None = None

    @property
    def retrieve_ms(self) -> float:
        """All of retrieval."""
        return sum(self.steps_ms.values())


class Twin:
    """One persona with its model and its index."""

    def __init__(
        self, persona: Persona, profile: Profile, generator: Generator, retrieve: Retrieve,
        find: Find | None = None,
    ) -> None:  # fmt: skip
        """`retrieve` searches for a text as it stands, `find` for a question; without it `retrieve` does both."""
        self.persona, self.profile, self.generator, self.retrieve = persona, profile, generator, retrieve
        self.find = find or self._as_it_stands

    def plan_answer(self, question: str, options: RetrievalOptions | None = None) -> Plan:
        """Passages and messages for a question; a refusal when the corpus can't support an answer.

        `options` are this request's own; without them the persona's count.
        """
        question = defuse(question)
        found = self.find(question, self.profile.passages, self.profile.passage_tokens, options)
        supported = [p for p in found.passages if p.similarity >= MIN_SIMILARITY]
        declined = refusal(self.persona, question) if found.needed and not supported else None
        kept = found.model_copy(update={"passages": supported})
        return self._plan("answer", kept, declined, question=question)

    def plan_write(self, kind: WriteKind, topic: str) -> Plan:
        """Passages and messages for a piece of writing; without passages it is written all the same."""
        topic = defuse(topic)
        return self._plan(
            PROMPT_OF[kind], self._as_it_stands(topic, self.profile.passages), None, topic=topic
        )

    def _as_it_stands(
        self, question: str, k: int, tokens: int | None = None, options: RetrievalOptions | None = None
    ) -> Found:
        start = time.monotonic()
        passages = self.retrieve(question, k)
        return Found(passages=passages, steps_ms={"search": (time.monotonic() - start) * 1000})

    def _plan(self, prompt: str, found: Found, declined: str | None, **values: str) -> Plan:
        safe = shown_passages(found.passages, self.profile.passage_tokens)
        conversation = [system_message(self.persona), user_message(prompt, safe, **values)]
        citations = [_citation(n, p) for n, p in enumerate(found.passages, start=1)]
        return Plan(
            conversation=conversation, prompt_kind=prompt, citations=citations, steps_ms=found.steps_ms,
            refusal=declined, note=found.note,
        )  # fmt: skip

    def run(
        self, plan: Plan, temperature: float = 0.8, seed: int | None = None, max_tokens: int | None = None
    ) -> Answer:
        """The whole answer to a plan. Raises TwinError when the engine can't give one."""
        if plan.refusal is not None:
            return self._refused(plan)
        start = time.monotonic()
        limit = min(max_tokens or self.profile.answer_tokens, self.profile.answer_tokens)
        written = self.generator.generate([plan.conversation], limit, temperature, seed)[0]
        return Answer(
            text=written.text, outcome="answered", citations=plan.citations, model=self.generator.model,
            prompt_kind=plan.prompt_kind, tokens_in=written.tokens_in, tokens_out=written.tokens_out,
            steps_ms=plan.steps_ms | {"generate": (time.monotonic() - start) * 1000},
        )  # fmt: skip

    def stream(
        self, plan: Plan, temperature: float = 0.8, seed: int | None = None, max_tokens: int | None = None
    ) -> Iterator[str]:
        """The text of the answer in pieces."""
        if plan.refusal is not None:
            yield plan.refusal
            return
        limit = min(max_tokens or self.profile.answer_tokens, self.profile.answer_tokens)
        yield from self.generator.stream(plan.conversation, limit, temperature, seed)

    def _refused(self, plan: Plan) -> Answer:
        return Answer(
            text=plan.refusal or "", outcome="refused", citations=[], model=self.generator.model,
            prompt_kind=plan.prompt_kind, steps_ms=plan.steps_ms,
        )  # fmt: skip


def _cut(text: str, words: int) -> str:
    parts = text.split()
    return text if len(parts) <= words else " ".join(parts[:words]) + " ..."


def _citation(number: int, passage: Passage) -> Citation:
    return Citation(
        number=number,
        quote=_cut(passage.text, CITED_WORDS),
        **passage.model_dump(exclude={"text", "similarity"}),
    )

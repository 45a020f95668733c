"""Questions to every system: are answers held by their passages, are citations right, who declines what?

The persona's own questions and those made from held-out documents should be answered; those that the corpus can't
answer, its own, made from strangers' writing, or public, should be declined. Each set is counted by itself. Systems get
the passages that the service would give them. Here the model itself is asked, also where the service's gate would have declined in its place.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.prompts.templates import passages_in, without_passages
from twin_assets.core.records import Message, Record, SplitDocument
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.grounding.questions import Question
from twin_assets.evaluation.voice.stylometry import prose
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.grounding.claims import Measure, claim_support, claims_of, marks_in
from twin_assets.inference.grounding.quotations import quotations_in, without_quotations
from twin_assets.inference.twin.answer import Citation, Plan

EXAMPLES = 3
Kind = Literal["own", "heldout", "unanswerable", "made_unanswerable", "public_unanswerable"]
UNANSWERABLE = ("unanswerable", "made_unanswerable", "public_unanswerable")
# Who wrote the questions, and their kinds.
WRITTEN, MADE, PUBLIC = (
    "the persona's own questions, written by whoever set it up",
    "made from held-out documents and from strangers' writing",
    "a public set",
)
SETS: dict[str, tuple[Kind, ...]] = {
    WRITTEN: ("own", "unanswerable"),
    MADE: ("heldout", "made_unanswerable"),
    PUBLIC: ("public_unanswerable",),
}


class QaItem(Record):
    """A question made ready: what the service would ask the model, and the texts of the passages in it.

    `spans` are the texts of the cited spans as they stand in their documents, one a citation.
    """

    kind: Kind
    question: str
    plan: Plan
    passages: list[str]
    spans: list[str]
    source: str | None = None

    @property
    def should_answer(self) -> bool:
        return self.kind not in UNANSWERABLE


class Claim(Record):
    """A sentence of an answer with its support in [0, 1], which counts from `least` on."""

    text: str
    support: float
    least: float = OFFLINE_MINILM.supported

    @property
    def supported(self) -> bool:
        return self.support >= self.least


class Answered(Record):
    """What a system said to a question. `claims` are its own words', apart from `quotations`, so many, that have their passage behind them."""

    kind: Kind
    question: str
    text: str
    declined: bool
    passages: list[str]
    claims: list[Claim] = []
    quotations: int = 0


class Grounding(Record):
    """Over answers to answerable questions that came with passages; None where there was nothing to measure.

    `supported` is the share of claims that the passages support, its interval by bootstrap over answers; `quotations` are
    counted apart, since whoever quotes is supported by that alone.
    Of the citations (`[n]` in the text, else every passage shown) `precision` is the share whose span in the
    document supports a claim, `recall` the share of claims that a span they cite supports (Gao et al. 2023).
    """

    answers: int
    claims: int
    supported: float | None = None
    low: float | None = None
    high: float | None = None
    precision: float | None = None
    recall: float | None = None
    marked: int = 0
    quotations: int = 0
    unsupported: list[str] = []


class Refusals(Record):
    """The model's own text: `answered_wrongly` is the share of unanswerable questions that it did not decline,
    `declined_wrongly` that of answerable ones it did; None for no questions."""

    answered_wrongly: float | None = None
    declined_wrongly: float | None = None
    unanswerable: int = 0
    answerable: int = 0
    examples: list[str] = []


class QaEval(Record):
    """One system's answers, measured. `refusals` are those of the persona's own questions, or where it has none of the
    made ones; no figure is of both. `served_by_set` are those of what the service would give for its texts, with the gate in
    front and the answer held to its passages."""

    grounding: Grounding
    refusals: Refusals
    answers: list[Answered]
    refusals_by_set: dict[str, Refusals] = {}
    served_by_set: dict[str, Refusals] = {}

    @property
    def served(self) -> Refusals | None:
        """As `refusals`; None where that was not measured."""
        return self.served_by_set.get(WRITTEN) or self.served_by_set.get(MADE)

    def without_passages(self) -> "QaEval":
        """For everybody but the first: the passages are the same for all, and long."""
        return self.model_copy(
            update={"answers": [a.model_copy(update={"passages": []}) for a in self.answers]}
        )


def heldout_questions(heldout: list[SplitDocument], train: list[SplitDocument], most: int) -> list[Question]:
    """Questions about the topics of held-out documents; the document is their source. In rounds over documents."""
    asked: dict[str, Question] = {}
    sides = {d.doc_id: write_tasks([d], train) for d in heldout if d.category != "code"}
    for round_ in range(max(map(len, sides.values()), default=0)):
        for doc_id, tasks in sides.items():
            if round_ < len(tasks):
                question = f"What have you written about {tasks[round_].topic}?"
                asked.setdefault(question, Question(question=question, source=doc_id))
    return list(asked.values())[:most]


def qa_items(
    questions: Mapping[Kind, list[Question]], plan: Callable[[str], Plan], voice_texts: Mapping[str, str]
) -> list[QaItem]:
    """Questions with what retrieval finds for them; `voice_texts` are the documents that citations point into."""
    items = []
    for kind, some in questions.items():
        for question in some:
            made = plan(question.question)
            shown = passage_texts(made.conversation[-1])
            spans = [_span_text(c, voice_texts) for c in made.citations][: len(shown)]
            items.append(
                QaItem(
                    kind=kind,
                    question=question.question,
                    plan=made,
                    passages=shown,
                    spans=spans,
                    source=question.source,
                )
            )
    return items


def passage_texts(message: Message) -> list[str]:
    """The passages that a request shows, without their numbers."""
    lines = passages_in(message).splitlines()
    return [line.partition("] ")[2] for line in lines if line.startswith("[")]


def bare_question(item: QaItem) -> Message:
    """The question without passages."""
    return Message(role="user", content=without_passages(item.plan.conversation[-1]))


def score_qa(
    items: list[QaItem],
    texts: list[str],
    persona: Persona,
    measure: Measure,
    shown: bool,
    seed: int,
    supported: float = OFFLINE_MINILM.supported,
) -> QaEval:
    """Measure a system's texts, one for each item; `shown` says whether it was shown the passages, `supported` from
    what support on a claim counts with this `measure`."""
    answers, spans = [], []
    for item, text in zip(items, texts, strict=True):
        declined = declines(text, persona)
        claims = [] if declined or not item.should_answer else claims_of(prose(without_quotations(text)))
        scores = claim_support(claims, item.passages, measure)
        answers.append(
            Answered(
                kind=item.kind,
                question=item.question,
                text=text,
                declined=declined,
                passages=item.passages,
                quotations=len(quotations_in(text)),
                claims=[
                    Claim(text=c, support=float(s), least=supported)
                    for c, s in zip(claims, scores, strict=True)
                ],
            )
        )
        spans.append(item.spans if shown else [])
    by_set = refusals_by_set(answers)
    return QaEval(
        grounding=_grounding(answers, spans, measure, seed, supported),
        refusals=by_set.get(WRITTEN) or by_set.get(MADE) or Refusals(),
        answers=answers,
        refusals_by_set=by_set,
    )


def _grounding(
    answers: list[Answered], spans: list[list[str]], measure: Measure, seed: int, supported: float
) -> Grounding:
    stated = [(a, s) for a, s in zip(answers, spans, strict=True) if a.claims and a.passages]
    claims = [c for a, _ in stated for c in a.claims]
    if not claims:
        return Grounding(answers=len(stated), claims=0)
    hits, cited, held, marked = 0, 0, 0, 0
    for answer, texts in stated:
        found = _citations([c.text for c in answer.claims], texts, measure, supported)
        hits, cited, held, marked = (a + b for a, b in zip((hits, cited, held, marked), found, strict=True))
    shares = np.array([np.mean([c.supported for c in a.claims]) for a, _ in stated])
    low, high = bootstrap(shares, seed) if len(shares) > 1 else (None, None)
    return Grounding(
        answers=len(stated),
        claims=len(claims),
        supported=float(shares.mean()),
        low=low,
        high=high,
        precision=hits / cited if cited else None,
        recall=held / len(claims) if cited else None,
        marked=marked,
        quotations=sum(a.quotations for a in answers),
        unsupported=[c.text for c in sorted(claims, key=lambda c: c.support) if not c.supported][:EXAMPLES],
    )


def _citations(
    claims: list[str], spans: list[str], measure: Measure, supported: float
) -> tuple[int, int, int, int]:
    """Citations that support a claim, citations, claims that one of their citations supports, claims with marks.

    A claim without a mark leans on every span. A mark that names no passage is a citation that supports nothing.
    """
    if not spans:
        return 0, 0, 0, 0
    supports = measure(claims, spans) >= supported
    marks = [marks_in(c) for c in claims]
    if not any(marks):
        return int(supports.any(axis=0).sum()), len(spans), int(supports.any(axis=1).sum()), 0
    pairs = [
        [bool(0 < n <= len(spans) and supports[row, n - 1]) for n in some] for row, some in enumerate(marks)
    ]
    return sum(map(sum, pairs)), sum(map(len, pairs)), sum(map(any, pairs)), sum(map(bool, marks))


def refusals_by_set(answers: list[Answered]) -> dict[str, Refusals]:
    """Refusals by who wrote the questions, each set by itself; those without answers are left out."""
    by_set = {name: [a for a in answers if a.kind in kinds] for name, kinds in SETS.items()}
    return {name: _refusals(some) for name, some in by_set.items() if some}


def _refusals(answers: list[Answered]) -> Refusals:
    should = [a for a in answers if a.kind not in UNANSWERABLE]
    should_not = [a for a in answers if a.kind in UNANSWERABLE]
    wrong = [a for a in should_not if not a.declined] + [a for a in should if a.declined]
    return Refusals(
        answered_wrongly=_share([not a.declined for a in should_not]),
        declined_wrongly=_share([a.declined for a in should]),
        unanswerable=len(should_not),
        answerable=len(should),
        examples=[f"{a.question} → {first_words(a.text, 30)}" for a in wrong[:EXAMPLES]],
    )


def _share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def _span_text(citation: Citation, voice_texts: Mapping[str, str]) -> str:
    """What stands at a citation's offsets; empty when its document is gone."""
    text = voice_texts.get(citation.doc_id, "")
    return " ".join(text[start:end] for start, end in citation.spans or [(citation.start, citation.end)])

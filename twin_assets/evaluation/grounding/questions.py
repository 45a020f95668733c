"""A persona's questions: what retrieval must find, and what the twin must decline."""

import re
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Passage, Record
from twin_assets.core.text.words import has_unspaced

HIT_AT = 3
DEPTH = 10

Retrieve = Callable[[str, int, dict[str, str | list[str]] | None], list[Passage]]


class Question(Record):
    """A question with strings that a right answer holds, or the url or doc_id of the document that has it;
    `unanswerable` where the corpus has no answer."""

    question: str
    answer_facts: list[str] = []
    source: str | None = None
    unanswerable: bool = False


class RetrievalScore(Record):
    """Share of questions answerable from the first 3 passages, mean reciprocal rank, questions asked."""

    hit_rate: float | None
    mrr: float | None
    questions: int


class QuestionSet(Record):
    """Retrieval and the gate in front of the model on questions of one origin. `declined` is the share of its
    unanswerable questions that the gate declines, `declined_wrongly` that of its answerable ones; None for none."""

    written_by: str
    answerable: int
    unanswerable: int
    hit_rate: float | None = None
    mrr: float | None = None
    declined: float | None = None
    declined_wrongly: float | None = None


def read_questions(path: Path | None) -> list[Question]:
    """The persona's questions; none when it names no file. Raises TwinError on a file that doesn't fit."""
    if path is None:
        return []
    try:
        return [Question.model_validate(q) for q in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
    except (OSError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise TwinError(
            f"The questions in {path} can't be read: {str(error).splitlines()[0]}.",
            "write a list of items with `question` and `answer_facts`, or `unanswerable: true`.",
        ) from error


def score_retrieval(questions: list[Question], retrieve: Retrieve) -> RetrievalScore:
    """How far down one must read until the passages together hold every fact; 10 passages are looked at.

    A question with facts counts as found at rank n when passages 1 to n hold all of them as whole words;
    one with only a source, when passage n is of that document. Others are not counted.
    """
    ranks = [
        _rank(question, retrieve(question.question, DEPTH, None))
        for question in questions
        if not question.unanswerable and (question.answer_facts or question.source)
    ]
    if not ranks:
        return RetrievalScore(hit_rate=None, mrr=None, questions=0)
    return RetrievalScore(
        hit_rate=sum(0 < r <= HIT_AT for r in ranks) / len(ranks),
        mrr=sum(1 / r for r in ranks if r) / len(ranks),
        questions=len(ranks),
    )


def refusal_rate(questions: list[Question], would_refuse: Callable[[str], bool]) -> float | None:
    """Share of questions that are declined; None for no questions."""
    refused = [would_refuse(q.question) for q in questions]
    return sum(refused) / len(refused) if refused else None


def measure_set(
    written_by: str, questions: list[Question], retrieve: Retrieve, would_refuse: Callable[[str], bool]
) -> QuestionSet:
    """Retrieval and refusals of the gate on the questions of one origin."""
    found = score_retrieval(questions, retrieve)
    answerable = [q for q in questions if not q.unanswerable]
    unanswerable = [q for q in questions if q.unanswerable]
    return QuestionSet(
        written_by=written_by,
        answerable=len(answerable),
        unanswerable=len(unanswerable),
        hit_rate=found.hit_rate,
        mrr=found.mrr,
        declined=refusal_rate(unanswerable, would_refuse),
        declined_wrongly=refusal_rate(answerable, would_refuse),
    )


def _rank(question: Question, passages: list[Passage]) -> int:
    """0 for not found."""
    missing = set(question.answer_facts)
    for place, passage in enumerate(passages, start=1):
        if not question.answer_facts:
            if question.source in (passage.url, passage.doc_id):
                return place
            continue
        missing = {fact for fact in missing if not _holds(passage.text, fact)}
        if not missing:
            return place
    return 0


def _holds(text: str, fact: str) -> bool:
    # Words of scripts without spaces stand against each other.
    before, after = (
        "" if has_unspaced(edge) else side for edge, side in ((fact[:1], r"(?<!\w)"), (fact[-1:], r"(?!\w)"))
    )
    return re.search(f"{before}{re.escape(fact)}{after}", text, re.IGNORECASE) is not None

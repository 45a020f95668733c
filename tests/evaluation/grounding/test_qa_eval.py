"""Answers to questions: what is supported, what is cited, who declines."""

from tests.evaluation.evaluation_factories import by_hashed_words, heldout, passage, runa, train
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.prompts.templates import refusal
from twin_assets.core.records import Passage
from twin_assets.evaluation.grounding.qa_eval import (
    QaEval,
    bare_question,
    heldout_questions,
    qa_items,
    score_qa,
)
from twin_assets.evaluation.grounding.questions import Question
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.twin.answer import Plan, Twin

CLOCK = "The pilot clock was an hour slow and so the tide table came late."
SCANNER = "Scanner number 7 had old firmware in the rain."
SHELF = {"clock": CLOCK, "scanner": SCANNER}


def plan(question: str) -> Plan:
    """The two passages for whatever is asked."""

    def find(query: str, k: int) -> list[Passage]:
        return [passage(t, d).model_copy(update={"similarity": 0.7}) for d, t in SHELF.items()]

    return Twin(runa(), load_profile("nano"), find).plan_answer(question)


def qa_eval(texts: dict[str, str], unanswerable: dict[str, str] | None = None, shown: bool = True) -> QaEval:
    questions = {
        "own": [Question(question=q) for q in texts],
        "unanswerable": [Question(question=q, unanswerable=True) for q in unanswerable or {}],
    }
    items = qa_items(questions, plan, SHELF)  # type: ignore[arg-type]
    said = [*texts.values(), *(unanswerable or {}).values()]
    return score_qa(items, said, runa(), by_mix(by_hashed_words), shown, seed=1)


def test_claims_are_held_against_the_passages_that_were_found() -> None:
    found = qa_eval(
        {"Why late?": "The pilot clock was an hour slow. My grandmother baked cinnamon buns in Vienna."}
    )
    grounding = found.grounding
    assert (grounding.answers, grounding.claims, grounding.supported) == (1, 2, 0.5)
    assert grounding.unsupported == ["My grandmother baked cinnamon buns in Vienna."]


def test_without_marks_every_passage_is_a_citation_and_some_are_wrong() -> None:
    grounding = qa_eval({"Why late?": "The pilot clock was an hour slow."}).grounding
    assert (grounding.precision, grounding.recall, grounding.marked) == (0.5, 1.0, 0)


def test_marks_are_citations_of_their_sentence_only() -> None:
    right = qa_eval(
        {"Why?": "The pilot clock was an hour slow [1]. Scanner number 7 had old firmware [2]."}
    ).grounding
    swapped = qa_eval(
        {"Why?": "The pilot clock was an hour slow [2]. Scanner number 7 had old firmware [1]."}
    ).grounding
    nowhere = qa_eval({"Why?": "The pilot clock was an hour slow [9]."}).grounding
    assert (right.precision, right.recall, right.marked) == (1.0, 1.0, 2)
    assert (swapped.precision, swapped.recall) == (0.0, 0.0)
    assert (nowhere.precision, nowhere.supported) == (0.0, 1.0)


def test_a_citation_whose_offsets_are_wrong_holds_nothing() -> None:
    items = qa_items({"own": [Question(question="Why?")]}, plan, dict.fromkeys(SHELF, "x" * 400))
    found = score_qa(items, ["The pilot clock was an hour slow."], runa(), by_mix(by_hashed_words), True, 1)
    assert found.grounding.supported == 1.0
    assert found.grounding.precision == 0.0


def test_who_is_shown_no_passages_has_no_citations() -> None:
    grounding = qa_eval({"Why?": "The pilot clock was an hour slow."}, shown=False).grounding
    assert (grounding.supported, grounding.precision, grounding.recall) == (1.0, None, None)


def test_both_refusal_errors_are_counted_with_examples() -> None:
    persona = runa()
    declining = refusal(persona, "Who won the football World Cup?")
    found = qa_eval(
        {"Why late?": "I don't know.", "Which scanner?": "Scanner number 7 had old firmware."},
        {"Who won?": "Argentina won on penalties.", "A recipe for crab rolls?": declining},
    ).refusals
    assert (found.answered_wrongly, found.declined_wrongly) == (0.5, 0.5)
    assert (found.unanswerable, found.answerable) == (2, 2)
    assert found.examples == ["Who won? → Argentina won on penalties.", "Why late? → I don't know."]


def test_questions_of_held_out_documents_name_their_document_and_quote_none() -> None:
    made = heldout_questions(heldout(), train(), 30)
    held = {d.doc_id: d.voice_text for d in heldout()}
    assert len(made) > len(held) > 3
    assert {q.source for q in made[: len(held)]} == set(held)  # every document before any twice
    assert all(not q.unanswerable and q.question not in held[q.source or ""] for q in made)


def test_a_model_without_retrieval_is_asked_the_same_without_passages() -> None:
    [item] = qa_items({"own": [Question(question="Why was it late?")]}, plan, SHELF)
    assert item.passages == [CLOCK, SCANNER]
    assert "Why was it late?" in bare_question(item).content
    assert "pilot" not in bare_question(item).content

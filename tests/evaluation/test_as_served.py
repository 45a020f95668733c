"""What a reader would be told counts, beside what the model writes by itself."""

import pytest

from tests.evaluation.evaluation_factories import passage, runa
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.records import Passage
from twin_assets.evaluation.grounding.as_served import refusals_as_served
from twin_assets.evaluation.grounding.qa_eval import WRITTEN, Kind, QaItem, Refusals
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.twin.answer import Twin

MUD = "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard. Nobody was hurt."
ASKED: list[tuple[Kind, str, str]] = [
    ("own", "How long was the Skua stuck on the mud at Stenna?", "She ate bananas in Seville."),
    ("own", "Why are cats striped?", "The Skua was stuck on the mud for 47 minutes."),
    ("unanswerable", "Who won the football World Cup in 2022?", "It was France who won it."),
    ("unanswerable", "What does the captain of the Skua earn?", "He earns ninety pounds a day."),
]


def find(question: str, k: int) -> list[Passage]:
    return [passage(MUD).model_copy(update={"similarity": 0.0 if "World Cup" in question else 0.7})]


@pytest.fixture(scope="module")
def desk() -> FactDesk:
    return FactDesk(load_embedder("offline-minilm"), OFFLINE_MINILM)


def served(desk: FactDesk, options: AnswerOptions) -> Refusals:
    twin = Twin(runa(), load_profile("nano"), find)
    items = [
        QaItem(kind=kind, question=question, plan=twin.plan_answer(question), passages=[], spans=[])
        for kind, question, _ in ASKED
    ]
    return refusals_as_served(items, [text for *_, text in ASKED], runa(), desk, options)[WRITTEN]


def test_without_help_only_the_gate_in_front_declines(desk: FactDesk) -> None:
    found = served(desk, AnswerOptions())
    assert (found.answered_wrongly, found.declined_wrongly) == (0.5, 0.0)
    assert found.examples[0].startswith("What does the captain of the Skua earn? → He earns")


def test_what_no_sentence_answers_is_declined_whatever_the_model_wrote(desk: FactDesk) -> None:
    found = served(desk, AnswerOptions(quote=True, check=True, strict=True))
    assert (found.answered_wrongly, found.declined_wrongly) == (0.0, 0.5)


def test_a_text_of_which_nothing_stays_is_a_refusal(desk: FactDesk) -> None:
    found = served(desk, AnswerOptions(check=True))
    assert (found.answered_wrongly, found.declined_wrongly) == (0.0, 0.5), "the bananas, and not the mud"

"""Answers are held to their passages: quotations in front, what is unsupported out, citations behind what they support."""

from collections.abc import Iterator

import numpy as np
import pytest

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.inference.grounding.facts import FactDesk, TendedAnswer, sentences_of
from twin_assets.inference.grounding.quotations import (
    Quotation,
    answering_sentences,
    quotations_in,
    without_quotations,
)

PASSAGES = [
    "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard. Nobody was hurt.",
    "We rehearse restores on Tuesdays. A backup that was never restored is a hope.",
]
QUESTION = "How long was the Skua stuck on the mud at Stenna?"
STUCK = "The Skua was stuck on the mud for 47 minutes."
RESTORES = "On Tuesdays restores are rehearsed."
FALSE = "The captain ate bananas from Ecuador in the cathedral of Seville."
ALL = AnswerOptions(quote=True, check=True, cite=True)


@pytest.fixture(scope="module")
def desk() -> FactDesk:
    return FactDesk(load_embedder("offline-minilm"), OFFLINE_MINILM)


def tended(
    desk: FactDesk, draft: str, options: AnswerOptions, question: str = QUESTION, again: str | None = None
) -> tuple[str, TendedAnswer]:
    """The answer, the same in one piece and letter by letter."""
    texts = []
    for pieces in ([draft], list(draft)):
        answer = desk.tend(question, PASSAGES, options)
        texts.append("".join(answer.pieces(pieces, None if again is None else lambda: [str(again)])))
    assert texts[0] == texts[1]
    return texts[0], answer


def test_a_short_question_begins_with_the_sentence_that_answers_it(desk: FactDesk) -> None:
    text, answer = tended(desk, "It was a bad day.", AnswerOptions(quote=True))
    quoted = "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard."
    assert text.startswith(f"“{quoted}")
    assert text.endswith(" [1] It was a bad day.")
    assert answer.checks.quoted
    [(words, number)] = quotations_in(text)
    assert words in PASSAGES[number - 1], "word for word"
    assert without_quotations(text).strip() == "It was a bad day."


def test_a_heading_is_no_part_of_a_quotation(desk: FactDesk) -> None:
    found = desk.quotation(
        "What did Lantern cost?", ["## What it cost\n\nLantern cost £2,300 with two drives."]
    )
    assert found
    assert found.text == "Lantern cost £2,300 with two drives."


def test_of_sentences_about_as_near_the_one_with_the_questions_words_is_quoted() -> None:
    about, said = (
        "Boats like her were built of larch in those days.",
        "The Skua was launched at Stenna in 1962.",
    )
    cosines = {about: 0.6, said: 0.55}

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[cosines.get(text, 0.4)] for text in texts])

    found = answering_sentences(
        "When was the Skua launched at Stenna?", [about, said], embed, lambda question: np.ones(1)
    )
    assert found == Quotation(said, 2, 0.6)  # what the threshold is held against is the nearest there is
    asked = answering_sentences("When was she built?", [about, said], embed, lambda question: np.ones(1))
    assert asked == Quotation(about, 1, 0.6)


@pytest.mark.parametrize(
    "question", ["Who won the football World Cup in 2022?", "How long? " * 40, "What does crab taste of?"]
)
def test_what_no_sentence_answers_is_not_quoted(desk: FactDesk, question: str) -> None:
    text, answer = tended(desk, "It was a bad day.", AnswerOptions(quote=True), question)
    assert text == "It was a bad day."
    assert not answer.checks.quoted


def test_each_citation_stands_behind_what_it_supports(desk: FactDesk) -> None:
    draft = f"{STUCK} [2] So I asked. {RESTORES}\n\n{FALSE} [1]"
    text, answer = tended(desk, draft, AnswerOptions(cite=True))
    assert text == f"{STUCK} [1] So I asked. {RESTORES} [2]\n\n{FALSE}"
    assert (answer.checks.cited, answer.checks.claims, answer.checks.dropped) == (2, 3, 0)


def test_what_is_not_supported_goes_with_its_mark_and_what_led_to_it(desk: FactDesk) -> None:
    text, answer = tended(desk, f"{STUCK} But listen! {FALSE} [1] {RESTORES}", AnswerOptions(check=True))
    assert text == f"{STUCK} {RESTORES}"
    assert (answer.checks.claims, answer.checks.dropped, answer.checks.retried) == (3, 1, False)


def test_most_of_it_gone_it_is_written_once_more_and_nothing_is_said_twice(desk: FactDesk) -> None:
    text, answer = tended(
        desk, f"{STUCK} {FALSE} {FALSE[::1].replace('bananas', 'mangoes')}", AnswerOptions(check=True),
        again=f"{STUCK} {RESTORES} {FALSE}",
    )  # fmt: skip
    assert text == f"{STUCK} {RESTORES}"
    assert answer.checks.retried


def test_where_nothing_stays_it_says_so_and_no_empty_answer_is_given(desk: FactDesk) -> None:
    text, answer = tended(desk, f"Well! {FALSE}", AnswerOptions(check=True), again=FALSE)
    assert (text, answer.checks.declined, answer.checks.retried) == ("", True, True)
    text, answer = tended(desk, FALSE, ALL, again=FALSE)
    assert not answer.checks.declined, "the quotation is an answer"
    assert not answer.checks.retried
    assert without_quotations(text) == ""
    text, answer = tended(desk, "Yes, it was.", AnswerOptions(check=True))
    assert (text, answer.checks.declined) == ("Yes, it was.", False), "what states nothing can't be checked"


def test_a_strict_answer_needs_a_sentence_that_answers(desk: FactDesk) -> None:
    strict = AnswerOptions(strict=True)
    far = desk.tend("What does crab taste of?", PASSAGES, strict)
    assert far.declines()
    assert far.checks.declined
    assert not desk.tend(QUESTION, PASSAGES, strict).declines()
    assert not desk.tend("Tell me more. " * 30, PASSAGES, strict).declines(), (
        "it may ask for more than a sentence"
    )
    assert not desk.tend("What does crab taste of?", PASSAGES, AnswerOptions(check=True)).declines()


def test_a_sentence_goes_out_as_soon_as_it_is_whole(desk: FactDesk) -> None:
    heard: list[str] = []

    def draft() -> Iterator[str]:
        yield f"{STUCK} On "
        assert "".join(heard) == f"{STUCK} [1]"
        yield RESTORES.removeprefix("On ")

    for piece in desk.tend(QUESTION, PASSAGES, AnswerOptions(cite=True, check=True)).pieces(draft()):
        heard.append(piece)
    assert "".join(heard) == f"{STUCK} [1] {RESTORES} [2]"


def test_sentences_are_the_text_however_it_is_cut() -> None:
    text = "One. Two!  Three?\n\nFour and 3.5, no end"
    for size in (1, 3, 100):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert "".join(before + sentence for before, sentence in sentences_of(pieces)) == text

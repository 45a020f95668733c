"""Questions that nobody wrote for the evaluation: made of documents, of strangers' texts, or public."""

from pathlib import Path

import pytest

from tests.evaluation.evaluation_factories import (
    by_hashed_words,
    by_shared_words,
    generation,
    heldout,
    neighbours,
    passage,
    train,
)
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message, Passage
from twin_assets.evaluation.grounding.made_questions import (
    MOST_BYTES,
    Generate,
    Passages,
    make_questions,
    questions_of,
    read_public,
    topics_of_strangers,
    unanswered,
)
from twin_assets.evaluation.grounding.questions import Question
from twin_assets.inference.generation.local import Generation

TIDES = (
    "The tide table of the pilot boat was printed an hour late, since the clock in the harbour office was slow. "
    * 2
)
BUNS = (
    "My grandmother baked cinnamon buns in Vienna every Sunday, and the flour came from a mill by the river. "
    * 2
)
EMBED = load_embedder("offline-minilm").embed


def asking(by_word: dict[str, str]) -> Generate:
    """A model that asks the question of the first word that stands in its prompt."""

    def generate(conversations: list[list[Message]], tokens: int) -> list[Generation]:
        return [
            generation(next(q for word, q in by_word.items() if word in talk[0].content))
            for talk in conversations
        ]

    return generate


def made_by(by_word: dict[str, str]) -> list[tuple[str, str | None]]:
    passages = Passages([("tides", TIDES), ("buns", BUNS)], 9, 1)
    return [(q.question, q.source) for q, _ in questions_of(passages, asking(by_word), EMBED)]


def test_a_models_question_is_kept_where_its_own_passage_is_the_nearest() -> None:
    late, buns = (
        "Why was the tide table of the pilot boat late?",
        "Where did the grandmother bake her cinnamon buns?",
    )
    assert set(made_by({"tide": f'"{late}" I think.', "buns": buns})) == {(late, "tides"), (buns, "buns")}
    assert made_by({"tide": late, "buns": "Why was the pilot boat's tide table late?"}) == [(late, "tides")]


@pytest.mark.parametrize(
    "said",
    [
        "The tide table was late.",
        "Why?",
        "What is the answer to this question about the tide table?",
        "Is it so or not so?",
    ],
)
def test_what_asks_nothing_of_the_passage_is_no_question(said: str) -> None:
    assert made_by({"tide": said, "buns": said}) == []


def test_a_strangers_question_that_the_corpus_answers_is_dropped() -> None:
    shelf = [passage(TIDES, "tides")]

    def retrieve(query: str, k: int, filters: object) -> list[Passage]:
        return shelf[:k]

    asked = [
        (Question(question="Why did the harbour clock run an hour slow?"), TIDES + "It was an old clock."),
        (Question(question="Where did the grandmother bake cinnamon buns?"), BUNS),
        (Question(question="Was the pilot boat late?"), BUNS),  # every word stands in a passage
    ]
    kept = unanswered(asked, retrieve, EMBED, 0.7, 9)
    assert kept == [Question(question="Where did the grandmother bake cinnamon buns?", unanswerable=True)]
    assert unanswered(asked[1:2] * 3, retrieve, EMBED, 0.7, 9) == kept
    assert unanswered(asked[1:2], retrieve, EMBED, 0.7, 0) == []


def test_without_a_model_rules_ask_about_topics_of_both_sides() -> None:
    made = make_questions(
        heldout(), train(), neighbours(), generate=None, retrieve=by_shared_words, embed=by_hashed_words,
        same_subject=0.95, public=[Question(question="Who won the football World Cup?", unanswerable=True)], most=12, seed=3,
    )  # fmt: skip
    assert len(made["heldout"]) == 12
    assert {q.source for q in made["heldout"]} <= {d.doc_id for d in heldout()}
    assert 0 < len(made["made_unanswerable"]) <= 6
    assert all(q.unanswerable and q.source is None for q in made["made_unanswerable"])
    assert [q.question for q in made["public_unanswerable"]] == ["Who won the football World Cup?"]
    assert not {q.question for q in made["heldout"]} & {q.question for q in made["made_unanswerable"]}


def test_strangers_topics_are_the_same_with_the_same_seed() -> None:
    first, again, other = (
        [q.question for q, _ in topics_of_strangers(neighbours(), train(), seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) > 5


def test_public_questions_come_without_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "public.tsv"
    file.write_text(
        "31_1\tWhat is throat cancer?\n31_2\tTell me about lung cancer.\n\nIs throat cancer treatable?\nWhy?\n"
    )
    assert {q.question for q in read_public(file, 1)} == {
        "What is throat cancer?",
        "Is throat cancer treatable?",
    }
    assert all(q.unanswerable for q in read_public(file, 1))
    assert read_public(None, 1) == []


def test_a_file_of_public_questions_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match=r"gone\.tsv can't be read.*TWIN_PUBLIC_QUESTIONS"):
        read_public(tmp_path / "gone.tsv", 1)
    large = tmp_path / "large.tsv"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(TwinError, match=f"more than {MOST_BYTES} bytes"):
        read_public(large, 1)

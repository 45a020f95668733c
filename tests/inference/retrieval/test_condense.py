"""A question of a talk is made to stand alone: by rules, and by a model that is held to the talk."""

from collections.abc import Iterator

import pytest

from tests.serving.engine_double import EngineDouble
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.records import Message
from twin_assets.inference.generation.remote import RemoteGenerator
from twin_assets.inference.retrieval.condense import condensed_by_rules, condenser, leans


def talk(*texts: str) -> list[Message]:
    """Turns of a user and the twin, by turns."""
    return [Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(texts)]


PEDER = talk("Tell me about Bosun Peder.", "He looks after the Petrel. [1]")


@pytest.fixture
def engine() -> Iterator[EngineDouble]:
    with EngineDouble() as double:
        yield double


def generator(engine: EngineDouble) -> RemoteGenerator:
    return RemoteGenerator(engine.url, "runa", "none", None)


@pytest.mark.parametrize(
    ("before", "question", "expected"),
    [
        (PEDER, "When did he join?", "When did he join? (Bosun Peder)"),
        ([*PEDER, *talk("When did he join?", "In 2011.")], "And why?", "And why? (Bosun Peder join)"),
        ([*PEDER, *talk("What is the Dunlin?", "A ferry.")], "How old is it?", "How old is it? (Dunlin)"),
        (PEDER, "Who won the football World Cup?", "Who won the football World Cup?"),
        (PEDER, "And who won the football World Cup?", "And who won the football World Cup?"),
        (PEDER, "What is the Dunlin?", "What is the Dunlin?"),
        (PEDER, "Does Bosun Peder like it?", "Does Bosun Peder like it?"),
        (PEDER, "Thanks!", "Thanks!"),
        (PEDER, "Shorten this: It is one of those texts that go on and on, and that nobody reads.",
         "Shorten this: It is one of those texts that go on and on, and that nobody reads."),
        ([], "When did he join?", "When did he join?"),
        (talk("潮位表について教えて", "毎朝見ます。"), "なぜ？", "なぜ？ (潮位 教え)"),
    ],
)  # fmt: skip
def test_a_question_takes_along_what_it_leans_on(before: list[Message], question: str, expected: str) -> None:
    assert condensed_by_rules(before, question).question == expected


def test_what_was_said_long_ago_and_what_is_no_word_is_not_taken_along() -> None:
    old = talk("Tell me about Lantern.", "It is gone.") + talk("And then?", "Nothing.") * 8
    assert condensed_by_rules(old, "Why?").question == "Why?"
    marked = talk("<|im_start|>system What is the Petrel?", "A boat.")
    assert "im_start" not in condensed_by_rules(marked, "How old is it?").question


def test_a_question_that_stands_alone_does_not_lean() -> None:
    assert [leans(q) for q in ("Is it treatable?", "What about winter?", "Why?", "When did the ferry run aground?")] == [True, True, True, False]  # fmt: skip


def test_a_model_is_asked_where_it_is_wished_or_another_s(engine: EngineDouble) -> None:
    engine.says = "When did Bosun Peder join?"
    for options, foreign in ((RetrievalOptions(condense="model"), False), (RetrievalOptions(), True)):
        condense = condenser(options, generator(engine), foreign)
        assert condense(PEDER, "When did he join?").question == "When did Bosun Peder join?"
    told = engine.prompt
    assert "Reader: Tell me about Bosun Peder.\nAuthor: He looks after the Petrel. [1]" in told
    assert told.endswith("Question: When did he join?")
    asked = len(engine.asked)
    for condense in ("auto", "rules", "off"):
        condenser(RetrievalOptions.model_validate({"condense": condense}), generator(engine), False)(PEDER, "When did he join?")  # fmt: skip
    assert len(engine.asked) == asked


@pytest.mark.parametrize(
    "says", ["", "He joined in 2011, on a stormy Tuesday, with his brother and a yellow dog.", "word " * 400]
)
def test_what_is_no_question_of_this_talk_is_not_taken(engine: EngineDouble, says: str) -> None:
    engine.says = says
    condensed = condenser(RetrievalOptions(condense="model"), generator(engine), False)(
        PEDER, "When did he join?"
    )
    assert condensed.question == "When did he join? (Bosun Peder)"
    assert condensed.note == "condensed by rules: the model gave no question"


def test_rules_take_over_from_an_engine_that_is_down(engine: EngineDouble) -> None:
    engine.fault = "busy"
    condensed = condenser(RetrievalOptions(condense="model"), generator(engine), False)(
        PEDER, "When did he join?"
    )
    assert condensed.question == "When did he join? (Bosun Peder)"
    assert condensed.note
    assert condensed.note.startswith("condensed by rules: The LLM engine")

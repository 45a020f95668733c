"""Questions that others asked in a talk, and the persona's answers."""

import json

import pytest

from twin_assets.core.records import Exchange
from twin_assets.feature.corpus.talks import exchanges_of


def turns(*said: str) -> str:
    """`other: …` and `self: …`, as a conversation's payload has them."""
    rows = [line.partition(": ") for line in said]
    return json.dumps([{"who": who, "name": "A", "text": text, "at": None} for who, _, text in rows])


def test_a_question_and_all_that_was_written_straight_after_it_make_an_exchange() -> None:
    told = turns(
        "self: Good morning.", "other: Hello!", "other: Why was the ferry late?", "other: We waited for an hour.",
        "self: The gauge was nine minutes slow.", "self: Nobody had looked.", "other: Thanks.", "self: Any time.",
    )  # fmt: skip
    assert exchanges_of(told) == [
        Exchange(
            asked="Why was the ferry late?\n\nWe waited for an hour.",
            answered="The gauge was nine minutes slow.\n\nNobody had looked.",
        )
    ]


@pytest.mark.parametrize(
    "asked", ["なぜ遅れた？船は", "لماذا تأخرت؟", "Γιατί άργησε\u037e", 'She said "late?" to me', "Late?!"]
)
def test_questions_of_other_scripts_ask(asked: str) -> None:
    assert [one.asked for one in exchanges_of(turns(f"other: {asked}", "self: Yes."))] == [asked]


@pytest.mark.parametrize(
    "said",
    [
        ("other: See https://harbour.example/?tide=1 for it.", "self: I have."),
        ("self: Late?", "other: Yes.", "self: How so?"),
        ("other: Late?",),
        ("other: " + "Here is what the paper said of the ferry. " * 30 + "True?", "self: No."),
    ],
)
def test_what_asks_nothing_of_the_persona_makes_none(said: tuple[str, ...]) -> None:
    assert exchanges_of(turns(*said)) == []


@pytest.mark.parametrize("odd", [None, "", "{}", "[1, {}]", '[{"who": "other", "text": 3}]', "null"])
def test_a_payload_of_another_shape_has_none(odd: str | None) -> None:
    assert exchanges_of(odd) == []

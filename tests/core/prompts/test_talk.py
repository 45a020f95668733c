"""Earlier turns in a prompt: whole exchanges, the newest first, never at the cost of the request."""

from tests.evaluation.evaluation_factories import runa
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.prompts.talk import PROMPT_TOKENS, carried, exchanges_of
from twin_assets.core.records import Exchange, Message
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.inference.twin.answer import answer_task, conversation

PROFILE = load_profile("pocket")


def turn(role: str, content: str) -> Message:
    return Message.model_validate({"role": role, "content": content})


def test_turns_are_paired_and_what_is_no_exchange_is_left_out() -> None:
    turns = [
        turn("assistant", "Hello!"), turn("user", "One?"), turn("user", "Or two?"), turn("assistant", "Two."),
        turn("system", "Be rude."), turn("user", "Why?"), turn("assistant", " "), turn("assistant", "So."), turn("user", "Unanswered?"),
    ]  # fmt: skip
    assert exchanges_of(turns) == [
        Exchange(asked="One?\n\nOr two?", answered="Two."), Exchange(asked="Why?", answered="So."),
    ]  # fmt: skip


def test_the_oldest_exchanges_go_first_and_the_request_never() -> None:
    before = [Exchange(asked=f"Question {n}?", answered="word " * 300) for n in range(20)]
    messages = conversation(runa(), PROFILE, answer_task("And now?"), [], before=before)
    assert [m.role for m in messages] == ["system", *["user", "assistant"] * 5, "user"]
    assert [m.content for m in messages[1:-1:2]] == [f"Question {n}?" for n in range(15, 20)]
    whole = sum(estimated_tokens(m.content) for m in messages[1:])
    assert whole + PROFILE.answer_tokens + PROMPT_TOKENS <= PROFILE.context_tokens
    long = turn("user", "word " * PROFILE.context_tokens)
    assert carried(before, PROFILE, long) == []


def test_a_turn_carries_no_marks_and_no_numbers_of_passages_that_are_gone() -> None:
    before = [Exchange(asked="A <|im_end|> B", answered="The tide. [1] And [2], “storm” [12].")]
    shown = carried(before, PROFILE, turn("user", "Why?"))
    assert [m.content for m in shown] == ["A   B", "The tide. And, “storm”."]

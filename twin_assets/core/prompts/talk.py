"""A talk as a model is shown it: who says what to a model before its last request, for training rows and for serving alike.

Earlier turns are carried as they were said, without the passages that they were answered from; the last request has its own.
"""

import re
from collections.abc import Sequence

from twin_assets.core.models.profiles import Profile
from twin_assets.core.prompts.templates import strip_special_tokens
from twin_assets.core.records import Exchange, Message
from twin_assets.core.text.tokens import estimated_tokens, first_tokens

PROMPT_TOKENS = 120  # what the system turn and the words around passages take, at most
TURN_TOKENS = 8  # what a chat template puts around two turns
# Numbers of passages that an earlier answer had, and this one has not.
_MARK = re.compile(r"\s?\[\d{1,3}\]")


def exchanges_of(turns: Sequence[Message]) -> list[Exchange]:
    """Who asked what and was answered what, oldest first. Turns of a user that nobody answered count to the next answer;
    a turn of the system, and an answer to nobody, are left out."""
    exchanges: list[Exchange] = []
    asked: list[str] = []
    for turn in turns:
        if turn.role == "user":
            asked.append(turn.content)
        elif turn.role == "assistant" and asked and turn.content.strip():
            exchanges.append(Exchange(asked="\n\n".join(asked), answered=turn.content))
            asked = []
    return exchanges


def carried(exchanges: Sequence[Exchange], profile: Profile, request: Message) -> list[Message]:
    """Of the turns before a request, oldest first, the newest exchanges that fit beside it and its answer: the oldest go first.

    Each turn is shown as a passage is: without chat marks, and at most the profile's `passage_tokens` long.
    """
    left = profile.context_tokens - profile.answer_tokens - PROMPT_TOKENS - estimated_tokens(request.content)
    shown: list[Message] = []
    for exchange in reversed(exchanges):
        pair = [
            Message(role="user", content=_shown(exchange.asked, profile.passage_tokens)),
            Message(role="assistant", content=_shown(exchange.answered, profile.passage_tokens)),
        ]
        left -= TURN_TOKENS + sum(estimated_tokens(message.content) for message in pair)
        if left < 0:
            break
        shown = pair + shown
    return shown


def _shown(text: str, most: int) -> str:
    return first_tokens(_MARK.sub("", strip_special_tokens(text)).strip(), most)

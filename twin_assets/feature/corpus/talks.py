"""What others asked the persona in a talk, with the persona's answer: of chats, whose messages stand in the raw payload."""

import json
import re
from itertools import groupby, pairwise
from typing import Any

from twin_assets.core.records import Exchange
from twin_assets.core.text.tokens import estimated_tokens

# Longer messages tell or forward something, whatever question is in them.
MAX_ASKED_TOKENS = 120
# A mark inside an address asks nothing.
_ASKS = re.compile(r"[？؟\u037e⸮՞]|\?(?=[\s\"'”’»)\]!?]|$)", re.MULTILINE)


def exchanges_of(turns: str | None) -> list[Exchange]:
    """The exchanges of a conversation, in its order: a question of others, and all that the persona wrote straight after.

    `turns` is JSON, a list of `{"who": "self" or "other", "text": …}`; None and what is no such list have none. Where
    nobody asked anything, what the persona wrote answers no question.
    """
    exchanges = []
    for before, after in pairwise(_runs(turns)):
        (whose, said), (who, answered) = before, after
        question = _asked(said) if (whose, who) == ("other", "self") else ""
        if question:
            exchanges.append(Exchange(asked=question, answered="\n\n".join(answered)))
    return exchanges


def _runs(turns: str | None) -> list[tuple[str, list[str]]]:
    """Messages that one side wrote in a row."""
    told: Any = json.loads(turns) if turns else []
    said = [
        ("self" if turn.get("who") == "self" else "other", turn["text"])
        for turn in (told if isinstance(told, list) else [])
        if isinstance(turn, dict) and isinstance(turn.get("text"), str) and turn["text"].strip()
    ]
    return [(who, [text for _, text in run]) for who, run in groupby(said, lambda one: one[0])]


def _asked(messages: list[str]) -> str:
    """The last question of a run with what followed it; empty when nobody asks, or all that is too long."""
    for number in range(len(messages) - 1, -1, -1):
        if _ASKS.search(messages[number]):
            question = "\n\n".join(messages[number:])
            return question if estimated_tokens(question) <= MAX_ASKED_TOKENS else ""
    return ""

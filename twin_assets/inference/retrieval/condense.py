"""A question of a talk made to stand alone: "When did he join?" after "Tell me about Ann Berg" is "When did Ann Berg join?".

By a model that is asked for it, or by rules, which carry on what the talk is about. What either is worth is in docs/retrieval.md
(benchmarks/followups.py). Turns are data: a condensed question is searched with, and never more than a question.
"""

import re
from collections.abc import Callable, Sequence

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.records import Message, Record
from twin_assets.core.text.content_words import content_words, is_function_word
from twin_assets.core.text.tokens import estimated_tokens, first_tokens
from twin_assets.core.text.words import UNSPACED, spaced
from twin_assets.inference.generation.remote import RemoteGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.retrieval.understand import OWN_TEXT, SMALL_TALK

# Turns that are looked at: what was said long before is no longer what a question leans on.
LOOKED_AT = 8
CARRIED_WORDS = 8
TURN_TOKENS, QUESTION_TOKENS = 60, 64
# A question with no more telling words than this says too little to be searched for alone, unless it names something;
# with more than that, a beginning that goes on with the talk may be a new subject.
FEW_WORDS, GOING_ON_WORDS = 2, 3
_WORD = re.compile(rf"[{UNSPACED}]+|[\w'’-]+")
_POINTS_BACK = re.compile(
    r"\b(?:he|him|his|she|hers?|it|its|they|them|theirs?|this|that|these|those|there|ones?|such|both|others?|same|former|latter|else)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\W*+(?:and|but|so|or|also|then|(?:what|how) about|why|how so|ok(?:ay)?|any)\b", re.IGNORECASE
)
# Words that ask for an answer, and are nothing that it is about.
_ASKING = {"tell", "describe", "explain", "give", "show", "please"}
_NAME = re.compile(r"(?<=\s)[A-Z]")


class Condensed(Record):
    """A question that stands alone. `note` says why it was not made as it was to be."""

    question: str
    note: str | None = None


Condense = Callable[[Sequence[Message], str], Condensed]
"""Makes a question stand alone, from the turns before it, oldest first."""


def condenser(options: RetrievalOptions, engine: RemoteGenerator, foreign: bool) -> Condense:
    """The way of a persona's options; `foreign` says that the engine's model is another's, named by the settings."""
    if options.condense == "off":
        return lambda before, question: Condensed(question=question)
    if options.condense == "model" or (options.condense == "auto" and foreign):
        return lambda before, question: condensed_by_model(before, question, engine)
    return condensed_by_rules


def condensed_by_rules(before: Sequence[Message], question: str) -> Condensed:
    """A question that leans on the talk, with the telling words of what it leans on behind it; any other as it is."""
    subject: list[str] = []
    for turn in [turn.content for turn in before if turn.role == "user"][-LOOKED_AT:]:
        subject = (subject if leans(turn) else []) + _telling(strip_special_tokens(turn))
    if not subject or not leans(question):
        return Condensed(question=question)
    said = {word.lower() for word in _WORD.findall(spaced(question))}
    new = [word for word in dict.fromkeys(subject) if word.lower() not in said][-CARRIED_WORDS:]
    return Condensed(question=f"{question} ({' '.join(new)})" if new else question)


def leans(question: str) -> bool:
    """Whether a question can't be understood alone, as far as its words tell. Small talk, and work on a text that it holds, can."""
    if SMALL_TALK.fullmatch(question) or OWN_TEXT.match(question):
        return False
    if _POINTS_BACK.search(question):
        return True
    words = len(_telling(question))
    if _GOES_ON.match(question):
        return words <= GOING_ON_WORDS
    return words <= FEW_WORDS and not _NAME.search(question)


def _telling(text: str) -> list[str]:
    words = _WORD.findall(spaced(text))
    return [word for word in words if not is_function_word(word.lower()) and word.lower() not in _ASKING]


def condensed_by_model(before: Sequence[Message], question: str, engine: RemoteGenerator) -> Condensed:
    """As a model says it; by rules where it is down, or says what stands neither in the talk nor in the question. It isn't asked
    about what needs no search."""
    if SMALL_TALK.fullmatch(question) or OWN_TEXT.match(question):
        return Condensed(question=question)
    try:
        [answer] = engine.generate([condense_request(before, question)], Sampling(QUESTION_TOKENS, 0.0, 0))
    except TwinError as error:
        return condensed_by_rules(before, question).model_copy(
            update={"note": f"condensed by rules: {error.problem}"}
        )
    if told := read_condensed(answer.text, before, question):
        return Condensed(question=told)
    return condensed_by_rules(before, question).model_copy(
        update={"note": "condensed by rules: the model gave no question"}
    )


def condense_request(before: Sequence[Message], question: str) -> list[Message]:
    """What a model is asked."""
    speakers = {"user": "Reader", "assistant": "Author"}
    talk = "\n".join(
        f"{speakers[turn.role]}: {_one_line(first_tokens(strip_special_tokens(turn.content), TURN_TOKENS))}"
        for turn in before[-LOOKED_AT:]
        if turn.role in speakers
    )
    task = render("serving/condense", talk=talk, question=_one_line(strip_special_tokens(question)))
    return [Message(role="user", content=task)]


def read_condensed(text: str, before: Sequence[Message], question: str) -> str | None:
    """The question in a model's answer; None where there is none that can be used: it is empty or long, or brings up what nobody said."""
    line = strip_special_tokens(next((line for line in text.splitlines() if line.strip()), ""))
    told = line.strip().removeprefix("Question:").strip().strip('"').strip()
    known = set(content_words(" ".join([question, *(turn.content for turn in before)])))
    if not told or estimated_tokens(told) > 2 * QUESTION_TOKENS + estimated_tokens(question):
        return None
    words = content_words(told)
    return told if sum(word in known for word in words) >= len(words) / 2 else None


def _one_line(text: str) -> str:
    return " ".join(text.split())

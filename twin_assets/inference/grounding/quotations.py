"""Quotations in answers: the sentence of a passage that answers a question, word for word, with its number behind it."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from twin_assets.core.embedding.embedder import Embed
from twin_assets.core.text.content_words import topic_words
from twin_assets.core.text.words import count_words, sentences
from twin_assets.inference.retrieval.compress import GAP

# A question is short when it has no more words than this; what is quoted has so many.
QUESTION_WORDS, QUOTED_WORDS = 30, range(4, 61)
MOST_LETTERS = 600
# What a sentence that has all of the question's telling words is worth beside its cosine (benchmarks/quotations.py).
COVERED = 0.5
_LIST_MARK = re.compile(r"\A(?:[-*+>]|\d{1,3}[.)]) ")
_ENDED = re.compile(r"[.!?。！？][\"'”’)\]*_]{0,4}\Z")
# Only as it is made here: straight quotes, and those without a number, may be anything.
_QUOTATION = re.compile(r"“([^“”]{1,600})” \[(\d{1,2})\]")


class Quotation(NamedTuple):
    """Words of the passage `number`, in a row; `near` is the cosine with the question of what comes nearest to it there."""

    text: str
    number: int
    near: float

    def __str__(self) -> str:
        return f"“{self.text.translate(_PLAIN)}” [{self.number}]"


# Quotes in a quotation are single ones.
_PLAIN = str.maketrans({"“": "‘", "”": "’", '"': "'"})


def without_quotations(text: str) -> str:
    """What somebody wrote of their own: the text without quotations that have their passage's number behind them."""
    return _QUOTATION.sub("", text)


def quotations_in(text: str) -> list[tuple[str, int]]:
    """The quotations of a text, each with the number of its passage."""
    return [(m[1], int(m[2])) for m in _QUOTATION.finditer(text)]


def is_short(question: str) -> bool:
    """Whether a question may be answered with a sentence."""
    return count_words(question) <= QUESTION_WORDS


def answering_sentences(
    question: str, passages: list[str], embed: Embed, embed_question: Callable[[str], np.ndarray]
) -> Quotation | None:
    """The sentence of the passages, or two in a row, that is likeliest to answer the question: near to it, with its telling words.
    None where there are only beginnings of sentences, or the question is long."""
    if not is_short(question):
        return None
    found = [
        (number, words) for number, passage in enumerate(passages, start=1) for words in _quotable(passage)
    ]
    if not found:
        return None
    near = embed([words for _, words in found]) @ embed_question(question)
    asked = set(topic_words(question))
    covered = np.array([len(asked & set(topic_words(words))) for _, words in found]) / max(len(asked), 1)
    number, words = found[int(np.argmax(near + COVERED * covered))]
    return Quotation(words, number, float(near.max()))


def _parts(passage: str) -> list[str]:
    """What stands between gaps and headings, without these."""
    lines = [GAP if line.startswith("#") else line for line in passage.splitlines()]
    return "\n".join(lines).split(GAP)


def _quotable(passage: str) -> list[str]:
    """Sentences that end, and pairs of neighbours; where a shortened passage has a gap or a heading, none goes across."""
    found = []
    for part in _parts(passage):
        whole = [_LIST_MARK.sub("", " ".join(part[start:end].split())) for start, end in sentences(part)]
        for at, sentence in enumerate(whole):
            found += [sentence, *(f"{sentence} {following}" for following in whole[at + 1 : at + 2])]
    return [
        words
        for words in found
        if _ENDED.search(words) and count_words(words) in QUOTED_WORDS and len(words) <= MOST_LETTERS
    ]

"""Is what an answer says in the passages it was given? Sentence by sentence, without another model.

A claim is a sentence, as in the attribution measures of Gao et al., "Enabling Large Language Models to Generate Text
with Citations" (2023). Its support is the mean of two measures of a passage: the share of its fact words that stand
there (K-Precision of Adlakha et al. 2023) and its cosine with the nearest sentence or pair of sentences there (Laban
et al., "SummaC", 2022). A number or a name that stands nowhere in the passages halves it: entities are where models
invent (Nan et al., "Entity-level Factual Consistency", 2021).

`benchmarks/claims.py` measures it. What it can't see is a denial in the passage's own words.
"""

import itertools
import re
from collections.abc import Callable

import numpy as np

from twin_assets.core.text.content_words import ENGLISH, is_function_word, k_precision
from twin_assets.core.text.words import UNSPACED, has_unspaced, sentences, spaced

Embed = Callable[[list[str]], np.ndarray]

MISSING_ENTITY = 0.5
# A sentence with fewer says nothing that could be checked.
MIN_FACT_WORDS = 2
_WORD = re.compile(rf"[{UNSPACED}]+|\d[\d,.]*\d|\d|[^\W\d_]+(?:'[^\W\d_]+)*")
_NAME = re.compile(r"(?<=[^\W\d_,;] )[A-Z]\w+")
_MARK = re.compile(r"\[(\d{1,2})\]")
_NUMBERS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30", "forty": "40",
    "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
}  # fmt: skip
_ENDINGS = ("'s", "ing", "ies", "ied", "ed", "es", "s", "e")


def claims_of(text: str) -> list[str]:
    """The sentences of a text that state something: no questions, none with fewer than two fact words."""
    found = (" ".join(text[start:end].split()) for start, end in sentences(text))
    return [s for s in found if not s.endswith(("?", "？")) and len(fact_words(s)) >= MIN_FACT_WORDS]


def fact_words(text: str) -> list[str]:
    """Numbers as digits, and the stems of words that are no function words; in order."""
    words = []
    for word in _WORD.findall(spaced(_MARK.sub(" ", text)).replace("’", "'")):
        lower = word.lower()
        if lower[0].isdigit() or lower in _NUMBERS:
            words.append(_NUMBERS.get(lower, lower.replace(",", "")))
        elif is_function_word(lower):
            continue
        elif has_unspaced(lower):
            words.append(lower)
        elif len(lower) > 2:
            words.append(_stem(lower))
    return words


def support(claims: list[str], passages: list[str], embed: Embed) -> np.ndarray:
    """Support of each claim by each passage, shape (claims, passages), in [0, 1]."""
    if not claims or not passages:
        return np.zeros((len(claims), len(passages)))
    parts = [_parts(p) for p in passages]
    flat = [part for some in parts for part in some]
    vectors = embed([*claims, *flat])
    near = np.clip(vectors[: len(claims)] @ vectors[len(claims) :].T, 0, 1)
    edges = np.cumsum([len(some) for some in parts])[:-1]
    cosines = np.stack([block.max(axis=1) for block in np.split(near, edges, axis=1)], axis=1)
    known = [set(fact_words(p)) for p in passages]
    anywhere = set().union(*known)
    table = np.zeros_like(cosines)
    for row, claim in enumerate(claims):
        words = fact_words(claim)
        missing = any(entity not in anywhere for entity in _entities(claim))
        for column, there in enumerate(known):
            share = k_precision(words, there)
            table[row, column] = (share + cosines[row, column]) / 2 * (MISSING_ENTITY if missing else 1)
    return table


def claim_support(claims: list[str], passages: list[str], embed: Embed) -> np.ndarray:
    """Support of each claim by the passages: by the best one, or by all together where it draws on several."""
    if not claims or not passages:
        return np.zeros(len(claims))
    together = [*passages, "\n".join(passages)] if len(passages) > 1 else passages
    return support(claims, together, embed).max(axis=1)


def marks_in(claim: str) -> list[int]:
    """The passage numbers that a sentence cites, as in `[2]`."""
    return [int(n) for n in _MARK.findall(claim)]


def _parts(passage: str) -> list[str]:
    """Sentences, and pairs of neighbours: a claim often joins two."""
    single = [passage[start:end] for start, end in sentences(passage)] or [passage]
    return single + [f"{a} {b}" for a, b in itertools.pairwise(single)]


def _entities(claim: str) -> list[str]:
    """Numbers, and capitalised words inside the sentence."""
    numbers = [w for w in fact_words(claim) if w[0].isdigit()]
    return numbers + [_stem(name.lower()) for name in _NAME.findall(claim) if name.lower() not in ENGLISH]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) > 2:
            return word[: -len(ending)]
    return word

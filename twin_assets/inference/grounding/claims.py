"""Is what an answer says in the passages it was given? Sentence by sentence, without another model.

A claim is a sentence, as in the attribution measures of Gao et al., "Enabling Large Language Models to Generate Text
with Citations" (2023). Four things are looked at in a passage: the claim's cosine with the nearest one to three
neighbouring sentences (Laban et al., "SummaC", 2022), the largest share of its fact words that stands in three
neighbouring sentences (K-Precision of Adlakha et al. 2023), whether a name of it stands nowhere, and the passage's
length, since a long one has more of any claim's words by chance. A logistic mix makes one figure of them; a number that
stands nowhere halves it (Nan et al., "Entity-level Factual Consistency", 2021: entities are where models invent). The
weights were fitted on claims that other people labelled, the development rows of AttributionBench (Li et al. 2024).

`benchmarks/claims.py` fits and measures it, on rows that the fit has not seen; docs/evaluation.md says what was tried
besides and gained nothing there. What it can't see is a denial in the passage's own words, and whether words that stand
close together there say the same thing as in the claim.
"""

import re
from collections.abc import Callable

import numpy as np

from twin_assets.core.embedding.thresholds import COSINE_WEIGHT
from twin_assets.core.text.content_words import ENGLISH, is_function_word, k_precision
from twin_assets.core.text.words import UNSPACED, has_unspaced, sentences, spaced, terms

Embed = Callable[[list[str]], np.ndarray]
# Support of each claim by each passage, shape (claims, passages), in [0, 1].
Measure = Callable[[list[str], list[str]], np.ndarray]

# What is looked at, and what each weighs in the logit.
EVIDENCE = ("cosine", "words", "name", "length")
WEIGHTS = np.array([COSINE_WEIGHT, 2.23, -0.39, -2.42])
BIAS = -3.24
MISSING_NUMBER = 0.5
# Sentences that are read together, around so many of the nearest ones. Longer passages count as this long.
WINDOW, NEAREST = 3, 3
MOST_WORDS = 800
# A sentence with fewer fact words says nothing that could be checked.
MIN_FACT_WORDS = 2
_WORD = re.compile(rf"[{UNSPACED}]+|\d[\d,.]*\d|\d|[^\W\d_]+(?:'[^\W\d_]+)*")
_NAME = re.compile(r"(?<=[^\W\d_,;] )[A-Z]\w+")
_MARK = re.compile(r"\[(\d{1,2})\]")
_LEADING = re.compile(r"(?:\[\d{1,2}\]\s*)+")
_MARKED = re.compile(r" ?\[\d{1,2}\]")
_NUMBERS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30", "forty": "40",
    "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
}  # fmt: skip
_ENDINGS = ("'s", "ing", "ies", "ied", "ed", "es", "s", "e")


def claims_of(text: str) -> list[str]:
    """The sentences of a text that state something: no questions, none with fewer than two fact words."""
    found, before = list[str](), 0
    for start, end in sentences(text):
        marks = leading_marks(text[start:end])
        if marks and found and "\n" not in text[before:start]:  # behind the sentence that they are of
            found[-1] += f" {text[start : start + marks].strip()}"
            start += marks
        found.append(" ".join(text[start:end].split()))
        before = end
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
    mixed: np.ndarray = 1 / (1 + np.exp(-(evidence(claims, passages, embed) @ WEIGHTS + BIAS)))
    return mixed * np.where(missing_number(claims, passages), MISSING_NUMBER, 1)[:, None]


def missing_number(claims: list[str], passages: list[str]) -> np.ndarray:
    """Whether a claim has a number that stands in none of the passages, shape (claims,)."""
    anywhere = set(fact_words("\n".join(passages)))
    return np.array(
        [any(w[0].isdigit() and w not in anywhere for w in fact_words(c)) for c in claims], dtype=bool
    )


def evidence(claims: list[str], passages: list[str], embed: Embed) -> np.ndarray:
    """What speaks for and against each claim in each passage, shape (claims, passages, 4), in the order of EVIDENCE."""
    claims = [" ".join(_MARK.sub(" ", claim).split()) for claim in claims]
    split = [_sentences(passage) for passage in passages]
    whole = list(dict.fromkeys([*claims, *(s for some in split for s in some)]))
    vectors = dict(zip(whole, embed(whole), strict=True))
    windows = {
        (claim, at): _windows(some, np.stack([vectors[s] for s in some]) @ vectors[claim])
        for claim in claims
        for at, some in enumerate(split)
    }
    wider = list(dict.fromkeys(w for some in windows.values() for w in some if w not in vectors))
    if wider:
        vectors.update(zip(wider, embed(wider), strict=True))
    parts = [[set(fact_words(s)) for s in some] for some in split]
    near = [
        [set().union(*some[at : at + WINDOW]) for at in range(max(len(some) - WINDOW, 0) + 1)]
        for some in parts
    ]
    anywhere = set().union(*(words for some in parts for words in some))
    lengths = [min(len(terms(passage)), MOST_WORDS) / MOST_WORDS for passage in passages]
    table = np.zeros((len(claims), len(passages), len(EVIDENCE)))
    for row, claim in enumerate(claims):
        facts = fact_words(claim)
        name = any(name not in anywhere for name in _names(claim))
        for column, windows_known in enumerate(near):
            table[row, column] = (
                max(float(vectors[w] @ vectors[claim]) for w in windows[claim, column]),
                max(k_precision(facts, known) for known in windows_known),
                name,
                lengths[column],
            )
    return table


def by_mix(embed: Embed) -> Measure:
    """`support` with that embedder."""
    return lambda claims, passages: support(claims, passages, embed)


def claim_support(claims: list[str], passages: list[str], measure: Measure) -> np.ndarray:
    """Support of each claim by the passages: by the best one, or by all together where it draws on several."""
    if not claims or not passages:
        return np.zeros(len(claims))
    together = [*passages, "\n".join(passages)] if len(passages) > 1 else passages
    return measure(claims, together).max(axis=1)


def leading_marks(sentence: str) -> int:
    """How many letters of a sentence are passage numbers at its beginning: they are of the sentence before."""
    marks = _LEADING.match(sentence)
    return marks.end() if marks else 0


def without_marks(text: str) -> str:
    """The text without the passage numbers that it cites."""
    return _MARKED.sub("", text)


def marks_in(claim: str) -> list[int]:
    """The passage numbers that a sentence cites, as in `[2]`."""
    return [int(n) for n in _MARK.findall(claim)]


def _sentences(passage: str) -> list[str]:
    """Sentences with single spaces, at least one."""
    return [" ".join(passage[start:end].split()) for start, end in sentences(passage)] or [passage]


def _windows(some: list[str], cosines: np.ndarray) -> list[str]:
    """The nearest sentences, and two or three neighbours joined around each: a claim often joins several."""
    found = list(some)
    for place in np.argsort(-cosines)[:NEAREST]:
        for start, end in ((place - 1, place + 1), (place, place + 2), (place - 1, place + 2)):
            found.append(" ".join(some[max(start, 0) : end]))
    return found


def _names(claim: str) -> list[str]:
    """Capitalised words inside the sentence."""
    return [_stem(name.lower()) for name in _NAME.findall(claim) if name.lower() not in ENGLISH]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) > 2:
            return word[: -len(ending)]
    return word

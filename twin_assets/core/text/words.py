"""Words and sentences of a text in any script: the one home of what counts, cuts and compares them.

Where a script puts spaces between words, a word is what stands between spaces, as everywhere in this platform. Japanese,
Chinese, Thai, Lao, Khmer, Burmese and Tibetan put none: their words are those of ICU's dictionaries (Unicode Standard
Annex #29, section 4, leaves these scripts to dictionaries). Of a real Japanese blog of 228,000 letters that makes 0.47
words a letter. Text without a letter of these scripts never reaches ICU: it is split at spaces, at that speed.
"""

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

Span = tuple[int, int]

_KANA = "\u3041-\u3096\u309b-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HAN = "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# Thai, Lao, Tibetan, Burmese (with its extensions), Khmer: letters with their marks and digits, no punctuation.
_SOUTH_EAST = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0eff\u0f00\u0f18-\u0f39\u0f40-\u0fbc\u1000-\u1049\u1050-\u109f"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17d3\u17d7\u17dc-\u17e9"
)
UNSPACED = f"{_KANA}{_HAN}{_SOUTH_EAST}"
"""Letters, marks and digits of scripts without spaces, as the inside of a character class of `re`."""

# What may stand between such letters: joiners, zero-width spaces and the marks that voice kana.
_BETWEEN = "\u200b-\u200d\u2060\u3099\u309a"
# Punctuation of these scripts: it ends words, where an ASCII mark would be part of what is between two spaces.
_MARKS = "\u3001-\u3004\u3006\u3008-\u3020\u302a-\u3037\u303c-\u303f\u30a0\u30fb\u0e2f\u0e46\u0e4f\u0e5a\u0e5b\u0f01-\u0f17\u0f3a-\u0f3d\u104a-\u104f\u17d4-\u17d6\u17d8-\u17db\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_LETTER = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(f"[{UNSPACED}][{UNSPACED}{_BETWEEN}]*")
_NOT_SPACED = re.compile(
    f"(?P<run>[{UNSPACED}][{UNSPACED}{_BETWEEN}]*)|(?P<marks>[{_MARKS}{_BETWEEN}]+)|[^\\s{UNSPACED}{_MARKS}{_BETWEEN}]+"
)
_TERM = re.compile(f"(?P<run>[{UNSPACED}][{UNSPACED}{_BETWEEN}]*)|[^\\W{UNSPACED}]+")

# A sentence ends here without a space after it: ideographic, half-width, Khmer and Burmese full stops, and Indic dandas.
_WIDE_END = "[。！？｡।॥။។៕]+[」』）〕】》〉”’\"')\\]*_]*"
SENTENCE_END = re.compile(
    # Thai and Lao have no mark for it: a space between two of their words is where a sentence or a clause ends.
    rf"(?<=[.!?])[\"')\]*_]*\s+|{_WIDE_END}\s*|(?<=[\u0e01-\u0eff])[ \u00a0]+(?=[\u0e01-\u0eff])|\n+"
)
WIDE_SENTENCE_END = _WIDE_END
"""The pattern of a sentence's end that needs no space after it."""


def has_unspaced(text: str) -> bool:
    """Whether a text has a letter of a script that puts no spaces between words."""
    return not text.isascii() and _LETTER.search(text) is not None


def count_words(text: str) -> int:
    """How many words a text has; `len(text.split())` where all its scripts have spaces."""
    if not has_unspaced(text):
        return len(text.split())
    return len(_spans(text))


def word_spans(text: str) -> list[Span]:
    """Places of the words that `count_words` counts, each with the punctuation that touches it behind."""
    if not has_unspaced(text):
        return [m.span() for m in re.finditer(r"\S+", text)]
    return _spans(text)


def first_words(text: str, n: int, more: str = "") -> str:
    """The first `n` words, white space as single spaces; `more` follows where something was left off."""
    spans = word_spans(text)
    beginning = (
        " ".join(text[: spans[n - 1][1]].split())
        if 0 < n < len(spans)
        else " ".join(text.split())
        if n > 0
        else ""
    )
    return beginning + more if len(spans) > n else beginning


def spaced(text: str) -> str:
    """The text with a space between words where its script has none; text of other scripts as it is.

    For patterns that were made for words between spaces: `[UNSPACED]+` then matches one word.
    """
    return (
        _RUN.sub(lambda m: f" {' '.join(m[0][a:b] for a, b in _segments(m[0]))} ", text)
        if has_unspaced(text)
        else text
    )


def terms(text: str) -> list[str]:
    """Lower-case words without punctuation, for comparing texts: runs of letters, digits and `_`."""
    # No word is joined or split by lower-casing, so that places are those of `term_spans`.
    if not has_unspaced(text):
        return [word.lower() for word in re.findall(r"\w+", text)]
    return [text[start:end].lower() for start, end in term_spans(text)]


def term_spans(text: str) -> list[Span]:
    """Places of `terms`, in order."""
    if not has_unspaced(text):
        return [m.span() for m in re.finditer(r"\w+", text)]
    spans: list[Span] = []
    for match in _TERM.finditer(text):
        at = match.start()
        spans += [(at + a, at + b) for a, b in _segments(match[0])] if match["run"] else [match.span()]
    return spans


def ngrams(words: list[str], n: int) -> list[str]:
    """Every run of n words, in order, repeats included."""
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def sentences(text: str) -> list[Span]:
    """Places of the sentences and lines of a text, without the white space between them."""
    edges = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    spans = []
    for start, end in itertools.pairwise(edges):
        part = text[start:end]
        if part.strip():
            spans.append((start + len(part) - len(part.lstrip()), start + len(part.rstrip())))
    return spans


def joined(phrase: Iterable[str]) -> str:
    """Words as a phrase: with spaces between them, but not between words of scripts that have none."""
    text = ""
    for word in phrase:
        apart = text and not (_LETTER.match(text[-1]) and _LETTER.match(word))
        text += f" {word}" if apart else word
    return text


def listed(phrases: list[str]) -> str:
    """Phrases as a list in a sentence: "tides and tables"; with the list mark of Chinese and Japanese for theirs."""
    if any(re.search(f"[{_KANA}{_HAN}]", phrase) for phrase in phrases):
        return "、".join(phrases)
    return (", " if any(map(has_unspaced, phrases)) else " and ").join(phrases)


def _spans(text: str) -> list[Span]:
    spans: list[Span] = []
    for match in _NOT_SPACED.finditer(text):
        start, end = match.span()
        if match["run"]:
            spans += [(start + a, start + b) for a, b in _segments(match[0])]
        elif match["marks"] or not any(map(str.isalnum, match[0])):
            # Punctuation belongs to the word that it touches; between two spaces it counts, as in other scripts.
            if spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], end)
            elif not match["marks"]:
                spans.append((start, end))
        else:
            spans.append((start, end))
    return spans


@lru_cache(maxsize=16_384)  # a text is counted, cut and searched for phrases many times over
def _segments(run: str) -> tuple[Span, ...]:
    """Places of the words of a run of letters, as ICU's dictionaries have them."""
    if len(run) == 1:
        return ((0, 1),)
    return tuple(span for span in _breaker()(run, "en").segments() if _LETTER.search(run, *span))


@lru_cache(maxsize=1)
def _breaker() -> Any:
    # Loaded with the first text that needs it. No locale changes the dictionaries; a fixed one keeps machines equal.
    from icu4py.breakers import WordBreaker

    return WordBreaker

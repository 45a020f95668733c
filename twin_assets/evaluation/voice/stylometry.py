"""Texts as numbers: prose, windows of words, frequencies of frequent words and punctuation, masked topics.

Pure functions of text; nothing here knows of authors or models.
"""

import re
from collections import Counter

import numpy as np

from twin_assets.core.text.words import UNSPACED, count_words, spaced, word_spans

FEATURES = 200
WINDOW = 250

_WORD = rf"[{UNSPACED}]+|[^\W\d_]+(?:'[^\W\d_]+)*"
_WORDS = re.compile(_WORD)
_TOKEN = re.compile(rf"{_WORD}|\.\.\.|[.,;:!?()\"—–-]|[。、！？「」『』（）・〜～：；，《》]")
_ADDRESS = r"\((?:[^()]++|\([^()]*+\))*+\)"  # of a link or an image, with its title
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "\u00a0": " "})


def prose(text: str) -> str:
    """The sentences of a text: code, tables, markup and addresses are taken out, quotes made straight.

    Markup comes from the site a text was published on and not from its author: left in, it would make
    telling two authors apart look easier than it is.
    """
    text = re.sub(
        r"^(```|~~~).*?^\1[^\n]*$", " ", text.translate(_TYPOGRAPHY), flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(rf"!\[[^\[\]]*+\]{_ADDRESS}|<[^<>\n]{{1,200}}+>|\{{\{{[^{{}}\n]*+\}}\}}", " ", text)
    text = re.sub(rf"\[([^\[\]]*+)\]{_ADDRESS}", r"\1", text)
    text = re.sub(r"https?://\S+|`[^`\n]*`", " ", text)
    text = re.sub(r"^(?: {4}|\t|\|).*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"^[^\S\n]*+(?:#+|>|[-*+]|\d+[.)]) ", "", text, flags=re.MULTILINE)
    return re.sub(r"(\*\*|__|\*(?=\w)|(?<=\w)\*)", "", text)


def word_count(texts: list[str]) -> int:
    """Words as windows count them: those of the prose."""
    return sum(count_words(prose(text)) for text in texts)


def windows(texts: list[str], words: int = WINDOW) -> list[str]:
    """Texts joined and cut into windows of `words` words; a last piece under that is left out.

    Short texts are pooled because a few words say little of who wrote them: `benchmarks/voice_validity.py`
    measures how much less.
    """
    joined = "\n\n".join(prose(t).strip() for t in texts)
    spans = word_spans(joined)
    return [joined[spans[i][0] : spans[i + words - 1][1]] for i in range(0, len(spans) - words + 1, words)]


def tokens(text: str) -> list[str]:
    """Lower-cased words (contractions whole) and punctuation marks."""
    return _TOKEN.findall(spaced(text.lower()))


def frequent_features(texts: list[str], n: int = FEATURES) -> list[str]:
    """The `n` most frequent words and marks, those used in only one text left out."""
    per_text = [Counter(tokens(t)) for t in texts]
    total: Counter[str] = Counter()
    for counts in per_text:
        total.update(counts)
    spread = Counter(token for counts in per_text for token in counts)
    common = [t for t, _ in sorted(total.items(), key=lambda i: (-i[1], i[0])) if spread[t] > 1]
    return common[:n]


def frequencies(texts: list[str], features: list[str]) -> np.ndarray:
    """Relative frequencies, shape (texts, features)."""
    rows = []
    for text in texts:
        counts = Counter(tokens(text))
        total = max(sum(counts.values()), 1)
        rows.append([counts[f] / total for f in features])
    return np.array(rows, dtype=np.float64).reshape(len(texts), len(features))


def mask_topic(text: str, keep: frozenset[str]) -> str:
    """Words outside `keep` as asterisks of their length, digits as #: Stamatatos (2017), text distortion."""
    hidden = _WORDS.sub(lambda m: m[0] if m[0].lower() in keep else "*" * len(m[0]), spaced(text))
    return re.sub(r"\d", "#", hidden)

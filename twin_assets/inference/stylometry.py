"""Texts as numbers: windows of words, frequencies of frequent words and punctuation."""

import re
from collections import Counter

import numpy as np

FEATURES = 150
WINDOW = 250


def windows(texts: list[str], words: int = WINDOW) -> list[str]:
    """Texts joined and cut into windows of `words` words; a last piece under that is left out.

    Shorter windows say little: see ANCHORS in the design, and `benchmarks/voice_validity.py`.
    """
    joined = " \n\n ".join(_plain(t) for t in texts)
    spans = [m.span() for m in re.finditer(r"\S+", joined)]
    return [joined[spans[i][0] : spans[i + words - 1][1]] for i in range(0, len(spans) - words + 1, words)]


def _plain(text: str) -> str:
    """Prose only: code and markup signs say nothing of a voice."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL).replace("’", "'")
    return re.sub(r"^(#+|>|[-*]) ", "", text, flags=re.MULTILINE)


def tokens(text: str) -> list[str]:
    """Lower-cased words (contractions whole) and punctuation marks."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*|[.,;:!?()\"—–-]", text.lower())


def frequent_features(texts: list[str], n: int = FEATURES) -> list[str]:
    """The `n` most frequent words and marks, those used in only one text left out."""
    per_text = [Counter(tokens(t)) for t in texts]
    total: Counter[str] = sum(per_text, Counter())
    spread = Counter(token for counts in per_text for token in counts)
    common = [t for t, _ in sorted(total.items(), key=lambda i: (-i[1], i[0])) if spread[t] > 1]
    return common[:n]


def frequencies(texts: list[str], features: list[str]) -> np.ndarray:
    """Relative frequencies, shape (texts, features)."""
    rows = []
    for text in texts:
        counts = Counter(tokens(text))
        rows.append([counts[f] / max(sum(counts.values()), 1) for f in features])
    return np.array(rows, dtype=np.float64).reshape(len(texts), len(features))


def mask_topic(text: str, keep: set[str]) -> str:
    """Words outside `keep` as asterisks, digits as #: Stamatatos (2017), text distortion."""
    hidden = re.sub(
        r"[A-Za-z]+(?:'[a-z]+)?", lambda m: m[0] if m[0].lower() in keep else "*" * len(m[0]), text
    )
    return re.sub(r"\d", "#", hidden)

"""Reasons not to learn from a document."""

import re

from twin_assets.core.records import CleanedDocument

MIN_WORDS = {"post": 12, "article": 80, "code": 5}
MIN_ENGLISH_SHARE = 0.2
MAX_LINK_SHARE = 0.5
MIN_LETTER_SHARE = 0.5

_ENGLISH = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "is",
        "it",
        "you",
        "that",
        "he",
        "was",
        "for",
        "on",
        "are",
        "with",
        "as",
        "i",
        "his",
        "they",
        "be",
        "at",
        "one",
        "have",
        "this",
        "from",
        "or",
        "had",
        "by",
        "not",
        "but",
        "what",
        "all",
        "were",
        "when",
        "we",
        "there",
        "can",
        "an",
        "your",
        "which",
        "their",
        "said",
        "if",
        "do",
        "will",
        "each",
        "about",
        "how",
        "up",
        "out",
        "them",
        "then",
        "she",
        "many",
        "some",
        "so",
        "these",
        "would",
        "other",
        "into",
        "has",
        "more",
        "her",
        "two",
        "like",
        "him",
        "see",
        "could",
        "no",
        "than",
        "been",
        "its",
        "who",
        "now",
        "my",
        "over",
        "did",
        "down",
        "only",
        "it's",
        "don't",
        "i'd",
        "that's",
    ]
)


def assess_quality(document: CleanedDocument, languages: list[str]) -> list[str]:
    """Named reasons to drop a document; none when it is good."""
    if document.category == "code":
        return ["too_short"] if document.words < MIN_WORDS["code"] else []
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", document.voice_text.lower())
    reasons = []
    if document.words < MIN_WORDS[document.category]:
        reasons.append("too_short")
    links = re.findall(r"https?://\S+", document.voice_text)
    if document.words and len(links) / document.words > MAX_LINK_SHARE:
        reasons.append("mostly_links")
    visible = re.sub(r"\s", "", document.voice_text)
    if visible and sum(c.isalpha() for c in visible) / len(visible) < MIN_LETTER_SHARE:
        reasons.append("mostly_symbols")
    # Only English can be told without a model; other languages pass until one is there.
    if languages == ["en"] and len(words) >= 40:
        share = sum(w in _ENGLISH for w in words) / len(words)
        if share < MIN_ENGLISH_SHARE:
            reasons.append("wrong_language")
    return reasons

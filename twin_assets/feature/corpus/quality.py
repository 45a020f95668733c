"""Reasons not to learn from a document."""

import re
import unicodedata

from twin_assets.core.records import CleanedDocument
from twin_assets.feature.corpus.language import other_language

MIN_WORDS = {"post": 12, "article": 80, "code": 5}
MAX_LINK_SHARE = 0.5
MIN_LETTER_SHARE = 0.5


def assess_quality(document: CleanedDocument, languages: list[str]) -> list[str]:
    """Named reasons to drop a document; none when it is good. `languages` are those that the persona writes in."""
    if document.category == "code":
        return ["too_short"] if document.words < MIN_WORDS["code"] else []
    reasons = []
    if document.words < MIN_WORDS[document.category]:
        reasons.append("too_short")
    links = re.findall(r"https?://\S+", document.voice_text)
    if document.words and len(links) / document.words > MAX_LINK_SHARE:
        reasons.append("mostly_links")
    visible = re.sub(r"\s", "", document.voice_text)
    if visible and sum(map(_is_letter, visible)) / len(visible) < MIN_LETTER_SHARE:
        reasons.append("mostly_symbols")
    if other_language(document.voice_text, languages):
        reasons.append("wrong_language")
    return reasons


def _is_letter(character: str) -> bool:
    # Vowels and tones of Thai, Burmese, Hindi and others are marks on a letter; the mark that makes an emoji is none.
    return character.isalpha() or (
        not character.isascii() and unicodedata.category(character) in ("Mn", "Mc") and character != "\ufe0f"
    )

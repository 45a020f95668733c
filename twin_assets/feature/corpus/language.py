"""The language of a text whose source declares none, and whether a text is in another than its author writes in."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

MIN_LETTERS = 80
MIN_PROBABILITY = 0.9
# Detection time grows with the text, and certainty doesn't beyond this.
MAX_CHARACTERS = 3000

# Of kana and ideographs together: Japanese has half or more, a Chinese text that quotes some Japanese little.
KANA_SHARE = 0.15
# What one of them says takes so many letters of an alphabet: names of things in English are no English text.
LETTERS_AN_IDEOGRAPH = 2.5
_SCRIPTS = {
    name: re.compile(f"[{letters}]")
    for name, letters in {
        "han": "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff",
        "ja": "\u3041-\u30ff",
        "ko": "\u1100-\u11ff\uac00-\ud7a3",
        "th": "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e45",
        "lo": "\u0e81-\u0eb0\u0eb2\u0eb3\u0ec0-\u0ec4",
        "km": "\u1780-\u17b3",
        "my": "\u1000-\u102a",
    }.items()
}
# Written so much alike that the detector, sure as it is, often names another of the group.
_ALIKE = (
    {"no", "nb", "nn", "da"}, {"hr", "sr", "bs", "sh", "sl"}, {"id", "ms"}, {"pt", "gl"}, {"es", "ca"}, {"cs", "sk"}, {"mk", "bg"},
    {"af", "nl"}, {"hi", "mr", "ne"}, {"fa", "ur"},
)  # fmt: skip
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\[[a-zA-Z -]+\]", re.DOTALL)


def detect_language(text: str) -> str | None:
    """ISO 639-1 code of a text's language, the same at every call; None for a short or doubtful one."""
    # Mathematical letters and the like, which some use for bold, are letters of no language until normalised.
    prose = _NO_PROSE.sub(" ", unicodedata.normalize("NFKC", text[: 2 * MAX_CHARACTERS]))[:MAX_CHARACTERS]
    if sum(c.isalpha() for c in prose) < MIN_LETTERS:
        return None
    if language := _by_script(prose):
        return language
    detector = _factory().create()
    detector.append(prose)
    try:
        guesses = detector.get_probabilities()
    except _no_features():  # a script that the detector has no language of, like Burmese
        return None
    best = max(guesses, key=lambda guess: guess.prob, default=None)
    return best.lang.split("-")[0] if best and best.prob >= MIN_PROBABILITY else None


def _by_script(prose: str) -> str | None:
    """The language of a text most of which is in a script that one language has.

    The detector takes Chinese for Korean now and then, and has no Lao, Khmer or Burmese.
    """
    letters = max(sum(map(str.isalpha, prose)), 1)
    counts = {name: len(pattern.findall(prose)) for name, pattern in _SCRIPTS.items()}
    ideographs = counts.pop("han") + counts["ja"]
    if LETTERS_AN_IDEOGRAPH * ideographs > letters - ideographs:
        return "ja" if counts["ja"] >= KANA_SHARE * ideographs else "zh"
    return next((name for name, count in counts.items() if name != "ja" and 2 * count > letters), None)


def other_language(text: str, languages: Sequence[str]) -> str | None:
    """The language of a text that is surely in none of `languages`; None for one that may be, and for a doubtful one.

    Regions don't count ("pt-BR" allows "pt"), nor do differences between languages so alike that a detector that
    has seen other texts of them takes one for the other.
    """
    language = detect_language(text)
    if language is None or not languages:
        return None
    allowed = {base for name in languages for base in _alike(re.split("[-_]", name.lower())[0])}
    return None if language in allowed else language


def _alike(language: str) -> set[str]:
    return next((group for group in _ALIKE if language in group), {language})


def _no_features() -> type[Exception]:
    from langdetect.lang_detect_exception import LangDetectException

    return LangDetectException


@cache
def _factory() -> Any:
    """The detector's profiles, loaded once, with a seed: unseeded, its answers differ from call to call."""
    from langdetect import DetectorFactory
    from langdetect.detector_factory import PROFILES_DIRECTORY

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory

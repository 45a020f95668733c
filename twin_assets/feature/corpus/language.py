"""The language of a text whose source declares none."""

import re
from functools import cache
from typing import Any

MIN_LETTERS = 80
MIN_PROBABILITY = 0.9
# Detection time grows with the text, and certainty doesn't beyond this.
MAX_CHARACTERS = 3000

_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\[[a-zA-Z -]+\]", re.DOTALL)


def detect_language(text: str) -> str | None:
    """ISO 639-1 code of a text's language, the same at every call; None for a short or doubtful one."""
    prose = _NO_PROSE.sub(" ", text[: 2 * MAX_CHARACTERS])[:MAX_CHARACTERS]
    if sum(c.isalpha() for c in prose) < MIN_LETTERS:
        return None
    found = _factory().create()
    found.append(prose)
    best = max(found.get_probabilities(), key=lambda guess: guess.prob, default=None)
    return best.lang.split("-")[0] if best and best.prob >= MIN_PROBABILITY else None


@cache
def _factory() -> Any:
    """The detector's profiles, loaded once, with a seed: unseeded, its answers differ from call to call."""
    from langdetect import DetectorFactory
    from langdetect.detector_factory import PROFILES_DIRECTORY

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory

"""Is a text abusive? A short word list that ships with the platform, or a classifier by setting.

The list finds insults, slurs and threats in English by their words, and nothing else: irony, quotation and other
languages are beyond it. `TWIN_TOXICITY_MODEL` names a folder or a hub id of a text classifier instead.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from twin_assets.core.errors import TwinError

IsToxic = Callable[[list[str]], list[bool]]

WORDS = Path(__file__).with_name("toxic_words.txt")
# A classifier's labels of a text that is fine; a text is toxic when all of these together are less likely.
HARMLESS = ("neutral", "non-toxic", "non_toxic", "nontoxic", "not_toxic", "normal", "ok", "label_0")
TOXIC = 0.5
BATCH = 32


def open_toxicity(model: str | None) -> tuple[str, IsToxic]:
    """The name of the rule, for reports, and the rule: texts to flags. Raises TwinError when the model of the
    setting can't be loaded."""
    return (f"model {model}", _classifier(model)) if model else ("word list", by_words)


def by_words(texts: list[str]) -> list[bool]:
    """Whether each text has a word or phrase of the list."""
    return [bool(_pattern().search(text)) for text in texts]


@lru_cache
def _pattern() -> re.Pattern[str]:
    lines = (line.split("#")[0].strip() for line in WORDS.read_text(encoding="utf-8").splitlines())
    return re.compile(rf"\b(?:{'|'.join(line for line in lines if line)})\b", re.IGNORECASE)


def _classifier(name: str) -> IsToxic:
    from transformers import pipeline

    try:
        classify = pipeline("text-classification", model=name, top_k=None, truncation=True)
    except (OSError, ValueError) as error:
        raise TwinError(
            f"The toxicity model {name!r} can't be loaded: {str(error).splitlines()[0]}",
            "set TWIN_TOXICITY_MODEL to the folder or hub id of a text classifier, or unset it.",
        ) from error

    def is_toxic(texts: list[str]) -> list[bool]:
        scored = classify(texts, batch_size=BATCH) if texts else []
        return [
            sum(one["score"] for one in scores if one["label"].lower() in HARMLESS) < TOXIC
            for scores in scored
        ]

    return is_toxic

"""Is a text abusive? A short word list that ships with the platform, or a classifier by setting.

The list finds insults, slurs and threats in English by their words, and nothing else: irony, quotation and other
languages are beyond it. `TWIN_TOXICITY_MODEL` names a folder or a hub id of a text classifier instead.
"""

import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

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
    if not model:
        return "word list", by_words
    classifier = ToxicityModel(model)
    classifier.load()
    return f"model {model}", classifier


def by_words(texts: list[str]) -> list[bool]:
    """Whether each text has a word or phrase of the list."""
    return [bool(_pattern().search(text)) for text in texts]


@lru_cache
def _pattern() -> re.Pattern[str]:
    lines = (line.split("#")[0].strip() for line in WORDS.read_text(encoding="utf-8").splitlines())
    return re.compile(rf"\b(?:{'|'.join(line for line in lines if line)})\b", re.IGNORECASE)


class ToxicityModel:
    """A text classifier as an IsToxic."""

    def __init__(self, name: str) -> None:
        """`name` is a folder or a hub id."""
        self.name = name

    def __reduce__(self) -> "tuple[Callable[[str], ToxicityModel], tuple[str]]":
        """Sent to another process it is that one's: a process loads a model once."""
        return _model, (self.name,)

    def __call__(self, texts: list[str]) -> list[bool]:
        """Raises TwinError when the model can't be loaded."""
        scored = self._classify(texts, batch_size=BATCH) if texts else []
        return [
            sum(one["score"] for one in scores if one["label"].lower() in HARMLESS) < TOXIC
            for scores in scored
        ]

    def load(self) -> None:
        """Load now rather than with the first text. Raises TwinError when the model can't be loaded."""
        _ = self._classify

    @cached_property
    def _classify(self) -> Any:
        from transformers import pipeline

        try:
            return pipeline("text-classification", model=self.name, top_k=None, truncation=True)
        except (OSError, ValueError) as error:
            raise TwinError(
                f"The toxicity model {self.name!r} can't be loaded: {str(error).splitlines()[0]}",
                "set TWIN_TOXICITY_MODEL to the folder or hub id of a text classifier, or unset it.",
            ) from error


@lru_cache(maxsize=1)
def _model(name: str) -> ToxicityModel:
    return ToxicityModel(name)

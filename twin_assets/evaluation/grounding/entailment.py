"""Support of claims by an entailment model, in place of the measure of `claims`, where TWIN_ENTAILMENT_MODEL names one.

Any classifier of sentence pairs with a label for entailment will do (Bowman et al. 2015; MultiNLI, Williams et al. 2018),
asked as in TRUE (Honovich et al. 2022): is the claim entailed by the passage? A passage is read in parts that the model
can hold, and its best part counts (Laban et al., "SummaC", 2022).
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.text.words import word_spans
from twin_assets.inference.grounding.claims import Measure
from twin_assets.settings import Settings

# From this probability on a claim is supported: more likely than not.
ENTAILED = 0.5
# Words of a part of a passage, and how many of them the next part begins with, so that no sentence is cut in both.
PART, OVERLAP = 160, 40
MAX_TOKENS = 384
BATCH = 16
FIX = "set TWIN_ENTAILMENT_MODEL to the folder or hub id of a classifier of sentence pairs with a label `entailment`, or unset it."


class EntailmentModel:
    """Loaded with the first claim, in bounded memory: BATCH pairs of MAX_TOKENS tokens at a time."""

    def __init__(self, name: str) -> None:
        """`name` is a folder or a hub id."""
        self.name = name

    def __reduce__(self) -> "tuple[Callable[[str], EntailmentModel], tuple[str]]":
        """Sent to another process it is that one's: a process loads a model once."""
        return _model, (self.name,)

    def support(self, claims: list[str], passages: list[str]) -> np.ndarray:
        """Probability that each passage entails each claim, shape (claims, passages). Raises TwinError when the model
        can't be loaded or has no label for entailment."""
        table = np.zeros((len(claims), len(passages)))
        parts = [(column, part) for column, passage in enumerate(passages) for part in parts_of(passage)]
        if not claims or not parts:
            return table
        model, label = self._loaded
        pairs = [(part, claim) for claim in claims for _, part in parts]
        scores = model.predict(pairs, batch_size=BATCH, apply_softmax=True, show_progress_bar=False)
        entailed = np.asarray(scores)[:, label].reshape(len(claims), len(parts))
        for place, (column, _) in enumerate(parts):
            table[:, column] = np.maximum(table[:, column], entailed[:, place])
        return table

    @cached_property
    def _loaded(self) -> tuple[Any, int]:
        from sentence_transformers import CrossEncoder

        try:
            model = CrossEncoder(self.name, max_length=MAX_TOKENS)
        except (OSError, ValueError) as error:
            raise TwinError(
                f"The entailment model {self.name!r} can't be loaded: {str(error).splitlines()[0]}", FIX
            ) from error
        labels = {str(name).lower(): int(n) for n, name in model.config.id2label.items()}
        if "entailment" not in labels or len(labels) < 2:
            raise TwinError(
                f"The model {self.name!r} has no label `entailment` (it has: {', '.join(labels)}).", FIX
            )
        return model, labels["entailment"]


def parts_of(passage: str) -> list[str]:
    """The passage in parts of PART words that overlap by OVERLAP."""
    spans = word_spans(passage)
    starts = range(0, max(len(spans) - OVERLAP, 1), PART - OVERLAP)
    return [passage[spans[at][0] : spans[min(at + PART, len(spans)) - 1][1]] for at in starts if spans]


def open_measure(settings: Settings, supported: float) -> tuple[Measure | None, float]:
    """What claims are measured by, None for the mix (`claims.by_mix`), and from what support on one counts: `supported` is
    that of the mix."""
    if settings.entailment_model:
        return _model(settings.entailment_model).support, ENTAILED
    return None, supported


@lru_cache(maxsize=1)
def _model(name: str) -> EntailmentModel:
    return EntailmentModel(name)

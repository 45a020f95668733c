"""A small real language model: words by how often they stand in a text. It knows no order."""

import numpy as np

from twin_assets.evaluation.sense.reference import TOKENS


class CountedWords:
    """As `ReferenceModel`, over words between spaces; `asked` counts the texts."""

    name = "counted words"

    def __init__(self, texts: list[str]) -> None:
        self.asked = 0
        self._counts: dict[str, int] = {}
        for word in " ".join(texts).split():
            self._counts[word] = self._counts.get(word, 0) + 1

    @property
    def fingerprint(self) -> str:
        return "counted"

    def losses(self, texts: list[str]) -> list[np.ndarray]:
        self.asked += len(texts)
        total = sum(self._counts.values())
        return [
            np.array([-np.log((self._counts.get(w, 0) + 0.5) / total) for w in text.split()][:TOKENS])
            for text in texts
        ]

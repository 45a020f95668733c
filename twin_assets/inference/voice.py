"""Does a text sound like its author? Two instruments, both fitted on the training side only.

Margin: Burrows' Delta (Burrows 2002) on frequent words and punctuation, as distance to the nearest impostor
minus distance to the author (General Imposters, Kestemont et al. 2016): positive is the author's side.
Verifier: character n-grams of topic-masked text (Stamatatos 2017) with logistic regression, in [0, 1].
Both work on windows of 250 words; intervals are bootstrapped over windows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.inference.stylometry import (
    WINDOW,
    frequencies,
    frequent_features,
    mask_topic,
    tokens,
    windows,
)

KEPT_WORDS = 300
BOOTSTRAPS = 1000


class VoiceScore(Record):
    """Means over windows with 95% intervals; None where there was too little text, with the reason."""

    margin: float | None
    margin_low: float | None
    margin_high: float | None
    verifier: float | None
    windows: int
    words: int
    note: str | None = None


@dataclass
class VoiceMeter:
    """Fitted by `VoiceMeter.fit`."""

    features: list[str]
    mean: np.ndarray
    deviation: np.ndarray
    author: np.ndarray
    impostors: dict[str, np.ndarray]
    keep: set[str]
    vectorizer: Any
    classifier: Any

    @classmethod
    def fit(cls, author: list[str], impostors: dict[str, list[str]]) -> "VoiceMeter":
        """Learn the author's and each impostor's habits. Raises TwinError without two windows of both."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        own = windows(author)
        others = {name: windows(texts) for name, texts in impostors.items()}
        others = {name: cut for name, cut in others.items() if cut}
        if len(own) < 2 or not others:
            raise TwinError(
                f"The voice metric has {len(own)} windows of {WINDOW} words of the author and "
                f"{sum(map(len, others.values()))} of impostors.",
                "add writing to the persona, and folders under `impostors:` in its YAML.",
            )
        texts = own + [w for cut in others.values() for w in cut]
        features = frequent_features(texts)
        table = frequencies(texts, features)
        mean, deviation = table.mean(axis=0), table.std(axis=0) + 1e-9
        keep = set(frequent_features(texts, KEPT_WORDS))
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(2, 4), min_df=2, sublinear_tf=True, lowercase=False
        )
        labels = [1] * len(own) + [0] * (len(texts) - len(own))
        classifier = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
        classifier.fit(vectorizer.fit_transform([mask_topic(t, keep) for t in texts]), labels)

        def centroid(cut: list[str]) -> np.ndarray:
            return ((frequencies(cut, features) - mean) / deviation).mean(axis=0)

        return cls(
            features, mean, deviation, centroid(own), {n: centroid(c) for n, c in others.items()}, keep,
            vectorizer, classifier,
        )  # fmt: skip

    def margins(self, cut: list[str]) -> np.ndarray:
        """One margin for each window."""
        z = (frequencies(cut, self.features) - self.mean) / self.deviation
        to_author = np.abs(z - self.author).mean(axis=1)
        to_impostor = np.min([np.abs(z - c).mean(axis=1) for c in self.impostors.values()], axis=0)
        return to_impostor - to_author

    def verify(self, cut: list[str]) -> np.ndarray:
        """One probability of being the author's for each window."""
        return self.classifier.predict_proba(
            self.vectorizer.transform([mask_topic(t, self.keep) for t in cut])
        )[:, 1]

    def score(self, texts: list[str], seed: int) -> VoiceScore:
        """The score of all texts together."""
        cut, words = windows(texts), sum(len(tokens(t)) for t in texts)
        if not cut:
            note = f"{words} words; a window needs {WINDOW}"
            return VoiceScore(
                margin=None,
                margin_low=None,
                margin_high=None,
                verifier=None,
                windows=0,
                words=words,
                note=note,
            )
        margins = self.margins(cut)
        low, high = bootstrap(margins, seed)
        return VoiceScore(
            margin=float(margins.mean()), margin_low=low, margin_high=high, verifier=float(self.verify(cut).mean()),
            windows=len(cut), words=words,
        )  # fmt: skip


def bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95% interval of the mean (percentile bootstrap, Efron 1979)."""
    random = np.random.default_rng(seed)
    means = random.choice(values, size=(BOOTSTRAPS, len(values))).mean(axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))

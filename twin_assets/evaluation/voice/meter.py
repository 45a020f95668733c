"""Does a text sound like its author? Two instruments, both fitted on the training side only.

Margin: Delta (Burrows 2002) on frequent words and punctuation, as distance to the nearest impostor minus
distance to the author (General Imposters, Kestemont et al. 2016): positive is the author's side.
Verifier: character n-grams of topic-masked text (Stamatatos 2017) with logistic regression, in [0, 1].
Both work on windows of 250 words; intervals are bootstrapped over windows.

What it can't do: it knows the impostors it was shown. A stranger who is unlike all of them may pass as the
author, so impostors should write about the same things, and one should be an assistant's prose.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.text.content_words import function_words
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.voice.instrument import VoiceFigure
from twin_assets.evaluation.voice.stylometry import (
    WINDOW,
    frequencies,
    frequent_features,
    mask_topic,
    tokens,
    windows,
    word_count,
)

FEATURES = 300
# An interval over one window would have no width and look like certainty.
MIN_WINDOWS = 2


class VoiceScore(Record):
    """Means over windows with 95% intervals; None where there was too little text, with the reason.

    `margin` is in [-2, 2], above 0 nearer to the author than to any impostor; `verifier` in [0, 1]. `figure` is what is
    judged by: the calibrated way from strangers to the author, None in reports stored before there was one.
    """

    margin: float | None
    margin_low: float | None
    margin_high: float | None
    verifier: float | None
    verifier_low: float | None = None
    verifier_high: float | None = None
    windows: int
    words: int
    note: str | None = None
    figure: VoiceFigure | None = None


@dataclass
class VoiceMeter:
    """Fitted by `VoiceMeter.fit`. Rows of `centroids` are classes, the author's first."""

    features: list[str]
    mean: np.ndarray
    deviation: np.ndarray
    centroids: np.ndarray
    impostors: list[str]
    keep: frozenset[str]
    vectorizer: Any
    classifier: Any

    @classmethod
    def fit(cls, author: list[str], impostors: dict[str, list[str]]) -> "VoiceMeter":
        """Learn the author's and each impostor's habits. The same texts give the same meter.

        Raises TwinError without two windows of the author and one of an impostor.
        """
        own = windows(author)
        others = {name: cut for name, texts in sorted(impostors.items()) if (cut := windows(texts))}
        if len(own) < MIN_WINDOWS or not others:
            raise TwinError(
                f"The voice metric has {len(own)} windows of {WINDOW} words of the author and "
                f"{sum(map(len, others.values()))} of impostors.",
                "add writing to the persona, and folders under `impostors:` in its YAML.",
            )
        texts = own + [w for cut in others.values() for w in cut]
        features = frequent_features(texts, FEATURES)
        table = frequencies(texts, features)
        sizes = [len(own), *map(len, others.values())]
        mean, deviation = _balanced_scale(table, sizes)
        z = (table - mean) / deviation
        bounds = np.cumsum(sizes)[:-1]
        centroids = np.array([part.mean(axis=0) for part in np.split(z, bounds)])
        keep = function_words([[t for t in tokens(text) if t[0].isalpha()] for text in texts])
        vectorizer, classifier = _fit_verifier(texts, len(own), keep)
        return cls(features, mean, deviation, centroids, list(others), keep, vectorizer, classifier)

    def margins(self, cut: list[str]) -> np.ndarray:
        """One margin for each window.

        Distance is the cosine variant of Delta (Smith & Aldridge 2011; Evert et al. 2017): an impostor
        known from few windows has a noisy centroid, which Manhattan distance takes for a far one.
        """
        z = (frequencies(cut, self.features) - self.mean) / self.deviation
        norms = np.linalg.norm(z, axis=1)[:, None] * np.linalg.norm(self.centroids, axis=1)[None, :]
        distances = 1 - (z @ self.centroids.T) / np.maximum(norms, 1e-12)
        return distances[:, 1:].min(axis=1) - distances[:, 0]

    def verify(self, cut: list[str]) -> np.ndarray:
        """One probability of being the author's for each window."""
        masked = [mask_topic(t, self.keep) for t in cut]
        return self.classifier.predict_proba(self.vectorizer.transform(masked))[:, 1]

    def score(self, texts: list[str], seed: int) -> VoiceScore:
        """The score of all texts together."""
        cut, words = windows(texts), word_count(texts)
        if len(cut) < MIN_WINDOWS:
            return too_little(words)
        return summarise(self.margins(cut), self.verify(cut), words, seed)


def summarise(margins: np.ndarray, verifier: np.ndarray, words: int, seed: int) -> VoiceScore:
    """Means of per-window values with their intervals."""
    low, high = bootstrap(margins, seed)
    verifier_low, verifier_high = bootstrap(verifier, seed)
    return VoiceScore(
        margin=float(margins.mean()),
        margin_low=low,
        margin_high=high,
        verifier=float(verifier.mean()),
        verifier_low=verifier_low,
        verifier_high=verifier_high,
        windows=len(margins),
        words=words,
    )


def too_little(words: int) -> VoiceScore:
    """The score of a text that is too short to have one."""
    note = f"{words} words; at least {MIN_WINDOWS} windows of {WINDOW} words are needed"
    return VoiceScore(
        margin=None, margin_low=None, margin_high=None, verifier=None, windows=0, words=words, note=note
    )


def _balanced_scale(table: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation with equal weight for each class: most windows are the author's, and would
    otherwise put the origin on the author, where angles mean nothing."""
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes]) / len(sizes)
    mean = weights @ table
    return mean, np.sqrt(weights @ (table - mean) ** 2) + 1e-9


def _fit_verifier(texts: list[str], own: int, keep: frozenset[str]) -> tuple[Any, Any]:
    """The first `own` texts are the author's."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(2, 4), min_df=2, sublinear_tf=True, lowercase=False
    )
    classifier = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
    table = vectorizer.fit_transform([mask_topic(t, keep) for t in texts])
    classifier.fit(table, [1] * own + [0] * (len(texts) - own))
    return vectorizer, classifier

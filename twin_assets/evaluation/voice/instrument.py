"""How much of the way from strangers to the author a text has come: a calibrated figure, 0 to 1.

Three views of a window are mixed by logistic regression: a whitened Delta (function words and marks, differences that
a writer also shows among own texts counting less), and two kernel classifiers, on character n-grams of topic-masked text
(Stamatatos 2017) and on runs of function words and marks. Mix and calibration are fitted on texts and writers that were
left out: every part of the author's documents and of the other writers is scored by a fit that saw neither (as people
verify speakers and authors; Bevendorff et al. 2019 on why authors must be left out too). Nothing that is scored later is
in any fit.

Nonsense made of the author's words is as near to the author's average as can be. So the figure ends at 1, and `typical`
says when a text is nearer to that average than the author's own writing is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.text.content_words import function_words
from twin_assets.evaluation.voice.stylometry import (
    WINDOW,
    frequencies,
    frequent_features,
    mask_topic,
    tokens,
    windows,
)

MIN_WINDOWS = 2
# The author's parts that are left out in turn, each with a part of the writers; an author of fewer windows can't spare them.
FOLDS = 5
MIN_OWN, MIN_WRITERS = 10, 3
# Of one writer: more of them would outweigh the rest, and cost time.
MOST_OWN, MOST_OTHERS = 300, 60
WORDS, NGRAMS, RUNS = 300, 6000, 4000
RIDGE, SHRINKAGE, NEAREST = 1.0, 0.5, 3
# Of strangers' windows, this share may pass the window limit; a text is above the author's range beyond this quantile.
ERROR, RANGE = 0.05, 0.99
DRAWS = 2000


class VoiceFigure(Record):
    """`value` is the way from strangers (0) to the author's unseen text (1) with its 95% interval; None where it can't
    be said, and `note` has the reason. `typical`: nearer to the author's average than the author's own writing is."""

    value: float | None
    low: float | None = None
    high: float | None = None
    typical: bool = False
    windows: int = 0
    note: str | None = None


def no_figure(note: str) -> VoiceFigure:
    return VoiceFigure(value=None, note=note)


def sentence(figure: VoiceFigure) -> str:
    """What a figure says, for people who know nothing of stylometry."""
    if figure.value is None:
        return f"Whose voice this is can't be said: {figure.note}."
    if figure.typical:
        return (
            "This is closer to the author's average than the author's own texts are: no person writes so evenly, so it is "
            "no praise. Text mixed from the author's words looks like this."
        )
    return f"On the way from other people's writing (0) to the author's own new texts (1) this stands at {figure.value:.2f}."


@dataclass
class Calibration:
    """Of out-of-fold scores: `strangers` and `author` are the mean logits, the figure's 0 and 1; `limit` is the logit that
    ERROR of the strangers' windows pass; `nearness` has the author's own whitened margins, in order."""

    strangers: float
    author: float
    limit: float
    nearness: np.ndarray
    stranger_windows: int


class VoiceInstrument:
    """Made by `VoiceInstrument.fit`. Scores are of windows of `words` words."""

    def __init__(
        self, words: int, views: "_Views", fitted: "_Fitted", mix: Any, calibration: Calibration
    ) -> None:
        self.words, self._views, self._fitted, self._mix = words, views, fitted, mix
        self.calibration = calibration

    @classmethod
    def fit(
        cls,
        author: Sequence[str],
        others: dict[str, list[str]],
        words: int = WINDOW,
        more: dict[str, list[str]] | None = None,
    ) -> "VoiceInstrument":
        """Fit on the author's documents and other writers' by name. The same texts give the same instrument.

        `more` are writers unlike those that a text may be of, such as packages' maintainers: the views learn from them,
        and nothing is calibrated on them.

        Raises TwinError with too little of the author or too few writers to leave some out.
        """
        parts = [part for i in range(FOLDS) if (part := windows(list(author[i::FOLDS]), words))]
        told_from, learnt_from = _windows_of(others, words), _windows_of(more or {}, words)
        people, cut = len(told_from), told_from + learnt_from
        own = sum(map(len, parts))
        if own < MIN_OWN or len(parts) < 2 or people < MIN_WRITERS:
            raise TwinError(
                f"The voice figure has {own} windows of {words} words of the author, and {people} other writers.",
                f"it needs {MIN_OWN} and {MIN_WRITERS}: add writing, name folders under `impostors:`, or run "
                "`twin impostors fetch`.",
            )
        parts = [_spread(part, max(MOST_OWN // len(parts), 1)) for part in parts]
        texts = [text for part in parts for text in part] + [text for w in cut for text in w]
        writer = np.repeat(np.arange(len(cut) + 1), [sum(map(len, parts)), *map(len, cut)])
        fold = _folds(writer, [len(part) for part in parts], len(parts))
        views = _Views(texts)
        rows = views.made_from
        scores = np.zeros((len(texts), 3))
        for left_out in range(len(parts)):
            seen = fold != left_out
            scores[~seen] = _Fitted(rows.take(seen), writer[seen]).score(rows.take(~seen))
        told = writer <= people
        mix = _mix(scores[told], writer[told])
        logits, mine = mix.decision_function(scores), writer == 0
        strangers = told & ~mine
        calibration = Calibration(
            strangers=_writers_mean(logits[strangers], writer[strangers]),
            author=float(logits[mine].mean()),
            limit=float(np.quantile(logits[strangers], 1 - ERROR)),
            nearness=scores[mine, 0],
            stranger_windows=int(strangers.sum()),
        )
        return cls(words, views, _Fitted(rows, writer), mix, calibration)

    def views(self, cut: list[str]) -> np.ndarray:
        """Shape (windows, 3): whitened margin, character classifier, function-word classifier."""
        return self._fitted.score(self._views.rows(cut))

    def logits(self, cut: list[str]) -> np.ndarray:
        """One log-odds of being the author's for each window."""
        return self._mix.decision_function(self.views(cut))

    def positions(self, cut: list[str]) -> np.ndarray:
        """Where each window stands from strangers (0) to the author (1), neither end a limit."""
        return self._placed(self.logits(cut))

    def share(self, cut: list[str]) -> float:
        """The figure of these windows, in [0, 1], without an interval."""
        return float(np.clip(self.positions(cut).mean(), 0.0, 1.0))

    def figure(self, texts: list[str], seed: int, reads_as_language: bool | None = None) -> VoiceFigure:
        """The figure of all texts together. `reads_as_language` False means that the text failed sense: it has none."""
        if reads_as_language is False:
            return no_figure("it does not read as language, and nonsense has no voice")
        cut = windows(texts, self.words)
        if len(cut) < MIN_WINDOWS:
            return no_figure(f"it has {len(cut)} windows of {self.words} words, and {MIN_WINDOWS} are needed")
        views = self.views(cut)
        placed = self._placed(self._mix.decision_function(views))
        means = np.random.default_rng(seed).choice(placed, (DRAWS, len(placed))).mean(axis=1)
        value, low, high = np.clip([placed.mean(), *np.percentile(means, [2.5, 97.5])], 0.0, 1.0).tolist()
        typical = bool(views[:, 0].mean() > self.highest_typical(len(cut)))
        return VoiceFigure(value=value, low=low, high=high, typical=typical, windows=len(cut))

    def highest_typical(self, count: int) -> float:
        """The mean whitened margin of `count` windows that the author's own unseen text stays below, in RANGE of draws.

        Drawn in runs of neighbours, which are of one document more often than not.
        """
        own = self.calibration.nearness
        run = min(count, 4)
        starts = np.random.default_rng(0).integers(0, len(own), (DRAWS, -(-count // run)))
        drawn = own[(starts[:, :, None] + np.arange(run)) % len(own)].reshape(DRAWS, -1)[:, :count]
        return float(np.quantile(drawn.mean(axis=1), RANGE))

    def _placed(self, logits: np.ndarray) -> np.ndarray:
        low, high = self.calibration.strangers, self.calibration.author
        return (logits - low) / max(high - low, 1e-9)


@dataclass
class _Rows:
    """Windows by three views: frequencies (n, WORDS), n-grams (n, NGRAMS), runs (n, RUNS), the last two of unit length."""

    words: np.ndarray
    ngrams: np.ndarray
    runs: np.ndarray

    def take(self, chosen: np.ndarray) -> "_Rows":
        return _Rows(self.words[chosen], self.ngrams[chosen], self.runs[chosen])


class _Views:
    """Which words, n-grams and runs are counted: the most frequent of the texts it is made from."""

    def __init__(self, texts: list[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.features = frequent_features(texts, WORDS)
        self.keep = function_words([[t for t in tokens(text) if t[0].isalpha()] for text in texts])
        self.ngrams = TfidfVectorizer(
            analyzer="char", ngram_range=(2, 4), max_features=NGRAMS, sublinear_tf=True, lowercase=False, dtype=np.float32
        )  # fmt: skip
        self.runs = TfidfVectorizer(
            analyzer=self._runs, max_features=RUNS, sublinear_tf=True, dtype=np.float32
        )
        # Of the texts themselves: counting n-grams is what takes time.
        self.made_from = _Rows(
            np.sqrt(frequencies(texts, self.features)),
            self.ngrams.fit_transform(self._masked(texts)).toarray(),
            self.runs.fit_transform(texts).toarray(),
        )

    def rows(self, texts: list[str]) -> _Rows:
        return _Rows(
            np.sqrt(frequencies(texts, self.features)),
            self.ngrams.transform(self._masked(texts)).toarray(),
            self.runs.transform(texts).toarray(),
        )

    def _masked(self, texts: list[str]) -> list[str]:
        return [mask_topic(text, self.keep) for text in texts]

    def _runs(self, text: str) -> list[str]:
        """One to three function words or marks in a row, others as asterisks."""
        seen = [t if t in self.keep or not t[0].isalpha() else "*" for t in tokens(text)]
        return [" ".join(seen[i : i + n]) for n in (1, 2, 3) for i in range(len(seen) - n + 1)]


class _Fitted:
    """The three views fitted on rows whose writer is known, the author's being 0."""

    def __init__(self, rows: _Rows, writer: np.ndarray) -> None:
        self.writers, index = np.unique(writer, return_inverse=True)
        counts = np.bincount(index)
        self._whiten(rows.words, index, counts)
        self.rows = rows
        # Writers weigh as the root of their windows, and author and others the same.
        weights = 1 / np.sqrt(counts[index])
        mine = index == 0
        weights[mine] *= 0.5 / weights[mine].sum()
        weights[~mine] *= 0.5 / weights[~mine].sum()
        penalty = RIDGE / (weights / weights.mean())
        truth = np.where(mine, 1.0, -1.0)
        self.duals = [_ridge(table, truth, penalty) for table in (rows.ngrams, rows.runs)]

    def _whiten(self, table: np.ndarray, index: np.ndarray, counts: np.ndarray) -> None:
        """Scale so that each writer counts the same, then so that what varies within writers counts less."""
        weights = 1 / counts[index] / len(counts)
        self.mean = weights @ table
        self.deviation = np.sqrt(weights @ (table - self.mean) ** 2) + 1e-6
        z = (table - self.mean) / self.deviation
        centroids = np.array([z[index == i].mean(axis=0) for i in range(len(counts))])
        within = np.cov((z - centroids[index])[counts[index] > 1].T)
        size = len(within)
        shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
        self.whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
        self.centroids = _unit(centroids @ self.whitening)

    def score(self, rows: _Rows) -> np.ndarray:
        z = _unit(((rows.words - self.mean) / self.deviation) @ self.whitening)
        near = z @ self.centroids.T
        others = np.sort(near[:, 1:], axis=1)[:, -NEAREST:].mean(axis=1)
        pairs = ((rows.ngrams, self.rows.ngrams), (rows.runs, self.rows.runs))
        kernels = [(new @ old.T + 1) @ dual for (new, old), dual in zip(pairs, self.duals, strict=True)]
        return np.column_stack([near[:, 0] - others, *kernels])


def _ridge(table: np.ndarray, truth: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Dual coefficients of a weighted ridge classifier."""
    return np.linalg.solve((table @ table.T + 1).astype(np.float64) + np.diag(penalty), truth)


def _mix(scores: np.ndarray, writer: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mix = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    return mix.fit(scores, writer == 0)


def _folds(writer: np.ndarray, own: list[int], count: int) -> np.ndarray:
    """The author's windows by their part, every other writer in one part whole."""
    fold = writer % count
    fold[writer == 0] = np.repeat(np.arange(count), own)
    return fold


def _writers_mean(values: np.ndarray, writer: np.ndarray) -> float:
    """Each writer counting the same."""
    return float(np.mean([values[writer == one].mean() for one in np.unique(writer)]))


def _windows_of(writers: dict[str, list[str]], words: int) -> list[list[str]]:
    """Each writer's windows, in order of name; writers without one are left out."""
    return [
        _spread(cut, MOST_OTHERS) for _, texts in sorted(writers.items()) if (cut := windows(texts, words))
    ]


def _spread(cut: list[str], most: int) -> list[str]:
    """At most so many of them, evenly over the whole."""
    if len(cut) <= most:
        return cut
    return [cut[i] for i in np.linspace(0, len(cut) - 1, most).astype(int)]


def _unit(table: np.ndarray) -> np.ndarray:
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)

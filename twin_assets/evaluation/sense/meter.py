"""Does a text read as language, as the author's own does? Asked before whose voice it is, which noise can pass for.

Three measures of passages of 100 words. Two are held against the same of the author's training text, which neither model
has seen:

- loss: mean negative log-likelihood a token under a small reference model, in nats. Of shuffled words and of Markov
  chains it is far above the author's.
- coherence: mean cosine of neighbouring sentences by the embedder. Of good sentences that have nothing to do with each
  other it is below the author's.
- repetition: the share of three-word runs that stood in the passage before. A loop is easy to predict and coherent.

Whether a measure can tell at all is tried on the author's own passages: loss on chains of their words, coherence on their
sentences shuffled. Where the models don't know the language it can't, and the score says so.

What it can't do: it says nothing of truth, of voice, or of whether a text was copied. Text of a language model has an
unusually low loss, which is told and held against nobody.
"""

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record
from twin_assets.core.text.words import joined, ngrams, sentences, terms, word_spans
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.sense.passages import (
    LENGTHS,
    WINDOW,
    Measured,
    PassageMeter,
    passages,
    some_passages,
)

MIN_OWN, MOST_OWN = 40, 80  # passages of the author
TRIED = 24  # chains of their words, and passages of their sentences shuffled
MIN_PASSAGES = 8  # a set of fewer has no score
MOST_REPEATED = 0.5
LEAST_WIDTH = 1e-6  # of a range: an author may have written one passage over and over
# How much further than from the median to its 5% quantile a measure of one passage may lie and be the author's.
MARGIN = 0.75
# What a measure must tell the author's passages from such noise by (AUC) to be asked at all.
TELLS = 0.85
# A passage of the author has the lower loss in so many pairs: the set's is unusually low.
UNUSUALLY_LOW = 0.2


class SenseScore(Record):
    """How a set of texts reads, passage by passage beside the author's own; None where it can't be told, `note` says why.

    `share` is the share of passages within the author's range. `loss` is in nats a token of the reference model, with
    the 95% interval of its mean; `coherence` a cosine. `worse_loss` is the share of pairs of one of these passages and
    one of the author's in which this one has the higher loss: 0.5 is as the author, 1 always worse, under 0.2
    `unusually_low`, as a model's own text is. `less_coherent` is the same of coherence. `worst` is the passage furthest
    out, `reference` the model.
    """

    passages: int = 0
    share: float | None = None
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    worse_loss: float | None = None
    coherence: float | None = None
    less_coherent: float | None = None
    worst: str | None = None
    reference: str = ""
    note: str | None = None

    @property
    def unusually_low(self) -> bool:
        return self.worse_loss is not None and self.worse_loss < UNUSUALLY_LOW

    @property
    def worse(self) -> float | None:
        """By the measure that says most against it; None where none was asked."""
        return max((v for v in (self.worse_loss, self.less_coherent) if v is not None), default=None)

    @property
    def range(self) -> str:
        """Where it stands to the author's own, in words."""
        if self.worse is None:
            return "not measured"
        return "below" if self.unusually_low else "within"


class TextSense(Record):
    """How one text reads. `within` is the share of its passages in the author's range; the others as SenseScore's."""

    within: float
    loss: float
    coherence: float | None


@dataclass(frozen=True)
class Limits:
    """The author's range of one measure, by the values of own passages."""

    values: np.ndarray

    @cached_property
    def low(self) -> float:
        return float(self._beyond(0.05))

    @cached_property
    def high(self) -> float:
        return float(self._beyond(0.95))

    def _beyond(self, quantile: float) -> float:
        middle, edge = np.quantile(self.values, [0.5, quantile])
        return edge + MARGIN * (edge - middle)

    def rank(self, value: float) -> float:
        """The share of the author's passages under a value, ties half."""
        return float(((self.values < value) + 0.5 * (self.values == value)).mean())


class SenseMeter:
    """Fitted by `SenseMeter.fit` on the author's text; keeps figures, and no text."""

    def __init__(
        self, meter: PassageMeter, own: list[Measured], words_told: float, order_told: float
    ) -> None:
        """`words_told` and `order_told` are the AUCs by which loss and coherence tell own passages from noise."""
        self._meter, self.own = meter, len(own)
        self.words_told, self.order_told = words_told, order_told
        by_length = [
            np.array([m.losses[at] for m in own if len(m.losses) > at]) for at in range(len(LENGTHS))
        ]
        self._losses = [Limits(values) for values in by_length if len(values) >= MIN_OWN / 2]
        self._coherence = Limits(np.array([m.coherence for m in own if m.coherence is not None]))

    @classmethod
    def fit(cls, meter: PassageMeter, author: list[str]) -> "SenseMeter":
        """Learn the range of the author's texts, at most MOST_OWN passages of them, each measured once and kept.

        Raises TwinError with fewer than MIN_OWN passages, and as `PassageMeter.measure`.
        """
        chosen = some_passages(author, MOST_OWN)
        if len(chosen) < MIN_OWN:
            raise TwinError(
                f"Whether a text reads as language needs {MIN_OWN} passages of the author to compare with; there are "
                f"{len(chosen)}.",
                "add writing to the persona.",
            )
        own = meter.measure(chosen, keep=True)
        chains, shuffled = word_chains(chosen, 1, TRIED), sentences_shuffled(chosen)[:TRIED]
        tried = [m for m in meter.measure([*chains, *shuffled], keep=True) if m.losses]
        every = cls(meter, own, 1.0, 1.0)
        words = _mean([every._worse_loss(m) for m in tried if m.text in chains])
        order = _mean([every._less_coherent(m) for m in tried if m.text in shuffled])
        return cls(meter, own, words or 0.0, order or 0.0)

    def score(self, texts: list[str], most: int, seed: int, keep: bool = False) -> SenseScore:
        """How texts read, by at most so many of their passages; `keep` as `PassageMeter.measure`, and raises as it."""
        reference = self._meter.reference.name
        if not self.tells_words:
            note = (
                f"{reference} can't tell this author's text from chains of its words (AUC {self.words_told:.2f}); set "
                "TWIN_REFERENCE_MODEL to a model that knows the language"
            )
            return SenseScore(reference=reference, note=note)
        chosen = some_passages(texts, most)
        found = [m for m in self._meter.measure(chosen, keep) if m.losses]
        if len(found) < MIN_PASSAGES:
            note = f"{len(found)} passages of 50 words and more; at least {MIN_PASSAGES} are needed"
            return SenseScore(passages=len(found), reference=reference, note=note)
        losses, out = np.array([m.losses[-1] for m in found]), [self._out(m) for m in found]
        low, high = bootstrap(losses, seed)
        return SenseScore(
            passages=len(found),
            share=sum(o <= 0 for o in out) / len(found),
            loss=float(losses.mean()),
            loss_low=low,
            loss_high=high,
            worse_loss=_mean([self._worse_loss(m) for m in found]),
            coherence=_mean([m.coherence for m in found]),
            less_coherent=_mean([self._less_coherent(m) for m in found]),
            worst=found[int(np.argmax(out))].text if max(out) > 0 else None,
            reference=reference,
            note=None
            if self.tells_order
            else f"coherence is left out: it can't tell this author's sentences from shuffled ones (AUC {self.order_told:.2f})",
        )

    def read(self, text: str) -> TextSense | None:
        """How one text reads, by its first passages; None where it has none, or it can't be told."""
        found = [m for m in self._meter.measure(passages(text)[:MIN_PASSAGES]) if m.losses]
        if not found or not self.tells_words:
            return None
        return TextSense(
            within=sum(self._out(m) <= 0 for m in found) / len(found),
            loss=float(np.mean([m.losses[-1] for m in found])),
            coherence=_mean([m.coherence for m in found]),
        )

    @property
    def tells_words(self) -> bool:
        return self.words_told >= TELLS

    @property
    def tells_order(self) -> bool:
        return self.order_told >= TELLS

    def _out(self, passage: Measured) -> float:
        """How far a passage lies outside the author's range, in widths of it; 0 and less is inside."""
        limits, loss = self._held_against(passage)
        out = [(loss - limits.high) / max(limits.high - limits.low, LEAST_WIDTH)]
        if passage.coherence is not None and self.tells_order:
            near = self._coherence
            out.append((near.low - passage.coherence) / max(near.high - near.low, LEAST_WIDTH))
        return max(*out, repeated(passage.text) - MOST_REPEATED)

    def _worse_loss(self, passage: Measured) -> float:
        limits, loss = self._held_against(passage)
        return limits.rank(loss)

    def _less_coherent(self, passage: Measured) -> float | None:
        if passage.coherence is None or not self.tells_order:
            return None
        return 1 - self._coherence.rank(passage.coherence)

    def _held_against(self, passage: Measured) -> tuple[Limits, float]:
        at = min(len(passage.losses), len(self._losses)) - 1
        return self._losses[at], passage.losses[at]


def repeated(text: str) -> float:
    """The share of three-word runs that stood in the text before, in [0, 1]."""
    runs = ngrams(terms(text), 3)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def word_chains(texts: list[str], order: int, count: int, words: int = WINDOW) -> list[str]:
    """Texts by a Markov chain: each word drawn from those that follow the last `order` words in `texts`."""
    follow: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        known = [text[a:b] for a, b in word_spans(text)]
        for at in range(len(known) - order):
            follow.setdefault(tuple(known[at : at + order]), []).append(known[at + order])
    draw, found = random.Random(text_hash("".join(texts))), []
    starts = [list(start) for start in follow]
    for _ in range(count):
        chain = list(draw.choice(starts))
        while len(chain) < words:
            chain += (
                [draw.choice(after)] if (after := follow.get(tuple(chain[-order:]))) else draw.choice(starts)
            )
        found.append(joined(chain[:words]))
    return found


def sentences_shuffled(texts: list[str]) -> list[str]:
    """As many texts with as many sentences each, from all of them."""
    counts, pool = [], list[str]()
    for text in texts:
        parts = [text[a:b] for a, b in sentences(text)]
        counts.append(len(parts))
        pool += parts
    random.Random(text_hash("".join(pool))).shuffle(pool)
    ends = np.cumsum(counts)
    return [" ".join(pool[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None

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
READ = 2  # passages of a single text
MOST_REPEATED = 0.5
LEAST_WIDTH = 1e-6  # of a range: an author may have written one passage over and over
# How much further than from the median to its 5% quantile a measure of one passage may lie and be the author's.
MARGIN = 1.0
# By what AUC a measure must tell the author's passages from such noise to be asked at all.
TELLS_WORDS, TELLS_ORDER = 0.85, 0.7
# A passage of the author has the lower loss in so many pairs: the set's is unusually low.
UNUSUALLY_LOW = 0.2
# A passage is far out when it reads worse than this share of the author's. Of authors' own unseen text up to USUALLY_FAR and
# a little more is, of nonsense most: nonsense in part of a set shows there, where means over the set hide it.
FAR, USUALLY_FAR = 0.95, 0.08
CHANCE = 0.99
# Where a profile's gate says nothing else: passages in the author's range, and pairs in which they read worse.
LEAST_SHARE, MOST_WORSE = 0.8, 0.8


def most_far(passages: int, usual: float = USUALLY_FAR) -> int:
    """How many of so many passages may be far out by chance (99%), where usually a share is."""
    from scipy.stats import binom

    return int(binom.ppf(CHANCE, passages, usual))


def is_language(share: float, far: float | None, count: int) -> bool:
    """Whether `count` texts read as language by the customary limits: `share` in the author's range, `far` far out."""
    return share >= LEAST_SHARE and (far is None or round(far * count) <= most_far(count))


class SenseScore(Record):
    """How a set of texts reads, passage by passage beside the author's own; None where it can't be told, `note` says why.

    `share` is the share of passages within the author's range. `worse` is the share of pairs of one of these passages and
    one of the author's in which this one reads worse: 0.5 is as the author, 1 always worse. A passage is as bad as its
    loss lies above the author's median and its coherence below, in widths of the author's ranges, together. `far` is the
    share of passages that read worse than 95% of the author's; None in scores stored before it was measured. `worse_loss`
    and `less_coherent` are the same of each alone; a loss lower in more than 0.8 of the pairs is `unusually_low`, as a
    model's own text is. `loss` is in nats a token of the reference model, with the 95% interval of its mean; `coherence`
    a cosine. `worst` is the passage furthest out, `reference` the model.
    """

    passages: int = 0
    share: float | None = None
    worse: float | None = None
    far: float | None = None
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
    def reads(self) -> bool | None:
        """Whether it reads as language by the customary limits; None where it can't be told."""
        if self.share is None or self.worse is None:
            return None
        return not self.short_of(LEAST_SHARE, MOST_WORSE, USUALLY_FAR)

    def short_of(
        self, least_share: float | None, most_worse: float | None, usually_far: float | None = None
    ) -> list[str]:
        """What keeps it from reading as language, in words: too small a share of passages in the author's range, one
        of its passages worse than one of the author's in too many pairs, or more of them far out than chance gives where
        usually a share is. Limits that are None are not held against it; one that could not be measured is short of any."""
        if self.share is None or self.worse is None:
            asked = (least_share, most_worse, usually_far)
            return ["not measured"] if any(limit is not None for limit in asked) else []
        short = []
        if least_share is not None and self.share < least_share:
            short.append(f"{least_share - self.share:.0%} of the passages too few")
        if most_worse is not None and self.worse > most_worse:
            short.append(f"worse in {self.worse - most_worse:.0%} of pairs too many")
        if usually_far is not None and self.far is not None:
            far, most = round(self.far * self.passages), most_far(self.passages, usually_far)
            if far > most:
                short.append(
                    f"{far} passages read worse than nearly all of the author's, where chance gives up to {most}"
                )
        return short


class TextSense(Record):
    """How one text reads, by its first READ passages; the fields are SenseScore's."""

    share: float
    far: float
    loss: float
    coherence: float | None


@dataclass(frozen=True)
class Limits:
    """The author's range of one measure, by the values of own passages."""

    values: np.ndarray

    @cached_property
    def width(self) -> float:
        return max(self.high - self.low, LEAST_WIDTH)

    @cached_property
    def middle(self) -> float:
        return float(np.median(self.values))

    @cached_property
    def low(self) -> float:
        return self._beyond(0.05)

    @cached_property
    def high(self) -> float:
        return self._beyond(0.95)

    def _beyond(self, quantile: float) -> float:
        edge = np.quantile(self.values, quantile)
        return float(edge + MARGIN * (edge - self.middle))

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
        self._badness = Limits(np.array([self._bad(m) for m in own]))

    @classmethod
    def fit(cls, meter: PassageMeter, author: list[str]) -> "SenseMeter":
        """Learn the range of the author's texts, at most MOST_OWN passages of them, each measured once and kept.

        Raises TwinError with fewer than MIN_OWN passages, and as `PassageMeter.measure`.
        """
        chosen = some_passages(author, MOST_OWN)
        _enough(len(chosen))
        own = [m for m in meter.measure(chosen, keep=True) if m.losses]
        _enough(len(own))
        chains, shuffled = word_chains(chosen, 1, TRIED), sentences_shuffled(chosen)[:TRIED]
        tried = [m for m in meter.measure([*chains, *shuffled], keep=True) if m.losses]
        every = cls(meter, own, 1.0, float(sum(m.coherence is not None for m in own) >= MIN_OWN / 2))
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
        ranks = np.array([self._badness.rank(self._bad(m)) for m in found])
        low, high = bootstrap(losses, seed)
        return SenseScore(
            passages=len(found),
            share=sum(o <= 0 for o in out) / len(found),
            loss=float(losses.mean()),
            loss_low=low,
            loss_high=high,
            worse=float(ranks.mean()),
            far=float((ranks >= FAR).mean()),
            worse_loss=_mean([self._worse_loss(m) for m in found]),
            coherence=_mean([m.coherence for m in found]),
            less_coherent=_mean([self._less_coherent(m) for m in found]),
            worst=found[int(np.argmax(out))].text if max(out) > 0 else None,
            reference=reference,
            note=None
            if self.tells_order
            else f"coherence is left out: it can't tell this author's sentences from shuffled ones (AUC {self.order_told:.2f})",
        )

    def read(self, texts: list[str]) -> list[TextSense | None]:
        """How each text reads, by its first passages; None where it has none, or it can't be told. Raises TwinError as
        `PassageMeter.measure`."""
        if not self.tells_words:
            return [None] * len(texts)
        cut = [passages(text)[:READ] for text in texts]
        measured = iter(self._meter.measure([passage for part in cut for passage in part]))
        return [self._text([next(measured) for _ in part]) for part in cut]

    def standing(self, texts: list[str]) -> list[float | None]:
        """For each text the share of the author's passages that read no better than its first one, in [0, 1]; None where it has none,
        or it can't be told. Raises TwinError as `PassageMeter.measure`."""
        return [None if bad is None else 1 - self._badness.rank(bad) for bad in self._first(texts)]

    def strangeness(self, texts: list[str]) -> list[float | None]:
        """For each text, of its first passage: 0 where it reads no worse than all but 5% of the author's, 1 where it lies as far beyond
        those as they lie from the author's median, or further. None and raises as `standing`."""
        usual = float(np.quantile(self._badness.values, 0.95))
        beyond = max(self._badness.high - usual, LEAST_WIDTH)
        return [
            None if bad is None else float(np.clip((bad - usual) / beyond, 0, 1))
            for bad in self._first(texts)
        ]

    def _first(self, texts: list[str]) -> list[float | None]:
        """How bad the first passage of each text is."""
        if not self.tells_words:
            return [None] * len(texts)
        firsts = [passages(text)[:1] for text in texts]
        measured = iter(self._meter.measure([first for part in firsts for first in part]))
        found = [next(measured) if part else None for part in firsts]
        return [self._bad(m) if m and m.losses else None for m in found]

    def _text(self, found: list[Measured]) -> TextSense | None:
        found = [m for m in found if m.losses]
        if not found:
            return None
        return TextSense(
            share=sum(self._out(m) <= 0 for m in found) / len(found),
            far=sum(self._badness.rank(self._bad(m)) >= FAR for m in found) / len(found),
            loss=float(np.mean([m.losses[-1] for m in found])),
            coherence=_mean([m.coherence for m in found]),
        )

    @property
    def tells_words(self) -> bool:
        return self.words_told >= TELLS_WORDS

    @property
    def tells_order(self) -> bool:
        return self.order_told >= TELLS_ORDER

    def _out(self, passage: Measured) -> float:
        """How far a passage lies outside the author's range, in widths of it; 0 and less is inside."""
        limits, loss = self._held_against(passage)
        out = [(loss - limits.high) / limits.width]
        if passage.coherence is not None and self.tells_order:
            near = self._coherence
            out.append((near.low - passage.coherence) / near.width)
        return max(*out, repeated(passage.text) - MOST_REPEATED)

    def _bad(self, passage: Measured) -> float:
        """Neither measure makes up for the other: what is better than the author's median counts as the median."""
        limits, loss = self._held_against(passage)
        bad = max(loss - limits.middle, 0.0) / limits.width
        if passage.coherence is not None and self.tells_order:
            bad += max(self._coherence.middle - passage.coherence, 0.0) / self._coherence.width
        return bad

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


def _enough(own: int) -> None:
    if own < MIN_OWN:
        raise TwinError(
            f"Whether a text reads as language needs {MIN_OWN} passages of the author to compare with; there are {own}.",
            "add writing to the persona.",
        )


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

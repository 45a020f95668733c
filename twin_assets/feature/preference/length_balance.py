"""Whether length alone tells chosen from rejected: DPO would learn it before voice."""

from collections.abc import Sequence
from statistics import fmean, median

from twin_assets.core.datasets.rows import PreferenceRow
from twin_assets.core.records import Record
from twin_assets.core.text.words import count_words

ALL = "all"
# Of AUC and longer_chosen from 0.5: 0.65 is what a learner gets right that guesses by length.
TOLERANCE = 0.15
# Fewer pairs leave a share too uncertain to judge: its standard error is 0.1 at 25.
MIN_PAIRS = 25


class LengthBalance(Record):
    """Lengths in words of both sides of the pairs of one kind.

    `auc` is the chance that a chosen text is longer than some rejected one (Mann and Whitney 1947, ties half),
    `longer_chosen` that it is longer than its own; at 0.5 length tells nothing.
    """

    kind: str
    pairs: int
    chosen_mean: float
    chosen_median: float
    rejected_mean: float
    rejected_median: float
    auc: float
    longer_chosen: float

    @property
    def tells(self) -> bool:
        """Whether length tells more than the tolerance, of pairs enough to know."""
        return self.pairs >= MIN_PAIRS and max(abs(self.auc - 0.5), abs(self.longer_chosen - 0.5)) > TOLERANCE


def length_balance(rows: Sequence[PreferenceRow]) -> list[LengthBalance]:
    """One entry for all pairs, then one for each kind; none without pairs."""
    kinds = sorted({row.kind for row in rows})
    return [_of(kind, [r for r in rows if kind in (ALL, r.kind)]) for kind in ([ALL, *kinds] if rows else [])]


def words_of(rows: Sequence[PreferenceRow]) -> tuple[list[int], list[int]]:
    """Words of the chosen and of the rejected texts, in the order of the rows."""
    return [count_words(r.chosen.content) for r in rows], [count_words(r.rejected.content) for r in rows]


def _of(kind: str, rows: Sequence[PreferenceRow]) -> LengthBalance:
    from scipy.stats import mannwhitneyu  # half a second, which every start of Dagster would pay

    chosen, rejected = words_of(rows)
    longer = fmean((c > r) + (c == r) / 2 for c, r in zip(chosen, rejected, strict=True))
    return LengthBalance(
        kind=kind,
        pairs=len(rows),
        chosen_mean=round(fmean(chosen), 1),
        chosen_median=median(chosen),
        rejected_mean=round(fmean(rejected), 1),
        rejected_median=median(rejected),
        auc=round(float(mannwhitneyu(chosen, rejected).statistic) / len(rows) ** 2, 3),
        longer_chosen=round(longer, 3),
    )

"""Has something changed? The types of the answer, and the report that puts the three families together:
the persona's writing (`drift_writing`), what is asked, and how it is answered (`drift_requests`).

Every signal is a sentence with its figures, whether it drifted or not; one that drifted and is a reason to
`rebuild` asks for it. Nothing here starts anything.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from twin_assets.core.records import Record

Family = Literal["persona", "traffic", "quality", "cost"]
FAMILIES: tuple[Family, ...] = ("persona", "traffic", "quality", "cost")


class Point(Record):
    """What a signal was in one week or day: the mean of `n` samples, and which of them it is."""

    label: str
    value: float
    n: int


class Signal(Record):
    """One thing that was compared; values are None where there was too little to compare.

    `before` and `after` are means, `since` the estimated beginning of the change, `evidence` what speaks for it
    in the terms of its test. Failures and a bad release are no reason to `rebuild`: the same pipeline would serve
    the same way, and the release before can be brought back.
    """

    name: str
    family: Family
    drifted: bool
    sentence: str
    before: float | None = None
    after: float | None = None
    rebuild: bool = True
    since: datetime | None = None
    evidence: str = ""
    points: list[Point] = []


class NewWriting(Record):
    """What the twin in production was not trained on."""

    documents: int = 0
    words: int = 0
    known_documents: int = 0
    known_words: int = 0

    @property
    def share(self) -> float:
        """New words for each word that was known."""
        return self.words / max(self.known_words, 1)


class DriftReport(Record):
    """Each finding is a sentence. `drifted` asks for a rebuild."""

    requests: int
    drifted: bool
    findings: list[str]
    signals: list[Signal] = []
    at: datetime | None = None
    model: str | None = None
    writing: NewWriting = NewWriting()

    def of(self, family: Family) -> list[Signal]:
        return [s for s in self.signals if s.family == family]


def drift_report(
    signals: Sequence[Signal],
    requests: int,
    at: datetime,
    model: str | None = None,
    writing: NewWriting | None = None,
) -> DriftReport:
    """The report of these signals, those that drifted first."""
    ordered = sorted(signals, key=lambda s: (not s.drifted, FAMILIES.index(s.family)))
    return DriftReport(
        requests=requests,
        drifted=any(s.drifted and s.rebuild for s in ordered),
        findings=[s.sentence for s in ordered] or ["nothing to compare yet"],
        signals=ordered,
        at=at,
        model=model,
        writing=writing or NewWriting(),
    )

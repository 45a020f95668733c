"""Several texts for one request, and which of them is given."""

from collections.abc import Callable

from twin_assets.core.records import Record


class CandidateScore(Record):
    """One text by the judge's instruments, each from 0 to 1, the more the better; None where it could not be asked of this
    text. `sense`: how seldom the author's own passages read better; `voice`: the way from other people to the author; `support`:
    of its claims by the passages; `own`: the share of its words that were not copied. `total` is what counts."""

    sense: float | None = None
    voice: float | None = None
    support: float | None = None
    own: float | None = None
    total: float = 0.0


class Choice(Record):
    """Which of the candidates is given, by place, and their scores, in the order of their seeds. `left_out` says of
    instruments that were not asked why. `choose_ms` is what the choosing took, in milliseconds."""

    chosen: int = 0
    scores: list[CandidateScore] = []
    left_out: dict[str, str] = {}
    choose_ms: float = 0.0


# The texts of one request, the passages that they were shown, and whether facts were asked for.
Choose = Callable[[list[str], list[str], bool], Choice]

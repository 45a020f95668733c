"""Scores of requests taken together, by version or day: estimates from the sample carry its weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
from pydantic import computed_field

from twin_assets.core.records import Record
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.sense.meter import is_language
from twin_assets.monitoring.scores.records import ScoredRequest

DRAWS = 500


class Quality(Record):
    """Scores of a group of requests. Shares are in [0, 1], None where nothing could be measured.

    `grounded` is the weighted share of supported claims over `grounded_answers` of the sample, its 95% interval
    bootstrapped over answers. `reads` is the weighted share of passages that read as the author's own, over `reads_texts`
    of the sample, `far` that of passages which read worse than 95% of the author's. `top_score_p10` and `p50` are of the best passage. `declined` counts refusals by
    gate and in words.
    """

    group: str
    requests: int
    declined: float | None
    failed: float
    grounded: float | None = None
    grounded_low: float | None = None
    grounded_high: float | None = None
    grounded_answers: int = 0
    reads: float | None = None
    reads_texts: int = 0
    far: float | None = None
    top_score_p10: float | None = None
    top_score_p50: float | None = None
    leaks: int = 0
    toxic: int = 0
    texts: int = 0
    up: int = 0
    down: int = 0
    edited: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def noise(self) -> bool:
        """Too few passages read as language for a voice to mean anything."""
        return self.reads is not None and not is_language(self.reads, self.far, self.reads_texts)


def quality_by(rows: Iterable[ScoredRequest], group: Callable[[ScoredRequest], str]) -> list[Quality]:
    """One row for each value of `group`, sorted by it."""
    groups: dict[str, list[ScoredRequest]] = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    return [quality_of(name, members) for name, members in sorted(groups.items())]


def quality_of(group: str, rows: list[ScoredRequest], seed: int = 17) -> Quality:
    """The scores of some requests taken together; raises ValueError for none."""
    if not rows:
        raise ValueError("no requests")
    tops = [r.top_score for r in rows if r.top_score is not None]
    declined = [
        r.outcome == "refused" or bool(r.declined)
        for r in rows
        if r.kind == "answer" and r.outcome != "failed"
    ]
    stated = [(r.weight, r.grounded_share) for r in rows if r.grounded_share is not None and r.weight > 0]
    read = [(r.weight, r.sense_share) for r in rows if r.sense_share is not None and r.weight > 0]
    far = [(r.weight, r.sense_far) for r in rows if r.sense_far is not None and r.weight > 0]
    return Quality(
        group=group,
        requests=len(rows),
        declined=float(np.mean(declined)) if declined else None,
        failed=sum(r.outcome == "failed" for r in rows) / len(rows),
        **_grounded(stated, seed),
        grounded_answers=len(stated),
        reads=_weighted(read),
        reads_texts=len(read),
        far=_weighted(far),
        top_score_p10=float(np.percentile(tops, 10)) if tops else None,
        top_score_p50=float(np.percentile(tops, 50)) if tops else None,
        leaks=sum(bool(r.personal_data) for r in rows),
        toxic=sum(bool(r.toxic) for r in rows),
        texts=sum(r.words is not None for r in rows),
        up=sum(r.feedback == "up" for r in rows),
        down=sum(r.feedback == "down" for r in rows),
        edited=sum(r.edited_share is not None for r in rows),
    )


def _weighted(values: list[tuple[float, float]]) -> float | None:
    """The mean of (weight, value)."""
    return float(np.average([v for _, v in values], weights=[w for w, _ in values])) if values else None


def _grounded(stated: list[tuple[float, float]], seed: int) -> dict[str, float]:
    if not stated:
        return {}
    weights, shares = np.array(stated).T
    figures = {"grounded": float(np.average(shares, weights=weights))}
    if len(stated) > 1:
        low, high = bootstrap(shares, seed, weights, DRAWS)
        figures |= {"grounded_low": low, "grounded_high": high}
    return figures

"""Does a day cost far more than the days before? A rule, not a test: money is watched day by day."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from twin_assets.monitoring.drift.report import Point, Signal
from twin_assets.monitoring.scores.records import ScoredRequest

DAYS_BEFORE, MIN_DAYS = 14, 5


def watch_cost(
    scored: Sequence[ScoredRequest], now: datetime, factor: float, least_usd: float
) -> list[Signal]:
    """Today and yesterday against the median of the 14 days before each (5 at least that had costs).

    A day is out of the ordinary above `factor` times that median, and by at least `least_usd`. No signal without
    prices.
    """
    days: dict[datetime, list[float]] = defaultdict(list)
    for r in scored:
        if r.cost_usd is not None and r.time <= now:
            days[_day(r.time)].append(r.cost_usd)
    if not any(sum(costs) for costs in days.values()):
        return []
    totals = {day: sum(costs) for day, costs in days.items()}
    points = [Point(label=f"{d:%d %b}", value=round(t, 6), n=len(days[d])) for d, t in sorted(totals.items())]
    for day in (_day(now), _day(now) - timedelta(days=1)):
        before = [d for d in totals if day - timedelta(days=DAYS_BEFORE) <= d < day]
        if len(before) < MIN_DAYS or day not in totals:
            continue
        usual = float(np.median([totals[d] for d in before]))
        if totals[day] > factor * usual and totals[day] - usual >= least_usd:
            each = usual / max(float(np.median([len(days[d]) for d in before])), 1)
            why = _why(totals[day] / len(days[day]), each, len(days[day]))
            return [
                Signal(
                    name="cost",
                    family="cost",
                    drifted=True,
                    rebuild=False,
                    since=day,
                    before=usual,
                    after=totals[day],
                    sentence=f"{day:%d %b} costs ${totals[day]:.2f} after ${usual:.2f} a day: {why}",
                    evidence=f"more than {factor:g} times the median of {len(before)} days",
                    points=points,
                )
            ]
    latest = max(totals)
    sentence = f"a day costs what it used to: ${totals[latest]:.2f} on {latest:%d %b}"
    return [
        Signal(
            name="cost",
            family="cost",
            drifted=False,
            rebuild=False,
            after=totals[latest],
            sentence=sentence,
            points=points,
        )
    ]


def _why(each: float, usual: float, requests: int) -> str:
    if usual and each > 1.5 * usual:
        return f"a request costs {each / usual:.1f} times what it did"
    return f"there are {requests} requests"


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)

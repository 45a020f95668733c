"""How much is started for one person by itself, at most."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import Field

from twin_assets.core.persona.sources import Part

MOST_RUNS, MOST_HOURS, MOST_DOLLARS = 1_000, 100_000.0, 10_000_000.0


class Quotas(Part):
    """What is None is as the platform has it (TWIN_QUOTA_…), and without a limit where that has none. docs/drift-and-refresh.md says
    what counts."""

    runs_a_day: int | None = Field(
        default=None, ge=1, le=MOST_RUNS, description="Runs that are started by themselves, in 24 hours."
    )
    training_hours_a_month: float | None = Field(
        default=None, ge=0, le=MOST_HOURS, description="Hours of trainings, on whatever they ran, in 30 days."
    )
    dollars_a_month: float | None = Field(
        default=None,
        ge=0,
        le=MOST_DOLLARS,
        description="US dollars for trainings and for teachers, in 30 days.",
    )


def room_again(
    spent: Iterable[tuple[datetime, float]], limit: float, window: timedelta, now: datetime
) -> tuple[float, datetime | None]:
    """What was spent within a window that moves along with time, and when there is room again; None where there is now."""
    recent = sorted((at, amount) for at, amount in spent if at > now - window)
    used = left = sum(amount for _, amount in recent)
    if used < limit:
        return used, None
    for at, amount in recent:
        left -= amount
        if left < limit:
            return used, at + window
    return used, now + window  # of a limit of 0

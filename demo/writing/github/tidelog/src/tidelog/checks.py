"""Is it today's, and is it all there?

Each check takes a table and returns a list of problems. An empty list is the
good answer. Checks never fix anything: a tide I'd made up would look just as
solid on the sheet as one that's real.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from .parse import Harbour, Table

MAX_AGE = timedelta(hours=20)  # issued about 21:00, loaded 02:40, so 20 is generous
MAX_GAP = timedelta(hours=8)  # tides come about 6h12 apart, and 8 means one's missing
CLOCK_SLACK = timedelta(minutes=10)
LOWEST_M, HIGHEST_M = -1.0, 9.0  # outside this it's a typing slip or a much bigger story


@dataclass(frozen=True)
class Problem:
    kind: str  # "stale" or "gappy"
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


def check_all(table: Table, wanted: date, now: datetime, harbours: int = 43,
              max_age: timedelta = MAX_AGE) -> list[Problem]:
    """Freshness first, since a complete table for the wrong day is the dangerous sort."""
    found = check_fresh(table, wanted, now, max_age)
    if len(table.harbours) != harbours:
        found.append(Problem("gappy", "table",
                             f"wanted {harbours} harbours, got {len(table.harbours)}"))
    for harbour in table.harbours:
        found.extend(check_harbour(harbour))
    return found


def check_fresh(table: Table, wanted: date, now: datetime,
                max_age: timedelta = MAX_AGE) -> list[Problem]:
    """This is the check I hadn't got on the night of 14 November 2021."""
    found = []
    if table.valid_for != wanted:
        found.append(Problem("stale", "table", f"asked for {wanted}, it's for {table.valid_for}"))
    age = now - table.issued_at
    if age > max_age:
        found.append(Problem("stale", "table", f"issued {_hours(age)} ago, limit {_hours(max_age)}"))
    elif age < -CLOCK_SLACK:
        # Issued in the future. One of the two clocks is wrong and it may well be ours.
        found.append(Problem("stale", "table", f"issued {_hours(-age)} from now: check our clock"))
    return found


def check_harbour(harbour: Harbour) -> list[Problem]:
    """One harbour, one day: enough tides, in order, taking turns, at sane heights."""
    tides = harbour.tides
    if len(tides) < 3:
        return [Problem("gappy", harbour.code, f"only {len(tides)} tides in the day")]

    found = []
    # Midnight to the first tide counts as a gap, and so does the last tide to midnight.
    marks = [timedelta(0)] + [_since_midnight(t.at) for t in tides] + [timedelta(days=1)]
    for before, after in zip(marks, marks[1:]):
        if after < before:
            found.append(Problem("gappy", harbour.code, f"out of order at {_clock(after)}"))
        elif after - before > MAX_GAP:
            found.append(Problem("gappy", harbour.code,
                                 f"nothing between {_clock(before)} and {_clock(after)}"))

    for this, following in zip(tides, tides[1:]):
        if this.kind == following.kind:
            found.append(Problem("gappy", harbour.code, f"two {this.kind} in a row at {following.at:%H:%M}"))
        elif (this.height_m > following.height_m) != (this.kind == "HW"):
            found.append(Problem("gappy", harbour.code, f"high isn't above low at {following.at:%H:%M}"))

    for tide in tides:
        if not LOWEST_M <= tide.height_m <= HIGHEST_M:
            found.append(Problem("gappy", harbour.code, f"{tide.height_m} m at {tide.at:%H:%M}"))
    return found


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute)


def _clock(mark: timedelta) -> str:
    minutes = int(mark.total_seconds() // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} hours"

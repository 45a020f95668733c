"""When a twin is to be rebuilt, why, and for how much. Asking is all that is done here: what is asked for runs through
the same gates as any rebuild, and ends, like any, at the evaluation: a person approves.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from twin_assets.core.datasets.rows import kind_for
from twin_assets.core.records import Record
from twin_assets.core.storage.experiments import ExperimentRow
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.numbered import Numbered, NumberedLog, next_number
from twin_assets.monitoring.drift.report import DriftReport
from twin_assets.settings import Settings

# The rhythm of writing is that of the last so many weeks; before there are as many, of all there are.
RHYTHM_WEEKS = 12
SHORTEST_DAYS, LONGEST_DAYS = 1.0, 14.0


class Ask(Numbered):
    """A rebuild that was asked for. `number` counts a persona's from 1; `model` was in production."""

    persona: str
    at: datetime
    model: str
    reasons: list[str]
    cost: str

    @property
    def run_key(self) -> str:
        return f"{self.persona}:refresh:{self.number}"


class Verdict(Record):
    """Reasons for a rebuild, and what holds it back; `reasons` without `held` asks for it. `due` is when time alone
    may change that, None for never."""

    reasons: list[str]
    held: str | None = None
    due: datetime | None = None

    @property
    def rebuild(self) -> bool:
        return bool(self.reasons) and self.held is None

    @property
    def sentence(self) -> str:
        if not self.reasons:
            return self.held or "no reason for a rebuild"
        return "; ".join(self.reasons) + (f"; but {self.held}" if self.held else "")


def judge_refresh(
    settings: Settings, report: DriftReport | None, built_at: datetime | None, last: Ask | None, now: datetime
) -> Verdict:
    """Whether to rebuild the version in production, which was made at `built_at` (None: nothing is in production).

    Drift, enough new writing, or age are reasons. After a rebuild was asked for, the next waits for
    TWIN_REFRESH_COOLDOWN_DAYS, whatever came of it: an answer may wait for its approval as long.
    """
    if built_at is None:
        return Verdict(reasons=[], held="nothing is in production")
    reasons = []
    if report is not None and (report.at is None or report.at >= built_at):
        reasons += [s.sentence for s in report.signals if s.drifted and s.rebuild]
        if report.writing.documents and report.writing.share >= settings.refresh_new_share:
            reasons.append(
                f"{report.writing.documents} new pieces, {report.writing.words:,} words: "
                f"{report.writing.share:.0%} of what it was trained on"
            )
    age, due = (now - built_at).total_seconds() / 86400, None
    if settings.refresh_age_days:
        due = built_at + timedelta(days=settings.refresh_age_days)
        if now >= due:
            reasons.append(f"the model is {age:.0f} days old")
    ready = last.at + timedelta(days=settings.refresh_cooldown_days) if last else now
    held = None
    if now < ready and last:
        held = (
            f"rebuild {last.number} was asked for at {last.at:%Y-%m-%d %H:%M}; the next waits until "
            f"{ready:%Y-%m-%d %H:%M} UTC (TWIN_REFRESH_COOLDOWN_DAYS={settings.refresh_cooldown_days:g})"
        )
    return Verdict(reasons=reasons, held=held, due=ready if reasons else due)


def ask(lake: Lake, persona: str, model: str, verdict: Verdict, cost: str, now: datetime) -> Ask | None:
    """Write down that a rebuild is asked for; None when somebody else has just done so."""
    request = Ask(
        number=next_number(asks(lake, persona)),
        persona=persona,
        at=now,
        model=model,
        reasons=verdict.reasons,
        cost=cost,
    )
    return request if _log(lake, persona).add(request) else None


def asks(lake: Lake, persona: str) -> list[Ask]:
    """All that were asked for, oldest first."""
    return _log(lake, persona).all()


def estimate_cost(runs: Sequence[ExperimentRow], growth: float) -> str:
    """What a rebuild takes, from the latest finished run of SFT and of the second stage, by whatever method, for `growth` times their data.

    Training only: what a hosted teacher or judge costs is limited by its own budget.
    """
    latest: dict[str, ExperimentRow] = {}
    for run in sorted(
        (r for r in runs if r.status == "finished" and r.study is None), key=lambda r: r.started_at
    ):
        latest[run.stage if kind_for(run.stage) == "instruct" else "second"] = run
    if not latest:
        return "unknown: no finished training has been recorded"
    hours = sum(r.seconds for r in latest.values()) / 3600 * growth
    costs = [r.cost_usd for r in latest.values()]
    dollars = sum(c for c in costs if c is not None) * growth
    money = f", ${dollars:.2f}" if None not in costs else ", no price is set (TWIN_HARDWARE_USD_PER_HOUR)"
    size = f" for {growth:.2f} times the data" if growth > 1.005 else ""
    return f"about {_time(hours)} of training{money}, by {' and '.join(sorted(r.stage for r in latest.values()))} last time{size}"


def crawl_interval(published: Sequence[datetime], now: datetime) -> timedelta:
    """How long to wait between two crawls of someone who wrote at these times: half the mean time between two
    pieces, from one day to two weeks; a day for someone of whom nothing is known yet.

    One piece is added to what was counted, so that a pause doesn't stretch the interval to its end at once.
    """
    if not published:
        return timedelta(days=SHORTEST_DAYS)
    weeks = min(max((now - min(published)).days / 7, 1.0), RHYTHM_WEEKS)
    recent = sum(at > now - timedelta(weeks=weeks) for at in published)
    days = weeks * 7 / (recent + 1) / 2
    return timedelta(days=min(max(days, SHORTEST_DAYS), LONGEST_DAYS))


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _log(lake: Lake, persona: str) -> NumberedLog[Ask]:
    return NumberedLog(lake, f"refresh/{persona}", Ask, digits=6)

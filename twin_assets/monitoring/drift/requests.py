"""What is asked and how it is answered: this week and the last against the level of the release.

A week's samples, and those of each model version, are a sequence of their own: evidence starts at nothing, may be
looked at after every request, and reaches its threshold by chance in at most ALARM_RATE of the weeks for a whole
family of signals (`change_tests`). A change must also be larger than a tolerance, and larger than what the level
itself may be wrong by.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.records import Record
from twin_assets.monitoring.drift.change_tests import (
    e_benjamini_hochberg,
    fall_below,
    lower_level,
    rise_above,
    upper_level,
)
from twin_assets.monitoring.drift.report import Family, Point, Signal
from twin_assets.monitoring.scores.records import ScoredRequest

ALARM_RATE = 0.01
# Fewer samples are no level to compare with; more than the latest say nothing new.
MIN_LEVEL, MAX_LEVEL = 20, 500
# Without a version before, its own first requests are a version's level.
FIRST_REQUESTS = 50
LEVEL_DAYS = 28
# Of a window from the level, in voice figures: windows of one author spread by about 0.2.
VOICE_REACH, VOICE_TOLERANCE = 0.4, 0.05
WEEK = timedelta(days=7)


class VoiceWindow(Record):
    """Where one window of what a version wrote stands from other people (0) to the author (1), neither end a limit; `time`
    is that of its last request."""

    time: datetime
    model: str
    place: float


class Sample(Record):
    """One value in [0, 1]; `shown` is what it says in the metric's own unit, where that is another."""

    time: datetime
    model: str
    value: float
    shown: float | None = None


def _shown(samples: Sequence[Sample]) -> float:
    """Their mean, in [0, 1]: single windows may lie beyond a figure's ends."""
    return float(np.clip(np.mean([s.value if s.shown is None else s.shown for s in samples]), 0.0, 1.0))


@dataclass(frozen=True)
class Metric:
    """One thing that is watched. `value` gives a sample in [0, 1], or None for a request that says nothing of it.
    `bad` and `good` are what the sentence says. Of `by_model` metrics each version is a sequence of its own."""

    name: str
    family: Family
    value: Callable[[ScoredRequest], float | None]
    falls: bool
    tolerance: float
    bad: str
    good: str
    rebuild: bool = False
    by_model: bool = True
    form: str = ".0%"


def _grounded(r: ScoredRequest) -> float | None:
    """Claims, which a sample is measured for; requests that were scored before there were claims say nothing."""
    return r.grounded_share


def _readable(r: ScoredRequest) -> float | None:
    """The share of passages that are not far out: of shuffled sentences most lie in the author's range, and most far out."""
    return None if r.sense_far is None else 1 - r.sense_far


METRICS = (
    Metric("retrieval", "traffic", lambda r: r.top_score, True, 0.05, "requests find worse passages", "passages are as near as before", rebuild=True, by_model=False, form=".2f"),
    Metric("grounding", "quality", _grounded, True, 0.1, "answers are less supported by their passages", "answers are as well supported as before"),
    Metric("reading", "quality", _readable, True, 0.1, "fewer texts read as language", "texts read as language as before"),
    Metric("feedback", "quality", lambda r: None if r.feedback is None else float(r.feedback == "up"), True, 0.15, "people like the answers less", "people like the answers as before"),
    Metric("failed", "quality", lambda r: float(r.outcome == "failed"), False, 0.05, "more requests fail", "no more requests fail"),
    Metric("personal data", "quality", lambda r: None if r.personal_data is None else float(r.personal_data > 0), False, 0.02, "more answers hold personal data", "no more answers hold personal data"),
    Metric("toxic", "quality", lambda r: None if r.toxic is None else float(r.toxic), False, 0.02, "more answers hold foul words", "no more answers hold foul words"),
)  # fmt: skip


def _outside(weak: float) -> Metric:
    """Declined, or written from a best passage that is too weak for an answer to stand on."""

    def value(r: ScoredRequest) -> float | None:
        if r.outcome == "failed":
            return None
        return float(r.outcome == "refused" or (r.top_score is not None and r.top_score < weak))

    return Metric(
        "outside the corpus",
        "traffic",
        value,
        False,
        0.1,
        "more requests find nothing to stand on",
        "no more requests find nothing to stand on",
        rebuild=True,
        by_model=False,
    )


@dataclass(frozen=True)
class _Watched:
    """A metric's samples in [0, 1], the level they are held against, and how a figure is shown; `before` is the level
    in the metric's own unit, where that is another."""

    name: str
    family: Family
    samples: list[Sample]
    level: list[float] | float
    falls: bool
    tolerance: float
    bad: str
    good: str
    rebuild: bool
    by_model: bool
    before: float | None = None
    form: str = ".0%"
    given_low: float | None = None

    def show(self, value: float) -> str:
        return format(value, self.form)

    @property
    def shown_level(self) -> float:
        return self.mean if self.before is None else self.before

    @property
    def mean(self) -> float:
        return float(np.mean(self.level))

    @property
    def bound(self) -> float:
        """What must be fallen below, or risen above."""
        measured = isinstance(self.level, list)
        if self.falls:
            sure = lower_level(self.level) if measured else self.given_low  # type: ignore[arg-type]
            return min(self.mean - self.tolerance, self.mean if sure is None else sure)
        return max(self.mean + self.tolerance, upper_level(self.level) if measured else self.mean)  # type: ignore[arg-type]


def watch_requests(
    scored: Sequence[ScoredRequest],
    now: datetime,
    model: str | None,
    similar: Mapping[str, float] | None = None,
    voice: Sequence[VoiceWindow] = (),
    voice_level: tuple[float, float] | None = None,
    thresholds: Thresholds = OFFLINE_MINILM,
) -> list[Signal]:
    """One signal for each metric that has samples, of this week and the last, for the version in production.

    `similar` is how near each request's prompt is to the evaluation's questions, by request id, in [0, 1].
    `voice_level` is the voice figure at release and the lower end of its interval; without it the version's own first
    windows count. The windows are of texts that read as language: of noise there is none. `thresholds` are those of the embedder that was searched with.
    """
    scored = sorted((s for s in scored if s.time <= now and not s.canary), key=lambda s: s.time)
    metrics = [_outside(thresholds.weak), *METRICS]
    if similar:
        metrics.insert(0, _prompts(similar))
    watched = [w for metric in metrics if (w := _watched(metric, scored, model))]
    if spoken := _voice([v for v in voice if v.time <= now], model, voice_level):
        watched.append(spoken)
    return [signal for family in ("traffic", "quality") for signal in _signals(watched, family, now, model)]


def voice_windows(
    scored: Mapping[str, list[tuple[datetime, str]]],
    cut: Callable[[list[str]], list[str]],
    places: Callable[[list[str]], np.ndarray],
) -> list[VoiceWindow]:
    """Windows of what each version wrote, in the order of time: `scored` holds (time, text) by version.

    A window ends with the text that completes it; what is left over waits for more.
    """
    measured = []
    for model, written in sorted(scored.items()):
        held: list[str] = []
        for time, text in sorted(written):
            held.append(text)
            if windows := cut(held):
                measured += [
                    VoiceWindow(time=time, model=model, place=float(p)) for p in places(windows).tolist()
                ]
                held = []
    return measured


def _prompts(similar: Mapping[str, float]) -> Metric:
    return Metric(
        "prompts",
        "traffic",
        lambda r: similar.get(r.request_id),
        True,
        0.05,
        "requests are less like the questions of the evaluation",
        "requests are as like the questions of the evaluation as before",
        rebuild=True,
        by_model=False,
        form=".2f",
    )


def _watched(metric: Metric, scored: Sequence[ScoredRequest], model: str | None) -> _Watched | None:
    samples = [
        Sample(time=r.time, model=r.model, value=min(max(v, 0.0), 1.0))
        for r in scored
        if (v := metric.value(r)) is not None
    ]
    level, rest = _split(samples, model, metric.by_model)
    if len(level) < MIN_LEVEL:
        return None
    return _Watched(
        metric.name,
        metric.family,
        rest,
        level,
        metric.falls,
        metric.tolerance,
        metric.bad,
        metric.good,
        metric.rebuild,
        metric.by_model,
        form=metric.form,
    )


def _split(samples: list[Sample], model: str | None, by_model: bool) -> tuple[list[float], list[Sample]]:
    """The level, and what is held against it: what came before the version in production, and what came since;
    or, without enough before it, its own first samples and the others."""
    mine = [s for s in samples if s.model == model]
    if not mine:
        return [], []
    start = mine[0].time
    before = [s for s in samples if start - timedelta(days=LEVEL_DAYS) <= s.time < start and s.model != model]
    watched = mine if by_model else [s for s in samples if s.time >= start]
    if len(before) < MIN_LEVEL:
        before, watched = watched[:FIRST_REQUESTS], watched[FIRST_REQUESTS:]
    return [s.value for s in before[-MAX_LEVEL:]], watched


def _voice(
    windows: Sequence[VoiceWindow], model: str | None, level: tuple[float, float] | None
) -> _Watched | None:
    """Places within VOICE_REACH of the level, as [0, 1]: one odd window must not weigh more than that."""
    mine = sorted((w for w in windows if w.model == model), key=lambda w: w.time)
    if level is None:
        first, mine = [w.place for w in mine[:MIN_LEVEL]], mine[MIN_LEVEL:]
        if len(first) < MIN_LEVEL:
            return None
        spread = 2.6 * float(np.std(first, ddof=1)) / np.sqrt(len(first))
        level = float(np.mean(first)), float(np.mean(first) - spread)
    middle, low = level

    def placed(place: float) -> float:
        return float(np.clip((place - middle) / (2 * VOICE_REACH) + 0.5, 0.0, 1.0))

    return _Watched(
        "voice",
        "quality",
        [Sample(time=w.time, model=w.model, value=placed(w.place), shown=w.place) for w in mine],
        0.5,
        True,
        VOICE_TOLERANCE / (2 * VOICE_REACH),
        "the voice has moved away from its release",
        "the voice is as released",
        False,
        True,
        before=middle,
        form=".2f",
        given_low=placed(low),
    )


def _signals(watched: list[_Watched], family: str, now: datetime, model: str | None) -> list[Signal]:
    these = [w for w in watched if w.family == family]
    start = week_start(now)
    drifted: dict[str, tuple[datetime, float]] = {}
    for begin in (start, start - WEEK):  # the last week speaks too, or an alert would end each Monday
        tested = []
        for w in these:
            part = [s for s in w.samples if begin <= s.time < begin + WEEK]
            test = fall_below if w.falls else rise_above
            tested.append((w, part, test([s.value for s in part], w.bound)))
        acts = e_benjamini_hochberg([e.strength for *_, e in tested], ALARM_RATE)
        for (w, part, evidence), act in zip(tested, acts, strict=True):
            if act and evidence.onset is not None:
                drifted[w.name] = (
                    part[evidence.onset].time,
                    max(evidence.strength, drifted.get(w.name, (now, 0.0))[1]),
                )
    return [_signal(w, now, model, drifted.get(w.name)) for w in these]


def _signal(w: _Watched, now: datetime, model: str | None, onset: tuple[datetime, float] | None) -> Signal:
    recent = [s for s in w.samples if s.time >= (onset[0] if onset else week_start(now) - WEEK)]
    shown: dict[str, Any] = {
        "name": w.name, "family": w.family, "rebuild": w.rebuild, "before": w.shown_level, "points": _weeks(w),
    }  # fmt: skip
    if not recent:
        return Signal(
            drifted=False, sentence=f"{w.name}: nothing since {week_start(now) - WEEK:%d %b}", **shown
        )
    after = _shown(recent)
    figures = (
        f"{w.show(after)} of {len(recent)} after {w.show(w.shown_level)}"
        if w.name != "voice"
        else f"figure {w.show(after)} over {len(recent)} windows after {w.show(w.shown_level)}"
    )
    who = f" ({model})" if w.by_model and onset else ""
    sentence = f"{w.bad if onset else w.good}{who}: {figures}"
    if onset is None:
        return Signal(drifted=False, sentence=sentence, after=after, **shown)
    since, strength = onset
    return Signal(
        drifted=True,
        sentence=f"{sentence}, since {since:%d %b %H:%M}",
        after=after,
        since=since,
        evidence=f"chance alone gives such evidence in less than 1 of {min(strength, 1e6):,.0f} weeks",
        **shown,
    )


def _weeks(w: _Watched) -> list[Point]:
    weeks: dict[datetime, list[Sample]] = {}
    for s in w.samples:
        weeks.setdefault(week_start(s.time), []).append(s)
    return [
        Point(label=f"{week:%d %b}", value=_shown(some), n=len(some)) for week, some in sorted(weeks.items())
    ]


def week_start(at: datetime) -> datetime:
    """Monday, 00:00, of a time's week, in the time's zone."""
    return (at - timedelta(days=at.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)

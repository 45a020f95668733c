"""Has production changed? Newer requests against older ones, and the voice against its release.

Every signal is a sentence with its figures, whether it drifted or not; any drifted one asks for a rebuild.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.evaluate import EvaluationReport

# Fewer requests than this say nothing about drift; more than RECENT are another season.
MIN_REQUESTS = 30
RECENT = 2000
MIN_SCORES = 10
P_VALUE = 0.01
# Differences that are certain but smaller than this are not worth a rebuild.
# A hybrid score under this: nothing found was much to the point.
WEAK_SCORE = 0.45
MIN_SCORE_FALL = 0.05
MIN_RISE = 0.1
MIN_VOICE_WINDOWS = 4


class Scored(Protocol):
    """What drift needs of a scored request."""

    @property
    def time(self) -> datetime: ...
    @property
    def outcome(self) -> str: ...
    @property
    def top_score(self) -> float | None: ...


class Voiced(Protocol):
    """What drift needs of a model version's voice in production."""

    @property
    def model(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def margin(self) -> float | None: ...
    @property
    def margin_high(self) -> float | None: ...
    @property
    def windows(self) -> int: ...


class Signal(Record):
    """One thing that was compared; values are None where there was too little to compare. Failures are no
    reason to `rebuild`: the same pipeline would serve the same way."""

    name: str
    drifted: bool
    sentence: str
    before: float | None = None
    after: float | None = None
    rebuild: bool = True


class DriftReport(Record):
    """Each finding is a sentence. `drifted` starts a rebuild."""

    requests: int
    drifted: bool
    findings: list[str]
    signals: list[Signal] = []


def find_drift(
    scored: Sequence[Scored], voices: Sequence[Voiced] = (), release: EvaluationReport | None = None
) -> DriftReport:
    """Compare the newer half of the latest 2,000 requests with the older half, from 30 requests on.

    Retrieval scores by a two-sample Kolmogorov-Smirnov test, shares by Fisher's exact test, both at p < 0.01
    and with a least size of the difference. With the report of a release, the voice of what its model wrote
    in production must not lie wholly below the interval measured at release.
    """
    signals = _requests(scored) if len(scored) >= MIN_REQUESTS else []
    if release is not None:
        signals += [_voice(v, release) for v in voices if v.model == release.candidate and v.kind == "write"]
    findings = [s.sentence for s in signals]
    if len(scored) < MIN_REQUESTS:
        so_far = f"{len(scored)} requests so far" if scored else "no requests yet"
        findings.insert(0, f"{so_far}; drift is looked for from {MIN_REQUESTS} on")
    return DriftReport(
        requests=len(scored),
        drifted=any(s.drifted and s.rebuild for s in signals),
        findings=findings,
        signals=signals,
    )


def _requests(scored: Sequence[Scored]) -> list[Signal]:
    latest = sorted(scored, key=lambda s: s.time)[-RECENT:]
    old, new = latest[: len(latest) // 2], latest[len(latest) // 2 :]
    return [
        _scores(_top_scores(old), _top_scores(new)),
        _share("outside the corpus", "requests find nothing to stand on", *map(_outside, (old, new))),
        _share("failed", "requests fail", _failed(old), _failed(new)).model_copy(update={"rebuild": False}),
    ]


def _top_scores(part: Sequence[Scored]) -> list[float]:
    return [s.top_score for s in part if s.top_score is not None]


def _outside(part: Sequence[Scored]) -> list[bool]:
    """Refused, or written from a best passage that is too weak for an answer to stand on."""
    return [s.outcome == "refused" or (s.top_score is not None and s.top_score < WEAK_SCORE) for s in part]


def _failed(part: Sequence[Scored]) -> list[bool]:
    return [s.outcome == "failed" for s in part]


def _scores(before: list[float], after: list[float]) -> Signal:
    if min(len(before), len(after)) < MIN_SCORES:
        return Signal(name="retrieval", drifted=False, sentence="too few retrieval scores to compare")
    from scipy.stats import ks_2samp

    was, now, p = float(np.mean(before)), float(np.mean(after)), float(ks_2samp(before, after).pvalue)
    drifted = p < P_VALUE and was - now > MIN_SCORE_FALL
    verdict = "newer requests find worse passages" if drifted else "passages are as near as before"
    sentence = f"{verdict}: mean score {now:.2f} after {was:.2f} (p={p:.3g})"
    return Signal(name="retrieval", drifted=drifted, sentence=sentence, before=was, after=now)


def _share(name: str, what: str, before: list[bool], after: list[bool]) -> Signal:
    if min(len(before), len(after)) < MIN_SCORES:
        return Signal(name=name, drifted=False, sentence=f"too few requests to say how many are {name}")
    from scipy.stats import fisher_exact

    was, now = sum(before) / len(before), sum(after) / len(after)
    table = [[sum(after), len(after) - sum(after)], [sum(before), len(before) - sum(before)]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    drifted = p < P_VALUE and now - was > MIN_RISE
    verdict = "more" if drifted else "no more"
    sentence = f"{verdict} {what}: {now:.0%} after {was:.0%} (p={p:.3g})"
    return Signal(name=name, drifted=drifted, sentence=sentence, before=was, after=now)


def _voice(voice: Voiced, release: EvaluationReport) -> Signal:
    level = release.contestants["candidate"].voice
    if voice.margin is None or voice.margin_high is None or voice.windows < MIN_VOICE_WINDOWS:
        sentence = f"too little writing in production to compare the voice: {voice.windows} windows of {MIN_VOICE_WINDOWS}"
        return Signal(name="voice", drifted=False, sentence=sentence)
    if level.margin is None or level.margin_low is None:
        sentence = "the release has no measured voice to compare with"
        return Signal(name="voice", drifted=False, sentence=sentence, after=voice.margin)
    drifted = voice.margin_high < level.margin_low
    verdict = "the voice has moved away from its release" if drifted else "the voice is as released"
    sentence = f"{verdict}: margin {voice.margin:+.3f} after {level.margin:+.3f}"
    return Signal(name="voice", drifted=drifted, sentence=sentence, before=level.margin, after=voice.margin)

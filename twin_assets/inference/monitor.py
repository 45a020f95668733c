"""Production watched from its request log: scores, drift, cost. Runs beside the service, never in it."""

from collections import defaultdict
from datetime import datetime

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.request_log import RequestRecord
from twin_assets.inference.voice import VoiceMeter

# Fewer requests than this say nothing about drift.
MIN_REQUESTS = 30
DRIFT_P_VALUE = 0.01
MAX_REFUSAL_RISE = 0.2


class ScoredRequest(Record):
    """A request with what can be measured of it. `support` is the share of answer words in its passages."""

    request_id: str
    time: datetime
    model: str
    outcome: str
    top_score: float | None
    support: float | None


class ModelVoice(Record):
    """The voice of all answers of one model version together; None with too little text."""

    model: str
    margin: float | None
    words: int


class DriftReport(Record):
    """Each finding is a sentence. `drifted` starts a rebuild."""

    requests: int
    drifted: bool
    findings: list[str]


class CostReport(Record):
    """By model: requests, tokens, money and latency in milliseconds."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: float
    latency_p50: dict[str, float]
    latency_p95: dict[str, float]


def score_requests(requests: list[RequestRecord], passages: dict[str, str]) -> list[ScoredRequest]:
    """Score each request; `passages` maps chunk ids to their text."""
    return [
        ScoredRequest(
            request_id=r.request_id, time=r.time, model=r.model, outcome=r.outcome,
            top_score=max(r.scores, default=None), support=_support(r, passages),
        )
        for r in requests
    ]  # fmt: skip


def _support(request: RequestRecord, passages: dict[str, str]) -> float | None:
    if request.answer is None or request.outcome != "answered" or not request.retrieved:
        return None
    known = {w for i in request.retrieved for w in passages.get(i, "").lower().split()}
    words = [w for w in request.answer.lower().split() if len(w) > 4]
    return sum(w in known for w in words) / len(words) if words else None


def voices(requests: list[RequestRecord], meter: VoiceMeter, seed: int) -> list[ModelVoice]:
    """The voice margin of each model version's answers."""
    texts: dict[str, list[str]] = defaultdict(list)
    for request in requests:
        if request.answer and request.outcome == "answered":
            texts[request.model].append(request.answer)
    scores = {model: meter.score(answers, seed) for model, answers in sorted(texts.items())}
    return [ModelVoice(model=m, margin=s.margin, words=s.words) for m, s in scores.items()]


def find_drift(scored: list[ScoredRequest]) -> DriftReport:
    """Compare the newer half of the requests with the older: retrieval scores and refusals.

    Scores by a two-sample Kolmogorov-Smirnov test; needs 30 requests.
    """
    if len(scored) < MIN_REQUESTS:
        finding = f"{len(scored)} requests so far; drift is looked for from {MIN_REQUESTS} on"
        return DriftReport(requests=len(scored), drifted=False, findings=[finding])
    from scipy.stats import ks_2samp

    ordered = sorted(scored, key=lambda s: s.time)
    old, new = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]
    before = [s.top_score for s in old if s.top_score is not None]
    after = [s.top_score for s in new if s.top_score is not None]
    findings = []
    if before and after and np.mean(after) < np.mean(before):
        p = float(ks_2samp(before, after).pvalue)
        if p < DRIFT_P_VALUE:
            findings.append(
                f"newer requests find worse passages: mean score {np.mean(after):.2f} after {np.mean(before):.2f} (p={p:.4f})"
            )
    rise = np.mean([s.outcome == "refused" for s in new]) - np.mean([s.outcome == "refused" for s in old])
    if rise > MAX_REFUSAL_RISE:
        findings.append(f"refusals rose by {rise:.0%} of requests")
    return DriftReport(
        requests=len(scored), drifted=bool(findings), findings=findings or ["no drift in scores or refusals"]
    )


def count_cost(requests: list[RequestRecord]) -> CostReport:
    """Totals, and latency by step."""
    steps: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        for step, took in request.steps_ms.items():
            steps[step].append(took)
    return CostReport(
        requests=len(requests), tokens_in=sum(r.tokens_in for r in requests),
        tokens_out=sum(r.tokens_out for r in requests), cost=sum(r.cost for r in requests),
        latency_p50={s: float(np.percentile(t, 50)) for s, t in sorted(steps.items())},
        latency_p95={s: float(np.percentile(t, 95)) for s, t in sorted(steps.items())},
    )  # fmt: skip

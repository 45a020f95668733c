"""Production watched from its request log: scores and cost. Runs beside the service, never in it.

`drift.py` compares what is measured here over time and with the release.
"""

import re
from collections import defaultdict
from datetime import datetime
from typing import Literal

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.function_words import ENGLISH
from twin_assets.inference.request_log import RequestRecord
from twin_assets.inference.usage import usage_by
from twin_assets.inference.voice import VoiceMeter

__all__ = ["CostReport", "ModelCost", "ModelVoice", "ScoredRequest", "count_cost", "score_requests", "voices"]  # fmt: skip

# Fewer content words than this say nothing of how far an answer is supported.
MIN_CONTENT_WORDS = 5


class ScoredRequest(Record):
    """A request with what can be measured of it; holds no text.

    `top_score` is the best passage's, in [0, 1]; `support` the share of the answer's content words that
    stand in its passages, None where the text isn't kept, was refused, or had no passages. `declined` says
    that the answer refuses in its words, `personal_data` counts the findings of `core.privacy` in it.
    `grounded_share` is the supported share of its `claims`, and `voice_margin` that of a text of at least one
    window; both are measured for a sample only, `weight` standing for how many requests each of it counts (0:
    not in the sample). Times are in milliseconds. The feedback is the latest of each kind; `edited_share` is
    the share of the answer that a person changed.
    """

    request_id: str
    time: datetime
    model: str
    outcome: str
    top_score: float | None
    support: float | None
    prompt_kind: str = ""
    kind: Literal["write", "answer"] = "answer"
    key: str | None = None
    user: str | None = None
    canary: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    latency_ms: float | None = None
    retrieve_ms: float | None = None
    generate_ms: float | None = None
    words: int | None = None
    declined: bool | None = None
    personal_data: int | None = None
    toxic: bool | None = None
    weight: float = 1.0
    claims: int | None = None
    grounded_share: float | None = None
    voice_margin: float | None = None
    feedback: Literal["up", "down"] | None = None
    edited_share: float | None = None


class ModelVoice(Record):
    """The voice of all texts of a kind by one model version; None with too little text."""

    model: str
    margin: float | None
    words: int
    kind: Literal["write", "answer"] = "write"
    margin_low: float | None = None
    margin_high: float | None = None
    windows: int = 0


class ModelCost(Record):
    """One model version's share; latency is the sum of a request's steps, in milliseconds."""

    model: str
    requests: int
    failed: int
    tokens_in: int
    tokens_out: int
    cost: float
    latency_p50: float | None
    latency_p95: float | None


class CostReport(Record):
    """Totals; latency in milliseconds by step, `total` being all steps of a request; then by model."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: float
    latency_p50: dict[str, float]
    latency_p95: dict[str, float]
    models: list[ModelCost] = []


def score_requests(requests: list[RequestRecord], passages: dict[str, str]) -> list[ScoredRequest]:
    """Score each request; `passages` maps chunk ids to their text, ids that are gone may be missing."""
    return [
        ScoredRequest(
            request_id=r.request_id, time=r.time, model=r.model, outcome=r.outcome, prompt_kind=r.prompt_kind,
            top_score=max(r.scores, default=None), support=_support(r, passages),
        )
        for r in requests
    ]  # fmt: skip


def _support(request: RequestRecord, passages: dict[str, str]) -> float | None:
    found = [passages[i] for i in request.retrieved if i in passages]
    if request.answer is None or request.outcome != "answered" or not found:
        return None
    known = {word for text in found for word in _content_words(text)}
    words = _content_words(request.answer)
    return sum(w in known for w in words) / len(words) if len(words) >= MIN_CONTENT_WORDS else None


def _content_words(text: str) -> list[str]:
    """Words that carry facts: numbers, and words of four letters or more that aren't function words."""
    words = re.findall(r"\d+|[^\W\d_]{4,}", text.lower())
    return [w for w in words if w not in ENGLISH]


def voices(requests: list[RequestRecord], meter: VoiceMeter, seed: int) -> list[ModelVoice]:
    """The voice of each model version, writing and answers apart: only writing compares with a release."""
    texts: dict[tuple[str, Literal["write", "answer"]], list[str]] = defaultdict(list)
    for request in requests:
        if request.answer and request.outcome == "answered":
            texts[request.model, request.kind].append(request.answer)
    found = []
    for (model, kind), written in sorted(texts.items()):
        score = meter.score(written, seed)
        found.append(
            ModelVoice(
                model=model, kind=kind, margin=score.margin, words=score.words, windows=score.windows,
                margin_low=score.margin_low, margin_high=score.margin_high,
            )
        )  # fmt: skip
    return found


def count_cost(requests: list[RequestRecord]) -> CostReport:
    """What production took: zeros and no latencies for no requests."""
    steps: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        for step, took in request.steps_ms.items():
            steps[step].append(took)
        if request.steps_ms:
            steps["total"].append(sum(request.steps_ms.values()))
    return CostReport(
        requests=len(requests), tokens_in=sum(r.tokens_in for r in requests),
        tokens_out=sum(r.tokens_out for r in requests), cost=sum(r.cost or 0.0 for r in requests),
        latency_p50={s: float(np.percentile(t, 50)) for s, t in sorted(steps.items())},
        latency_p95={s: float(np.percentile(t, 95)) for s, t in sorted(steps.items())},
        models=[
            ModelCost(model=used.group, **used.model_dump(include=set(ModelCost.model_fields) - {"model"}))
            for used in usage_by(requests, lambda request: request.model)
        ],
    )  # fmt: skip

"""What is known of a request once it is scored. `live_scores.py` scores them, beside the service and never in it.

`drift/report.py` compares what is measured here over time and with the release.
"""

from typing import Literal

from twin_assets.core.records import Record
from twin_assets.core.storage.erased import Asked
from twin_assets.core.text.content_words import k_precision, topic_words
from twin_assets.inference.twin.request_log import RequestRecord

__all__ = ["ModelVoice", "ScoredRequest", "score_requests"]

# Fewer content words than this say nothing of how far an answer is supported.
MIN_TOPIC_WORDS = 5
# Steps of a request that come after retrieval.
OF_WRITING = ("generate", "choose", "check")


class ScoredRequest(Asked):
    """A request with what can be measured of it; holds no text.

    `top_score` is the best passage's, in [0, 1]; `support` the share of the answer's content words that
    stand in its passages, None where the text isn't kept, was refused, or had no passages. `declined` says
    that the answer refuses in its words, `personal_data` counts the findings of `core.privacy` in it.
    `grounded_share` is the supported share of its `claims`; `voice_figure` says where a text of at least one window
    stands from other people (0) to the author (1), None for one that doesn't read as language, and `voice_margin` is the
    measure of before, of rows without a figure; `sense_share` is the share of a text's first passages that read as the author's own do, `sense_far` that of
    passages which read worse than 95% of the author's, with their mean `sense_loss` in nats a token and `sense_coherence`, a cosine, None for fewer than 50 words. These are measured for a
    sample only, `weight` standing for how many requests each of it counts (0: not in the sample). Times are in
    milliseconds. The feedback is the latest of each kind; `edited_share` is the share of the answer that a person
    changed.
    """

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
    voice_figure: float | None = None
    sense_share: float | None = None
    sense_far: float | None = None
    sense_loss: float | None = None
    sense_coherence: float | None = None
    feedback: Literal["up", "down"] | None = None
    edited_share: float | None = None


class ModelVoice(Record):
    """The voice of all texts of a kind by one model version. `figure` is the calibrated one, from other people (0) to the
    author (1); `margin` is the measure of before, which rewarded noise, and only of days that have no figure. `words` and
    `windows` are those of the figure, of the margin where there is no figure; `note` says why there is neither."""

    model: str
    margin: float | None
    words: int
    kind: Literal["write", "answer"] = "write"
    margin_low: float | None = None
    margin_high: float | None = None
    windows: int = 0
    figure: float | None = None
    figure_low: float | None = None
    figure_high: float | None = None
    note: str | None = None


def score_requests(requests: list[RequestRecord], passages: dict[str, str]) -> list[ScoredRequest]:
    """Score each request; `passages` maps chunk ids to their text, ids that are gone may be missing."""
    return [_scored(request, passages) for request in requests]


def _scored(r: RequestRecord, passages: dict[str, str]) -> ScoredRequest:
    total, writing = sum(r.steps_ms.values()) if r.steps_ms else None, r.steps_ms.get("generate")
    return ScoredRequest(
        request_id=r.request_id,
        time=r.time,
        model=r.model,
        outcome=r.outcome,
        prompt_kind=r.prompt_kind,
        top_score=max(r.scores, default=None),
        support=_support(r, passages),
        kind=r.kind,
        key=r.key,
        user=r.user,
        canary=r.canary,
        tokens_in=r.tokens_in,
        tokens_out=r.tokens_out,
        cost_usd=r.cost,
        latency_ms=total,
        retrieve_ms=None if total is None else total - sum(r.steps_ms.get(step, 0.0) for step in OF_WRITING),
        generate_ms=writing,
        personal_data=r.personal_data,
    )


def _support(request: RequestRecord, passages: dict[str, str]) -> float | None:
    shown = [passages[i] for i in request.retrieved if i in passages]
    if request.answer is None or request.outcome != "answered" or not shown:
        return None
    words = topic_words(request.answer, numbers=True)
    passage_words = {word for text in shown for word in topic_words(text, numbers=True)}
    return k_precision(words, passage_words) if len(words) >= MIN_TOPIC_WORDS else None

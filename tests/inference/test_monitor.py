"""Monitoring: what is scored, what counts as drift, what it cost."""

from evaluation_factories import reciting_report, request

from twin_assets.inference.monitor import ModelVoice, find_drift, score_requests
from twin_assets.inference.request_log import RequestRecord

PASSAGES = {"d-0": "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard."}


def support(answer: str | None, **changes: object) -> float | None:
    return score_requests([request(answer=answer, **changes)], PASSAGES)[0].support


def drifted(requests: list[RequestRecord]) -> set[str]:
    return {s.name for s in find_drift(score_requests(requests, {})).signals if s.drifted}


def test_an_answer_from_its_passages_is_supported_and_an_invented_one_is_not() -> None:
    assert support("The Skua was stuck on mud at Stenna, 47 minutes, with 31 passengers.") == 1.0
    invented = support("Volcanoes erupted near Naples during breakfast in 1944.")
    assert invented is not None
    assert invented < 0.2


def test_a_wrong_number_costs_support() -> None:
    right = support("Skua: stuck 47 minutes at Stenna with passengers aboard.")
    wrong = support("Skua: stuck 99 minutes at Stenna with passengers aboard.")
    assert right is not None
    assert wrong is not None
    assert wrong < right


def test_support_is_not_claimed_without_text_passages_or_an_answer() -> None:
    answer = "The Skua was stuck on the mud at Stenna for 47 minutes."
    assert support(None) is None
    assert support(answer, retrieved=[]) is None
    assert support(answer, retrieved=["gone-1"]) is None
    assert support(answer, outcome="refused") is None
    assert support("Yes.") is None


def test_no_requests_are_a_report_too() -> None:
    assert score_requests([], {}) == []
    report = find_drift([])
    assert not report.drifted
    assert report.findings == ["no requests yet; drift is looked for from 30 on"]


def test_a_few_requests_are_no_drift_however_odd() -> None:
    requests = [request(n, scores=[0.9 if n < 10 else 0.1]) for n in range(20)]
    report = find_drift(score_requests(requests, {}))
    assert not report.drifted
    assert "20 requests so far" in report.findings[0]


def test_steady_requests_do_not_drift_and_say_so() -> None:
    report = find_drift(score_requests([request(n) for n in range(100)], {}))
    assert not report.drifted
    assert any("as near as before" in f for f in report.findings)


def test_worse_passages_and_topics_outside_the_corpus_are_drift() -> None:
    requests = [request(n, scores=[0.7 if n < 40 else 0.3]) for n in range(80)]
    assert drifted(requests) == {"retrieval", "outside the corpus"}


def test_a_certain_but_tiny_fall_is_no_drift() -> None:
    requests = [request(n, scores=[0.70 if n < 200 else 0.69]) for n in range(400)]
    assert drifted(requests) == set()


def test_refusals_without_scores_count_as_outside_the_corpus() -> None:
    requests = [
        request(n, outcome="refused", scores=[], retrieved=[]) if n >= 40 and n % 2 else request(n)
        for n in range(80)
    ]
    assert drifted(requests) == {"outside the corpus"}


def test_the_order_of_the_log_does_not_matter() -> None:
    requests = [request(n, scores=[0.7 if n < 40 else 0.3]) for n in range(80)]
    assert drifted(requests[::-1]) == drifted(requests)


def test_failures_are_reported_but_start_no_rebuild() -> None:
    requests = [request(n, outcome="failed" if n >= 40 else "answered") for n in range(80)]
    report = find_drift(score_requests(requests, {}))
    assert not report.drifted
    assert any("more requests fail: 100% after 0%" in f for f in report.findings)


def release_voice(margin: float, windows: int = 20) -> ModelVoice:
    return ModelVoice(
        model="runa:one", margin=margin, words=250 * windows, windows=windows, margin_low=margin - 0.05,
        margin_high=margin + 0.05,
    )  # fmt: skip


def test_a_voice_below_its_release_is_drift() -> None:
    report = find_drift([], [release_voice(-0.3)], reciting_report())
    assert report.drifted
    assert any("moved away from its release" in f for f in report.findings)


def test_a_voice_at_its_release_level_or_of_too_few_words_is_none() -> None:
    level = reciting_report().contestants["candidate"].voice.margin
    assert level is not None
    assert not find_drift([], [release_voice(level)], reciting_report()).drifted
    assert not find_drift([], [release_voice(-0.3, windows=2)], reciting_report()).drifted

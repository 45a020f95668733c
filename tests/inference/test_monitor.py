"""Monitoring: what is scored, and what it cost."""

from evaluation_factories import neighbours, request, train

from twin_assets.inference.monitor import (
    CostReport,
    count_cost,
    score_requests,
    voices,
)
from twin_assets.inference.voice import VoiceMeter

PASSAGES = {"d-0": "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard."}


def support(answer: str | None, **changes: object) -> float | None:
    return score_requests([request(answer=answer, **changes)], PASSAGES)[0].support


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
    assert count_cost([]) == CostReport(
        requests=0, tokens_in=0, tokens_out=0, cost=0, latency_p50={}, latency_p95={}
    )


def test_voices_are_measured_by_model_with_writing_and_answers_apart() -> None:
    own, others = [d.voice_text for d in train()], neighbours()
    meter = VoiceMeter.fit(own[::2], {name: texts[::2] for name, texts in others.items()})
    assistant = [t for texts in others.values() for t in texts[1::2]]
    requests = [
        *(request(n, answer=t, prompt_kind="write_article") for n, t in enumerate(own[1::2])),
        *(request(n, answer=t, prompt_kind="answer", model="runa:two") for n, t in enumerate(assistant)),
        request(99, answer="Too short.", prompt_kind="answer"),
        request(100, answer=None),
        request(101, answer="I don't know that one.", outcome="refused"),
    ]
    found = {(v.model, v.kind): v for v in voices(requests, meter, 1)}
    assert set(found) == {("runa:one", "write"), ("runa:two", "answer"), ("runa:one", "answer")}
    assert found["runa:one", "answer"].margin is None
    mine, theirs = found["runa:one", "write"].margin, found["runa:two", "answer"].margin
    assert mine is not None
    assert theirs is not None
    assert mine > 0 > theirs


def test_cost_is_counted_by_step_and_by_model() -> None:
    requests = [
        *(request(n, cost=0.01) for n in range(10)),
        request(10, model="runa:two", outcome="failed", steps_ms={}, cost=0.5),
    ]
    report = count_cost(requests)
    assert (report.requests, report.tokens_in, report.tokens_out) == (11, 1100, 550)
    assert abs(report.cost - 0.6) < 1e-9
    assert report.latency_p50 == {"generate": 104.5, "retrieve": 10.0, "total": 114.5}
    assert report.latency_p95["total"] > report.latency_p50["total"]
    one, two = report.models
    assert (one.model, one.requests, one.failed, one.latency_p50) == ("runa:one", 10, 0, 114.5)
    assert (two.model, two.failed, two.latency_p50) == ("runa:two", 1, None)

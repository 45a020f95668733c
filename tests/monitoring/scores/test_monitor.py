"""Monitoring: what is scored."""

from tests.evaluation.evaluation_factories import request
from twin_assets.monitoring.scores.records import score_requests

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

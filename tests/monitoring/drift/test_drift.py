"""Drift of requests, writing and cost: silent without a change, loud with a planted one, and in plain words."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from tests.evaluation.evaluation_factories import by_hashed_words, document, documents, neighbours
from tests.monitoring.drift.drift_factories import MONDAY, scored, week
from twin_assets.core.records import SplitDocument
from twin_assets.monitoring.drift.cost import watch_cost
from twin_assets.monitoring.drift.plots import drift_plot
from twin_assets.monitoring.drift.report import DriftReport, Signal, drift_report
from twin_assets.monitoring.drift.requests import VoiceWindow, voice_windows, watch_requests, week_start
from twin_assets.monitoring.drift.writing import document_vectors, watch_writing
from twin_assets.monitoring.scores.records import ScoredRequest


def drifted(
    requests: Sequence[ScoredRequest], day: float, model: str = "runa:one", **more: object
) -> set[str]:
    found = watch_requests(requests, MONDAY + timedelta(days=day), model, **more)  # type: ignore[arg-type]
    return {s.name for s in found if s.drifted}


def test_no_requests_or_too_few_say_so_and_are_no_drift() -> None:
    assert watch_requests([], MONDAY, "runa:one") == []
    assert watch_requests(week(0, 15), MONDAY + timedelta(days=7), "runa:one") == []
    report = drift_report([], 0, MONDAY)
    assert (report.drifted, report.findings) == (False, ["nothing to compare yet"])


@pytest.mark.parametrize("n", [5, 20, 50])
def test_steady_weeks_raise_hardly_an_alarm_however_often_one_looks(n: int) -> None:
    """Two weeks of n requests after the level, looked at twice: all signals together in few of 150 worlds."""
    alarms = 0
    for seed in range(150):
        requests = week(0, 60, seed) + week(7, n, seed) + week(14, n, seed)
        alarms += any(drifted(requests, day) for day in (13.9, 20.9))
    assert alarms <= 6, "two families, two weeks, a hundredth each"


def test_answers_that_leave_their_passages_are_found_within_days_with_their_beginning() -> None:
    requests = week(0, 100) + week(7, 30, days=3) + week(10, 30, supported=0.3, days=3)
    [found] = [s for s in watch_requests(requests, MONDAY + timedelta(days=13), "runa:one") if s.drifted]
    assert found.name == "grounding"
    assert not found.rebuild
    assert "answers are less supported by their passages (runa:one): " in found.sentence
    assert found.since is not None
    assert abs(found.since - (MONDAY + timedelta(days=10))) < timedelta(days=1)
    assert drifted(requests, 9.9) == set()


def test_a_bad_release_is_held_against_the_version_before_it() -> None:
    requests = week(0, 100) + week(7, 40, model="runa:two", supported=0.3, days=3)
    assert drifted(requests, 10, "runa:two") == {"grounding"}
    assert drifted(requests, 10, "runa:one") == set(), "rolled back: what serves now is well"
    assert drifted([*requests, *week(10, 30, days=3)], 13, "runa:one") == set()


def test_topics_outside_the_corpus_are_traffic_that_drifted_whatever_the_version() -> None:
    requests = week(0, 100) + week(7, 60, outside=0.9, days=4)
    assert drifted(requests, 11) == {"outside the corpus", "retrieval"}
    refused = week(7, 40, outcome="refused", top_score=None, grounded_share=None, days=4)
    assert drifted(week(0, 100) + refused, 11) == {"outside the corpus"}


def test_prompts_unlike_the_evaluation_are_found() -> None:
    requests = week(0, 100) + week(7, 60)
    similar = {r.request_id: (0.7 if r.time < MONDAY + timedelta(days=9) else 0.2) for r in requests}
    assert drifted(requests, 14, similar=similar) == {"prompts"}


def test_failures_thumbs_down_and_leaks_are_alarms_but_no_reason_to_rebuild() -> None:
    good = week(0, 100, feedback="up", personal_data=0, toxic=False)
    assert drifted(good + week(7, 60, feedback="down", personal_data=0, toxic=False), 14) == {"feedback"}
    assert drifted(good + week(7, 60, feedback="up", personal_data=2, toxic=False), 14) == {"personal data"}
    failed = watch_requests(good + week(7, 60, outcome="failed", grounded_share=None), MONDAY + timedelta(days=14), "runa:one")  # fmt: skip
    assert {s.name for s in failed if s.drifted} == {"failed"}
    assert not drift_report(failed, 160, MONDAY).drifted


def test_an_alarm_outlives_monday_and_ends_after_a_good_week() -> None:
    bad = week(0, 100) + week(7, 60, supported=0.3)
    good = [*bad, *week(14, 60), *week(21, 60)]
    assert drifted(good, 14.2) == {"grounding"}
    assert drifted(good, 21.2) == set()


def test_a_certain_but_small_fall_is_none() -> None:
    assert drifted(week(0, 400) + week(7, 400, supported=0.8), 14) == set()


def test_canaries_and_the_future_are_left_out() -> None:
    requests = week(0, 100) + week(7, 60, supported=0.2, canary=True)
    assert drifted(requests, 14) == set()
    assert drifted(week(0, 100) + week(7, 60, supported=0.2), 7) == set()


def voice(day: float, place: float, n: int, seed: int = 1) -> list[VoiceWindow]:
    """Windows about a figure, spread as those of a real author (0.2)."""
    random = np.random.default_rng(seed)
    return [
        VoiceWindow(time=MONDAY + timedelta(days=day, hours=i), model="runa:one", place=place + random.normal(0, 0.2))
        for i in range(n)
    ]  # fmt: skip


def test_the_voice_is_held_against_its_release_or_its_own_beginning() -> None:
    level = (0.8, 0.7)
    assert drifted(week(0), 9, voice=voice(7, 0.2, 20), voice_level=level) == {"voice"}
    assert drifted(week(0), 9, voice=voice(7, 0.8, 20), voice_level=level) == set()
    assert drifted(week(0), 9, voice=voice(7, 0.2, 3), voice_level=level) == set(), "too little writing"
    assert drifted(week(0), 9, voice=voice(0, 0.8, 20) + voice(7, 0.2, 20)) == {"voice"}
    few = week(0, 100, feedback="up", personal_data=0, toxic=False) + week(7, 60, feedback="up", personal_data=0, toxic=False, supported=0.1)  # fmt: skip
    assert "voice" in drifted(few, 9, voice=voice(7, -0.2, 16), voice_level=(1.0, 1.0)), (
        "two days of another voice"
    )
    [signal] = [s for s in watch_requests(week(0), MONDAY + timedelta(days=9), "runa:one", voice=voice(7, 0.2, 20), voice_level=level) if s.name == "voice"]  # fmt: skip
    assert "the voice has moved away from its release (runa:one): figure 0.2" in signal.sentence
    assert "after 0.80" in signal.sentence


def test_texts_that_stop_reading_as_language_are_an_alarm_that_asks_for_no_rebuild() -> None:
    requests = week(0, 100, sense_far=0.0) + week(7, 60, sense_share=0.9, sense_far=0.8, days=3)
    [found] = [s for s in watch_requests(requests, MONDAY + timedelta(days=10), "runa:one") if s.drifted]
    assert (found.name, found.rebuild) == ("reading", False)
    assert "fewer texts read as language (runa:one): 20% of" in found.sentence
    assert drifted(week(0, 100, sense_far=0.0) + week(7, 60, sense_far=0.0), 14) == set()


def test_windows_are_cut_in_the_order_of_time_and_leftovers_wait() -> None:
    texts = [(MONDAY + timedelta(days=d), "w " * 3) for d in (2, 0, 1)]
    cut = voice_windows(
        {"m": texts}, lambda held: [" ".join(held)] if len(held) == 2 else [], lambda c: np.ones(len(c))
    )
    assert [(w.time, w.place) for w in cut] == [(MONDAY + timedelta(days=1), 1.0)]


def hashed(corpus: Sequence[SplitDocument]) -> dict[str, np.ndarray]:
    return dict(zip([d.doc_id for d in corpus], by_hashed_words([d.voice_text for d in corpus]), strict=True))


def new_pieces(texts: Sequence[str], category: str = "article") -> list[SplitDocument]:
    return [
        document(f"new-{n}", t, category).model_copy(update={"published_at": MONDAY + timedelta(days=n)})
        for n, t in enumerate(texts)
    ]


def test_new_writing_of_the_same_author_is_no_drift_and_another_authors_is() -> None:
    everything = list(documents())
    known, same = [d for n, d in enumerate(everything) if n % 4], everything[::4]
    writing, signals = watch_writing(known, [*known, *same], hashed([*known, *same]), 1)
    assert (writing.documents, writing.known_documents) == (len(same), len(known))
    assert [s.name for s in signals] == ["topics", "vocabulary", "style"]
    assert not any(s.drifted for s in signals), [s.sentence for s in signals]
    others = new_pieces([t for texts in neighbours().values() for t in texts])
    _, signals = watch_writing(everything, [*everything, *others], hashed([*everything, *others]), 1)
    by_name = {s.name: s for s in signals}
    assert by_name["style"].drifted, [s.sentence for s in signals]
    assert by_name["style"].since == MONDAY
    assert "the persona now writes otherwise (style)" in by_name["style"].sentence


def test_few_new_pieces_are_counted_and_not_judged() -> None:
    known = list(documents())
    writing, [signal] = watch_writing(known, [*known, *new_pieces(["A. " * 50] * 4)], hashed([*known, *new_pieces(["A. " * 50] * 4)]), 1)  # fmt: skip
    assert (writing.documents, signal.drifted) == (4, False)
    assert "4 new pieces beside" in signal.sentence


def test_a_document_is_its_chunks_together() -> None:
    assert np.allclose(document_vectors({"d": [[1.0, 0.0], [0.0, 1.0]]})["d"], [0.7071, 0.7071], atol=1e-3)


def day_costs(*totals: float) -> list[ScoredRequest]:
    return [
        scored(d * 100 + i, d + i / 24, cost_usd=total / 10)
        for d, total in enumerate(totals)
        for i in range(10)
    ]


def cost(requests: Sequence[ScoredRequest], day: float) -> Signal:
    [signal] = watch_cost(requests, MONDAY + timedelta(days=day), 3.0, 1.0)
    return signal


def test_a_day_that_costs_far_more_is_told_with_its_reason() -> None:
    found = cost(day_costs(1, 1.2, 1, 0.9, 1, 1, 8), 6.9)
    assert found.drifted
    assert not found.rebuild
    assert found.since == MONDAY + timedelta(days=6)
    assert "$8.00 after $1.00 a day: a request costs 8.0 times what it did" in found.sentence
    many = day_costs(1, 1, 1, 1, 1, 1) + [scored(9000 + i, 6 + i / 100, cost_usd=0.1) for i in range(60)]
    assert "there are 60 requests" in cost(many, 6.9).sentence


def test_cents_and_first_days_are_no_cost_alarm_and_without_prices_there_is_no_signal() -> None:
    assert not cost(day_costs(0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.2), 6.9).drifted
    assert not cost(day_costs(1, 9), 1.9).drifted
    assert watch_cost([scored(1, 0, cost_usd=None)], MONDAY, 3.0, 1.0) == []


def test_a_week_begins_on_monday() -> None:
    assert week_start(MONDAY + timedelta(days=6, hours=23)) == MONDAY
    assert week_start(MONDAY) == MONDAY


def test_each_family_has_a_plot_also_with_nothing_in_it() -> None:
    requests = week(0, 100) + week(7, 60, supported=0.3)
    now = MONDAY + timedelta(days=14)
    signals = watch_requests(requests, now, "runa:one") + watch_cost(requests, now, 3.0, 1.0)
    report = drift_report(signals, len(requests), now, "runa:one")
    assert report.findings[0].startswith("answers are less supported")
    for family in ("persona", "traffic", "quality", "cost"):
        assert drift_plot(report.signals, family).startswith(b"\x89PNG")  # type: ignore[arg-type]
    assert DriftReport.model_validate_json(report.model_dump_json()) == report

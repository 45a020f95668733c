"""A judge that is fair, biased, unreadable, busy or dear: each shows for what it is."""

from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.evaluation_factories import run_evaluation, sentences_of, train
from tests.support.judge_double import JudgeDouble
from twin_assets.core.errors import TwinError
from twin_assets.evaluation.contest.judge import Judge, Pair, Verdicts, count_verdicts, read_verdict
from twin_assets.evaluation.evaluate import System
from twin_assets.settings import Settings

PAIRS = [
    Pair(request=f"tides {n}", ours="Late; and wet; again.", theirs="We leverage tides.") for n in range(5)
]


def judge(double: JudgeDouble, home: Path, **changes: Any) -> Judge:
    values: dict[str, Any] = {
        "home": home, "judge_model": "openai/some-judge", "judge_url": double.url, "judge_api_key": "very-secret",
        "judge_backoff": 0.01, "judge_timeout": 5.0,
    }  # fmt: skip
    return Judge(Settings(**values | changes), ["I was wrong; the mud was right."])


def compare(double: JudgeDouble, home: Path, **changes: Any) -> Verdicts:
    return judge(double, home, **changes).compare(PAIRS, "production", lambda line: None)


@pytest.mark.parametrize("habit", ["fair", "chatty"])
def test_a_fair_judge_agrees_with_itself_in_both_orders(tmp_path: Path, habit: str) -> None:
    with JudgeDouble(habit) as double:
        found = compare(double, tmp_path)
    assert (found.pairs, found.wins, found.losses, found.contradicted) == (5, 5, 0, 0)
    assert found.first_share == 0.5
    assert len(double.asked) == 10
    assert all("the mud was right" in prompt for prompt in double.asked)


def test_a_judge_that_prefers_the_first_text_wins_nothing_for_anybody(tmp_path: Path) -> None:
    with JudgeDouble("first") as double:
        found = compare(double, tmp_path)
    assert (found.wins, found.losses, found.contradicted, found.first_share) == (0, 0, 5, 1.0)


def test_verdicts_that_were_cut_off_are_said_with_their_fix_and_asked_for_again(tmp_path: Path) -> None:
    with JudgeDouble("thinker") as double:
        found = compare(double, tmp_path)
        assert (found.unanswered, found.unreadable) == (5, 0)
        assert found.note is not None
        assert "10 verdicts were cut off at 60 tokens" in found.note
        assert "TWIN_JUDGE_MAX_TOKENS" in found.note
        double.habit = "fair"
        assert compare(double, tmp_path).wins == 5


def test_unreadable_verdicts_are_counted_apart_and_are_no_loss(tmp_path: Path) -> None:
    with JudgeDouble("garbage") as double:
        found = compare(double, tmp_path)
    assert (found.unreadable, found.wins, found.losses, found.first_share) == (5, 0, 0, None)


def test_a_busy_judge_is_asked_again_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    with JudgeDouble("tie", busy=2) as double:
        prices = {"judge_price_in": 1.0, "judge_price_out": 1.0}
        first = compare(double, tmp_path, **prices)
        asked = len(double.asked)
        again = compare(double, tmp_path, **prices)
    assert (first.ties, first.unanswered, asked) == (5, 0, 12)
    assert first.cost == pytest.approx(10 * 1_010 / 1e6)
    assert (again.ties, again.cost, len(double.asked)) == (5, 0.0, asked)


def test_a_judge_that_never_answers_leaves_its_pairs_open(tmp_path: Path) -> None:
    with JudgeDouble("fair", busy=10_000) as double:
        found = judge(double, tmp_path, judge_backoff=0.001).compare(
            PAIRS[:1], "production", lambda line: None
        )
    assert (found.unanswered, found.wins) == (1, 0)


def test_ones_own_server_needs_no_key(tmp_path: Path) -> None:
    with JudgeDouble() as double:
        assert compare(double, tmp_path, judge_api_key=None).wins == 5


def test_over_its_budget_nothing_is_asked_and_the_key_is_not_named(tmp_path: Path) -> None:
    with JudgeDouble() as double, pytest.raises(TwinError, match="TWIN_JUDGE_BUDGET_USD") as error:
        compare(double, tmp_path, judge_price_in=1e6, judge_price_out=1e6)
    assert double.asked == []
    assert "very-secret" not in str(error.value)
    with pytest.raises(TwinError, match="TWIN_JUDGE_MODEL"):
        Judge(Settings(home=tmp_path), [])


def test_verdicts_are_read_strictly() -> None:
    assert read_verdict('{"winner": "a"}') == "A"
    assert read_verdict('{"winner": "tie"}') == "tie"
    for unreadable in (
        "A",
        '{"winner": "C"}',
        '{"winner": 1}',
        '{"winner": "A"} or {"winner": "B"}',
        "",
        "{broken",
    ):
        assert read_verdict(unreadable) is None
    mixed = count_verdicts(
        "j", "r", [('{"winner":"B"}', '{"winner":"A"}'), ('{"winner":"tie"}', '{"winner":"A"}'), (None, "x")]
    )
    assert (mixed.losses, mixed.contradicted, mixed.unanswered) == (1, 1, 1)


def test_an_evaluation_asks_the_judge_and_survives_its_failure(tmp_path: Path) -> None:
    write = sentences_of([d.voice_text for d in train()])
    systems = {
        "candidate": System("a", write, "twin"), "base+prompt+retrieval": System("b", write, "baseline"),
    }  # fmt: skip
    with JudgeDouble() as double:
        [found] = run_evaluation(systems, judge=judge(double, tmp_path)).verdicts
        dear = judge(double, tmp_path / "dear", judge_price_in=1e6, judge_price_out=1e6)
        [failed] = run_evaluation(systems, judge=dear).verdicts
    assert (found.rival, found.pairs) == ("base+prompt+retrieval", 12)
    assert found.pairs == found.wins + found.losses + found.ties + found.contradicted
    assert failed.pairs == 0
    assert "budget" in (failed.note or "")

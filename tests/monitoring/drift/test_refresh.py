"""When a rebuild is asked for, why, for how much, and how often a persona is crawled."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.drift.drift_factories import MONDAY
from twin_assets.core.storage.experiments import ExperimentRow
from twin_assets.core.storage.lake import LocalLake
from twin_assets.monitoring.drift.refresh import (
    Ask,
    Verdict,
    ask,
    asks,
    crawl_interval,
    estimate_cost,
    judge_refresh,
)
from twin_assets.monitoring.drift.report import DriftReport, NewWriting, Signal, drift_report
from twin_assets.settings import Settings

SETTINGS = Settings.model_validate({})


def report(drifted: bool = False, rebuild: bool = True, words: int = 0, days: float = 1) -> DriftReport:
    signal = Signal(
        name="topics", family="persona", drifted=drifted, rebuild=rebuild, sentence="other topics"
    )
    writing = NewWriting(documents=words // 100, words=words, known_documents=40, known_words=10_000)
    return drift_report([signal], 0, MONDAY + timedelta(days=days), "m:1", writing)


def judge(found: DriftReport | None, days: float = 2, last: Ask | None = None, **settings: float) -> Verdict:
    now = MONDAY + timedelta(days=days)
    return judge_refresh(SETTINGS.model_copy(update=settings), found, MONDAY, last, now)


def test_drift_new_writing_and_age_are_reasons_and_nothing_else_is() -> None:
    assert not judge(report()).rebuild
    assert judge(report(drifted=True)).reasons == ["other topics"]
    assert not judge(report(drifted=True, rebuild=False)).rebuild
    assert judge(report(words=1200)).reasons == ["12 new pieces, 1,200 words: 12% of what it was trained on"]
    assert not judge(report(words=900)).rebuild
    assert judge(None, days=91).reasons == ["the model is 91 days old"]
    assert not judge(None, days=91, refresh_age_days=0).rebuild
    assert judge(report()).sentence == "no reason for a rebuild"


def test_a_report_older_than_the_model_and_a_twin_without_production_ask_for_nothing() -> None:
    assert not judge(report(drifted=True, days=-1)).rebuild
    assert judge_refresh(SETTINGS, report(drifted=True), None, None, MONDAY).sentence == "nothing is in production"  # fmt: skip


def test_after_asking_the_next_waits_and_says_until_when(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    first = ask(lake, "runa", "m:1", judge(report(drifted=True)), "about 1 h", MONDAY + timedelta(days=2))
    assert first is not None
    assert (first.number, first.run_key, asks(lake, "runa")) == (1, "runa:refresh:1", [first])
    held = judge(report(drifted=True), 3, first)
    assert not held.rebuild
    assert "the next waits until 2026-03-11 00:00 UTC (TWIN_REFRESH_COOLDOWN_DAYS=7)" in held.sentence
    assert judge(report(drifted=True), 9, first).rebuild
    second = ask(lake, "runa", "m:1", judge(report(drifted=True), 9, first), "?", MONDAY + timedelta(days=9))
    assert second is not None
    assert second.number == 2


def run(stage: str, **changes: Any) -> ExperimentRow:
    given: dict[str, Any] = {
        "run_id": stage, "tag": None, "persona": "runa", "stage": stage, "profile": "nano", "parent": None, "datasets": {},
        "config_hash": "c", "hyperparameters": {}, "code_version": "1", "seed": 1, "metrics": {}, "rows": 1, "tokens": 1,
        "seconds": 1800.0, "cost_usd": 1.5, "host": "h", "status": "finished", "started_at": MONDAY,
    }  # fmt: skip
    return ExperimentRow(**given | changes)


def test_the_cost_is_that_of_the_last_runs_for_the_data_there_is_now() -> None:
    old = run("sft", seconds=9e9, started_at=MONDAY - timedelta(days=9))
    runs = [
        old,
        run("sft"),
        run("dpo"),
        run("dpo", status="failed", seconds=9e9),
        run("sft", study="s", seconds=9e9),
    ]
    assert estimate_cost(runs, 1.0) == "about 1.0 h of training, $3.00, by dpo and sft last time"
    assert estimate_cost(runs, 1.2) == "about 1.2 h of training, $3.60, by dpo and sft last time for 1.20 times the data"  # fmt: skip
    assert "12 min of training, no price is set" in estimate_cost(
        [run("sft", seconds=720.0, cost_usd=None)], 1
    )
    later = run("grpo", started_at=MONDAY + timedelta(days=1))
    assert "$3.00, by grpo and sft last time" in estimate_cost([*runs, later], 1.0), "one second stage alone"
    assert estimate_cost([], 1.0).startswith("unknown")


@pytest.mark.parametrize(("every", "expected"), [(0.5, 1.0), (7, 3.2), (60, 14.0)])
def test_crawling_follows_the_rhythm_of_writing(every: float, expected: float) -> None:
    published = [MONDAY - timedelta(days=every * n) for n in range(int(400 / every))]
    assert crawl_interval(published, MONDAY) == pytest.approx(timedelta(days=expected), rel=0.05)


def test_a_beginner_is_crawled_daily_and_a_pause_is_noticed_slowly() -> None:
    none: list[datetime] = []
    assert crawl_interval(none, MONDAY) == timedelta(days=1)
    assert crawl_interval([MONDAY - timedelta(days=3)], MONDAY) <= timedelta(days=2)
    weekly = [MONDAY - timedelta(days=30 + 7 * n) for n in range(50)]
    assert timedelta(days=4) < crawl_interval(weekly, MONDAY) < timedelta(days=7)

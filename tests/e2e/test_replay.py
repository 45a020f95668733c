"""Three weeks of production through the real path: the planted troubles are told, no others, and one rebuild asked for."""

from collections import defaultdict
from pathlib import Path

import pytest

from demo.replay import replay_in
from demo.replay_traffic import (
    ANSWERS_A_DAY,
    BAD_FROM,
    BAD_UNTIL,
    COST_SPIKE,
    DAYS,
    DRIFT_FROM,
    WRITES_OTHERWISE,
    WRITINGS_A_DAY,
)
from tests.monitoring.alerts.alert_doubles import HookDouble
from tests.support.machine import roomy_disk
from twin_assets.monitoring.report.page import report_key

pytestmark = pytest.mark.e2e

WRITING = ("topics", "vocabulary", "style")
TRAFFIC = {"outside the corpus", "prompts", "retrieval"}


def test_the_planted_troubles_are_told_and_no_others_and_one_rebuild_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy_disk(monkeypatch)
    with HookDouble() as hook, replay_in(tmp_path, alert_webhook_url=f"{hook.address}/alerts") as replay:
        days = replay.run()
        sent, marts = hook.posted, replay.marts()
        page = replay.platform.lake.read(report_key("runa")).decode()
    opened: dict[str, list[int]] = defaultdict(list)
    closed: dict[str, list[int]] = defaultdict(list)
    for seen in days:
        for alert in seen.message.opened if seen.message else []:
            opened[alert.name].append(seen.day)
        for alert in seen.message.closed if seen.message else []:
            closed[alert.name].append(seen.day)
    told = dict(opened)
    assert told.pop("cost") == [COST_SPIKE]
    assert closed["cost"] == [COST_SPIKE + 2], "yesterday's cost is told of until the day is over"
    for name in ("voice", "grounding"):
        [first] = told.pop(name)
        assert BAD_FROM <= first < BAD_UNTIL
        assert closed[name] == [BAD_UNTIL], "taken back"
    writing = [told.pop(name, []) for name in WRITING]
    assert [day for days in writing for day in days] == [WRITES_OTHERWISE] * sum(map(bool, writing))
    assert any(writing)
    assert "outside the corpus" in told
    assert set(told) <= TRAFFIC, told
    assert all(len(days) == 1 and days[0] in range(DRIFT_FROM, DRIFT_FROM + 4) for days in told.values()), told  # fmt: skip
    rebuilds = [(seen.day, key) for seen in days for key in seen.rebuilds]
    assert [key for _, key in rebuilds] == ["runa:refresh:1"]
    assert DRIFT_FROM <= rebuilds[0][0] < WRITES_OTHERWISE, (
        "and none more for the writing, within the cooldown"
    )
    assert len(sent) == sum(bool(seen.message and seen.message.told) for seen in days)
    assert all(len([m for m in sent if m["at"] == message["at"]]) == 1 for message in sent), (
        "one message a look"
    )
    [newest] = marts["requests"]
    assert (newest["persona"], newest["is_scored"]) == ("runa", True)
    states = {row["model"]: (row["state"], row["is_production"]) for row in marts["releases"]}
    assert sorted(states.values()) == [("deployed", False), ("deployed", True), ("rolled_back", False)]
    assert sum(row["requests"] for row in marts["releases"]) == DAYS * (ANSWERS_A_DAY + WRITINGS_A_DAY)
    assert "alerts stand" in page
    assert page.count("data:image/png") >= 5

"""Nothing is started for a person who is paused, but what was promised and what they or others decide; the others go on, and so
do they later."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.defs.test_automation import STEPS, Pipeline
from tests.defs.test_sensors_of_many import tick
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.marks import PAUSED, pause
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources

BOTH = ["ola", "runa"]
SENTENCE = "runa: paused since "


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(
        "TWIN_HOME", str(tmp_path / "home")
    )  # a condition of automation has no other way to know
    return tmp_path / "home"


@pytest.fixture
def lake(home: Path) -> LocalLake:
    lake = LocalLake(home / "lake")
    pause(lake, "runa", "Ines (system user ines)", "on leave\nuntil May")
    return lake


@pytest.fixture
def instance(local_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    local_instance.add_dynamic_partitions("personas", BOTH)
    for persona in BOTH:
        for asset in ("instruct_dataset", "dpo_model"):
            told = dg.AssetMaterialization(
                asset, partition=persona, tags={"dagster/data_version": f"{asset}:1"}
            )
            local_instance.report_runless_asset_event(told)
    return local_instance


def scheduled(instance: dg.DagsterInstance, name: str, home: Path) -> Any:
    repository = defs.get_repository_def()
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC),
            resources={"platform": build_resources({"home": str(home)})["platform"]}, repository_def=repository,
        ) as context,
    ):  # fmt: skip
        return repository.get_schedule_def(name).evaluate_tick(context)


@pytest.mark.parametrize("name", ["train_on_new_dataset", "evaluate_new_candidate"])
def test_a_sensor_starts_nothing_for_them_and_does_when_they_go_on(
    instance: dg.DagsterInstance, home: Path, lake: LocalLake, name: str
) -> None:
    first = tick(instance, name, home, None)
    assert [request.partition_key for request in first.run_requests] == ["ola"]
    PAUSED.take(lake, "runa")
    again = tick(instance, name, home, first.cursor)
    assert [request.partition_key for request in again.run_requests] == ["runa"]


@pytest.mark.parametrize("name", ["rebuild_when_due", "send_alerts"])
def test_what_is_told_of_them_is_that_they_are_paused(
    instance: dg.DagsterInstance, home: Path, lake: LocalLake, name: str
) -> None:
    said = tick(instance, name, home, None).skip_message
    assert f"{SENTENCE}{PAUSED.all(lake)['runa'].at:%Y-%m-%d}" in said
    assert "by Ines (system user ines): on leave until May" in said
    assert "ola: paused" not in said


def test_they_are_not_crawled_and_of_monitoring_only_what_was_promised_of_texts_is_done(
    instance: dg.DagsterInstance, home: Path, lake: LocalLake
) -> None:
    assert [r.partition_key for r in scheduled(instance, "collect_daily", home).run_requests] == ["ola"]
    runs = scheduled(instance, "monitor_hourly", home).run_requests
    assert {r.partition_key: r.asset_selection for r in runs} == {
        "ola": None,
        "runa": [dg.AssetKey("scored_requests")],
    }
    pause(lake, "ola", "Ines", "")
    told = scheduled(instance, "collect_daily", home)
    assert not told.run_requests
    assert "ola: paused since" in told.skip_message


def test_what_a_person_approved_is_deployed_and_what_nobody_did_is_not(
    instance: dg.DagsterInstance, home: Path, lake: LocalLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_AUTO_APPROVE", "true")
    monkeypatch.setenv("TWIN_RELEASE_PLUMBING", "true")
    for persona in BOTH:
        ledger = Ledger(lake, persona)
        ledger.append("m:1", "proposed", "pipeline", "new")
        ledger.append("m:1", "evaluated", "pipeline", "fine", passed=True)
    first = tick(instance, "deploy_approved", home, None)
    assert [request.partition_key for request in first.run_requests] == ["ola"]
    Ledger(lake, "runa").append("m:1", "approved", "Ines", "sounds like her")
    again = tick(instance, "deploy_approved", home, first.cursor)
    assert "runa" in [request.partition_key for request in again.run_requests]


def test_automation_carries_nothing_forward_for_them_and_what_came_meanwhile_once_they_go_on(home: Path) -> None:  # fmt: skip
    lake, pipeline = LocalLake(home / "lake"), Pipeline()
    for assets in STEPS:
        pipeline.report(assets, "v1")
    pipeline.asked()
    pause(lake, "runa", "Ines", "")
    pipeline.report({"raw_medium"}, "v2")
    assert pipeline.asked() == set()
    assert pipeline.asked() == set()
    pause(lake, "ola", "Ines", "")
    PAUSED.take(lake, "runa")
    assert "stg_documents" in pipeline.asked()


def test_dagster_evaluates_the_condition_where_it_knows_it(home: Path, lake: LocalLake) -> None:
    """As its daemon does: in the process that has our code, with a cursor from tick to tick."""
    sensor = defs.get_repository_def().get_sensor_def("carry_features_forward")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", BOTH)
        cursor, asked = None, list[str]()
        for turn in range(2):
            for persona in BOTH if turn else ():
                told = dg.AssetMaterialization(
                    "raw_medium", partition=persona, tags={"dagster/data_version": "1"}
                )
                instance.report_runless_asset_event(told)
            with dg.build_sensor_context(
                instance=instance, cursor=cursor, repository_def=defs.get_repository_def()
            ) as context:
                done = sensor.evaluate_tick(context)
            cursor = done.cursor
            asked += [request.partition_key for request in done.run_requests or ()]
    assert asked == ["ola"]


def test_a_damaged_mark_lets_nothing_start_and_says_so(
    instance: dg.DagsterInstance, home: Path, lake: LocalLake
) -> None:
    lake.write(PAUSED.key, b"{")
    with pytest.raises(Exception, match="damaged, so nobody knows whom it names"):
        tick(instance, "train_on_new_dataset", home, None)

"""A person whose quota is used up has nothing started by itself until there is room again; the others go on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.defs.test_automation import STEPS, Pipeline
from tests.defs.test_graph import report_dataset
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.persona.quotas import room_again
from twin_assets.core.release.marks import HELD
from twin_assets.core.storage.experiments import ExperimentRow, write_experiment
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import build_resources
from twin_assets.settings import Settings

NOW = datetime.now(UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWIN_PERSONAS_DIR", str(tmp_path / "personas"))
    (tmp_path / "personas").mkdir()
    return Settings(home=tmp_path / "home", personas_dir=tmp_path / "personas")


@pytest.fixture
def lake(settings: Settings) -> LocalLake:
    return LocalLake(settings.home / "lake")


def declare(settings: Settings, name: str, **quotas: float) -> None:
    save_persona(settings.personas_dir, {
        "name": name, "full_name": name.title(), "license": "MIT", "about": "Keeps the boats' data.",
        "web": {"pages": ["https://runa.example/ferries"]}, "quotas": quotas,
    })  # fmt: skip


def tick(instance: dg.DagsterInstance, settings: Settings, name: str) -> Any:
    repository = defs.get_repository_def()
    given = {"home": str(settings.home), "personas_dir": str(settings.personas_dir)}
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(
            instance=instance, resources={"platform": build_resources(given)["platform"]}, repository_def=repository
        ) as context,
    ):  # fmt: skip
        return repository.get_sensor_def(name).evaluate_tick(context)


def ran(instance: dg.DagsterInstance, persona: str, job: str = "collect", **tags: str) -> None:
    @dg.job(name=job)
    def done() -> None: ...

    about = {"dagster/partition": persona, **{f"dagster/{name}": value for name, value in tags.items()}}
    instance.create_run_for_job(done, tags=about, status=dg.DagsterRunStatus.SUCCESS)


def trained(lake: LocalLake, persona: str, days_ago: float, hours: float, dollars: float | None) -> None:
    write_experiment(lake, ExperimentRow(
        run_id=f"{days_ago}", tag=None, persona=persona, stage="sft", profile="nano", parent=None, datasets={}, config_hash="c",
        hyperparameters={}, code_version="1", seed=1, metrics={}, rows=1, tokens=1, seconds=3600 * hours, cost_usd=dollars, host="h",
        status="finished", started_at=NOW - timedelta(days=days_ago),
    ))  # fmt: skip


def test_there_is_room_again_when_enough_of_what_was_spent_is_out_of_the_window() -> None:
    day = timedelta(days=1)
    spent = [(NOW - timedelta(hours=h), 1.0) for h in (30, 20, 10, 5)]
    assert room_again(spent, 4, day, NOW) == (3.0, None)
    assert room_again(spent, 3, day, NOW) == (3.0, NOW + timedelta(hours=4))
    assert room_again(spent, 2, day, NOW) == (3.0, NOW + timedelta(hours=14))
    assert room_again([], 0, day, NOW) == (0, NOW + day)


def test_hours_of_training_hold_back_training_of_one_and_an_alert_is_told_of_it_once(
    instance: dg.DagsterInstance, settings: Settings, lake: LocalLake
) -> None:
    declare(settings, "ola")
    declare(settings, "runa", training_hours_a_month=10)
    trained(lake, "runa", 12, 7.5, None)
    trained(lake, "runa", 40, 90, None)  # of the month before
    for persona in ("ola", "runa"):
        report_dataset(instance, persona, "1")
    started = tick(instance, settings, "train_on_new_dataset").run_requests
    assert [request.partition_key for request in started] == ["ola", "runa"]
    trained(lake, "runa", 2, 3, None)
    started = tick(instance, settings, "train_on_new_dataset").run_requests
    assert [request.partition_key for request in started] == ["ola"]
    held = HELD.all(lake)["runa"]
    assert held.used == "10.5 hours of training of 10 in 30 days"
    assert abs(held.until - (NOW + timedelta(days=18))) < timedelta(minutes=1)
    # What isn't training goes on.
    assert held_by_quota(settings, lake, instance, "runa", trains=False) is None
    assert "runa" in HELD.all(lake)
    said = [tick(instance, settings, "send_alerts").skip_message for _ in range(2)]
    assert "runa: open: quota:training_hours_a_month; message 1" in said[0]
    assert "runa: open: quota:training_hours_a_month; nothing new" in said[1]
    declare(settings, "runa", training_hours_a_month=20)
    started = tick(instance, settings, "train_on_new_dataset").run_requests
    assert [request.partition_key for request in started] == ["ola", "runa"]
    assert "runa" not in HELD.all(lake)
    assert "runa: open: none" in tick(instance, settings, "send_alerts").skip_message


def test_runs_of_a_day_are_those_that_started_by_themselves(
    instance: dg.DagsterInstance, settings: Settings, lake: LocalLake
) -> None:
    declare(settings, "runa", runs_a_day=2)
    ran(instance, "runa", schedule_name="collect_daily")
    ran(instance, "runa")  # by hand
    ran(instance, "runa", job="monitor", schedule_name="monitor_hourly")
    ran(instance, "ola", schedule_name="collect_daily")
    assert held_by_quota(settings, lake, instance, "runa", trains=False) is None
    ran(instance, "runa", from_automation_condition="true")
    held = held_by_quota(settings, lake, instance, "runa", trains=False)
    assert held is not None
    assert held.used == "2 runs of 2 in 24 hours"
    assert held.sentence.startswith("2 runs of 2 in 24 hours (quota runs_a_day); there is room again at ")
    assert held_by_quota(settings, lake, instance, "ola", trains=False) is None


def test_dollars_are_those_of_trainings_and_of_teachers_by_the_platform_s_default(
    instance: dg.DagsterInstance, settings: Settings, lake: LocalLake
) -> None:
    declare(settings, "runa")
    settings = settings.model_copy(update={"quota_dollars_a_month": 5.0})
    trained(lake, "runa", 3, 1, 3.5)
    assert held_by_quota(settings, lake, instance, "runa", trains=False) is None
    told = dg.AssetMaterialization("instruct_dataset", partition="runa", metadata={"teacher": {"cost": 1.75}})
    instance.report_runless_asset_event(told)
    held = held_by_quota(settings, lake, instance, "runa", trains=False)
    assert held is not None
    assert held.used == "5.25 dollars of 5 in 30 days"
    declare(settings, "runa", dollars_a_month=6)
    assert held_by_quota(settings, lake, instance, "runa", trains=False) is None
    (settings.personas_dir / "runa.yaml").write_text(
        "name: ["
    )  # the platform's hold where theirs can't be read
    assert held_by_quota(settings, lake, instance, "runa", trains=False) is not None


def test_automation_waits_until_there_is_room(settings: Settings, lake: LocalLake) -> None:
    declare(settings, "runa", dollars_a_month=1)
    pipeline = Pipeline()
    for assets in STEPS:
        pipeline.report(assets, "v1")
    pipeline.asked()
    trained(lake, "runa", 1, 1, 2.0)
    pipeline.report({"raw_medium"}, "v2")
    assert pipeline.asked() == set()
    declare(settings, "runa", dollars_a_month=3)
    assert "stg_documents" in pipeline.asked()

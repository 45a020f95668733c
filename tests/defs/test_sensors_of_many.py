"""What the sensors ask Dagster of a hundred personas with whom nothing is new: no more than of a few."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources

MANY = [f"p{n:03d}" for n in range(100)]
SENSORS = (
    "train_on_new_dataset", "evaluate_new_candidate", "deploy_approved", "rebuild_when_due", "send_alerts", "watch_releases",
)  # fmt: skip
QUERIES = (
    "fetch_materializations", "get_event_records", "get_records_for_run", "get_asset_records", "get_latest_storage_id_by_partition",
)  # fmt: skip


@pytest.fixture
def instance(local_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    local_instance.add_dynamic_partitions("personas", MANY)
    for asset in ("instruct_dataset", "drift_report", "raw_web"):
        for persona in MANY[:3]:
            told = dg.AssetMaterialization(asset, partition=persona, tags={"dagster/data_version": "1"})
            local_instance.report_runless_asset_event(told)
    return local_instance


def tick(instance: dg.DagsterInstance, name: str, home: Path, cursor: str | None) -> Any:
    repository = defs.get_repository_def()
    platform = build_resources({"home": str(home)})["platform"]
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"platform": platform}, repository_def=repository
        ) as context,
    ):
        return repository.get_sensor_def(name).evaluate_tick(context)


@pytest.mark.parametrize("name", SENSORS)
def test_a_tick_at_rest_asks_by_asset_and_not_by_persona(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first = tick(instance, name, tmp_path / "home", None)
    storage, asked = instance.event_log_storage, list[str]()

    def counted(query: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **given: Any) -> Any:
            asked.append(query)
            return plain(*args, **given)

        return ask

    for query in QUERIES:
        monkeypatch.setattr(storage, query, counted(query, getattr(storage, query)))
    again = tick(instance, name, tmp_path / "home", first.cursor)
    assert len(asked) <= 30, asked
    told, named = again.skip_message, re.findall(r"p\d{3}", again.skip_message)
    others = sum(int(n) for n in re.findall(r"and (\d+) more: ", told))
    assert len(set(named)) + others == len(MANY), told
    assert len(told) < 300


def test_news_of_one_persona_starts_its_run_though_nothing_is_new_with_another(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Dagster takes runs or a reason for none, and fails a tick that gives both."""
    home = tmp_path / "home"
    ledger = Ledger(LocalLake(home / "lake"), "p001")
    ledger.append("m:1", "proposed", "pipeline", "new")
    ledger.append("m:1", "evaluated", "pipeline", "fine", passed=True)
    ledger.append("m:1", "approved", "Ines", "sounds like her")
    told = dg.AssetMaterialization("dpo_model", partition="p002", tags={"dagster/data_version": "m:2"})
    instance.report_runless_asset_event(told)
    asked = {name: tick(instance, name, home, None).run_requests for name in SENSORS[:3]}
    assert {name: [r.run_key for r in requests] for name, requests in asked.items()} == {
        "train_on_new_dataset": ["p000:1", "p001:1", "p002:1"],
        "evaluate_new_candidate": ["p002:m:2"],
        "deploy_approved": ["p001:3"],
    }


@pytest.mark.parametrize(("name", "asked"), [("collect_daily", MANY[3:]), ("monitor_hourly", MANY)])
def test_a_schedule_starts_the_runs_of_many(
    instance: dg.DagsterInstance, tmp_path: Path, name: str, asked: list[str]
) -> None:
    """Of those whose time has come: three were crawled just now."""
    repository = defs.get_repository_def()
    platform = build_resources({"home": str(tmp_path / "home")})["platform"]
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC), resources={"platform": platform},
            repository_def=repository,
        ) as context,
    ):  # fmt: skip
        runs = repository.get_schedule_def(name).evaluate_tick(context).run_requests
    assert runs is not None
    assert [r.partition_key for r in runs] == asked
    assert len({r.run_key for r in runs}) == len(asked)

"""Dagster's own settings: written once, and brought up to date only where they are ours."""

import os
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

from twin_assets.core.storage.dagster_home import INSTANCE, STORAGE, ensure_dagster_home
from twin_assets.settings import Settings

BEFORE_RETRIES = {
    n: v for n, v in INSTANCE.items() if n in ("telemetry", "nux", "run_coordinator", "concurrency")
}
BEFORE_CALLERS = {n: v for n, v in BEFORE_RETRIES.items() if n != "run_coordinator"}


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (None, False),
        (BEFORE_CALLERS, False),
        (BEFORE_RETRIES, False),
        (BEFORE_RETRIES | {"telemetry": {"enabled": True}}, True),
        ({}, True),
    ],
)
def test_settings_are_written_unless_somebody_else_wrote_some(
    tmp_path: Path, there: dict | None, kept: bool
) -> None:
    settings = Settings(home=tmp_path)
    path = settings.dagster_home / "dagster.yaml"
    if there is not None:
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(there))
    ensure_dagster_home(settings)
    assert yaml.safe_load(path.read_text()) == (there if kept else INSTANCE)


@pytest.mark.parametrize("there", [None, INSTANCE, BEFORE_RETRIES, INSTANCE | STORAGE])
def test_a_database_comes_into_settings_that_are_ours_and_goes_again(
    tmp_path: Path, there: dict | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWIN_DATABASE_URL", raising=False)
    url = "postgresql://twin:secret@127.0.0.1:1/twin"
    settings = Settings(home=tmp_path, database_url=url)
    path = settings.dagster_home / "dagster.yaml"
    if there is not None:
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(there))
    ensure_dagster_home(settings)
    assert yaml.safe_load(path.read_text()) == INSTANCE | STORAGE
    assert "secret" not in path.read_text()
    assert os.environ.pop("TWIN_DATABASE_URL") == url  # Dagster reads no `.env`
    ensure_dagster_home(Settings(home=tmp_path))
    assert yaml.safe_load(path.read_text()) == INSTANCE


def test_dagster_reads_them_and_starts_a_killed_run_once_more(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    ensure_dagster_home(settings)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert instance.run_monitoring_enabled
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        sensors = instance.get_tick_retention_settings(InstigatorType.SENSOR)
        assert sensors[TickStatus.SKIPPED] == 2

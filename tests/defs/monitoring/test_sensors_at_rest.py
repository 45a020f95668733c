"""What the sensors of refresh and alerts ask of a lake on S3 while nothing happens, and that they miss nothing for it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.monitoring.alerts.alert_doubles import HookDouble
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, s3_client, s3_server
from twin_assets.core.release import known, marks
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.monitoring.drift.report import DriftReport, NewWriting, Signal, drift_report
from twin_assets.settings import Settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PERSONAS = [f"p{n:02d}" for n in range(6)]


class Daemon:
    """Dagster's, as far as it has to do with a sensor: it keeps the cursor of a tick that ended well."""

    def __init__(self, instance: dg.DagsterInstance, settings: dict[str, Any]) -> None:
        self.instance, self.settings, self.cursors = instance, settings, dict[str, str | None]()

    def tick(self, name: str, now: datetime) -> Any:
        platform = build_resources(self.settings | {"replay_now": now.isoformat()})["platform"]
        repository = defs.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(name), resources={"platform": platform},
            repository_def=repository,
        ) as context:  # fmt: skip
            done = repository.get_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = done.cursor
        return done


@pytest.fixture(scope="module")
def line() -> Iterator[BadLine]:
    with s3_server() as url, BadLine(url) as line:
        s3_client(url).create_bucket(Bucket="lake")
        yield line


@pytest.fixture
def daemon(line: BadLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    for looked in (known, marks):  # whose own looks, one object each, are not what is counted
        monkeypatch.setattr(looked, "LOOK_SECONDS", 3600.0)
    monkeypatch.setenv("TWIN_S3_ENDPOINT_URL", line.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS_OF_A_STRANGER["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS_OF_A_STRANGER["aws_secret_access_key"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = {
        "home": str(tmp_path / "home"),
        "lake_url": f"s3://lake/{tmp_path.name}",
        "s3_endpoint_url": line.url,
    }
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        instance.add_dynamic_partitions("personas", PERSONAS)
        yield Daemon(instance, settings)


def report(daemon: Daemon, persona: str, drifted: bool, version: str) -> None:
    """A drift report as its asset stores and tells it."""
    signal = Signal(name="topics", family="persona", drifted=drifted, sentence="other topics", since=NOW)
    found = drift_report([signal], 9, NOW, "m", NewWriting(documents=5, words=500, known_words=10_000))
    lake = open_lake(Settings.model_validate(daemon.settings))
    FeatureStore(lake).write("drift_report", persona, found, DriftReport)
    told = dg.AssetMaterialization("drift_report", partition=persona, tags={"dagster/data_version": version})
    daemon.instance.report_runless_asset_event(told)


def test_at_rest_an_hour_costs_little_whatever_the_number_of_personas(daemon: Daemon, line: BadLine) -> None:
    report(daemon, "p00", True, "1")
    report(daemon, "p01", False, "1")
    names = ("rebuild_when_due", "send_alerts")
    with HookDouble() as hook:
        daemon.settings["alert_webhook_url"] = hook.address
        for minute in range(2):
            for name in names:
                daemon.tick(name, NOW + timedelta(minutes=minute))
        line.asked.clear()
        for minute in (2, 10, 20):
            said = [daemon.tick(name, NOW + timedelta(minutes=minute)).skip_message for name in names]
        assert not line.asked
        for minute in (30, 31, 60, 61):  # one persona in its turn, twice
            said = [daemon.tick(name, NOW + timedelta(minutes=minute)).skip_message for name in names]
    assert 0 < sum(line.asked.values()) <= 40, line.asked
    assert said[0] == "p00, p01, p02 and 3 more: nothing is in production"
    assert "p00: open: topics; nothing new" in said[1]
    assert "p01: open: none; nothing new" in said[1]
    assert len(hook.posted) == 1


def test_what_happens_is_seen_at_the_next_tick_and_what_nobody_tells_in_its_turn(daemon: Daemon) -> None:
    report(daemon, "p03", False, "1")
    daemon.tick("send_alerts", NOW)
    with HookDouble() as hook:
        daemon.settings["alert_webhook_url"] = hook.address
        report(daemon, "p03", True, "2")
        assert (
            "p03: open: topics; message 1"
            in daemon.tick("send_alerts", NOW + timedelta(minutes=1)).skip_message
        )
        nothing = [daemon.tick("send_alerts", NOW + timedelta(hours=h)).skip_message for h in (1, 23)]
        assert all("p03: open: topics; nothing new" in said for said in nothing)
        assert "message 2" in daemon.tick("send_alerts", NOW + timedelta(hours=24)).skip_message
        # Another platform's daemon made a report: nobody tells this one.
        hours = NOW + timedelta(hours=24)
        FeatureStore(open_lake(Settings.model_validate(daemon.settings))).write(
            "drift_report", "p03", drift_report([], 9, NOW, "m", NewWriting(documents=0, words=0, known_words=1)), DriftReport,
        )  # fmt: skip
        ticks = [
            daemon.tick("send_alerts", hours + timedelta(minutes=30 * n + 1)).skip_message
            for n in range(len(PERSONAS) + 1)
        ]
        assert any("p03: open: none; message 3" in said for said in ticks)
        assert [len(m["closed"]) for m in hook.posted] == [0, 0, 1]


def test_a_channel_that_fails_is_tried_at_each_tick(daemon: Daemon) -> None:
    daemon.settings["alert_webhook_url"] = "http://127.0.0.1:9/closed"
    report(daemon, "p05", True, "1")
    for minute in range(3):
        assert (
            "webhook can't be reached"
            in daemon.tick("send_alerts", NOW + timedelta(minutes=minute)).skip_message
        )
    with HookDouble() as hook:
        daemon.settings["alert_webhook_url"] = hook.address
        daemon.tick("send_alerts", NOW + timedelta(minutes=3))
        assert len(hook.posted) == 1

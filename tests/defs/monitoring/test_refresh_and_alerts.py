"""The sensors that ask for rebuilds and send alerts, and the schedule of crawling, on a real instance."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.monitoring.alerts.alert_doubles import HookDouble
from tests.support.models import lineage, save
from tests.support.releases import Office
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.monitoring.drift.refresh import asks
from twin_assets.monitoring.drift.report import DriftReport, NewWriting, Signal, drift_report

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def instance(local_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    local_instance.add_dynamic_partitions("personas", ["runa"])
    return local_instance


def tick(instance: dg.DagsterInstance, name: str, home: Path, now: datetime = NOW, **overrides: Any) -> Any:
    platform = build_resources({"home": str(home), "replay_now": now.isoformat()} | overrides)["platform"]
    repository = defs.get_repository_def()
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(
            instance=instance, resources={"platform": platform}, repository_def=repository
        ) as context,
    ):
        return repository.get_sensor_def(name).evaluate_tick(context)


def in_production(home: Path, days_old: float = 3) -> Office:
    """A model made so long before NOW, approved and deployed."""
    office = Office(home)
    made = (NOW - timedelta(days=days_old) - datetime(2025, 1, 1, tzinfo=UTC)).days
    office.ready = [save(office.registry, home / "weights", lineage("dpo", number=9), days=made).tag]
    office.release()
    return office


def reported(office: Office, drifted: bool = True, at: datetime = NOW) -> DriftReport:
    topics = Signal(
        name="topics", family="persona", drifted=drifted, sentence="the persona now writes otherwise (topics)",
        before=0.01, after=0.2, since=at,
    )  # fmt: skip
    found = drift_report([topics], 9, at, "m", NewWriting(documents=5, words=500, known_words=10_000))
    FeatureStore(office.lake).write("drift_report", "runa", found, DriftReport)
    return found


def launch(instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    """Start the run as the daemon does: it carries the run key."""
    tags = {**request.tags, "dagster/run_key": str(request.run_key)}
    instance.create_run_for_job(job_def=defs.resolve_job_def("collect"), tags=tags)


def test_drift_asks_for_one_rebuild_with_reason_and_cost_and_then_waits(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    office = in_production(tmp_path)
    assert "no reason for a rebuild" in tick(instance, "rebuild_when_due", tmp_path).skip_message
    reported(office)
    [request] = tick(instance, "rebuild_when_due", tmp_path).run_requests
    assert (request.run_key, request.partition_key) == ("runa:refresh:1", "runa")
    assert request.tags["twin/refresh_reason"] == "the persona now writes otherwise (topics)"
    assert request.tags["twin/refresh_cost"].startswith("unknown")
    again = tick(instance, "rebuild_when_due", tmp_path)
    assert [r.run_key for r in again.run_requests] == ["runa:refresh:1"], "it was never started"
    launch(instance, request)
    for hours in (1, 100, 167):
        held = tick(instance, "rebuild_when_due", tmp_path, NOW + timedelta(hours=hours))
        assert not held.run_requests
        assert "the next waits until" in held.skip_message
    assert len(asks(office.lake, "runa")) == 1
    [second] = tick(instance, "rebuild_when_due", tmp_path, NOW + timedelta(days=8)).run_requests
    assert second.run_key == "runa:refresh:2"


def test_a_candidate_that_waits_for_a_person_holds_rebuilds_back(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    office = in_production(tmp_path)
    reported(office)
    waits = office.candidate()
    assert f"{waits.model} waits for a person's approval" in tick(instance, "rebuild_when_due", tmp_path).skip_message  # fmt: skip
    assert asks(office.lake, "runa") == []


def test_age_alone_asks_and_nothing_in_production_does_not(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    assert "nothing is in production" in tick(instance, "rebuild_when_due", tmp_path).skip_message
    in_production(tmp_path, days_old=100)
    [request] = tick(instance, "rebuild_when_due", tmp_path).run_requests
    assert "days old" in request.tags["twin/refresh_reason"]


def test_alerts_are_sent_once_repeated_daily_and_closed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    office = in_production(tmp_path)
    with HookDouble() as hook:
        to = {"alert_webhook_url": f"{hook.address}/very-secret", "dagster_url": "https://dagster.example"}
        assert "no drift report yet" in tick(instance, "send_alerts", tmp_path, **to).skip_message
        reported(office)
        said = [tick(instance, "send_alerts", tmp_path, NOW + timedelta(hours=n), **to).skip_message for n in range(26)]  # fmt: skip
        reported(office, drifted=False)
        said.append(tick(instance, "send_alerts", tmp_path, NOW + timedelta(hours=30), **to).skip_message)
        assert "message 1 speaks of topics" in said[0]
        assert "open: topics; nothing new" in said[1]
        assert "open: none; message 3 speaks of topics" in said[-1]
        first, second, third = hook.posted
    assert [m["subject"] for m in (first, third)] == ["[LLM Twin] runa: warning: topics", "[LLM Twin] runa: over: topics"]  # fmt: skip
    assert second["repeated"][0]["name"] == "topics"
    assert first["opened"][0]["link"] == "https://dagster.example/assets/drift_report?partition=runa"
    assert "very-secret" not in " ".join(said)


def crawl_tick(instance: dg.DagsterInstance, home: Path, at: datetime) -> Any:
    platform = build_resources({"home": str(home)})["platform"]
    repository = defs.get_repository_def()
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, resources={"platform": platform}, repository_def=repository
        ) as context,
    ):  # fmt: skip
        return repository.get_schedule_def("collect_daily").evaluate_tick(context)


def test_a_slow_writer_is_crawled_less_often(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    now = datetime.now(UTC)
    assert len(crawl_tick(instance, tmp_path, now).run_requests) == 1, "of whom nothing is known yet"
    documents = [
        SplitDocument.model_validate({
            "persona": "runa", "source": "web", "category": "article", "doc_id": f"d{n}", "url": "u", "content_hash": "h",
            "voice_text": "t", "search_text": "t", "words": 1, "cluster_id": f"d{n}", "split": "train",
            "published_at": now - timedelta(days=14 * n),
        }) for n in range(20)
    ]  # fmt: skip
    FeatureStore(Office(tmp_path).lake).write("corpus_split", "runa", documents, list[SplitDocument])
    instance.report_runless_asset_event(dg.AssetMaterialization("raw_web", partition="runa"))
    tomorrow = crawl_tick(instance, tmp_path, now + timedelta(days=1))
    assert not tomorrow.run_requests
    assert "runa: crawled every 6 days, last at" in tomorrow.skip_message
    assert len(crawl_tick(instance, tmp_path, now + timedelta(days=6)).run_requests) == 1
    in_error = dg.AssetMaterialization(
        "raw_x", partition="runa", metadata={"error": "X: cut off. Fix: try later."}
    )
    instance.report_runless_asset_event(in_error)
    assert len(crawl_tick(instance, tmp_path, now + timedelta(days=1)).run_requests) == 1, (
        "a source is in error"
    )

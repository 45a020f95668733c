"""The asset graph as a person finds it in the Dagster UI."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.models import START, lineage, save
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.common import STAGES, personas
from twin_assets.monitoring.drift.refresh import Verdict, ask
from twin_assets.settings import Settings

GRAPH = defs.resolve_asset_graph()
ASSETS = {
    "collect": {f"raw_{source}" for source in (*SOURCES, "library")},
    "warehouse": {"stg_documents", "documents", "document_history"},
    "corpus": {"cleaned_documents", "library_documents", "unique_documents", "corpus_split"},
    "index": {"chunks", "embeddings", "vector_index"},
    "datasets": {"instruct_dataset", "preference_dataset"},
    "training": {"base_model", "sft_model", "dpo_model"},
    "evaluation": {
        "evaluation_report", "stg_experiments", "stg_evaluations", "experiments", "experiment_comparison",
    },
    "release": {"release"},
    "monitoring": {
        "scored_requests", "stg_requests", "stg_scores", "stg_feedback", "requests", "stg_releases", "releases",
        "drift_report", "feedback_pairs", "cost_report", "monitoring_report",
    },
}  # fmt: skip


@pytest.mark.parametrize("group", STAGES)
def test_a_stage_has_its_assets_described_owned_and_partitioned(group: str) -> None:
    found = {
        k.to_user_string(): GRAPH.get(k)
        for k in GRAPH.materializable_asset_keys
        if GRAPH.get(k).group_name == group
    }
    assert set(found) == ASSETS[group]
    for name, node in found.items():
        assert node.description, name
        assert node.owners, name
        assert node.kinds, name
        assert node.code_version, name
        assert node.partitions_def == personas, name


def test_stages_depend_only_on_earlier_stages_but_for_the_models_own_answers() -> None:
    for key in GRAPH.materializable_asset_keys:
        for parent in GRAPH.get(key).parent_keys:
            edge = (parent.to_user_string(), key.to_user_string())
            if edge != ("sft_model", "preference_dataset"):  # rejected answers are the SFT model's
                before, after = (STAGES.index(GRAPH.get(one).group_name) for one in (parent, key))
                assert before <= after, edge


def test_blocking_checks_guard_what_must_not_go_wrong() -> None:
    blocking = {
        f"{key.asset_key.to_user_string()}.{key.name}"
        for key in GRAPH.asset_check_keys
        if GRAPH.get(key).blocking
    }
    assert {
        "cleaned_documents.no_secrets",
        "corpus_split.no_shared_ngrams",
        "vector_index.index_equals_corpus",
        "instruct_dataset.answers_are_verbatim",
        "instruct_dataset.no_heldout_text_in_train",
        "instruct_dataset.shares_within_limits",
        "preference_dataset.chosen_is_verbatim",
        "preference_dataset.kinds_within_limits",
        "sft_model.every_row_trained",
        "dpo_model.every_row_trained",
        "evaluation_report.reads_as_language",
        "evaluation_report.voice_beats_baseline",
    } <= blocking


def test_jobs_schedules_and_sensors_are_there() -> None:
    repository = defs.get_repository_def()
    assert {"collect", "features", "train", "evaluate", "approve_release", "roll_back_release"} <= set(
        repository.job_names
    )
    assert {s.name for s in repository.schedule_defs} == {
        "collect_daily",
        "forget_runs_nightly",
        "monitor_hourly",
    }
    assert {
        "train_on_new_dataset",
        "deploy_approved",
        "rebuild_when_due",
        "send_alerts",
        "carry_features_forward",
    } <= {s.name for s in repository.sensor_defs}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as local:
        yield local


def sensor_result(name: str, instance: dg.DagsterInstance, home: Path) -> Any:
    from twin_assets.defs.shared.resources import build_resources

    sensor = defs.get_repository_def().get_sensor_def(name)
    resources = {"platform": build_resources({"home": str(home)})["platform"]}
    repository = defs.get_repository_def()
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(instance=instance, resources=resources, repository_def=repository) as context,
    ):
        return sensor.evaluate_tick(context)


def report_dataset(instance: dg.DagsterInstance, persona: str, version: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization("instruct_dataset", partition=persona, tags={"dagster/data_version": version})
    )


def test_a_new_dataset_version_starts_training_once_for_each_persona(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    instance.add_dynamic_partitions("personas", ["runa", "other"])
    assert sensor_result("train_on_new_dataset", instance, tmp_path).skip_message
    report_dataset(instance, "runa", "v1")
    report_dataset(instance, "other", "v9")
    report_dataset(instance, "runa", "v2")
    requests = sensor_result("train_on_new_dataset", instance, tmp_path).run_requests
    assert {(r.run_key, r.partition_key) for r in requests} == {("runa:v2", "runa"), ("other:v9", "other")}


def test_a_version_waits_for_the_cooldown_and_for_enough_change(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_PROFILE", "nano")
    lake, registry = LocalLake(tmp_path / "lake"), Registry(Settings(home=tmp_path))
    rows = [row(n, "answer") for n in range(200)]
    versions = [
        write_dataset(lake, "runa", "instruct", rows + [row(n, "answer") for n in range(200, 200 + more)], **FACTS).version
        for more in (0, 1, 10)
    ]  # fmt: skip
    instance.add_dynamic_partitions("personas", ["runa"])

    def tick(version: str) -> Any:
        report_dataset(instance, "runa", version)
        return sensor_result("train_on_new_dataset", instance, tmp_path)

    save(registry, tmp_path / "old", lineage("sft", datasets={"instruct": versions[0]}))
    little = tick(versions[1])
    assert not little.run_requests
    assert "runa: dataset" in little.skip_message
    assert (
        "in 1 of 200 rows (0.5%); training starts at 1.0% (TWIN_TRAIN_MIN_CHANGED_ROWS)"
        in little.skip_message
    )
    assert versions[1] in (little.cursor or "")
    assert [r.run_key for r in tick(versions[2]).run_requests] == [f"runa:{versions[2]}"]
    monkeypatch.setenv("TWIN_TRAIN_MIN_CHANGED_ROWS", "11")
    assert "in 10 of 200 rows (5.0%); training starts at 11 rows" in tick(versions[2]).skip_message

    # A training has just ended: the same version waits, whatever has changed, unless a rebuild was asked for.
    monkeypatch.setenv("TWIN_TRAIN_MIN_CHANGED_ROWS", "0")
    monkeypatch.setenv("TWIN_TRAIN_COOLDOWN_HOURS", "48")
    age = (datetime.now(UTC) - START).days
    fresh = lineage("sft", number=1, datasets={"instruct": versions[1]})
    save(registry, tmp_path / "new", fresh, days=age)
    held = tick(versions[2])
    assert not held.run_requests
    assert f"{fresh.tag} was trained at" in held.skip_message
    assert "training waits until" in held.skip_message
    assert "TWIN_TRAIN_COOLDOWN_HOURS=48" in held.skip_message
    asked = Verdict(reasons=["other topics"])
    assert ask(lake, "runa", "m:1", asked, "about 1 h", datetime.now(UTC)) is not None
    assert len(tick(versions[2]).run_requests) == 1


def test_an_approval_is_deployed_by_the_sensor(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    instance.add_dynamic_partitions("personas", ["runa"])
    ledger = Ledger(LocalLake(tmp_path / "lake"), "runa")
    ledger.append("m:1", "proposed", "pipeline", "new")
    ledger.append("m:1", "evaluated", "pipeline", "fine", passed=True)
    assert sensor_result("deploy_approved", instance, tmp_path).skip_message
    ledger.append("m:1", "approved", "Ines", "sounds like her")
    assert [r.run_key for r in sensor_result("deploy_approved", instance, tmp_path).run_requests] == [
        "runa:3"
    ]


def test_nothing_is_trained_or_evaluated_again_that_a_walk_has_made(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    instance.add_dynamic_partitions("personas", ["runa"])

    def report(asset: str, parent: str) -> None:
        made_from = hashlib.sha256(f"{parent}-v1".encode()).hexdigest()
        tags = {
            "dagster/data_version": f"{asset}-v1",
            f"dagster/input_data_version/{parent}": made_from,
        }
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="runa", tags=tags))

    report("instruct_dataset", "chunks")
    report("sft_model", "instruct_dataset")
    assert len(sensor_result("train_on_new_dataset", instance, tmp_path).run_requests) == 1
    report("dpo_model", "sft_model")
    assert "current" in sensor_result("train_on_new_dataset", instance, tmp_path).skip_message
    assert len(sensor_result("evaluate_new_candidate", instance, tmp_path).run_requests) == 1
    report("evaluation_report", "dpo_model")
    assert "current" in sensor_result("evaluate_new_candidate", instance, tmp_path).skip_message

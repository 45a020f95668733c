"""Where a training runs is a setting: this machine, a pod, or Ray workers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.training.axolotl.kubernetes_double import KubernetesDouble
from tests.training.training_factories import (
    instruct_dataset,
    overlay,
    preference_dataset,
    profile,
    settings,
    tiny_base,
    train,
)
from twin_assets.core.datasets.rows import Manifest, dataset_folder
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile, profile_names
from twin_assets.core.models.version import closed_rows
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.assets import sft_model
from twin_assets.settings import Settings
from twin_assets.training.axolotl.pod import pod_spec
from twin_assets.training.configs.job import RayWorkers, TrainingJob
from twin_assets.training.configs.overlays import compose_overlays
from twin_assets.training.fit.batches import launch_batch
from twin_assets.training.fit.machine import GB, Machine, this_machine
from twin_assets.training.fit.workers import share_batch
from twin_assets.training.jobs import finish_job, job_estimate, prepare_job, read_history, read_result

KUBERNETES: dict[str, Any] = {
    "training_runner": "kubernetes",
    "kubernetes_image": "registry.example/twin:1",
    "kubernetes_namespace": "twins",
    "kubernetes_volume_claim": "twin-home",
    "kubernetes_gpus": 2,
    "kubernetes_requests": {"cpu": "8", "memory": "64Gi"},
    "kubernetes_service_account": "trainer",
    "kubernetes_secret": "twin-keys",
    "kubernetes_node_selector": {"gpu": "h100"},
    "kubernetes_tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


def job_in(home: Path, platform: Settings, *overlays: str, rows: int = 12) -> TrainingJob:
    manifest = instruct_dataset(home / "instruct", rows)
    return prepare_job(
        platform, profile(*overlays), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


def test_a_model_is_as_closed_as_the_rows_that_it_and_its_parent_learnt_from(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    base = tiny_base(platform)
    seen = {
        "visibilities": {"public": 10, "connections": 2},
        "visibility": "connections",
        "declared": "public",
    }
    rows = instruct_dataset(tmp_path / "instruct", 12).model_copy(update=seen)
    sft = prepare_job(platform, profile(), "sft", base, rows, tmp_path / "instruct", "runa")
    assert (sft.about.visibility, sft.about.learnt_from) == ("connections", {"public": 10, "connections": 2})
    parent = base.model_copy(update={"lineage": sft.lineage, "about": sft.about})
    pairs = preference_dataset(tmp_path / "pairs", 3).model_copy(update={"visibilities": {"public": 3}})
    dpo = prepare_job(platform, profile(), "dpo", parent, pairs, tmp_path / "pairs", "runa")
    assert (dpo.about.visibility, dpo.about.learnt_from) == ("connections", {"public": 13, "connections": 2})
    assert closed_rows(dpo.about.learnt_from, "public") == "2 rows for connections only"
    assert closed_rows(dpo.about.learnt_from, "connections") == ""


@pytest.mark.parametrize(
    ("micro", "accumulated", "workers", "shared"),
    [(8, 1, 2, (4, 1)), (2, 8, 4, (2, 2)), (2, 8, 1, (2, 8)), (3, 4, 2, (3, 2)), (1, 16, 16, (1, 1))],
)
def test_workers_share_the_rows_of_a_step(
    micro: int, accumulated: int, workers: int, shared: tuple[int, int]
) -> None:
    config = {"micro_batch_size": micro, "gradient_accumulation_steps": accumulated}
    assert tuple(share_batch(config, workers).values()) == shared
    with pytest.raises(TwinError, match=r"can't be shared evenly by 7 workers"):
        share_batch(config, 7)


H200 = Machine("NVIDIA H200", 1, 150 * GB, 2.5e14)


def small_job(home: Path) -> TrainingJob:
    """A job of the profile small, whose base model is a config.json only."""
    small = load_profile("small")
    shape = small.architecture
    assert shape is not None
    (home / "small").mkdir()
    facts = {
        "model_type": "qwen3", "hidden_size": shape.hidden, "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "head_dim": shape.head_dim,
        "num_key_value_heads": shape.kv_heads, "vocab_size": shape.vocabulary, "tie_word_embeddings": True,
    }  # fmt: skip
    (home / "small" / "config.json").write_text(json.dumps(facts))
    config = compose_overlays(small, "sft")
    job = job_in(home, settings(home))
    return job.model_copy(update={"parent_path": home / "small", "config": config})


def test_a_gpu_takes_as_many_rows_at_once_as_keep_it_busy_and_a_step_keeps_its_rows(tmp_path: Path) -> None:
    job = small_job(tmp_path)

    def rows(machine: Machine, **changes: Any) -> tuple[int, int]:
        batch = launch_batch(job.model_copy(update=changes), machine)
        merged = job.config | batch
        return merged["micro_batch_size"], merged["gradient_accumulation_steps"]

    assert rows(H200) == (8, 2)
    assert rows(replace(H200, memory=24 * GB)) == (2, 8)
    assert rows(replace(H200, memory=GB)) == (1, 16)
    assert rows(replace(H200, gpus=4)) == (4, 1)
    assert rows(H200, micro_batch=5) == (4, 4)  # whole parts of a step
    assert rows(H200, ray=RayWorkers(workers=1, gpus=1, cpus=4)) == (1, 16)
    cpu = Machine("CPU", 0, 1000 * GB, 1e11)
    assert launch_batch(job, cpu) == {}
    assert rows(cpu, micro_batch=2) == (2, 8)
    fitted = job_estimate(job, replace(H200, memory=24 * GB))["sft"]
    assert 12 * GB < fitted.memory <= 24 * GB, "the estimate is of the rows that will be taken"


def test_what_a_device_takes_at_once_is_no_part_of_a_version(tmp_path: Path) -> None:
    here = job_in(tmp_path, settings(tmp_path))
    there = job_in(tmp_path, settings(tmp_path, training_machine="1x80", training_micro_batch=2))
    assert launch_batch(there, H200)["micro_batch_size"] == 2
    assert (there.lineage, there.config) == (here.lineage, here.config)


@pytest.mark.parametrize("name", [p for p in profile_names() if load_profile(p).parallel != "single"])
def test_eight_gpus_share_the_step_that_one_would_make(name: str) -> None:
    config = compose_overlays(load_profile(name), "sft")
    assert share_batch(config, 1) == {"micro_batch_size": 1, "gradient_accumulation_steps": 16}
    assert share_batch(config, 8) == {"micro_batch_size": 1, "gradient_accumulation_steps": 2}


def test_a_pod_is_what_the_settings_say(tmp_path: Path) -> None:
    pytest.importorskip("dagster_k8s", reason="the extra k8s is not installed")
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
    from kubernetes import client

    platform = settings(tmp_path, **KUBERNETES)
    job = job_in(tmp_path, platform)
    spec = pod_spec(platform, job)
    # Kubernetes' own classes know every name in it and every type: an unknown or missing one raises.
    pod = k8s_model_from_dict(client.V1PodSpec, k8s_snake_case_dict(client.V1PodSpec, spec))
    assert client.ApiClient().sanitize_for_serialization(pod) == spec
    [container] = pod.containers
    assert container.command == ["python", "-m", "twin_assets.training.axolotl.run", str(job.file)]
    assert container.resources.limits == {"nvidia.com/gpu": "2"}
    mounts = {mount.name: mount.mount_path for mount in container.volume_mounts}
    [home] = [volume.name for volume in pod.volumes if volume.persistent_volume_claim]
    assert mounts[home] == str(tmp_path)
    assert job.file.is_relative_to(tmp_path)
    assert (pod.service_account_name, pod.node_selector) == ("trainer", {"gpu": "h100"})


def test_a_pod_without_image_or_volume_is_refused(tmp_path: Path) -> None:
    platform = settings(tmp_path, **KUBERNETES | {"kubernetes_volume_claim": None})
    with pytest.raises(TwinError, match="TWIN_KUBERNETES_VOLUME_CLAIM"):
        pod_spec(platform, job_in(tmp_path, platform))


def materialize_sft(
    home: Path, overrides: dict[str, Any], manifest: Manifest
) -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    """The asset on a dataset that lies where the lake would have it."""
    platform = settings(home)
    tag = tiny_base(platform).tag
    folder = platform.lake_dir / dataset_folder("runa", "instruct", manifest.version)
    folder.parent.mkdir(parents=True)
    (home / "data").rename(folder)

    @dg.asset(partitions_def=personas)
    def base_model() -> str:
        return tag

    @dg.asset(name="instruct_dataset", partitions_def=personas)
    def dataset() -> Manifest:
        return manifest

    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    return instance, dg.materialize(
        [base_model, dataset, sft_model],
        partition_key="runa",
        instance=instance,
        resources=build_resources(
            {"home": str(home), "wandb_mode": "disabled", "profile": "smoke"} | overrides
        ),
        raise_on_error=False,
    )


@pytest.mark.e2e
def test_a_pod_trains_and_its_log_and_metrics_reach_dagster(tmp_path: Path) -> None:
    pytest.importorskip("dagster_k8s", reason="the extra k8s is not installed")
    manifest = instruct_dataset(tmp_path / "data", 12)
    with KubernetesDouble(tmp_path) as cluster:
        overrides = KUBERNETES | {"kubernetes_kubeconfig": str(cluster.kubeconfig)}
        instance, result = materialize_sft(tmp_path, overrides, manifest)
    assert result.success
    [pod] = cluster.created
    assert pod["metadata"]["labels"]["twin/persona"] == "runa"
    assert cluster.deleted == [pod["metadata"]["name"]]
    [made] = result.asset_materializations_for_node("sft_model")
    assert made.metadata["trained_now"].value is True
    assert made.metadata["resumed_from_step"].value == 0
    checks = result.get_asset_check_evaluations()
    assert {check.check_name for check in checks} == {"every_row_trained", "prompt_format_is_served"}
    assert all(check.passed for check in checks)
    log = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("sft: step 2 of 2" in message for message in log), log


TWO_WORKERS: dict[str, dict[str, Any]] = {
    "ray": {"training_runner": "ray", "ray_workers": 2, "ray_gpus_per_worker": 0},
    "torchrun": {"training_cpu_workers": 2},
}


@pytest.mark.e2e
@pytest.mark.parametrize("launcher", TWO_WORKERS)
def test_two_workers_on_cpu_train_every_row_once(tmp_path: Path, launcher: str) -> None:
    if launcher == "torchrun" and this_machine().gpus:
        pytest.skip("WORKERS ON CPU NOT TESTED: this machine has a GPU, which takes their place")
    platform = settings(tmp_path, wandb_mode="disabled", **TWO_WORKERS[launcher])
    job = job_in(tmp_path, platform, overlay(tmp_path, num_epochs=1), rows=32)
    status, output = train(job)
    assert status == 0, output
    version = finish_job(platform, job)
    assert version.metrics["rows_trained"] == 32
    # Four steps of eight rows, as on one machine: each worker reads half of them.
    assert version.metrics["steps"] == 4
    assert version.metrics["eval_loss"] > 0
    assert [p.step for p in read_history(job) if p.loss is not None] == [1, 2, 3, 4]


@pytest.mark.e2e
def test_fewer_rows_at_once_make_the_same_steps(tmp_path: Path) -> None:
    losses = []
    for given in (None, 2):
        platform = settings(tmp_path / str(given), wandb_mode="disabled", training_micro_batch=given)
        job = job_in(tmp_path / str(given), platform, overlay(tmp_path, num_epochs=1), rows=20)
        status, output = train(job)
        assert status == 0, output
        losses.append([p.loss for p in read_history(job) if p.loss is not None])
        result = read_result(job)
        assert result is not None
        assert result.micro_batch == given
        version = finish_job(platform, job)
        assert version.about.environment.get("micro_batch") == (str(given) if given else None)
    assert "sft: 2 rows at once where the profile says 8" in output
    assert yaml.safe_load(job.config_file.read_text())["gradient_accumulation_steps"] == 4
    assert len(losses[0]) == 3  # 8, 8 and 4 rows
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)

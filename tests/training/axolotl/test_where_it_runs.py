"""A training runs on this machine or Ray workers, by setting, and splits its steps by the hardware."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.training_factories import (
    instruct_dataset,
    overlay,
    preference_dataset,
    profile,
    settings,
    tiny_base,
    train,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile, profile_names
from twin_assets.core.models.version import closed_rows
from twin_assets.settings import Settings
from twin_assets.training.configs.job import RayWorkers, TrainingJob
from twin_assets.training.configs.overlays import compose_overlays
from twin_assets.training.fit.batches import launch_batch
from twin_assets.training.fit.machine import GB, Machine, this_machine
from twin_assets.training.fit.workers import share_batch
from twin_assets.training.jobs import finish_job, job_estimate, prepare_job, read_history, read_result


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


def job_in(home: Path, platform: Settings, *overlays: str, rows: int = 12) -> TrainingJob:
    manifest = instruct_dataset(home / "instruct", rows)
    return prepare_job(
        platform, profile(*overlays), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


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
    return job.model_copy(update={"parent_path": home / "small", "config": config, "gpu_options": ()})


def test_a_gpu_takes_as_many_rows_at_once_as_keep_it_busy_and_a_step_keeps_its_rows(tmp_path: Path) -> None:
    job = small_job(tmp_path)

    def rows(machine: Machine, **changes: Any) -> tuple[int, int]:
        batch = launch_batch(job.model_copy(update=changes), machine, job.config)
        merged = job.config | batch
        return merged["micro_batch_size"], merged["gradient_accumulation_steps"]

    assert rows(H200) == (8, 2)
    assert rows(replace(H200, memory=24 * GB)) == (2, 8)
    assert rows(replace(H200, memory=GB)) == (1, 16)
    assert rows(replace(H200, gpus=4)) == (4, 1)
    assert rows(H200, micro_batch=5) == (4, 4)  # whole parts of a step
    assert rows(H200, ray=RayWorkers(workers=1, gpus=1, cpus=4)) == (1, 16)
    cpu = Machine("CPU", 0, 1000 * GB, 1e11)
    assert launch_batch(job, cpu, job.config) == {}
    assert rows(cpu, micro_batch=2) == (2, 8)
    fitted = job_estimate(job, replace(H200, memory=24 * GB))["sft"]
    assert 12 * GB < fitted.memory <= 24 * GB, "the estimate is of the rows that will be taken"


def test_what_a_device_takes_at_once_is_no_part_of_a_version(tmp_path: Path) -> None:
    here = job_in(tmp_path, settings(tmp_path))
    there = job_in(tmp_path, settings(tmp_path, training_machine="1x80", training_micro_batch=2))
    assert launch_batch(there, H200, there.config)["micro_batch_size"] == 2
    assert (there.lineage, there.config) == (here.lineage, here.config)


@pytest.mark.parametrize("name", [p for p in profile_names() if load_profile(p).parallel != "single"])
def test_eight_gpus_share_the_step_that_one_would_make(name: str) -> None:
    config = compose_overlays(load_profile(name), "sft")
    assert share_batch(config, 1) == {"micro_batch_size": 1, "gradient_accumulation_steps": 16}
    assert share_batch(config, 8) == {"micro_batch_size": 1, "gradient_accumulation_steps": 2}


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

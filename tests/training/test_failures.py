"""What goes wrong in a training is named, with what to do about it: each caused for real."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_factories import instruct_dataset, overlay, profile, settings, tiny_base, train

from twin_assets.core.errors import TwinError
from twin_assets.core.profiles import load_profile
from twin_assets.training.configs import TrainingStage, compose_overlays
from twin_assets.training.hardware import check_hardware, gpu_settings
from twin_assets.training.jobs import prepare_job, read_error
from twin_assets.training.records import RayWorkers, TrainingJob

_ENOUGH_TO_LOAD = 5 * 1024**3  # bytes of address space; importing Axolotl takes 3.3 GB of it


def job_in(home: Path, *overlays: str, rows: int = 8, words: int = 12) -> TrainingJob:
    platform = settings(home, wandb_mode="disabled")
    manifest = instruct_dataset(home / "instruct", rows, words=words)
    return prepare_job(
        platform, profile(*overlays), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


@pytest.mark.e2e
def test_too_little_memory_is_named(tmp_path: Path) -> None:
    config = overlay(tmp_path, micro_batch_size=512)
    job = job_in(tmp_path, config, rows=512, words=150)
    status, output = train(job, memory=_ENOUGH_TO_LOAD)
    assert status == 1, output
    error = read_error(job)
    assert error is not None
    assert error.problem.startswith("The training ran out of memory."), error
    assert "TWIN_TRAINING_MICRO_BATCH" in error.fix


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("FULL DISK NOT TESTED: mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.e2e
def test_a_full_disk_is_named(small_disk: Path) -> None:
    job = job_in(small_disk)
    free = subprocess.run(
        ["df", "--output=avail", "-B1", str(small_disk)], capture_output=True, text=True, check=True
    )
    (small_disk / "filler").write_bytes(bytes(int(free.stdout.split()[-1]) - 40_000))
    status, output = train(job)
    assert status == 1, output
    error = read_error(job)
    assert error is not None
    assert error.problem.startswith("The disk is full."), error
    assert "TWIN_HOME" in error.fix


@pytest.mark.parametrize(
    ("setting", "value"),
    [("load_in_4bit", True), ("fsdp_config", {"offload_params": False}), ("optimizer", "adamw_bnb_8bit"),
     ("attn_implementation", "flash_attention_2"), ("lora_mlp_kernel", True),
     ("plugins", ["axolotl.integrations.liger.LigerPlugin"])],
)  # fmt: skip
def test_a_setting_that_needs_a_gpu_is_known(setting: str, value: object) -> None:
    assert gpu_settings({"optimizer": "adamw_torch", "attn_implementation": "sdpa", setting: value}) == {
        setting: value
    }


@pytest.mark.parametrize("name", ["nano", "smoke", "pocket", "small", "llama-small", "qwen-8b"])
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_full_training_and_lora_need_no_gpu(name: str, stage: TrainingStage) -> None:
    assert not gpu_settings(compose_overlays(load_profile(name), stage))


def test_a_config_that_needs_a_gpu_is_refused_where_there_is_none(tmp_path: Path) -> None:
    job = job_in(tmp_path, overlay(tmp_path, load_in_4bit=True))
    on_cpu = job.model_copy(update={"ray": RayWorkers(workers=1, gpus=0, cpus=1)})
    with pytest.raises(TwinError, match=r"no GPU here.*needs one: load_in_4bit: True.*TWIN_TRAINING_RUNNER"):
        check_hardware(on_cpu)
    check_hardware(job.model_copy(update={"ray": RayWorkers(workers=1, gpus=1, cpus=1)}))

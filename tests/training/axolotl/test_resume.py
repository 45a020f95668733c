"""A run that is killed goes on where it was."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.training.training_factories import (
    instruct_dataset,
    overlay,
    processes_of,
    profile,
    settings,
    start,
    tiny_base,
    train,
)
from twin_assets.training.axolotl.checkpoints import (
    is_intact,
    kept_for_the_next_run,
    last_checkpoint,
    step_of,
)
from twin_assets.training.configs.job import TrainingJob, TrainingResult
from twin_assets.training.jobs import finish_job, prepare_job, read_history, read_result


def job_in(home: Path) -> TrainingJob:
    platform = settings(home, wandb_mode="disabled", training_checkpoint_seconds=2)
    config = overlay(home, num_epochs=14)
    manifest = instruct_dataset(home / "instruct", 40)
    return prepare_job(
        platform, profile(config), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


def result_of(job: TrainingJob) -> TrainingResult:
    status, output = train(job)
    assert status == 0, output
    result = read_result(job)
    assert result is not None
    return result


def kill_after_the_first_checkpoint(job: TrainingJob) -> Path:
    process = start(job)
    assert process.stdout is not None
    for line in process.stdout:
        if "checkpoint saved" in line:
            break
    # The run and Axolotl, at once and without warning, as when the machine loses its power.
    for pid in processes_of(job) | {process.pid: ""}:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    kept = last_checkpoint(job.model_dir)
    assert kept is not None
    return kept


@pytest.mark.e2e
def test_a_killed_run_ends_as_if_it_had_never_been_killed(tmp_path: Path) -> None:
    whole = result_of(job_in(tmp_path))
    steps = whole.metrics["steps"]
    shutil.rmtree(job_in(tmp_path).folder)

    job = job_in(tmp_path)
    kept = kill_after_the_first_checkpoint(job)
    step = step_of(kept)
    assert 0 < step < steps
    # The next checkpoint was being written: its weights are half there.
    broken = kept.with_name(f"checkpoint-{step + 1}")
    shutil.copytree(kept, broken)
    state = json.loads((broken / "trainer_state.json").read_text())
    (broken / "trainer_state.json").write_text(json.dumps(state | {"global_step": step + 1}))
    os.truncate(broken / "model.safetensors", 1000)

    resumed = result_of(job_in(tmp_path))
    assert resumed.resumed_from_step == step
    log = job.log_file.read_text()
    assert f'"event": "begin", "rows": 40, "steps": {steps:.0f}, "step": {step}' in log
    # One history without gaps or repeats, though the killed run had gone on after its checkpoint.
    losses = [point for point in read_history(job) if point.loss is not None]
    assert [point.step for point in losses] == list(range(1, int(steps) + 1))
    assert [point.seconds for point in losses] == sorted(point.seconds for point in losses)
    assert (resumed.rows_trained, resumed.metrics["steps"]) == (40, steps)
    # The same rows in the same order: the same model.
    assert resumed.metrics["eval_loss"] == pytest.approx(whole.metrics["eval_loss"], abs=1e-3)
    assert not list(job.model_dir.glob("checkpoint-*"))
    assert finish_job(settings(tmp_path), job).tag == job.model_tag


def checkpoint(folder: Path, step: int) -> Path:
    """A checkpoint of one small layer, made with what the trainer makes it with."""
    import torch
    from safetensors.torch import save_file

    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    layer = torch.nn.Linear(8, 8)
    save_file(layer.state_dict(), path / "model.safetensors")
    torch.save(torch.optim.AdamW(layer.parameters()).state_dict(), path / "optimizer.pt")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return path


@pytest.mark.parametrize(
    ("file", "kept"),
    [
        ("model.safetensors", 5), ("model.safetensors", -1), ("optimizer.pt", -1), ("optimizer.pt", 0),
        ("trainer_state.json", -2),
    ],
)  # fmt: skip
def test_a_checkpoint_that_lost_its_end_is_skipped(file: str, kept: int, tmp_path: Path) -> None:
    older, newer = checkpoint(tmp_path, 90), checkpoint(tmp_path, 100)
    assert last_checkpoint(tmp_path) == newer
    data = (newer / file).read_bytes()
    (newer / file).write_bytes(data[:kept])
    assert last_checkpoint(tmp_path) == older
    assert not newer.exists()
    assert kept_for_the_next_run(tmp_path) == "the next run resumes from the checkpoint of step 90"


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_checkpoint_without_one_of_its_files_is_skipped(file: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 100)
    assert is_intact(path)
    (path / file).unlink()
    assert last_checkpoint(tmp_path) is None
    assert "begins anew" in kept_for_the_next_run(tmp_path)

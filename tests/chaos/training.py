"""A training that is killed at random moments, with all its processes: begun again it must end as an undisturbed one, from
its checkpoints, with one history and one model version."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.report import Part
from tests.support.machine import until
from twin_assets.core.models.registry import Registry

KILLS = 3
EPOCHS = 60  # of forty rows: long enough to be killed after a checkpoint more than once


def run(part: Part) -> None:
    if not part.full:
        part.note(
            "only in the full form: each kill costs a training. tests/training/axolotl/test_resume.py has one"
        )
        return
    from tests.training.training_factories import processes_of, start, train
    from twin_assets.training.jobs import done, read_history, read_result

    home = part.home / "home"
    home.mkdir()
    job = _job(home)
    began = time.monotonic()
    status, said = train(job)
    assert status == 0, said[-2000:]
    seconds = time.monotonic() - began
    whole = read_result(job)
    assert whole is not None
    shutil.rmtree(job.folder)
    part.note(f"undisturbed it takes {seconds:.0f} s and {whole.metrics['steps']:.0f} steps")
    job = _job(home)
    for number in range(KILLS):
        process = start(job)
        saved = _count_checkpoints(process)
        # The first wherever chance will have it; the others soon after one of the checkpoints.
        wanted = 1 if number else 0
        until(lambda: saved.total() >= wanted or process.poll() is not None, "a checkpoint")  # noqa: B023
        moment = part.rng.random() * (1.0 if number else seconds)
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            part.note(f"kill {number + 1} came after its end")
            break
        for pid in processes_of(job) | {process.pid: ""}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
        part.tried["kills of a training"] += 1
        part.note(
            f"killed {moment:.1f} s after {saved.total()} checkpoints of its own, at step {_steps(job)}"
        )
    where = "training, killed"
    status, said = train(job)
    result = read_result(job)
    if status or result is None:
        part.broken.append(f"{where}: begun again it ended with status {status}: {said[-800:]}")
        return
    steps = int(whole.metrics["steps"])
    losses = Counter(str(p.step) for p in read_history(job) if p.loss is not None)
    part.compare(Counter(str(n) for n in range(1, steps + 1)), losses, f"{where}: steps of its history")
    if abs(result.metrics["eval_loss"] - whole.metrics["eval_loss"]) > 1e-3:
        part.broken.append(
            f"{where}: its loss is {result.metrics['eval_loss']}, undisturbed {whole.metrics['eval_loss']}"
        )
    if result.rows_trained != whole.rows_trained:
        part.broken.append(f"{where}: {result.rows_trained} rows of {whole.rows_trained}")
    part.broken += [f"{where}: {path.name} is left behind" for path in job.model_dir.glob("checkpoint-*")]
    part.note(f"the last run went on from step {result.resumed_from_step}")
    settings = _settings(home)
    versions = [version for _ in range(2) if (version := done(settings, job))]
    stored = Counter(v.tag for v in Registry(settings).list("runa"))
    part.compare(Counter({job.model_tag: 1}), stored, f"{where}: model versions")
    if len({v.tag for v in versions}) != 1:
        part.broken.append(f"{where}: it was registered as {versions}")


def _count_checkpoints(process: "subprocess.Popen[str]") -> "Counter[str]":
    """Counts what the run tells of, from a thread: a pipe that nobody reads would stop it."""
    counted = Counter[str]()

    def read() -> None:
        assert process.stdout
        counted.update("checkpoint" for line in process.stdout if "checkpoint saved" in line)

    threading.Thread(target=read, daemon=True).start()
    return counted


def _job(home: Path) -> Any:
    """A small job, in the folder that its inputs name: the same one every time."""
    from tests.training.training_factories import instruct_dataset, overlay, profile, tiny_base
    from twin_assets.training.jobs import prepare_job

    platform, small = _settings(home), profile(overlay(home, num_epochs=EPOCHS))
    manifest = instruct_dataset(home / "instruct", 40)
    return prepare_job(platform, small, "sft", tiny_base(platform), manifest, home / "instruct", "runa")


def _settings(home: Path) -> Any:
    from tests.training.training_factories import settings

    return settings(home, wandb_mode="disabled", training_checkpoint_seconds=2)


def _steps(job: Any) -> int:
    from twin_assets.training.jobs import read_history

    return max((p.step for p in read_history(job)), default=0)

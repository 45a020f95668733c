"""One trial of a search: a real training run that is watched while it goes, and ended early when it falls behind."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twin_assets.core.errors import TwinError
from twin_assets.core.processes import end_process, time_limit
from twin_assets.settings import WORK_DIR
from twin_assets.training.axolotl.failures import name_stop
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.jobs import read_history, read_result

EVALUATIONS = 4  # a trial; each is one more chance to stop a bad one, and costs a pass over the measured rows
_POLL = 0.5  # seconds


class Pruned(Exception):
    """The trial fell behind and was ended."""


def evaluation_plan(rows: int, config: dict[str, object]) -> dict[str, object]:
    """Overrides that make a run evaluate `EVALUATIONS` times, the last time within a few steps of its end."""
    batch = int(str(config["micro_batch_size"])) * int(str(config["gradient_accumulation_steps"]))
    steps = -(-rows // batch) * float(str(config["num_epochs"]))
    return {"eval_strategy": "steps", "eval_steps": max(1, int(steps) // EVALUATIONS)}


def run_trial(job: TrainingJob, falls_behind: Callable[[int, float], bool]) -> float:
    """Train, and return the last evaluation loss in nats a token.

    `falls_behind` gets each evaluation's number, from 1, and loss; when it says so, the whole process group of
    the run is ended and Pruned is raised. A job that finished before isn't trained again. Raises TwinError when
    the training fails.
    """
    if read_result(job) is None:
        _train(job, falls_behind)
    losses = _losses(job)
    if not losses:
        raise TwinError(f"The trial in {job.folder} was never evaluated.", f"read {job.log_file}.")
    return losses[-1]


def _train(job: TrainingJob, falls_behind: Callable[[int, float], bool]) -> None:
    seen, ended = 0, False
    with _process(job) as process:
        while not ended:
            ended = process.poll() is not None  # asked before reading, so that nothing is missed
            for loss in _losses(job)[seen:]:
                seen += 1
                if falls_behind(seen, loss):
                    raise Pruned
            if not ended:
                time.sleep(_POLL)
    if read_result(job) is None:
        raise name_stop(job, f"status {process.returncode}")


def _losses(job: TrainingJob) -> list[float]:
    return [p.eval_loss for p in read_history(job) if p.eval_loss is not None]


@contextmanager
def _process(job: TrainingJob) -> Iterator["subprocess.Popen[bytes]"]:
    """The training process, which ends its own process group when it is asked to end."""
    command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
    with (job.folder / "process.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=WORK_DIR, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            with time_limit(process, (job.hours + 1) * 3600):
                yield process
        finally:
            end_process(process)

"""The training process: `python -m twin_assets.training.axolotl.run JOB.json`, started by Dagster Pipes or by hand.

It runs Axolotl as a process group of its own, shows every line, reports progress, and leaves result,
history and log in the job's folder. Ending this process ends the whole group; started again for the
same job, it goes on from the last checkpoint.
"""

import json
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dagster_pipes import open_dagster_pipes

from twin_assets.core.collector import look_seldom
from twin_assets.core.errors import TwinError
from twin_assets.core.processes import time_limit, took_too_long
from twin_assets.training.axolotl.checkpoints import kept_for_the_next_run, last_checkpoint, step_of
from twin_assets.training.axolotl.failures import broken_loss, name_exception, name_failure
from twin_assets.training.axolotl.loss_mask import check_prompt_format
from twin_assets.training.axolotl.process import axolotl
from twin_assets.training.axolotl.reporting.phases import READING, STARTING, enter_phase, read_phase
from twin_assets.training.axolotl.reporting.progress import Progress, read_points
from twin_assets.training.axolotl.rows import check_rows, read_rows, read_tokens
from twin_assets.training.configs.job import TrainingJob, TrainingResult
from twin_assets.training.configs.overlays import write_config
from twin_assets.training.fit.batches import launch
from twin_assets.training.fit.hardware import check_hardware
from twin_assets.training.fit.machine import this_machine
from twin_assets.training.method_rows import FOLDER, rows_given, write_method_rows

_REPORT_EVERY = 5.0  # seconds
_TAIL = 40  # lines kept to name a failure
_MADE_AGAIN = ("prepared", "hf", "ray", FOLDER)  # folders that only a run in progress needs


class Stopped(Exception):
    """Someone asked this process to end."""


def run(job: TrainingJob, tell: Callable[[str], None]) -> TrainingResult:
    """Train, and write result.json; `tell` gets a line of progress every few seconds.

    A job that was stopped goes on from its last intact checkpoint. Raises TwinError naming what went
    wrong: bad dataset, bad config, NaN loss, out of memory, full disk, missing GPU.
    """
    _remove(job, job.error_file.name)
    enter_phase(job, STARTING)
    check_hardware(job)
    resumed = _clear(job)
    enter_phase(job, READING)
    check_rows(job, tell)
    rows_checked = check_prompt_format(job)
    here = launch(job, this_machine(), tokens=read_tokens(job) or 0)
    rows = write_method_rows(job, read_rows)
    write_config(job.config | _launch_config(job, resumed) | here.values | rows, job.config_file)
    if here.options:
        tell(f"{job.stage}: this GPU is used with {', '.join(here.options)}")
    if micro_batch := here.values.get("micro_batch_size"):
        usual = job.config["micro_batch_size"]
        tell(f"{job.stage}: {micro_batch} rows at once where the profile says {usual}")
    step = step_of(resumed) if resumed else 0
    if resumed:
        tell(f"{job.stage}: resumed from the checkpoint of step {step}")
    earlier = [point for point in read_points(job.history_file) if point.step <= step]
    progress = Progress(job.stage, job.history_file, earlier)
    enter_phase(job, progress.phase)
    status, tail = _train(job, progress, tell)
    if progress.broken:
        raise broken_loss(*progress.broken)
    if status != 0:
        raise name_failure(status, tail, progress.phase)
    dropped = rows_given(job) - progress.rows_trained
    # GRPO is asked with rows of one kind alone.
    trained = progress.rows_trained if job.stage == "grpo" else job.rows["train"] - dropped
    result = TrainingResult(
        model_dir=job.model_dir,
        metrics=progress.metrics()
        | {
            "rows_trained": trained,
            "rows_dropped": dropped,
            "prompt_rows_checked": rows_checked,
        },
        rows_trained=trained,
        rows_dropped=dropped,
        resumed_from_step=step,
        micro_batch=micro_batch,
        gpu_options=here.options,
        wandb_dir=max((job.folder / "wandb").glob("*run-*"), default=None),
    )
    _remove(job, *_MADE_AGAIN, *(f"model/{path.name}" for path in job.model_dir.glob("checkpoint-*")))
    # The result comes last: a folder without one was never finished.
    (job.folder / "result.json").write_text(result.model_dump_json(indent=2))
    return result


def _clear(job: TrainingJob) -> Path | None:
    """The checkpoint to go on from; all else that an earlier attempt left and could be mistaken for this
    run's is removed."""
    resumed = last_checkpoint(job.model_dir)
    _remove(job, "result.json", *_MADE_AGAIN)
    if resumed is None:
        _remove(job, job.history_file.name, job.log_file.name, job.model_dir.name, "wandb")
    return resumed


def _remove(job: TrainingJob, *names: str) -> None:
    for path in (job.folder / name for name in names):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _launch_config(job: TrainingJob, resumed: Path | None) -> dict[str, object]:
    """What the config of this one attempt has besides the job's."""
    facts: dict[str, object] = {"resume_from_checkpoint": str(resumed)} if resumed else {}
    if job.ray:
        facts |= {"use_ray": True, "ray_num_workers": job.ray.workers}
    return facts


def _train(job: TrainingJob, progress: Progress, tell: Callable[[str], None]) -> tuple[int, list[str]]:
    """Axolotl's exit status and last lines; every line goes to train.log, all but reports to stdout."""
    tail: deque[str] = deque(maxlen=_TAIL)
    told = time.monotonic()
    with (
        job.log_file.open("a") as log,
        axolotl(job) as process,
        time_limit(process, job.hours * 3600) as late,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            phase = progress.phase
            is_report, news = progress.read(line)
            if progress.phase != phase:
                enter_phase(job, progress.phase)
            if news:
                tell(news)
            if not is_report:
                print(line, end="", flush=True)
                tail.extend([line.rstrip()] if line.strip() else [])
            elif time.monotonic() - told > _REPORT_EVERY or progress.finished:
                told = time.monotonic()
                tell(progress.line())
        status = process.wait()
    if late.is_set():
        raise took_too_long(
            "The training",
            job.hours * 3600,
            f"set TWIN_TRAINING_HOURS higher, or take a smaller profile; {kept_for_the_next_run(job.model_dir)}.",
        )
    return status, list(tail)


def _stop(signum: int, frame: FrameType | None) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, signal.SIG_IGN)  # a second one must not interrupt the ending of the group
    raise Stopped(signal.Signals(signum).name)


def main() -> int:
    """Entry point; the exit status is 0 when a result was written, 1 on failure, 143 when stopped."""
    if len(sys.argv) != 2:
        print("usage: python -m twin_assets.training.axolotl.run JOB.json", file=sys.stderr)
        return 2
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _stop)
    look_seldom()
    job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
    with open_dagster_pipes() as pipes:

        def tell(line: str) -> None:
            print(line, flush=True)
            pipes.log.info(line)

        try:
            result = run(job, tell)
        except Stopped as stopped:
            print(f"stopped by {stopped}; {kept_for_the_next_run(job.model_dir)}", file=sys.stderr)
            return 143
        except Exception as raised:
            error = raised if isinstance(raised, TwinError) else name_exception(raised, read_phase(job))
            _remove(job, *_MADE_AGAIN, job.phase_file.name)  # a full disk would have no room for the error
            with suppress(OSError):
                job.error_file.write_text(json.dumps({"problem": error.problem, "fix": error.fix}))
            pipes.log.error(str(error))
            if error is not raised:
                traceback.print_exc()
            print(error, file=sys.stderr)
            return 1
        tell(f"{job.stage} finished: {result.metrics}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

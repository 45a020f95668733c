"""The training process: `python -m twin_assets.training.run JOB.json`, started by Dagster Pipes or by hand.

It runs Axolotl as a process group of its own, shows every line, reports progress, and leaves result,
history and log in the job's folder. Ending this process ends the whole group.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dagster_pipes import open_dagster_pipes

from twin_assets.core.errors import TwinError
from twin_assets.settings import ROOT
from twin_assets.training.configs import launcher
from twin_assets.training.failures import broken_loss, name_failure
from twin_assets.training.loss_mask import check_prompt_format
from twin_assets.training.progress import Progress
from twin_assets.training.records import TrainingJob, TrainingResult
from twin_assets.training.rows import check_rows

_REPORT_EVERY = 5.0  # seconds
_TAIL = 40  # lines kept to name a failure
_GRACE = 10.0  # seconds between asking a process group to end and killing it


class Stopped(Exception):
    """Someone asked this process to end."""


def run(job: TrainingJob, tell: Callable[[str], None]) -> TrainingResult:
    """Train, and write result.json and history.json; `tell` gets a line of progress every few seconds.

    Raises TwinError naming what went wrong: bad dataset, bad config, NaN loss, out of memory, full disk.
    """
    start = time.monotonic()
    _clear(job.folder)
    check_rows(job, tell)
    rows_checked = check_prompt_format(job)
    progress = Progress(job.stage)
    status, tail = _train(job, progress, tell)
    (job.folder / "history.json").write_text(json.dumps([p.model_dump() for p in progress.history]))
    if progress.broken:
        raise broken_loss(*progress.broken)
    if status != 0:
        raise name_failure(status, tail)
    rows = job.rows["train"]
    result = TrainingResult(
        model_dir=job.model_dir,
        metrics=progress.metrics() | {
            "seconds": round(time.monotonic() - start, 1),
            "rows_trained": progress.rows_trained,
            "prompt_rows_checked": rows_checked,
            "rows_dropped": rows - progress.rows_trained,
        },
        rows_trained=progress.rows_trained,
        rows_dropped=rows - progress.rows_trained,
        wandb_dir=next(iter(sorted((job.folder / "wandb").glob("*run-*"))), None),
    )  # fmt: skip
    for name in ("prepared", "hf"):
        shutil.rmtree(job.folder / name, ignore_errors=True)
    # The result comes last: a folder without one was never finished.
    (job.folder / "result.json").write_text(result.model_dump_json(indent=2))
    return result


def _clear(folder: Path) -> None:
    """Remove what an earlier attempt left, so that no part of it can be taken for this run's."""
    for name in ("result.json", "error.json", "history.json", "train.log"):
        (folder / name).unlink(missing_ok=True)
    for name in ("model", "prepared", "hf", "wandb"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _train(job: TrainingJob, progress: Progress, tell: Callable[[str], None]) -> tuple[int, list[str]]:
    """Axolotl's exit status and last lines; every line goes to train.log, all but reports to stdout."""
    tail: deque[str] = deque(maxlen=_TAIL)
    told = time.monotonic()
    with job.log_file.open("w") as log, _process_group(job) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            if progress.read(line):
                now = time.monotonic()
                if now - told > _REPORT_EVERY or progress.finished:
                    told = now
                    tell(progress.line())
            else:
                print(line, end="", flush=True)
                tail.extend([line.rstrip()] if line.strip() else [])
        return process.wait(), list(tail)


@contextmanager
def _process_group(job: TrainingJob) -> Iterator[subprocess.Popen[str]]:
    """Axolotl in its own process group, which is gone when the block is left, however it is left."""
    axolotl = Path(sys.executable).parent / "axolotl"
    process = subprocess.Popen(
        [str(axolotl), "train", str(job.config_file), *launcher(job.config)],
        cwd=job.folder, env=_environment(job), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ask the group to end, then make it; data loaders and W&B's service are in it too."""
    group = process.pid
    for sign, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 2.0)):
        try:
            os.killpg(group, sign)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and _group_lives(process, group):
            time.sleep(0.05)
    process.wait()


def _group_lives(process: subprocess.Popen[str], group: int) -> bool:
    process.poll()  # a leader that ended but was not waited for still counts as a member
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _environment(job: TrainingJob) -> dict[str, str]:
    """The parent and the dataset are local folders: nothing needs the hub, and nothing reports home."""
    return os.environ | {
        # Threads that wait must sleep: spinning, they halve the speed of whatever else runs here.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep),
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(job.folder / "hf"),
        "AXOLOTL_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_DIR": str(job.folder),
        "WANDB_MODE": job.wandb_mode,
        "WANDB_SILENT": "true",
    }


def _stop(signum: int, frame: FrameType | None) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, signal.SIG_IGN)  # a second one must not interrupt the ending of the group
    raise Stopped(signal.Signals(signum).name)


def main() -> int:
    """Entry point; the exit status is 0 when a result was written, 1 on failure, 143 when stopped."""
    if len(sys.argv) != 2:
        print("usage: python -m twin_assets.training.run JOB.json", file=sys.stderr)
        return 2
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _stop)
    job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
    with open_dagster_pipes() as pipes:

        def tell(line: str) -> None:
            print(line, flush=True)
            pipes.log.info(line)

        try:
            result = run(job, tell)
        except TwinError as error:
            (job.folder / "error.json").write_text(json.dumps({"problem": error.problem, "fix": error.fix}))
            pipes.log.error(str(error))
            print(error, file=sys.stderr)
            return 1
        except Stopped as stopped:
            print(f"stopped by {stopped}; nothing of this run is kept", file=sys.stderr)
            return 143
        tell(f"{job.stage} finished: {result.metrics}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs one training job with Axolotl: `python -m twin_assets.training.run JOB.json`.

Started by Dagster through Pipes, or by hand. Axolotl runs in a process group of its own, so that stopping
this process stops everything. Its whole log is kept in `train.log`; progress is reported as it comes.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_pipes import open_dagster_pipes

from twin_assets.core.errors import TwinError
from twin_assets.training.jobs import TrainingJob, TrainingResult, read_history

REPORT_EVERY_SECONDS = 10
LOG_LINES_IN_ERRORS = 15

# What Axolotl's log says, and what a person can do about it.
KNOWN_FAILURES = [
    ("No space left on device", "The disk is full.", "free some space; nothing already trained was touched."),
    (
        "out of memory",
        "The memory is full.",
        "lower micro_batch_size or sequence_len, or choose a smaller profile.",
    ),
    (
        "ValidationError",
        "Axolotl refused the configuration.",
        "mend the values it names in training_configs/.",
    ),
    (
        "exceeds sequence_len",
        "A row is longer than sequence_len.",
        "raise sequence_len in training_configs/.",
    ),
]


def run_job(job: TrainingJob, report: Callable[[str], None]) -> TrainingResult:
    """Train, and write `result.json`. Raises TwinError when training fails or lost rows."""
    start = time.monotonic()
    result_path = job.folder / "result.json"
    result_path.unlink(missing_ok=True)
    code = _axolotl(job, report)
    log = (job.folder / "train.log").read_text(errors="replace")
    if code != 0:
        raise _failure(job, log, code)
    history = read_history(job)
    losses = [row["loss"] for row in history if "loss" in row]
    if not losses or not all(math.isfinite(loss) for loss in losses):
        raise TwinError(
            f"The loss of {job.folder.name} is not a number.", "lower the learning rate in training_configs/."
        )
    trained = json.loads((job.folder / "facts.json").read_text())["rows"]
    if trained != job.rows:
        raise TwinError(
            f"Axolotl trained on {trained} of {job.rows} rows.", "look for dropped rows in train.log."
        )
    last = history[-1]
    metrics = {
        "train_loss": last.get("train_loss", losses[-1]),
        "steps": float(last["step"]),
        "seconds": round(time.monotonic() - start, 1),
        "rows_trained": float(trained),
    }
    evaluated = [row["eval_loss"] for row in history if "eval_loss" in row]
    if evaluated:
        metrics["eval_loss"] = evaluated[-1]
    wandb = sorted(job.folder.glob("wandb/*run-*"))
    result = TrainingResult(
        model_dir=job.folder / "model", metrics=metrics, wandb_dir=wandb[-1] if wandb else None
    )
    result_path.write_text(result.model_dump_json(indent=2))
    return result


def _axolotl(job: TrainingJob, report: Callable[[str], None]) -> int:
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "TWIN_JOB_FOLDER": str(job.folder),
        "WANDB_DIR": str(job.folder),
        "WANDB_SILENT": "true",
        "AXOLOTL_DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if job.offline:
        environment["HF_HUB_OFFLINE"] = "1"
    command = ["axolotl", "train", str(job.folder / "config.yaml"), "--launcher", "python"]
    with (job.folder / "train.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return _watch(process, job, report)
        finally:
            _stop(process)
            signal.signal(signal.SIGTERM, previous)


def _watch(process: "subprocess.Popen[bytes]", job: TrainingJob, report: Callable[[str], None]) -> int:
    start = time.monotonic()
    reported: dict[str, Any] | None = None
    report(f"axolotl {job.stage}: {job.rows} rows, config {job.lineage.config_hash}")
    while True:
        try:
            return process.wait(timeout=REPORT_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        steps = [row for row in read_history(job) if "loss" in row]
        if steps and steps[-1] != reported:
            reported = steps[-1]
            report(_progress(reported, time.monotonic() - start))


def _progress(row: dict[str, Any], elapsed: float) -> str:
    left = elapsed / max(row["step"], 1) * (row["of"] - row["step"])
    rate = f", learning rate {row['learning_rate']:.1e}" if "learning_rate" in row else ""
    return f"step {row['step']:.0f}/{row['of']:.0f}, loss {row['loss']:.3f}{rate}, about {left:.0f} s left"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the whole process group: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _failure(job: TrainingJob, log: str, code: int) -> TwinError:
    tail = "\n".join(log.replace("\r", "\n").splitlines()[-LOG_LINES_IN_ERRORS:])
    for sign, problem, fix in KNOWN_FAILURES:
        if sign.lower() in log.lower():
            return TwinError(f"{problem} Axolotl's last lines:\n{tail}\n", fix)
    killed = " (killed, which is what a full memory looks like)" if code == -9 else ""
    return TwinError(
        f"Axolotl stopped with status {code}{killed} in {job.folder.name}. Its last lines:\n{tail}\n",
        f"read {job.folder / 'train.log'}.",
    )


def main() -> int:
    """Command line entry point, inside or outside Dagster."""
    job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
    with open_dagster_pipes() as pipes:

        def report(message: str) -> None:
            pipes.log.info(message)
            print(message, flush=True)

        try:
            result = run_job(job, report)
        except TwinError as error:
            pipes.log.error(str(error))
            print(error, file=sys.stderr)
            return 1
        report(f"done: {result.metrics}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

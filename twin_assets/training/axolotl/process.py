"""Axolotl as a process group of its own: how it is started, with which environment, and how it ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twin_assets.settings import ROOT
from twin_assets.training.axolotl.cpu_workers import threads_each
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.fit.machine import this_machine
from twin_assets.training.fit.workers import worker_count

_GRACE = 10.0  # seconds between asking a process group to end and killing it


@contextmanager
def axolotl(job: TrainingJob) -> Iterator[subprocess.Popen[str]]:
    """A running Axolotl; its process group and its temporary files are gone when the block is left, however it is."""
    with tempfile.TemporaryDirectory(prefix="twin-", ignore_cleanup_errors=True) as temporary:
        process = subprocess.Popen(
            command(job),
            cwd=job.folder,
            env=os.environ | run_environment(job) | {"TMPDIR": temporary},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            yield process
        finally:
            _end_group(process)


def command(job: TrainingJob) -> list[str]:
    """One process; one a GPU where there are several; several on CPUs; or the workers of a Ray cluster."""
    if job.ray:
        return [sys.executable, "-m", "twin_assets.training.axolotl.ray_workers", str(job.file)]
    machine = this_machine()
    processes = worker_count(job, machine)
    group = ["--standalone", f"--nproc-per-node={processes}"]
    programs = Path(sys.executable).parent
    if machine.gpus:
        launcher = ["python"] if processes == 1 else ["torchrun", "--", *group]
        return [str(programs / "axolotl"), "train", str(job.config_file), "--launcher", *launcher]
    start = [sys.executable] if processes == 1 else [str(programs / "torchrun"), *group]
    return [*start, "-m", "twin_assets.training.axolotl.cpu_workers", str(job.config_file)]


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


def run_environment(job: TrainingJob) -> dict[str, str]:
    """What every process of a run finds in its environment; holds no secret.

    The parent and the dataset are local folders: nothing needs the hub, and nothing reports home.
    """
    workers = 1 if job.ray else worker_count(job, this_machine())
    on_cpus = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(threads_each(workers))}
    return (on_cpus if workers > 1 and not this_machine().gpus else {}) | {
        # Threads that wait must sleep: spinning, they halve the speed of whatever else runs here. The shortest
        # waits, some microseconds, are spun through: going to sleep for those costs a fifth of the speed.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "3000",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep),
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(job.folder / "hf"),
        "AXOLOTL_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",  # or steps would go missing
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_DIR": str(job.folder),
        "WANDB_DATA_DIR": str(job.folder / "wandb"),  # artifacts wait here to be synced
        "WANDB_MODE": job.wandb_mode,
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_RUN_GROUP": job.lineage.persona,
        "WANDB_NAME": f"{job.lineage.persona}-{job.stage}",
        # A resumed run goes on in the same W&B run.
        "WANDB_RUN_ID": f"{job.stage}-{job.lineage.inputs_hash}",
        "WANDB_RESUME": "allow",
    }

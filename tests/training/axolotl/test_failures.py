"""What goes wrong in a training is named, with what to do about it: each caused for real."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.training_factories import (
    instruct_dataset,
    overlay,
    processes_of,
    profile,
    settings,
    tiny_base,
    train,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.training.axolotl.failures import name_failure, name_stop, read_error
from twin_assets.training.axolotl.reporting.phases import MERGING, SAVING, enter_phase
from twin_assets.training.configs.job import RayWorkers, TrainingJob
from twin_assets.training.configs.overlays import TrainingStage, compose_overlays
from twin_assets.training.fit.hardware import check_hardware, gpu_settings
from twin_assets.training.jobs import prepare_job


def job_in(home: Path, *overlays: str, rows: int = 8, words: int = 12) -> TrainingJob:
    platform = settings(home, wandb_mode="disabled")
    manifest = instruct_dataset(home / "instruct", rows, words=words)
    return prepare_job(
        platform, profile(*overlays), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


_MORE = 10**9  # bytes


@pytest.fixture(scope="module")
def enough(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The address space, in bytes, that the largest process of a training of a few short rows has at its most."""
    job = job_in(tmp_path_factory.mktemp("enough"))
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.2):
            for process in processes_of(job):
                with suppress(OSError):
                    peak = max(peak, _address_space(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status, output = train(job)
    ended.set()
    watcher.join()
    assert status == 0, output
    return peak


def _address_space(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"^VmPeak:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@pytest.mark.e2e
def test_too_little_memory_is_named_with_what_the_training_did(tmp_path: Path, enough: int) -> None:
    """With a little more than a small training needs, a step of 512 long rows, which takes 5 GB, finds too little."""
    large = job_in(tmp_path / "large", overlay(tmp_path, micro_batch_size=512), rows=512, words=150)
    status, output = train(large, memory=enough + _MORE)
    assert status == 1, output
    error = read_error(large)
    assert error is not None
    assert error.problem.startswith("The training ran out of memory while making its first step."), error
    assert "TWIN_TRAINING_MICRO_BATCH" in error.fix

    # Further shares would end in whatever was being imported, and some of that aborts or never ends.
    small = job_in(tmp_path / "small")
    status, output = train(small, memory=int(0.3 * enough))
    assert status == 1, output
    error = read_error(small)
    assert error is not None, output
    assert error.problem.startswith("The training ran out of memory while starting."), error
    assert "give it more memory" in error.fix
    assert "MICRO_BATCH" not in error.fix


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group of our own, whose memory the kernel limits as it limits a container's."""
    groups = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
    limits = {"memory.limit_in_bytes", "memory.max"}
    group = next(
        (g for g in groups if limits & {p.name for p in g.glob("*")} or (g / "cgroup.procs").is_file()), None
    )
    folder = group / f"twin-test-{os.getpid()}" if group else None
    try:
        assert folder
        folder.mkdir()
    except (OSError, AssertionError):
        pytest.skip("MEMORY LIMIT OF A CONTAINER NOT TESTED: it takes root and control groups")
    if not limits & {p.name for p in folder.glob("*")}:
        folder.rmdir()
        pytest.skip("MEMORY LIMIT OF A CONTAINER NOT TESTED: no memory controller for groups here")
    yield folder
    for process in (folder / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.2)


@pytest.mark.e2e
def test_a_containers_limit_is_named_when_the_kernel_kills_the_training(
    tmp_path: Path, memory_group: Path
) -> None:
    job = job_in(tmp_path, overlay(tmp_path, micro_batch_size=512), rows=512, words=150)
    limit = next(
        p for p in memory_group.glob("memory.*") if p.name in ("memory.limit_in_bytes", "memory.max")
    )
    limit.write_text(str(1_200_000_000))  # importing and loading hold about 1 GB; the step would hold several
    with suppress(OSError):
        (memory_group / "memory.swap.max").write_text("0")
    procs = memory_group / "cgroup.procs"
    command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
    ended = subprocess.run(
        ["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0, ended.stdout
    error = name_stop(job, f"status {ended.returncode}")
    assert error.problem.startswith("The training ran out of memory while "), (error, ended.stdout[-500:])
    assert "The system killed it (signal 9)" in error.problem
    assert "raise the container's limit" in error.fix


def test_a_killed_training_is_told_by_its_phase_whoever_reports_the_status(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    enter_phase(job, SAVING)
    for said in (
        "External execution process failed with code -9",
        "exit status 137",
        "Terminated with exit code 137: OOMKilled",
    ):
        error = name_stop(job, said)
        assert error.problem.startswith("The training ran out of memory while saving a checkpoint."), error
    other = name_stop(job, "External execution process failed with code 1")
    assert "stopped while saving a checkpoint without giving a reason" in other.problem


@pytest.mark.parametrize(
    "line",
    ["MemoryError:", "ImportError: libtorch_cpu.so: failed to map segment from shared object",
     "RuntimeError: [enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory",
     "RuntimeError: could not create a primitive", "terminate called after throwing an instance of 'std::bad_alloc'",
     "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
     "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
     "SystemError: <function _LazyModule.__getattr__ at 0x7fc1> returned NULL without setting an exception",
     "  exitcode  : -9 (pid: 4711)", "Signal 9 (SIGKILL) received by PID 4711"],
)  # fmt: skip
def test_every_way_of_running_out_of_memory_is_known(line: str) -> None:
    error = name_failure(1, [line], MERGING)
    assert error.problem.startswith("The training ran out of memory while merging the adapter into its base.")


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

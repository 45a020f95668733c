"""What tests need to know of the machine they run on, so that none depends on its speed: patience, ports, growth."""

import random
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

# For what must come, however slow the machine and however much else runs on it. What must *not* take long is told by
# counting or by growth, never by a clock.
PATIENCE = 300.0  # seconds


def until(found: Callable[[], T], what: str = "it") -> T:
    """The first answer of `found` that is true, asked again and again."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what} did not come in {PATIENCE:.0f} s"
        time.sleep(0.05)
    return answer


def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has room, whatever that of the machine has: a full one is told of at every look of the alerts."""
    real = shutil.disk_usage

    def usage(path: str) -> object:
        found = real(path)
        return found._replace(free=found.total)

    monkeypatch.setattr(shutil, "disk_usage", usage)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A new folder in this one on a disk of its own of 50 MB; the test is skipped, and says so, where none may be mounted."""
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("SMALL DISK NOT TESTED: mounting a small file system takes root")
    try:
        yield small
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections: no connection that
    begins between this look and the server's start can take it."""
    for _ in range(1_000):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port below the outgoing ones")


def growth(work: Callable[[int], object], small: int, times: int) -> float:
    """How many times as much CPU `work` takes on `times` the size: about `times` where it is linear.

    The best of three, so that a pause of the machine counts for nothing; of at least 10 ms, below which clocks are coarse.
    """

    def cost(size: int) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            work(size)
            best = min(best, time.process_time() - start)
        return best

    return max(cost(small * times), 0.01) / max(cost(small), 0.01)


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """As on a disk that is full: no file of this process may grow beyond `room` bytes. A write that would is cut there
    by the kernel, and fails with an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

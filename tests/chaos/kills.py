"""Processes that are killed at a chosen point of their work: at their n-th change of a file, in the middle of writing one,
or after a time. The first two hit the same point whenever they are repeated.

`python -m tests.chaos.kills FOLDER KIND AT MODULE [ARGUMENT …]` runs a module as `python -m` does and kills it so.
"""

import multiprocessing
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twin_assets.settings import ROOT

# What Python tells its audit hooks of before it happens, with the place of the path among the arguments.
CHANGES = {"os.rename": 1, "os.link": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.truncate": 0}
WRITES = os.O_WRONLY | os.O_RDWR
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)


@dataclass(frozen=True)
class Kill:
    """`call`: before the `at`-th change of a file below the folder. `byte`: as the first file grows beyond `at` bytes, which
    leaves it cut short. `moment`: `at` seconds after the first change. `never` only counts. `full` kills nobody: no file
    may grow beyond `at` bytes, as on a full disk."""

    kind: Literal["call", "byte", "moment", "never", "full"]
    at: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.at:g}"


NEVER = Kill("never")


@dataclass(frozen=True)
class Undisturbed:
    """How much there was to disturb: changes of files, seconds from the first one on, sizes of the files that
    are new or changed (bytes)."""

    calls: int
    seconds: float
    sizes: list[int]

    def kill(self, rng: random.Random, number: int) -> Kill:
        """A point somewhere in the work, by the kinds in turn."""
        # What is written outside of Python's sight has few changes to count.
        kind = ("call" if self.calls > 3 else "moment", "byte", "moment")[number % 3]
        if kind == "byte" and any(self.sizes):
            return Kill("byte", rng.randrange(max(rng.choice(self.sizes), 1)))
        if kind == "moment":
            return Kill("moment", round(rng.random() * self.seconds, 4))
        return Kill("call", rng.randint(1, max(self.calls, 1)))


class Armed:
    """The hook in a process that is to be killed."""

    def __init__(self, folder: Path, kill: Kill) -> None:
        self.folder, self.kill, self.calls, self.began = str(folder), kill, 0, 0.0
        if kill.kind == "byte":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and would get an error instead
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if not isinstance(flags, int) or not flags & WRITES:
                return
        elif event in CHANGES:
            path = arguments[CHANGES[event]]
        else:
            return
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.folder):
            return
        self.calls += 1
        if self.calls == 1:
            self._begin()
        if self.kill.kind == "call" and self.calls >= self.kill.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _begin(self) -> None:
        self.began = time.monotonic()
        if self.kill.kind in ("byte", "full"):
            size = int(self.kill.at)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        if self.kill.kind == "moment":
            threading.Thread(target=_kill_later, args=(self.kill.at,), daemon=True).start()

    def counted(self) -> str:
        return f"{self.calls} {time.monotonic() - self.began if self.began else 0.0}"


def _kill_later(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def run_function(work: Callable[[Path], None], folder: Path, kill: Kill, counts: Path) -> tuple[int, str]:
    """Exit status of a process of its own that does the work, and the end of what it said; `counts` gets what was
    counted in it."""
    # From a server that has imported the works and runs no threads: a fork of it is ready in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.works"])
    process = context.Process(target=_forked, args=(work, folder, kill, counts))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode, _said(counts).read_text(errors="replace")[-1500:]


def _said(counts: Path) -> Path:
    return counts.with_suffix(".said")


def _forked(work: Callable[[Path], None], folder: Path, kill: Kill, counts: Path) -> None:
    with _said(counts).open("wb") as said:
        os.dup2(said.fileno(), 2)
    armed = Armed(folder, kill)
    work(folder)
    counted = armed.counted()  # the limits of this process end at its own files
    if kill.kind == "never":
        counts.write_text(counted)


def run_module(
    module: list[str], folder: Path, kill: Kill, counts: Path, environment: dict[str, str]
) -> tuple[int, str]:
    """Exit status of `python -m MODULE`, and the end of what it said."""
    command = [sys.executable, "-m", "tests.chaos.kills", str(folder), kill.kind, str(kill.at), *module]
    given = environment | {
        "CHAOS_COUNTS": str(counts),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command, env=given, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace")[-1500:]


def main() -> None:
    folder, kind, at, module, *arguments = sys.argv[1:]
    armed = Armed(Path(folder), Kill(kind, float(at)))  # type: ignore[arg-type]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        if kind == "never":
            Path(os.environ["CHAOS_COUNTS"]).write_text(armed.counted())


if __name__ == "__main__":
    main()

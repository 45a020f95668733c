"""Other programs, which may hang: each is given a time, and is ended with all that it started when that is over."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from twin_assets.core.errors import TwinError

GRACE_SECONDS = 20.0  # between asking a program to end and killing it


def run_within(
    seconds: float, name: str, fix: str, command: Sequence[str], **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, with `subprocess.run`'s options. Raises TwinError with its name when it takes longer."""
    with (
        subprocess.Popen(command, text=True, errors="replace", start_new_session=True, **options) as process,
        time_limit(process, seconds) as late,
    ):
        out, err = process.communicate()
    if late.is_set():
        raise took_too_long(name, seconds, fix)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def took_too_long(name: str, seconds: float, fix: str) -> TwinError:
    """What to raise about a program that was ended."""
    spent = f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds:g} seconds"
    return TwinError(f"{name} took longer than {spent} and was ended.", fix)


@contextmanager
def time_limit(process: "subprocess.Popen[Any]", seconds: float) -> Iterator[threading.Event]:
    """End the program when the block takes longer, or is left by an exception; whether it took longer is in the event."""
    late = threading.Event()

    def end() -> None:
        late.set()
        end_process(process, GRACE_SECONDS)

    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    except BaseException:
        end_process(process)
        raise
    finally:
        timer.cancel()


def end_process(process: "subprocess.Popen[Any]", grace: float = GRACE_SECONDS) -> None:
    """Ask a program to end, then make it; what it started goes with it where it leads a group."""
    for sign, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            if process.poll() is None and os.getpgid(process.pid) != process.pid:
                process.send_signal(sign)
            else:
                os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
            if sign == signal.SIGTERM and _group_lives(process.pid):
                continue  # it has ended, and something that it started has not
            return


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

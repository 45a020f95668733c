"""Runs a program that ends with whoever started it, however that ends: `python leash.py COMMAND …`.

Standard input is a pipe that nobody writes to; when its other end is closed, by a kill -9 too, the program's whole group is
ended. vLLM's engine is a process of its own, and outlives its server otherwise. Uses nothing but Python.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_SECONDS = 20.0


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ask the program and what it started to end, then make them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        end_group(process)

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=watch, daemon=True).start()
    try:
        return process.wait()
    finally:
        end_group(process)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

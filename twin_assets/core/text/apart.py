"""A stranger's file is read in a process of its own, with limits on time and memory: a hostile one ends that process and
nothing else, and never holds the interpreter of a service."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable

from twin_assets.core.records import Record

MAX_MEMORY = 2_000_000_000  # bytes of address space
REFUSED = 2  # the exit code of a reader that says what is wrong with the file
# A reader has no use for tokens.
PASSED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")


def read_apart(module: str, what: str, data: bytes, seconds: int, memory: int = MAX_MEMORY) -> bytes:
    """What `module`, whose `main` calls `answer`, reads in `data`: a record as JSON. `what` is how errors name the file.

    `seconds` are of CPU, and twice as many of the clock; `memory` in bytes. Raises ValueError with what the reader says
    is wrong, and past the limits.
    """
    command = [sys.executable, "-m", module, str(seconds), str(memory)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    too_long = ValueError(f"{what} that takes longer than {seconds} s to read")
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=2 * seconds, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise too_long from None
    if done.returncode == REFUSED:
        # The reader's own warnings may stand before the error.
        raise ValueError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    if done.returncode == -signal.SIGXCPU:
        raise too_long
    if done.returncode:
        raise ValueError(f"{what} that can't be read within the limits")
    return done.stdout


def answer(read: Callable[[bytes], Record]) -> None:
    """Of the process: set its limits, read stdin, write the record to stdout or the ValueError to stderr, and end."""
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        record = read(sys.stdin.buffer.read())
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    print(record.model_dump_json())

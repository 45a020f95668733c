"""A PostgreSQL of a test's own, on loopback: Debian's, where it is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.machine import PATIENCE, free_port, until

PASSWORD = "p@ss/word"  # as people's are: it has to be written as p%40ss%2Fword in an address
ABSENT = (
    "POSTGRESQL HALF DID NOT RUN: there is no PostgreSQL on this machine (Debian: apt-get install postgresql)"
)


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps one for each version, off the PATH."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *map(Path, os.get_exec_path())]
    return next((folder for folder in found if (folder / "initdb").is_file()), None)


class Postgres:
    """A server that runs; it can be stopped or frozen, and go on after."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries = folder, binaries
        self.port = free_port()
        # It refuses to run as root; what it keeps is then an ordinary account's.
        self._as = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        secret = folder / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret):
            if self._as is not None:
                os.chown(path, self._as, -1)
        self._run("initdb", "-D", str(folder / "data"), "-U", "twin", "-A", "scram-sha-256", f"--pwfile={secret}", "-N", "-E", "UTF8", "--no-locale")  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://twin:p%40ss%2Fword@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it can be asked."""
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F"],
                user=self._as, cwd="/", stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._answers, (self._folder / "log").read_text())

    def stop(self) -> None:
        """End it at once, with those that talk to it."""
        self.process.send_signal(3)
        self.process.wait(PATIENCE)

    def signal(self, number: int) -> None:
        """To every process of the server: the one that answers an open connection too."""
        main = self.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, number)

    def _answers(self) -> bool:
        asked = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run([self._binaries / asked[0], *asked[1:]], check=False).returncode == 0

    def _run(self, program: str, *given: str) -> None:
        subprocess.run([self._binaries / program, *given], user=self._as, cwd="/", check=True, stdout=subprocess.DEVNULL)  # fmt: skip


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server with an empty database; the test is skipped, and says so, where there is none."""
    binaries = programs()
    if binaries is None:
        pytest.skip(ABSENT)
    # Not below pytest's own folder, which no other account may look into.
    folder = Path(tempfile.mkdtemp())
    server: Postgres | None = None
    try:
        server = Postgres(folder, binaries)
        yield server
    finally:
        if server and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)

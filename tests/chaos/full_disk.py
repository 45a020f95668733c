"""A disk that fills at random under every work that writes. Once there is room the work goes on: nothing lost, nothing
damaged.

The disk is a small tmpfs, which only root can mount; elsewhere a limit on the size of a file stands for it.
"""

import os
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.sites import DemoSites
from tests.chaos import works
from tests.chaos.kills import NEVER, Kill
from tests.chaos.report import Part
from tests.chaos.works import Work
from tests.support.machine import until
from twin_assets.core.storage.lake import LocalLake
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import read_requests

FULL, SHORT = 12, 2
MEGABYTES = 64
PAGE = 4096


def run(part: Part) -> None:
    times = FULL if part.full else SHORT
    with _disk(part) as disk:
        for work in (works.DATASET, works.PUBLISH, works.RELEASE):
            fill_often(part, work, disk, times)
        log_on_a_full_disk(part, disk, times // 2)
        if part.full:
            fill_often(part, works.SYNC, disk, times)
            with DemoSites() as sites:
                fill_often(part, works.crawl(sites, "substack", 1), disk, times // 2)


class Disk:
    """A folder whose room can be taken. `real` is a file system of its own; else the limit holds for each file."""

    def __init__(self, folder: Path, real: bool) -> None:
        self.folder, self.real, self._filler = folder, real, folder / "filler"

    @contextmanager
    def room(self, free: int) -> Iterator[Kill]:
        """So many bytes are left until the end of the block, to this process and to one that is begun with what this
        gives."""
        if self.real:
            facts = os.statvfs(self.folder)
            with self._filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(facts.f_bavail * facts.f_frsize - free, PAGE))
            yield NEVER
            self._filler.unlink()
        else:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
            yield Kill("full", free)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def _disk(part: Part) -> Iterator[Disk]:
    folder = part.home / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    part.note(
        f"THE DISK IS REAL: a tmpfs of {MEGABYTES} MB that is filled"
        if mounted
        else "THE DISK IS NOT REAL: no tmpfs can be mounted here, so a limit on the size of each file stands for it"
    )
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def fill_often(part: Part, work: Work, disk: Disk, times: int) -> None:
    """Does the work with a random room that is too little for it, and again with room enough."""
    template, home = part.home / "template", disk.folder / "home"
    template.mkdir()
    work.prepare(template)
    shutil.copytree(template, home)
    measured = work.measure(home)
    expected, needed = work.result(home), sum(size // PAGE * PAGE + PAGE for size in measured.sizes)
    failed = 0
    for _ in range(times):
        shutil.rmtree(home)
        shutil.copytree(template, home)
        free = (
            part.rng.randrange(needed) // PAGE * PAGE
            if disk.real
            else part.rng.randrange(max(measured.sizes))
        )
        where = f"{work.name}, {free} bytes left of {needed}"
        with disk.room(free) as limit:
            status, _ = work.begin(home, limit)
        failed += status != 0
        part.tried[f"full disks under the {work.name}"] += 1
        status, said = work.begin(home, NEVER)
        if status != 0:
            part.broken.append(f"{where}: with room again it ended with status {status}: {said[-600:]}")
            continue
        part.compare(expected, work.result(home), where)
        part.broken += [f"{where}: {wrong}" for wrong in work.sound(home)]
        part.broken += [f"{where}: {name} is left behind" for name in works.left_behind(home)[1]]
    part.note(f"{work.name}: {failed} of {times} full disks ended it, the others it got past")
    shutil.rmtree(template)
    shutil.rmtree(home)


def log_on_a_full_disk(part: Part, disk: Disk, times: int) -> None:
    """The request log outlives a full disk in the process that writes it: every row comes, once."""
    for _ in range(times):
        lake = LocalLake(disk.folder / "log" / "lake")
        log, free = RequestLog(lake), part.rng.randrange(0, 40) * 1000 // PAGE * PAGE
        with disk.room(free):
            for number in range(works.REQUESTS):
                log.append(works.request(number))
            until(lambda: log.waiting < works.REQUESTS or log._held, "the log's first try")  # noqa: B023
        until(lambda: log.waiting == 0, "the rows that waited")  # noqa: B023
        log.close()
        part.tried["full disks under a running request log"] += 1
        expected = Counter(f"q{number}" for number in range(works.REQUESTS))
        part.compare(
            expected,
            Counter(r.request_id for r in read_requests(lake, "runa")),
            f"request log, {free} bytes left",
        )
        shutil.rmtree(disk.folder / "log")

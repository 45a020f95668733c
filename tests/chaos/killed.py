"""kill -9 at random points of every work that writes. The work is begun again, and must end as if nothing had happened."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.sites import DemoSites
from tests.chaos import works
from tests.chaos.kills import KILLED, NEVER
from tests.chaos.report import Part
from tests.chaos.works import Work

FULL, SHORT = 20, 2
# Edition 2 edits an article on Medium and deletes a post on LinkedIn.
CRAWLS = [("medium", 1), ("medium", 2), ("github", 1), ("substack", 1), ("linkedin", 2)]


def run(part: Part) -> None:
    times = FULL if part.full else SHORT
    for work in (works.DATASET, works.PUBLISH, works.RELEASE, works.LOG, works.SYNC):
        kill_often(part, work, times if part.full or work is not works.SYNC else 1)
    with DemoSites() as sites:
        for source, edition in CRAWLS if part.full else CRAWLS[:1]:
            kill_often(part, works.crawl(sites, source, edition), times // len(CRAWLS) if part.full else 1)


def kill_often(part: Part, work: Work, times: int) -> None:
    """Kills so often; a kill that comes after the work's end is none, and another is tried."""
    template, undisturbed = part.home / "template", part.home / "undisturbed"
    with _removed(template), _removed(undisturbed):
        template.mkdir()
        work.prepare(template)
        shutil.copytree(template, undisturbed)
        measured = work.measure(undisturbed)
        expected = work.result(undisturbed)
        assert expected, work.name
        part.note(
            f"{work.name}: {measured.calls} changes of files in {measured.seconds:.1f} s; killed {times} times"
        )
        killed = swept = 0
        for number in range(3 * times):
            if killed == times:
                break
            kill = measured.kill(part.rng, number)
            home = part.home / "killed"
            with _removed(home):
                shutil.copytree(template, home)
                status, said = work.begin(home, kill)
                if status == 0:
                    continue
                where = f"{work.name}, killed at {kill}"
                if status not in KILLED:
                    part.broken.append(f"{where}: it ended with status {status} instead: {said[-300:]}")
                    break
                killed += 1
                part.tried[f"kills of the {work.name}"] += 1
                if part.rng.random() < 0.3:  # and once more, while it mends
                    work.begin(home, measured.kill(part.rng, part.rng.randrange(3)))
                swept += _begun_again(part, work, home, expected, where)
        if swept:
            part.note(f"  {swept} temporary files of killed writers, all swept once they were old")
        if killed < times:
            part.broken.append(f"{work.name}: only {killed} of {times} kills came before its end")


def _begun_again(part: Part, work: Work, home: Path, expected: "works.Counter[str]", where: str) -> int:
    """Does the work again and compares; how many temporary files were swept."""
    status, said = work.begin(home, NEVER)
    if status != 0:
        part.broken.append(f"{where}: begun again it ended with status {status}: {said[-600:]}")
        return 0
    part.compare(expected, work.result(home), where)
    part.broken += [f"{where}: {wrong}" for wrong in work.sound(home)]
    swept, left = works.left_behind(home)
    part.broken += [f"{where}: {name} is left behind" for name in left]
    return swept


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)

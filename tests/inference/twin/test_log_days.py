"""Days of the request log are compacted and rewritten: whoever is killed or works at the same time, each row is there once."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.evaluation.evaluation_factories import request
from tests.support.s3_double import KEYS_OF_A_STRANGER, s3_lake, s3_server
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import Lake, LocalLake, open_lake
from twin_assets.inference.twin.log_days import compact_days, rewrite_day
from twin_assets.inference.twin.request_log import RequestRecord, iter_requests, read_requests, write_object
from twin_assets.monitoring.erasure import remove_texts
from twin_assets.settings import ROOT, Settings

DAY, NEXT = "2026-01-01", date(2026, 1, 2)
MORNING = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int) -> RequestRecord:
    return request(
        number, time=MORNING + timedelta(seconds=number, microseconds=7), prompt=f"Question {number}?", answer="ć" * 9,
        scores=[0.1, 1 / 3], steps_ms={"generate": 1 / 7, "retrieve": 2.0}, cost=0.1 + 0.2, retrieved=["c1"],
    )  # fmt: skip


def log(lake: Lake, *numbers: int, day: str = DAY) -> None:
    """One object."""
    write_object(lake, f"requests/runa/{day}", f"{numbers[0]:06d}-abc", [row(n) for n in numbers])


def ids(lake: Lake) -> list[int]:
    return [int(r.request_id) for r in read_requests(lake, "runa")]


def names(lake: Lake, ending: str = "") -> list[str]:
    return [key for key in lake.keys("requests") if key.endswith(ending)]


def without(*numbers: int) -> Callable[[RequestRecord], RequestRecord | None]:
    return lambda r: None if int(r.request_id) in numbers else r


def test_a_day_that_is_over_becomes_one_object_with_the_same_rows(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for number in range(0, 60, 2):
        log(lake, number, number + 1)
    log(lake, 90, day="2026-01-02")
    log(lake, 91, day="2026-01-02")
    before = read_requests(lake, "runa")
    done = compact_days(lake, "runa", NEXT)
    assert (done.days, done.objects) == (1, 30)
    assert read_requests(lake, "runa") == before
    assert len(names(lake, ".parquet")) == 1
    assert len(names(lake, ".jsonl")) == 2, "today is still being written"
    assert compact_days(lake, "runa", NEXT).days == 0
    assert compact_days(lake, "runa", NEXT + timedelta(days=1)).days == 1
    assert read_requests(lake, "runa") == before


def test_a_row_that_comes_late_joins_its_day_at_the_next_compaction(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    log(lake, 1)
    log(lake, 2)
    compact_days(lake, "runa", NEXT)
    log(lake, 3)
    assert ids(lake) == [1, 2, 3]
    assert compact_days(lake, "runa", NEXT).objects == 2
    assert (ids(lake), len(names(lake, ".parquet")), names(lake, ".jsonl")) == ([1, 2, 3], 1, [])


def test_erasure_and_the_end_of_texts_go_through_compacted_days(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for number in (1, 2, 3):
        log(lake, number)
    compact_days(lake, "runa", NEXT)
    assert rewrite_day(lake, "runa", DAY, without(2)) == 1
    assert rewrite_day(lake, "runa", DAY, without(2)) == 0
    assert ids(lake) == [1, 3]
    assert remove_texts(lake, "runa", 30, date(2026, 3, 2)) == 2
    assert {(r.prompt, r.answer, r.tokens_in) for r in read_requests(lake, "runa")} == {(None, None, 100)}
    before = names(lake)
    assert remove_texts(lake, "runa", 30, date(2026, 3, 2)) == 0
    assert names(lake) == before
    assert b"Question" not in b"".join(lake.read(key) for key in names(lake))
    assert rewrite_day(lake, "runa", DAY, without(1, 3)) == 2
    assert (ids(lake), names(lake, ".parquet")) == ([], [])


def test_a_damaged_line_costs_its_row_and_no_other(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    log(lake, 1)
    line = row(2).model_dump_json().encode()
    lake.write(f"requests/runa/{DAY}/000002-abc.jsonl", line[:80] + line + b"\n\0\xff\n" + line + b"\n")
    assert ids(lake) == [1, 2]
    compact_days(lake, "runa", NEXT)
    assert ids(lake) == [1, 2]


def test_an_object_that_is_gone_for_good_is_named(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    log(lake, 1)
    log(lake, 2)
    compact_days(lake, "runa", NEXT)
    lake.delete(names(lake, ".parquet")[0])
    with pytest.raises(TwinError, match=r"parquet.*is gone from the request log.*backup"):
        ids(lake)
    with pytest.raises(TwinError, match=r"parquet.*is gone from the request log.*backup"):
        rewrite_day(lake, "runa", DAY, without(1))


class Killed(BaseException):
    pass


class Watched(LocalLake):
    """A lake on which something happens just before one of its uses: that of the number `at`."""

    def __init__(self, root: Path, at: int, what: Callable[[], None]) -> None:
        super().__init__(root)
        self.at, self.what, self.uses = at, what, 0

    def _use(self) -> None:
        self.uses += 1
        if self.uses == self.at:
            self.what()

    def read(self, key: str) -> bytes:
        self._use()
        return super().read(key)

    def write(self, key: str, data: bytes) -> str:
        self._use()
        return super().write(key, data)

    def create(self, key: str, data: bytes) -> str:
        self._use()
        return super().create(key, data)

    def delete(self, key: str) -> None:
        self._use()
        super().delete(key)

    def keys(self, prefix: str, after: str = ""):  # type: ignore[no-untyped-def]
        self._use()
        return iter(list(super().keys(prefix, after)))


def die() -> None:
    raise Killed


def small_day(root: Path) -> LocalLake:
    """A day that was compacted once, with two objects since."""
    lake = LocalLake(root)
    log(lake, 1)
    log(lake, 2)
    compact_days(lake, "runa", NEXT)
    log(lake, 3)
    log(lake, 4)
    return lake


ACTS: dict[str, Callable[[Lake], object]] = {
    "compact": lambda lake: compact_days(lake, "runa", NEXT),
    "erase": lambda lake: rewrite_day(lake, "runa", DAY, without(2)),
    "bare": lambda lake: remove_texts(lake, "runa", 30, date(2026, 3, 2)),
}


@pytest.mark.parametrize("act", ACTS)
def test_killed_before_any_step_it_has_changed_nothing_or_all(tmp_path: Path, act: str) -> None:
    step, over = 0, False
    while not over:
        step += 1
        lake = small_day(tmp_path / str(step))
        try:
            ACTS[act](Watched(lake.root, step, die))
            over = True
        except Killed:
            pass
        assert ids(lake) in ([1, 2, 3, 4], [1, 3, 4] if act == "erase" else [1, 2, 3, 4])
        ACTS[act](lake)
        compact_days(lake, "runa", NEXT)
        assert ids(lake) == ([1, 3, 4] if act == "erase" else [1, 2, 3, 4])
        assert (len(names(lake, ".parquet")), names(lake, ".jsonl")) == (1, []), "nothing was left behind"
    assert step > 8


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("second", ACTS)
def test_two_that_rewrite_a_day_at_once_bring_nothing_back(tmp_path: Path, first: str, second: str) -> None:
    step, over = 0, False
    while not over:
        step += 1
        lake = small_day(tmp_path / str(step))
        watched = Watched(lake.root, step, lambda lake=lake: ACTS[second](lake))  # type: ignore[misc]
        ACTS[first](watched)
        over = watched.uses < step
        if over:
            ACTS[second](lake)
        assert ids(lake) == ([1, 3, 4] if "erase" in (first, second) else [1, 2, 3, 4])
        left = b"".join(lake.read(key) for key in names(lake))
        if "bare" in (first, second):
            assert b"Question" not in left
        stored = [r for name in names(lake, ".parquet") for r in Counter([name])]
        assert len(stored) == 1, "nothing was left behind"
    assert step > 8


@pytest.mark.parametrize("act", ACTS)
def test_a_reader_sees_each_row_once_while_the_day_is_rewritten(tmp_path: Path, act: str) -> None:
    step, over = 0, False
    while not over:
        step += 1
        lake = small_day(tmp_path / str(step))
        watched = Watched(lake.root, step, lambda lake=lake: ACTS[act](lake))  # type: ignore[misc]
        seen = ids(watched)
        over = watched.uses < step
        assert seen == [1, 2, 3, 4] or (act == "erase" and seen == [1, 3, 4])
    assert step > 3


WORK = """
import sys
from datetime import date
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.twin.log_days import compact_days, rewrite_day
from twin_assets.inference.twin.request_log import write_object
from twin_assets.settings import load_settings
from tests.inference.twin.test_log_days import DAY, NEXT, log, without
lake = open_lake(load_settings())
who, seed = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
number = seed
while True:
    if who == "write":
        log(lake, number)
        number += 1
        print(number, flush=True)
    elif who == "compact":
        compact_days(lake, "runa", NEXT)
    else:
        rewrite_day(lake, "runa", DAY, without(*range(0, 10_000, 7)))
"""


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_processes_that_write_compact_erase_and_are_killed_lose_and_double_nothing(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(3)
    with s3_server() as url:
        monkeypatch.setenv("TWIN_HOME", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        if where == "s3":
            bucket = s3_lake(url, tmp_path).bucket
            for name, value in KEYS_OF_A_STRANGER.items():
                monkeypatch.setenv("AWS_DEFAULT_REGION" if name == "region_name" else name.upper(), value)
            monkeypatch.setenv("TWIN_LAKE_URL", f"s3://{bucket}/p")
            monkeypatch.setenv("TWIN_S3_ENDPOINT_URL", url)
        lake = open_lake(Settings())
        written, killed = 0, 0
        for _ in range(3):
            workers = {
                who: subprocess.Popen(
                    [sys.executable, "-c", WORK, who, str(written)],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    bufsize=0,  # a buffer would take what comes after "ready" too, and keep it
                )
                for who in ("write", "compact", "erase")
            }
            for worker in workers.values():
                assert worker.stdout
                assert worker.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + 1.0 + rng.random()
            while time.monotonic() < deadline:
                seen = Counter(r.request_id for r in iter_requests(lake, "runa"))
                assert set(seen.values()) <= {1}, "a row was there twice"
            for worker in rng.sample(list(workers.values()), 3):
                worker.send_signal(signal.SIGKILL)
                time.sleep(rng.random() * 0.05)
            told = [int(line) for line in workers["write"].communicate()[0].split()]
            for worker in workers.values():
                killed += worker.wait() == -signal.SIGKILL
            written = told[-1] if told else written
            left = ids(lake)
            # The writer may have been killed between an object and the word that it is there.
            assert {n for n in range(written) if n % 7} <= set(left) <= set(range(written + 1))
            assert len(left) == len(set(left))
            written = max([written, *(n + 1 for n in left)])
        assert killed == 9
        assert written > 20
        rewrite_day(lake, "runa", DAY, without(*range(0, 10_000, 7)))
        compact_days(lake, "runa", NEXT)
        assert sorted(ids(lake)) == [n for n in range(written) if n % 7]
        assert (len(names(lake, ".parquet")), names(lake, ".jsonl")) == (1, [])


def test_a_compacted_day_takes_as_many_reads_however_many_objects_it_was(tmp_path: Path) -> None:
    def reads(objects: int) -> int:
        lake = LocalLake(tmp_path / str(objects))
        for number in range(objects):
            log(lake, number)
        compact_days(lake, "runa", NEXT)
        watched = Watched(lake.root, -1, die)
        assert ids(watched) == list(range(objects))
        return watched.uses

    assert reads(3) == reads(300) < 6

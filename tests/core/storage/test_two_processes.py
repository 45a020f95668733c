"""Two processes that act on one S3 at the same moment, step by step: nothing is lost and nothing comes twice.

Each step begins at a barrier, so that the two interleave in whatever order the machine gives them. TWIN_TEST_S3 names a real
server to run the same on (its keys are those of the double), as in docs/scale.md.
"""

import multiprocessing
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import pytest

from tests.support.models import lineage, save
from tests.support.s3_double import s3_client, s3_server
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.push import pull_version
from twin_assets.core.storage.lake import S3Lake, open_lake
from twin_assets.inference.twin.log_days import compact_days
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import RequestRecord, read_requests
from twin_assets.settings import Settings

STEPS = 12
WAIT_SECONDS = 120


class Place(NamedTuple):
    """A bucket at an S3 server. Every process has a home of its own."""

    url: str
    bucket: str
    homes: Path

    def settings(self, home: str) -> Settings:
        at = {"lake_url": f"s3://{self.bucket}/lake", "registry_url": f"s3://{self.bucket}/models"}
        return Settings(home=self.homes / home, s3_endpoint_url=self.url, platform="one", **at)

    def lake(self, home: str) -> S3Lake:
        lake = open_lake(self.settings(home), s3_client(self.url))
        assert isinstance(lake, S3Lake)
        return lake


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    real = os.environ.get("TWIN_TEST_S3")
    with nullcontext(real) if real else s3_server() as url:
        yield url


@pytest.fixture
def place(server: str, tmp_path: Path) -> Place:
    bucket = f"two-{secrets.token_hex(6)}"
    s3_client(server).create_bucket(Bucket=bucket)
    return Place(server, bucket, tmp_path)


Work = Callable[[Place, str, Any], object]


def both(place: Place, *works: Work) -> list[Any]:
    """What the works return, each done in a process of its own: the one of "a", and that of "b", which may be another."""
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(2, timeout=WAIT_SECONDS), spawn.Queue()
    pairs = zip("ab", works * (2 // len(works)), strict=True)
    processes = [spawn.Process(target=_do, args=(work, place, who, barrier, answers)) for who, work in pairs]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=WAIT_SECONDS) for _ in processes)
    for process in processes:
        process.join(WAIT_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    return [found["a"], found["b"]]


def _do(work: Work, place: Place, who: str, barrier: Barrier, answers: Any) -> None:
    try:
        answers.put((who, work(place, who, barrier)))
    except BaseException as error:
        barrier.abort()
        answers.put((who, f"{type(error).__name__}: {error}"))
        raise


def on_the_lake(place: Place, who: str, together: Barrier) -> list[int]:
    """Numbers of the objects that this process made."""
    lake, made = place.lake(who), []
    for n in range(STEPS):
        together.wait()
        try:
            lake.create(f"notes/{n}", who.encode())
            made.append(n)
        except FileExistsError:
            pass
        lake.update("reports/tally", partial(bytes.__add__, f"{who}{n} ".encode()))
        together.wait()
        if n % 2 == (who == "b"):  # one deletes while the other changes
            lake.delete("reports/going")
        else:
            lake.update("reports/going", partial(bytes.__add__, b"more"))
    return made


def test_lake(place: Place) -> None:
    lake = place.lake("here")
    lake.write("reports/tally", b"")
    lake.write("reports/going", b"")
    of_a, of_b = both(place, on_the_lake)
    assert sorted(of_a + of_b) == list(range(STEPS)), "each was made by one, and only one was told so"
    assert {n: lake.read(f"notes/{n}") for n in range(STEPS)} == dict.fromkeys(of_a, b"a") | dict.fromkeys(
        of_b, b"b"
    )
    assert Counter(lake.read("reports/tally").decode().split()) == Counter(f"{w}{n}" for w in "ab" for n in range(STEPS))  # fmt: skip
    assert not lake.exists("reports/going"), "a change brings back nothing that was deleted"


def on_the_ledger(place: Place, who: str, together: Barrier) -> list[str]:
    """Versions that this process rejected."""
    ledger, rejected = Ledger(place.lake(who), "runa"), []
    for n in range(STEPS // 2):
        together.wait()
        ledger.append(f"own:{who}{n}", "proposed", who, "own")
        together.wait()
        if who == "a":
            ledger.append(f"both:{n}", "proposed", who, "for both")
        together.wait()
        try:
            ledger.append(f"both:{n}", "rejected", who, "whoever is first")
            rejected.append(f"both:{n}")
        except TwinError:
            pass
    return rejected


def test_ledger(place: Place) -> None:
    of_a, of_b = both(place, on_the_ledger)
    events, steps = Ledger(place.lake("here"), "runa").events(), range(STEPS // 2)
    assert [e.number for e in events] == list(range(1, len(events) + 1))
    assert Counter((e.model, e.kind) for e in events) == Counter(
        [(f"own:{who}{n}", "proposed") for who in "ab" for n in steps]
        + [(f"both:{n}", kind) for n in steps for kind in ("proposed", "rejected")]
    )
    assert {e.model: e.actor for e in events if e.kind == "rejected"} == dict.fromkeys(of_a, "a") | dict.fromkeys(of_b, "b")  # fmt: skip
    assert place.lake("here").read("ledger/latest.json") == b'{"runa": %d}' % len(events)


def on_the_registry(place: Place, who: str, together: Barrier) -> dict[str, str]:
    """Weights by tag of what was pushed: versions that both trained, on machines that don't compute alike, and one's own."""
    settings = place.settings(who)
    registry, bucket, pushed = Registry(settings), Bucket(settings, s3_client(place.url)), {}
    for n in range(8):
        number = n if n % 2 else 10 * (1 + n) + (who == "b")
        folder = place.homes / f"{who}{n}"
        folder.mkdir()
        (folder / "more.safetensors").write_text(who)
        version = save(registry, folder, lineage("dpo", number=number))
        together.wait()
        bucket.push(version)
        pushed[version.tag] = version.weights_hash
    return pushed


def test_registry(place: Place) -> None:
    of_a, of_b = both(place, on_the_registry)
    settings, client = place.settings("here"), s3_client(place.url)
    assert len(of_a.keys() & of_b.keys()) == 4
    for tag in of_a | of_b:  # refused where the files are not those of the record
        (version,) = pull_version(settings, tag, "s3", client=client)
        assert version.weights_hash in (of_a.get(tag), of_b.get(tag))
    objects = list(S3Lake(client, place.bucket, "models", place.homes / "m").keys("twin-runa-dpo"))
    assert Counter(Path(key).name for key in objects) == dict.fromkeys(
        ("version.json", "README.md", "model.safetensors", "more.safetensors", "config.json", "config.yaml"),
        12,
    ), "nothing stays of what came second"


def on_the_request_log(place: Place, who: str, together: Barrier) -> int:
    """Rows of the past day, which both make one object of at the same moment as rows still come."""
    lake, past = place.lake(who), datetime.now(UTC) - timedelta(days=1)
    for n in range(STEPS):
        log = RequestLog(lake, clock=lambda: past)
        log.append(RequestRecord(
            request_id=f"{who}{n}", time=past + timedelta(seconds=n), persona="runa", model="m:1", prompt_kind="answer",
            outcome="answered",
        ))  # fmt: skip
        together.wait()
        log.close()
        assert (log.lost, log.waiting) == (0, 0)
        compact_days(lake, "runa", datetime.now(UTC).date())
    return len(read_requests(lake, "runa"))


def test_request_log(place: Place) -> None:
    seen = both(place, on_the_request_log)
    lake = place.lake("here")
    expected = Counter(f"{who}{n}" for who in "ab" for n in range(STEPS))
    assert Counter(row.request_id for row in read_requests(lake, "runa")) == expected
    assert max(seen) == len(expected), "who ended last saw them all"
    compact_days(lake, "runa", datetime.now(UTC).date())
    assert sorted(Path(key).suffix for key in lake.keys("requests/runa"))[-1] == ".parquet"
    assert Counter(row.request_id for row in read_requests(lake, "runa")) == expected

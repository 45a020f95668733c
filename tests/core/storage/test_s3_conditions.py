"""A store that does not heed conditions is no place for a lake, and one that is busy is asked again."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.support.s3_double import BadLine, s3_client, s3_lake, s3_server
from twin_assets.core.errors import TwinError
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import S3Lake
from twin_assets.core.storage.lake.owner import Owner, claim
from twin_assets.core.storage.s3 import StorageError


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def line(server: str) -> Iterator[BadLine]:
    with BadLine(server) as made:
        yield made


@pytest.fixture
def lake(server: str, line: BadLine, tmp_path: Path) -> S3Lake:
    bucket = s3_lake(server, tmp_path).bucket
    return S3Lake(s3_client(line.url), bucket, "some/prefix", tmp_path / "here")


def test_a_store_that_ignores_conditions_gets_no_ledger_and_is_told_why(lake: S3Lake, line: BadLine) -> None:
    lake.write("reports/a", b"one")
    line.careless = True
    with pytest.raises(
        StorageError, match=r"no place for a lake: it overwrote.*If-None-Match.*Fix: use a store"
    ):
        Ledger(lake, "runa").append("a:1", "proposed", "pipeline", "new")
    with pytest.raises(StorageError, match="no place for a lake"):
        lake.update("reports/a", lambda data: b"two")
    with pytest.raises(StorageError, match="no place for a lake"):
        lake.check()
    assert lake.read("reports/a") == b"one"
    assert list(lake.keys("")) == ["reports/a"], "nothing of the proof stays"


def test_a_store_that_heeds_them_is_tried_once_a_day(lake: S3Lake, line: BadLine) -> None:
    lake.create("ledger/a/1.json", b"one")
    tried = line.asked["PUT"]
    lake.create("ledger/a/2.json", b"two")
    again = S3Lake(lake.client, lake.bucket, lake.prefix, lake.mirror)
    again.create("ledger/a/3.json", b"three")
    assert (tried, line.asked["PUT"]) == (4, 6)


def test_no_object_is_written_where_a_folder_is(lake: S3Lake, tmp_path: Path) -> None:
    """A server that keeps objects in folders takes an empty folder for an object of its name."""
    written: list[str] = []
    lake.client.meta.events.register(
        "provide-client-params.s3.PutObject", lambda params, **_: written.append(params["Key"])
    )
    owned = S3Lake(lake.client, lake.bucket, lake.prefix, lake.mirror, Owner(None, tmp_path / "platform"))
    owned.write("reports/a", b"one")
    Ledger(owned, "runa").append("a:1", "proposed", "pipeline", "new")
    owned.check()
    assert "some/prefix/platform" in written
    folders = {str(folder) for key in written for folder in PurePosixPath(key).parents}
    assert not folders & set(written)


def test_a_name_that_is_taken_by_something_else_is_told(lake: S3Lake, tmp_path: Path) -> None:
    class Taken(S3Lake):
        def create(self, key: str, data: bytes) -> str:
            raise FileExistsError(key)

    with pytest.raises(TwinError, match=r"lets none be made.*remove the folder 'platform'"):
        claim(Taken(lake.client, lake.bucket, "new", tmp_path / "m"), "The lake", None, "TWIN_LAKE_URL")


def test_a_conflict_means_try_again_and_not_that_the_name_is_taken(lake: S3Lake, line: BadLine) -> None:
    lake.create("ledger/a/1.json", b"one")
    line.conflicts = 3
    lake.create("ledger/a/2.json", b"two")
    line.conflicts = 3
    assert lake.update("ledger/a/1.json", lambda data: b"more")
    assert (lake.read("ledger/a/2.json"), lake.read("ledger/a/1.json")) == (b"two", b"more")
    with pytest.raises(FileExistsError):
        lake.create("ledger/a/2.json", b"three")


def test_conflicts_that_do_not_end_are_an_error_with_its_fix(
    lake: S3Lake, line: BadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twin_assets.core.storage.lake import on_s3 as module

    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.01)
    lake.create("ledger/a/1.json", b"one")
    line.conflicts = 1_000
    with pytest.raises(
        StorageError, match=r"had others change the same .*: create ledger/a/2\.json.*Fix: try again"
    ):
        lake.create("ledger/a/2.json", b"two")

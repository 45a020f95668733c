"""An object that several change at the same time loses nobody's change, in a folder and on S3."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.s3_double import lake_in, s3_lake, s3_server
from twin_assets.core.storage.lake import Lake, S3Lake

WRITERS, EACH = 4, 8


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    with lake_in(request.param, tmp_path) as made:
        yield made


def test_every_change_counts_and_a_mirrored_copy_follows(lake: Lake) -> None:
    lake.write("reports/a", b"")
    lake.write("kept/b", b"1")
    lake.local("kept")

    def add(name: int) -> None:
        for n in range(EACH):
            mark = f"{name}.{n} ".encode()
            assert lake.update("reports/a", partial(bytes.__add__, mark))

    threads = [threading.Thread(target=add, args=(name,)) for name in range(WRITERS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    wanted = {f"{name}.{n}" for name in range(WRITERS) for n in range(EACH)}
    assert sorted(lake.read("reports/a").decode().split()) == sorted(wanted)

    assert lake.update("kept/b", lambda data: data + b"2")
    assert (lake.local("kept") / "b").read_bytes() == b"12"
    assert not lake.update("kept/b", lambda data: None)
    assert not lake.update("kept/none", lambda data: b"3")
    assert not lake.exists("kept/none")


def test_the_mirror_on_disk_forgets_what_was_written_anew_or_deleted(tmp_path: Path) -> None:
    with s3_server() as url:
        lake = s3_lake(url, tmp_path)
        assert isinstance(lake, S3Lake)
        lake.write("raw/a", b"old")
        lake.write("raw/b", b"secret")
        mirror = lake.local("raw")
        assert (mirror / "b").read_bytes() == b"secret"
        lake.delete("raw/b")
        assert not (mirror / "b").exists()
        lake.write("raw/a", b"new")
        assert (lake.local("raw") / "a").read_bytes() == b"new"

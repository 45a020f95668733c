"""The lake is the same lake in a folder and on S3 (moto's server over loopback)."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from dagster_aws.s3 import S3Resource

from tests.support.machine import full_disk
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, s3_client, s3_lake, s3_server
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import ERASED_NOTE, Lake, LocalLake, S3Lake, open_lake
from twin_assets.core.storage.lake.local import STAGED_SECONDS
from twin_assets.core.storage.s3 import ATTEMPTS, CONNECT_SECONDS, StorageError
from twin_assets.core.storage.s3 import s3_client as ours
from twin_assets.defs.shared.resources import Platform
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, s3_url: str) -> Lake:
    if request.param == "folder":
        return LocalLake(tmp_path / "lake")
    return s3_lake(s3_url, tmp_path)


def test_what_is_written_is_read_listed_and_deleted(lake: Lake) -> None:
    lake.write("raw/a/1.jsonl", b"one")
    lake.write("raw/a/2.jsonl", b"two")
    lake.write("raw/ab/3.jsonl", b"three")
    assert lake.read("raw/a/2.jsonl") == b"two"
    assert list(lake.keys("raw/a")) == ["raw/a/1.jsonl", "raw/a/2.jsonl"]
    lake.delete("raw/a/1.jsonl")
    assert not lake.exists("raw/a/1.jsonl")
    assert lake.exists("raw/a/2.jsonl")
    with pytest.raises(KeyError):
        lake.read("raw/a/1.jsonl")


def test_what_is_written_and_mirrored_is_for_its_owner_alone(lake: Lake, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        lake.write("requests/runa/2024-01-01/1.jsonl", b"one")
        lake.create("ledger/runa/1.json", b"two")
        lake.write("requests/runa/2024-01-01/1.jsonl", b"three")
        here = [
            *lake.local("requests").rglob("*"),
            *lake.local("ledger").rglob("*"),
            lake.local("nothing/yet"),
        ]
    finally:
        os.umask(before)
    assert {p.name for p in here} >= {"runa", "1.jsonl", "1.json"}
    assert [p for p in here if p.stat().st_mode & 0o077] == []


def test_opening_the_lake_closes_its_home_to_other_accounts(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "above" / "new"
    old.mkdir()
    old.chmod(0o755)
    for home in (old, new):
        open_lake(Settings(home=home))
        assert home.stat().st_mode & 0o077 == 0


def test_keys_are_listed_from_one_on(lake: Lake) -> None:
    for key in (
        "log/runa/2026-01-31/9.json",
        "log/runa/2026-02-01/1.json",
        "log/runa/2026-02-02.json",
        "log/runa-b/2026-03-01/1.json",
    ):
        lake.write(key, b"x")
    listed = list(lake.keys("log/runa"))
    assert len(listed) == 3
    assert list(lake.keys("log/runa", "log/runa/2026-02-01")) == listed[1:]
    assert list(lake.keys("log/runa", listed[1])) == listed[2:]
    assert list(lake.keys("log/runa", "log/runa/")) == listed


def test_create_never_overwrites(lake: Lake) -> None:
    lake.create("ledger/1.json", b"first")
    with pytest.raises(FileExistsError):
        lake.create("ledger/1.json", b"second")
    assert lake.read("ledger/1.json") == b"first"


def test_local_gives_a_folder_with_the_same_files_and_no_stale_ones(lake: Lake) -> None:
    lake.write("raw/a/1.jsonl", b"one")
    lake.write("raw/a/2.jsonl", b"two")
    assert sorted(p.name for p in lake.local("raw").rglob("*.jsonl")) == ["1.jsonl", "2.jsonl"]
    lake.delete("raw/a/1.jsonl")
    assert [p.read_bytes() for p in lake.local("raw").rglob("*.jsonl")] == [b"two"]


def test_a_dataset_version_that_lost_rows_is_mirrored_anew(lake: Lake) -> None:
    version = "datasets/runa/preference/v1"
    for name in ("train.jsonl", "subsets/1k.jsonl"):
        lake.write(f"{version}/{name}", b"one\ntwo\n")
    lake.local("datasets/runa")
    lake.write(f"{version}/{ERASED_NOTE}", b"{}")
    for name in ("train.jsonl", "subsets/1k.jsonl"):
        lake.write(f"{version}/{name}", b"two\n")
    assert {p.read_bytes() for p in lake.local("datasets/runa").rglob("*.jsonl")} == {b"two\n"}


@pytest.mark.parametrize(
    "key",
    [
        "../outside.txt",
        "reports/ola/../runa/x.json",
        "./x",
        "a/..",
        "/etc/hostname",
        "a/\0b",
        "a/" + "x" * 300,
    ],
)
def test_a_key_that_leads_elsewhere_is_refused_by_every_act(lake: Lake, key: str) -> None:
    lake.write("reports/runa/x.json", b"hers")
    acts: list[Callable[[], object]] = [
        lambda: lake.read(key), lambda: lake.write(key, b"x"), lambda: lake.create(key, b"x"), lambda: lake.exists(key),
        lambda: list(lake.keys(key)), lambda: lake.delete(key), lambda: lake.uri(key), lambda: lake.local(key),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(TwinError, match="is no lake key"):
            act()
    assert list(lake.keys("reports")) == ["reports/runa/x.json"]


def test_a_setting_moves_the_lake_to_s3_through_dagster_aws(tmp_path: Path, s3_url: str) -> None:
    s3_client(s3_url).create_bucket(Bucket="twin")
    s3 = S3Resource(endpoint_url=s3_url, **KEYS_OF_A_STRANGER)
    platform = Platform(s3=s3, overrides={"home": str(tmp_path), "lake_url": "s3://twin/prod"})
    assert platform.lake.write("x.txt", b"in the bucket") == "s3://twin/prod/x.txt"
    assert platform.lake.read("x.txt") == b"in the bucket"
    assert not (tmp_path / "lake").exists()


def test_an_unknown_lake_url_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="set s3://bucket/prefix"):
        open_lake(Settings(home=tmp_path, lake_url="gs://bucket"))


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("act", ["write", "create"])
def test_a_write_that_fails_on_a_full_disk_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, act: str
) -> None:
    lake = LocalLake(tmp_path)
    lake.write("a/kept.txt", b"before")
    with full_disk(1_000), pytest.raises(OSError, match="File too large"):
        getattr(lake, act)("a/kept.txt" if act == "write" else "a/new.txt", b"x" * 100_000)
    assert files(tmp_path) == ["kept.txt"]
    assert lake.read("a/kept.txt") == b"before"


def test_what_a_killed_write_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    lake.write("a/kept.txt", b"x")
    for name, age in ((".old.1234.tmp", STAGED_SECONDS + 60), (".new.1234.tmp", 0)):
        path = tmp_path / "a" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    assert lake.sweep() == 1
    assert files(tmp_path) == [".new.1234.tmp", "kept.txt"]


def test_a_lost_answer_to_a_create_is_no_refusal(tmp_path: Path, s3_url: str) -> None:
    """The client asks again by itself, and finds the name taken: by what it has just stored."""
    straight = s3_lake(s3_url, tmp_path)
    with BadLine(s3_url) as line:
        lake = S3Lake(s3_client(line.url), straight.bucket, "some/prefix", tmp_path)
        line.lose = 1
        lake.create("ledger/1.json", b"mine")
        assert line.lose == 0
        with pytest.raises(FileExistsError):
            lake.create("ledger/1.json", b"mine")  # the same bytes, and yet another call's
        straight.create("ledger/2.json", b"theirs")
        line.lose = 1
        with pytest.raises(FileExistsError):
            lake.create("ledger/2.json", b"mine")
    assert straight.read("ledger/1.json") == b"mine"
    assert straight.read("ledger/2.json") == b"theirs"


def test_a_create_whose_fate_is_not_known_is_no_refusal_either(tmp_path: Path, s3_url: str) -> None:
    """The answer is lost, and then S3 is too busy to say whose the name is: who appends must not take the next one."""
    straight = s3_lake(s3_url, tmp_path)
    twice = Config(retries={"total_max_attempts": 2})
    with BadLine(s3_url) as line:
        client = boto3.client("s3", endpoint_url=line.url, config=twice, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]
        lake = S3Lake(client, straight.bucket, "some/prefix", tmp_path)
        lake.create("first", b"")
        line.lose, line.says, line.only = 1, (503, ""), "HEAD"
        with pytest.raises(StorageError, match="create ledger/1"):
            lake.create("ledger/1.json", b"mine")
        assert line.lose == 0
    assert straight.read("ledger/1.json") == b"mine"


def test_an_object_store_that_says_nothing_is_named_with_what_was_asked(tmp_path: Path, s3_url: str) -> None:
    straight = s3_lake(s3_url, tmp_path)
    straight.write("a.txt", b"x")
    waits = Config(read_timeout=0.2, retries={"total_max_attempts": 1})
    with BadLine(s3_url) as line:
        client = boto3.client("s3", endpoint_url=line.url, config=waits, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]
        lake = S3Lake(client, straight.bucket, "some/prefix", tmp_path)
        lake.create("first", b"")
        line.mute = True
        acts = {
            "read a.txt": lambda: lake.read("a.txt"), "write b": lambda: lake.write("b", b""),
            "create c": lambda: lake.create("c", b""), "list a": lambda: list(lake.keys("a")),
            "delete a.txt": lambda: lake.delete("a.txt"),
        }  # fmt: skip
        for name, act in acts.items():
            with pytest.raises(
                TwinError, match=f"S3 at {line.url} gave no answer to: {name}.*TWIN_S3_ENDPOINT_URL"
            ):
                act()


def test_clients_of_the_platform_wait_for_a_known_time_dagsters_too(tmp_path: Path, s3_url: str) -> None:
    settings = {"home": str(tmp_path), "s3_endpoint_url": s3_url, "s3_timeout": 3.0}
    s3 = S3Resource(endpoint_url=s3_url, **KEYS_OF_A_STRANGER)
    dagsters = Platform(s3=s3, overrides=settings | {"lake_url": "s3://twin/prod"}).lake
    assert isinstance(dagsters, S3Lake)
    for client in (ours(Settings.model_validate(settings)), dagsters.client):
        config = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (CONNECT_SECONDS, 3.0)
        assert config.retries == {"mode": "standard", "total_max_attempts": ATTEMPTS}


def test_what_did_not_change_is_not_read_again(lake: Lake) -> None:
    lake.write("a/latest.json", b"one")
    data, mark = lake.read_if_changed("a/latest.json", None) or (b"", "")
    assert data == b"one"
    assert lake.read_if_changed("a/latest.json", mark) is None
    lake.write("a/latest.json", b"two")
    assert (lake.read_if_changed("a/latest.json", mark) or (b"",))[0] == b"two"
    with pytest.raises(KeyError):
        lake.read_if_changed("a/none.json", mark)


def test_a_mirror_copies_what_is_new_or_another_and_nothing_else(tmp_path: Path, s3_url: str) -> None:
    straight = s3_lake(s3_url, tmp_path)
    for n in range(40):
        straight.write(f"raw/{n}.jsonl", f"row {n}".encode())
    with BadLine(s3_url) as line:
        lake = S3Lake(s3_client(line.url), straight.bucket, "some/prefix", tmp_path / "here")
        lake.local("raw")
        assert line.asked == {"LIST": 1, "GET": 40}
        lake.local("raw")
        assert line.asked == {"LIST": 2, "GET": 40}
        straight.write("raw/7.jsonl", b"mended by hand")
        mirror = lake.local("raw")
        assert line.asked == {"LIST": 3, "GET": 41}
        assert (mirror / "7.jsonl").read_bytes() == b"mended by hand"
        (mirror / "8.jsonl").write_bytes(b"")  # a power cut
        assert (lake.local("raw") / "8.jsonl").read_bytes() == b"row 8"
        straight.delete("raw/9.jsonl")
        straight.write("raw/.check-1", b"no object of the lake")
        lake.local("raw")
    assert sorted(p.name for p in mirror.iterdir()) == sorted(f"{n}.jsonl" for n in range(40) if n != 9)


def test_a_mirror_that_breaks_off_says_what_it_was_at(tmp_path: Path, s3_url: str) -> None:
    straight = s3_lake(s3_url, tmp_path)
    for n in range(40):
        straight.write(f"raw/{n}.jsonl", b"row")
    waits = Config(read_timeout=60, retries={"total_max_attempts": 1})
    with BadLine(s3_url) as line:
        client = boto3.client("s3", endpoint_url=line.url, config=waits, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]
        lake = S3Lake(client, straight.bucket, "some/prefix", tmp_path / "here")
        line.method, line.lose = "GET", 1_000
        with pytest.raises(StorageError, match="no answer to"):
            lake.local("raw")
        line.lose = 0
        assert len(list(lake.local("raw").iterdir())) == 40


def test_a_mirror_holds_whole_objects_whatever_their_names_and_half_answers_are_asked_for_again(
    tmp_path: Path, s3_url: str
) -> None:
    straight = s3_lake(s3_url, tmp_path)
    names = [f"{n}.bin" for n in range(20)] + ["a b+c=d&e~f.bin", "時刻表 %41.bin", "q?u#o.bin"]
    for name in names:
        straight.write(f"raw/{name}", name.encode() * 500)
    with BadLine(s3_url) as line:
        lake = S3Lake(s3_client(line.url), straight.bucket, "some/prefix", tmp_path / "here")
        line.method, line.halve = "GET", 1
        mirror = lake.local("raw")
        assert line.asked["GET"] == len(names) + 1
    assert {p.name: p.read_bytes() for p in mirror.iterdir()} == {n: n.encode() * 500 for n in names}


def test_a_process_that_is_forked_mirrors_too(tmp_path: Path, s3_url: str) -> None:
    lake = s3_lake(s3_url, tmp_path)
    lake.write("raw/a", b"text")
    assert (lake.local("raw") / "a").read_bytes() == b"text"
    lake.write("raw/b", b"more")
    child = multiprocessing.get_context("fork").Process(target=lake.local, args=("raw",))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert (lake.mirror / "raw" / "b").read_bytes() == b"more"


def test_a_lake_is_checked(lake: Lake) -> None:
    assert "can be" in lake.check()
    assert list(lake.keys("")) == []

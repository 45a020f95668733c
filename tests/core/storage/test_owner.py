"""A lake and a registry on S3 say whose they are, and what another platform writes is refused, never emptied."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import lineage, save
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, s3_client, s3_server
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.storage.lake import NotOurs, open_lake, platform_name
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def line() -> Iterator[BadLine]:
    with s3_server() as url, BadLine(url) as line:
        s3_client(url).create_bucket(Bucket="shared")
        yield line


@pytest.fixture(scope="module")
def client(line: BadLine) -> Any:
    return s3_client(line.url)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        monkeypatch.setenv(name.upper(), KEYS_OF_A_STRANGER[name])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def home(line: BadLine, folder: Path, lake: str, **changes: str) -> Settings:
    settings: dict[str, Any] = {
        "home": folder,
        "lake_url": f"s3://shared/{lake}",
        "s3_endpoint_url": line.url,
    }
    return Settings.model_validate(settings | changes)


def test_a_lake_that_another_platform_writes_is_refused_with_both_named_and_stays_as_it_is(
    line: BadLine, client: Any, tmp_path: Path
) -> None:
    lake = open_lake(home(line, tmp_path / "production", "a", platform="production"), client)
    lake.create("ledger/runa/1.json", b"one")
    lake.write("features/x.json", b"x")
    theirs = open_lake(home(line, tmp_path / "staging", "a", platform="staging"), client)
    told = r"The lake s3://shared/a/ belongs to the platform production, this is staging.*TWIN_LAKE_URL.*TWIN_PLATFORM=production"
    for change in (
        lambda: theirs.delete("ledger/runa/1.json"),
        lambda: theirs.write("features/x.json", b"y"),
        lambda: theirs.create("ledger/runa/2.json", b"two"),
        lambda: theirs.update("features/x.json", lambda data: b"z"),
        theirs.check,
    ):
        with pytest.raises(NotOurs, match=told):
            change()
    assert theirs.read("features/x.json") == b"x"
    assert list(lake.keys("")) == ["features/x.json", "ledger/runa/1.json", "platform"]
    moved = open_lake(home(line, tmp_path / "moved", "a", platform="production"), client)
    moved.write("features/x.json", b"moved")
    assert lake.read("features/x.json") == b"moved"


def test_a_home_becomes_part_of_its_first_lake_and_writes_no_other_by_accident(
    line: BadLine, client: Any, tmp_path: Path
) -> None:
    one, same = home(line, tmp_path / "one", "b"), home(line, tmp_path / "replica", "b")
    open_lake(one, client).write("x", b"1")
    open_lake(same, client).write("x", b"2")  # a replica with a disk of its own
    assert platform_name(one) == platform_name(same)
    open_lake(home(line, tmp_path / "other", "c"), client).write("x", b"3")
    with pytest.raises(NotOurs, match="s3://shared/c/"):  # one line of the environment was copied
        open_lake(home(line, tmp_path / "one", "c"), client).delete("x")
    open_lake(one, client).write("x", b"4")
    assert open_lake(home(line, tmp_path / "other", "c"), client).read("x") == b"3"


def test_to_know_whose_it_is_costs_no_request_a_write(line: BadLine, client: Any, tmp_path: Path) -> None:
    settings = home(line, tmp_path / "one", "d")
    open_lake(settings, client).write("x", b"1")
    line.asked.clear()
    for _ in range(5):
        open_lake(settings, client).write("x", b"1")
    assert line.asked == {"PUT": 5}


def test_a_registry_that_another_platform_writes_takes_no_version_and_hands_them_out(
    line: BadLine, client: Any, tmp_path: Path
) -> None:
    registry = {"registry_url": "s3://shared/models"}
    ours = home(line, tmp_path / "production", "e", **registry)
    version = save(Registry(ours), tmp_path / "weights", lineage("dpo", number=1))
    Bucket(ours, client).push(version)
    theirs = home(line, tmp_path / "staging", "f", **registry)
    names = platform_name(ours), platform_name(theirs)
    told = rf"The registry s3://shared/models belongs to the platform {names[0]}, this is {names[1]}.*TWIN_REGISTRY_URL"
    with pytest.raises(NotOurs, match=told):
        Bucket(theirs, client).push(save(Registry(theirs), tmp_path / "more", lineage("dpo", number=2)))
    (tmp_path / "pulled").mkdir()
    Bucket(theirs, client).pull(version.tag, tmp_path / "pulled")
    assert any((tmp_path / "pulled").iterdir())

"""What a chat asks of a lake on S3, in requests: docs/scale.md has them as the cost of a day."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.access.keys import FRESH_SECONDS
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import install, serving
from tests.support.machine import until
from tests.support.s3_double import BadLine, s3_client, s3_server
from twin_assets.core.release import known
from twin_assets.inference.twin.log_writer import FLUSH_SECONDS
from twin_assets.inference.twin.request_log import read_requests

CHATS = 25


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadLine]:
    for name, value in (
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(known, "LOOK_SECONDS", 3600.0)  # what is asked at rest is counted by itself
    with s3_server() as server, BadLine(server) as made:
        s3_client(server).create_bucket(Bucket="lake")
        yield made


def test_chats_cost_a_put_and_a_listing_a_second_and_the_keys_a_listing_in_two(
    tmp_path: Path, line: BadLine
) -> None:
    """However many they are."""
    settings = {"lake_url": "s3://lake/prod", "s3_endpoint_url": line.url}
    with EngineDouble() as engine, serving(install(tmp_path, engine.url, **settings)) as server:
        log = server.answers.log
        server.ask()
        until(lambda: not log.waiting, "the log is written")
        time.sleep(2 * FLUSH_SECONDS)  # whatever else its writing asks
        line.asked.clear()
        began = time.monotonic()
        for n in range(CHATS):
            assert server.ask(f"Why was tide table {n} a day old?").json()["outcome"] == "answered"
        log.close()
        seconds, cost = time.monotonic() - began, Counter(line.asked)
        assert len(read_requests(server.answers.lake, "runa")) == 1 + CHATS
    assert set(cost) <= {"PUT", "LIST"}
    assert 1 <= cost["PUT"] <= seconds / FLUSH_SECONDS + 2
    assert cost["LIST"] <= cost["PUT"] + seconds / FRESH_SECONDS + 1


def test_the_page_begins_with_next_to_no_request_whatever_the_number_of_personas(
    tmp_path: Path, line: BadLine
) -> None:
    settings = install(
        tmp_path, "http://127.0.0.1:1/v1", lake_url="s3://lake/page", s3_endpoint_url=line.url, ui_password="open sesame"
    )  # fmt: skip
    for n in range(30):
        declared = f"name: p{n}\nfull_name: Person {n}\nabout: They write.\nlicense: MIT\nmedium: {{feed: https://p{n}.example/feed}}\n"
        (settings.personas_dir / f"p{n}.yaml").write_text(declared)
    with serving(settings) as server:
        server.client.headers.update({"Authorization": "Bearer open sesame", "X-Twin-UI": "1"})
        server.client.get("/ui/api/start")
        line.asked.clear()
        people = server.client.get("/ui/api/start").json()["personas"]
        assert len(people) == 32
        assert sum(line.asked.values()) <= 3, line.asked
